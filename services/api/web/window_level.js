// Window and level over the 256 levels of a preview: pure arithmetic, nothing of the page.

/** Every level as it is. */
export const WHOLE = Object.freeze({ window: 256, level: 128 });

const NARROWEST = 2;
const WIDEST = 512;
const LEVELS = 256;

/**
 * Return window and level within their bounds. Fractions stay: a slow drag is made of steps of less than a level.
 * @param {{window: number, level: number}} wanted
 */
export function bounded({ window, level }) {
  return {
    window: Math.min(WIDEST, Math.max(NARROWEST, window)),
    level: Math.min(LEVELS - 1, Math.max(0, level)),
  };
}

/** Return window and level as they are used and told: in whole levels. */
export function whole({ window, level }) {
  return { window: Math.round(window), level: Math.round(level) };
}

/**
 * Return what each level of the preview is shown as: the linear function of PS3.3 C.11.2.1.2.1.
 * @param {{window: number, level: number}} chosen
 * @param {boolean} isInverted
 * @returns {Uint8ClampedArray} 256 levels
 */
export function shownLevels({ window, level }, isInverted = false) {
  const shown = new Uint8ClampedArray(LEVELS);
  for (let stored = 0; stored < LEVELS; stored += 1) {
    const share = (stored - (level - 0.5)) / (window - 1) + 0.5;
    shown[stored] = 255 * Math.min(1, Math.max(0, isInverted ? 1 - share : share));
  }
  return shown;
}

/**
 * Return the window that spans what a film's pixels mostly are: their 1st to 99th percentile.
 * @param {Uint8Array} levels the film's pixels
 */
export function fittedTo(levels) {
  const counts = new Uint32Array(LEVELS);
  for (const stored of levels) counts[stored] += 1;
  const low = percentile(counts, levels.length, 0.01);
  const high = percentile(counts, levels.length, 0.99);
  return bounded({ window: high - low + 1, level: (low + high + 1) / 2 });
}

function percentile(counts, total, share) {
  let seen = 0;
  for (let stored = 0; stored < LEVELS; stored += 1) {
    seen += counts[stored];
    if (seen >= share * total) return stored;
  }
  return LEVELS - 1;
}
