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

/**
 * Ask the service; return what `read` makes of its answer (also of a 304).
 * @param {string} path with its query
 * @param {object} options `read`, and those of `fetch`; `unless` is aborted once nobody waits for the answer any more
 * @throws {Problem} where it refuses
 * @throws {Unreachable} where it does not answer in time, or at all
 */
export async function call(path, { patienceSeconds = PATIENCE_SECONDS, unless = null, read, ...options }) {
  const timeout = AbortSignal.timeout(1000 * patienceSeconds);
  const signal = unless === null ? timeout : AbortSignal.any([timeout, unless]);
  try {
    return await read(await answerOf(path, { ...options, signal }));
  } catch (error) {
    throw error instanceof Problem ? error : new Unreachable();
  }
}

/**
 * Return the body of an answer that goes on for as long as both sides like.
 * @param {string} path
 * @param {{headers: Object<string, string>, unless: AbortSignal}} asked
 */
export async function open(path, { headers, unless }) {
  const impatience = new AbortController();
  const timer = setTimeout(() => impatience.abort(), 1000 * PATIENCE_SECONDS); // until the answer begins
  try {
    return (await answerOf(path, { headers, signal: AbortSignal.any([unless, impatience.signal]) })).body;
  } catch (error) {
    throw error instanceof Problem ? error : new Unreachable();
  } finally {
    clearTimeout(timer);
  }
}

async function answerOf(path, { headers = {}, ...options }) {
  // The header says that this page answers a 401, so that the browser is not told to ask for a password, which it
  // would then send along with every request that any site makes.
  const response = await fetch(path, {
    credentials: "same-origin",
    cache: "no-store",
    redirect: "error",
    headers: { ...headers, "X-Requested-By-Page": "1" },
    ...options,
  });
  if (response.ok || response.status === 304) return response;
  throw await problemOf(response);
}

async function problemOf(response) {
  const isProblem = (response.headers.get("Content-Type") ?? "").startsWith("application/problem+json");
  const { code, detail } = isProblem ? await response.json() : {};
  const wait = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const said = detail ?? `The service answered ${response.status}.`;
  return new Problem(response.status, code ?? "http_error", said, Number.isNaN(wait) ? null : wait);
}

/** Return the answer's JSON: a `read` of `call`. */
export const json = (response) => response.json();

/**
 * Send a film; return its record, done or not. By XMLHttpRequest: fetch does not say how much has gone out.
 * @param {Blob} film
 * @param {string} mediaType
 * @param {Object<string, string>} parameters of `POST /v1/instances`; empty ones are left out
 * @param {function(number): void} onProgress is told the share that has gone out, in [0, 1]
 */
export function submit(film, mediaType, parameters, onProgress = () => {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== ""));
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/v1/instances?${query}`);
    request.setRequestHeader("Content-Type", mediaType);
    request.setRequestHeader("X-Requested-By-Page", "1");
    request.timeout = 1000 * UPLOAD_SECONDS;
    request.upload.addEventListener("progress", ({ loaded, total }) => onProgress(total === 0 ? 0 : loaded / total));
    for (const name of ["error", "timeout", "abort"]) request.addEventListener(name, () => reject(new Unreachable()));
    request.addEventListener("load", async () => {
      const { status, response: body } = request;
      const headers = ["Content-Type", "Retry-After"].map((name) => [name, request.getResponseHeader(name) ?? ""]);
      const response = new Response(body, { status: status === 0 ? 502 : status, headers });
      try {
        resolve(response.ok ? await response.json() : await Promise.reject(await problemOf(response)));
      } catch (error) {
        reject(error instanceof Problem ? error : new Unreachable());
      }
    });
    request.send(film);
  });
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

/** Return the models that are served at the moment. */
export async function models() {
  return (await call("/v1/models", { read: json })).models;
}

/**
 * Return `GET /v1/models` with its tag, or null where it still is the one of that tag.
 * @param {string|null} tag
 */
export function loadedModels(tag) {
  return call("/v1/models", { headers: known(tag), read: tagged });
}

/**
 * Return a page of the worklist with its tag, or null where it still is the one of that tag.
 * @param {{since: string|null, blind: boolean, cursor: string|null, limit: number, tag: string|null}} wanted
 */
export function studies({ since, blind, cursor, limit, tag }) {
  const query = new URLSearchParams({ limit: String(limit) });
  if (since !== null) query.set("since", since);
  if (blind) query.set("blind", "true");
  if (cursor !== null) query.set("cursor", cursor);
  return call(`/v1/studies?${query}`, { headers: known(tag), read: tagged });
}

function known(tag) {
  return tag === null ? {} : { "If-None-Match": tag };
}

async function tagged(response) {
  return response.status === 304 ? null : { tag: response.headers.get("ETag"), ...(await response.json()) };
}
