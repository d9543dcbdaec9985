// The page of the demo: a client for the rooms "chat" and "mole".

import { Client } from "./txroom.js";

const $ = (id) => document.getElementById(id);

// Times are in milliseconds.
const CUT = 5000; // how long the connection stays cut
const LOOK = 4000; // how often the list of rooms and the latency are updated
const SOON = 300; // how soon they are updated after an event
const TYPING = 3000; // how long a member counts as typing
const GAME = "!mole"; // replaces the topic for the game

const animals = "Otter Heron Lynx Finch Badger Marten Plover Ibex Wren Stoat Osprey Hare Newt Vole Siskin Gecko".split(" ");
const moods = "Calm Brave Quick Merry Bold Keen Wry Deft Gentle Bright".split(" ");
const pick = (list) => list[Math.floor(Math.random() * list.length)];

const me = await person();
const client = new Client(new URL(`rooms?user=${me.id}`, location.href));

let room = null; // the current room
let place = null; // its topic, or GAME
let receiver = null; // the receiver of private messages: {member, name}
let last = null; // the heading of the last message in the log
let awaySince = null;
let away = "connection"; // what was lost then: the connection, or only the room
let visit = 0; // how many rooms were entered
const mine = new Set(); // the ids of this page's memberships
const waiting = []; // the items of the log that are waiting for the connection or the room

// -- who this page is

/**
 * Returns who this page is: {id, name}. Each open tab is somebody else, and who was here before the tab was closed is
 * here again in a new one. The id is a secret, because whoever knows it gets the notifications.
 */
async function person() {
  const former = sessionStorage.getItem("person"); // this tab before it was loaded again
  if (former) hold(former);
  for (const one of known()) if (one.id === former || (!former && (await hold(one.id, true)))) return one;
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const id = former ?? [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (!former) hold(id);
  return { id, name: sessionStorage.getItem("name") || `${pick(moods)} ${pick(animals)}` };
}

/** Marks a person as taken, as long as this page is open. Returns whether nobody else is that person. */
function hold(id, ifAvailable = false) {
  return new Promise((resolve) => {
    if (!navigator.locks) return resolve(false); // the page comes without TLS from another computer
    void navigator.locks.request(`txroom demo ${id}`, { ifAvailable }, (lock) => {
      resolve(lock !== null);
      return lock && new Promise(() => {});
    });
  });
}

/** Who was here in this browser. */
function known() {
  return JSON.parse(localStorage.getItem("people") ?? "[]");
}

/** Keeps the name of this person for the next time. */
function remember(name) {
  me.name = name;
  localStorage.setItem("people", JSON.stringify([me, ...known().filter(({ id }) => id !== me.id)].slice(0, 20)));
}

// -- helpers

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

/** Replaces the items of a list, unless the new ones look the same. */
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

/** Says that the room is away although there is a connection. */
function roomAway() {
  if (client.state !== "open" || !room || ["joined", "left"].includes(room.status)) return;
  line("away", "The room is not available at the moment. Your messages wait.");
}

client.on("connected", () => {
  status("open", "connected");
  setTimeout(roomAway, SOON); // mostly the room is back by then
});
client.on("latency", (milliseconds) => {
  if (client.state === "open") $("latency").textContent = `${milliseconds < 1 ? "<1" : Math.round(milliseconds)} ms`;
});
client.on("reconnecting", ({ delay }) => {
  status("connecting", "reconnecting");
  line("away", "There is no connection. When it is back, all waiting messages are sent and received.", delay);
});
client.on("disconnected", ({ code }) => status("closed", code === 1000 ? "not connected" : `closed (${code})`));
client.on("error", (error) => note(error.message));

$("cut").onclick = () => {
  if (room === null || room.status === "left") enter(place);
  else client.reconnect(room.status === "joined" ? CUT : 0);
};

function label() {
  const status = room?.status ?? "left";
  $("cut").disabled = false;
  $("cut").textContent = { joined: "Cut the connection", left: "Join again" }[status] ?? "Reconnect now";
  $("send").disabled = status === "left";
}

// -- being in a room

/** Joins the room of a topic, or resumes the membership of `token` there. */
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
    if (topic === GAME) startGame();
  } catch (error) {
    if (isCurrent()) note(`You could not join the room: ${error.message || error.code}`);
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
  on("state", mole);
  on("hit", hit);
  on("presence", () => {
    people();
    lookSoon();
  });
  on("reconnecting", () => {
    awaySince = performance.now();
    away = client.state === "open" ? "room" : "connection";
    note(away === "room" ? "The room is not available at the moment." : "The connection is lost.");
    roomAway();
    label();
    people();
  });
  on("recovered", () => {
    back(`The ${away} is back, and no message was lost.`);
    note(`The ${away} is back, and no message was lost.`);
    lookSoon();
  });
  on("lost", () => {
    mine.add(room.member);
    for (const item of $("log").querySelectorAll("li:not(.waiting)")) item.remove();
    last = null;
    back(`The ${away} is back, but messages were lost. These are the messages that the room still has.`);
    if (place === GAME) startGame();
    lookSoon();
  });
  on("left", ({ code, reason }) => {
    line("", "");
    note(`You are no longer in the room: ${reason || code}`);
    label();
  });
  on("error", (error) => note(error.message || error.code));
}

function back(text) {
  const seconds = awaySince === null ? "" : ` It was away for ${((performance.now() - awaySince) / 1000).toFixed(1)} s.`;
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

// -- the members

function people() {
  const metas = metasOf(room).sort((one, other) => (other.points ?? 0) - (one.points ?? 0));
  const me = room?.member;
  metas.sort((one, other) => (other.member === me) - (one.member === me));
  $("count").textContent = metas.length || "";
  replace($("people"), metas.map((meta) => {
    const isMe = meta.member === me;
    const isAway = isMe ? room.status !== "joined" : Boolean(meta.away);
    const remark = [isMe && "you", isAway && "away", meta.points].filter((part) => part || part === 0).join(" · ");
    const item = entry(meta.name, remark, () => address(meta));
    item.className = isAway ? "away" : "";
    paint(item, meta.name);
    item.firstChild.disabled = isMe || place === GAME;
    item.firstChild.title = isMe ? "You" : `Send ${meta.name} a private message`;
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
$("name").onchange = () => {
  if (!$("name").value.trim()) return;
  remember(myName());
  if (room?.status !== "left") room?.send("rename", myName());
};

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
  if (receiver || room?.status !== "joined" || now - toldAt < TYPING / 2) return;
  toldAt = now;
  room.send("typing", null, { volatile: true });
};

// -- messages

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

// Shows the newest message, unless the user reads older ones.
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

// -- what others have whispered while this person was away

client.on("notify:whispered", ({ name, text, topic }) => {
  const item = element("li"), who = element("b", name), close = element("button", "×", "link");
  const place = element("button", titleOf(topic), "link");
  paint(who, name);
  close.type = place.type = "button";
  close.ariaLabel = "Close";
  place.onclick = () => enter(topic);
  close.onclick = () => {
    item.remove();
    $("missed").hidden = !$("missed").childElementCount;
  };
  const head = element("span", " only to you, in ");
  head.prepend(who);
  head.append(place);
  item.append(head, close, element("p", text));
  $("missed").append(item);
  $("missed").hidden = false;
});
client.on("notifyDropped", (count) => note(`You have missed ${count} more private messages, which the server has not kept.`));

$("form").onsubmit = (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || room === null) return;
  try {
    const item = room.status === "joined" ? null : wait(text, receiver?.name);
    const done = receiver ? room.call("whisper", { to: receiver.member, text }, { timeout: 60_000 }) : room.send("say", text);
    done.catch((error) => {
      unwait(item);
      note(`Your message was not sent: ${text} (${error.message || error.code})`);
    });
  } catch (error) {
    return note(error.message);
  }
  toldAt = -Infinity;
  $("text").value = "";
  $("text").focus();
};

// -- messages that are waiting for the connection or the room

function wait(text, to = "") {
  const kind = to ? "mine private waiting" : "mine waiting";
  const item = add(kind, myName(), text, `${to && `only to ${to} · `}waiting for the ${client.state === "open" ? "room" : "connection"}`);
  Object.assign(item.dataset, { text, to });
  waiting.push(item);
  return item;
}

function unwait(item) {
  const place = waiting.indexOf(item);
  if (place >= 0) waiting.splice(place, 1)[0].remove();
}

/** The room has sent back one of this page's messages. */
const arrived = (text, to) => unwait(waiting.find(({ dataset }) => dataset.text === text && dataset.to === to));

/** Keeps the waiting messages below the received ones. */
function waitAtEnd() {
  $("log").append(...waiting);
  if (waiting.length) follow();
}

// -- the game

function startGame() {
  $("result").textContent = "";
  $("board").replaceChildren(...Array.from({ length: room.state.holes }, (_, hole) => {
    const button = element("button");
    button.type = "button";
    button.ariaLabel = `Hole ${hole + 1}`;
    button.append(element("span"));
    button.onclick = () => strike(hole);
    return button;
  }));
  mole();
}

/** Shows the mole where it is. The hole in which it was hit stays marked until it looks out again. */
function mole() {
  const where = room.state.mole;
  [...$("board").children].forEach((button, hole) => {
    button.classList.toggle("up", hole === where);
    if (where !== null) button.classList.remove("hit");
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
  $("board").children[hole]?.classList.replace("up", "hit");
  $("result").textContent = mine.has(by) ? "Hit!" : `${nameOf(by)} was faster.`;
}

// -- the list of rooms

let rooms = []; // as the server listed them last
let looking = null; // the timer of the next update

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
    // The connection is lost; the listener of "reconnecting" tells the user.
  }
}

function listRooms() {
  const clients = new Map([["", 0]]); // by topic; the number of the current room comes from presence
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


// -- after a reload the page continues its membership, with room.reconnectionToken

addEventListener("pagehide", () => {
  sessionStorage.setItem("person", me.id);
  sessionStorage.setItem("name", $("name").value);
  sessionStorage.setItem("place", place);
  sessionStorage.setItem("token", room?.reconnectionToken ?? "");
});

/** Takes what the former page has stored. It is taken once, so a duplicated tab is another member. */
function inherited() {
  const [formerPlace, token] = ["place", "token"].map((key) => sessionStorage.getItem(key));
  sessionStorage.clear();
  return formerPlace === topicOfPage() ? token : null;
}

// While the keyboard of a phone is open, the page is as high as its visible part.
window.visualViewport?.addEventListener("resize", () => {
  document.body.style.setProperty("--height", `${window.visualViewport.height}px`);
  follow();
});

const token = inherited();
$("name").value = me.name;
remember(me.name);
paint($("name"), $("name").value);
$("url").textContent = client.url.split("?")[0];
enter(topicOfPage(), token);
