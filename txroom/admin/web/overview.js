// The overview: totals, plots of the last minutes, and the nodes.

import { badge, card, empty, h, setChildren, setText } from "./dom.js";
import { amount, bytes, count, ms, percent, plural, reason, span } from "./format.js";
import { Plot, WINDOW } from "./plot.js";
import { roomTable } from "./rooms.js";
import { Table } from "./table.js";

/** A reactor that is this late, in milliseconds, is worth a look, or is in trouble. */
const LATE = 50, TOO_LATE = 250;

export function overview(view) {
  const { rates } = view;
  const tiles = [
    new Tile("Connections", () => count(rates.totals.connections), "#/connections"),
    new Tile("Rooms", () => count(rates.totals.rooms), "#/rooms"),
    new Tile("Members", () => count(rates.totals.members)),
    new Tile("Messages/s", () => amount(rates.totals.messagesReceived + rates.totals.messagesSent)),
    new Tile("Reactor lag, p99", () => ms(rates.totals.lag)),
    new Tile("Memory", () => bytes(rates.totals.rss)),
  ];
  const { series } = rates;
  const plots = [
    new Plot("Messages per second", [["in", series.messagesReceived, "a"], ["out", series.messagesSent, "b"]], amount, 10),
    new Plot("Bytes per second", [["in", series.bytesReceived, "a"], ["out", series.bytesSent, "b"]], bytes, 1000),
    new Plot("Reactor lag, p99", [["worst node", series.lag, "c"]], ms, 10),
    new Plot("Connections and members", [["connections", series.connections, "a"], ["members", series.members, "b"]], count, 10),
  ];
  const beginning = h("p.soft", {}, "The plots begin when this page is opened.");
  const table = nodeTable(view);
  const troubles = h("div.troubles", { role: "status" });
  view.root.append(
    h("h1.unseen", {}, "Overview"),
    troubles,
    h("div.tiles", {}, tiles.map((tile) => tile.element)),
    h("div.plots", {}, plots.map((plot) => plot.element)),
    beginning,
    card("Nodes", table.element),
    largestCard(view),
  );
  const waiting = { stuck: [], stranded: [] };
  for (const [name, args] of [["stuck", { seconds: 5, limit: 10 }], ["stranded", {}]]) {
    view.watch(`rooms.${name}`, args, 5, ({ rooms }) => {
      waiting[name] = rooms;
      show();
    });
  }
  function show() {
    for (const tile of tiles) tile.update();
    for (const plot of plots) plot.draw(rates.at);
    beginning.hidden = rates.at - series.connections.points[0]?.[0] > WINDOW - 10;
    table.show([...rates.nodes, ...rates.unanswered.map((node) => ({ node, isUnanswered: true }))]);
    setChildren(troubles, troublesOf(rates, waiting));
  }
  view.onEnd(rates.listen(show));
}

/** The rooms with most members. */
function largestCard(view) {
  const table = roomTable();
  const failed = (error) => table.showNothing(empty("The rooms can't be listed.", reason(error)));
  view.watch("rooms.list", { order: "-clients", limit: 6 }, 10, ({ rooms }) => table.show(rooms), failed);
  return card("Largest rooms", h("div.tools", {}, h("a", { href: "#/rooms" }, "All rooms")), table.element);
}

class Tile {
  constructor(label, value, href = null) {
    this._value = value;
    this._shown = h("b", {}, "–");
    this.element = h(href ? "a.tile.card" : "div.tile.card", { href }, h("span", {}, label), this._shown);
  }

  update() {
    setText(this._shown, this._value());
  }
}

/** The sentences about what is wrong: the same elements as long as they say the same. */
function troublesOf({ nodes, unanswered }, { stuck, stranded }, last = shownTroubles) {
  const found = [];
  if (unanswered.length) found.push([`${plural(unanswered.length, "node does", "nodes do")} not answer: ${unanswered.join(", ")}.`]);
  for (const { node, lagP99 } of nodes) {
    if (lagP99 >= TOO_LATE) found.push([`The reactor of ${node} was more than ${ms(TOO_LATE)} late in the last minute: something blocks it.`, "#/server"]);
  }
  if (stuck.length === 1) found.push([`“${stuck[0].what}” is stuck in the room ${stuck[0].room}.`, `#/rooms/${encodeURIComponent(stuck[0].room)}`]);
  else if (stuck.length) found.push([`${stuck.length < 10 ? stuck.length : "10 or more"} rooms are stuck.`, "#/rooms?show=stuck"]);
  if (stranded.length) found.push([`${plural(stranded.length, "room has", "rooms have")} no node, because none could run it.`, "#/rooms?show=stranded"]);
  const key = JSON.stringify(found);
  if (key !== last.key) {
    last.key = key;
    last.elements = found.map(([text, href]) => h("p.trouble", {}, text, href && [" ", h("a", { href }, "Look")]));
  }
  return last.elements;
}

const shownTroubles = { key: "", elements: [] };

/** A mark for the state of a node. */
export function healthOf(node) {
  if (node.isUnanswered) return ["no answer", "bad"];
  if (node.isDraining) return ["draining", "warn"];
  if (node.status && node.status !== "ok") return [node.status, "warn"];
  if (node.lagP99 >= TOO_LATE) return ["blocked", "bad"];
  return node.lagP99 >= LATE ? ["busy", "warn"] : ["healthy", "good"];
}

/** Returns an element that shows the state of a node in the cell of a line, made anew when it changes. */
export function healthMark(node, line) {
  const [text, kind] = healthOf(node);
  if (line.health?.textContent !== text) line.health = badge(text, kind);
  return line.health;
}

function nodeTable(view) {
  const own = (node) => (Number.isInteger(node.slot) ? `${node.node} · worker ${node.slot}` : node.node);
  return new Table(
    [
      { label: "Node", show: own },
      { label: "Health", show: healthMark },
      { label: "Connections", kind: "number", show: (node) => count(node.connections) },
      { label: "Rooms", kind: "number", show: (node) => count(node.rooms) },
      { label: "Members", kind: "number", isWide: true, show: (node) => count(node.members) },
      { label: "Messages/s", kind: "number", isWide: true, show: ({ rates }) => amount(rates?.messagesReceived + rates?.messagesSent) },
      { label: "CPU", kind: "number", show: ({ rates }) => percent(rates?.cpuSeconds) },
      { label: "Lag p99", kind: "number", isWide: true, show: (node) => ms(node.lagP99) },
      { label: "Memory", kind: "number", isWide: true, show: (node) => bytes(node.rss) },
      { label: "Up", kind: "number", isWider: true, show: (node) => span(node.uptime) },
    ],
    (node) => node.node,
    { none: empty("No node has answered yet."), caption: "The nodes of the cluster" },
  );
}
