// What is known of the worklist: every study once, in the order in which to read. No element, no call: live.js brings
// what the service says, worklist.js shows it.

import { dueAt } from "./overdue.js";

/** The groups of the worklist, first to read first. */
export const GROUPS = [
  { name: "stat", title: "Urgent (stat)" },
  { name: "flagged", title: "Flagged" },
  { name: "review", title: "Needs review: not assessed, or overdue" },
  { name: "pending", title: "Waiting for an outcome" },
  { name: "rest", title: "Not flagged: below the threshold, and still to be read" },
];
const STANDING = { blind: 0, flagged: 1, review: 2, pending: 3, rest: 4 };
const NEVER = Infinity;

/** Return the name by which a study is known: its UID may be another site's, too. */
export function keyOf(site, studyUid) {
  return `${site}/${studyUid}`;
}

/** Return whether what every worker and gateway might say is too late already. Not what the service said: the clock. */
function isLate(study, now) {
  return study.overdue || study.dueMs <= now;
}

/**
 * Return how a study stands: "flagged", "review" (nobody judged it, or not in time), "pending" or "rest"; "blind" where
 * the service does not say, because somebody is to read it without knowing.
 */
export function standing(study, now = Date.now()) {
  if (study.outcome === "blind") return "blind";
  if (study.outcome === "flagged") return "flagged";
  if (study.outcome === "not_assessed" || isLate(study, now)) return "review";
  return study.outcome === "pending" ? "pending" : "rest";
}

/** Return the name of the group that a study is shown in. */
export function groupOf(study, now = Date.now()) {
  return study.priority === "stat" ? "stat" : standing(study, now);
}

/** The studies, in order. */
export class Studies {
  #known = new Map();
  #missing = new Map(); // in how many walks a study was not met any more
  #order = null;
  #sites = null;
  #dueMs = NEVER; // when the next study becomes overdue, and the order another one

  /** How many are known. */
  get size() {
    return this.#known.size;
  }

  /** Return the study of a key, or undefined. */
  get(key) {
    return this.#known.get(key);
  }

  /** Take what the service says of some studies; return whether that is news. */
  take(lines) {
    let isNews = false;
    for (const line of lines) {
      const key = keyOf(line.site, line.study_uid);
      this.#missing.delete(key);
      const before = this.#known.get(key);
      if (before !== undefined && isSame(before, line)) continue;
      const submittedMs = Date.parse(line.submitted_at);
      this.#known.set(key, { ...line, key, submittedMs, dueMs: line.pending > 0 ? dueAt(line) : NEVER });
      isNews = true;
    }
    if (isNews) this.#change();
    return isNews;
  }

  /**
   * Forget what is not among these keys: all studies of a walk through the pages.
   * @param {Set<string>} met
   * @param {boolean} isCalm whether nothing changed during the walk. Else a study may have moved from a page that was
   *   still to come to one that had been: it is forgotten only when a second walk has not met it either
   * @returns {boolean} whether that changed anything
   */
  keep(met, isCalm) {
    let isNews = false;
    for (const key of [...this.#known.keys()].filter((each) => !met.has(each))) {
      const walks = (this.#missing.get(key) ?? 0) + 1;
      this.#missing.set(key, walks);
      if (!isCalm && walks < 2) continue;
      this.#missing.delete(key);
      this.#known.delete(key);
      isNews = true;
    }
    if (isNews) this.#change();
    return isNews;
  }

  /** Forget everything: another list is wanted, or another reader came. */
  clear() {
    this.#known.clear();
    this.#missing.clear();
    this.#change();
  }

  /** Return whether a study has become overdue since the order was made. */
  isDue(now = Date.now()) {
    return this.#order !== null && now >= this.#dueMs;
  }

  /** Return every study in the order in which to read; made anew only where it has changed. */
  ordered(now = Date.now()) {
    if (this.#order !== null && now < this.#dueMs) return this.#order;
    this.#dueMs = NEVER;
    const ranked = [...this.#known.values()].map((study) => {
      if (study.dueMs > now && study.dueMs < this.#dueMs) this.#dueMs = study.dueMs;
      return { study, rank: (study.priority === "stat" ? 0 : 10) + STANDING[standing(study, now)] };
    });
    ranked.sort((one, other) => one.rank - other.rank || bySubmission(one.study, other.study));
    this.#order = ranked.map(({ study }) => study);
    return this.#order;
  }

  /** Return the sites of the studies, by name. */
  sites() {
    this.#sites ??= [...new Set([...this.#known.values()].map(({ site }) => site))].sort();
    return this.#sites;
  }

  #change() {
    this.#order = null;
    this.#sites = null;
  }
}

function bySubmission(one, other) {
  return one.submittedMs - other.submittedMs || (one.study_uid < other.study_uid ? -1 : 1);
}

function isSame(before, line) {
  return Object.entries(line).every(([name, value]) => isPart(value) || before[name] === value);
}

/** Return whether a value is made anew with each answer: links, which follow from the rest. */
function isPart(value) {
  return typeof value === "object" && value !== null;
}
