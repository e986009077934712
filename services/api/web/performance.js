// What readers found of a site's decisions: local sensitivity, specificity and predictive values with their intervals, or why
// there is no figure yet. And how many studies wait to be read blind, without which there never will be.

import { element } from "./elements.js";
import { showTrouble } from "./panel_trouble.js";
import { blindPanel, groupsPanel, overallPanel, trustPanel } from "./performance_figures.js";
import { performanceOf, policySites } from "./policies.js";
import { address } from "./router.js";

const TITLE = "Performance";
const ALL_SITES = "";
const DAY_MS = 24 * 3600 * 1000;
const SPANS = [
  ["", "in the last 400 days (all that is kept)"],
  ["30", "in the last 30 days"],
  ["90", "in the last 90 days"],
];

/**
 * Show the performance of a site, or of all sites that the reader sees.
 * @param {HTMLElement} place
 * @param {{parameters: {site: string|null}, shell: object}} told
 * @returns {function(): void} what to do when it is left
 */
export function mount(place, { parameters, shell }) {
  const view = {
    place,
    shell,
    site: parameters.site,
    span: "",
    isLeft: false,
    isAsking: false,
    isOutdated: false,
    leaving: [],
  };
  place.append(element("h1", {}, TITLE), element("p", { class: "note" }, "Looking …"));
  open(view);
  const stop = shell.changed(() => open(view));
  return () => {
    view.isLeft = true;
    [stop, ...view.leaving].forEach((leave) => leave());
  };
}

async function open(view) {
  view.isOutdated = view.isAsking;
  if (view.isAsking) return;
  view.isAsking = true;
  view.leaving.splice(0).forEach((leave) => leave());
  try {
    const since = view.span === "" ? null : firstOfLast(Number(view.span));
    const [sites, found] = await Promise.all([policySites(), performanceOf({ site: view.site, since })]);
    if (!view.isLeft) show(view, sites, found);
  } catch (error) {
    if (!view.isLeft) showTrouble(view, TITLE, error, () => open(view));
  } finally {
    view.isAsking = false;
    if (view.isOutdated && !view.isLeft) open(view);
  }
}

/** Return the first of the last `days` UTC days, today included, as the service writes it. */
function firstOfLast(days) {
  return new Date(Date.now() - (days - 1) * DAY_MS).toISOString().slice(0, 10);
}

function show(view, sites, found) {
  const focused = view.place.contains(document.activeElement) ? document.activeElement.id : "";
  view.place.replaceChildren(
    element("h1", {}, TITLE),
    heading(view, sites, found),
    blindPanel(found.blind),
    overallPanel(found.overall),
    groupsPanel(found.groups),
    trustPanel(),
  );
  // A change made all of it anew, under the reader's hand.
  if (focused !== "") document.getElementById(focused)?.focus();
}

function heading(view, sites) {
  const names = [...new Set([...(view.site === null ? [] : [view.site]), ...sites])].sort();
  const options = [[ALL_SITES, "all sites"], ...names.map((name) => [name, name])];
  const chosen = view.site ?? ALL_SITES;
  const site = element("select", { id: "performance-site" }, ...options.map((option) => choice(option, chosen)));
  site.addEventListener("change", () => view.shell.go(address("performance", site.value || null)));
  const span = element("select", { id: "performance-span" }, ...SPANS.map((option) => choice(option, view.span)));
  span.addEventListener("change", () => ((view.span = span.value), open(view)));
  return element(
    "section",
    { class: "panel heading", "aria-label": "Site and time" },
    element(
      "p",
      { class: "line" },
      element("label", { for: site.id }, "Site"),
      site,
      element("label", { for: span.id }, "Decided"),
      span,
    ),
    element(
      "p",
      { class: "now" },
      "Studies that were decided here, held against what readers found. The test films of the model have no part in it.",
    ),
  );
}

function choice([value, text], chosen) {
  return element("option", { value, selected: value === chosen }, text);
}
