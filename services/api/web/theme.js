// Dark for the reading room or light for the desk: what the reader chose, else what the system prefers.

const REMEMBERED = "theme";
const prefersLight = window.matchMedia("(prefers-color-scheme: light)");

/** Return the theme that is shown: "dark" or "light". */
export function theme() {
  return remembered() ?? (prefersLight.matches ? "light" : "dark");
}

/** Show the other theme, and remember it in this browser. */
export function switchTheme() {
  const other = theme() === "dark" ? "light" : "dark";
  try {
    window.localStorage.setItem(REMEMBERED, other);
  } catch {
    // A browser that keeps nothing shows it until the page is left.
  }
  apply(other);
  return other;
}

function remembered() {
  try {
    const kept = window.localStorage.getItem(REMEMBERED);
    return kept === "dark" || kept === "light" ? kept : null;
  } catch {
    return null;
  }
}

function apply(wanted) {
  document.documentElement.dataset.theme = wanted;
}

prefersLight.addEventListener("change", () => apply(theme()));
apply(theme());
