// Every call of the service, and nothing else: what it refuses is a `Problem`, silence is `Unreachable`.
// Where the service asks for a key, it is sent once; a cookie stands for it from then on, which no script can read.

const PATIENCE_SECONDS = 15;
const UPLOAD_SECONDS = 130; // the service itself gives up after 120

/** The service answered, and refused: RFC 9457. */
export class Problem extends Error {
  constructor(status, code, detail, retryAfterSeconds) {
    super(detail);
    this.status = status;
    this.code = code;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** The service did not answer; whether it did what was asked is not known. */
export class Unreachable extends Error {
  constructor() {
    super("The service does not answer.");
  }
}

async function call(path, { patienceSeconds = PATIENCE_SECONDS, unless = null, headers = {}, read, ...options }) {
  const timeout = AbortSignal.timeout(1000 * patienceSeconds);
  const signal = unless === null ? timeout : AbortSignal.any([timeout, unless]);
  try {
    // The header says that this page answers a 401, so that the browser is not told to ask for a password, which it
    // would then send along with every request that any site makes.
    const response = await fetch(path, {
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      headers: { ...headers, "X-Requested-By-Page": "1" },
      signal,
      ...options,
    });
    if (response.ok || response.status === 304) return await read(response);
    throw await problemOf(response);
  } catch (error) {
    throw error instanceof Problem ? error : new Unreachable();
  }
}

async function problemOf(response) {
  const isProblem = (response.headers.get("Content-Type") ?? "").startsWith("application/problem+json");
  const { code, detail } = isProblem ? await response.json() : {};
  const wait = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const said = detail ?? `The service answered ${response.status}.`;
  return new Problem(response.status, code ?? "http_error", said, Number.isNaN(wait) ? null : wait);
}

const json = (response) => response.json();

/**
 * Send a film; return its record, done or not.
 * @param {Blob} film
 * @param {string} mediaType
 * @param {Object<string, string>} parameters of `POST /v1/instances`; empty ones are left out
 */
export function submit(film, mediaType, parameters) {
  const known = Object.entries(parameters).filter(([, value]) => value !== "");
  const query = new URLSearchParams(known);
  const headers = { "Content-Type": mediaType };
  const options = { method: "POST", body: film, headers, patienceSeconds: UPLOAD_SECONDS, read: json };
  return call(`/v1/instances?${query}`, options);
}

/**
 * Return a film's record, as soon as it is done within the wait.
 * @param {string} id
 * @param {{waitSeconds: number, unless: AbortSignal}} asked once `unless` is aborted, nobody looks at the film any more
 */
export function record(id, { waitSeconds, unless }) {
  const patienceSeconds = PATIENCE_SECONDS + waitSeconds;
  return call(`/v1/instances/${id}?wait=${waitSeconds}`, { patienceSeconds, unless, read: json });
}

/**
 * Sign in with a key; return who is signed in from then on. The key goes nowhere else, and is not kept.
 * @param {string} key
 */
export function signIn(key) {
  const headers = { "Content-Type": "application/json" };
  return call("/v1/session", { method: "POST", headers, body: JSON.stringify({ key }), read: json });
}

/** Return who is signed in: `key_id` is null where the service asks for no keys. */
export function session() {
  return call("/v1/session", { read: json });
}

/** End the session. */
export function signOut() {
  return call("/v1/session", { method: "DELETE", read: () => null });
}

/** Return a study with its films; `link` is the service's own. */
export function study(link) {
  return call(link, { read: json });
}

/** Return the models that are served at the moment. */
export async function models() {
  return (await call("/v1/models", { read: json })).models;
}

/** Return what each reason for `not_assessed` means. */
export function reasons() {
  return call("/web/reasons.json", { read: json });
}

/** Return a picture of a film; `link` is the service's own, `unless` as for `record`. */
export function picture(link, unless) {
  return call(link, { unless, read: (response) => response.blob() });
}

/**
 * Return a page of the worklist with its tag, or null where it still is the one of that tag.
 * @param {{since: string|null, limit: number, tag: string|null}} wanted
 */
export function studies({ since, limit, tag }) {
  const query = new URLSearchParams({ limit: String(limit), ...(since === null ? {} : { since }) });
  const headers = tag === null ? {} : { "If-None-Match": tag };
  const read = async (response) =>
    response.status === 304 ? null : { tag: response.headers.get("ETag"), ...(await response.json()) };
  return call(`/v1/studies?${query}`, { headers, read });
}
