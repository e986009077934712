// What readers found, as panels: figures with their intervals, and the sentences that say what they rest on. Told what the
// service counted; computes nothing itself.

import { element } from "./elements.js";
import { interval, share } from "./estimates.js";
import { address } from "./router.js";
import { percent } from "./words.js";

const FIGURES = [
  ["Sensitivity", "sensitivity", "of the studies with a finding, this share was flagged"],
  ["Specificity", "specificity", "of the studies without one, this share was not flagged"],
  ["PPV", "ppv", "of the flagged studies, this share has a finding"],
  ["NPV", "npv", "of the studies not flagged, this share has none"],
];
// As the service asks for them before it prints a figure.
const NEEDED = {
  sensitivity: "30 flagged studies with their truth, 100 blind readings of others, and 10 findings among all of them",
  specificity: "30 flagged studies with their truth, 100 blind readings of others, and 10 without a finding among all",
  ppv: "30 flagged studies with their truth",
  npv: "100 blind readings of studies that were not flagged",
};

/** Return how many studies wait to be read without the outcome shown. */
export function blindPanel({ share: drawn, waiting }) {
  const title = element("h2", { id: "blind-title" }, "To be read blind");
  const many = waiting === 1 ? "1 study waits" : `${waiting} studies wait`;
  const said =
    drawn === 0
      ? "No studies are drawn: the operator has set the share to 0, and so sensitivity and NPV cannot be known."
      : `${percent(drawn)} of all studies are drawn to be read without the outcome shown. Only they can tell what is missed.`;
  const link = element("a", { href: address("worklist") }, "In the worklist, “Blind readings” (key b) lists them");
  return element(
    "section",
    { class: "panel blind", "aria-labelledby": "blind-title" },
    title,
    element("p", {}, element("b", { id: "blind-waiting" }, many), ". ", said),
    waiting > 0 ? element("p", {}, link) : null,
  );
}

/** Return the four figures over all that was decided in the time asked for. */
export function overallPanel(figures) {
  return element(
    "section",
    { class: "panel", "aria-labelledby": "overall-title" },
    element("h2", { id: "overall-title" }, "All together"),
    element("p", { class: "note" }, countsOf(figures)),
    element("dl", { class: "gauges" }, ...FIGURES.map((figure) => local(figure, figures))),
  );
}

function local([name, key, meaning], figures) {
  const estimate = figures[key];
  const isKnown = estimate.value !== null;
  return element(
    "div",
    { class: isKnown ? "gauge" : "gauge unknown" },
    element("dt", {}, name),
    element("dd", { class: "figure" }, isKnown ? share(estimate.value) : (estimate.note ?? "n too small")),
    element(
      "dd",
      { class: "interval" },
      isKnown ? `${interval(estimate, share)} (${estimate.n} readings)` : `${estimate.n} readings`,
    ),
    element("dd", { class: "footing" }, isKnown ? meaning : `It takes ${NEEDED[key]}.`),
  );
}

function countsOf({ studies, flagged, not_flagged: others, outdated }) {
  const parts = [
    `${studies.flagged} flagged, of which ${flagged.with_truth} have their truth (${flagged.finding} with a finding)`,
    `${studies.not_flagged} not flagged, of which ${others.drawn} were drawn and ${others.with_truth} read blind (${others.finding} with a finding)`,
    `${studies.not_assessed} not assessed: read by people alone, and in no figure here`,
  ];
  if (others.volunteered > 0)
    parts.push(
      `${others.volunteered} more not flagged were assessed without being drawn: counted, not weighed, because nobody chose them by lot`,
    );
  if (outdated > 0) parts.push(`${outdated} assessed studies have got or lost films since, and count no more`);
  return `${parts.join("; ")}.`;
}

/** Return the same figures for each model and policy, as a table. */
export function groupsPanel(groups) {
  const title = element("h2", { id: "groups-title" }, "By model and policy");
  const panel = element("section", { class: "panel groups", "aria-labelledby": "groups-title" }, title);
  if (groups.length === 0) {
    panel.append(element("p", { class: "note" }, "No study was decided in this time."));
    return panel;
  }
  const names = [
    "Site",
    "Model",
    "Policy",
    "Decided",
    "Flagged",
    "Not flagged",
    "With truth",
    ...FIGURES.map(([name]) => name),
  ];
  const head = element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...groups.map(line)));
  panel.append(
    element(
      "div",
      { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Table by model and policy" },
      table,
    ),
  );
  return panel;
}

function line(group) {
  const { model, policy, studies, flagged, not_flagged: others } = group;
  const span = group.first_day === group.last_day ? group.first_day : `${group.first_day} to ${group.last_day}`;
  const cells = [
    model === null ? "several" : `${model.name} ${model.version}`,
    policy === null ? "several" : `${policy.name}, version ${policy.version}`,
    span ?? "–",
    String(studies.flagged),
    String(studies.not_flagged),
    String(flagged.with_truth + others.with_truth),
  ];
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, group.site),
    ...cells.map((text) => element("td", {}, text)),
    ...FIGURES.map(([, key]) => inLine(group[key])),
  );
}

/** Return a figure with its interval below it, so that four of them fit beside each other. */
function inLine(estimate) {
  if (estimate.value === null) return element("td", {}, estimate.note ?? "n too small");
  return element("td", {}, share(estimate.value), element("span", { class: "interval" }, interval(estimate, share)));
}

/** Return how the figures come about, in words. */
export function trustPanel() {
  return element(
    "section",
    { class: "panel prose", "aria-labelledby": "how-title" },
    element("h2", { id: "how-title" }, "How these figures come about"),
    element(
      "p",
      {},
      "Flagged studies whose truth is known stand for all that were flagged: where only the striking ones get a truth, PPV and sensitivity look better than they are. Of the others, lots decide which are read without the outcome shown; each is weighed by how likely it was to be drawn, and together they stand for all that were not flagged.",
    ),
    element(
      "p",
      {},
      "What a reader says unasked of a study that was not flagged is counted and not weighed: whoever speaks up about one has mostly found something.",
    ),
    element("p", {}, "Intervals are 95 %. A figure that would rest on too few readings is not printed at all."),
  );
}
