// Where the explorer shows what a threshold does: gauges, sentences, the table of all figures, and drawings.

import { element } from "./elements.js";
import { consequences, flagEverythingF3, impliedCosts, indexAt, rowsOf } from "./explorer_arithmetic.js";
import { againstEverything, comparison, costSentence, footing, gauges, sentences } from "./explorer_figures.js";
import { curvesPlot } from "./explorer_plots.js";

/**
 * Return the places of figures, sentences and drawings: `gauges`, `words` and `drawings`, for `fill`.
 * @param {object} table the operating table that all of it rests on
 * @param {number} floor the sensitivity below which saving takes a reason
 */
export function boardOf(table, floor) {
  const part = (name) => element("div", { class: `prose ${name}` });
  const figures = element("tbody", {});
  const names = ["Per threshold", "Estimate", "95 % interval", "In force"];
  const head = element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)));
  const [does, against, cost] = [part("does"), part("against"), part("cost")];
  const details = element(
    "details",
    {},
    element("summary", {}, "All figures, beside those in force"),
    element(
      "div",
      { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Table of all figures" },
      element("table", {}, element("thead", {}, head), figures),
    ),
  );
  const words = element(
    "section",
    { class: "panel words", "aria-labelledby": "words-title" },
    element("h2", { id: "words-title" }, "What it would do"),
    does,
    element("h3", {}, "Against flagging everything"),
    against,
    element("h3", {}, "What it says a miss is worth"),
    cost,
    details,
    element("h3", {}, "How far to trust this"),
    element("div", { class: "prose footing" }, ...footing(table)),
  );
  const gaugesPlace = element("dl", { class: "gauges", id: "gauges" });
  const drawings = element("section", { class: "panel drawings", "aria-label": "Drawings" });
  return {
    gauges: gaugesPlace,
    words,
    does,
    against,
    cost,
    figures,
    drawings,
    plots: [],
    drawnFor: null,
    table,
    floor,
  };
}

/**
 * Show what a threshold does; return it as `consequences` does.
 * @param {object} board of `boardOf`
 * @param {{threshold: number, prevalence: number}} read
 * @param {number|null} thresholdInForce null where another model, or nothing, decides at the moment
 */
export function fill(board, { threshold, prevalence }, thresholdInForce) {
  const { table, floor } = board;
  const found = consequences(table, threshold, prevalence);
  const rows = rowsOf(table);
  board.gauges.replaceChildren(...gauges(found, rows[indexAt(rows, threshold)], table, floor));
  board.does.replaceChildren(...sentences(found, prevalence));
  board.against.replaceChildren(...againstEverything(found, prevalence));
  board.cost.replaceChildren(costSentence(impliedCosts(table, threshold, prevalence)));
  const now = thresholdInForce === null ? null : consequences(table, thresholdInForce, prevalence);
  board.figures.replaceChildren(...comparison(found, now));
  draw(board, prevalence);
  board.plots.forEach((plot) => plot.move(threshold, thresholdInForce));
  return found;
}

const SHARES = { ticks: [0, 0.25, 0.5, 0.75, 1], most: 1, write: (tick) => `${100 * tick} %` };

/** Draw the curves anew where the prevalence has changed; else only their markers move. */
function draw(board, prevalence) {
  const { table, floor } = board;
  if (board.drawnFor === prevalence) return;
  board.drawnFor = prevalence;
  const all = rowsOf(table).map(({ threshold }) => ({ threshold, found: consequences(table, threshold, prevalence) }));
  const curve = (key) => ({ kind: key, rows: all.map(({ threshold, found }) => ({ threshold, ...found[key] })) });
  const trade = curvesPlot(
    "Sensitivity and specificity over the threshold",
    [curve("specificity"), curve("sensitivity")],
    { ...SHARES, level: floor },
  );
  const level = flagEverythingF3(prevalence);
  const f3 = curvesPlot("F3 over the threshold, with that of flagging everything", [curve("f3")], {
    ...SHARES,
    level,
    write: String,
  });
  board.plots = [trade, f3];
  board.drawings.replaceChildren(
    figure(
      "Sensitivity (unbroken) and specificity (dotted) over the threshold, with their 95 % intervals. Level line: the floor " +
        "of the sensitivity. Upright lines: unbroken the chosen threshold, broken the one in force.",
      trade,
    ),
    figure("F3 over the threshold at this prevalence. The level line is the F3 of flagging everything.", f3),
  );
}

function figure(caption, { drawing }) {
  return element("figure", { class: "plot" }, drawing, element("figcaption", {}, caption));
}
