// What is shown where two people save a site's policy at once: both versions, side by side.

import { element } from "./elements.js";
import { policiesTable } from "./explorer_history.js";
import { moment } from "./words.js";

/**
 * Return the version that a body of `PUT` became, or null where it became none.
 * @param {object[]} history newest first
 * @param {object|null} tried the body
 * @param {number} since only versions after this one
 */
export function ownIn(history, tried, since = 0) {
  if (tried === null) return null;
  const isOwn = ({ version, model, threshold, name, prevalence }) =>
    version > since &&
    tried.model_digest === model.digest &&
    tried.threshold === threshold &&
    tried.name === name &&
    tried.prevalence === prevalence;
  return history.find(isOwn) ?? null;
}

/**
 * Return what says that somebody saved since the reader looked, and what.
 * @param {object} told
 * @param {object|null} told.before the latest version that the reader saw
 * @param {object} told.latest the one that is the latest now
 * @param {object|null} told.own the version that the reader's own save became, whose answer was lost
 * @param {object} told.mine what is chosen at the moment, as a policy
 * @param {function(): void} told.onTake called once the reader goes on from the latest
 */
export function conflictParts({ before, latest, own, mine, onTake }) {
  const rows = [
    ["the latest when you looked", before],
    [`version ${latest.version}, saved meanwhile`, latest],
    [own === null ? "what you chose, not saved" : `what you chose; yours was version ${own.version}`, mine],
  ];
  const take = element("button", { type: "button", class: "quiet" }, `Go on from version ${latest.version}`);
  take.addEventListener("click", onTake);
  return [
    element("p", {}, element("strong", {}, said(latest, own))),
    element(
      "div",
      { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Table of both versions" },
      policiesTable(rows),
    ),
    element(
      "p",
      { class: "note" },
      "Your choice stays on the slider. If it still is the better one, it becomes the version after theirs.",
    ),
    element("p", { class: "line" }, take),
  ];
}

function said({ version, by, at }, own) {
  const who = by === null ? "Somebody" : `Key ${by}`;
  const when = `${who} saved version ${version} on ${moment(at)}`;
  if (own === null) return `${when}, after you had opened this page. Nothing was overwritten, and yours is not saved.`;
  return `Yours was saved as version ${own.version}, and the answer was lost. ${when}, after it: nothing was overwritten, and both are in the history.`;
}
