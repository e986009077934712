// One film: what became of it, why, and what it looks like. Follows a film that is not done yet until it is.
// Must not know how films are sent or listed.

import { bar, byId, element } from "./elements.js";
import { findingsTable } from "./findings.js";
import { isOverdue } from "./overdue.js";
import { pictureFigure } from "./pictures.js";
import { Problem, Unreachable, models, reasons, record as recordOf } from "./service.js";
import { OUTCOMES, digitsToTell, duration, moment, percent } from "./words.js";

const WAIT_SECONDS = 20;
const BREATH_SECONDS = 1; // a proxy that cuts every wait short must not be asked without end
const PAUSE_SECONDS = 3;

// Of the film on the page. Aborted when another is chosen, or the same again: a film is asked after by one call at a
// time, and what nobody wants any more must not hold the few connections that a browser has for a service.
let following = new AbortController();
let meanings = null;

/**
 * Show a film, and go on until it is done.
 * @param {object} record
 * @param {object[]} siblings records of its study, itself among them
 */
export async function showFilm(record, siblings = []) {
  following.abort();
  following = new AbortController();
  const { signal } = following;
  // What was said of another film must not stand there for a moment as if it were said of this one.
  fill(element("p", { class: "note" }, "Loading …"));
  const known = { record, trouble: null, isOver: false };
  await draw(known, siblings, signal);
  if (signal.aborted) return;
  byId("film").focus({ preventScroll: true });
  byId("film").scrollIntoView({ block: "nearest" });
  await follow(known, siblings, signal);
}

async function follow(first, siblings, signal) {
  let known = first;
  let wasLate = isLate(known.record);
  while (known.record.state !== "done" && !known.isOver) {
    const next = await nextOf(known.record, signal);
    if (signal.aborted) return;
    const isNews = next.record.state !== known.record.state || next.trouble !== known.trouble;
    if (isNews || isLate(next.record) !== wasLate) await draw(next, siblings, signal);
    wasLate = isLate(next.record);
    known = next;
    await new Promise((resolve) => setTimeout(resolve, 1000 * next.pauseSeconds));
    if (signal.aborted) return;
  }
}

function isLate(record) {
  return isOverdue(record, record.state !== "done");
}

/**
 * Return the record as it is now; or, where the service cannot say, as it was, what the trouble is, how long to wait
 * before asking again, and whether that `isOver`: a film that is not known any more has no outcome to wait for.
 */
async function nextOf(record, signal) {
  try {
    const latest = await recordOf(record.id, { waitSeconds: WAIT_SECONDS, unless: signal });
    return { record: latest, trouble: null, pauseSeconds: BREATH_SECONDS, isOver: false };
  } catch (error) {
    if (!(error instanceof Unreachable || error instanceof Problem)) throw error;
    const pauseSeconds = error.retryAfterSeconds ?? PAUSE_SECONDS;
    return { record, trouble: error.message, pauseSeconds, isOver: error.status === 404 };
  }
}

function fill(...parts) {
  const section = byId("film");
  const hadFocus = section.contains(document.activeElement);
  section.replaceChildren(element("h2", { id: "film-title" }, "Film"), ...parts);
  if (hadFocus) section.focus({ preventScroll: true }); // what had it is gone
}

async function draw({ record, trouble }, siblings, signal) {
  const model = await modelOf(record);
  const meaning = record.reason === null ? null : await meaningOf(record.reason);
  if (signal.aborted) return;
  const outcome = record.outcome ?? "pending";
  const said = record.state === "running" ? "A worker looks at it." : OUTCOMES[outcome].advice;
  // Read out from a place that stays: what is put in together with its text is not.
  byId("film-status").textContent = `${OUTCOMES[outcome].name}. ${said}`;
  const parts = [
    siblings.length > 1 ? filmChoice(record, siblings) : null,
    element("p", { class: `outcome ${outcome}` }, element("strong", {}, OUTCOMES[outcome].name), ` ${said}`),
    trouble === null ? null : element("p", { class: "notice" }, trouble),
    isLate(record) ? element("p", { class: "notice" }, "Overdue: look at this film yourself.") : null,
    meaning === null ? null : element("p", { class: "reason" }, meaning, " ", element("code", {}, record.reason)),
    record.probability === null ? null : probability(record, model),
    pictures(record, signal),
    record.findings === null ? null : findingsTable(record.findings),
    facts(record),
  ];
  fill(...parts.filter((part) => part !== null));
}

function filmChoice(record, siblings) {
  const buttons = siblings.map((film, index) => {
    const button = element("button", { type: "button", "aria-pressed": String(film.id === record.id) });
    button.append(`Film ${index + 1}: ${OUTCOMES[film.outcome ?? "pending"].name}`);
    button.addEventListener("click", () => showFilm(film, siblings));
    return button;
  });
  return element("div", { class: "choice", role: "group", "aria-label": "Films of this study" }, ...buttons);
}

function probability(record, model) {
  const digits = digitsToTell(record.probability, record.threshold);
  const side = record.outcome === "flagged" ? "at or above" : "below";
  const rule =
    model?.probability_rule === "any_of_findings"
      ? "That at least one of the findings below is there; it follows from theirs, and is calibrated. "
      : "That there is any finding. ";
  return element(
    "div",
    { class: "probability" },
    element("h3", {}, "Probability ", element("b", {}, percent(record.probability, digits))),
    bar(record.probability, record.threshold),
    element(
      "p",
      { class: "note" },
      `${rule}It is ${side} the threshold of ${percent(record.threshold, digits)}, operating point `,
      element("code", {}, record.policy.name),
      ".",
    ),
  );
}

function pictures(record, signal) {
  const { preview, heatmap } = record.links;
  if (preview === null) return null;
  const figures = [pictureFigure(preview, "The film, reduced", "The film, for orientation", signal)];
  if (heatmap !== null) {
    const caption = "What raised the score. It does not show where disease is, nor does a cold place mean anything.";
    figures.push(pictureFigure(heatmap, "The film with the heat map over it", caption, signal));
  }
  return element("div", { class: "pictures" }, ...figures);
}

function facts(record) {
  const { model } = record;
  const pairs = [
    ["Model", model === null ? "none looked at it" : `${model.name} ${model.version}`],
    ["Digest", model === null ? null : element("code", { title: model.digest }, model.digest.slice(0, 12))],
    ["Submitted", element("time", { datetime: record.submitted_at }, moment(record.submitted_at))],
    ["Until the outcome", record.state === "done" ? duration(record.timings_ms.total) : null],
    ["Priority", record.priority],
    ["Site", record.site],
    ["Film", element("code", {}, record.id)],
  ];
  const shownPairs = pairs.filter(([, value]) => value !== null);
  const list = shownPairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
  return element("dl", { class: "facts" }, ...list);
}

/** Return what the service says of the film's model, or null where nobody serves it any more. */
async function modelOf(record) {
  if (record.model === null) return null;
  try {
    return (await models()).find((model) => model.digest === record.model.digest) ?? null;
  } catch (error) {
    if (error instanceof Unreachable || error instanceof Problem) return null;
    throw error;
  }
}

async function meaningOf(reason) {
  try {
    meanings ??= await reasons();
    return meanings[reason] ?? "";
  } catch (error) {
    if (error instanceof Unreachable || error instanceof Problem) return "";
    throw error;
  }
}
