// What stands beside a film, part by part, and which of it a blind reader does not see yet.

import { element } from "./elements.js";
import { filmActs } from "./film_acts.js";
import { decisionsTable, factsList } from "./film_facts.js";
import { findingsTable } from "./findings.js";
import { readingForm, readingsList } from "./reading.js";
import { Problem, Unreachable } from "./service.js";
import { earlierDecisions, modelOf, reasons } from "./study_service.js";
import { outcomeCard, probabilityCard, reasonCard } from "./verdict.js";

const kept = new Map(); // what the service said of models and reasons; both stay true for as long as the page is open

/**
 * Show what is known of a film.
 * @param {Column} column
 * @param {object} record
 * @param {object} told see study.js
 */
export function showFacts(column, record, told) {
  const { isHidden } = told;
  showReading(column, told);
  column.set("outcome", isHidden ? "hidden" : [record.outcome, record.reason, record.state], () =>
    isHidden ? [blindCard()] : [outcomeCard(record)],
  );
  const shown = isHidden ? null : record;
  column.set("findings", shown?.findings ?? null, () => [findingsTable(record.findings)]);
  column.set("acts", shown && [record.links, record.state, record.reason, told.roles], () =>
    filmActs(record, told.roles, told),
  );
  column.set("facts", shown ?? { id: record.id }, () => [isHidden ? null : factsList(record)]);
  const about = JSON.stringify([record.id, record.done_at, isHidden]);
  const still = () => column.about === about; // an answer that comes late is another film's
  column.about = about;
  if (isHidden) for (const name of ["probability", "reason", "decisions"]) column.set(name, null);
  else {
    showProbability(column, record, told.unless, still);
    showReason(column, record, still);
    showDecisions(column, record, told.unless, still);
  }
}

function blindCard() {
  return element(
    "div",
    { class: "outcome pending" },
    element("strong", {}, "Blind reading"),
    "Say what the study shows before you see what the model said. Studies are drawn by chance, whatever their " +
      "outcome: being drawn says nothing about it.",
  );
}

function showReading(column, { known, isHidden, onReading }) {
  const { study, readings } = known;
  const isOffered = readings?.is_assessable === true && isScored(study);
  const said = isHidden || readings?.assessments;
  const inputs = isOffered ? [study.site, study.study_uid, study.outcome, isHidden, said] : null;
  column.set("reading", inputs, () => [
    element("h2", {}, "Your reading of the study"),
    ...readingParts(study, readings, isHidden, onReading),
  ]);
}

/** Return whether a study has an outcome that a reader can agree or disagree with. */
export function isScored({ outcome }) {
  return outcome === "flagged" || outcome === "not_flagged";
}

function readingParts(study, readings, isHidden, onReading) {
  const form = readingForm(study, isHidden, onReading);
  if (isHidden || readings.assessments.length === 0) return [form];
  const again = element("details", { class: "reading-again" }, element("summary", {}, "Say something else"), form);
  return [readingsList(readings), again];
}

async function showProbability(column, record, unless, still) {
  if (record.probability === null) {
    column.set("probability", null);
    return;
  }
  const draw = (model) => {
    const { probability, threshold, policy } = record;
    column.set("probability", [probability, threshold, policy, model?.probability_rule ?? null], () => [
      probabilityCard(record, model),
    ]);
  };
  draw(kept.get(record.model.digest) ?? null);
  const model = await remembered(record.model.digest, () => modelOf(record.model.digest, unless));
  if (still()) draw(model);
}

async function showReason(column, record, still) {
  if (record.reason === null) {
    column.set("reason", null);
    return;
  }
  const draw = (meanings) => {
    const meaning = meanings?.[record.reason] ?? "";
    column.set("reason", [record.reason, meaning], () => [reasonCard(record, meaning)]);
  };
  draw(kept.get("reasons") ?? null);
  const meanings = await remembered("reasons", reasons);
  if (still()) draw(meanings);
}

async function showDecisions(column, record, unless, still) {
  const name = `decisions ${record.id} ${record.done_at}`;
  if (!kept.has(name)) column.set("decisions", null);
  const decisions = await remembered(name, () => earlierDecisions(record.id, unless));
  if (!still()) return;
  const isAny = decisions !== null && decisions.length > 0;
  column.set("decisions", isAny ? decisions : null, () => [decisionsTable(decisions)]);
}

/** Return what was said before, or what the service says now; null where it cannot say, to be asked again. */
async function remembered(name, ask) {
  if (kept.has(name)) return kept.get(name);
  try {
    const said = await ask();
    if (said !== null) kept.set(name, said);
    return said;
  } catch (error) {
    if (error instanceof Problem || error instanceof Unreachable) return null;
    throw error;
  }
}
