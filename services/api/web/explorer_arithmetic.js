// What a threshold does, computed from an operating table. Pure: knows neither the page nor the service.
//
// A table counts, for each threshold that changes anything on the test films of a model, how many with a finding and how
// many without one score at or above it. Sensitivity and specificity come from these counts; what depends on how many
// films have a finding, from the prevalence that the reader gives.

const Z = 1.959963984540054; // two-sided 95 %
const PER = 1000;
const ROUNDING = 1e-9;

/**
 * An estimate with its 95 % interval; `value` is null where there is nothing to estimate it from.
 * @typedef {{value: number|null, low: number, high: number}} Estimate
 * @typedef {{threshold: number, true_positives: number, false_positives: number}} Row
 * @typedef {{positives: number, negatives: number, evidence: string, rows: Row[]}} Table
 */

const exactly = (value) => ({ value, low: value, high: value });
const scaled = ({ value, low, high }, factor) => ({ value: value * factor, low: low * factor, high: high * factor });
const complement = ({ value, low, high }) => ({ value: 1 - value, low: 1 - high, high: 1 - low });

/**
 * Return a share with its interval (Wilson 1927, score interval without continuity correction).
 * @param {number} hits
 * @param {number} trials
 * @returns {Estimate}
 */
export function wilson(hits, trials) {
  if (trials === 0) return { value: null, low: 0, high: 1 };
  const share = hits / trials;
  const weight = (Z * Z) / trials;
  const centre = (share + weight / 2) / (1 + weight);
  const half = (Z / (1 + weight)) * Math.sqrt((share * (1 - share)) / trials + weight / (4 * trials));
  // Rounding must not put 0 or 1 outside of an interval that ends there.
  const low = hits === 0 ? 0 : centre - half;
  return { value: share, low, high: hits === trials ? 1 : centre + half };
}

/**
 * Return the ratio of two independent estimates with its interval (MOVER-R: Donner and Zou 2012).
 *
 * Each limit is where the limit of `above - ratio x below` crosses zero. The lower one is written so that nothing
 * divides by zero; the upper one is infinite where `below` may be zero.
 */
function ratio(above, below) {
  const product = above.value * below.value;
  const lowRoot = root(product, above.low, above.value, below.high, below.value);
  const highRoot = root(product, above.high, above.value, below.low, below.value);
  const least = above.low === 0 ? 0 : (above.low * (2 * above.value - above.low)) / (product + lowRoot);
  const most = below.low === 0 ? Infinity : (product + highRoot) / (below.low * (2 * below.value - below.low));
  return { value: above.value / below.value, low: least, high: most };
}

function root(product, limitAbove, above, limitBelow, below) {
  const square = product ** 2 - limitAbove * limitBelow * (2 * above - limitAbove) * (2 * below - limitBelow);
  return Math.sqrt(Math.max(0, square));
}

/** Return the sum of two independent estimates with its interval (MOVER: Zou and Donner 2008). */
function sum(one, other) {
  const value = one.value + other.value;
  const down = Math.hypot(one.value - one.low, other.value - other.low);
  const up = Math.hypot(one.high - one.value, other.high - other.value);
  return { value, low: value - down, high: value + up };
}

/** Return `part / (part + rest)`; null where both are zero: a share of no films. */
function shareOf(part, rest) {
  if (part.value === 0 && rest.value === 0) return { value: null, low: 0, high: 1 };
  if (part.low === part.high && rest.low === rest.high) return exactly(part.value / (part.value + rest.value));
  // Towards the larger of both, so that the division is by something.
  if (part.value < rest.value) {
    const odds = ratio(part, rest);
    return { value: odds.value / (1 + odds.value), low: odds.low / (1 + odds.low), high: 1 - 1 / (1 + odds.high) };
  }
  const odds = ratio(rest, part);
  return { value: 1 / (1 + odds.value), low: 1 / (1 + odds.high), high: 1 / (1 + odds.low) };
}

/**
 * Return the table's rows from the lowest threshold to the highest, with both ends: flagging everything, and nothing.
 * @param {Table} table
 * @returns {Row[]}
 */
export function rowsOf({ positives, negatives, rows }) {
  const everything = { threshold: 0, true_positives: positives, false_positives: negatives };
  const nothing = { threshold: 1, true_positives: 0, false_positives: 0 };
  const between = rows.filter(({ threshold }) => threshold > 0 && threshold < 1);
  const sorted = [...between].sort((one, other) => one.threshold - other.threshold);
  const last = rows.find(({ threshold }) => threshold === 1) ?? nothing;
  return [everything, ...sorted, last];
}

/**
 * Return which row a threshold amounts to: the next one that is not below it, because films between are none.
 * @param {Row[]} rows as `rowsOf` returns them
 * @param {number} threshold in [0, 1]
 */
export function indexAt(rows, threshold) {
  const found = rows.findIndex((row) => row.threshold >= threshold);
  return found === -1 ? rows.length - 1 : found;
}

/**
 * Return the shortest number, of three digits at least, that decides all test films as a row's threshold does.
 *
 * It is never above that threshold: where a film lies between the two, it is flagged.
 * @param {Row[]} rows as `rowsOf` returns them
 * @param {number} place of a row
 */
export function roundThreshold(rows, place) {
  const { threshold } = rows[place];
  if (place === 0 || threshold === 1) return threshold;
  for (let digits = 3; digits < 16; digits += 1) {
    const short = Math.floor(threshold * 10 ** digits) / 10 ** digits;
    if (short <= threshold && short > rows[place - 1].threshold) return short;
  }
  return threshold;
}

/** Return the F3 of flagging everything; no figure of a threshold means much without it. */
export function flagEverythingF3(prevalence) {
  return (10 * prevalence) / (1 + 9 * prevalence);
}

/**
 * Return how many films without a finding have to be spared for each one missed, before F3 beats flagging everything.
 *
 * F3 = 10 TP / (10 TP + 9 FN + FP) exceeds 10 pi / (1 + 9 pi) where TN / FN exceeds 8 + 1 / pi.
 */
export function sparedPerMissNeeded(prevalence) {
  return 8 + 1 / prevalence;
}

/**
 * Return what a threshold does, as estimates with intervals.
 * @param {Table} table
 * @param {number} threshold in [0, 1]
 * @param {number} prevalence share of the site's films with a finding, in (0, 1)
 * @returns {Object<string, Estimate>} `sensitivity`, `specificity`, `ppv`, `npv`, `f3`; of 1,000 films those `flagged`,
 *   `needless` ones (flagged without a finding), `cleared` (not flagged, as the bundle's report says it), and of these
 *   the `missed` (with a finding) and the `spared` (without); `sparedPerMiss`
 */
export function consequences(table, threshold, prevalence) {
  const rows = rowsOf(table);
  const row = rows[indexAt(rows, threshold)];
  // Flagging everything misses nothing by construction: there is nothing to estimate.
  const isEverything = threshold === 0;
  const sensitivity = isEverything ? exactly(1) : wilson(row.true_positives, table.positives);
  const alarms = isEverything ? exactly(1) : wilson(row.false_positives, table.negatives);
  const specificity = complement(alarms);
  const [found, missed] = [scaled(sensitivity, prevalence), scaled(complement(sensitivity), prevalence)];
  const [needless, spared] = [scaled(alarms, 1 - prevalence), scaled(specificity, 1 - prevalence)];
  return {
    sensitivity,
    specificity,
    cleared: scaled(sum(spared, missed), PER),
    spared: scaled(spared, PER),
    missed: scaled(missed, PER),
    needless: scaled(needless, PER),
    flagged: scaled(sum(found, needless), PER),
    ppv: shareOf(found, needless),
    npv: shareOf(spared, missed),
    f3: f3(found, needless, prevalence),
    sparedPerMiss: missed.value === 0 && spared.value === 0 ? exactly(null) : perMiss(spared, missed),
  };
}

/** Return F3 = 10 r pi / (r pi + f (1 - pi) + 9 pi), which is ten times the share of `found` in that sum. */
function f3(found, needless, prevalence) {
  const rest = sum(needless, exactly(9 * prevalence));
  return scaled(shareOf(found, rest), 10);
}

function perMiss(spared, missed) {
  if (missed.value > 0) return ratio(spared, missed);
  const inverse = ratio(missed, spared);
  return { value: Infinity, low: 1 / inverse.high, high: Infinity };
}

/** Return the rows that some ratio of costs makes the cheapest: the upper hull of the ROC curve, from `nothing` on. */
function hullOf(table) {
  const points = rowsOf(table)
    .reverse()
    .map((row) => ({ ...row, f: row.false_positives / table.negatives, r: row.true_positives / table.positives }));
  const hull = [];
  for (const point of points) {
    while (hull.length > 1 && turns(hull.at(-2), hull.at(-1), point) >= -1e-12) hull.pop();
    if (hull.length === 0 || hull.at(-1).f !== point.f || hull.at(-1).r !== point.r) hull.push(point);
  }
  return hull;
}

// Above zero: the way from `a` over `b` to `c` turns left, and `b` lies below the hull.
const turns = (a, b, c) => (b.f - a.f) * (c.r - a.r) - (b.r - a.r) * (c.f - a.f);

/**
 * Return which ratios of costs a threshold implies: how many needless reads one missed film is worth, if this threshold
 * is to cost least of all on these test films.
 *
 * `low` and `high` are the ratios between which it is the cheapest. Where another one is cheaper at every ratio, they
 * are where it comes closest, `extra` is what it still costs more there, in needless reads per 1,000 films, and `better`
 * are the thresholds that cost less.
 * @param {Table} table
 * @param {number} threshold
 * @param {number} prevalence
 * @returns {{low: number, high: number, extra: number, better: number[]}}
 */
export function impliedCosts(table, threshold, prevalence) {
  const hull = hullOf(table);
  const rows = rowsOf(table);
  const row = rows[indexAt(rows, threshold)];
  const [r, f] = [row.true_positives / table.positives, row.false_positives / table.negatives];
  const next = hull.findIndex((point) => point.r > r - 1e-12);
  const [below, above] = [hull[next - 1], hull[next]];
  const tie = (one, other) => ((other.f - one.f) * (1 - prevalence)) / ((other.r - one.r) * prevalence);
  const isVertex = Math.abs(above.r - r) < 1e-12;
  const low = next === 0 ? 0 : tie(below, above);
  if (!isVertex) {
    const extra = PER * (low * prevalence * (above.r - r) + (1 - prevalence) * (f - above.f));
    const better = extra > ROUNDING ? [below.threshold, above.threshold] : [];
    return { low, high: low, extra: Math.max(0, extra), better };
  }
  // What only adds needless reads is never worth it: from the first that finds all films on, any ratio will do.
  const high = next === hull.length - 1 || hull[next + 1].r === above.r ? Infinity : tie(above, hull[next + 1]);
  const extra = PER * (1 - prevalence) * (f - above.f);
  return { low, high, extra, better: extra > ROUNDING ? [above.threshold] : [] };
}
