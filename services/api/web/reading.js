// What readers say of a study: the form, and what was said before. Where a study is read blind, the reader speaks first
// and sees the outcome afterwards.

import { afterRefusal } from "./advice.js";
import { element } from "./elements.js";
import { Problem, Unreachable } from "./service.js";
import { assess } from "./study_service.js";
import { OUTCOMES, moment, percent } from "./words.js";

const TRUTHS = [
  ["finding", "A finding"],
  ["no_finding", "None seen"],
  ["uncertain", "Uncertain"],
];
const VERDICTS = [
  ["agree", "I agree"],
  ["disagree", "I disagree"],
];
const SOURCES = [
  ["reader", "my own reading"],
  ["report", "the radiology report"],
  ["follow_up", "follow-up (CT, course, histology)"],
];
const SPOKEN = { agree: "agrees", disagree: "disagrees" };

/**
 * Return the form in which a reader says what a study shows.
 * @param {{site: string, study_uid: string, outcome: string}} study
 * @param {boolean} isBlind whether the outcome is hidden until it is said
 * @param {function(object, string): void} onKept is given the assessment, and the outcome that the form spoke of
 */
export function readingForm(study, isBlind, onKept) {
  const message = element("p", { class: "message", role: "alert" });
  const truth = choice("truth", "What does the study show?", TRUTHS);
  const verdict = isBlind ? null : choice("verdict", `“${OUTCOMES[study.outcome].name}”, said the model`, VERDICTS);
  const submit = element("button", { type: "submit" }, isBlind ? "Keep it, and show the outcome" : "Keep the reading");
  const form = element("form", { class: "reading", novalidate: true }, truth, verdict, sourceChoice(), submit, message);
  if (verdict !== null) suggestVerdict(form, study.outcome);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = whatIsSaid(form, isBlind);
    message.textContent = said === null ? missing(isBlind) : "Keeping it …";
    if (said === null) return;
    submit.disabled = true;
    message.textContent = await keep(study, said, onKept);
    submit.disabled = false;
  });
  return form;
}

async function keep(study, said, onKept) {
  try {
    onKept(await assess(study.site, study.study_uid, said), study.outcome);
    return "";
  } catch (error) {
    if (error instanceof Unreachable) return `${error.message} Keep it again: the same reading twice is still one.`;
    if (!(error instanceof Problem)) throw error;
    return afterRefusal(error);
  }
}

function missing(isBlind) {
  return isBlind ? "Say first what the study shows." : "Say what the study shows, and whether you agree.";
}

function whatIsSaid(form, isBlind) {
  const said = new FormData(form);
  const [truth, verdict, source] = ["truth", "verdict", "source"].map((name) => said.get(name));
  if (truth === null || (!isBlind && verdict === null)) return null;
  return isBlind ? { truth, source, blind: true } : { truth, verdict, source, blind: false };
}

/** Choose the verdict that follows from what the reader saw, as long as the reader has not chosen one. */
function suggestVerdict(form, outcome) {
  let isOwn = false;
  form.addEventListener("change", ({ target }) => {
    if (target.name === "verdict") isOwn = true;
    if (target.name !== "truth" || isOwn) return;
    const agrees = target.value === "uncertain" ? null : (target.value === "finding") === (outcome === "flagged");
    for (const option of form.querySelectorAll("[name=verdict]")) {
      option.checked = agrees !== null && option.value === (agrees ? "agree" : "disagree");
    }
  });
}

function choice(name, question, options) {
  const radios = options.map(([value, text]) =>
    element("label", { class: "option" }, element("input", { type: "radio", name, value, required: true }), text),
  );
  return element("fieldset", {}, element("legend", {}, question), element("div", { class: "options" }, ...radios));
}

function sourceChoice() {
  const options = SOURCES.map(([value, text]) => element("option", { value }, text));
  return element("label", { class: "source" }, "Known from", element("select", { name: "source" }, ...options));
}

/**
 * Return what was said of a study, newest first, and which of it counts.
 * @param {{truth: object|null, assessments: object[]}} answer the service's
 */
export function readingsList({ truth, assessments }) {
  const lines = [...assessments].reverse().map((said) => element("li", {}, sentence(said)));
  const blindly = truth?.blind ? ", read blind" : "";
  const counts = truth === null ? null : `It counts as: ${name(TRUTHS, truth.truth)}${blindly}.`;
  return element(
    "div",
    { class: "readings" },
    element("h3", {}, `Said so far (${assessments.length})`),
    counts === null ? null : element("p", {}, counts),
    element("ul", {}, ...lines),
  );
}

function sentence(said) {
  const outcome = OUTCOMES[said.outcome].name.toLowerCase();
  const spoken = said.verdict === null ? "" : `, ${SPOKEN[said.verdict]} with ${outcome}`;
  const at = `${percent(said.probability)} against ${percent(said.threshold)}`;
  const parts = [
    element("b", {}, name(TRUTHS, said.truth)),
    `${spoken} (${at}); ${name(SOURCES, said.source)}${said.blind ? ", blind" : ""}`,
    said.is_current ? "" : "; the study has got or lost films since, so that it counts no more",
    `. ${moment(said.at)}${said.who === null ? "" : `, key ${said.who}`}`,
  ];
  return element("span", {}, ...parts);
}

function name(options, value) {
  return options.find(([known]) => known === value)?.[1] ?? value;
}
