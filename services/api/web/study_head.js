// The head of a study: which one it is, how long it waits, its films, the studies before and after it.

import { age as ageOf } from "./ages.js";
import { element } from "./elements.js";
import { address } from "./router.js";
import { OUTCOMES, moment, shortStudy } from "./words.js";

/** The head of one study. `onChoose` is given the id of a film that was chosen. */
export class StudyHead {
  constructor({ site, studyUid, shell, onChoose }) {
    Object.assign(this, { site, studyUid, shell, onChoose, told: "" });
    this.badges = element("span", { class: "badges" });
    this.age = element("span", { class: "age" });
    this.late = element("span", { class: "badge", hidden: true }, "Overdue");
    this.films = element("div", { class: "choice", role: "group", "aria-label": "Films of this study", hidden: true });
    this.steps = [stepLink(-1, "Previous", "k"), stepLink(1, "Next", "j")];
    const title = element("h1", { title: studyUid }, `Study ${shortStudy(studyUid)}`);
    const back = element("a", { class: "back", href: address("worklist") }, "← Worklist");
    const steps = element("span", { class: "steps" }, ...this.steps);
    const line = element("div", { class: "study-line" }, back, title, this.badges, this.late, this.age, steps);
    this.place = element("div", { class: "study-head" }, line, this.films);
  }

  /** Show the studies before and after this one, of the worklist as it is filtered. */
  showSteps() {
    for (const step of this.steps) {
      const found = this.shell.neighbour(this.site, this.studyUid, Number(step.dataset.by));
      step.hidden = found === null;
      if (found === null) continue;
      // A study of the blind list stays veiled, whichever way one comes to it.
      const veil = found.outcome === "blind" ? "blind" : null;
      step.href = address("study", found.site, found.study_uid, veil);
    }
  }

  show(study, record, isHidden) {
    this.showSteps();
    this.badges.replaceChildren(...badgesOf(study, isHidden));
    const wanted = JSON.stringify([study.instances.map(nameOf), record.id, isHidden]);
    if (wanted === this.told) return;
    this.told = wanted;
    const hadFocus = this.films.contains(document.activeElement);
    const buttons = study.instances.map((film, at) => filmButton(film, at, record, isHidden, this.onChoose));
    this.films.hidden = buttons.length < 2;
    this.films.replaceChildren(...buttons);
    if (hadFocus) this.films.querySelector("[aria-pressed=true]")?.focus();
  }

  /** Show how long the film waits, or how long ago it came; `isLate` is seen here where the facts are out of sight. */
  tick(record, isLate) {
    this.late.hidden = !isLate;
    this.late.classList.toggle("not_assessed", isLate);
    const age = ageOf(Date.now() - new Date(record.submitted_at).getTime());
    this.age.textContent = record.state === "done" ? `came ${age} ago` : `waits for ${age}`;
    this.age.title = moment(record.submitted_at);
  }
}

function stepLink(by, text, key) {
  const link = element("a", { class: "step", "data-by": by, hidden: true, "aria-keyshortcuts": key }, text);
  link.title = `${text} study of the worklist (${key})`;
  return link;
}

function badgesOf(study, isHidden) {
  const badge = (kind, text) => element("span", { class: `badge ${kind}` }, text);
  return [
    isHidden ? badge("blind", "Blind reading") : null,
    !isHidden && study.outcome !== null ? badge(study.outcome, OUTCOMES[study.outcome].name) : null,
    study.priority === "stat" ? badge("stat", "Stat") : null,
    badge("site", study.site),
  ].filter((part) => part !== null);
}

function filmButton(film, at, record, isHidden, onChoose) {
  const text = isHidden ? `Film ${at + 1}` : `Film ${at + 1}: ${nameOf(film)}`;
  const kind = isHidden ? "pending" : (film.outcome ?? "pending");
  const isShown = String(film.id === record.id);
  const button = element("button", { type: "button", class: `film-tab ${kind}`, "aria-pressed": isShown });
  button.append(text);
  button.addEventListener("click", () => onChoose(film.id));
  return button;
}

function nameOf(film) {
  return film.reason === "withdrawn" ? "Withdrawn" : OUTCOMES[film.outcome ?? "pending"].name;
}
