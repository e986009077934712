// What became of a film: outcome, probability beside its threshold, or the reason and what to do. Probability stands
// only beside flagged and not flagged.

import { adviceFor } from "./advice.js";
import { bar, element } from "./elements.js";
import { OUTCOMES, digitsToTell, percent } from "./words.js";

/**
 * Return what to say of a film's outcome.
 * @param {object} record
 */
export function outcomeCard(record) {
  const outcome = record.outcome ?? "pending";
  const { name, advice } = OUTCOMES[outcome];
  const isTakenBack = record.reason === "withdrawn";
  const title = isTakenBack ? "Withdrawn" : name;
  return element("div", { class: `outcome ${outcome}` }, element("strong", {}, title), adviceOf(record, advice));
}

function adviceOf(record, advice) {
  if (record.reason === "withdrawn") return "Taken back by its sender; it counts for nothing in its study any more.";
  return record.state === "running" ? "A worker looks at it." : advice;
}

/**
 * Return why nobody judged the film, and what to do about it.
 * @param {object} record one with a reason
 * @param {string} meaning the service's own words for the reason
 */
export function reasonCard(record, meaning) {
  const steps = adviceFor(record.reason).map((step) => element("li", {}, step));
  return element(
    "div",
    { class: "reason" },
    element("p", {}, meaning, " ", element("code", {}, record.reason)),
    element("h2", {}, "What to do"),
    element("ol", {}, ...steps),
  );
}

/**
 * Return the probability with its threshold on one track, and by whose policy.
 * @param {object} record a scored one
 * @param {object|null} model what the service says of it while somebody serves it
 */
export function probabilityCard(record, model) {
  const { probability, threshold, policy } = record;
  const digits = digitsToTell(probability, threshold);
  const side = record.outcome === "flagged" ? "at or above" : "below";
  return element(
    "div",
    { class: "probability" },
    element("h2", {}, "Probability ", element("b", {}, percent(probability, digits))),
    scale(probability, threshold),
    element(
      "p",
      {},
      `It is ${side} the threshold of ${percent(threshold, digits)}, operating point `,
      element("code", {}, policy.name),
      policy.version === 0 ? ", the model's own." : `, version ${policy.version} of the policy of ${policy.site}.`,
    ),
    element("p", { class: "note" }, ruleOf(model)),
  );
}

function scale(probability, threshold) {
  const label = element("span", { class: "threshold-label", "aria-hidden": "true" }, "threshold");
  label.style.left = `${100 * threshold}%`;
  label.classList.toggle("at-end", threshold > 0.5);
  const ends = element("span", { class: "scale-ends", "aria-hidden": "true" });
  ends.append(element("span", {}, "0 %"), element("span", {}, "100 %"));
  return element("div", { class: "scale" }, label, bar(probability, threshold), ends);
}

function ruleOf(model) {
  if (model === null) return "A number of a model, not of a reader."; // which rule it followed is not known
  return model.probability_rule === "any_of_findings"
    ? "That at least one of the findings below is there; it follows from theirs, and is calibrated."
    : "That there is any finding, calibrated. A number of a model, not of a reader.";
}
