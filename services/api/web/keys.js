// The keyboard: single letters, and only while nobody types.

const bound = [];

/**
 * Have keys act until the function that is returned is called; the last who bound a key has it.
 * @param {Object<string, function(): void>} actions by `KeyboardEvent.key`
 */
export function bindKeys(actions) {
  bound.unshift(actions);
  return () => bound.splice(bound.indexOf(actions), 1);
}

/** Listen. */
export function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const action = bound.find((actions) => Object.hasOwn(actions, event.key))?.[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  });
}

function isTyping(target) {
  return target.closest?.("input:not([type=checkbox], [type=range]), select, textarea, dialog") != null;
}
