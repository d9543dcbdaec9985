// Tables whose rows change while they are read, and pages of them.

import { empty, h, icon, setChildren, setText } from "./dom.js";
import { plural } from "./format.js";

/**
 * A table.
 *
 * @param {Array} columns For each column: `label`; `show(row)`, which returns a text or an element; `kind`, "number"
 *   for figures; `isWide`, whether a phone leaves it out; `isWider`, whether a tablet does too.
 * @param {function} key Returns what identifies a row.
 * @param {object} more `href(row)`: where the link in the first column leads, or `open(row)`: what a click does; `none`: what is shown without rows;
 *   `caption`: what the table has, for screen readers.
 */
export class Table {
  constructor(columns, key, { href = null, open = null, none = empty("There is nothing."), caption = "" } = {}) {
    this._columns = columns;
    this._key = key;
    this._href = href;
    this._open = open;
    this._none = none;
    this._rows = new Map();
    const classOf = ({ kind, isWide, isWider }) => [kind, isWide && "wide", isWider && "wider"].filter(Boolean).join(" ") || null;
    this._classes = columns.map(classOf);
    this._body = h("tbody", {});
    const head = h("tr", {}, columns.map((column, index) => h("th", { scope: "col", class: this._classes[index] }, column.label)));
    this._table = h("table", { class: href || open ? "linked" : null }, h("caption.unseen", {}, caption), h("thead", {}, head), this._body);
    this.element = h("div.rows", {});
    this.showNothing(h("p.waiting", {}, "Loading…"));
  }

  /** Shows these rows. Those that were shown before keep their elements, and with them the focus. */
  show(rows) {
    const before = this._rows;
    this._rows = new Map();
    const shown = rows.map((row) => {
      const key = this._key(row);
      const line = before.get(key) ?? this._line(row);
      this._rows.set(key, line);
      this._update(line, row);
      return line.element;
    });
    setChildren(this._body, shown);
    setChildren(this.element, rows.length ? this._table : this._none);
  }

  /** Shows something else in place of rows, such as an error. */
  showNothing(element) {
    setChildren(this.element, element);
  }

  _line(row) {
    const cells = this._columns.map((_, index) => h("td", { class: this._classes[index] }));
    const line = { cells, shown: [], row, element: h("tr", {}, cells) };
    if (this._href || this._open) {
      line.link = this._href ? h("a.row", { href: this._href(row) }) : h("button.row", { type: "button", onclick: () => this._open(line.row) });
      cells[0].append(line.link);
      line.element.addEventListener("click", (event) => {
        if (!event.target.closest("a, button, input") && !String(getSelection())) line.link.click();
      });
    }
    return line;
  }

  _update(line, row) {
    line.row = row;
    this._columns.forEach((column, index) => {
      const value = column.show(row, line);
      const cell = index === 0 && line.link ? line.link : line.cells[index];
      if (value instanceof Node) {
        if (cell.firstChild !== value) cell.replaceChildren(value);
      } else if (line.shown[index] !== value) {
        line.shown[index] = value;
        setText(cell, value ?? "");
      }
    });
  }
}

/** Moves the focus to the next link (1) or the one before (-1) among the rows that are shown. */
export function moveInRows(root, step) {
  const links = [...root.querySelectorAll(".row")].filter((link) => link.offsetParent);
  if (!links.length) return false;
  const here = links.indexOf(document.activeElement);
  const next = here < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, here + step));
  links[next].focus();
  return true;
}

/**
 * Pages of a list that is read with cursors.
 *
 * @param {string} one What the list has, such as "room".
 * @param {function} onPage Called with the cursor of another page.
 */
export class Pager {
  constructor(one, onPage) {
    this._one = one;
    this._onPage = onPage;
    this._before = [];
    this._cursor = "";
    this._next = null;
    this._text = h("span", { role: "status" });
    this._back = h("button.small", { type: "button", "aria-label": "The page before", onclick: () => this._go(-1) }, icon("left"));
    this._on = h("button.small", { type: "button", "aria-label": "The next page", onclick: () => this._go(1) }, icon("right"));
    this.element = h("footer.pager", {}, this._text, h("span.tools", {}, this._back, this._on));
  }

  /** Goes to the first page, without a call of `onPage`. */
  reset() {
    this._before = [];
    this._cursor = "";
  }

  get cursor() {
    return this._cursor;
  }

  /** Tells how many rows the page has, and the cursor of the next page; `all` is the length of the list, if known. */
  show(number, next, all = null) {
    this._next = next;
    const page = this._before.length + 1;
    const isAll = page === 1 && !next;
    const text = all !== null && !isAll ? `${number.toLocaleString("en")} of ${plural(all, this._one)}` : plural(number, this._one);
    setText(this._text, isAll ? text : `${text} · page ${page}`);
    this._back.disabled = !this._before.length;
    this._on.disabled = !next;
    this._back.hidden = this._on.hidden = isAll;
  }

  _go(step) {
    if (step > 0 && this._next) {
      this._before.push(this._cursor);
      this._cursor = this._next;
    } else if (step < 0 && this._before.length) this._cursor = this._before.pop();
    else return;
    this._onPage(this._cursor);
  }
}
