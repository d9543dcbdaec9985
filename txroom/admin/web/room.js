// One room: what it is, who is in it, what it does, and what can be done with it.

import { badge, body, card, copyButton, empty, facts, h, icon, json, setChildren, setText } from "./dom.js";
import { count, plural, reason, span } from "./format.js";
import { askMessage, askReason } from "./dialogs.js";
import { MessageLog } from "./log.js";
import { StateCard } from "./statetree.js";
import { Pager, Table } from "./table.js";

/** How many members are shown at a time. */
const MEMBERS = 10;

export function room(view) {
  const id = view.params.room;
  const title = h("h1", {}, id);
  const marks = h("span.marks", {});
  const tools = h("div.tools", {});
  const stuck = h("div.troubles", { role: "status" });
  const about = body(h("p.waiting", {}, "Loading…"));
  const state = new StateCard();
  const data = h("div.stack", {});
  const log = new MessageLog(view, id);
  const members = new MemberCard(view, id);
  const columns = h("div.columns", {}, h("div.stack", {}, card("About", about), state.element, data), h("div.stack", {}, members.element, log.element));
  view.root.append(
    h("p.crumbs", {}, h("a", { href: "#/rooms" }, icon("left"), "Rooms")),
    h("header.bar", {}, h("div.title", {}, title, copyButton(id, "the id"), marks), tools),
    stuck,
    columns,
  );

  let shown = "";
  view.watch("rooms.get", { room: id }, 1, (answer) => {
    columns.hidden = false;
    members.countAll(answer.members);
    setText(title, answer.name);
    document.title = `${answer.name} ${id} · txroom`;
    setChildren(stuck, stuckOf(answer));
    state.show(answer.state, answer.isStateCut);
    const key = JSON.stringify({ ...answer, state: null, running: null, commitSeconds: null });
    if (key === shown) return;
    shown = key;
    setChildren(marks, answer.isLocked && badge("locked", "warn"), answer.isPrivate && badge("private", "warn"));
    about.replaceChildren(aboutOf(answer));
    setChildren(data, dataOf(answer));
    if (view.canManage) setChildren(tools, toolsOf(view, answer));
  }, (error) => {
    shown = "";
    columns.hidden = true;
    tools.replaceChildren();
    marks.replaceChildren();
    stuck.replaceChildren(h("div.card", {}, empty("The room can't be shown.", reason(error))));
  });
}

function aboutOf(room) {
  return facts([
    ["Id", h("code", {}, room.room)],
    ["Node", room.node],
    ["Members", room.maxClients ? `${count(room.members)} of ${count(room.maxClients)}` : count(room.members)],
    ["Away", room.connected < room.members ? count(room.members - room.connected) : null],
    ["Waiting", room.waiting ? plural(room.waiting, "message") : null],
    ["Log", `${count(room.offset)} ${room.offset === 1 ? "message" : "messages"} so far`],
    ["Epoch", h("code", {}, room.epoch)],
  ]);
}

function dataOf(room) {
  const parts = [["Fields", room.inspect], ["Options", room.options], ["Metadata", room.metadata], ["Filters", room.filters]];
  return parts.filter(([, value]) => !isEmpty(value)).map(([name, value]) => {
    if (name !== "Fields") return card(name, body(json(value)));
    if (typeof value !== "object" || Array.isArray(value)) return card(name, body(json(value)));
    return card(name, body(facts(Object.entries(value).map(([field, each]) => [field, each !== null && typeof each === "object" ? json(each) : String(each)]))));
  });
}

function isEmpty(value) {
  return value === null || value === undefined || (typeof value === "object" && !Object.keys(value).length);
}

/** What keeps the room from going on. */
function stuckOf(room) {
  const found = (room.running ?? []).filter(({ seconds }) => seconds >= 1).slice(0, 5).map(({ name, member, seconds, waiting }) => {
    const who = member ? ` for the member ${member}` : "";
    const more = waiting ? `, and ${plural(waiting, "message")} of that member wait behind it` : "";
    return h("p.trouble", { "data-kind": seconds >= 5 ? "bad" : "warn" }, `“${name || "A function"}” has been running for ${span(seconds)}${who}${more}.`);
  });
  if (room.commitSeconds >= 2) {
    found.push(h("p.trouble", {}, `Nothing has been saved for ${span(room.commitSeconds)}: the members wait for what the room has sent.`));
  }
  if (room.stage !== "open") found.push(h("p.trouble", { "data-kind": "warn" }, `The room is in the stage “${room.stage}”.`));
  if (room.inspectError) found.push(h("p.trouble", { "data-kind": "warn" }, `inspect() failed: ${room.inspectError}`));
  return found;
}

function toolsOf(view, room) {
  const args = { room: room.room };
  const button = (text, onclick, kind = "") => h(`button${kind}`, { type: "button", onclick }, text);
  return [
    button("Broadcast…", async () => {
      const message = await askMessage("Broadcast", `${plural(room.members, "member gets", "members get")} this message.`, "Send");
      if (message) view.change("rooms.broadcast", { ...args, type: message[0], data: message[1] }, "The message is sent.");
    }),
    button(room.isLocked ? "Unlock" : "Lock", () => {
      const isLocked = !room.isLocked;
      view.change("rooms.lock", { ...args, isLocked }, isLocked ? "Nobody can join now." : "Clients can join again.");
    }),
    button(room.isPrivate ? "Make public" : "Make private", () => {
      const isPrivate = !room.isPrivate;
      view.change("rooms.setPrivate", { ...args, isPrivate }, isPrivate ? "Only those who know the id can join now." : "Clients find the room again.");
    }),
    h("a.button", { href: `#/playground?room=${encodeURIComponent(room.room)}&name=${encodeURIComponent(room.name)}` }, "Join…"),
    button("Dispose…", async () => {
      const text = `The room ends now, and ${plural(room.members, "member has", "members have")} to leave. This can't be undone.`;
      const why = await askReason(`Dispose of ${room.name} ${room.room}?`, text, "Dispose");
      if (why === null) return;
      view.note("The room ends. One in which something is stuck takes some seconds.");
      if (await view.change("rooms.dispose", { ...args, reason: why }, "The room has ended.")) location.hash = "#/rooms";
    }, ".danger"),
  ];
}

/** The members of a room, a page at a time. */
class MemberCard {
  constructor(view, room) {
    this._view = view;
    this._room = room;
    this._all = null;
    this._shown = [0, null];
    this._stop = () => {};
    const columns = [
      { label: "User", show: (member) => member.userId || "anonymous" },
      { label: "Member", kind: "code cut", isWide: true, show: describe },
      { label: "", show: (member, line) => stateOf(member, line) },
      { label: "Groups", isWide: true, kind: "cut", show: (member) => member.groups.join(", ") },
      ...(view.canManage ? [{ label: "", kind: "number", show: (member, line) => this._kickButton(member, line) }] : []),
    ];
    this._table = new Table(columns, (member) => member.member, { none: empty("Nobody is in the room."), caption: "Members" });
    this._pager = new Pager("member", () => this._begin());
    this.element = card("Members", this._table.element, this._pager.element);
    this._begin();
  }

  /** Tells how many members there are on all pages. */
  countAll(all) {
    this._all = all;
    this._pager.show(...this._shown, all);
  }

  _begin() {
    this._stop();
    const args = { room: this._room, limit: MEMBERS, cursor: this._pager.cursor };
    this._stop = this._view.watch("rooms.members", args, 3, ({ members, next }) => {
      this._table.show(members);
      this._shown = [members.length, next];
      this._pager.show(...this._shown, this._all);
    }, (error) => this._table.showNothing(empty("The members can't be listed.", reason(error))));
  }

  _kickButton(member, line) {
    const label = `Kick ${member.userId || member.member}`;
    const kick = () => kickMember(this._view, this._room, line.row);
    return (line.kick ??= h("button.small.danger", { type: "button", "aria-label": label, onclick: kick }, "Kick"));
  }
}

/** The id of a member, unless that is the id of its user, and its meta. */
export function describe({ member, userId, meta }) {
  return [member === userId ? "" : member, isEmpty(meta) ? "" : JSON.stringify(meta)].filter(Boolean).join(" ");
}

function stateOf(member, line) {
  const [text, kind] = member.waiting ? [`${count(member.waiting)} waiting`, "warn"] : member.isConnected ? ["here", "good"] : ["away", ""];
  if (line.state?.textContent !== text) line.state = badge(text, kind);
  return line.state;
}

async function kickMember(view, room, { member, userId }) {
  const why = await askReason(`Kick ${userId || member}?`, "The client is told so, and can't resume.", "Kick");
  if (why === null) return;
  await view.change("rooms.kick", { room, member, reason: why }, ({ kicked }) => (kicked ? `${userId || member} is kicked.` : "The member had left already."));
}
