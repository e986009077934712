// What the page says of outcomes, probabilities and times. There is no verdict of health among its words, because the
// service has none.

export const OUTCOMES = {
  flagged: { name: "Flagged", advice: "Read this film first." },
  not_flagged: {
    name: "Not flagged",
    advice: "Below the threshold. That does not clear the film: somebody still has to read it.",
  },
  not_assessed: { name: "Not assessed", advice: "Nobody judged this film. Somebody has to read it." },
  pending: { name: "Waiting", advice: "No outcome yet." },
};

const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/**
 * Return a probability in percent. Nothing is certain, so that no digit claims it: 0.9997 is "> 99.9 %".
 * @param {number} probability in [0, 1]
 * @param {number} digits after the point
 */
export function percent(probability, digits = 1) {
  const shown = (100 * probability).toFixed(digits);
  const step = 10 ** -digits;
  if (Number(shown) === 0 && probability > 0) return `< ${step.toFixed(digits)} %`;
  if (Number(shown) === 100 && probability < 1) return `> ${(100 - step).toFixed(digits)} %`;
  return `${shown} %`;
}

/**
 * Return how many digits tell a probability from its threshold.
 * @param {number} probability
 * @param {number} threshold
 */
export function digitsToTell(probability, threshold) {
  return Math.abs(probability - threshold) < 0.001 ? 4 : 1;
}

/** Return a time of the record as this reader's clock shows it. */
export function moment(text) {
  return MOMENT.format(new Date(text));
}

/** Return the time of day of a `Date`. */
export function clock(time) {
  return CLOCK.format(time);
}

/** Return a duration of the record, in the unit that suits it. */
export function duration(milliseconds) {
  if (milliseconds === null) return "–";
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}
