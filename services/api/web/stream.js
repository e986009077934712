// The service's events, read as they come. By fetch rather than EventSource, which cannot say that this page answers a
// 401 itself. Only a hint that something changed: polling is the truth.

import { Problem, Unreachable, open } from "./service.js";

const SILENT_MS = 40_000; // the service says something every 15 s
const LEAST_PAUSE_MS = 2000;
const MOST_PAUSE_MS = 30_000;

/**
 * Listen while the page is looked at. A browser has six connections for a service: pages in the background, and each of
 * them would hold one, poll instead.
 * @param {function({type: string, data: string}): void} onEvent
 * @returns {{isOpen: function(): boolean}}
 */
export function listen(onEvent) {
  const state = { ending: null, lastId: null, isOpen: false, pauseMs: LEAST_PAUSE_MS };
  const start = () => {
    if (document.hidden || state.ending !== null) return;
    state.ending = new AbortController();
    keepReading(state, onEvent).finally(() => {
      state.ending = null;
      if (!document.hidden) start();
    });
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) state.ending?.abort();
    else start();
  });
  start();
  return { isOpen: () => state.isOpen };
}

async function keepReading(state, onEvent) {
  const { signal } = state.ending;
  while (!signal.aborted) {
    try {
      await readOnce(state, onEvent, signal);
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
      state.pauseMs = Math.min(2 * state.pauseMs, MOST_PAUSE_MS);
    } finally {
      state.isOpen = false;
    }
    await pause(state.pauseMs * (1 + Math.random()), signal);
  }
}

async function readOnce(state, onEvent, unless) {
  const silence = new AbortController();
  const headers = state.lastId === null ? {} : { "Last-Event-ID": state.lastId };
  const body = await open("/v1/events", { headers, unless: AbortSignal.any([unless, silence.signal]) });
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  state.isOpen = true;
  state.pauseMs = LEAST_PAUSE_MS;
  let rest = "";
  let watch = null;
  try {
    for (;;) {
      watch = setTimeout(() => silence.abort(), SILENT_MS);
      const { done, value } = await reader.read();
      clearTimeout(watch);
      if (done) return;
      const frames = (rest + value).split(/\r?\n\r?\n/);
      rest = frames.pop();
      for (const frame of frames) hear(frame, state, onEvent);
    }
  } catch {
    return; // cut off: whoever listens comes again
  } finally {
    clearTimeout(watch);
  }
}

function hear(frame, state, onEvent) {
  const event = { type: "message", data: "" };
  for (const line of frame.split(/\r?\n/)) {
    const [, name, value] = /^([a-z]*): ?(.*)$/.exec(line) ?? [];
    if (name === "id") state.lastId = value;
    else if (name === "event") event.type = value;
    else if (name === "data") event.data += value;
  }
  if (event.data !== "") onEvent(event);
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
