// The page of the demonstration: a client of the rooms "chat" and "mole".

import { Client } from "./txroom.js";

const $ = (id) => document.getElementById(id);
const client = new Client(new URL("rooms", location.href));

const CUT = 5000; // milliseconds without a connection, when it is cut
const LOOK = 4000; // between two looks at the list of rooms and the latency, when nothing seems to happen
const SOON = 300; // until a look, when something has happened
const TYPING = 3000; // for which somebody counts as typing
const GAME = "!mole"; // in the place of a topic

const animals = "Otter Heron Lynx Finch Badger Marten Plover Ibex Wren Stoat Osprey Hare Newt Vole Siskin Gecko".split(" ");
const moods = "Calm Brave Quick Merry Bold Keen Wry Deft Gentle Bright".split(" ");
const pick = (list) => list[Math.floor(Math.random() * list.length)];

let room = null; // where we are
let place = null; // its topic, or GAME
let receiver = null; // whom we write to in private: {member, name}
let last = null; // whose message the last one in the log was
let awaySince = null;
let visit = 0; // counts up with each room that is entered
const mine = new Set(); // the members that we have been
const waiting = []; // items of the log that wait for a connection

// -- small things

const hueOf = (text) => [...text].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 360, 7);
const paint = (element, name) => element.style.setProperty("--hue", hueOf(name));
const titleOf = (topic) => (topic === GAME ? "Whack a mole" : topic || "Lobby");
const myName = () => $("name").value.trim() || "somebody";
const metasOf = (room) => (room?.members ?? []).flatMap(({ metas }) => metas);
const nameOf = (member) => metasOf(room).find((meta) => meta.member === member)?.name ?? "somebody";

function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

function entry(label, note, onclick) {
  const item = element("li"), button = element("button");
  button.type = "button";
  button.append(element("span", label), element("span", note));
  button.onclick = onclick;
  item.append(button);
  return item;
}

/** Puts items in place of those that are there, unless they look the same. */
function replace(list, items) {
  const looks = items.map((item) => item.outerHTML).join("");
  if (list.dataset.looks === looks) return;
  const focused = [...list.children].findIndex((item) => item.contains(document.activeElement));
  list.dataset.looks = looks;
  list.replaceChildren(...items);
  if (focused >= 0) list.children[Math.min(focused, items.length - 1)]?.firstChild.focus();
}

// -- the connection

function status(state, text) {
  $("status").dataset.state = state;
  $("state").textContent = text;
  if (state !== "open") $("latency").textContent = "";
}

function line(state, text, wait = 0) {
  $("line").dataset.state = state;
  $("line").textContent = text;
  $("line").style.setProperty("--wait", `${wait}ms`);
}

client.on("connected", () => status("open", "connected"));
client.on("latency", (milliseconds) => {
  if (client.state === "open") $("latency").textContent = `${milliseconds < 1 ? "<1" : Math.round(milliseconds)} ms`;
});
client.on("reconnecting", ({ delay }) => {
  status("connecting", "reconnecting");
  line("away", "No connection. What you say now waits, and what others say is kept for you.", delay);
});
client.on("disconnected", ({ code }) => status("closed", code === 1000 ? "not connected" : `closed with ${code}`));
client.on("error", (error) => note(error.message));

$("cut").onclick = () => {
  if (room === null || room.state === "left") enter(place);
  else client.reconnect(room.state === "joined" ? CUT : 0);
};

function label() {
  const state = room?.state ?? "left";
  $("cut").disabled = false;
  $("cut").textContent = { joined: "Cut the connection", left: "Join again" }[state] ?? "Reconnect now";
  $("send").disabled = state === "left";
}

// -- being in a room

/** Joins the room of a topic, or comes back to it as the member that `token` says. */
async function enter(topic, token = null) {
  const isCurrent = ((mine) => () => mine === visit)(++visit);
  const former = room;
  place = topic;
  room = null;
  show(topic);
  former?.leave();
  const [name, options] = topic === GAME ? ["mole", {}] : ["chat", topic ? { topic } : {}];
  try {
    const joined = (token && (await client.resume(token).catch(() => null)))
      || (await client.joinOrCreate(name, { name: myName(), ...options }));
    if (!isCurrent()) return void joined.leave();
    room = joined;
    mine.add(room.member);
    listen(room, isCurrent);
    if (topic === GAME) startGame(room.snapshot);
  } catch (error) {
    if (isCurrent()) note(`No way in: ${error.message || error.code}`);
  }
  if (isCurrent()) {
    label();
    people();
    lookSoon();
  }
}

function listen(room, isCurrent) {
  const on = (name, listener) => room.on(name, (...args) => isCurrent() && listener(...args));
  on("said", said);
  on("typing", typing);
  on("whispered", whispered);
  on("mole", mole);
  on("hit", hit);
  on("presence", () => {
    people();
    lookSoon();
  });
  on("reconnecting", () => {
    awaySince = performance.now();
    note("connection lost");
    label();
    people();
  });
  on("recovered", () => {
    back("Recovered: nothing was lost.");
    note("recovered, nothing is missing");
    lookSoon();
  });
  on("lost", () => {
    mine.add(room.member);
    for (const item of $("log").querySelectorAll("li:not(.waiting)")) item.remove();
    last = null;
    back("Back, but the room has forgotten us. This is what it still knows.");
    if (place === GAME) startGame(room.snapshot);
    lookSoon();
  });
  on("left", ({ code, reason }) => {
    line("", "");
    note(`You are out: ${reason || code}`);
    label();
  });
  on("error", (error) => note(error.message || error.code));
}

function back(text) {
  const seconds = awaySince === null ? "" : ` Back after ${((performance.now() - awaySince) / 1000).toFixed(1)} s.`;
  awaySince = null;
  line("back", text + seconds);
  setTimeout(() => $("line").dataset.state === "back" && line("", ""), 6000);
  label();
  people();
}

function show(topic) {
  const isGame = topic === GAME;
  $("title").textContent = titleOf(topic);
  $("log").replaceChildren();
  waiting.length = 0;
  last = null;
  $("log").hidden = true;
  $("empty").hidden = isGame;
  $("typing").hidden = $("form").hidden = isGame;
  $("typing").textContent = "";
  $("game").hidden = !isGame;
  $("send").disabled = $("cut").disabled = true;
  address(null);
  line("", "");
  people();
  if (topicOfPage() !== topic) {
    history.replaceState(null, "", topic ? `#${encodeURIComponent(topic)}` : location.pathname);
  }
}

// -- who is here

function people() {
  const metas = metasOf(room).sort((one, other) => (other.points ?? 0) - (one.points ?? 0));
  const me = room?.member;
  metas.sort((one, other) => (other.member === me) - (one.member === me));
  $("count").textContent = metas.length || "";
  replace($("people"), metas.map((meta) => {
    const isMe = meta.member === me;
    const isAway = isMe ? room.state !== "joined" : Boolean(meta.away);
    const remark = [isMe && "you", isAway && "away", meta.points].filter((part) => part || part === 0).join(" · ");
    const item = entry(meta.name, remark, () => address(meta));
    item.className = isAway ? "away" : "";
    paint(item, meta.name);
    item.firstChild.disabled = isMe || place === GAME;
    item.firstChild.title = isMe ? "You" : `Write to ${meta.name} in private`;
    return item;
  }));
  if (receiver && !metas.some(({ member }) => member === receiver.member)) address(null);
  listRooms();
}

function address(meta) {
  receiver = meta;
  $("to").hidden = meta === null;
  if (meta === null) return;
  $("to").querySelector("b").textContent = meta.name;
  paint($("to"), meta.name);
  $("text").focus();
}

$("to").querySelector("button").onclick = () => address(null);
$("name").oninput = () => paint($("name"), $("name").value);
$("name").onchange = () => room?.state !== "left" && $("name").value.trim() && room?.send("rename", myName());

const typists = new Map();
let toldAt = -Infinity;

function typing(member) {
  clearTimeout(typists.get(member));
  typists.set(member, setTimeout(() => silent(member), TYPING));
  showTypists();
}

function silent(member) {
  clearTimeout(typists.get(member));
  if (typists.delete(member)) showTypists();
}

function showTypists() {
  const names = [...typists.keys()].map(nameOf);
  const are = names.length > 1 ? "are" : "is";
  $("typing").textContent = names.length ? `${names.slice(0, 3).join(", ")} ${are} typing…` : "";
}

$("text").oninput = () => {
  const now = performance.now();
  if (receiver || room?.state !== "joined" || now - toldAt < TYPING / 2) return;
  toldAt = now;
  room.send("typing", null, { volatile: true });
};

// -- what is said

function add(kind, name, text, remark = "") {
  $("empty").hidden = true;
  $("log").hidden = false;
  const item = element("li", "", `${kind} new`);
  if (kind === "note") {
    item.textContent = text;
    last = null;
  } else {
    const head = kind + name + remark;
    if (last !== head) {
      const who = element("b", name);
      if (remark) who.append(" ", element("i", remark));
      paint(who, name);
      item.append(who);
    }
    last = head;
    item.append(element("p", text));
  }
  $("log").append(item);
  while ($("log").children.length > 500) $("log").firstChild.remove();
  if (kind.startsWith("mine")) follows = true;
  follow();
  return item;
}

// Shows the newest message, unless somebody reads older ones.
let follows = true;
const follow = () => follows && $("log").scrollTo(0, $("log").scrollHeight);
$("log").onscroll = ({ target }) => (follows = target.scrollHeight - target.scrollTop - target.clientHeight < 80);
new ResizeObserver(follow).observe($("log"));

const note = (text) => (place === GAME ? void ($("result").textContent = text) : void add("note", "", text));

function said({ from, name, text }) {
  const isMine = mine.has(from);
  if (isMine) arrived(text, "");
  silent(from);
  add(isMine ? "mine" : "other", name, text);
  waitAtEnd();
}

function whispered({ from, name, to, text }) {
  const isMine = mine.has(from);
  if (isMine) arrived(text, to);
  add(isMine ? "mine private" : "other private", name, text, isMine ? `only to ${to}` : "only to you");
  waitAtEnd();
}

$("form").onsubmit = (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || room === null) return;
  try {
    const item = room.state === "joined" ? null : wait(text, receiver?.name);
    const done = receiver ? room.call("whisper", { to: receiver.member, text }, { timeout: 60_000 }) : room.send("say", text);
    done.catch((error) => {
      unwait(item);
      note(`Not told: ${text} (${error.message || error.code})`);
    });
  } catch (error) {
    return note(error.message);
  }
  toldAt = -Infinity;
  $("text").value = "";
  $("text").focus();
};

// -- what waits for the connection

function wait(text, to = "") {
  const kind = to ? "mine private waiting" : "mine waiting";
  const item = add(kind, myName(), text, `${to && `only to ${to} · `}waits for the connection`);
  Object.assign(item.dataset, { text, to });
  waiting.push(item);
  return item;
}

function unwait(item) {
  const place = waiting.indexOf(item);
  if (place >= 0) waiting.splice(place, 1)[0].remove();
}

/** What we have said has come back from the room. */
const arrived = (text, to) => unwait(waiting.find(({ dataset }) => dataset.text === text && dataset.to === to));

/** What waits stays below what has come. */
function waitAtEnd() {
  $("log").append(...waiting);
  if (waiting.length) follow();
}

// -- the game

function startGame({ holes, mole: where }) {
  $("result").textContent = "";
  $("board").replaceChildren(...Array.from({ length: holes }, (_, hole) => {
    const button = element("button");
    button.type = "button";
    button.ariaLabel = `Hole ${hole + 1}`;
    button.append(element("span"));
    button.onclick = () => strike(hole);
    return button;
  }));
  mole(where);
}

function mole(where) {
  [...$("board").children].forEach((button, hole) => {
    button.className = hole === where ? "up" : "";
    button.ariaLabel = `Hole ${hole + 1}${hole === where ? ": the mole" : ""}`;
  });
}

async function strike(hole) {
  try {
    if (!(await room.call("hit", hole))) $("result").textContent = "Missed.";
  } catch (error) {
    note(error.message || error.code);
  }
}

function hit({ by, hole }) {
  mole(null);
  $("board").children[hole]?.classList.add("hit");
  $("result").textContent = mine.has(by) ? "Hit!" : `${nameOf(by)} was faster.`;
}

// -- the rooms there are

let rooms = []; // as the server listed them last
let looking = null; // the timer of the next look

function lookSoon() {
  clearTimeout(looking);
  looking = setTimeout(look, SOON);
}

async function look() {
  clearTimeout(looking);
  looking = setTimeout(look, LOOK);
  if (document.hidden || client.state !== "open") return;
  try {
    [rooms] = await Promise.all([client.query(null), client.ping()]);
    listRooms();
  } catch {
    // The connection is lost, which is told elsewhere.
  }
}

function listRooms() {
  const clients = new Map([["", 0]]); // by topic; of the room where we are, presence knows better
  let players = 0;
  for (const { name, metadata, clients: number } of rooms) {
    if (name === "mole") players += number;
    else if (name === "chat") clients.set(metadata.topic, number);
  }
  if (place !== GAME) clients.set(place, metasOf(room).length);
  const topics = [...clients].filter(([topic]) => topic).sort(([, one], [, other]) => other - one);
  const listed = [["", clients.get("")], ...topics.slice(0, 50), [GAME, players]];
  replace($("rooms"), listed.map(([topic, number]) => {
    const item = entry(titleOf(topic), String(number || ""), () => topic !== place && enter(topic));
    item.firstChild.ariaCurrent = String(topic === place);
    return item;
  }));
}

document.addEventListener("visibilitychange", lookSoon);

$("create").onsubmit = (event) => {
  event.preventDefault();
  const topic = $("topic").value.trim();
  $("topic").value = "";
  if (topic && topic !== place) enter(topic);
};
$("again").onclick = () => window.open(location.href, "_blank", "noopener,popup,width=560,height=680");
const topicOfPage = () => {
  try {
    return decodeURIComponent(location.hash.slice(1)).slice(0, 40);
  } catch {
    return "";
  }
};
window.onhashchange = () => topicOfPage() !== place && enter(topicOfPage());


// -- a page that is loaded again goes on as the same member: see "When the page is loaded again" in the docs

addEventListener("pagehide", () => {
  sessionStorage.setItem("name", $("name").value);
  sessionStorage.setItem("place", place);
  sessionStorage.setItem("token", room?.reconnectionToken ?? "");
});

/** What the former page has left, once: a duplicated tab is somebody else. */
function inherited() {
  const [name, formerPlace, token] = ["name", "place", "token"].map((key) => sessionStorage.getItem(key));
  sessionStorage.clear();
  return { name, token: formerPlace === topicOfPage() ? token : null };
}

// A phone whose keyboard is open: the page is as high as what is seen of it.
window.visualViewport?.addEventListener("resize", () => {
  document.body.style.setProperty("--height", `${window.visualViewport.height}px`);
  follow();
});

const { name, token } = inherited();
$("name").value = name || `${pick(moods)} ${pick(animals)}`;
paint($("name"), $("name").value);
$("url").textContent = client.url;
enter(topicOfPage(), token);
