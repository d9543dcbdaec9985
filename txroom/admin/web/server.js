// The server itself: log level, drain, reload, slow connections, stalls and memory.

import { ask } from "./dialogs.js";
import { body as bodyOf, card, empty, facts, h, setChildren, setText } from "./dom.js";
import { bytes, count, moment, ms, plural, reason, span } from "./format.js";
import { healthMark } from "./overview.js";
import { ownCallsCard } from "./owncalls.js";
import { slow } from "./connections.js";
import { Table } from "./table.js";

const LEVELS = ["debug", "info", "warn", "error", "critical"];

/** The cards, each with the call that it needs. */
const LEFT = [["nodes.list", nodesCard], ["stalls.list", stallsCard], ["memory.largest", memoryCard], ["server.stats", ownCallsCard]];
const RIGHT = [["server.stats", aboutCard], ["server.logLevel", logCard], ["simulate.list", slowCard], ["server.options", optionsCard]];

export function server(view) {
  const reload = view.canManage && h("button", { type: "button", onclick: () => reloadNow(view) }, "Reload…");
  const left = h("div.stack", {}), right = h("div.stack", {});
  view.root.append(h("header.bar", {}, h("h1", {}, "Server"), h("div.tools", {}, reload || null)), h("div.columns.wide-first", {}, left, right));
  view.rpc.methods().then((methods) => {
    if (!view.root.isConnected) return;
    for (const [root, cards] of [[left, LEFT], [right, RIGHT]]) {
      root.append(...cards.filter(([call]) => methods.has(call)).map(([, make]) => make(view, methods)).filter(Boolean));
    }
  }, (error) => left.append(h("div.card", {}, empty("The server can't be shown.", reason(error)))));
}

function nodesCard(view) {
  const drain = (node, line) => {
    line.drain ??= h("button.small", { type: "button", onclick: () => (line.row.isDraining ? stay(view, line.row) : drainNode(view, line.row)) });
    setText(line.drain, node.isDraining ? "Serve again" : "Drain…");
    return line.drain;
  };
  const table = new Table(
    [
      { label: "Node", show: (node) => node.node },
      { label: "Health", show: healthMark },
      { label: "Rooms", kind: "number", show: (node) => count(node.rooms) },
      { label: "Host", isWide: true, show: (node) => (Number.isInteger(node.slot) ? `${node.host}, worker ${node.slot}` : node.host) },
      { label: "Process", kind: "number", isWide: true, show: (node) => String(node.pid) },
      { label: "Up", kind: "number", isWide: true, show: (node) => span(node.uptime) },
      ...(view.canManage ? [{ label: "", kind: "number", show: drain }] : []),
    ],
    (node) => node.node,
    { none: empty("No node has answered yet."), caption: "Nodes" },
  );
  view.onEnd(view.rates.listen(() => table.show(view.rates.nodes)));
  return card("Nodes", table.element);
}

async function drainNode(view, { node, slot, rooms, connections }) {
  const all = `${plural(rooms, "room")} and ${plural(connections, "client")}`;
  const text = Number.isInteger(slot)
    ? `A new process takes the place of this worker, with its ${all}.`
    : `The node refuses new clients from now on. Other nodes, if there are any, get its ${all}.`;
  if (await ask(`Drain ${node}?`, text, "Drain", { isDangerous: true })) await view.change("server.drain", { node }, `${node} drains.`);
}

async function stay(view, { node }) {
  await view.change("server.stay", { node }, `${node} serves again.`);
}

async function reloadNow(view) {
  const text = "Workers are replaced by new ones, which import the app again and take over the rooms. A server without workers reads its certificates again.";
  if (await ask("Reload the server?", text, "Reload")) await view.change("server.reload", {}, "The server reloads.");
}

function aboutCard(view) {
  const body = bodyOf(h("p.waiting", {}, "Loading…"));
  let shown = "";
  view.watch("server.stats", {}, 5, (stats) => {
    const key = JSON.stringify([stats.node, stats.pid, Math.floor(stats.uptime / 60)]);
    if (key === shown) return;
    shown = key;
    setChildren(body, facts([
      ["This node", stats.node],
      ["txroom", stats.version],
      ["Python", stats.python],
      ["Reactor", stats.reactor],
      ["Process", stats.pid && `pid ${stats.pid}`],
      ["Up", span(stats.uptime)],
    ]));
  }, (error) => setChildren(body, empty("Not known.", reason(error))));
  return card("About", body);
}

function logCard(view) {
  const level = h("select", { "aria-label": "The least level that is logged", disabled: true }, LEVELS.map((each) => h("option", {}, each)));
  const body = h("div.stack.body", {}, h("p.soft", {}, "The least level that all nodes log."), level);
  view.rpc.call("server.logLevel").then((answer) => {
    level.value = answer.level;
    level.disabled = !view.canManage;
  }, (error) => setChildren(body, empty("Not known.", reason(error))));
  level.addEventListener("change", () => view.change("server.logLevel", { level: level.value }, `All nodes log from ${level.value} on.`));
  return card("Log", body);
}

function slowCard(view) {
  const body = h("div.stack.body", {});
  const show = (answer) => {
    const all = answer.simulations;
    const what = (each) => `${ms(each.latency)} ± ${ms(each.jitter)}, ${Math.round(each.loss * 100)} % lost`;
    const lines = all.map((each) => [each.connection || `All of ${each.node}`, `${what(each)}; ${span(each.seconds)} left`]);
    const tools = view.canManage && h("div.tools", {},
      h("button", { type: "button", onclick: () => slow(view, null) }, "Make all slow…"),
      all.length ? h("button", { type: "button", onclick: () => view.change("simulate.clear", {}, "All connections are as fast as they are.") }, "End all") : null);
    setChildren(body, all.length ? facts(lines) : h("p.soft", {}, "No connection is made slow."), tools || null);
  };
  view.watch("simulate.list", {}, 2, show, (error) => setChildren(body, empty("Not known.", reason(error))));
  return card("Slow connections", body);
}

function stallsCard(view) {
  const body = h("div", {}, h("p.waiting", {}, "Loading…"));
  let shown = "";
  view.watch("stalls.list", {}, 5, ({ stalls }) => {
    const key = JSON.stringify(stalls.slice(0, 20));
    if (key === shown) return;
    shown = key;
    setChildren(body, stalls.length ? stalls.slice(0, 20).map(stallLine) : empty("The reactor was never blocked for long."));
  }, (error) => setChildren(body, empty("Not known.", reason(error))));
  return card("Stalls of the reactor", body);
}

function stallLine({ seconds, at, node, stack }) {
  const summary = h("summary", {}, h("b", {}, ms(seconds * 1000)), h("span.soft", {}, `${moment(at)} · ${node}`));
  return h("details", {}, summary, stack ? h("pre.json", {}, stack) : h("p.body.soft", {}, "It was too short to see where."));
}

function memoryCard(view) {
  const table = new Table(
    [
      { label: "Type", kind: "cut", show: (each) => each.type ?? each.name },
      { label: "Objects", kind: "number", show: (each) => count(each.count) },
      { label: "Size", kind: "number", show: (each) => bytes(each.bytes ?? each.size) },
    ],
    (each) => each.type ?? each.name,
    { caption: "The types whose objects take most memory" },
  );
  table.showNothing(empty("Not measured yet.", "It takes some seconds, and the server goes on meanwhile."));
  const button = h("button.small", { type: "button", onclick: measure }, "Measure");
  async function measure() {
    button.disabled = true;
    try {
      const answer = await view.rpc.call("memory.largest", { limit: 20 });
      table.show(answer.types ?? answer);
    } catch (error) {
      view.note(reason(error), "bad");
    }
    button.disabled = false;
  }
  return card("Memory", h("div.tools", {}, button), table.element);
}

function optionsCard(view) {
  const body = h("div", {}, h("p.waiting", {}, "Loading…"));
  view.rpc.call("server.options").then((answer) => {
    const options = Object.entries(answer.options);
    const value = (each) => (typeof each === "string" ? each || "–" : JSON.stringify(each));
    const changed = new Set(answer.changed);
    const listed = options.map(([name, each]) => [h("code", {}, name), h(changed.has(name) ? "b" : "span", {}, value(each))]);
    const summary = h("summary", {}, h("b", {}, "Show"), h("span.soft", {}, `${plural(options.length, "option")}, ${count(changed.size)} not as by default`));
    setChildren(body, h("details", {}, summary, facts(listed)));
  }, (error) => setChildren(body, empty("Not known.", reason(error))));
  return card("Options", body);
}
