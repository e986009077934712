// How the service fares, in the page's head: whether it answers, since when it has not, and whether anything scores.

import { byId } from "./elements.js";
import { switchTheme, theme } from "./theme.js";
import { clock } from "./words.js";

const WORDS = {
  connecting: "Connecting …",
  connected: "Connected",
  lost: "No answer",
  locked: "Signed out",
  failing: "Refused",
};

/**
 * Show how the last look went.
 * @param {import("./live.js").Live} live
 */
export function showState(live) {
  const { kind, detail } = live.state;
  const place = byId("connection");
  place.className = `connection ${kind}`;
  say(place, WORDS[kind]);
  const banner = byId("stale");
  const isRed = live.isStale || (live.seenMs === null && (kind === "lost" || kind === "failing"));
  banner.hidden = detail === "" && !live.isStale;
  banner.classList.toggle("red", isRed);
  say(banner, banner.hidden ? "" : textOf(live, detail));
  byId("unserved").hidden = live.isServed !== false || kind !== "connected";
}

function textOf(live, detail) {
  if (!live.isStale) return detail;
  const since = `Out of date: nothing was heard since ${clock(new Date(live.seenMs))}.`;
  const advice = "Do not wait for this page: read from the PACS. Times go on, and what waits too long turns to “needs review”.";
  return `${detail === "" ? since : `Out of date. ${detail}`} ${advice}`;
}

/** Say it once: a status that says the same again must not be read out again. */
function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** Make the switch between dark and light work. */
export function startTheme() {
  const button = byId("theme");
  const label = (shown) => {
    button.textContent = shown === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `${button.textContent} theme`);
  };
  button.addEventListener("click", () => label(switchTheme()));
  label(theme());
}
