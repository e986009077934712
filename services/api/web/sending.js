// Sends one film: chosen or dropped, with what its sender knows of it. No file name is shown or sent: it may be a
// patient's. What is on its way stays so when the reader leaves the view.

import { element } from "./elements.js";
import { formatOf } from "./formats.js";
import { address } from "./router.js";
import { claimsFields, sendForm } from "./sending_form.js";
import { Problem, Unreachable, submit } from "./service.js";

const WAIT_SECONDS = 1; // most films are done by then; the others are followed

let chosen = null;
let isSending = false; // until it is known what became of a film, no other one takes its place
let share = null; // of the film that has gone out
let message = "";
let form = null; // the view's, while it is shown

/** Show the form. */
export function mount(place, { shell }) {
  form = sendForm();
  place.append(element("h1", {}, "Send a film"), form.root);
  form.file.addEventListener("change", () => receive([...form.file.files]));
  for (const name of ["dragenter", "dragover"]) form.drop.addEventListener(name, (event) => hover(event, true));
  form.drop.addEventListener("dragleave", (event) => hover(event, false));
  form.drop.addEventListener("drop", (event) => {
    hover(event, false);
    event.stopPropagation(); // the page takes what is dropped elsewhere
    receive([...event.dataTransfer.files]);
  });
  form.root.addEventListener("submit", (event) => {
    event.preventDefault();
    send(shell);
  });
  show();
  return () => {
    form = null;
  };
}

/**
 * Take what was chosen or dropped, wherever on the page.
 * @param {File[]} files
 */
export async function receive(files) {
  if (files.length === 0 || isSending) return;
  if (files.length > 1) {
    say("One film at a time. Whole folders: cxr-triage submit.");
    return;
  }
  const [file] = files;
  const format = await readFormat(file);
  if (format === null || isSending) return;
  chosen = format.advice === undefined ? { file, format } : null;
  say(format.advice ?? "");
}

function hover(event, isOver) {
  event.preventDefault();
  form?.drop.classList.toggle("over", isOver);
}

/** Return the file's format, or null where it cannot be read: it is a folder, or has been moved or changed since. */
async function readFormat(file) {
  try {
    return await formatOf(file);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    say("This cannot be read as a file. If it has changed since, choose it again.");
    return null;
  }
}

async function send(shell) {
  if (chosen === null || isSending) return;
  const told = claims();
  if (told === null) return;
  isSending = true;
  say("Sending …");
  try {
    const { file, format } = chosen;
    if ((await readFormat(file)) === null) return;
    const record = await submit(file, format.mediaType, told, (part) => {
      share = part;
      show();
    });
    startOver();
    accepted(shell, record);
  } catch (error) {
    say(adviceAfter(error));
  } finally {
    isSending = false;
    share = null;
    show();
  }
}

function accepted(shell, record) {
  const there = address("study", record.site, record.study_uid, record.id);
  if (form !== null) shell.go(there);
  else shell.say("The film that was sent is accepted.", { action: { text: "Open it", run: () => shell.go(there) } });
}

/** Return what is said of the film besides its bytes, or null where something of it cannot be. */
function claims() {
  const { stat, age } = form;
  const common = { priority: stat.checked ? "stat" : "routine", wait: String(WAIT_SECONDS) };
  if (chosen.format.name === "DICOM") return common;
  if (!age.checkValidity()) {
    say("The age has to be a number of years from 0 to 120, or empty.");
    age.focus();
    return null;
  }
  return { ...common, ...claimsFields(form) };
}

/** The next film may be another patient's: nothing that was said of this one stays. */
function startOver() {
  chosen = null;
  form?.root.reset();
  say("");
}

function adviceAfter(error) {
  if (error instanceof Unreachable) {
    return `${error.message} It may have the film or not. Send it again: the same film twice is still one.`;
  }
  if (!(error instanceof Problem)) throw error;
  const wait = error.retryAfterSeconds;
  return wait === null ? error.message : `${error.message} Send it again in ${wait} s.`;
}

function say(text) {
  message = text;
  show();
}

function show() {
  form?.show({ chosen, isSending, share, message });
}
