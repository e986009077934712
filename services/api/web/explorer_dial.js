// What the reader turns: the slider over the operating table, the threshold as a number, the named points, the prevalence.

import { element } from "./elements.js";
import { thresholdText } from "./estimates.js";
import { indexAt, roundThreshold } from "./explorer_arithmetic.js";
import { percent } from "./words.js";

/**
 * Return the panel, and `say(text)`, which has the slider tell where it stands.
 * @param {object} told
 * @param {object[]} told.rows as `rowsOf` returns them: one step of the slider each
 * @param {{name: string, threshold: number}[]} told.points named ones
 * @param {{threshold: number, prevalence: number}} told.start
 * @param {function({threshold: number|null, prevalence: number|null}): void} told.onTurn null where no number is written
 */
export function dialPanel({ rows, points, start, onTurn }) {
  const slider = element("input", { id: "threshold-slider", type: "range", min: 0, max: rows.length - 1, step: 1 });
  const number = element("input", {
    id: "threshold",
    type: "number",
    min: 0,
    max: 1,
    step: "any",
    required: true,
    inputmode: "decimal",
  });
  const percents = element("input", {
    id: "prevalence",
    type: "number",
    min: 0.1,
    max: 99.9,
    step: "any",
    required: true,
    inputmode: "decimal",
  });
  const message = element("p", { class: "message", id: "dial-message", role: "alert" });
  const chips = element("p", { class: "chips" }, "Named points:");
  const evidence = element("p", { class: "note", id: "point-evidence" });
  let last = start; // what the figures below are those of
  const turn = () => {
    const read = { threshold: readOf(number, 1), prevalence: readOf(percents, 100) };
    const trouble = troubleIn(read);
    if (trouble === "") last = read;
    message.textContent = trouble && `${trouble} The figures below are still those of ${wordsOf(last)}.`;
    mark(chips, read.threshold);
    evidence.textContent = evidenceOf(points, read.threshold);
    onTurn(read);
  };
  const put = (threshold) => {
    number.value = String(threshold);
    slider.value = String(indexAt(rows, threshold));
    turn();
  };
  slider.addEventListener("input", () => {
    const { threshold } = rows[Number(slider.value)];
    const isNamed = [start, ...points].some((point) => point.threshold === threshold);
    number.value = String(isNamed ? threshold : roundThreshold(rows, Number(slider.value)));
    turn();
  });
  number.addEventListener("input", () => {
    const threshold = readOf(number, 1);
    if (threshold !== null) slider.value = String(indexAt(rows, threshold));
    turn();
  });
  percents.addEventListener("input", turn);
  for (const point of points) chips.append(chip(point, put));
  percents.value = String(Number((100 * start.prevalence).toFixed(4)));
  const panel = layOut(slider, number, percents, chips, evidence, message);
  return { panel, begin: () => put(start.threshold), say: (text) => slider.setAttribute("aria-valuetext", text) };
}

/** Return the number that is written in a field, over `unit`; null where there is none that it allows. */
function readOf(field, unit) {
  return field.value !== "" && field.checkValidity() ? Number(field.value) / unit : null;
}

const wordsOf = ({ threshold, prevalence }) =>
  `threshold ${thresholdText(threshold)} and prevalence ${percent(prevalence)}`;

function troubleIn({ threshold, prevalence }) {
  if (threshold === null) return "The threshold has to be a number from 0 to 1.";
  if (prevalence === null) return "The prevalence has to be a percentage from 0.1 to 99.9.";
  return "";
}

function chip({ name, threshold }, put) {
  const button = element(
    "button",
    { type: "button", class: "quiet chip", "data-threshold": threshold, "aria-pressed": "false" },
    name,
  );
  button.title = `threshold ${thresholdText(threshold)}`;
  button.addEventListener("click", () => put(threshold));
  return button;
}

function evidenceOf(points, threshold) {
  const point = points.find((each) => each.threshold === threshold);
  if (point === undefined)
    return "A threshold of your own: nothing certifies it, and the test films below alone speak for it.";
  return `${point.name}: ${point.evidence}.`;
}

function mark(chips, threshold) {
  for (const button of chips.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.threshold) === threshold));
  }
}

function layOut(slider, number, percents, chips, evidence, message) {
  const ends = element(
    "p",
    { class: "ends", "aria-hidden": "true" },
    element("span", {}, "flags everything"),
    element("span", {}, "flags nothing"),
  );
  const field = (label, input, after) =>
    element("p", { class: "field" }, element("label", { for: input.id }, label), input, after);
  return element(
    "section",
    { class: "panel dial", "aria-labelledby": "dial-title" },
    element("h2", { id: "dial-title" }, "Choose a threshold"),
    element("label", { for: slider.id, class: "unseen" }, "Threshold, one step for each test film that changes sides"),
    slider,
    ends,
    element(
      "div",
      { class: "fields" },
      field("Threshold", number, null),
      field("Films with a finding, in percent (prevalence)", percents, null),
    ),
    chips,
    evidence,
    message,
  );
}
