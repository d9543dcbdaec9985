// Elements. Everything that comes from the server is shown as text: no function here takes HTML.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Returns a new element.
 *
 * @param {string} tag The name of the element, with classes: "button.primary".
 * @param {object} [props] Attributes; `onclick` and so on are listeners. `false`, `null` and `undefined` leave one out.
 * @param {...*} children Elements and texts.
 */
export function h(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElement(name), classes, props, children);
}

/** Returns a new element of SVG, like `h`. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), [], props, children);
}

/** Returns one of the icons of the page. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#icon-${name}` }));
}

function fill(element, classes, props, children) {
  element.classList.add(...classes);
  for (const [name, value] of Object.entries(props)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Shows a text, if it is not what is shown already: unchanged text keeps what the user has selected. */
export function setText(element, text) {
  const shown = String(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/** Shows these children in place of others, if they differ. */
export function setChildren(element, ...children) {
  const next = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  const same = next.length === element.childNodes.length && next.every((child, index) => child === element.childNodes[index]);
  if (!same) element.replaceChildren(...next);
}

let ids = 0;

/** Returns a field of a form with its label. */
export function field(label, control, hint = "") {
  control.id ||= `field-${++ids}`;
  const help = hint && h("small", { id: `${control.id}-hint` }, hint);
  if (help) control.setAttribute("aria-describedby", help.id);
  return h("div.field", {}, h("label", { for: control.id }, label), control, help || null);
}

/** Returns a field to search in, which tells its purpose where it is empty. */
export function searchField(label, value, more = {}) {
  return h("input", { type: "search", placeholder: label, "aria-label": label, value, spellcheck: "false", autocomplete: "off", maxlength: 256, ...more });
}

/** Returns a box to tick. */
export function checkbox(label, props = {}) {
  const box = h("input", { type: "checkbox", ...props });
  return [box, h("label.check", {}, box, h("span", {}, label))];
}

/** Returns a small mark, such as "locked"; the kind is "good", "warn", "bad" or "". */
export function badge(text, kind = "") {
  return h("span.badge", { "data-kind": kind || null }, text);
}

/** Returns a list of names and values. Values may be elements; those that are missing are left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl.facts", {}, shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** Returns data as JSON, in lines. */
export function json(data) {
  return h("pre.json", { tabindex: "0" }, pretty(data));
}

/** Returns JSON that is short on one line, and otherwise in several. */
export function pretty(data) {
  const short = JSON.stringify(data) ?? "null";
  return short.length <= 72 ? short : JSON.stringify(data, null, 2);
}

/** Returns what is shown where there is nothing. */
export function empty(title, text = "") {
  return h("div.empty", {}, h("p", {}, title), text ? h("p.soft", {}, text) : null);
}

/** Returns a button that copies a text. */
export function copyButton(text, what) {
  const button = h("button.quiet.small", { type: "button", title: `Copy ${what}`, "aria-label": `Copy ${what}`, onclick: copy }, icon("copy"));
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      button.replaceChildren(icon("check"));
    } catch {
      button.replaceChildren("not copied");
    }
    setTimeout(() => button.replaceChildren(icon("copy")), 1500);
  }
  return button;
}

/**
 * Returns a section with a title. Lists of rows, and what is empty, take its whole width; other content has a margin.
 * What is right of the title is an element of the class "tools", the first of the children.
 */
export function card(title, ...children) {
  const [first, ...rest] = children;
  const isTools = first instanceof Element && first.classList.contains("tools");
  const id = `title-${++ids}`;
  const head = h("header", {}, h("h2", { id }, title), isTools ? first : null);
  return h("section.card", { "aria-labelledby": id }, head, isTools ? rest : children);
}

/** Returns content of a card with a margin. */
export function body(...children) {
  return h("div.body", {}, children);
}
