// What hands do to the film: drag for window and level, wheel and pinch for size, two fingers, Shift or the middle
// button to move. Keys do the same, see film_keys.js.

const LEVELS_PER_PIXEL = 0.5;
const WHEEL_ZOOM = 1.0015;

/**
 * Let a pointer change how the film is shown.
 * @param {Stage} stage
 * @param {{movesByDrag: boolean}} hand whether a plain drag moves the film instead
 */
export function handleGestures(stage, hand) {
  const { place } = stage;
  const pointers = new Map();
  place.addEventListener("pointerdown", (event) => {
    if (stage.film === null || event.button > 1 || event.target.closest("button, a")) return;
    event.preventDefault();
    place.focus({ preventScroll: true });
    place.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, spot(event));
  });
  place.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = [...pointers.values()];
    const last = pointers.get(event.pointerId);
    pointers.set(event.pointerId, spot(event));
    if (pointers.size > 1) pinch(stage, before, [...pointers.values()]);
    else drag(stage, event, event.clientX - last.x, event.clientY - last.y, hand);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    place.addEventListener(name, (event) => pointers.delete(event.pointerId));
  }
  place.addEventListener("wheel", (event) => wheel(stage, event), { passive: false });
  place.addEventListener("dblclick", () => stage.fit());
}

function spot({ clientX, clientY }) {
  return { x: clientX, y: clientY };
}

function drag(stage, event, x, y, hand) {
  const moves = event.shiftKey || (event.buttons & 4) !== 0 || hand.movesByDrag;
  if (moves) stage.move(x, y);
  // As viewers do: to the right less contrast, down darker.
  else stage.turn(LEVELS_PER_PIXEL * x, LEVELS_PER_PIXEL * y);
}

function pinch(stage, [a, b], [c, d]) {
  const spread = (one, other) => Math.hypot(one.x - other.x, one.y - other.y);
  const middle = (one, other) => ({ x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 });
  const [from, to] = [middle(a, b), middle(c, d)];
  stage.move(to.x - from.x, to.y - from.y);
  if (spread(a, b) > 0) stage.zoom(spread(c, d) / spread(a, b), to);
}

function wheel(stage, event) {
  if (stage.film === null) return;
  event.preventDefault();
  stage.zoom(WHEEL_ZOOM ** -event.deltaY, spot(event));
}
