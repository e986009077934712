// A film's pictures. They are fetched rather than linked, because what is not there has a reason that the reader should
// see.

import { element } from "./elements.js";
import { Problem, Unreachable, picture } from "./service.js";

const MOST_TRIES = 6;
const NO_ANSWER_SECONDS = 3;

/**
 * Return a figure that fills itself with the picture, or says why there is none.
 * @param {string} link the record's own
 * @param {string} alt
 * @param {string} caption
 * @param {AbortSignal} unless nobody looks at the film any more
 */
export function pictureFigure(link, alt, caption, unless) {
  const place = element("div", { class: "picture", "aria-busy": "true" }, element("p", {}, "Loading …"));
  fill(place, link, alt, unless);
  return element("figure", {}, place, element("figcaption", {}, caption));
}

async function fill(place, link, alt, unless) {
  for (let tries = 1; ; tries += 1) {
    try {
      show(place, await picture(link, unless), alt);
      return;
    } catch (error) {
      if (unless.aborted) return; // another film is shown by now
      const wait = waitAfter(error);
      if (wait === null || tries === MOST_TRIES) {
        say(place, error.message);
        place.removeAttribute("aria-busy");
        return;
      }
      say(place, `${error.message} Trying again.`);
      await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
      if (unless.aborted) return;
    }
  }
}

/** Return the seconds after which it may be there, or null where it never will. */
function waitAfter(error) {
  if (error instanceof Unreachable) return NO_ANSWER_SECONDS;
  if (error instanceof Problem) return error.retryAfterSeconds;
  throw error;
}

function show(place, blob, alt) {
  const image = element("img", { alt });
  image.src = URL.createObjectURL(blob);
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  image.addEventListener("error", () => {
    URL.revokeObjectURL(image.src);
    say(place, "What the service sent is no picture.");
  });
  place.replaceChildren(image);
  place.removeAttribute("aria-busy");
}

function say(place, text) {
  place.replaceChildren(element("p", {}, text));
}
