// What to do, for each reason of `not_assessed` and for what the service refuses. The service says what happened; this
// says the next step, and whose it is.

const READ = "Read the film now, without waiting for a score.";
const SOURCE = "Ask the sender for the original image for presentation, and send that.";
const OPERATOR = "Tell the operator, with the film's id below; it is in the log.";
const NOT_OURS = "Nothing has to be repaired: only frontal plain chest films of adults are judged here.";
const REPORT = "Have the operator report it to the maintainers: a film must not be able to do this.";

// Keys are those of model.errors.Reason; a test holds the two together.
const STEPS = {
  decode_error: [READ, "Send it again from its source: this copy may be damaged. The same bytes end the same way."],
  decode_crash: [READ, OPERATOR, REPORT],
  decode_timeout: [READ, OPERATOR],
  decode_memory: [READ, "Look whether the file is a plain radiograph: those need far less memory."],
  payload_digest: [READ, "Send the film again.", "Have the operator check the spool's disk."],
  no_pixel_data: ["Send the image itself: this object only speaks of one.", READ],
  transfer_syntax: [READ, "Have the archive send it transcoded (JPEG 2000 lossless or uncompressed little endian)."],
  sop_class: [READ, SOURCE],
  modality: [READ, NOT_OURS],
  body_part: [READ, "Is it a chest after all? Then correct Body Part Examined at the modality and send it again."],
  view: ["Read it together with the other films of its study: only frontal ones are scored.", NOT_OURS],
  age: [READ, NOT_OURS],
  age_unknown: [READ, "Correct age or birth date at the source, and send it as a new object."],
  photometric: [READ, SOURCE],
  multi_frame: [READ, "Send the frames that are radiographs one by one."],
  for_processing: [READ, SOURCE],
  derived: [READ, SOURCE],
  quality_control: [
    "If it is a phantom, nothing.",
    "If it is a patient, read it now and correct the modality's label.",
  ],
  too_small: [READ, "Send the film at its full size: this is a thumbnail."],
  too_large: [READ, "Send it at 6,000 pixels a side or fewer."],
  aspect: [READ, "If it is cropped, send the whole film."],
  inverted: [READ, "Correct photometric interpretation or the display setting at the source."],
  blank: [
    "Look at the film: was there an exposure?",
    "If there was, read it now. If not, withdraw it and take it again.",
  ],
  out_of_distribution: [
    READ,
    "If films of one machine keep ending so, tell the operator: the model does not know them.",
  ],
  deadline: [READ, "Have the operator check the workers: films wait longer than they may."],
  worker_crash: [READ, OPERATOR, REPORT],
  retries_exhausted: [READ, "Send it again once the operator has looked at memory, disk and GPU of the workers."],
  non_finite: [READ, "Have the operator report the model's bundle: a network must answer with a number."],
  withdrawn: ["Nothing. A corrected film comes as a new object, with a SOPInstanceUID of its own."],
};
// Of a service that is newer than this page.
const UNKNOWN_REASON = [READ, "Load this page again: the service knows a reason that the page does not."];

/**
 * Return the steps to take after a film was not assessed.
 * @param {string} reason
 * @returns {string[]} never empty
 */
export function adviceFor(reason) {
  return STEPS[reason] ?? UNKNOWN_REASON;
}

const IN_A_WHILE = "Try again in a minute; if it goes on, tell the operator.";

const AFTER_REFUSAL = {
  picture_absent: "The outcome is not affected. Read the film where it is archived.",
  film_not_assessed: "Read the film where it is archived.",
  film_gone: "The film's bytes are past their retention, and with them what such a file is made of.",
  film_not_dicom: "Only DICOM films have files for an archive.",
  film_not_done: "It comes with the outcome.",
  film_not_reportable: "Have the sender correct the film's header, and send it as a new object.",
  not_rescorable: "Its outcome stands.",
  study_not_scored: "A form comes back with the next outcome.",
  too_many_assessments: "The last of them stands; tell the operator if it is wrong.",
  rate_limited: IN_A_WHILE,
  too_many_failures: "Wrong keys were tried from this address. Wait a minute, then sign in with a valid one.",
  dicom_extra_missing: "Have the operator install the service with its DICOM part.",
  forbidden: "Sign in with a key that may.",
  unauthenticated: "Sign in again above; what is shown stays.",
};

// Where the service speaks to programs, in other words than its own.
const INSTEAD = {
  picture_gone:
    "The picture was kept, but not any more: pictures go with the film's bytes. Read it where it is archived; its " +
    "outcome stays as it is.",
  study_not_found:
    "This study is not here. It was withdrawn, or its time is over (31 days), or it is another site's. The worklist " +
    "shows what there is.",
  instance_not_found: "This film is not here any more: its time is over (31 days). Read it where it is archived.",
  film_withdrawn: "It was withdrawn, and stays so. A corrected film comes as a new object.",
  not_blind:
    "This cannot be kept as a blind reading: somebody has read the study blind already, or you have assessed it with " +
    "its outcome seen. Open it from the worklist without the blind filter.",
};

/**
 * Return what the service refused, and what to do then.
 * @param {Error} error a Problem or Unreachable
 */
export function afterRefusal(error) {
  if (error.code in INSTEAD) return INSTEAD[error.code];
  const advice = AFTER_REFUSAL[error.code] ?? (error.status >= 500 ? IN_A_WHILE : null);
  return advice === null ? sentence(error.message) : `${sentence(error.message)} ${advice}`;
}

/** The service's own words for programs begin small and end without a stop. */
function sentence(text) {
  const whole = `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
