// The threshold explorer: what each threshold would do, before anybody saves it as a site's policy.

import { element } from "./elements.js";
import { count, share, thresholdText } from "./estimates.js";
import { rowsOf } from "./explorer_arithmetic.js";
import { boardOf, fill } from "./explorer_board.js";
import { dialPanel } from "./explorer_dial.js";
import { historyPanel, inForce, inForceText } from "./explorer_history.js";
import { previewPanel } from "./explorer_preview.js";
import { savingPanel } from "./explorer_saving.js";
import { showTrouble } from "./panel_trouble.js";
import { operatingPoints, policiesOf, policySites } from "./policies.js";
import { address } from "./router.js";
import { Problem, Unreachable, models } from "./service.js";

const TITLE = "Threshold explorer";
const USUAL_PREVALENCE = 0.1; // until the site says its own: of a hospital's films, the share with a finding is larger
const LOOK_AGAIN_TICKS = 10;

/**
 * Show the explorer of a site.
 * @param {HTMLElement} place
 * @param {{parameters: {site: string|null}, shell: object}} told
 * @returns {function(): void} what to do when it is left
 */
export function mount(place, { parameters, shell }) {
  const view = {
    place,
    shell,
    site: parameters.site,
    digest: null,
    isLeft: false,
    leaving: [],
    known: null,
    served: [],
    model: null,
    saving: null,
  };
  place.append(element("h1", {}, TITLE), element("p", { class: "note" }, "Looking …"));
  open(view);
  return () => {
    view.isLeft = true;
    view.leaving.splice(0).forEach((leave) => leave());
  };
}

/** Ask for all that the view needs, and show it; or say what is missing, and what to do. */
async function open(view) {
  const turn = (view.turn = (view.turn ?? 0) + 1); // another model may be wanted before this one is here
  view.leaving.splice(0).forEach((leave) => leave());
  try {
    const sites = await policySites();
    view.site ??= sites[0] ?? "default";
    view.known = await policiesOf(view.site);
    const choices = await modelsToChoose(view, view.known.document);
    view.digest ??= choices[0]?.digest ?? null;
    const points = view.digest === null ? null : await operatingPoints(view.digest);
    if (!view.isLeft && turn === view.turn) show(view, { sites, choices, points });
  } catch (error) {
    if (!view.isLeft && turn === view.turn) showTrouble(view, TITLE, error, () => open(view));
  }
}

/** Return the models that a policy may be for, the one that decides now first: `{ digest, name, version }`. */
async function modelsToChoose(view, document) {
  const served = await models();
  const named = document.policies.map(({ model }) => model);
  view.served = served.map(({ digest }) => digest);
  const first = inForce(document)?.digest ?? document.active;
  const all = new Map([...named, ...served].map((model) => [model.digest, model]));
  if (document.active !== null && !all.has(document.active)) {
    all.set(document.active, { digest: document.active, name: "active", version: document.active.slice(0, 8) });
  }
  return [...all.values()].sort((one, other) => Number(other.digest === first) - Number(one.digest === first));
}

function show(view, { sites, choices, points }) {
  const head = [element("h1", {}, TITLE), heading(view, sites, choices)];
  const history = element("div", {}, historyPanel(view.known.document));
  const table = points?.table ?? null;
  if (table === null || table.positives === 0 || table.negatives === 0) {
    view.place.replaceChildren(...head, ...nothingToShow(view, table), history);
    return;
  }
  view.model = choices.find(({ digest }) => digest === view.digest);
  const preview = previewPanel(view.site);
  view.leaving.push(preview.leave);
  const told = {
    site: view.site,
    known: () => view.known,
    onKnown: (now) => learn(view, history, now),
    shell: view.shell,
  };
  view.saving = savingPanel(told);
  const board = boardOf(table, view.known.document.sensitivity_floor);
  const start = startOf(view, points.operating_points);
  const onTurn = (read) => turn(view, read, { board, preview, dial });
  const dial = dialPanel({ rows: rowsOf(table), points: points.operating_points, start, onTurn });
  const columns = element("div", { class: "columns" }, board.words, board.drawings);
  view.place.replaceChildren(...head, dial.panel, board.gauges, columns, preview.panel, view.saving.panel, history);
  view.again = () => onTurn(view.read);
  dial.begin();
  watch(view);
}

/** Return which site and model are shown, and what decides there now. */
function heading(view, sites, choices) {
  const names = [...new Set([view.site, ...sites])].sort();
  const site = element(
    "select",
    { id: "site" },
    ...names.map((name) => element("option", { value: name, selected: name === view.site }, name)),
  );
  site.addEventListener("change", () => view.shell.go(address("thresholds", site.value)));
  const options = choices.map(({ digest, name, version }) =>
    element("option", { value: digest, selected: digest === view.digest }, `${name} ${version}`),
  );
  const model = element("select", { id: "model" }, ...options);
  model.addEventListener("change", () => ((view.digest = model.value), open(view)));
  const now = element(
    "p",
    { class: "now", id: "in-force", role: "status" },
    inForceText(view.known.document, view.served),
  );
  const line = element("p", { class: "line" }, element("label", { for: "site" }, "Site"), site);
  if (choices.length > 0) line.append(element("label", { for: "model" }, "Model"), model);
  return element("section", { class: "panel heading", "aria-label": "Site and model" }, line, now);
}

function nothingToShow(view, table) {
  const button = element("button", { type: "button" }, "Look again");
  button.addEventListener("click", () => open(view));
  return [element("p", { class: "notice" }, missing(view.digest, table)), element("p", {}, button)];
}

function missing(digest, table) {
  if (digest === null)
    return "No worker serves a model at the moment, and no policy names one. Start a worker, and look again.";
  if (table === null)
    return "What this model's thresholds do to its test films is not known here: no worker has brought it. Restart one that serves this model, and look again.";
  return "This model came without test films of both kinds: nothing can be said of its thresholds. Its card has what there is.";
}

function startOf(view, points) {
  const own = view.known.document.policies.find(({ model }) => model.digest === view.digest);
  const now = inForce(view.known.document);
  const threshold = own?.threshold ?? (now?.digest === view.digest ? now.threshold : points[0]?.threshold) ?? 0;
  return { threshold, prevalence: own?.prevalence ?? USUAL_PREVALENCE };
}

function turn(view, read, { board, preview, dial }) {
  view.read = read;
  const { threshold, prevalence } = read;
  const now = inForce(view.known.document);
  const thresholdInForce = now?.digest === view.digest ? now.threshold : null;
  const isServed = view.served.includes(view.digest);
  const chosen = { threshold, prevalence, digest: view.digest, model: view.model, isServed, sensitivity: null };
  if (threshold !== null && prevalence !== null) {
    const { sensitivity, missed } = fill(board, read, thresholdInForce);
    chosen.sensitivity = sensitivity.value;
    const said = `sensitivity ${share(sensitivity.value)}, ${count(missed.value)} missed per 1,000`;
    dial.say(`${thresholdText(threshold)}: ${said}`);
    preview.look(threshold, thresholdInForce, view.digest);
  }
  view.saving.show(chosen);
}

/** Take over what is known of the site's policies now. */
function learn(view, history, now) {
  view.known = now;
  history.replaceChildren(historyPanel(now.document));
  view.place.querySelector("#in-force").replaceChildren(inForceText(now.document, view.served));
  view.again();
}

function decides({ document }) {
  return JSON.stringify([document.active, inForce(document)]);
}

/** Look now and then whether somebody else has saved, so that it is said before the reader saves. */
function watch(view) {
  let ticks = 0;
  const look = async () => {
    ticks += 1;
    if (ticks % LOOK_AGAIN_TICKS !== 0 || document.hidden) return;
    try {
      const now = await policiesOf(view.site);
      if (view.isLeft) return;
      if (now.document.version > view.known.document.version) view.saving.meet(now);
      else if (decides(now) !== decides(view.known)) {
        view.served = (await models()).map(({ digest }) => digest); // another model was activated, or workers came or went
        learn(view, now);
      }
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error; // the next look tells
    }
  };
  view.leaving.push(view.shell.tick(look));
}
