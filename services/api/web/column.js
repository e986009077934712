// The facts beside a film, in named places. A place is made anew only when what it says has changed: a form that
// somebody fills in, a text that somebody selects, must survive the next look at the service.

import { element } from "./elements.js";

/** Named places below each other. */
export class Column {
  /** @param {string[]} names from top to bottom */
  constructor(names) {
    this.slots = new Map(names.map((name) => [name, { place: slot(name), told: "" }]));
    const places = [...this.slots.values()].map(({ place }) => place);
    this.place = element("div", { class: "column", tabindex: "-1" }, ...places);
  }

  /**
   * Fill a place, unless it says the same already.
   * @param {string} name
   * @param {*} inputs what the place is made of, as JSON; null empties it
   * @param {function(): (Node|null)[]} build
   */
  set(name, inputs, build = () => []) {
    const known = this.slots.get(name);
    const told = JSON.stringify(inputs ?? null);
    if (told === known.told) return;
    known.told = told;
    const hadFocus = known.place.contains(document.activeElement);
    const parts = inputs === null ? [] : build().filter((part) => part !== null);
    known.place.replaceChildren(...parts);
    known.place.hidden = parts.length === 0;
    // What had it is gone; a reader who works by keyboard must not start at the top of the page.
    if (hadFocus) focusIn(known.place.hidden ? this.place : known.place);
  }

  placeOf(name) {
    return this.slots.get(name).place;
  }
}

/** Focus the first control that can be seen: a form within closed details takes no focus. */
function focusIn(place) {
  const controls = [...place.querySelectorAll("summary, input, button, a")];
  (controls.find((control) => control.checkVisibility()) ?? place).focus({ preventScroll: true });
}

function slot(name) {
  return element("div", { class: `slot slot-${name}`, tabindex: "-1", hidden: true });
}
