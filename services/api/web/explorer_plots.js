// Drawings of the threshold explorer, as SVG made of elements. Each has its words beside it: a drawing is for the eye.

const SPACE = "http://www.w3.org/2000/svg";
const WIDE = 420;
const HIGH = 210;
const LEFT = 46;
const RIGHT = 10;
const TOP = 12;
const BOTTOM = 34;

function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

const along = (value) => LEFT + value * (WIDE - LEFT - RIGHT);
const upTo = (most) => (value) => HIGH - BOTTOM - (value / most) * (HIGH - TOP - BOTTOM);

/** Return an empty drawing over what goes from 0 to 1, with its axes; `below` is what that is. */
function frame(label, { ticks, most, write, below = "threshold" }) {
  const up = upTo(most);
  const lines = ticks.flatMap((tick) => [
    svg("line", { class: "grid", x1: LEFT, x2: WIDE - RIGHT, y1: up(tick), y2: up(tick) }),
    svg("text", { class: "tick", x: LEFT - 5, y: up(tick) + 4, "text-anchor": "end" }, write(tick)),
  ]);
  const marks = [0, 0.25, 0.5, 0.75, 1].map((tick) =>
    svg("text", { class: "tick", x: along(tick), y: HIGH - BOTTOM + 15, "text-anchor": "middle" }, String(tick)),
  );
  const axis = svg("text", { class: "tick", x: along(0.5), y: HIGH - 4, "text-anchor": "middle" }, below);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": label });
  drawing.append(...lines, ...marks, axis);
  return drawing;
}

/** Return a path through points; each holds from the threshold before it on. */
function steps(points, up) {
  return points
    .map(({ threshold, value }, at) => {
      const y = up(value).toFixed(1);
      return at === 0 ? `M${along(threshold).toFixed(1)},${y}` : `V${y}H${along(threshold).toFixed(1)}`;
    })
    .join("");
}

function band(rows, up) {
  const over = steps(
    rows.map(({ threshold, high }) => ({ threshold, value: high })),
    up,
  );
  const corners = rows.flatMap(({ threshold, low }, at) => {
    const before = rows[Math.max(0, at - 1)].threshold;
    return [
      `${along(before).toFixed(1)},${up(low).toFixed(1)}`,
      `${along(threshold).toFixed(1)},${up(low).toFixed(1)}`,
    ];
  });
  return `${over}L${corners.reverse().join("L")}Z`;
}

/** Return a line across at a threshold, which `move` puts elsewhere. */
function marker(kind) {
  const line = svg("line", { class: `marker ${kind}`, y1: TOP - 6, y2: HIGH - BOTTOM });
  const move = (threshold) => {
    line.setAttribute("x1", along(threshold).toFixed(1));
    line.setAttribute("x2", along(threshold).toFixed(1));
    line.setAttribute("visibility", threshold === null ? "hidden" : "visible");
  };
  return { line, move };
}

function withMarkers(drawing) {
  const [inForce, chosen] = [marker("in-force"), marker("chosen")];
  drawing.append(inForce.line, chosen.line);
  return {
    drawing,
    move(threshold, thresholdInForce) {
      chosen.move(threshold);
      inForce.move(thresholdInForce);
    },
  };
}

/**
 * Return a drawing of curves with their intervals over the threshold.
 * @param {string} label for those who do not see it
 * @param {{kind: string, rows: {threshold: number, value: number|null, low: number, high: number}[]}[]} curves
 * @param {{level: number|null, ticks: number[], most: number, write: function(number): string}} scale `level` is drawn
 *   as a line across
 */
export function curvesPlot(label, curves, scale) {
  const up = upTo(scale.most);
  const drawing = frame(label, scale);
  const known = curves.map(({ kind, rows }) => ({ kind, rows: rows.filter(({ value }) => value !== null) }));
  drawing.append(...known.map(({ kind, rows }) => svg("path", { class: `band ${kind}`, d: band(rows, up) })));
  drawing.append(...known.map(({ kind, rows }) => svg("path", { class: `curve ${kind}`, d: steps(rows, up) })));
  if (scale.level !== null) {
    const y = up(scale.level).toFixed(1);
    drawing.append(svg("line", { class: "level", x1: LEFT, x2: WIDE - RIGHT, y1: y, y2: y }));
  }
  return withMarkers(drawing);
}

/**
 * Return a drawing of how many films have which probability.
 * @param {string} label
 * @param {{edges: number[], counts: number[]}} histogram
 */
export function histogramPlot(label, { edges, counts }) {
  const most = Math.max(4, ...counts);
  const ticks = [0, Math.round(most / 2), most];
  const drawing = frame(label, { ticks, most, write: String, below: "probability" });
  const up = upTo(most);
  const bars = counts.map((films, at) => {
    const [from, to] = [along(edges[at]), along(edges[at + 1])];
    const height = up(0) - up(films);
    return svg("rect", { class: "films", x: from + 0.5, y: up(films), width: to - from - 1, height });
  });
  drawing.append(...bars);
  return withMarkers(drawing);
}
