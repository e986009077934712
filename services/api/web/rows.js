// Shows a long list through a small window: only rows that can be seen are in the document, and those that scroll out
// of it become those that scroll in. Knows nothing of what is in a row.

const BEYOND = 6; // rows above and below the window, so that a flick of the wheel meets some
const MOST_ROWS = 200;

/** A list of items, each with a `key`, in a table within an element that scrolls. */
export class Rows {
  #scroller;
  #body;
  #spaces;
  #make;
  #fill;
  #rowPx;
  #items = [];
  #shown = new Map(); // key -> row
  #first = -1;
  #last = -1;
  #isQueued = false;
  #watch;

  /**
   * @param {HTMLElement} scroller
   * @param {{before: HTMLElement, body: HTMLElement, after: HTMLElement}} parts table sections: the outer two take the
   *   room of the rows that are not there
   * @param {{make: function(): HTMLElement, fill: function(HTMLElement, object, number): void}} row
   */
  constructor(scroller, { before, body, after }, { make, fill }) {
    this.#scroller = scroller;
    this.#body = body;
    this.#spaces = [before, after];
    this.#make = make;
    this.#fill = fill;
    // Once: to ask for it while rows change would have the browser style them all before it answers.
    this.#rowPx = Number.parseFloat(getComputedStyle(scroller).getPropertyValue("--row-px"));
    scroller.addEventListener("scroll", () => this.#soon(), { passive: true });
    this.#watch = new ResizeObserver(() => this.#soon());
    this.#watch.observe(scroller);
  }

  /** The rows that are in the document. */
  get rows() {
    return this.#shown.values();
  }

  /** Show these items. What the reader looks at stays where it is, whatever comes or goes above it. */
  show(items) {
    const height = this.#rowPx;
    const top = this.#scroller.scrollTop;
    const at = Math.floor(top / height);
    const anchor = top > 0 ? (this.#items[at]?.key ?? null) : null;
    this.#items = items;
    const now = anchor === null ? -1 : items.findIndex(({ key }) => key === anchor);
    this.#first = -1;
    this.#draw();
    if (now >= 0 && now !== at) {
      this.#scroller.scrollTop = top + (now - at) * height;
      this.#draw();
    }
  }

  /** Have the item at `index` within the window, and return its row. */
  reveal(index) {
    const height = this.#rowPx;
    const { scrollTop, clientHeight } = this.#scroller;
    // Below the head, which stays at the top, and the row of the group before it.
    const above = index * height - height;
    const below = index * height + 2 * height - clientHeight + this.#head();
    if (scrollTop > above) this.#scroller.scrollTop = Math.max(0, above);
    else if (scrollTop < below) this.#scroller.scrollTop = below;
    this.#draw();
    return this.#shown.get(this.#items[index].key);
  }

  /** Stop watching. */
  leave() {
    this.#watch.disconnect();
  }

  #soon() {
    if (this.#isQueued) return;
    this.#isQueued = true;
    requestAnimationFrame(() => {
      this.#isQueued = false;
      this.#draw();
    });
  }

  #head() {
    return this.#spaces[0].offsetTop;
  }

  #draw() {
    const height = this.#rowPx;
    const from = Math.floor(this.#scroller.scrollTop / height) - BEYOND;
    const first = Math.max(0, Math.min(from, this.#items.length - 1));
    const seen = Math.min(MOST_ROWS, Math.ceil(this.#scroller.clientHeight / height) + 2 * BEYOND);
    const last = Math.min(this.#items.length, first + seen);
    if (first === this.#first && last === this.#last) return;
    this.#place(first, last);
    this.#spaces[0].firstElementChild.style.height = `${first * height}px`;
    this.#spaces[1].firstElementChild.style.height = `${(this.#items.length - last) * height}px`;
  }

  #place(first, last) {
    const wanted = this.#items.slice(first, last);
    const keys = new Set(wanted.map(({ key }) => key));
    const focused = document.activeElement;
    const free = new Set();
    for (const [key, row] of this.#shown) {
      if (keys.has(key)) continue;
      // The keyboard stays in the list when the row that it was on has gone.
      if (row.contains(focused)) this.#scroller.focus({ preventScroll: true });
      this.#shown.delete(key);
      free.add(row);
    }
    this.#arrange(wanted, first, free);
    // A row that is moved, because its study stands elsewhere now, loses the keyboard on its way.
    const isLost = document.activeElement !== focused && document.activeElement !== this.#scroller;
    if (isLost && this.#body.contains(focused)) focused.focus({ preventScroll: true });
    [this.#first, this.#last] = [first, last];
  }

  /** Bring the rows into this order, moving as few as can be; those that stay free leave the document. */
  #arrange(wanted, first, free) {
    let at = this.#body.firstElementChild;
    wanted.forEach((item, offset) => {
      const known = this.#shown.get(item.key);
      while (known !== undefined && free.has(at)) at = at.nextElementSibling;
      const row = known ?? taken(free, at) ?? this.#make();
      this.#shown.set(item.key, row);
      this.#fill(row, item, first + offset);
      if (row === at) at = at.nextElementSibling;
      else this.#body.insertBefore(row, at);
    });
    for (const row of free) row.remove();
  }
}

/** Take a row that is free: if it can be, the one that stands there already. To move one costs more than to fill it. */
function taken(free, there) {
  const row = free.has(there) ? there : free.values().next().value;
  free.delete(row);
  return row;
}
