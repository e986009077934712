// What can be done with a film: its results as DICOM files, taking it back, having it scored again. What cannot be
// undone is asked for once more.

import { afterRefusal } from "./advice.js";
import { element } from "./elements.js";
import { Problem, Unreachable } from "./service.js";
import { dicomFile, rescore, withdraw } from "./study_service.js";
import { shortStudy } from "./words.js";

const FILES = [
  ["report", "Report (DICOM SR)"],
  ["overlay", "Overlay (DICOM)"],
];

/**
 * Return the buttons of a film, of those that this reader may press.
 * @param {object} record
 * @param {string[]} roles
 * @param {object} told
 * @param {function(string): void} told.onDone is told what was done, where it changes the film
 * @param {AbortSignal} told.unless the view is left: what is asked then is asked of nobody
 */
export function filmActs(record, roles, { onDone, unless }) {
  const message = element("p", { class: "message", role: "alert" });
  const say = (text) => {
    message.textContent = text;
  };
  const files = FILES.filter(([name]) => record.links[name] !== null).map(([name, text]) =>
    act(text, () => save(record.links[name], `${name}-${record.id.slice(0, 12)}.dcm`), say),
  );
  const orders = ordersOf(record, roles).map((order) => orderButton(order, record, { say, onDone, unless }));
  const without =
    record.sop_instance_uid === null && record.state === "done"
      ? element("p", { class: "note" }, "No DICOM files: the film came as PNG or JPEG, of no archive's study.")
      : null;
  const parts = [...files, ...orders];
  return [without, parts.length === 0 ? null : element("div", { class: "acts" }, ...parts), message];
}

function ordersOf(record, roles) {
  const may = (role) => roles.includes(role) || roles.includes("admin");
  const isWithdrawn = record.reason === "withdrawn";
  return [
    may("admin") && record.state === "done" && !isWithdrawn ? RESCORE : null,
    may("submit") && !isWithdrawn ? WITHDRAW : null,
  ].filter((order) => order !== null);
}

const WITHDRAW = {
  text: "Withdraw …",
  question: "Withdraw this film?",
  consequence:
    "For the wrong patient, the wrong film, a film that is taken again. It ends as not assessed, leaves its study, " +
    "and stays withdrawn: sending it again does not bring it back. Nothing is erased, and archives that have its " +
    "report are told.",
  yes: "Withdraw the film",
  run: withdraw,
  done: "The film is withdrawn.",
  isAlarming: true,
};
const RESCORE = {
  text: "Score again …",
  question: "Have this film scored again?",
  consequence:
    "By the model and the policy of now. Until then it has no outcome; its study keeps its place. What it was stays " +
    "in its earlier decisions.",
  yes: "Score it again",
  run: rescore,
  done: "The film waits to be scored again.",
  isAlarming: false,
};

function orderButton(order, record, { say, onDone, unless }) {
  const kind = order.isAlarming ? "quiet alarming" : "quiet";
  const button = element("button", { type: "button", class: kind }, order.text);
  button.addEventListener("click", async () => {
    if (!(await isConfirmed(order, record, unless))) return;
    const trouble = await troubleWith(() => order.run(record.id), "Repeat it: twice is harmless.");
    say(trouble ?? "");
    if (trouble === null) onDone(order.done);
  });
  return button;
}

/** Ask once more. Who presses Enter without reading keeps the film, as does who goes to another study meanwhile. */
function isConfirmed(order, record, unless) {
  return new Promise((resolve) => {
    const no = element("button", { type: "button" }, "Leave it");
    const yes = element("button", { type: "button", class: order.isAlarming ? "alarming" : null }, order.yes);
    const dialog = element(
      "dialog",
      { class: "question", "aria-labelledby": "question-title", "aria-describedby": "question-text" },
      element("h2", { id: "question-title" }, order.question),
      element("p", {}, `Study ${shortStudy(record.study_uid)}, film `, element("code", {}, record.id.slice(0, 12))),
      element("p", { id: "question-text" }, order.consequence),
      element("div", { class: "acts" }, no, yes),
    );
    no.addEventListener("click", () => dialog.close());
    yes.addEventListener("click", () => dialog.close("yes"));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    unless.addEventListener("abort", () => dialog.close(), { once: true });
    document.body.append(dialog);
    dialog.showModal();
    no.focus();
  });
}

function act(text, run, say) {
  const button = element("button", { type: "button", class: "quiet" }, text);
  button.addEventListener("click", async () => {
    button.disabled = true;
    say((await troubleWith(run, "Ask for it again.")) ?? "");
    button.disabled = false;
    if (document.activeElement === document.body) button.focus(); // being disabled took it away
  });
  return button;
}

async function save(link, name) {
  const address = URL.createObjectURL(await dicomFile(link));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Return what the service had against it, or null. */
async function troubleWith(run, afterSilence) {
  try {
    await run();
    return null;
  } catch (error) {
    if (error instanceof Unreachable) return `${error.message} ${afterSilence}`;
    if (!(error instanceof Problem)) throw error;
    return afterRefusal(error);
  }
}
