// The form of a film that is sent: its fields, and how it looks at each moment. Sends nothing.

import { element } from "./elements.js";

const NOTHING_CHOSEN = "or drop one here: DICOM, PNG or JPEG";
const VIEWS = [["", "not known"], ["PA", "PA"], ["AP", "AP"], ["LL", "left lateral"], ["RL", "right lateral"]];
const SEXES = [["", "not known"], ["F", "female"], ["M", "male"], ["O", "other"]];

/** Return the form: its elements, and `show` of what is chosen and on its way. */
export function sendForm() {
  const file = element("input", { id: "file", type: "file" });
  const text = element("p", { id: "chosen" }, NOTHING_CHOSEN);
  const label = element("label", { for: "file", class: "button" }, "Choose a film");
  const drop = element("div", { id: "drop", class: "drop" }, file, label, text);
  const { claims, ...fields } = claimsGroup();
  const stat = element("input", { id: "stat", type: "checkbox" });
  const submit = element("button", { id: "submit", type: "submit", disabled: true }, "Send");
  const progress = element("progress", { id: "progress", max: "1", "aria-label": "Sent so far", hidden: true });
  const message = element("p", { id: "send-message", class: "message", role: "alert" });
  const root = element(
    "form",
    { id: "send", class: "panel", novalidate: true, autocomplete: "off" },
    drop,
    claims,
    element("p", { class: "row" }, element("label", { class: "check" }, stat, " Urgent (stat)"), submit),
    progress,
    message,
  );
  const show = (state) => {
    text.textContent = describe(state.chosen);
    claims.disabled = state.chosen?.format.name === "DICOM";
    file.disabled = state.isSending;
    submit.disabled = state.isSending || state.chosen === null;
    progress.hidden = state.share === null;
    if (state.share !== null) progress.value = state.share;
    const said = state.share === 1 ? "Sent. Waiting for the service …" : state.message;
    if (message.textContent !== said) message.textContent = said;
  };
  return { root, file, drop, stat, show, ...fields };
}

/** Return what the form says of a raster film. */
export function claimsFields({ view, age, sex }) {
  return { view: view.value, age: age.value, sex: sex.value };
}

function describe(chosen) {
  if (chosen === null) return NOTHING_CHOSEN;
  const size = `${Math.ceil(chosen.file.size / 1024)} KiB`;
  const { name } = chosen.format;
  return name === "DICOM" ? `DICOM, ${size}; it says itself what is below` : `${name}, ${size}`;
}

function claimsGroup() {
  const view = select("view", VIEWS);
  const age = element("input", { id: "age", name: "age", type: "number", min: "0", max: "120", step: "any" });
  age.placeholder = "not known";
  const sex = select("sex", SEXES);
  const advice = element("span", {}, "(PNG and JPEG; leave out what is not known)");
  const claims = element(
    "fieldset",
    { id: "claims" },
    element("legend", {}, "What the file cannot say ", advice),
    labelled("View", view),
    labelled("Age in years", age),
    labelled("Sex", sex),
  );
  return { claims, view, age, sex };
}

function select(name, choices) {
  const options = choices.map(([value, text]) => element("option", { value }, text));
  return element("select", { id: name, name }, ...options);
}

function labelled(text, control) {
  return element("p", {}, element("label", { for: control.id }, text), control);
}
