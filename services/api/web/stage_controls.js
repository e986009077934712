// What stands below the film: window, level, size and heat, each with a label and its value. The keys of film_keys.js
// do the same.

import { element } from "./elements.js";
import { whole } from "./window_level.js";

/**
 * Return the controls of a stage, and what shows the stage's state in them.
 * @param {function(): Stage} stage the stage, which is made after its controls
 * @param {{movesByDrag: boolean}} hand what a drag does
 * @returns {{place: HTMLElement, show: function(Stage): void, tellHeat: function(string|null): void}}
 */
export function stageControls(stage, hand) {
  const width = slider("Window", { min: 2, max: 512 }, (value) => stage().setWindow({ window: value }));
  const level = slider("Level", { min: 0, max: 255 }, (value) => stage().setWindow({ level: value }));
  const heat = heatControls(stage);
  const invert = button("Invert", "i", () => stage().invert());
  const place = element(
    "div",
    { class: "controls", role: "group", "aria-label": "How the film is shown" },
    element("div", { class: "control-row" }, width.place, level.place, fitButton(stage), invert),
    element("div", { class: "control-row" }, ...sizeButtons(stage, hand), heat.place),
  );
  const show = (shown) => {
    const used = whole(shown.shown);
    width.show(used.window, String(used.window));
    level.show(used.level, String(used.level));
    invert.setAttribute("aria-pressed", String(shown.shown.isInverted));
    for (const control of place.querySelectorAll("button, input")) control.disabled = shown.film === null;
    heat.show(shown);
  };
  return { place, show, tellHeat: heat.tell };
}

function fitButton(stage) {
  const made = button("Fit window", "w", () => stage().fitWindow());
  made.title = "Window from the film's 1st to 99th percentile (w)";
  return made;
}

function sizeButtons(stage, hand) {
  const move = button("Drag moves", null, () => {
    hand.movesByDrag = !hand.movesByDrag;
    move.setAttribute("aria-pressed", String(hand.movesByDrag));
    stage().place.classList.toggle("moves", hand.movesByDrag);
  });
  move.setAttribute("aria-pressed", "false");
  move.title = "A drag moves the film instead of changing window and level. Shift and drag does so too.";
  const smaller = button("−", "-", () => stage().zoom(0.8));
  smaller.setAttribute("aria-label", "Smaller");
  const larger = button("+", "+", () => stage().zoom(1.25));
  larger.setAttribute("aria-label", "Larger");
  return [smaller, larger, button("Reset", "0", () => stage().reset()), move];
}

function heatControls(stage) {
  const toggle = button("Heat map", "h", () => stage().toggleHeat());
  const opacity = slider("Opacity", { min: 0, max: 100 }, (value) => stage().setOpacity(value / 100));
  const legend = element(
    "span",
    { class: "legend", title: "Red raised the score a little, yellow most. No colour is no evidence of anything." },
    element("span", { class: "ramp", "aria-hidden": "true" }),
    "raised the score",
  );
  const words = element("p", { class: "heat-words", role: "status" });
  const offered = element("div", { class: "heat-offered" }, toggle, opacity.place, legend);
  const show = ({ heat, showsHeat, opacity: chosen }) => {
    const isThere = heat !== null;
    for (const control of offered.querySelectorAll("button, input")) control.disabled = !isThere;
    toggle.setAttribute("aria-pressed", String(isThere && showsHeat));
    opacity.show(Math.round(100 * chosen), `${Math.round(100 * chosen)} %`);
  };
  const tell = (text) => {
    words.textContent = text ?? "";
    words.hidden = text === null;
    offered.hidden = text !== null;
  };
  return { place: element("div", { class: "heat-control" }, offered, words), show, tell };
}

function button(text, key, act) {
  const made = element("button", { type: "button", class: "quiet", "aria-keyshortcuts": key }, text);
  if (key !== null) made.title = `${text} (${key})`;
  made.addEventListener("click", act);
  return made;
}

function slider(name, { min, max }, onValue) {
  const input = element("input", { type: "range", min, max, step: 1, "aria-label": name });
  const value = element("output", {});
  input.addEventListener("input", () => onValue(Number(input.value)));
  const place = element("label", { class: "slider" }, element("span", {}, name), input, value);
  const show = (number, text) => {
    input.value = String(number);
    input.setAttribute("aria-valuetext", text);
    value.textContent = text;
  };
  return { place, show };
}
