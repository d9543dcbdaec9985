// An unmodified client of Colyseus in rooms:
//   node colyseus.mjs PACKAGE URL
// Prints one JSON object: what it saw. With the environment variable TXROOM_COLYSEUS, which is a folder, the
// package @colyseus/sdk is the one that is installed there.

import { createRequire } from "node:module";


const [, , name, url] = process.argv;
for (const method of ["log", "info", "warn"]) console[method] = () => {}; // clients write there
const modules = process.env.TXROOM_COLYSEUS && name === "@colyseus/sdk" ? process.env.TXROOM_COLYSEUS : ".";
const { Client } = createRequire(new URL(`${modules}/`, import.meta.url))(name);
const hasRequests = name === "@colyseus/sdk";
const canReconnect = name !== "colyseus.js";
const PATIENCE = 20_000;
const seen = {};

const later = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Waits for a promise. */
function soon(what, promise) {
  const late = later(PATIENCE).then(() => Promise.reject(new Error(`waited in vain: ${what}`)));
  return Promise.race([promise, late]);
}

const next = (room, type) => soon(type, new Promise((resolve) => room.onMessage(type, resolve)));
const left = (room) => soon("leave", new Promise((resolve) => room.onLeave((code) => resolve(code))));
const errorOf = (room) =>
  soon("error", new Promise((resolve) => room.onError((code, message) => resolve([code, message]))));
const failure = (promise) => promise.then(() => "none", (error) => [error.code, error.message]);

async function matchmaking() {
  const client = new Client(url);
  const ada = await client.joinOrCreate("lab", { name: "ada", mode: "duel" });
  const bob = await client.join("lab", { name: "bob", mode: "duel" });
  const other = await client.create("lab", { name: "cy", mode: "solo" });
  const byId = await client.joinById(other.roomId, { name: "di" });
  seen.rooms = [ada.roomId === bob.roomId, ada.roomId === other.roomId, other.roomId === byId.roomId];
  seen.name = ada.name;
  seen.options = await Promise.all([next(ada, "options"), (ada.send("options"), 0)]).then(([each]) => each);
  ada.send("id");
  seen.isMember = (await next(ada, "id")) === ada.sessionId;
  seen.noName = await failure(client.joinOrCreate("none"));
  seen.noMatch = await failure(client.join("lab", { mode: "none" }));
  seen.noRoom = await failure(client.joinById("none"));
  seen.refused = await failure(client.joinOrCreate("lab", { mode: "refused" }));
  seen.failed = await failure(client.joinOrCreate("lab", { mode: "failed" }));
  seen.full = await failure(client.joinById(ada.roomId, { mode: "duel" }));
  for (const room of [bob, other, byId]) await room.leave();
  return ada;
}

async function messages(room) {
  const echo = async (value) => {
    const echoed = next(room, "echoed");
    room.send("echo", value);
    return echoed;
  };
  seen.nothing = (await echo()) === undefined;
  seen.plain = await echo([1, -1, 64, 127, 300, 2 ** 40, -(2 ** 35), 1.5, "ü", true, null]);
  seen.records = await echo([{ x: 1, y: 2 }, { x: 3, y: 4 }, { z: { x: 5, y: 6 } }, {}]);
  seen.date = (await echo(new Date(1_700_000_000_123))).getTime();
  const many = Array.from({ length: 100 }, (_, i) => ({ [`key${i}`]: i }));
  seen.many = JSON.stringify(await echo(many)) === JSON.stringify(many);
  const numbered = next(room, 7);
  room.send(7, "seven");
  seen.numbered = await numbered;
  const raw = next(room, "raw");
  room.sendBytes("raw", new Uint8Array([0, 1, 255]));
  seen.bytes = [...(await raw)];
  const unknown = errorOf(room);
  room.send("unknown", {});
  seen.unknown = await unknown;
  const raised = errorOf(room);
  room.send("raise", {});
  seen.raised = await raised;
}

async function requests(room) {
  if (!hasRequests) return;
  seen.sum = await soon("reply", room.request("add", { a: 2, b: 40 }));
  seen.rejected = await room.request("refuse", "why").catch(({ name, reason }) => [name, reason]);
  seen.faulty = await room.request("raise").catch(({ name, code }) => [name, code]);
  seen.invalid = await room.request("add", "text").catch(({ name, code }) => [name, code]);
  seen.latency = (await soon("latency", new Client(url).getLatency({ pingCount: 2 }))) >= 0;
}

async function reconnecting() {
  const client = new Client(url);
  const room = await client.joinOrCreate("lab", { name: "eve", mode: "back" });
  const { reconnectionToken, sessionId } = room;
  const dropped = left(room);
  if (canReconnect) room.reconnection.enabled = false;
  room.connection.close();
  await dropped;
  const again = await soon("reconnect", client.reconnect(reconnectionToken));
  seen.back = [again.sessionId === sessionId, again.reconnectionToken !== reconnectionToken];
  again.send("hooks");
  seen.hooks = await next(again, "hooks");
  seen.goneToken = await failure(client.reconnect(`${again.roomId}:none`));
  if (canReconnect) {
    again.reconnection.minUptime = 0;
    const back = soon("automatic", new Promise((resolve) => again.onReconnect(resolve)));
    const echoed = next(again, "echoed");
    again.connection.close();
    await soon("drop", new Promise((resolve) => again.onDrop(resolve)));
    again.send("echo", "queued");
    await back;
    seen.queued = await echoed;
  }
  seen.consented = await again.leave();
  seen.lateToken = await failure(client.reconnect(again.reconnectionToken));
}

async function endings() {
  const client = new Client(url);
  const kicked = await client.joinOrCreate("lab", { mode: "kick" });
  let code = left(kicked);
  kicked.send("kick");
  seen.kicked = await code;
  const closed = await client.joinOrCreate("lab", { mode: "close" });
  code = left(closed);
  closed.send("close");
  seen.closed = await code;
  const misused = await client.joinOrCreate("lab", { mode: "misuse" });
  code = left(misused);
  for (let i = 0; i < 3; i++) misused.connection.send(new Uint8Array([13, 0xc1]));
  seen.misused = await code;
}

async function authentication() {
  const client = new Client(url);
  seen.stranger = await failure(client.joinOrCreate("closed"));
  client.auth.token = "secret";
  const room = await client.joinOrCreate("closed");
  room.send("who");
  seen.who = await next(room, "who");
  await room.leave();
}

const room = await matchmaking();
await messages(room);
await requests(room);
seen.leave = await room.leave();
await reconnecting();
await endings();
await authentication();
console.error = () => {};
process.stdout.write(JSON.stringify({ ...seen, errors: [] }), () => process.exit(0));
