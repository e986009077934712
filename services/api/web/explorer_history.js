// What decides a site's films now, and every version before it.

import { element } from "./elements.js";
import { share, thresholdText } from "./estimates.js";
import { moment, percent } from "./words.js";

/** Return what decides the site's films at the moment: `{ threshold, name, version, digest }`, or null. */
export function inForce({ policy, default: point }) {
  if (policy !== null) {
    const { threshold, name, version, model, prevalence } = policy;
    return { threshold, name, version, digest: model.digest, prevalence };
  }
  return point === null ? null : { ...point, version: 0, prevalence: null };
}

/**
 * Return a sentence on what decides the site's films now.
 * @param {object} document of `GET /v1/policies/{site}`
 * @param {string[]} served digests of the models that workers serve
 */
export function inForceText(document, served) {
  const { policy } = document;
  const now = inForce(document);
  if (now === null) return nobodyText(document, served);
  const threshold = element("b", {}, thresholdText(now.threshold));
  if (policy === null) {
    const said = `, the model's own point “${now.name}” (version 0: no policy was saved for this model).${othersText(document)}`;
    return element("span", {}, "In force: threshold ", threshold, said);
  }
  const by = policy.by === null ? "" : ` by ${policy.by}`;
  return element(
    "span",
    {},
    "In force: threshold ",
    threshold,
    `, “${policy.name}”, version ${policy.version}, saved ${moment(policy.at)}${by}.`,
  );
}

function nobodyText({ active }, served) {
  if (active !== null) return "No worker serves the active model at the moment: nothing is scored, and films wait.";
  if (served.length === 0) return "Nothing is scored at the moment: no worker serves a model, and films wait for one.";
  return "Workers serve several models at the moment. Each decides by this site's policy for it; without one, by its own point.";
}

function othersText({ policies }) {
  if (policies.length === 0) return "";
  const named = policies.map(({ version, model }) => `version ${version} for ${model.name} ${model.version}`);
  return ` What was saved is for another model, and decides nothing now: ${named.join(", ")}.`;
}

/** Return the panel of all versions, newest first. */
export function historyPanel({ history }) {
  const title = element("h2", { id: "history-title" }, "Versions");
  const panel = element("section", { class: "panel history", "aria-labelledby": "history-title" }, title);
  if (history.length === 0) {
    panel.append(element("p", { class: "note" }, "None yet. The first that is saved becomes version 1."));
    return panel;
  }
  const names = ["Version", "Threshold", "Name", "Sensitivity", "Prevalence", "Saved", "By", "Model"];
  const head = element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...history.flatMap(lines)));
  panel.append(
    element("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Table of versions" }, table),
  );
  if (history.length === 100) panel.append(element("p", { class: "note" }, "The last 100. The audit has them all."));
  return panel;
}

function lines(policy) {
  const cells = [
    thresholdText(policy.threshold),
    policy.name,
    share(policy.sensitivity?.value ?? null),
    policy.prevalence === null ? "–" : percent(policy.prevalence),
    moment(policy.at),
    policy.by ?? "–",
    `${policy.model.name} ${policy.model.version}`,
  ];
  const row = element(
    "tr",
    {},
    element("th", { scope: "row" }, policy.version),
    ...cells.map((text) => element("td", {}, text)),
  );
  if (policy.override_reason === null) return [row];
  const floor = policy.sensitivity_floor === null ? "the floor" : `the floor of ${percent(policy.sensitivity_floor)}`;
  const why = element("td", { colspan: 8, class: "override" }, `Saved below ${floor}: ${policy.override_reason}`);
  return [row, element("tr", {}, why)];
}

/**
 * Return a table of policies, saved or not, one below the other.
 * @param {[string, object|null][]} rows what each is called, and the policy; null where none was saved
 */
export function policiesTable(rows) {
  const names = ["Which", "Threshold", "Sensitivity", "Prevalence", "Name", "Model"];
  const head = names.map((name) => element("th", { scope: "col" }, name));
  const body = rows.map(([title, policy]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, title),
      element("td", { class: "number" }, policy === null ? "none saved" : thresholdText(policy.threshold)),
      element("td", { class: "number" }, share(policy?.sensitivity?.value ?? null)),
      element("td", { class: "number" }, share(policy?.prevalence ?? null)),
      element("td", {}, policy?.name ?? "–"),
      element("td", {}, policy === null ? "–" : `${policy.model.name} ${policy.model.version}`),
    ),
  );
  return element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
}
