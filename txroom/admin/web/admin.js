// The frame of the page: its views by the hash, the line about the connection, the keyboard.

import { h, icon, setText } from "./dom.js";
import { count, reason } from "./format.js";
import { Rpc } from "./rpc.js";
import { moveInRows } from "./table.js";
import { Rates } from "./rates.js";
import { connections } from "./connections.js";
import { overview } from "./overview.js";
import { playground } from "./playground.js";
import { room } from "./room.js";
import { rooms } from "./rooms.js";
import { server } from "./server.js";
import { users } from "./users.js";

const VIEWS = { "": overview, rooms, room, connections, users, playground, server };
const TITLES = { "": "Overview", rooms: "Rooms", room: "Room", connections: "Connections", users: "Users", playground: "Playground", server: "Server" };

const { role, login } = document.documentElement.dataset;
const main = document.querySelector("#main");
const rpc = new Rpc();
const rates = new Rates();

/** What a view has of the page. It ends when another view is shown: with it end its watches. */
class View {
  constructor(params) {
    this.params = params;
    this.root = h("div.view", {});
    this.rpc = rpc;
    this.rates = rates;
    /** Below which path the sockets of the server's applications are. */
    this.sockets = "/play";
    /** Whether one may change something. */
    this.canManage = role === "manage";
    this._ends = [];
  }

  /** Calls this when the view ends. */
  onEnd(end) {
    this._ends.push(end);
  }

  /** Like `Rpc.watch`, until the view ends. */
  watch(...args) {
    const stop = rpc.watch(...args);
    this._ends.push(stop);
    return stop;
  }

  /** Makes a call that changes something, and tells how it went. Returns whether it has worked. */
  async change(name, args, done) {
    try {
      const answer = await rpc.call(name, args);
      note(typeof done === "function" ? done(answer) : done);
      return true;
    } catch (error) {
      note(reason(error), "bad");
      return false;
    }
  }

  /** Tells something for a few seconds. */
  note(text, kind = "") {
    note(text, kind);
  }

  end() {
    for (const end of this._ends.splice(0)) end();
  }
}

let view = null, shown = null;

/** Shows the view of the hash: "#/rooms/ID?text=x" is the view "room" with the id and the text. */
function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [first = "", ...rest] = path.split("/").map(decode);
  let name = Object.hasOwn(VIEWS, first) && first !== "room" ? first : "";
  const params = Object.fromEntries(new URLSearchParams(query));
  if (name === "rooms" && rest[0]) [name, params.room] = ["room", rest.join("/")];
  view?.end();
  view = new View(params);
  document.title = `${name === "room" ? params.room : TITLES[name]} · txroom`;
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.dataset.view === (name === "room" ? "rooms" : name);
    isHere ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  main.replaceChildren(view.root);
  VIEWS[name](view);
  if (shown !== null && shown !== location.hash.split("?")[0]) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  shown = location.hash.split("?")[0];
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// -- what is told

const notes = document.querySelector("#notes");

function note(text, kind = "") {
  if (!text) return;
  const element = h("p.note", { "data-kind": kind || null }, icon(kind === "bad" ? "close" : "check"), text);
  notes.append(element);
  while (notes.children.length > 4) notes.firstChild.remove();
  setTimeout(() => element.remove(), kind === "bad" ? 8000 : 4000);
}

const status = document.querySelector("#status"), line = document.querySelector("#line");
const WORDS = { connecting: "Connecting…", open: "Live", waiting: "Connecting again…", over: "Logged out" };
let lateLine = null;

rpc.onstate = (state) => {
  status.dataset.state = state;
  setText(status.firstElementChild, WORDS[state]);
  clearTimeout(lateLine);
  if (state === "open") line.hidden = true;
  else lateLine = setTimeout(() => showLine(state), state === "over" ? 0 : 1500);
};

/** Tells above the view that it shows the past. */
function showLine(state) {
  if (state === "over") line.replaceChildren("Your session has ended. ", h("a", { href: "/", onclick: reload }, "Log in again"));
  else line.replaceChildren("The connection to the server is lost. What you see is from before; this page connects again by itself.");
  line.hidden = false;
}

function reload(event) {
  event.preventDefault();
  location.reload();
}

// -- the colours

document.querySelector("#theme").addEventListener("click", () => {
  const isDark = getComputedStyle(document.documentElement).colorScheme === "dark" ||
    (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  const theme = isDark ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("txroom.theme", theme);
  } catch {
    // It lasts until the page is loaded again.
  }
});

// -- the keyboard

const KEYS = { o: "", r: "rooms", c: "connections", u: "users", p: "playground", s: "server" };
let isGoing = false;

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
    if (isTyping) event.target.blur();
    else if (location.hash.startsWith("#/rooms/")) location.hash = "#/rooms";
    return;
  }
  if (isTyping || document.querySelector("dialog[open]")) return;
  if (isGoing && event.key in KEYS) {
    location.hash = `#/${KEYS[event.key]}`;
    isGoing = false;
    return;
  }
  isGoing = event.key === "g";
  if (event.key === "/") {
    const search = main.querySelector("input[type=search]");
    if (search) search.select();
    else location.hash = "#/rooms";
    event.preventDefault();
  } else if (event.key === "j" || event.key === "k") moveInRows(main, event.key === "j" ? 1 : -1);
  else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.matches(".row")) {
    if (moveInRows(main, event.key === "ArrowDown" ? 1 : -1)) event.preventDefault();
  }
});

// -- the start

document.querySelector("#logout").hidden = login !== "yes";
const counts = { rooms: document.querySelector("#count-rooms"), connections: document.querySelector("#count-connections") };
rpc.watch("nodes.list", {}, 2, (answer) => {
  rates.take(answer);
  for (const [name, element] of Object.entries(counts)) setText(element, count(rates.totals[name]));
});
addEventListener("hashchange", route);
route();
rpc.start();
