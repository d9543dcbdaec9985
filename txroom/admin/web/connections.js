// The connections, a page at a time, and one of them in a dialog.

import { ask, askReason } from "./dialogs.js";
import { empty, facts, field, h, json, searchField } from "./dom.js";
import { bytes, moment, ms, reason } from "./format.js";
import { Pager, Table } from "./table.js";

const LIMIT = 50;

export function connections(view) {
  const search = searchField("Find by user, address, path or id", view.params.text ?? "");
  const node = h("select", { "aria-label": "Node" }, h("option", { value: "" }, "All nodes"), view.rates.nodes.map((each) => h("option", {}, each.node)));
  const table = new Table(
    [
      { label: "User", show: (each) => each.userId || "anonymous" },
      { label: "Address", show: (each) => each.address },
      { label: "Path", isWide: true, kind: "cut", show: (each) => each.path },
      { label: "Node", isWide: true, show: (each) => each.node },
      { label: "Round trip", kind: "number", show: (each) => (each.rtt === null ? "–" : ms(each.rtt)) },
      { label: "Unsent", kind: "number", isWide: true, show: (each) => bytes(each.bufferedAmount) },
      { label: "Opened", kind: "number", isWide: true, show: (each) => moment(each.openedAt) },
    ],
    (each) => each.id,
    { open: (row) => inspect(view, row), none: empty("No connections.", "There is none now that matches."), caption: "Connections" },
  );
  const pager = new Pager("connection", () => begin());
  let stop = () => {}, typing = null;
  function begin() {
    stop();
    const args = { text: search.value.trim(), node: node.value, limit: LIMIT, cursor: pager.cursor };
    stop = view.watch("connections.list", args, 2, (answer) => {
      table.show(answer.connections);
      pager.show(answer.connections.length, answer.next, answer.total ?? null);
    }, (error) => table.showNothing(empty("The connections can't be listed.", reason(error))));
  }
  const again = () => {
    pager.reset();
    begin();
  };
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(again, 200);
  });
  node.addEventListener("change", again);
  view.onEnd(() => clearTimeout(typing));
  view.root.append(
    h("header.bar", {}, h("h1", {}, "Connections")),
    h("div.filters", {}, search, node),
    h("section.card", { "aria-label": "Connections" }, table.element, pager.element),
  );
  begin();
}

async function inspect(view, { id }) {
  let found, methods;
  try {
    found = await view.rpc.call("connections.get", { connection: id });
    methods = await view.rpc.methods();
  } catch (error) {
    view.note(reason(error), "bad");
    return;
  }
  const buttons = !view.canManage ? [] : [
    methods.has("simulate.set") && h("button", { type: "button", onclick: () => slow(view, id) }, "Make it slow…"),
    h("button.danger", { type: "button", onclick: () => close(view, id, found) }, "Close it…"),
  ];
  const dialog = h(
    "dialog.card",
    { "aria-label": "Connection" },
    h("form", { method: "dialog" }, h("h2", {}, found.userId || "Anonymous connection"), factsOf(found), h("div.tools", {}, buttons, h("button", {}, "Done"))),
  );
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  view.onEnd(() => dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}

function factsOf(found) {
  const { user, userId } = found;
  const links = found.rooms.map((room) => h("a", { href: `#/rooms/${encodeURIComponent(room)}` }, room));
  return facts([
    ["Id", h("code", {}, found.id)],
    ["Node", found.node],
    ["State", found.state === "open" ? null : found.state],
    ["User", user === userId || user === null ? userId : json(user)],
    ["Rooms", links.length ? h("span.list", {}, links) : null],
    ["Address", found.address],
    ["Host and path", `${found.host}${found.path}`],
    ["Origin", found.origin],
    ["Browser", found.userAgent],
    ["Protocol", found.protocol],
    ["Extensions", found.extensions],
    ["Opened", moment(found.openedAt)],
    ["Last message", moment(found.activeAt)],
    ["Round trip", found.rtt === null ? null : ms(found.rtt)],
    ["Unsent", bytes(found.bufferedAmount)],
  ]);
}

async function close(view, connection, { userId }) {
  const why = await askReason(`Close the connection${userId ? ` of ${userId}` : ""}?`, "The client may connect again.", "Close");
  if (why !== null) await view.change("connections.close", { connection, reason: why }, "The connection is closed.");
}

/** Asks how slow a connection, or with `null` all of them, is to be for a while. */
export async function slow(view, connection) {
  const number = (value, max, step = 1) => h("input", { type: "number", min: 0, max, step, value, required: true });
  const latency = number(200, 10_000), jitter = number(50, 10_000), loss = number(0, 50), seconds = number(60, 600);
  const fields = h("div.grid", {}, field("Latency, ms", latency), field("Jitter, ms", jitter), field("Loss, %", loss), field("For, seconds", seconds));
  const values = () => ({ latency: latency.valueAsNumber, jitter: jitter.valueAsNumber, loss: loss.valueAsNumber / 100, seconds: seconds.valueAsNumber });
  const text = "What both sides send is delayed, to see what clients and rooms make of it. What is lost is sent again by TCP. It ends by itself.";
  const args = await ask(connection ? "Make the connection slow" : "Make all connections slow", text, "Begin", { fields: [fields], values });
  if (args) await view.change("simulate.set", { connection, ...args }, "It has begun.");
}
