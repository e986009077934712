// What a threshold does, in sentences and figures. Told what was computed; computes nothing itself.

import { element } from "./elements.js";
import { count, estimateText, gauge, interval, score, share, thresholdText } from "./estimates.js";
import { sparedPerMissNeeded, flagEverythingF3 } from "./explorer_arithmetic.js";
import { percent } from "./words.js";

const PER = 1000;

/** Return the four figures that a threshold is chosen by. */
export function gauges(found, row, table, floor) {
  const below = found.sensitivity.value < floor ? `, below the floor of ${percent(floor)}` : "";
  const { true_positives: hits, false_positives: alarms } = row;
  const { positives, negatives } = table;
  return [
    gauge(
      "Sensitivity",
      found.sensitivity,
      share,
      `${hits} of ${positives} test films with a finding are flagged${below}`,
    ),
    gauge("Specificity", found.specificity, share, `${negatives - alarms} of ${negatives} without one are not flagged`),
    gauge("Cleared per 1,000", found.cleared, count, "films that would not be flagged, missed ones included"),
    gauge("Missed per 1,000", found.missed, count, "films with a finding that would not be flagged"),
  ];
}

/** Return the threshold's consequences as sentences. */
export function sentences(found, prevalence) {
  const [sick, well] = [PER * prevalence, PER * (1 - prevalence)];
  return [
    paragraph(
      `Of 1,000 films with a prevalence of ${percent(prevalence)}, ${count(sick)} have a finding. `,
      ...estimateText(found.missed, count),
      " of these would be missed: not flagged, they wait in the rest of the list until somebody reads them in their turn.",
    ),
    paragraph(
      `Of the ${count(well)} without a finding, `,
      ...estimateText(found.spared, count),
      " would not be flagged, and cost nobody an early look; ",
      ...estimateText(found.needless, count),
      " would be flagged for nothing.",
    ),
    paragraph(
      "In all, ",
      ...estimateText(found.flagged, count),
      " of 1,000 would be flagged. Of the flagged, ",
      ...estimateText(found.ppv, share),
      " have a finding; of the cleared, ",
      ...estimateText(found.npv, share),
      " have none. Cleared is not read: every film still has to be, whatever the threshold.",
    ),
  ];
}

/** Return how F3 compares with flagging everything, as sentences. */
export function againstEverything(found, prevalence) {
  const everything = flagEverythingF3(prevalence);
  return [
    paragraph(
      "F3 is ",
      ...estimateText(found.f3, score),
      "; that of flagging everything is ",
      element("b", {}, score(everything)),
      ` at this prevalence. `,
      element("strong", {}, verdictOf(found, everything)),
    ),
    exchange(found, prevalence),
  ];
}

function verdictOf({ f3, sensitivity, sparedPerMiss }, everything) {
  if (sensitivity.low === sensitivity.high) return "This is flagging everything.";
  if (sparedPerMiss.value === null) return "On these test films this is flagging everything.";
  if (f3.low > everything) return "By F3 this threshold is better than flagging everything.";
  if (f3.high < everything) return "By F3 this threshold is worse than flagging everything.";
  return "By F3 these test films cannot tell it from flagging everything: its figure lies inside the interval.";
}

function exchange({ sparedPerMiss, missed }, prevalence) {
  const needed = `F3 asks for more than ${count(sparedPerMissNeeded(prevalence))}`;
  if (sparedPerMiss.value === null)
    return paragraph(`Nothing is spared, and nothing missed. ${needed} spared for each one missed.`);
  if (missed.value === 0) {
    const least = `at least ${count(sparedPerMiss.low)} without a finding are spared for each one missed`;
    return paragraph(
      `No test film with a finding is missed, so that only a limit can be given: ${least} (95 % interval). ${needed}.`,
    );
  }
  return paragraph(
    "For each film missed, ",
    ...estimateText(sparedPerMiss, count),
    ` without a finding are spared. ${needed}.`,
  );
}

/** Return what the threshold says about what a miss is worth, as a sentence. */
export function costSentence({ low, high, extra, better }) {
  if (better.length === 0 && low === 0 && high === 0) {
    return paragraph("Only where a missed film costs nothing at all is this threshold the cheapest.");
  }
  if (better.length === 0) {
    const range = ratioRange(low, high);
    return paragraph(
      "On these test films it is the cheapest threshold where one missed film weighs as much as ",
      range,
      " needless reads.",
    );
  }
  if (better.length === 1) {
    return paragraph(
      `On these test films a threshold of ${thresholdText(better[0])} finds as many of the films with a finding, with `,
      element("b", {}, count(extra)),
      " needless reads per 1,000 films fewer. It is the cheaper one whatever a missed film weighs; beside all others, " +
        "this one would pay where a missed film weighs as much as ",
      ratioRange(low, high),
      " needless reads.",
    );
  }
  return paragraph(
    "On these test films another threshold is cheaper whatever a missed film weighs. This one comes closest at ",
    ratioRange(low, high),
    " needless reads for a miss; there it costs ",
    element("b", {}, count(extra)),
    ` needless reads per 1,000 films more than ${better.map(thresholdText).join(" or ")}.`,
  );
}

function ratioRange(low, high) {
  if (!Number.isFinite(high)) return element("b", {}, `${count(low)} or more`);
  const same = count(low) === count(high);
  return element("b", {}, same ? count(low) : `${count(low)} to ${count(high)}`);
}

/** Return on what the figures rest, and what they cannot say. */
export function footing({ positives, negatives, evidence }) {
  const step = (100 / positives).toFixed(1);
  return [
    paragraph(
      element("b", {}, `${positives} test films with a finding and ${negatives} without`),
      ` carry all of this; one film that changes sides moves the sensitivity by ${step} percentage points. They are: ${evidence.replace(/\.?$/, ".")}`,
    ),
    paragraph(
      "Intervals are 95 % (Wilson; MOVER where two shares meet). They take each film for itself: several films of one " +
        "patient resemble each other, and the truth is less certain than they say. A threshold that is picked because it " +
        "looks best here looks better than it is: the same films chose it. And your films differ from these: what readers " +
        "found of yours is under Performance.",
    ),
  ];
}

function paragraph(...parts) {
  return element("p", {}, ...parts);
}

const FIGURES = [
  ["Sensitivity", "sensitivity", share],
  ["Specificity", "specificity", share],
  ["Flagged per 1,000", "flagged", count],
  ["Missed per 1,000", "missed", count],
  ["Cleared per 1,000", "cleared", count],
  ["Flagged for nothing per 1,000", "needless", count],
  ["Spared (cleared, without a finding) per 1,000", "spared", count],
  ["Of the flagged, with a finding (PPV)", "ppv", share],
  ["Of the cleared, without one (NPV)", "npv", share],
  ["Spared for each one missed", "sparedPerMiss", count],
  ["F3", "f3", score],
];

/** Return rows of a table: each figure here, with its interval, and what it is with the policy in force. */
export function comparison(found, inForce) {
  return FIGURES.map(([name, key, write]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      element("td", { class: "number" }, write(found[key].value)),
      element("td", {}, interval(found[key], write)),
      element("td", { class: "number" }, inForce === null ? "–" : write(inForce[key].value)),
    ),
  );
}
