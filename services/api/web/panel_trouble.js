// What a panel shows instead of itself while the service refuses or is silent; and when it looks again by itself.

import { element } from "./elements.js";
import { Problem, Unreachable } from "./service.js";

const SILENT_TICKS = 5;
const ADVICE = {
  401: "Sign in with a key above.",
  403: "Choose another site, or ask for a key that is for this one.",
};

/**
 * Say what is wrong, and look again once that may help: after signing in, or when the service is back.
 * @param {{place: HTMLElement, shell: object, leaving: (function(): void)[]}} view
 * @param {string} title of the view
 * @param {Error} error
 * @param {function(): void} again
 */
export function showTrouble({ place, shell, leaving }, title, error, again) {
  if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
  leaving.push(shell.tick(watch(shell, error, again)));
  const text = `${title} cannot be shown. ${error.message} ${ADVICE[error.status] ?? ""}`.trim();
  if (place.querySelector(".notice")?.textContent === text) return; // not read out again at each try
  const button = element("button", { type: "button" }, "Look again");
  button.addEventListener("click", again);
  place.replaceChildren(
    element("h1", {}, title),
    element("p", { class: "notice", role: "alert" }, text),
    element("p", {}, button),
  );
}

function watch(shell, error, again) {
  let ticks = 0;
  return () => {
    ticks += 1;
    const isSignedIn = error.status === 401 && shell.session() !== null;
    const isDue = error instanceof Unreachable && ticks % SILENT_TICKS === 0;
    if (isSignedIn || isDue) again();
  };
}

const SAVING_ADVICE = {
  unauthenticated: "The session has ended. Sign in again; what you chose stays here.",
  model_not_known: "No worker serves this model, and none is about to: choose another model above.",
};

/** Return what to say after a save that failed; an error that is no answer of the service is thrown on. */
export function adviceAfterSaving(error) {
  if (error instanceof Unreachable) {
    return `${error.message} It may have saved the version or not. Save again: the same twice is one version.`;
  }
  if (!(error instanceof Problem)) throw error;
  if (error.status === 401) return SAVING_ADVICE.unauthenticated;
  const wait = error.retryAfterSeconds;
  const said = `Nothing was saved. ${SAVING_ADVICE[error.code] ?? error.message}`;
  return wait === null ? said : `${said} Try again in ${wait} s.`;
}
