// Dialogs: a question before something is done, and forms.

import { field, h } from "./dom.js";

/**
 * Asks before something is done.
 *
 * @param {string} title What is asked.
 * @param {string} text What it means.
 * @param {string} action The text of the button that does it.
 * @param {object} more `isDangerous`; `fields`, elements in the form; `values()`, read when it is confirmed, which may
 *   throw an error that is shown.
 * @returns {Promise} The values, `true` without any, or `null` if it is not to be done.
 */
export function ask(title, text, action, { isDangerous = false, fields = [], values = () => true } = {}) {
  return new Promise((resolve) => {
    const problem = h("p", { role: "alert", hidden: true });
    const go = h(isDangerous ? "button.danger" : "button.primary", { type: "submit" }, action);
    const form = h(
      "form",
      { method: "dialog", novalidate: false },
      h("h2", { id: "dialog-title" }, title),
      text ? h("p.soft", {}, text) : null,
      fields,
      problem,
      h("div.tools", {}, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), go),
    );
    const dialog = h("dialog.card", { "aria-labelledby": "dialog-title" }, form);
    let result = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      try {
        result = values();
        dialog.close();
      } catch (error) {
        problem.textContent = error.message;
        problem.hidden = false;
      }
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    (form.querySelector("input, textarea, select") ?? go).focus();
  });
}

/** Asks for a reason, which may be empty. Returns it, or `null`. */
export function askReason(title, text, action) {
  const input = h("input", { maxlength: 120, placeholder: "What the clients are told" });
  return ask(title, text, action, { isDangerous: true, fields: [field("Reason", input)], values: () => input.value.trim() });
}

/** Returns the JSON of a field. Throws an error that says what is wrong. */
export function jsonOf(input, name, fallback = null) {
  const text = input.value.trim();
  if (!text) return fallback;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${name} is not JSON: ${error.message}`);
  }
}

/** Asks for a message: its type and its data. Returns `[type, data]` or `null`. */
export function askMessage(title, text, action, type = "") {
  const typeInput = h("input", { required: true, maxlength: 256, value: type, autocomplete: "off", spellcheck: "false" });
  const dataInput = h("textarea", { rows: 5, spellcheck: "false", placeholder: '{"text": "hello"}' });
  const fields = [field("Type", typeInput), field("Data", dataInput, "JSON. Empty means null.")];
  return ask(title, text, action, { fields, values: () => [typeInput.value.trim(), jsonOf(dataInput, "The data")] });
}
