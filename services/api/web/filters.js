// What of the worklist the reader wants to see, and the controls for it. How long back and whether blind readings alone
// is asked of the service; the rest is chosen among what is known.

import { element } from "./elements.js";
import { standing } from "./studies.js";
import { count } from "./words.js";

const STANDINGS = [
  ["", "All"],
  ["flagged", "Flagged"],
  ["review", "Needs review"],
  ["pending", "Waiting"],
  ["rest", "Not flagged"],
];
const TIMES = [
  ["24", "last 24 hours"],
  ["168", "last 7 days"],
  ["", "any time"],
];
const EVERY_SITE = "every site";
const NONE = { standing: "", priority: "", site: "", text: "" };

/** The reader's choice; it outlives the view. */
export class Filters {
  chosen = { ...NONE };
  hours = TIMES[0][0];
  isBlind = false;

  /** Whether anything is hidden. */
  get areOn() {
    return Object.values(this.chosen).some((value) => value !== "");
  }

  /** Hide nothing any more. */
  drop() {
    this.chosen = { ...NONE };
  }

  /** Choose how studies stand, or all again where that was chosen. */
  toggle(wanted) {
    this.chosen.standing = this.chosen.standing === wanted ? "" : wanted;
  }

  /** What is to be asked of the service. */
  get wanted() {
    return { hours: this.hours === "" ? null : Number(this.hours), blind: this.isBlind };
  }

  /**
   * Return the studies that are wanted, and how many of each standing there are under the other filters.
   * @param {object[]} studies
   * @param {number} now
   */
  of(studies, now) {
    const counts = { "": 0, flagged: 0, review: 0, pending: 0, rest: 0, blind: 0 };
    const { priority, site, text } = this.chosen;
    const wanted = this.isBlind ? "" : this.chosen.standing;
    const shown = studies.filter((study) => {
      if ((priority !== "" && study.priority !== priority) || (site !== "" && study.site !== site)) return false;
      if (text !== "" && !study.study_uid.includes(text)) return false;
      const stands = standing(study, now);
      counts[""] += 1;
      counts[stands] += 1;
      return wanted === "" || wanted === stands;
    });
    return { shown, counts };
  }
}

/**
 * Return the controls and how to bring them up to date.
 * @param {Filters} filters
 * @param {{onChoice: function(): void, onWanted: function(): void}} told of a choice among what is known, and of one
 *   that the service has to be asked about
 */
export function filterBar(filters, { onChoice, onWanted }) {
  const segments = STANDINGS.map(([name, title]) => segment(name, title, filters, onChoice));
  const find = element("input", { id: "find", type: "search", placeholder: "Study UID", autocomplete: "off" });
  find.setAttribute("aria-label", "Find a study by its UID");
  find.addEventListener("input", () => ((filters.chosen.text = find.value.trim()), onChoice()));
  find.addEventListener("keydown", ({ key }) => key === "Escape" && find.blur());
  const priority = select("priority", "Priority", [["", "any priority"], ["stat", "urgent"], ["routine", "routine"]]);
  priority.field.addEventListener("change", () => ((filters.chosen.priority = priority.field.value), onChoice()));
  const site = select("site", "Site", [["", EVERY_SITE]]);
  site.field.addEventListener("change", () => ((filters.chosen.site = site.field.value), onChoice()));
  const since = select("since", "Submitted", TIMES);
  since.field.addEventListener("change", () => ((filters.hours = since.field.value), onWanted()));
  const blind = element("input", { id: "blind", type: "checkbox" });
  blind.addEventListener("change", () => ((filters.isBlind = blind.checked), onWanted()));
  const buttons = segments.map((each) => each.button);
  const group = element("div", { class: "segments", role: "group", "aria-label": "How studies stand" }, ...buttons);
  const bar = element(
    "div",
    { class: "filters", role: "search", "aria-label": "Filters of the worklist" },
    group,
    element("p", { class: "field" }, find),
    priority.place,
    site.place,
    since.place,
    element("label", { class: "check", for: "blind" }, blind, "Blind readings"),
  );
  const update = (counts, sites) => {
    for (const each of segments) each.update(counts);
    group.hidden = filters.isBlind; // how a study stands is what is not to be known
    offer(site, sites, filters.chosen.site);
    if (document.activeElement !== find) find.value = filters.chosen.text;
    [priority.field.value, since.field.value, blind.checked] = [filters.chosen.priority, filters.hours, filters.isBlind];
  };
  return { bar, find, update };
}

function segment(name, title, filters, onChoice) {
  const number = element("b", {}, "");
  const button = element("button", { type: "button", class: `segment ${name}` }, `${title} `, number);
  button.addEventListener("click", () => {
    filters.chosen.standing = name;
    onChoice();
  });
  const update = (counts) => {
    const text = counts === null ? "–" : count(counts[name]);
    if (number.textContent !== text) number.textContent = text;
    button.setAttribute("aria-pressed", String(filters.chosen.standing === name));
  };
  return { button, update };
}

// What is chosen says what it is about; a name before each of them would cost the bar a second line at 1280 px.
function select(id, title, choices) {
  const options = choices.map(([value, text]) => element("option", { value }, text));
  const field = element("select", { id, "aria-label": title }, ...options);
  return { field, place: element("p", { class: "field" }, field) };
}

/** Offer the sites that there are; one site is no choice. */
function offer({ field, place }, sites, chosen) {
  const wanted = ["", ...new Set([...sites, chosen].filter((name) => name !== ""))];
  place.hidden = wanted.length <= 2 && chosen === "";
  if (wanted.join("\n") !== [...field.options].map(({ value }) => value).join("\n")) {
    field.replaceChildren(...wanted.map((value) => element("option", { value }, value === "" ? EVERY_SITE : value)));
  }
  field.value = chosen;
}
