// A film's findings as bars, most probable first. They inform; only the film's own probability has a threshold.

import { bar, element } from "./elements.js";
import { percent } from "./words.js";

/**
 * Return the findings as a table.
 * @param {{label: string, probability: number}[]} findings
 */
export function findingsTable(findings) {
  const sorted = [...findings].sort((one, other) => other.probability - one.probability);
  const rows = sorted.map(({ label, probability }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, readable(label)),
      element("td", { class: "track" }, bar(probability)),
      element("td", { class: "number" }, percent(probability)),
    ),
  );
  return element(
    "table",
    { class: "findings" },
    element("caption", {}, "Findings, most probable first; not calibrated, and without thresholds of their own"),
    element("tbody", {}, ...rows),
  );
}

/** NIH writes Pleural_Thickening. */
function readable(label) {
  return label.replaceAll("_", " ");
}
