// Signing in and out. The key is in the form's field until it is sent, and nowhere afterwards.

import { byId } from "./elements.js";
import { Problem, Unreachable, session, signIn, signOut } from "./service.js";

class NotKept extends Error {
  constructor() {
    super("The key is right, but the browser did not keep the session: it does so only over HTTPS, or for 127.0.0.1.");
  }
}

let who = null; // is signed in; asked for once after each sign-in
let lastKey = null; // whose worklist is known

/** Return who is signed in, as `GET /v1/session` says it, or null where nobody knows. */
export function whoIsSignedIn() {
  return who;
}

/**
 * Make the forms work.
 * @param {function({isAnother: boolean}): void} onSignedIn `isAnother` where it is not who had signed in before
 */
export function startSigning(onSignedIn) {
  const field = byId("key-value");
  byId("key").addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = field.value.trim();
    field.value = "";
    const before = lastKey;
    const trouble = await troubleWith(() => begin(key));
    byId("key-message").textContent = trouble ?? "";
    if (trouble === null) onSignedIn({ isAnother: lastKey !== before });
    else field.focus();
  });
  byId("sign-out").addEventListener("click", async () => {
    const trouble = await troubleWith(end);
    if (trouble !== null) byId("session-name").textContent = trouble;
    // Nothing of what was shown stays for whoever comes next.
    else window.location.reload();
  });
}

/** Ask for a key where the service wants one; else show who is signed in, if anybody has to be. */
export async function showSigning(kind) {
  byId("key").hidden = kind !== "locked";
  if (kind === "locked") {
    who = null;
    byId("session").hidden = true;
  }
  // Also where the worklist is refused: a key that may not read it has to be signed out before another one is given.
  if ((kind === "connected" || kind === "failing") && who === null) await troubleWith(showWho); // the next look tries again
}

async function begin(key) {
  await signIn(key);
  try {
    lastKey = (await session()).key_id;
  } catch (error) {
    throw error.status === 401 ? new NotKept() : error;
  }
}

async function end() {
  try {
    await signOut();
  } catch (error) {
    if (error.status !== 401) throw error; // it had ended before
  }
}

async function showWho() {
  who = await session();
  lastKey = who.key_id;
  byId("session-name").textContent = who.label ?? who.key_id ?? "";
  byId("session").hidden = who.key_id === null;
}

/** Return what the service had against it, or null. */
async function troubleWith(act) {
  try {
    await act();
    return null;
  } catch (error) {
    if (!(error instanceof Problem || error instanceof Unreachable || error instanceof NotKept)) throw error;
    return error.message;
  }
}
