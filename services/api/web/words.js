// What the page says of outcomes, probabilities and times. There is no verdict of health among its words, because the
// service has none.

export const OUTCOMES = {
  flagged: { name: "Flagged", advice: "Read this film first." },
  not_flagged: {
    name: "Not flagged",
    advice: "Below the threshold. That does not clear the film: somebody still has to read it.",
  },
  not_assessed: { name: "Not assessed", advice: "Nobody judged this film. Somebody has to read it." },
  pending: { name: "Waiting", advice: "No outcome yet; it comes by itself. Who cannot wait reads the film." },
};

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

/**
 * Return a time of the record as this reader's clock shows it: "2026-03-04 17:05:09" (ISO 8601). In no other order,
 * because 3/4 is a day in March to one reader and one in April to the next; and not by `Intl`, whose tables take 30 ms
 * to load before the first row can be shown.
 */
export function moment(text) {
  const time = new Date(text);
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock(time)}`;
}

/** Return the time of day of a `Date`. */
export function clock(time) {
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
}

function two(number) {
  return String(number).padStart(2, "0");
}

/** Return a count in groups of three digits: "10,000". */
export function count(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Return a duration of the record, in the unit that suits it. */
export function duration(milliseconds) {
  if (milliseconds === null) return "–";
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** Return how a study is called on this page, which shows no names: by the end of its UID. */
export function shortStudy(studyUid) {
  return studyUid.length <= 10 ? studyUid : `…${studyUid.slice(-8)}`;
}
