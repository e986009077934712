// What a film's record says beside its outcome: whose model, whose policy, when, how long. Its earlier decisions.

import { element } from "./elements.js";
import { OUTCOMES, duration, moment, percent } from "./words.js";

/**
 * Return the facts of a film; its id comes last, for whoever asks an operator.
 * @param {object} record
 */
export function factsList(record) {
  const { model, policy, timings_ms: spent } = record;
  const isDone = record.state === "done";
  const pairs = [
    ["Model", model === null ? "none looked at it" : `${model.name} ${model.version}`],
    ["Digest", model === null ? null : element("code", { title: model.digest }, model.digest.slice(0, 12))],
    ["Policy", policy === null ? null : policyWords(policy)],
    ["Submitted", time(record.submitted_at)],
    ["Done", isDone ? time(record.done_at) : null],
    ["Until the outcome", isDone ? spentWords(spent) : null],
    ["Attempts", record.attempts > 1 ? String(record.attempts) : null],
    ["Priority", record.priority],
    ["Site", record.site],
    ["Study", element("code", {}, record.study_uid)],
    ["Film", element("code", {}, record.id)],
  ];
  const shown = pairs.filter(([, value]) => value !== null);
  const list = shown.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
  return element("dl", { class: "facts" }, ...list);
}

function policyWords({ name, version, site }) {
  return version === 0 ? `${name}, the model's own` : `${name}, version ${version} of ${site}`;
}

function time(text) {
  return element("time", { datetime: text, title: text }, moment(text));
}

function spentWords({ queue, decode, inference, total }) {
  const stages = [
    ["waiting", queue],
    ["decoding", decode],
    ["scoring", inference],
  ].filter(([, spent]) => spent !== null);
  const parts = stages.map(([name, spent]) => `${name} ${duration(spent)}`);
  return parts.length === 0 ? duration(total) : `${duration(total)} (${parts.join(", ")})`;
}

/**
 * Return what a film was before it was decided anew, newest first.
 * @param {object[]} decisions oldest first
 */
export function decisionsTable(decisions) {
  const rows = [...decisions].reverse().map((past) =>
    element(
      "tr",
      {},
      element("td", {}, time(past.done_at)),
      element("td", {}, OUTCOMES[past.outcome].name, past.reason === null ? null : ` (${past.reason})`),
      element("td", { class: "number" }, past.probability === null ? "–" : percent(past.probability)),
      element("td", { class: "number" }, past.threshold === null ? "–" : percent(past.threshold)),
      element("td", {}, past.model === null ? "–" : `${past.model.name} ${past.model.version}`),
    ),
  );
  const heads = ["Done", "Outcome", "Probability", "Threshold", "Model"];
  return element(
    "details",
    { class: "decisions" },
    element("summary", {}, `Earlier decisions (${decisions.length})`),
    element(
      "div",
      { class: "scroll-x", tabindex: "0", role: "group", "aria-label": "Earlier decisions" },
      element(
        "table",
        {},
        element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
        element("tbody", {}, ...rows),
      ),
    ),
  );
}
