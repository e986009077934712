// Keeps the worklist fresh: listens for changes, and asks in any case every few seconds. What the service cannot say at
// the moment is never shown as an empty list, but as what was known, with its time.

import { Problem, Unreachable, loadedModels, studies as pageOf } from "./service.js";
import { listen } from "./stream.js";
import { keyOf } from "./studies.js";
import { clock } from "./words.js";

const EVERY_MS = 5000;
const STREAMING_EVERY_MS = 10_000; // changes come by themselves
const HIDDEN_EVERY_MS = 12_000; // before what is known is called old
const LOCKED_EVERY_MS = 30_000; // who signs in looks at once
const GATHER_MS = 400; // a film has two changes, and rarely comes alone
const STALE_MS = 15_000;
const PAGE_STUDIES = 500;
const MOST_PAGES = 40;
// A worklist of many pages is read through again so seldom; its first page, which is read first, at every look.
const WALK_EVERY_MS = 20_000;
const HOUR_MS = 3600 * 1000;

/** Asks, listens and tells. */
export class Live {
  /** Of the last look: `kind` is "connecting", "connected", "lost", "locked" or "failing". */
  state = { kind: "connecting", detail: "" };
  /** When the service last said how the worklist is, in milliseconds; null where it never did. */
  seenMs = null;
  /** Whether all studies of the wanted time are known. */
  isComplete = false;
  /** Whether there are more than this page reads. */
  isCut = false;
  /** Whether anything scores films; null where nobody knows. */
  isServed = null;

  #studies;
  #wanted = { hours: 24, blind: false };
  #tag = null;
  #modelsTag = null;
  #walkedMs = -Infinity;
  #isBehind = false; // pages after the first may have changed since the last walk
  #turn = 0; // another list is wanted: what is on its way is none of it
  #asking = false;
  #again = false;
  #timer = null;
  #hinted = new Set();
  #hintTimer = null;
  #stream = null;
  #told = { changed: new Set(), looked: new Set() };

  /** @param {import("./studies.js").Studies} studies where what the service says is put */
  constructor(studies) {
    this.#studies = studies;
  }

  /** Begin. */
  start() {
    this.#stream = listen((event) => this.#hear(event));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.look();
    });
    return this.look();
  }

  /** Whether what is known may be out of date. */
  get isStale() {
    return this.seenMs !== null && Date.now() - this.seenMs > STALE_MS;
  }

  /** Want another list: of the last `hours` (null: of all times), or of the blind readings alone. */
  want(wanted) {
    this.#wanted = wanted;
    this.#tag = null;
    this.#walkedMs = -Infinity;
    [this.isComplete, this.isCut, this.#isBehind] = [false, false, false];
    this.#turn += 1;
    return this.look();
  }

  /** Call back when studies may have changed; return how to stop. */
  changed(callback) {
    this.#told.changed.add(callback);
    return () => this.#told.changed.delete(callback);
  }

  /** Call back after each look; return how to stop. */
  looked(callback) {
    this.#told.looked.add(callback);
    return () => this.#told.looked.delete(callback);
  }

  /** Ask now. */
  async look() {
    clearTimeout(this.#timer);
    this.#again = this.#asking;
    if (this.#asking) return;
    this.#asking = true;
    try {
      this.state = await this.#ask();
      for (const callback of this.#told.looked) callback();
    } finally {
      this.#asking = false;
      this.#timer = setTimeout(() => this.look(), this.#again ? 0 : this.#pauseMs());
    }
  }

  #pauseMs() {
    if (this.state.kind === "locked") return LOCKED_EVERY_MS;
    if (document.hidden) return HIDDEN_EVERY_MS;
    return this.#stream.isOpen() ? STREAMING_EVERY_MS : EVERY_MS;
  }

  async #ask() {
    try {
      await this.#askStudies();
      await this.#askModels();
      return { kind: "connected", detail: "" };
    } catch (error) {
      return this.#stateAfter(error);
    }
  }

  async #askStudies() {
    const turn = this.#turn;
    const first = await this.#page(null, this.#tag);
    if (turn !== this.#turn) return;
    this.seenMs = Date.now();
    if (first !== null) {
      this.#tag = first.tag;
      this.#isBehind = !first.complete;
      if (first.complete) [this.isComplete, this.isCut] = [true, false];
      const met = new Set(first.studies.map((line) => keyOf(line.site, line.study_uid)));
      const isNews = [this.#studies.take(first.studies), first.complete && this.#studies.keep(met, true)];
      if (isNews.includes(true)) this.#tell(null);
    }
    if (this.#isBehind && Date.now() - this.#walkedMs > WALK_EVERY_MS) await this.#walk(turn);
  }

  /** Read through all pages. What moves meanwhile is met at the next look: its change made the tag another one. */
  async #walk(turn) {
    const met = new Set();
    let page = { next_cursor: null };
    for (let number = 0; number < MOST_PAGES; number += 1) {
      page = await this.#page(page.next_cursor, null);
      if (turn !== this.#turn) return;
      this.seenMs = Date.now();
      for (const line of page.studies) met.add(keyOf(line.site, line.study_uid));
      if (this.#studies.take(page.studies)) this.#tell(null);
      if (page.complete) break;
    }
    const isCalm = (await this.#page(null, this.#tag)) === null;
    if (turn !== this.#turn) return;
    [this.isComplete, this.isCut] = [page.complete, !page.complete];
    if (this.#studies.keep(met, isCalm)) this.#tell(null);
    this.#walkedMs = Date.now();
    this.#isBehind = !isCalm;
  }

  #page(cursor, tag) {
    const { hours, blind } = this.#wanted;
    return pageOf({ since: since(hours), blind, cursor, limit: PAGE_STUDIES, tag });
  }

  async #askModels() {
    const told = await loadedModels(this.#modelsTag);
    if (told === null) return;
    this.#modelsTag = told.tag;
    this.isServed = told.models.length > 0;
  }

  #stateAfter(error) {
    const age = this.seenMs === null ? "" : ` What you see is that of ${clock(new Date(this.seenMs))}.`;
    if (error instanceof Unreachable) return { kind: "lost", detail: `${error.message}${age} Trying again.` };
    if (!(error instanceof Problem)) throw error;
    if (error.status === 401) {
      const why = this.seenMs === null ? "A key is needed." : "The session has ended: sign in again.";
      return { kind: "locked", detail: why + age };
    }
    return { kind: "failing", detail: `${error.message}${age} Trying again.` };
  }

  #hear({ type, data }) {
    const study = type === "reset" ? null : studyOf(data);
    if (study === null) this.#hinted = null;
    else this.#hinted?.add(study);
    this.#hintTimer ??= setTimeout(() => {
      const studies = this.#hinted;
      [this.#hintTimer, this.#hinted] = [null, new Set()];
      this.#tell(studies);
      this.look();
    }, GATHER_MS);
  }

  #tell(studies) {
    for (const callback of this.#told.changed) callback({ studies });
  }
}

/** Return the study that an event is about; null where it names none, and anything may have changed. */
function studyOf(data) {
  const { site, study_uid: studyUid } = JSON.parse(data);
  return studyUid === undefined ? null : keyOf(site, studyUid);
}

/** Return the time of the oldest study to list; to the hour, so that the service can say that nothing has changed. */
function since(hours) {
  if (hours === null) return null;
  return new Date(Math.floor(Date.now() / HOUR_MS - hours) * HOUR_MS).toISOString();
}
