// One study: its films large on black, beside them what became of each, why, and what a reader says of it. Wires the
// parts; what they show they know themselves.

import { afterRefusal } from "./advice.js";
import { Column } from "./column.js";
import { element } from "./elements.js";
import { FilmView } from "./film.js";
import { isScored, showFacts } from "./film_column.js";
import { listenForKeys } from "./film_keys.js";
import { isOverdue } from "./overdue.js";
import { address } from "./router.js";
import { StudyHead } from "./study_head.js";
import { StudyWatch } from "./study_watch.js";
import { OUTCOMES, clock } from "./words.js";

const BLIND = "blind"; // in the place of a film in the address: read before the outcome is shown
const OVERDUE = "Overdue: needs review. Read this film yourself, now.";
const NO_READING =
  "Readings cannot be taken at the moment; the outcome stays hidden. Whoever needs it finds the study in the worklist.";
const NOT_YET = "A film of this study waits for its outcome. The form for the reading comes with it, by itself.";
const NO_VEIL = "This study does not wait to be read blind any more: its outcome is shown.";
const CHANGED = "The reading is kept, but the outcome had changed while the form was open. It now stands beside";
const SAID = ["notice", "outcome", "overdue", "reason", "probability", "findings"];
const PLACES = [...SAID, "reading", "acts", "decisions", "facts"];

/**
 * Show a study; return what ends it.
 * @param {HTMLElement} place
 * @param {{parameters: object, shell: object}} asked see router.js
 */
export function mount(place, { parameters, shell }) {
  const view = new StudyView(place, parameters, shell);
  return view.start();
}

class StudyView {
  constructor(place, { site, study_uid: studyUid, instance_id: third }, shell) {
    this.shell = shell;
    this.site = site;
    this.studyUid = studyUid;
    this.isBlindReading = third === BLIND;
    this.roles = [];
    this.hasSpoken = false; // once a reader has said what they see, the outcome is shown
    this.chosenId = this.isBlindReading ? null : third;
    this.head = new StudyHead({ site, studyUid, shell, onChoose: (id) => this.choose(id) });
    this.status = element("p", { class: "unseen", role: "status" });
    this.column = new Column(PLACES);
    this.film = new FilmView(() => this.watch.wake());
    place.classList.add("study-view");
    const body = element("div", { class: "study-body" }, this.film.place, this.column.place);
    place.append(this.head.place, this.status, body);
    this.watch = new StudyWatch({ site, studyUid, instanceId: this.chosenId }, () => this.show());
    this.say("Loading the study …");
  }

  start() {
    const key = `${this.site}/${this.studyUid}`;
    const stops = [
      this.shell.changed(({ studies }) => {
        if (studies === null || studies.has(key) || this.watch.known.trouble !== null) this.watch.wake();
      }),
      this.shell.tick(() => this.tick()),
      listenForKeys(
        () => this.film.stage,
        (at) => this.choose(this.films()[at]?.id),
        () => this.goToReading(),
      ),
    ];
    this.watch.start();
    return () => {
      stops.forEach((stop) => stop());
      this.watch.leave();
      this.film.leave();
    };
  }

  films() {
    return this.watch.known.study?.instances ?? [];
  }

  /** Return whether what would tell the outcome is hidden. What is not known yet does not lift the veil. */
  isHidden() {
    const { readings } = this.watch.known;
    return this.isBlindReading && !this.hasSpoken && (readings === null || readings.blind.is_waiting);
  }

  /** Return the film on the stage: the chosen one, else the oldest of those that made the study what it is. */
  current() {
    const films = this.films();
    const { outcome } = this.watch.known.study;
    const chosen = films.find((film) => film.id === this.chosenId);
    if (chosen !== undefined) return chosen;
    if (this.isHidden()) return films.find((film) => film.links.preview !== null) ?? films[0];
    const counted = films.filter((film) => film.reason !== "withdrawn"); // such a film makes no outcome
    return counted.find((film) => (film.outcome ?? "pending") === outcome) ?? films[0];
  }

  /** Put another film of the study on the stage; the address names it, so that it can be sent to a colleague. */
  choose(id) {
    if (id === undefined) return;
    this.chosenId = id;
    this.watch.want(id);
    if (!this.isHidden()) window.history.replaceState(null, "", address("study", this.site, this.studyUid, id));
    this.show();
  }

  show() {
    this.roles = this.shell.session()?.roles ?? this.roles;
    const { study, trouble } = this.watch.known;
    this.showTrouble();
    if (study === null) {
      this.head.showSteps();
      if (trouble !== null) this.film.showNothing();
      return;
    }
    const record = this.current();
    const isHidden = this.isHidden();
    this.head.show(study, record, isHidden);
    const position = this.films().indexOf(record) + 1;
    const description = `Film ${position} of ${this.films().length} of this study`;
    this.film.showRecord(record, { description, isHidden, isAnswered: trouble === null });
    showFacts(this.column, record, {
      known: this.watch.known,
      isHidden,
      isBlindReading: this.isBlindReading,
      roles: this.roles,
      onReading: (kept, seen) => this.spoken(kept, seen),
      onDone: (text) => this.acted(text),
      unless: this.watch.leaving.signal,
    });
    this.say(isHidden ? "Blind reading: the outcome is hidden." : OUTCOMES[record.outcome ?? "pending"].name);
    this.tick();
  }

  goToReading() {
    const place = this.column.placeOf("reading");
    place.querySelectorAll("details").forEach((again) => (again.open = true));
    place.querySelector("input")?.focus();
  }

  showTrouble() {
    const { study, trouble, seen, isGone } = this.watch.known;
    if (trouble === null) {
      this.showVeil();
      return;
    }
    const asOf = study === null ? "" : ` What is shown is that of ${clock(seen)}.`;
    const next = isGone || trouble.status === 401 ? "" : " Trying again.";
    const text = `${afterRefusal(trouble)}${asOf}${next}`;
    this.column.set("notice", { text }, () => [element("p", { class: "notice", role: "alert" }, text)]);
  }

  /** Say why there is no veil where one was asked for, or no form behind it. */
  showVeil() {
    const text = this.isBlindReading && !this.hasSpoken ? this.aboutVeil() : null;
    this.column.set("notice", text, () => [element("p", { class: "notice" }, text)]);
  }

  aboutVeil() {
    const { readings, study } = this.watch.known;
    if (study === null) return null;
    if (readings === null) return NO_READING;
    if (!readings.blind.is_waiting) return NO_VEIL;
    return isScored(study) ? null : NOT_YET;
  }

  /** Lift the veil; say what was kept, where the outcome was another one by then than the reader saw. */
  spoken(kept, seen) {
    this.hasSpoken = true;
    if (kept.verdict === null || kept.outcome === seen || kept.blind) this.shell.say("The reading is kept.");
    else this.shell.say(`${CHANGED} “${OUTCOMES[kept.outcome].name}”. Read it once more.`, { kind: "alarm" });
    this.watch.wake();
  }

  /** Something was done with the film on the stage: it stays there, whatever became of it. */
  acted(text) {
    this.shell.say(text);
    this.chosenId = this.current().id;
    this.watch.want(this.chosenId);
    this.watch.wake();
  }

  /** Once a second: ages, what is overdue, who is signed in. Whoever's session is over sees what was seen before. */
  tick() {
    const roles = this.shell.session()?.roles ?? this.roles;
    if (roles.join() !== this.roles.join()) this.show();
    else if (this.watch.known.study !== null) this.showAge(this.current());
  }

  showAge(record) {
    const isLate = !this.isHidden() && isOverdue(record, record.state !== "done");
    this.head.tick(record, isLate);
    this.column.set("overdue", isLate ? true : null, () => [element("p", { class: "notice", role: "alert" }, OVERDUE)]);
  }

  /** Have it read out, from a place that stays; the same again is not read out again. */
  say(text) {
    if (this.status.textContent !== text) this.status.textContent = text;
  }
}
