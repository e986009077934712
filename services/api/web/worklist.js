// The worklist's view: the studies in the order in which to read, the filters, and the keyboard's way through them.

import { element } from "./elements.js";
import { filterBar } from "./filters.js";
import { bindKeys } from "./keys.js";
import { COLUMNS, fillLine, itemOf, makeLine, refreshLine } from "./lines.js";
import { Rows } from "./rows.js";
import { GROUPS, groupOf } from "./studies.js";
import { count } from "./words.js";

/** Show the worklist. `shell.desk` is its own: `{ studies, live, filters, order, chosen }`. */
export function mount(place, { shell }) {
  const view = new WorklistView(place, shell);
  return () => view.leave();
}

class WorklistView {
  #shell;
  #desk;
  #parts;
  #rows;
  #bar;
  #stops;
  #items = [];
  #isQueued = false;

  constructor(place, shell) {
    this.#shell = shell;
    this.#desk = shell.desk;
    this.#parts = tableParts();
    this.#bar = filterBar(this.#desk.filters, { onChoice: () => this.#draw(), onWanted: () => this.#want() });
    place.append(element("h1", { class: "unseen" }, "Worklist"), this.#bar.bar, this.#parts.note, this.#parts.scroller);
    this.#rows = new Rows(this.#parts.scroller, this.#parts, { make: makeLine, fill: fillLine });
    this.#parts.body.addEventListener("focusin", ({ target }) => this.#choose(itemOf(target.closest("tr")).key));
    this.#stops = [
      shell.changed(() => this.#soon()),
      shell.tick(() => this.#tick()),
      shell.looked(() => this.#soon()),
      bindKeys(this.#keys()),
    ];
    this.#draw();
    this.#find(this.#desk.chosen);
  }

  leave() {
    for (const stop of this.#stops) stop();
    this.#rows.leave();
    this.#rows = null;
  }

  #keys() {
    const choose = (name) => () => (this.#desk.filters.toggle(name), this.#draw());
    return {
      j: () => this.#step(1),
      k: () => this.#step(-1),
      f: choose("flagged"),
      u: choose("review"),
      b: () => ((this.#desk.filters.isBlind = !this.#desk.filters.isBlind), this.#want()),
      "/": () => this.#bar.find.focus(),
      Escape: () => (this.#desk.filters.drop(), this.#draw()),
    };
  }

  /** Ask the service for another list; what is known of this one is none of it. */
  #want() {
    this.#desk.studies.clear();
    this.#desk.live.want(this.#desk.filters.wanted);
    this.#draw();
  }

  #soon() {
    if (this.#isQueued) return;
    this.#isQueued = true;
    requestAnimationFrame(() => {
      this.#isQueued = false;
      if (this.#rows !== null) this.#draw();
    });
  }

  /** Only what can be seen is brought up to date; the order, when a study has become overdue. */
  #tick() {
    if (this.#desk.studies.isDue()) this.#draw();
    else for (const row of this.#rows.rows) refreshLine(row);
  }

  #draw() {
    const { studies, filters } = this.#desk;
    const now = Date.now();
    const { shown, counts } = filters.of(studies.ordered(now), now);
    this.#desk.order = shown;
    this.#items = filters.isBlind ? shown : withHeadings(shown, now);
    const sites = this.#shell.sites();
    // Where nothing is known yet, none is no number that anybody may read.
    this.#bar.update(isKnown(this.#desk) ? counts : null, sites);
    this.#parts.table.setAttribute("aria-rowcount", String(this.#items.length + 1));
    this.#parts.table.classList.toggle("one-site", sites.length < 2);
    const said = noteOf(this.#desk, shown.length);
    if (this.#parts.note.textContent !== said) this.#parts.note.textContent = said;
    this.#parts.scroller.classList.toggle("empty", shown.length === 0);
    this.#rows.show(this.#items);
    this.#mark();
  }

  #step(step) {
    const studies = this.#desk.order;
    if (studies.length === 0) return;
    const at = studies.findIndex(({ key }) => key === this.#desk.chosen);
    const next = at < 0 ? 0 : Math.min(studies.length - 1, Math.max(0, at + step));
    this.#find(studies[next].key);
  }

  /** Put the keyboard on a study's row, wherever it is in the list. */
  #find(key) {
    const index = this.#items.findIndex((item) => item.key === key);
    if (index >= 0) this.#rows.reveal(index).querySelector("a").focus({ preventScroll: true });
  }

  #choose(key) {
    this.#desk.chosen = key;
    this.#mark();
  }

  #mark() {
    for (const row of this.#rows.rows) {
      if (itemOf(row).key === this.#desk.chosen) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  }
}

function withHeadings(studies, now) {
  const groups = new Map(GROUPS.map(({ name, title }) => [name, { key: `group ${name}`, title, studies: [] }]));
  for (const study of studies) groups.get(groupOf(study, now)).studies.push(study);
  const filled = [...groups.values()].filter((group) => group.studies.length > 0);
  return filled.flatMap(({ key, title, studies: members }) => [{ key, title, count: members.length }, ...members]);
}

function isKnown({ studies, live }) {
  return studies.size > 0 || (live.seenMs !== null && live.isComplete);
}

function noteOf({ studies, live, filters }, shown) {
  if (shown > 0) return live.isComplete ? "" : readSoFar(count(studies.size), live.isCut);
  if (live.state.kind === "locked") return "Sign in to see the worklist.";
  if (live.seenMs === null && live.state.kind !== "connecting") {
    return "Nothing is known of the worklist yet. That does not mean that it is empty.";
  }
  if (!live.isComplete && studies.size === 0) return "Loading …";
  if (studies.size > 0) return "No study matches the filters. Esc drops them all.";
  return filters.isBlind ? "No study waits for a blind reading." : "No studies in this time.";
}

function readSoFar(known, isCut) {
  return isCut ? `The first ${known} studies. More follow: choose a shorter time.` : `${known} studies so far; more are being read.`;
}

function tableParts() {
  const space = () => element("tbody", { class: "space", "aria-hidden": "true" }, element("tr", {}));
  const [before, after] = [space(), space()];
  const body = element("tbody", { role: "rowgroup" });
  const heads = COLUMNS.map(([name, title]) => element("th", { role: "columnheader", class: name }, title));
  const head = element("thead", { role: "rowgroup" }, element("tr", { role: "row", "aria-rowindex": "1" }, ...heads));
  const attributes = { id: "worklist", role: "table", "aria-label": "Studies in the order in which to read" };
  const table = element("table", attributes, head, before, body, after);
  const note = element("p", { id: "worklist-note", class: "note", role: "status" });
  const scroller = element("div", { class: "rows", tabindex: "0", role: "region", "aria-label": "Studies" }, table);
  return { before, body, after, table, note, scroller };
}
