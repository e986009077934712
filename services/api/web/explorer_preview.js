// What the chosen threshold would have decided on the site's own last films. It decides nothing.

import { element } from "./elements.js";
import { thresholdText } from "./estimates.js";
import { histogramPlot } from "./explorer_plots.js";
import { previewOf } from "./policies.js";
import { address } from "./router.js";
import { Problem, Unreachable } from "./service.js";
import { moment, percent, shortStudy } from "./words.js";

const PAUSE_MS = 350; // a slider in motion asks once it rests
const LASTS = [100, 200, 500, 1000];
const DEFAULT_LAST = 200;

/**
 * Return the panel, and what to tell it: `look(threshold, thresholdInForce, digest)` and `leave()`.
 * @param {string} site
 */
export function previewPanel(site) {
  const last = element("select", { id: "preview-last" }, ...LASTS.map(choice));
  const words = element("p", { class: "note", role: "status" }, "Looking at the site's films …");
  const shown = element("div", { class: "preview" });
  const state = { timer: null, asking: null, wanted: null };
  const look = (threshold, thresholdInForce, digest) => {
    state.wanted = { threshold, thresholdInForce, digest };
    clearTimeout(state.timer);
    state.timer = setTimeout(() => ask(site, state, last, words, shown), PAUSE_MS);
  };
  last.addEventListener("change", () => ask(site, state, last, words, shown));
  const panel = element(
    "section",
    { class: "panel", "aria-labelledby": "preview-title" },
    element("h2", { id: "preview-title" }, "On this site's own films"),
    element("p", { class: "line" }, element("label", { for: "preview-last" }, "Of the last"), last, "scored films"),
    words,
    shown,
  );
  const leave = () => (clearTimeout(state.timer), state.asking?.abort());
  return { panel, look, leave };
}

function choice(films) {
  return element("option", { value: films, selected: films === DEFAULT_LAST }, String(films));
}

async function ask(site, state, last, words, shown) {
  if (state.wanted === null) return;
  state.asking?.abort();
  const asking = new AbortController();
  state.asking = asking;
  const { threshold, thresholdInForce, digest } = state.wanted;
  try {
    const asked = { threshold, model_digest: digest, last: Number(last.value) };
    const found = await previewOf(site, asked, asking.signal);
    if (asking.signal.aborted) return;
    words.textContent = summary(found);
    shown.replaceChildren(...(found.films === 0 ? [] : details(found, site, thresholdInForce)));
  } catch (error) {
    if (asking.signal.aborted) return;
    if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
    // What was shown belongs to another threshold: it must not stand under this one.
    shown.replaceChildren();
    words.textContent = `The preview is not to be had: ${error.message} The figures above do not need it. Move the slider to ask again.`;
  }
}

function summary({ films, threshold, flagged_before: before, flagged_after: after, oldest, newest }) {
  if (films === 0) return "No film of this site was scored by this model yet. Send some, and look again.";
  const times = oldest === null ? "" : ` (${moment(oldest)} to ${moment(newest)})`;
  const share = percent(after / films);
  return `Of ${films} films${times}, ${before} were flagged when they were decided; by ${thresholdText(threshold)}, ${after} would be (${share}).`;
}

function details(found, site, thresholdInForce) {
  const label = `Histogram of ${found.films} probabilities, with the chosen threshold and the one in force`;
  const plot = histogramPlot(label, found.histogram);
  plot.move(found.threshold, thresholdInForce);
  const caption = "How many films have which probability. Unbroken line: chosen; broken: in force.";
  return [
    element("figure", { class: "plot" }, plot.drawing, element("figcaption", {}, caption)),
    changed("Would be flagged, and were not", found.newly_flagged, site),
    changed("Were flagged, and would not be", found.no_longer_flagged, site),
  ];
}

function changed(title, { total, films }, site) {
  const rows = films.map((film) =>
    element(
      "tr",
      {},
      element("td", {}, linkOf(film, site)),
      element("td", { class: "number" }, thresholdText(film.probability)),
      element("td", { class: "number" }, thresholdText(film.threshold_before)),
    ),
  );
  const head = ["Study", "Probability", "Threshold then"].map((name) => element("th", { scope: "col" }, name));
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  const more = total > films.length ? element("p", { class: "note" }, `The first ${films.length} of ${total}.`) : null;
  return element(
    "section",
    { class: "changed" },
    element("h3", {}, `${title}: ${total}`),
    total === 0
      ? null
      : element("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": title }, table),
    more,
  );
}

function linkOf(film, site) {
  const place = address("study", site, film.study_uid, film.id);
  return element("a", { href: place, title: film.study_uid }, shortStudy(film.study_uid));
}
