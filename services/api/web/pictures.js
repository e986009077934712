// A film's pictures as bitmaps. They are fetched rather than linked, because what is not there has a reason that the
// reader should see. A service that is busy is asked again a few times.

import { Problem, Unreachable } from "./service.js";
import { picture } from "./study_service.js";

const MOST_TRIES = 6;
const NO_ANSWER_SECONDS = 3;
// Levels as the service wrote them: a monitor's profile is the monitor's business.
const AS_WRITTEN = { colorSpaceConversion: "none" };

/** What was sent is no picture. */
class NoPicture extends Error {
  constructor() {
    super("What the service sent is no picture. Read the film where it is archived.");
  }
}

/**
 * Return the picture, or throw what the service has against it.
 * @param {string} link the record's own
 * @param {object} told
 * @param {AbortSignal} told.unless nobody looks at the film any more
 * @param {function(string): void} told.onWaiting is told why it takes longer
 * @returns {Promise<ImageBitmap>}
 */
export async function fetchBitmap(link, { unless, onWaiting }) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await bitmapOf(await picture(link, unless));
    } catch (error) {
      const wait = waitAfter(error);
      if (unless.aborted || wait === null || tries === MOST_TRIES) throw error;
      onWaiting(`${error.message} Trying again.`);
      await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
      if (unless.aborted) throw error;
    }
  }
}

async function bitmapOf(blob) {
  try {
    return await createImageBitmap(blob, AS_WRITTEN);
  } catch {
    throw new NoPicture();
  }
}

/** Return the seconds after which it may be there, or null where it never will. */
function waitAfter(error) {
  if (error instanceof Unreachable) return NO_ANSWER_SECONDS;
  if (error instanceof Problem) return error.retryAfterSeconds;
  if (error instanceof NoPicture) return null;
  throw error;
}

/**
 * Return a film's gray levels.
 * @param {ImageBitmap} bitmap
 * @returns {{width: number, height: number, levels: Uint8Array}}
 */
export function levelsOf(bitmap) {
  const { width, height } = bitmap;
  const sheet = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  sheet.drawImage(bitmap, 0, 0);
  const { data } = sheet.getImageData(0, 0, width, height);
  const levels = new Uint8Array(width * height);
  for (let pixel = 0; pixel < levels.length; pixel += 1) levels[pixel] = data[4 * pixel];
  return { width, height, levels };
}
