// The film on its stage: fetches its pictures, says why there is none, and what the pictures cannot show. Must not know
// what became of the film beside it.

import { afterRefusal } from "./advice.js";
import { element } from "./elements.js";
import { KEYS } from "./film_keys.js";
import { handleGestures } from "./gestures.js";
import { fetchBitmap, levelsOf } from "./pictures.js";
import { Unreachable } from "./service.js";
import { Stage } from "./stage.js";
import { stageControls } from "./stage_controls.js";
import { whole } from "./window_level.js";

const GESTURES =
  "Drag: window and level. Shift and drag, or two fingers: move. Wheel or pinch: size. Double click: fit.";
const ARCHIVED = "Read it where it is archived.";
const NO_HEAT = "This film has no heat map: nothing on it says what raised the score.";
const ABOUT_FILM =
  "For orientation, not for diagnosis: the preview that a worker kept, 8-bit and at most 768 pixels a side, with the " +
  "film's own window applied. Window and level here act on these 256 levels alone; what that window cut off is not " +
  "in them.";
const ABOUT_HEAT =
  "The heat map shows what raised the score. It does not show where disease is, nor does a cold place mean anything.";

/** The part of the view that shows pictures. `onSilence` hears that the service gave none, and may give it later. */
export class FilmView {
  constructor(onSilence) {
    this.onSilence = onSilence;
    const hand = { movesByDrag: false };
    const controls = stageControls(() => this.stage, hand);
    this.controls = controls;
    this.readout = element("p", { class: "readout", "aria-hidden": "true" });
    this.stage = new Stage((stage) => this.show(stage));
    this.stage.place.append(this.readout);
    const { place } = this.stage;
    for (const [name, value] of Object.entries({ tabindex: "0", role: "group", "aria-label": "The film" })) {
      place.setAttribute(name, value);
    }
    place.setAttribute("aria-describedby", "film-keys");
    handleGestures(this.stage, hand);
    this.heatNote = element("p", { class: "note" }, ABOUT_HEAT);
    this.about = about(this.heatNote);
    this.isLoading = true;
    this.place = element("div", { class: "film" }, place, controls.place, this.about);
    this.showing = { key: "", isMissed: false, ends: new AbortController() };
    this.show(this.stage);
  }

  show(stage) {
    // Nothing to turn where there is no film; while it is fetched the place is kept, so that nothing jumps.
    this.controls.place.hidden = stage.film === null && !this.isLoading;
    this.about.hidden = this.controls.place.hidden;
    const { view, isInverted } = stage.shown;
    const { window: width, level } = whole(stage.shown);
    const size = view.zoom === 1 ? "fitted" : `× ${view.zoom.toFixed(1)}`;
    this.readout.textContent = `W ${width}  L ${level}  ${isInverted ? "inverted  " : ""}${size}`;
    this.readout.hidden = stage.film === null;
    this.controls.show(stage);
  }

  /**
   * Show a film's pictures; the same again changes nothing.
   * @param {object} record
   * @param {{description: string, isHidden: boolean, isAnswered: boolean}} how `isHidden`: what would tell the outcome
   *   is not shown; `isAnswered`: the service answers, so that a picture that it did not give is asked for again
   */
  async showRecord(record, { description, isHidden, isAnswered }) {
    const key = JSON.stringify([record.id, record.done_at, record.links, isHidden]);
    if (key === this.showing.key && !(this.showing.isMissed && isAnswered)) return;
    const isAgain = key === this.showing.key;
    const isSameFilm = this.showing.id === record.id && this.stage.film !== null;
    this.showing.ends.abort();
    this.showing = { key, id: record.id, isAgain, isMissed: false, ends: new AbortController() };
    const { signal } = this.showing.ends;
    this.tellHeat(record, isHidden);
    const how = { description, isHidden, signal };
    if (!isSameFilm || record.links.preview === null) await this.showPreview(record, how);
    if (signal.aborted || this.stage.film === null || isHidden) return;
    if (record.links.heatmap !== null) await this.showHeat(record, signal);
  }

  tellHeat(record, isHidden) {
    this.stage.setHeat(null);
    const isPossible = !isHidden && record.links.heatmap !== null;
    this.heatNote.hidden = !isPossible;
    const isScored = record.probability !== null;
    this.controls.tellHeat(isPossible ? null : isHidden || !isScored ? "" : NO_HEAT);
  }

  async showPreview(record, { description, isHidden, signal }) {
    const { preview } = record.links;
    this.isLoading = preview !== null;
    this.stage.setFilm(null, "No film");
    if (preview === null) {
      this.stage.say(...words(...(isHidden ? ["No picture", ARCHIVED] : withoutPreview(record))));
      return;
    }
    this.stage.say(...words("Loading the film …"));
    const wait = { unless: signal, onWaiting: (text) => this.stage.say(...words(text)) };
    const bitmap = await this.fetched(preview, wait, (text) => this.stage.say(...words("No picture", text)));
    if (signal.aborted) return;
    this.isLoading = false;
    if (bitmap === null) {
      this.show(this.stage);
      return;
    }
    const film = levelsOf(bitmap);
    bitmap.close();
    this.stage.say();
    this.stage.setFilm(film, `${description}, ${film.width} by ${film.height} pixels, reduced, 8-bit`);
  }

  async showHeat(record, signal) {
    const tell = (text) => this.controls.tellHeat(text);
    const wait = { unless: signal, onWaiting: tell };
    const bitmap = await this.fetched(`${record.links.heatmap}?layer=heat`, wait, tell);
    if (bitmap === null) return;
    this.controls.tellHeat(null);
    this.stage.setHeat(bitmap);
  }

  /** Return a picture, or null after having said why there is none; also where another film is looked at by now. */
  async fetched(link, wait, onRefusal) {
    const { unless } = wait;
    try {
      const bitmap = await fetchBitmap(link, wait);
      // Decoding does not end with the request: what comes now is the picture of the film before.
      if (!unless.aborted) return bitmap;
      bitmap.close();
    } catch (error) {
      if (unless.aborted) return null;
      onRefusal(afterRefusal(error));
      this.showing.isMissed = isPassing(error);
      // Once: what is refused again waits for the next look, so that nobody asks without end.
      if (this.showing.isMissed && !this.showing.isAgain) this.onSilence();
    }
    return null;
  }

  /** Say that there is no film: the study is not known, or the service does not answer. */
  showNothing() {
    this.isLoading = false;
    this.stage.say(...words("No film to show"));
    this.show(this.stage);
  }

  leave() {
    this.showing.ends.abort();
    this.stage.leave();
  }
}

/** Return whether the same may be answered once the service is back, or the reader is signed in again. */
function isPassing(error) {
  return error instanceof Unreachable || [401, 429].includes(error.status) || error.status >= 500;
}

function withoutPreview(record) {
  if (record.reason === "withdrawn") return ["Withdrawn", "Pictures of a film that was taken back are not shown."];
  if (record.state !== "done") {
    return ["No picture yet", "Pictures come with the outcome. Who cannot wait reads the film where it is archived."];
  }
  if (record.timings_ms.decode === null) return ["No picture", "The film ended before it was decoded. " + ARCHIVED];
  return ["No picture", "None was kept of this film; its outcome is not affected. " + ARCHIVED];
}

function words(title, text = null) {
  return [element("p", { class: "stage-title" }, title), text === null ? null : element("p", {}, text)].filter(
    (part) => part !== null,
  );
}

function about(heatNote) {
  const keys = KEYS.flatMap(([key, does]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, does)]);
  return element(
    "div",
    { class: "about" },
    heatNote,
    element("p", { class: "note" }, ABOUT_FILM),
    element(
      "details",
      { class: "note" },
      element("summary", {}, "Keys and gestures"),
      element("p", { id: "film-keys" }, GESTURES),
      element("dl", { class: "keys" }, ...keys),
    ),
  );
}
