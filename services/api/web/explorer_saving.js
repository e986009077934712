// Saving a threshold as a new version of the site's policy: what is asked before, and what is said after. Nobody's
// version is ever overwritten unseen.

import { element } from "./elements.js";
import { share, thresholdText } from "./estimates.js";
import { conflictParts, ownIn } from "./explorer_conflict.js";
import { adviceAfterSaving } from "./panel_trouble.js";
import { policiesOf, savePolicy } from "./policies.js";
import { percent } from "./words.js";

const LEAST_REASON = 10;

/**
 * Return the panel, and `show(chosen)`, which tells it what saving would save now.
 * @param {object} told
 * @param {string} told.site
 * @param {function(): {tag: string, document: object}} told.known the policies as the reader knows them
 * @param {function({tag: string, document: object}): void} told.onKnown is given them as they are now
 * @param {object} told.shell
 */
export function savingPanel({ site, known, onKnown, shell }) {
  const parts = fields();
  const context = {
    site,
    known,
    onKnown,
    shell,
    parts,
    chosen: null,
    isSaving: false,
    troubleFor: null,
    met: null,
    tried: null,
  };
  const show = (chosen) => {
    context.chosen = chosen;
    if (context.troubleFor !== null && context.troubleFor !== chosen.threshold) complain(context, "");
    refresh(context);
  };
  for (const field of [parts.name, parts.reason]) field.addEventListener("input", () => refresh(context));
  parts.form.addEventListener("submit", (event) => {
    event.preventDefault();
    save(context);
  });
  const meet = (now) => showConflict(context, now);
  return { panel: parts.panel, show, meet };
}

function fields() {
  const name = element("input", {
    id: "policy-name",
    value: "custom",
    maxlength: 40,
    pattern: "[a-z0-9:._\\-]+",
    required: true,
    autocomplete: "off",
  });
  const reason = element("textarea", {
    id: "policy-reason",
    rows: 3,
    maxlength: 500,
    "aria-describedby": "policy-reason-note",
  });
  const button = element("button", { type: "submit" }, "Save");
  const what = element("p", { class: "what" });
  const why = element("p", { class: "note", id: "policy-why" });
  const message = element("p", { class: "message", role: "alert" });
  const conflict = element("div", { class: "conflict", hidden: true });
  const reasonLine = element(
    "div",
    { class: "reason-line", hidden: true },
    element("label", { for: "policy-reason" }, "Why the floor may be passed this time"),
    reason,
    element(
      "p",
      { class: "note", id: "policy-reason-note" },
      "10 to 500 characters. Everybody who may look sees them, and the audit keeps them: nothing about a patient here, no name, number or date of birth.",
    ),
  );
  button.setAttribute("aria-describedby", "policy-why");
  const line = element("p", { class: "line" }, element("label", { for: "policy-name" }, "Name"), name);
  const form = element(
    "form",
    { novalidate: true, autocomplete: "off" },
    what,
    line,
    reasonLine,
    element("p", { class: "line" }, button),
    why,
    message,
    conflict,
  );
  const title = element("h2", { id: "saving-title" }, "Save as this site's policy");
  const panel = element("section", { class: "panel saving", "aria-labelledby": "saving-title" }, title, form);
  return { panel, form, name, reason, reasonLine, button, what, why, message, conflict };
}

/** Say what saving would do, and what stands against it. */
function refresh(context) {
  const { parts, chosen } = context;
  if (chosen === null) return;
  const { document } = context.known();
  const next = document.version + 1;
  parts.button.textContent = context.isSaving ? "Saving …" : `Save as version ${next}`;
  parts.reasonLine.hidden = !isBelowFloor(context);
  const floor = document.sensitivity_floor;
  parts.what.replaceChildren(
    `Version ${next} for site ${document.site} and model ${chosen.model.name} ${chosen.model.version}: threshold `,
    element("b", {}, chosen.threshold === null ? "–" : thresholdText(chosen.threshold)),
    `, prevalence ${share(chosen.prevalence)}. `,
    isBelowFloor(context)
      ? element(
          "strong",
          {},
          `Its sensitivity of ${share(chosen.sensitivity)} is below the floor of ${percent(floor)}.`,
        )
      : `The floor of this service is a sensitivity of ${percent(floor)}.`,
  );
  const against = obstacle(context);
  const soon = chosen.isServed
    ? "Workers decide by it within 2 seconds."
    : "No worker serves this model at the moment; one that does will decide by it.";
  parts.why.textContent = against ?? `${soon} Films that are decided keep the policy they were decided with.`;
  parts.button.disabled = context.isSaving || against !== null;
}

function isBelowFloor({ chosen, known }) {
  return chosen.sensitivity !== null && chosen.sensitivity < known().document.sensitivity_floor;
}

/** Return why saving is not possible at the moment, or null. */
function obstacle(context) {
  const { parts, chosen, shell } = context;
  const roles = shell.session()?.roles ?? null;
  if (roles !== null && !roles.includes("admin")) return "Your key may look, and not save: that takes the role admin.";
  if (context.met !== null) return `Version ${context.met} was saved meanwhile: see below, and go on from it.`;
  if (chosen.threshold === null) return "The threshold has to be a number from 0 to 1.";
  if (chosen.prevalence === null) return "The prevalence has to be a percentage from 0.1 to 99.9.";
  if (!parts.name.checkValidity()) return "The name may have small letters, digits, and : . _ - in it, 40 at most.";
  const now = context.known().document.policies.find(({ model }) => model.digest === chosen.digest);
  const isSame =
    now?.threshold === chosen.threshold && now.name === parts.name.value && now.prevalence === chosen.prevalence;
  if (isSame) return `This is what version ${now.version} says already.`;
  const written = parts.reason.value.trim().length;
  if (isBelowFloor(context) && written < LEAST_REASON) return "Below the floor, saving takes a reason.";
  return null;
}

async function save(context) {
  if (context.isSaving || obstacle(context) !== null) return;
  const { site, parts, chosen, shell } = context;
  const { tag } = context.known();
  context.isSaving = true;
  complain(context, "");
  refresh(context);
  try {
    context.tried = bodyOf(context);
    const saved = await savePolicy(site, context.tried, tag);
    parts.reason.value = "";
    parts.conflict.hidden = true;
    context.onKnown(saved);
    shell.say(savedText(saved.document, context.tried, site));
  } catch (error) {
    if (error.code === "policy_changed") await meetOther(context);
    else complain(context, adviceAfterSaving(error));
  } finally {
    context.isSaving = false;
    refresh(context);
  }
}

function savedText({ version, history }, tried, site) {
  const own = ownIn(history, tried)?.version ?? version;
  const said = `Version ${own} is saved: threshold ${thresholdText(tried.threshold)} for site ${site}.`;
  return own === version ? said : `${said} Version ${version} was saved after it: see the versions below.`;
}

function bodyOf(context) {
  const { parts, chosen } = context;
  const body = {
    model_digest: chosen.digest,
    threshold: chosen.threshold,
    name: parts.name.value,
    prevalence: chosen.prevalence,
  };
  return isBelowFloor(context) ? { ...body, override_reason: parts.reason.value.trim() } : body;
}

function complain(context, text) {
  context.parts.message.textContent = text;
  context.troubleFor = text === "" ? null : context.chosen.threshold;
}

/** Somebody saved since the reader looked: show what, beside what the reader chose. */
async function meetOther(context) {
  try {
    showConflict(context, await policiesOf(context.site));
  } catch (error) {
    complain(context, `Somebody else saved a version meanwhile; yours was not saved. ${adviceAfterSaving(error)}`);
  }
}

function showConflict(context, now) {
  const { parts, chosen, tried } = context;
  const before = context.known().document;
  const latest = now.document.history[0] ?? null;
  if (latest === null || latest.version <= before.version) {
    context.onKnown(now);
    complain(
      context,
      "Nothing was saved: the service has lost versions since you looked. See what it has, and save again.",
    );
    return;
  }
  const own = ownIn(now.document.history, tried, before.version);
  if (own === latest) {
    context.onKnown(now); // the answer was lost, and the version was saved
    complain(context, "");
    return;
  }
  if (context.met === latest.version) return; // it is there, and is not read out twice
  context.met = latest.version;
  const onTake = () => {
    parts.conflict.hidden = true;
    context.met = null;
    context.onKnown(now);
    refresh(context);
    parts.button.focus();
  };
  const mine = { ...chosen, sensitivity: { value: chosen.sensitivity }, name: parts.name.value };
  parts.conflict.replaceChildren(...conflictParts({ before: before.history[0] ?? null, latest, own, mine, onTake }));
  parts.conflict.hidden = false;
  refresh(context);
  parts.conflict.setAttribute("role", "alert");
}
