// The declared state of a room, as a tree of lines that can be opened.

import { card, h, setChildren, setText } from "./dom.js";
import { count, plural } from "./format.js";

/** How many lines are shown, and how many characters of a text. */
const MOST = 200, MOST_TEXT = 200;
/** What has at most so many entries is open at first, down to this depth. */
const FEW = 20, DEEP = 2;
/** How many characters of what is in a closed object are told. */
const MOST_BRIEF = 80;
/** For how many milliseconds changes are collected. */
const PAUSE = 500;

const isBranch = (value) => value !== null && typeof value === "object" && sizeOf(value) > 0;
const sizeOf = (value) => (Array.isArray(value) ? value.length : (value.size ?? Object.keys(value).length));
const isMap = (value) => value instanceof Map;
const entriesOf = (value) => (Array.isArray(value) || isMap(value) ? value.entries() : Object.entries(value));

/**
 * Returns the lines for what is in an object, and how many `more` there are than `most`.
 *
 * A line has a `key`, a `text`, its `depth`, and a `path` that no other line has. `isOpen` is null if there is nothing in it.
 *
 * @param {function} isOpen Tells whether what is in a value is shown, by its path, its depth and how many entries it has.
 */
export function linesOf(state, isOpen, most = MOST) {
  const lines = [];
  let number = 0;
  const walk = (value, depth, before) => {
    for (const [key, each] of entriesOf(value)) {
      number += 1;
      const isShown = number <= most;
      if (!isBranch(each)) {
        if (isShown) lines.push({ path: `${before}\0${key}`, key: String(key), depth, text: textOf(each), isOpen: null });
        continue;
      }
      const path = `${before}\0${key}`;
      const open = isOpen(path, depth, sizeOf(each), isShown);
      if (isShown) lines.push({ path, key: String(key), depth, text: branchText(each, open), isOpen: open });
      if (open) walk(each, depth + 1, path);
    }
  };
  if (isBranch(state)) walk(state, 0, "");
  return { lines, more: Math.max(0, number - most) };
}

/** Whether something is open that was never opened or closed by hand. */
export function isOpenAtFirst(depth, size) {
  return depth < DEEP && size <= FEW;
}

function textOf(value) {
  if (typeof value === "string") return JSON.stringify(value.length > MOST_TEXT ? `${value.slice(0, MOST_TEXT)}…` : value);
  if (value === null || typeof value !== "object") return String(value);
  return Array.isArray(value) ? "[]" : "{}";
}

function branchText(value, isOpen) {
  if (Array.isArray(value)) return plural(value.length, "item");
  if (isMap(value)) return plural(value.size, "entry", "entries");
  return isOpen ? "" : briefText(value);
}

/** What is in a closed object, as far as there is space: x: 1, hand: … */
function briefText(value) {
  let text = "";
  for (const [key, each] of Object.entries(value)) {
    const one = `${text && ", "}${key}: ${isBranch(each) ? "…" : textOf(each)}`;
    if (text.length + one.length > MOST_BRIEF) return `${text}${text && ", "}…`;
    text += one;
  }
  return text;
}

/** Runs a function as soon as it is asked to, but at most twice a second, and not while the page is hidden. */
export class Throttle {
  constructor(run, page = document) {
    this._run = run;
    this._page = page;
    this._timer = null;
    this._isAsked = false;
    this._shown = () => this._go();
    page.addEventListener("visibilitychange", this._shown);
  }

  ask() {
    this._isAsked = true;
    this._go();
  }

  /** Runs nothing more, not even what was asked for. */
  stop() {
    clearTimeout(this._timer);
    this._isAsked = false;
    this._page.removeEventListener("visibilitychange", this._shown);
  }

  _go() {
    if (!this._isAsked || this._timer !== null || this._page.hidden) return;
    this._isAsked = false;
    this._timer = setTimeout(() => {
      this._timer = null;
      this._go();
    }, PAUSE);
    this._run();
  }
}

/** A card with a state; it is hidden if there is none. */
export class StateCard {
  constructor() {
    this._state = null;
    this._open = new Map();
    this._rows = new Map();
    this._list = h("ul.tree", {});
    this._more = h("p.tree-more", { hidden: true });
    this.element = card("State", this._list, this._more);
    this.element.hidden = true;
  }

  /** Shows a state, or nothing for null; `isCut` tells that the server has left something out. */
  show(state, isCut = false) {
    this._state = state;
    this._isCut = isCut;
    this.element.hidden = state === null || state === undefined;
    if (this.element.hidden) this._open.clear();
    this._draw();
  }

  _draw() {
    const { lines, more } = linesOf(this._state, (path, depth, size, isShown) => this._isOpen(path, depth, size, isShown));
    const before = this._rows;
    this._rows = new Map();
    for (const line of lines) {
      const former = before.get(line.path);
      const row = former && former.isLeaf === (line.isOpen === null) ? former : new Row(line, () => this._toggle(line.path));
      row.show(line);
      this._rows.set(line.path, row);
    }
    for (const path of this._open.keys()) if (!this._rows.has(path)) this._open.delete(path);
    setChildren(this._list, [...this._rows.values()].map(({ element }) => element));
    const cut = this._isCut ? "The server tells at most 64 KiB of a state, and of long texts the beginning." : "";
    const told = [more ? `… ${count(more)} more` : "", lines.length ? "" : "The state is empty.", cut].filter(Boolean);
    setText(this._more, told.join(" · "));
    this._more.hidden = !told.length;
  }

  /** Whether something is open; what is shown stays as it was at first, however large it becomes. */
  _isOpen(path, depth, size, isShown) {
    const isOpen = this._open.get(path) ?? isOpenAtFirst(depth, size);
    if (isShown) this._open.set(path, isOpen);
    return isOpen;
  }

  _toggle(path) {
    this._open.set(path, !this._open.get(path));
    this._draw();
  }
}

/** A line of the tree. */
class Row {
  constructor({ depth, isOpen }, onclick) {
    this.isLeaf = isOpen === null;
    this._key = h("b", {});
    this._text = h(this.isLeaf ? "code" : "span.soft", {});
    this._fold = this.isLeaf ? null : h("button.fold", { type: "button", onclick }, this._key);
    this.element = h("li", {}, this._fold ?? this._key, this._text);
    this.element.style.setProperty("--depth", depth);
  }

  show({ key, text, isOpen }) {
    setText(this._key, key);
    setText(this._text, text);
    this._fold?.setAttribute("aria-expanded", isOpen);
  }
}
