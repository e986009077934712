// Wires the page's parts. Each of them owns its places and knows nothing of the others.

import { byId } from "./elements.js";
import { Filters } from "./filters.js";
import { bindKeys, startKeys } from "./keys.js";
import { Live } from "./live.js";
import { address, placeOf, startRouter } from "./router.js";
import { receive } from "./sending.js";
import { makeShell } from "./shell.js";
import { showSigning, startSigning, whoIsSignedIn } from "./signing.js";
import { showState, startTheme } from "./states.js";
import { Studies, keyOf } from "./studies.js";

const studies = new Studies();
const live = new Live(studies);
// What the worklist knows, whether it is looked at or not: `order` are the studies as they are filtered, `chosen` is the
// one that the keyboard is on.
const desk = { studies, live, filters: new Filters(), order: [], chosen: null };

const shell = makeShell({
  desk,
  session: whoIsSignedIn,
  sites: () => sites(whoIsSignedIn()?.sites ?? []),
  neighbour: (site, studyUid, step) => {
    const at = desk.order.findIndex(({ key }) => key === keyOf(site, studyUid));
    return at < 0 ? null : (desk.order[at + step] ?? null);
  },
});

function sites(own) {
  return [...new Set([...own, ...studies.sites()])].sort();
}

function step(direction) {
  const { view, parameters } = placeOf(window.location.hash) ?? {};
  if (view !== "study") return;
  const next = shell.neighbour(parameters.site, parameters.study_uid, direction);
  if (next === null) shell.say(direction > 0 ? "No study follows in the worklist." : "No study comes before.");
  else {
    desk.chosen = next.key;
    // A study of the blind list stays veiled, whichever way one comes to it.
    shell.go(address("study", next.site, next.study_uid, next.outcome === "blind" ? "blind" : null));
  }
}

startTheme();
startKeys();
bindKeys({
  j: () => step(1),
  k: () => step(-1),
  "?": () => byId("help").showModal(),
  Escape: () => shell.go(address("worklist")),
});
byId("help-open").addEventListener("click", () => byId("help").showModal());
// A film may be dropped anywhere; it must never replace the page.
window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length > 0) {
    shell.go(address("send"));
    receive([...event.dataTransfer.files]);
  }
});
live.looked(() => {
  showState(live);
  showSigning(live.state.kind);
});
shell.tick(() => showState(live));
startSigning(({ isAnother }) => {
  // Another reader may see other sites: nothing stays of the studies of the one before.
  if (!isAnother) live.look();
  else {
    studies.clear();
    live.want(desk.filters.wanted);
  }
});
startRouter(byId("main"), shell);
live.start();
