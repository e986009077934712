// What the study view asks of the service, by the core call that all parts of the page share.

import { call, json } from "./service.js";

const PATIENCE_SECONDS = 15;
const blob = (response) => response.blob();

function studyPath(site, studyUid, part = "") {
  return `/v1/studies/${encodeURIComponent(studyUid)}${part}?site=${encodeURIComponent(site)}`;
}

/** Return a study with its films. */
export function study(site, studyUid, unless = null) {
  return call(studyPath(site, studyUid), { unless, read: json });
}

/**
 * Return a film's record, as soon as it is done within the wait.
 * @param {string} id
 * @param {{waitSeconds?: number, unless?: AbortSignal}} asked once `unless` is aborted, nobody looks at it any more
 */
export function record(id, { waitSeconds = 0, unless = null } = {}) {
  const query = waitSeconds > 0 ? `?wait=${waitSeconds}` : "";
  return call(`/v1/instances/${id}${query}`, { patienceSeconds: PATIENCE_SECONDS + waitSeconds, unless, read: json });
}

/** Return a picture of a film; `link` is the record's own. */
export function picture(link, unless) {
  return call(link, { unless, read: blob });
}

/** Return a film's result as a DICOM file; `link` is the record's own. */
export function dicomFile(link) {
  return call(link, { patienceSeconds: 30, read: blob });
}

/** Return what the film was before it was scored again, oldest first. */
export async function earlierDecisions(id, unless) {
  return (await call(`/v1/instances/${id}/decisions`, { unless, read: json })).decisions;
}

/** Take a film back; return its record. Repeating is harmless. */
export function withdraw(id) {
  return call(`/v1/instances/${id}`, { method: "DELETE", read: json });
}

/** Have a film scored again; return its record, without outcome. */
export function rescore(id) {
  return call(`/v1/instances/${id}/rescore`, { method: "POST", read: json });
}

/** Return what readers have said of a study, whether more can be said, and whether it waits to be read blind. */
export function assessments(site, studyUid, unless) {
  return call(studyPath(site, studyUid, "/assessments"), { unless, read: json });
}

/**
 * Keep a reader's verdict. The same again within one key is still one.
 * @param {string} site
 * @param {string} studyUid
 * @param {{verdict: string, truth: string, source: string, blind: boolean}} said
 */
export function assess(site, studyUid, said) {
  const headers = { "Content-Type": "application/json" };
  return call(studyPath(site, studyUid, "/assessments"), {
    method: "POST",
    headers,
    body: JSON.stringify(said),
    read: json,
  });
}

/** Return what the service says of a model, or null where nobody serves it any more. */
export async function modelOf(digest, unless) {
  const { models } = await call("/v1/models", { unless, read: json });
  return models.find((model) => model.digest === digest) ?? null;
}

/** Return what each reason for `not_assessed` means. */
export function reasons() {
  return call("/web/reasons.json", { read: json });
}
