// The worklist as the service orders it, asked for again every few seconds. Polling is the truth: what the service
// cannot say at the moment is never shown as an empty list, but as what was known, with its time.

import { byId, element } from "./elements.js";
import { isOverdue } from "./overdue.js";
import { Problem, Unreachable, models, studies, study as studyOf } from "./service.js";
import { OUTCOMES, clock, moment } from "./words.js";

const EVERY_MS = 3000;
const HIDDEN_EVERY_MS = 15000;
const LOCKED_EVERY_MS = 30000; // who signs in looks at once
const MOST_STUDIES = 200;
const HOUR_MS = 3600 * 1000;

let page = null;
let drawn = ""; // what the table shows: it is made anew only where that has changed, under the reader's hand
let timer = null;
let isAsking = false;
let opened = null; // the study that was chosen last; another one's answer comes too late
let isOutdated = false; // what is being asked for is no longer what the reader wants to see

/**
 * Keep the worklist fresh.
 * @param {object} told
 * @param {function({kind: string, detail: string}): void} told.onState hears after each look how the service fares
 * @param {function(object): void} told.onStudy is given a study that was chosen, with its films
 */
export function startWorklist({ onState, onStudy }) {
  const look = async () => {
    clearTimeout(timer);
    isOutdated = isAsking;
    if (isAsking) return;
    isAsking = true;
    let pause = document.hidden ? HIDDEN_EVERY_MS : EVERY_MS;
    try {
      const state = await refresh(onStudy, onState);
      if (state.kind === "locked") pause = LOCKED_EVERY_MS;
      onState(state);
    } finally {
      isAsking = false;
      timer = setTimeout(look, isOutdated ? 0 : pause);
    }
  };
  byId("since").addEventListener("change", () => {
    if (page !== null) page.tag = null; // another list is wanted; the one that is known stays until it is there
    look();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) look();
  });
  look();
  return look;
}

async function refresh(onStudy, onState) {
  try {
    const known = page;
    const next = await studies({ since: since(), limit: MOST_STUDIES, tag: known?.tag ?? null });
    byId("unserved").hidden = (await models()).length > 0;
    page = { ...(next ?? known), seen: new Date() };
    return { kind: "connected", detail: "" };
  } catch (error) {
    return stateAfter(error);
  } finally {
    if (page !== null) draw(onStudy, onState);
  }
}

function stateAfter(error) {
  const age = page === null ? "" : ` The worklist is that of ${clock(page.seen)}.`;
  if (error instanceof Unreachable) return { kind: "lost", detail: `${error.message}${age} Trying again.` };
  if (!(error instanceof Problem)) throw error;
  if (error.status === 401) {
    const why = page === null ? "A key is needed." : "The session has ended: sign in again.";
    return { kind: "locked", detail: why + age };
  }
  return { kind: "failing", detail: `${error.message}${age} Trying again.` };
}

/** Return the time of the oldest study to list; to the hour, so that the service can say that nothing has changed. */
function since() {
  const hours = byId("since").value;
  if (hours === "") return null;
  return new Date(Math.floor(Date.now() / HOUR_MS - Number(hours)) * HOUR_MS).toISOString();
}

function draw(onStudy, onState) {
  const wanted = JSON.stringify(page.studies.map((line) => [line, isLate(line)]));
  byId("worklist-note").textContent = note();
  if (wanted === drawn) return;
  drawn = wanted;
  const body = byId("worklist").tBodies[0];
  const focused = document.activeElement?.dataset?.study ?? null;
  body.replaceChildren(...page.studies.map((line) => row(line, onStudy, onState)));
  // The row that the reader was on is a new element by now.
  if (focused !== null) body.querySelector(`[data-study="${CSS.escape(focused)}"]`)?.focus();
}

function note() {
  if (page.studies.length === 0) return "No studies in this time.";
  if (page.complete) return "";
  const isShortest = byId("since").selectedIndex === 0;
  const advice = isShortest ? "the service lists them all at /v1/studies." : "choose a shorter time.";
  return `The first ${page.studies.length} are shown. More follow: ${advice}`;
}

function row(line, onStudy, onState) {
  const button = element("button", { type: "button", "data-study": line.links.self }, `…${line.study_uid.slice(-8)}`);
  button.title = line.study_uid;
  button.addEventListener("click", async () => {
    opened = line.links.self;
    try {
      const study = await studyOf(line.links.self);
      if (opened === line.links.self) onStudy(study);
    } catch (error) {
      onState(stateAfter(error));
    }
  });
  const films = `${line.films} film${line.films === 1 ? "" : "s"}`;
  const unread = line.unread > 0 ? `, ${line.unread} unread` : "";
  return element(
    "tr",
    {},
    element(
      "td",
      {},
      element("span", { class: `badge ${line.outcome}` }, OUTCOMES[line.outcome].name),
      line.priority === "stat" ? element("span", { class: "badge stat" }, "Stat") : null,
      isLate(line) ? element("span", { class: "badge overdue" }, "Overdue") : null,
    ),
    element("td", {}, button, element("small", {}, films + unread)),
    element("td", {}, element("time", { datetime: line.submitted_at }, moment(line.submitted_at))),
  );
}

function isLate(line) {
  return isOverdue(line, line.pending > 0);
}
