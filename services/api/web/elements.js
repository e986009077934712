// Builds elements. Text is always text: nothing on this page becomes markup, whatever a film or a service says.

/**
 * Return an element with attributes and children; an attribute that is null or false is left out.
 * @param {string} tag
 * @param {Object<string, string|number|boolean|null>} attributes
 * @param {...(Node|string|null)} children
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/**
 * Return the element of this page that has an id.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

/**
 * Return a bar that fills a share of its track; for the eye alone, because its number stands beside it.
 * @param {number} share in [0, 1]
 * @param {number|null} mark where a line crosses the track, in [0, 1]
 */
export function bar(share, mark = null) {
  const track = element("span", { class: "bar", "aria-hidden": "true" });
  const fill = element("span", { class: "fill" });
  fill.style.width = `${100 * share}%`;
  track.append(fill);
  if (mark !== null) {
    const line = element("span", { class: "mark" });
    line.style.left = `${100 * mark}%`;
    track.append(line);
  }
  return track;
}
