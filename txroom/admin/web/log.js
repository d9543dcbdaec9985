// The messages of a room, as they are sent, and its history; off until asked for.

import { card, empty, h, pretty, setText } from "./dom.js";
import { bytes, clock, plural, reason } from "./format.js";

/** How many messages are shown at most; older ones leave. */
const MOST = 200;
/** How many characters of one are shown. */
const MOST_TEXT = 4000;

export class MessageLog {
  /**
   * @param {object} view The view.
   * @param {string} room The id of the room.
   */
  constructor(view, room) {
    this._view = view;
    this._room = room;
    this._stop = null;
    this._button = h("button.small", { type: "button", "aria-pressed": "false", onclick: () => this._toggle() }, "Show messages");
    this._history = h("button.small", { type: "button", title: "What newcomers get, and what is older", onclick: () => this._showHistory() }, "Show history");
    this._filter = h("input.small", { placeholder: "Only the type…", "aria-label": "Show only messages of the type", spellcheck: "false" });
    this._filter.hidden = true;
    this._filter.addEventListener("input", () => this._apply());
    this._list = h("ol.messages", { tabindex: "0", "aria-label": "Messages", hidden: true });
    this._hint = empty("Messages are not shown until you ask for them.");
    this.element = card("Messages", h("div.tools", {}, this._filter, this._history, this._button), this._hint, this._list);
  }

  _toggle() {
    if (this._stop) return this._pause("Go on");
    this._asked = null;
    this._button.setAttribute("aria-pressed", "true");
    setText(this._button, "Pause");
    this._open();
    this._stop = this._view.watch(
      "rooms.log",
      { room: this._room, after: this._last, epoch: this._epoch, limit: 100 },
      0.5,
      (page) => this._take(page),
      (error) => this._fail(error),
    );
  }

  _pause(next) {
    this._stop?.();
    this._stop = null;
    setText(this._button, next);
    this._button.setAttribute("aria-pressed", "false");
  }

  _open() {
    this._list.hidden = this._filter.hidden = false;
    this._hint.hidden = true;
  }

  /** Shows the history instead of the messages; those begin anew when they are asked for. */
  async _showHistory() {
    this._pause("Show messages");
    this._open();
    this._last = undefined;
    this._list.replaceChildren();
    const asked = (this._asked = {});
    let after = 0, isMore = true;
    try {
      while (isMore) {
        const page = await this._view.rpc.call("rooms.log", { room: this._room, after, limit: 1000, history: true });
        if (asked !== this._asked) return; // something else was asked for meanwhile
        for (const entry of page.entries) this.add(entry);
        isMore = page.next > after;
        after = page.next;
      }
      if (!this._list.children.length) this._list.append(h("li.none", {}, "The room keeps no history."));
    } catch (error) {
      if (asked === this._asked) this._fail(error);
    }
  }

  _fail(error) {
    this.add({ at: Date.now() / 1000, type: "", data: reason(error), kind: "bad" });
  }

  _take({ entries, epoch }) {
    if (this._epoch !== undefined && this._epoch !== epoch) this._last = undefined;
    this._epoch = epoch;
    for (const entry of entries) {
      if (entry.offset <= this._last) continue;
      this._last = entry.offset;
      this.add(entry);
    }
    if (!this._list.children.length) this._list.append(h("li.none", {}, "No messages yet. New ones appear here."));
  }

  /** Shows a message below the others. */
  add(entry) {
    const list = this._list;
    list.querySelector(".none")?.remove();
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    list.append(messageLine(entry, this._filter.value.trim()));
    while (list.children.length > MOST) list.firstChild.remove();
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  }

  _apply() {
    const type = this._filter.value.trim();
    for (const line of this._list.children) line.hidden = Boolean(type) && !line.dataset.type?.includes(type);
  }
}

/** A line for a message. */
export function messageLine({ at, offset, type, data, size, to, toCount, kind }, only = "") {
  const some = to && h("span.soft", {}, `to ${plural(toCount ?? to.length, "member")}`);
  const place = Number.isInteger(offset) && h("span.offset", {}, `#${offset}`);
  const head = h("div", {}, h("time", {}, clock(at)), h("b", {}, type), some, place);
  if (size) [data, kind] = [`${bytes(size)} of data, too many to be shown`, kind ?? "cut"];
  const text = typeof data === "string" && kind ? data : pretty(data);
  const body = h("pre", {}, text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}…` : text);
  return h("li", { "data-type": type, "data-kind": kind || null, hidden: Boolean(only) && !type.includes(only) }, head, body);
}
