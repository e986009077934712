// Keeps one study as the service knows it: asked for at once, when something may have changed, and for as long as a
// film of it is open. What is known stays when the service falls silent. Must not know how it is shown.

import { Problem, Unreachable } from "./service.js";
import { assessments, record, study } from "./study_service.js";

const WAIT_SECONDS = 20;
const BREATH_SECONDS = 1; // a proxy that cuts every wait short must not be asked without end
const PAUSE_SECONDS = 4;
const LOOK_SECONDS = 60; // events may be lost

/** One study under watch. `known` is what to show; `onNews` hears whenever it may differ. */
export class StudyWatch {
  constructor({ site, studyUid, instanceId }, onNews) {
    this.wanted = { site, studyUid, instanceId };
    this.onNews = onNews;
    this.known = { study: null, readings: null, seen: null, trouble: null, isGone: false };
    this.leaving = new AbortController();
    this.waking = new AbortController();
  }

  /** Begin, and go on until left. */
  async start() {
    const { signal } = this.leaving;
    while (!signal.aborted) {
      this.waking = new AbortController();
      await this.look(signal);
      if (signal.aborted) return;
      this.onNews(this.known);
      await this.rest(AbortSignal.any([signal, this.waking.signal]));
    }
  }

  /** Watch this film of the study too, should it leave the study: a withdrawn film does. */
  want(instanceId) {
    this.wanted.instanceId = instanceId;
  }

  /** Look again now. */
  wake() {
    this.waking.abort();
  }

  leave() {
    this.leaving.abort();
  }

  async look(unless) {
    const { site, studyUid } = this.wanted;
    try {
      const [found, readings] = await Promise.all([this.find(unless), this.readings(site, studyUid, unless)]);
      this.known = { study: found, readings, seen: new Date(), trouble: null, isGone: false };
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
      this.known = { ...this.known, trouble: error, isGone: error.status === 404 };
    }
  }

  /** Return the study, with the wanted film in it even where that has been withdrawn: what became of it can be told. */
  async find(unless) {
    const { site, studyUid } = this.wanted;
    try {
      const found = await study(site, studyUid, unless);
      const left = await this.filmThatLeft(found.instances, unless);
      return left === null ? found : { ...found, instances: [...found.instances, left] };
    } catch (error) {
      const left = error.status === 404 ? await this.filmThatLeft([], unless) : null;
      if (left === null) throw error;
      return { ...left, outcome: null, films: 1, pending: 0, unread: 0, instances: [left] };
    }
  }

  async filmThatLeft(instances, unless) {
    const { site, studyUid, instanceId } = this.wanted;
    if (!/^[0-9a-f]{32}$/.test(instanceId ?? "") || instances.some(({ id }) => id === instanceId)) return null;
    try {
      const film = await record(instanceId, { unless });
      return film.study_uid === studyUid && film.site === site ? film : null;
    } catch (error) {
      if (error.status === 404) return null;
      throw error;
    }
  }

  /** Return what readers said, or null where this reader may not know it or the service cannot tell. */
  async readings(site, studyUid, unless) {
    try {
      return await assessments(site, studyUid, unless);
    } catch (error) {
      if (error instanceof Problem && error.status !== 401) return null;
      throw error;
    }
  }

  /** Return when it is time to look again. */
  async rest(unless) {
    const { study: known, trouble, isGone } = this.known;
    if (trouble !== null) {
      await pause(isGone ? LOOK_SECONDS : (trouble.retryAfterSeconds ?? PAUSE_SECONDS), unless);
      return;
    }
    const open = known.instances.find((film) => film.state !== "done");
    if (open === undefined) await pause(LOOK_SECONDS, unless);
    else await this.outcomeOf(open, unless);
  }

  async outcomeOf(open, unless) {
    try {
      await record(open.id, { waitSeconds: WAIT_SECONDS, unless });
      await pause(BREATH_SECONDS, unless);
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
      await pause(unless.aborted ? 0 : PAUSE_SECONDS, unless); // the look that follows says what the trouble is
    }
  }
}

function pause(seconds, unless) {
  return new Promise((resolve) => {
    if (unless.aborted) resolve();
    const timer = setTimeout(resolve, 1000 * seconds);
    unless.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
