// One user: where it is, its queue of notifications, and what can be done.

import { askMessage, askReason } from "./dialogs.js";
import { badge, body, card, empty, facts, h, searchField, setChildren } from "./dom.js";
import { bytes, count, plural, reason, span } from "./format.js";
import { Table } from "./table.js";

export function users(view) {
  const search = searchField("The id of a user", view.params.user ?? "", { required: true });
  const form = h("form.filters", { role: "search" }, search, h("button.primary", {}, "Find"));
  const found = h("div.stack", {}, h("div.card", {}, empty("Look up a user by its id.", "You see its connections, its rooms and its queue of notifications.")));
  view.root.append(h("header.bar", {}, h("h1", {}, "Users")), form, found);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = `#/users?user=${encodeURIComponent(search.value.trim())}`;
  });
  if (view.params.user) show(view, view.params.user, found);
  else search.focus();
}

function show(view, userId, root) {
  const tools = !view.canManage ? null : h("div.tools", {},
    h("button", { type: "button", onclick: () => notify(view, userId) }, "Notify…"),
    h("button.danger", { type: "button", onclick: () => kick(view, userId) }, "Kick…"));
  const about = body("Looking…");
  const connections = new Table(
    [
      { label: "Connection", kind: "cut", show: (each) => each.id },
      { label: "Address", show: (each) => each.address },
      { label: "Path", isWide: true, kind: "cut", show: (each) => each.path },
      { label: "Node", isWide: true, show: (each) => each.node },
      { label: "Open for", kind: "number", show: (each) => span(each.seconds) },
    ],
    (each) => each.id,
    { href: (each) => `#/connections?text=${encodeURIComponent(each.id)}`, none: empty("The user has no connection."), caption: "Connections" },
  );
  const rooms = new Table(
    [
      { label: "Room", show: (each) => each.room },
      { label: "Member", isWide: true, kind: "code", show: (each) => each.member },
      { label: "Node", isWide: true, show: (each) => each.node },
      { label: "", show: (each, line) => (line.mark = line.mark?.textContent === stateOf(each) ? line.mark : badge(stateOf(each), each.isConnected ? "good" : "")) },
    ],
    (each) => `${each.room} ${each.member}`,
    { href: (each) => `#/rooms/${encodeURIComponent(each.room)}`, none: empty("The user is in no room."), caption: "Rooms" },
  );
  const queue = body();
  setChildren(root, card(userId, tools, about), card("Connections", connections.element), card("Rooms", rooms.element), card("Queue", queue));
  let shown = "";
  view.watch("users.get", { userId }, 2, (user) => {
    connections.show(user.connections.slice(0, 100));
    rooms.show(user.rooms.slice(0, 100));
    const key = JSON.stringify([user.connectionCount, user.roomCount, user.queue, user.unanswered]);
    if (key === shown) return;
    shown = key;
    setChildren(about, h("p", {}, summary(user)));
    setChildren(queue, queueOf(user.queue));
  }, (error) => setChildren(root, h("div.card", {}, empty("The user can't be shown.", reason(error)))));
}

const stateOf = (place) => (place.isConnected ? "here" : "away");

function summary({ connectionCount, roomCount, unanswered }) {
  const text = connectionCount || roomCount
    ? `${plural(connectionCount, "connection")}, in ${plural(roomCount, "room")}.`
    : "Nobody of this id is here now.";
  return unanswered?.length ? `${text} These nodes have not answered, where the user may be too: ${unanswered.join(", ")}.` : text;
}

function queueOf(queue) {
  if (!queue?.kept) return empty("Nothing is kept for the user.");
  return facts([
    ["Kept", `${plural(queue.kept, "notification")}, ${bytes(queue.size)}`],
    ["Newest", `number ${count(queue.last)}`],
    ["Acknowledged", `up to number ${count(queue.acknowledged)}`],
    ...queue.devices.slice(0, 20).map(({ device, waiting }) => [`Device ${device}`, waiting ? `${count(waiting)} not acknowledged` : "has all"]),
  ]);
}

async function notify(view, userId) {
  const message = await askMessage(`Notify ${userId}`, "All clients of the user get it; if there is none, it waits in the queue.", "Send");
  if (!message) return;
  await view.change("users.notify", { userId, type: message[0], data: message[1] }, "The notification is sent.");
}

async function kick(view, userId) {
  const why = await askReason(`Kick ${userId}?`, "The user leaves all rooms.", "Kick");
  if (why === null) return;
  await view.change("users.kick", { userId, reason: why }, ({ rooms }) => `The user has left ${plural(Object.keys(rooms ?? {}).length, "room")}.`);
}
