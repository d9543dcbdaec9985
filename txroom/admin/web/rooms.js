// The list of rooms, a page at a time; those that are stuck; and those that no node has.

import { ask, jsonOf } from "./dialogs.js";
import { badge, empty, field, h, searchField } from "./dom.js";
import { count, reason, span } from "./format.js";
import { Pager, Table } from "./table.js";

const LIMIT = 50;
const ORDERS = [["-clients", "Most members first"], ["clients", "Fewest members first"], ["-age", "Newest first"], ["age", "Oldest first"], ["name", "By name"]];
const CHOICES = [["", "All"], ["stuck", "Stuck"], ["stranded", "Without a node"]];

export function rooms(view) {
  const show = CHOICES.some(([value]) => value === view.params.show) ? view.params.show : "";
  const link = ([value, text]) => h("a.button", { href: value ? `#/rooms?show=${value}` : "#/rooms", "aria-current": value === show && "true" }, text);
  const choice = h("div.choice", { role: "group", "aria-label": "Which rooms" }, CHOICES.map(link));
  const create = view.canManage && h("button", { type: "button", onclick: () => createRoom(view) }, "New room…");
  const filters = h("div.filters", {}, choice);
  const list = h("section.card", { "aria-label": "Rooms" });
  view.root.append(h("header.bar", {}, h("h1", {}, "Rooms"), create || null), filters, list);
  if (show) watchSpecial(view, show, list);
  else new RoomList(view, filters, list).begin();
}

/** The rooms that can be listed. */
class RoomList {
  constructor(view, filters, list) {
    const { text = "", order = ORDERS[0][0] } = view.params;
    this._view = view;
    this._wanted = view.params.name ?? "";
    this._stop = () => {};
    this._table = roomTable();
    this._pager = new Pager("room", () => this.begin());
    this._search = searchField("Find by id, name or metadata", text);
    this._name = h("select", { "aria-label": "Name" }, h("option", { value: "" }, "All names"));
    this._order = h("select", { "aria-label": "Order" }, ORDERS.map(([value, label]) => h("option", { value, selected: value === order }, label)));
    this._name.hidden = true;
    filters.append(this._search, this._name, this._order);
    list.append(this._table.element, this._pager.element);
    let typing = null;
    this._search.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this._again(), 200);
    });
    view.onEnd(() => clearTimeout(typing));
    this._name.addEventListener("change", () => {
      this._wanted = this._name.value;
      this._again();
    });
    this._order.addEventListener("change", () => this._again());
    registeredNames(view).then((names) => {
      const each = [...new Set(names.map(({ name }) => name))];
      this._name.hidden = each.length < 2;
      this._name.append(...each.map((name) => h("option", { value: name, selected: name === this._wanted }, name)));
    });
  }

  /** Watches the page that is to be shown. */
  begin() {
    const args = { text: this._search.value.trim(), name: this._wanted, order: this._order.value, limit: LIMIT, cursor: this._pager.cursor };
    this._stop();
    this._stop = this._view.watch("rooms.list", args, 2, (answer) => {
      this._table.show(answer.rooms);
      this._pager.show(answer.rooms.length, answer.next, args.text || args.name ? null : this._view.rates.totals.rooms);
    }, (error) => this._table.showNothing(empty("The rooms can't be listed.", reason(error))));
  }

  /** Begins with the first page of what is chosen now, which the address tells too. */
  _again() {
    const chosen = { text: this._search.value.trim(), name: this._wanted, order: this._order.value };
    if (chosen.order === ORDERS[0][0]) delete chosen.order;
    const query = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value));
    history.replaceState(null, "", `#/rooms${query.size ? `?${query}` : ""}`);
    this._pager.reset();
    this.begin();
  }
}

/** Watches the rooms in which something has waited for more than a second, or those that no node has. */
function watchSpecial(view, show, list) {
  const table = show === "stuck" ? stuckTable() : strandedTable();
  const pager = new Pager("room", () => {});
  list.append(table.element, pager.element);
  const [call, args] = show === "stuck" ? ["rooms.stuck", { seconds: 1, limit: LIMIT }] : ["rooms.stranded", {}];
  view.watch(call, args, 2, ({ rooms }) => {
    table.show(rooms.slice(0, 500));
    pager.show(rooms.length, null);
  }, (error) => table.showNothing(empty("The rooms can't be listed.", reason(error))));
}

const href = (room) => `#/rooms/${encodeURIComponent(room.room)}`;

/** A table of rooms, each of which leads to its page. */
export function roomTable() {
  const members = ({ clients, maxClients }) => (maxClients ? `${count(clients)} / ${count(maxClients)}` : count(clients));
  return new Table(
    [
      { label: "Room", show: (room) => room.room },
      { label: "Name", show: (room) => room.name },
      { label: "Members", kind: "number", show: members },
      { label: "", show: marksOf },
      { label: "Options", isWide: true, kind: "cut", show: (room) => brief(room.options) },
      { label: "Metadata", isWide: true, kind: "cut", show: (room) => brief(room.metadata) },
      { label: "Node", isWide: true, show: (room) => room.node },
    ],
    (room) => room.room,
    { href, none: empty("No rooms.", "There is none now that matches."), caption: "Rooms" },
  );
}

function stuckTable() {
  return new Table(
    [
      { label: "Room", show: (room) => room.room },
      { label: "Name", show: (room) => room.name },
      { label: "Waits for", show: (room) => (room.what === "commit" ? "messages to be saved" : room.what || "a function") },
      { label: "Since", kind: "number", show: (room) => span(room.seconds) },
      { label: "Member", isWide: true, kind: "code", show: (room) => room.member },
      { label: "Handlers", isWide: true, kind: "number", show: (room) => count(room.waiting) },
      { label: "Node", isWide: true, show: (room) => room.node },
    ],
    (room) => room.room,
    { href, none: empty("No room is stuck.", "In none has a handler been running for more than a second."), caption: "Rooms that are stuck" },
  );
}

function strandedTable() {
  return new Table(
    [
      { label: "Room", show: (room) => room.room },
      { label: "Name", show: (room) => room.name },
      { label: "Why", kind: "cut", show: (room) => room.why },
      { label: "Next try in", isWide: true, kind: "number", show: (room) => span(room.retrySeconds) },
      { label: "Node", isWide: true, show: (room) => room.node },
    ],
    (room) => room.room,
    { none: empty("Every room has a node."), caption: "Rooms that no node has" },
  );
}

function marksOf(room, line) {
  const marks = [room.isLocked && "locked", room.isPrivate && "private"].filter(Boolean);
  if (line.marksKey !== marks.join()) {
    line.marksKey = marks.join();
    line.marks = h("span.marks", {}, marks.map((mark) => badge(mark, "warn")));
  }
  return line.marks;
}

/** An object on one line: "map: harbour, season: 4". */
function brief(data) {
  const told = ([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`;
  return Object.entries(data ?? {}).slice(0, 8).map(told).join(", ").slice(0, 200);
}

/** The names that rooms are registered under, with the paths of their applications. */
export async function registeredNames(view) {
  try {
    return (await view.rpc.call("rooms.names")).names;
  } catch {
    return [];
  }
}

async function createRoom(view) {
  const names = await registeredNames(view);
  const name = names.length ? h("select", {}, names.map((each) => h("option", {}, each.name))) : h("input", { required: true });
  const options = h("textarea", { rows: 4, spellcheck: "false", placeholder: '{"topic": "tea"}' });
  const fields = [field("Name", name), field("Options", options, "A JSON object. Empty means none.")];
  const values = () => ({ name: name.value, options: jsonOf(options, "The options", {}) });
  const args = await ask("New room", "A room that nobody joins may end again after some seconds.", "Create", { fields, values });
  if (!args) return;
  let id = null;
  const isDone = await view.change("rooms.create", args, (answer) => {
    id = answer.room;
    return `The room ${id} is created.`;
  });
  if (isDone) location.hash = `#/rooms/${encodeURIComponent(id)}`;
}
