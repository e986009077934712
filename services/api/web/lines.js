// One row of the worklist: a study, or the heading of a group. A row is made once and filled again and again, because
// ten thousand studies have to scroll.

import { age } from "./ages.js";
import { element } from "./elements.js";
import { address } from "./router.js";
import { standing } from "./studies.js";
import { OUTCOMES, count, moment } from "./words.js";

/** The columns of the worklist: class and title. */
export const COLUMNS = [
  ["outcomes", "Outcome"],
  ["uid", "Study"],
  ["site", "Site"],
  ["films", "Films"],
  ["age", "Age"],
  ["submitted", "Submitted"],
];
const AGE = 4;

const partsOf = new WeakMap();

/** Return an empty row. */
export function makeLine() {
  // With roles in words: a table whose rows are grids has none of its own in the eyes of a browser.
  const heading = element("th", { class: "heading", role: "rowheader", "aria-colspan": String(COLUMNS.length) });
  const badges = [badge(""), badge("stat", "Stat"), badge("overdue", "Overdue")];
  const link = element("a", {});
  const cells = COLUMNS.map(([name]) => element("td", { class: name, role: "cell" }));
  cells[0].append(...badges);
  cells[1].append(link);
  const time = element("time", {});
  cells[5].append(time);
  const row = element("tr", { class: "line", role: "row" }, heading, ...cells);
  partsOf.set(row, { heading, badges, link, cells, time, item: null, now: "" });
  return row;
}

/**
 * Fill a row.
 * @param {HTMLElement} row
 * @param {object} item a study of studies.js, or `{ key, title, count }`
 * @param {number} index its place in the list
 */
export function fillLine(row, item, index) {
  const parts = partsOf.get(row);
  row.setAttribute("aria-rowindex", String(index + 2)); // after the head
  if (parts.item === item && item.title === undefined) {
    refreshLine(row);
    return;
  }
  const isGroup = item.title !== undefined;
  parts.item = item;
  row.classList.toggle("group", isGroup);
  parts.heading.hidden = !isGroup;
  for (const cell of parts.cells) cell.hidden = isGroup;
  if (isGroup) {
    row.removeAttribute("data-study");
    parts.heading.textContent = `${item.title} · ${count(item.count)}`;
    return;
  }
  fillStudy(row, parts, item);
  refreshLine(row);
}

function fillStudy(row, { badges, link, cells, time }, study) {
  row.dataset.study = study.key;
  const [outcome, stat] = badges;
  outcome.className = `badge ${study.outcome}`;
  outcome.textContent = OUTCOMES[study.outcome]?.name ?? "To be read blind";
  stat.hidden = study.priority !== "stat";
  // Of a study that is to be read blind its view shows no outcome either, until the reader has spoken.
  link.href = address("study", study.site, study.study_uid, study.outcome === "blind" ? "blind" : null);
  link.textContent = study.study_uid;
  link.title = study.study_uid;
  cells[2].textContent = study.site;
  const films = `${study.films} film${study.films === 1 ? "" : "s"}`;
  cells[3].textContent = study.unread > 0 ? `${films}, ${study.unread} unread` : films;
  time.dateTime = study.submitted_at;
  time.textContent = moment(study.submitted_at);
}

/** Let a row's age tick, and say where waiting has become too long: by this page's clock, whoever else is dead. */
export function refreshLine(row) {
  const { item, badges, cells } = partsOf.get(row);
  if (item === null || item.title !== undefined) return;
  const now = Date.now();
  say(cells[AGE], age(now - item.submittedMs));
  const isLate = item.overdue || item.dueMs <= now;
  if (badges[2].hidden === isLate) badges[2].hidden = !isLate;
  const stands = standing(item, now);
  if (row.dataset.standing !== stands) row.dataset.standing = stands;
}

/** Return the item that a row shows. */
export function itemOf(row) {
  return partsOf.get(row).item;
}

function badge(kind, text = "") {
  return element("span", { class: `badge ${kind}` }, text);
}

function say(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}
