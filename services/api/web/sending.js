// Sends one film: chosen or dropped, with what its sender knows of it. No file name is shown or sent: it may be a
// patient's.

import { byId } from "./elements.js";
import { formatOf } from "./formats.js";
import { Problem, Unreachable, submit } from "./service.js";

const WAIT_SECONDS = 1; // most films are done by then; the others are followed

const NOTHING_CHOSEN = byId("chosen").textContent;

let chosen = null;
let isSending = false; // until it is known what became of a film, no other one takes its place

/**
 * Make the form work.
 * @param {function(object): void} onAccepted is given the record of each film that was accepted
 */
export function startSending(onAccepted) {
  const drop = byId("drop");
  byId("file").addEventListener("change", (event) => choose([...event.target.files]));
  for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (event) => hover(event, true));
  drop.addEventListener("dragleave", (event) => hover(event, false));
  drop.addEventListener("drop", (event) => {
    hover(event, false);
    choose([...event.dataTransfer.files]);
  });
  // A film that is dropped beside the zone must not replace the page.
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
  byId("send").addEventListener("submit", (event) => {
    event.preventDefault();
    send(onAccepted);
  });
}

function hover(event, isOver) {
  event.preventDefault();
  byId("drop").classList.toggle("over", isOver);
}

async function choose(files) {
  if (files.length === 0 || isSending) return;
  if (files.length > 1) {
    say("One film at a time. Whole folders: cxr-triage submit.");
    return;
  }
  const [file] = files;
  const format = await readFormat(file);
  if (format === null || isSending) return;
  chosen = { file, format };
  const isDicom = format.name === "DICOM";
  const size = `${Math.ceil(file.size / 1024)} KiB`;
  byId("chosen").textContent = isDicom ? `DICOM, ${size}; it says itself what is below` : `${format.name}, ${size}`;
  byId("claims").disabled = isDicom;
  byId("submit").disabled = false;
  say("");
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

async function send(onAccepted) {
  if (chosen === null || isSending) return;
  const age = byId("age");
  if (!byId("claims").disabled && !age.checkValidity()) {
    say("The age has to be a number of years from 0 to 120, or empty.");
    age.focus();
    return;
  }
  setSending(true);
  say("Sending …");
  try {
    const { file, format } = chosen;
    const told = parameters();
    if ((await readFormat(file)) === null) return;
    const record = await submit(file, format.mediaType, told);
    startOver();
    onAccepted(record);
  } catch (error) {
    say(adviceAfter(error));
  } finally {
    setSending(false);
  }
}

function setSending(value) {
  isSending = value;
  byId("file").disabled = value;
  byId("submit").disabled = value || chosen === null;
}

/** The next film may be another patient's: nothing that was said of this one stays. */
function startOver() {
  chosen = null;
  byId("send").reset();
  byId("claims").disabled = false;
  byId("chosen").textContent = NOTHING_CHOSEN;
  say("");
}

function parameters() {
  const priority = byId("stat").checked ? "stat" : "routine";
  const wait = String(WAIT_SECONDS);
  if (byId("claims").disabled) return { priority, wait };
  return { priority, wait, view: byId("view").value, age: byId("age").value, sex: byId("sex").value };
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
  byId("send-message").textContent = text;
}
