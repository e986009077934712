// Wires the page's parts. Each of them owns a section of index.html and knows nothing of the others.

import { byId } from "./elements.js";
import { showFilm } from "./film.js";
import { startSending } from "./sending.js";
import { showSigning, startSigning } from "./signing.js";
import { startWorklist } from "./worklist.js";

function showConnection({ kind, detail }) {
  const place = byId("connection");
  const text = kind === "connected" ? "Connected" : detail;
  place.className = `connection ${kind}`;
  // A status that says the same again must not be read out again.
  if (place.textContent !== text) place.textContent = text;
  showSigning(kind);
}

/** Show the film of a study that matters most: the oldest of those that made the study's outcome what it is. */
function showStudy(study) {
  // A film that was withdrawn makes no outcome.
  const counted = study.instances.filter((film) => film.reason !== "withdrawn");
  const first = counted.find((film) => (film.outcome ?? "pending") === study.outcome) ?? study.instances[0];
  if (first !== undefined) showFilm(first, study.instances);
}

const look = startWorklist({ onState: showConnection, onStudy: showStudy });

startSending((record) => {
  look();
  showFilm(record);
});

startSigning(look);
