// The film by keyboard. Keys of the page's frame (j k / ? f u b Esc) are left to it.

const TURN = 8;
const MOVE = 40;
const ZOOM = 1.25;
const OPACITY = 0.1;

// With the film focused, arrows turn window and level as a drag does.
const ON_FILM = {
  ArrowLeft: (stage) => stage.turn(-TURN, 0),
  ArrowRight: (stage) => stage.turn(TURN, 0),
  ArrowUp: (stage) => stage.turn(0, -TURN),
  ArrowDown: (stage) => stage.turn(0, TURN),
  "Shift+ArrowLeft": (stage) => stage.move(MOVE, 0),
  "Shift+ArrowRight": (stage) => stage.move(-MOVE, 0),
  "Shift+ArrowUp": (stage) => stage.move(0, MOVE),
  "Shift+ArrowDown": (stage) => stage.move(0, -MOVE),
};
const ANYWHERE = {
  "+": (stage) => stage.zoom(ZOOM),
  "=": (stage) => stage.zoom(ZOOM),
  "-": (stage) => stage.zoom(1 / ZOOM),
  0: (stage) => stage.reset(),
  i: (stage) => stage.invert(),
  w: (stage) => stage.fitWindow(),
  h: (stage) => stage.toggleHeat(),
  "[": (stage) => stage.setOpacity(stage.opacity - OPACITY),
  "]": (stage) => stage.setOpacity(stage.opacity + OPACITY),
};

/** What to tell a reader of the keys. */
export const KEYS = [
  ["← →", "window, with the film focused"],
  ["↑ ↓", "level, with the film focused"],
  ["Shift + arrows", "move an enlarged film"],
  ["+ −", "larger, smaller"],
  ["0", "as it came"],
  ["w", "window fitted to the film"],
  ["i", "invert"],
  ["h", "heat map on and off"],
  ["[ ]", "heat map fainter, stronger"],
  ["1 … 9", "films of the study"],
  ["a", "to the reading form"],
];

/**
 * Let keys change how the film is shown; return what ends it.
 * @param {function(): Stage|null} stageNow
 * @param {function(number): void} chooseFilm is given the film's place in its study, from 0
 * @param {function(): void} goToReading
 */
export function listenForKeys(stageNow, chooseFilm, goToReading) {
  const listen = (event) => {
    const stage = stageNow();
    if (isElsewhere(event) || stage === null) return;
    const act = actFor(event, stage);
    if (act !== null) act(stage);
    else if (/^[1-9]$/.test(event.key)) chooseFilm(Number(event.key) - 1);
    else if (event.key === "a") goToReading();
    else return;
    event.preventDefault();
  };
  document.addEventListener("keydown", listen);
  return () => document.removeEventListener("keydown", listen);
}

function actFor(event, stage) {
  if (stage.film === null) return null;
  const isOnFilm = document.activeElement === stage.place;
  const name = event.shiftKey && event.key.startsWith("Arrow") ? `Shift+${event.key}` : event.key;
  return (isOnFilm ? ON_FILM[name] : undefined) ?? ANYWHERE[event.key] ?? null;
}

/** Whoever writes, chooses or uses a shortcut of the browser does not speak to the film. */
function isElsewhere(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return true;
  return event.target.closest?.("input:not([type=range]), select, textarea, dialog") !== null;
}
