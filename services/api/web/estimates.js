// How figures with intervals are written. A figure without its interval is never shown, unless nothing was estimated.

import { element } from "./elements.js";
import { percent } from "./words.js";

const WHOLE = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

/** Return a share in percent, "–" where there is none. */
export function share(value) {
  return value === null ? "–" : percent(value);
}

/** Return a number of films: with one digit where few, never 0 where it is more, "no limit" where none is known. */
export function count(value) {
  if (value === null) return "–";
  if (!Number.isFinite(value)) return "no limit";
  if (value > 0 && value < 0.05) return "< 0.1";
  return value < 9.95 ? value.toFixed(1) : WHOLE.format(value);
}

/** Return a score such as F3. */
export function score(value) {
  return value === null ? "–" : value.toFixed(3);
}

/** Return a threshold with the digits that tell it from its neighbours. */
export function thresholdText(value) {
  if (value === 0 || value === 1) return String(value);
  if (value < 0.00005) return "< 0.0001";
  return value >= 0.99995 ? "> 0.9999" : value.toFixed(4);
}

/**
 * Return an interval in words: `89.2 % to 98.3 %`.
 * @param {{value: number|null, low: number, high: number}} estimate
 * @param {function(number|null): string} write
 */
export function interval({ value, low, high }, write) {
  if (value === null) return "no films to tell it from";
  return low === high ? "by construction" : `${write(low)} to ${write(high)}`;
}

/** Return an estimate with its interval in brackets, the estimate in bold. */
export function estimateText(estimate, write) {
  const said = element("b", {}, write(estimate.value));
  return [said, ` (${interval(estimate, write)})`];
}

/** Return a large figure with its name, interval and footing. */
export function gauge(name, estimate, write, footing) {
  return element(
    "div",
    { class: "gauge" },
    element("dt", {}, name),
    element("dd", { class: "figure" }, write(estimate.value)),
    element("dd", { class: "interval" }, interval(estimate, write)),
    element("dd", { class: "footing" }, footing),
  );
}
