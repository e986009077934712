// The stage: a film large on black, its heat over it. Draws; what hands and keys do to it is gestures.js', what stands
// below it stage_controls.js'. Must not know records.

import { element } from "./elements.js";
import { FITTED, kept, rectangle, zoomed } from "./viewport.js";
import { WHOLE, bounded, fittedTo, shownLevels, whole } from "./window_level.js";

// Fainter than the service draws it: the film comes first. Kept from film to film, as long as the page is open.
const chosen = { opacity: 0.5, showsHeat: true };

/** A film on black. `onChange` hears of every change of how it is shown. */
export class Stage {
  constructor(onChange) {
    this.onChange = onChange;
    this.canvas = element("canvas", { role: "img", "aria-label": "No film yet" });
    this.words = element("div", { class: "stage-words picture", role: "status" });
    this.place = element("div", { class: "stage" }, this.canvas, this.words);
    this.film = null;
    this.heat = null;
    this.shown = { ...WHOLE, isInverted: false, view: FITTED };
    this.isDue = false;
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.place);
  }

  /** Put a film on the stage, or take it away; how the last one was shown is not how the next one should be. */
  setFilm(film, description) {
    this.film = film;
    this.heat?.close();
    this.heat = null;
    this.sheet = film === null ? null : new OffscreenCanvas(film.width, film.height);
    this.canvas.setAttribute("aria-label", description);
    this.canvas.hidden = film === null;
    this.reset();
  }

  /** Put heat over the film, or take it away. */
  setHeat(bitmap) {
    this.heat?.close();
    this.heat = bitmap;
    this.change({});
  }

  /** Say something where the film would be; nothing is said of a film that is there. */
  say(...parts) {
    this.words.replaceChildren(...parts);
    this.words.hidden = parts.length === 0;
  }

  reset() {
    this.change({ ...WHOLE, isInverted: false, view: FITTED });
  }

  fitWindow() {
    if (this.film !== null) this.change(fittedTo(this.film.levels));
  }

  setWindow(wanted) {
    this.change(bounded({ ...this.shown, ...wanted }));
  }

  /** Change window and level by so many levels. */
  turn(window, level) {
    this.setWindow({ window: this.shown.window + window, level: this.shown.level + level });
  }

  invert() {
    this.change({ isInverted: !this.shown.isInverted });
  }

  /** Enlarge, keeping what lies under a point of the screen where it is. */
  zoom(factor, at = null) {
    const box = this.canvas.getBoundingClientRect();
    const point = at === null ? { x: 0, y: 0 } : { x: at.x - box.x - box.width / 2, y: at.y - box.y - box.height / 2 };
    this.change({ view: zoomed(this.shown.view, factor, point) });
  }

  move(x, y) {
    const { view } = this.shown;
    this.change({ view: { ...view, x: view.x + x, y: view.y + y } });
  }

  fit() {
    this.change({ view: FITTED });
  }

  get opacity() {
    return chosen.opacity;
  }

  get showsHeat() {
    return chosen.showsHeat;
  }

  setOpacity(opacity) {
    chosen.opacity = Math.min(1, Math.max(0, opacity));
    chosen.showsHeat = chosen.opacity > 0;
    this.change({});
  }

  toggleHeat() {
    chosen.showsHeat = !chosen.showsHeat;
    if (chosen.showsHeat && chosen.opacity === 0) chosen.opacity = 0.5;
    this.change({});
  }

  change(wanted) {
    this.shown = { ...this.shown, ...wanted };
    if (this.film !== null) this.shown.view = kept(this.shown.view, this.size(), this.film);
    this.draw();
    this.onChange(this);
  }

  size() {
    return { width: this.place.clientWidth, height: this.place.clientHeight };
  }

  /** Draw before the next frame, however much has changed until then. */
  draw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.paint();
    });
  }

  paint() {
    const ratio = window.devicePixelRatio;
    const { width, height } = this.size();
    [this.canvas.width, this.canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.film === null || width === 0) return;
    this.develop();
    const drawn = this.canvas.getContext("2d");
    const at = rectangle(this.shown.view, { width, height }, this.film);
    drawn.scale(ratio, ratio);
    // Far enlarged, a reader wants to see that these are pixels, not a detail that smoothing has made up.
    drawn.imageSmoothingEnabled = at.scale * ratio < 6;
    drawn.imageSmoothingQuality = "high";
    drawn.drawImage(this.sheet, at.x, at.y, at.width, at.height);
    if (this.heat === null || !this.showsHeat) return;
    drawn.globalAlpha = this.opacity;
    drawn.imageSmoothingEnabled = true;
    drawn.drawImage(this.heat, at.x, at.y, at.width, at.height);
  }

  /** Put the film's levels through window and level; only where these have changed since. */
  develop() {
    const { isInverted } = this.shown;
    const used = whole(this.shown);
    const wanted = `${used.window} ${used.level} ${isInverted}`;
    if (this.sheet.developed === wanted) return;
    this.sheet.developed = wanted;
    const levels = shownLevels(used, isInverted);
    const sheet = this.sheet.getContext("2d");
    const pixels = sheet.createImageData(this.film.width, this.film.height);
    const words = new Uint32Array(pixels.data.buffer);
    const opaque = Uint32Array.from(levels, (shown) => 0xff000000 | (shown << 16) | (shown << 8) | shown);
    for (let pixel = 0; pixel < words.length; pixel += 1) words[pixel] = opaque[this.film.levels[pixel]];
    sheet.putImageData(pixels, 0, 0);
  }

  leave() {
    this.sizes.disconnect();
  }
}
