// What every view may ask of the page, and the places of index.html that belong to nobody else: what is said to the
// reader, and the second hand that all views share.

import { byId, element } from "./elements.js";

const NOTE_MS = 12_000;
const TICK_MS = 1000;

/**
 * Return the page's shell.
 * @param {object} told
 * @param {object} told.desk the worklist's own; `live` of it knows how the service fares
 * @param {function(): object|null} told.session who is signed in: `{ key_id, label, roles, sites }`, or null
 * @param {function(): string[]} told.sites the sites that the reader sees, by name
 * @param {function(string, string, number): object|null} told.neighbour the study before (-1) or after (1) one, in the
 *   order of the worklist as it is filtered
 */
export function makeShell({ desk, session, sites, neighbour }) {
  const { live } = desk;
  return Object.freeze({
    desk,
    session,
    sites,
    neighbour,
    go,
    say,
    tick,
    isStale: () => live.isStale,
    changed: (callback) => live.changed(callback),
    looked: (callback) => live.looked(callback),
  });
}

/** Go to an address of this page: see `address` of router.js. */
function go(hash) {
  window.location.hash = hash;
}

/**
 * Say something to the reader, wherever they look.
 * @param {string} text
 * @param {{kind?: "note"|"alarm", action?: {text: string, run: function(): void}}} how a note goes by itself; an alarm
 *   stays until it is put away
 */
function say(text, { kind = "note", action = null } = {}) {
  const place = byId(kind === "alarm" ? "alarms" : "said");
  const line = element("p", { class: kind }, element("span", {}, text));
  const away = () => line.remove();
  if (action !== null) line.append(button(action.text, () => (away(), action.run())));
  line.append(button("Close", away));
  place.replaceChildren(line);
  if (kind === "note") window.setTimeout(away, NOTE_MS);
}

function button(text, run) {
  const made = element("button", { type: "button", class: "quiet" }, text);
  made.addEventListener("click", run);
  return made;
}

const ticking = new Set();
let clock = null;

/** Call back once a second, until the function that is returned is called. */
function tick(callback) {
  ticking.add(callback);
  clock ??= window.setInterval(() => ticking.forEach((each) => each()), TICK_MS);
  return () => ticking.delete(callback);
}
