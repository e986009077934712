// Where on the stage a film is drawn: fitted, enlarged, moved. Pure arithmetic in the stage's own pixels.

/** The whole film, as large as the stage allows. */
export const FITTED = Object.freeze({ zoom: 1, x: 0, y: 0 });

const LARGEST = 16;

/**
 * Return the rectangle that the film covers.
 * @param {{zoom: number, x: number, y: number}} view `x` and `y` move its centre away from the stage's
 * @param {{width: number, height: number}} stage
 * @param {{width: number, height: number}} film
 */
export function rectangle(view, stage, film) {
  const scale = view.zoom * Math.min(stage.width / film.width, stage.height / film.height);
  const [width, height] = [film.width * scale, film.height * scale];
  return { x: (stage.width - width) / 2 + view.x, y: (stage.height - height) / 2 + view.y, width, height, scale };
}

/**
 * Return the view after zooming so that what lies under a point stays there.
 * @param {object} view
 * @param {number} factor above 1 enlarges
 * @param {{x: number, y: number}} point from the stage's centre
 */
export function zoomed(view, factor, point = { x: 0, y: 0 }) {
  const zoom = Math.min(LARGEST, Math.max(1, view.zoom * factor));
  const grown = zoom / view.zoom;
  return { zoom, x: point.x - grown * (point.x - view.x), y: point.y - grown * (point.y - view.y) };
}

/**
 * Return the view with the film kept on the stage: no edge is drawn past the middle, and a fitted film is centred.
 */
export function kept(view, stage, film) {
  if (view.zoom <= 1) return FITTED;
  const { width, height } = rectangle(view, stage, film);
  const within = (moved, length) => Math.min(length / 2, Math.max(-length / 2, moved));
  return { zoom: view.zoom, x: within(view.x, width), y: within(view.y, height) };
}
