// Addresses within the page, and which view each of them shows. A view is a module with
// `mount(place, { parameters, shell })`, which returns what is to be done when the view is left.

import { element } from "./elements.js";

const VIEWS = {
  worklist: { path: "", title: "Worklist", parameters: [], load: () => import("./worklist.js") },
  study: { title: "Study", parameters: ["site", "study_uid", "instance_id"], load: () => import("./study.js") },
  send: { title: "Send a film", parameters: [], load: () => import("./sending.js") },
  thresholds: { title: "Thresholds", parameters: ["site"], load: () => import("./explorer.js") },
  performance: { title: "Performance", parameters: ["site"], load: () => import("./performance.js") },
};
const PRODUCT = "Chest X-ray triage";

/**
 * Return the address of a view.
 * @param {string} view a name of `VIEWS`
 * @param {...(string|null|undefined)} parameters in the view's order; those that are missing end the address
 * @returns {string} a hash, such as `#/study/default/1.2.3`
 */
export function address(view, ...parameters) {
  const known = parameters.slice(0, [...parameters, null].findIndex((value) => value === null || value === undefined));
  return `#/${[VIEWS[view].path ?? view, ...known.map(encodeURIComponent)].join("/")}`;
}

/**
 * Return what an address names: `{ view, parameters }`; null where it names nothing.
 * @param {string} hash
 */
export function placeOf(hash) {
  const [first = "", ...rest] = hash.replace(/^#?\/?/, "").replace(/\/$/, "").split("/");
  const view = Object.keys(VIEWS).find((name) => (VIEWS[name].path ?? name) === first);
  if (view === undefined || rest.length > VIEWS[view].parameters.length) return null;
  try {
    const names = VIEWS[view].parameters;
    return { view, parameters: Object.fromEntries(names.map((name, at) => [name, decoded(rest[at])])) };
  } catch (error) {
    if (error instanceof URIError) return null;
    throw error;
  }
}

function decoded(part) {
  return part === undefined || part === "" ? null : decodeURIComponent(part);
}

/**
 * Show the view that the address names, now and whenever it changes.
 * @param {HTMLElement} main
 * @param {object} shell what views may ask of the page: shell.js
 */
export function startRouter(main, shell) {
  const state = { leave: null, turn: 0, isFirst: true, hash: "#/" };
  const show = () => showView(main, shell, state, show);
  window.addEventListener("hashchange", show);
  show();
  // A view that was never looked at must open too once the service is gone.
  const rest = () => Object.values(VIEWS).forEach((view) => view.load().catch(() => null));
  window.setTimeout(rest, 1500);
}

async function showView(main, shell, state, again) {
  if (window.location.hash === "#main") {
    // The way around the head: it leads to the view that is shown, and is no address of its own.
    window.history.replaceState(null, "", state.hash);
    main.focus();
    if (state.hash !== "#/" || state.leave !== null) return;
  }
  const turn = ++state.turn;
  state.hash = window.location.hash;
  const found = placeOf(window.location.hash) ?? { view: "worklist", parameters: {} };
  leave(state);
  const place = element("section", { class: `view ${found.view}`, "data-view": found.view });
  main.replaceChildren(place);
  mark(found.view);
  try {
    const module = await VIEWS[found.view].load();
    if (turn !== state.turn) return; // another one was wanted meanwhile
    state.leave = module.mount(place, { parameters: found.parameters, shell }) ?? null;
  } catch (error) {
    if (turn !== state.turn) return;
    place.replaceChildren(...failure(error, found.view, again));
  }
  // The view may have put the focus where it wants it; what had it is gone, and the keyboard must not start over.
  if (!state.isFirst && !place.contains(document.activeElement)) main.focus({ preventScroll: true });
  state.isFirst = false;
}

function leave(state) {
  const act = state.leave;
  state.leave = null;
  try {
    act?.();
  } catch (error) {
    console.error(error); // the next view is shown whatever the last one left behind
  }
}

function mark(view) {
  document.title = `${VIEWS[view].title} · ${PRODUCT}`;
  for (const link of document.querySelectorAll(".views a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function failure(error, view, again) {
  // What is no failed download is a fault of ours: the console has it for whoever mends it.
  if (!(error instanceof TypeError)) console.error(error);
  const button = element("button", { type: "button" }, "Try again");
  button.addEventListener("click", again);
  const text = `“${VIEWS[view].title}” cannot be shown: this part of the page could not be loaded. The worklist goes on.`;
  return [element("h1", {}, VIEWS[view].title), element("p", { class: "notice", role: "alert" }, text), button];
}
