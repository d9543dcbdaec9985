// The state of rooms, as unmodified clients of Colyseus see it:
//   node colyseus_state.mjs PACKAGE URL
// Prints one JSON object: after each step, what two clients have, the second of which sees more.

import { createRequire } from "node:module";

const [, , name, url] = process.argv;
for (const method of ["log", "info", "warn", "error"]) console[method] = () => {}; // clients write there
const modules = process.env.TXROOM_COLYSEUS && name === "@colyseus/sdk" ? process.env.TXROOM_COLYSEUS : ".";
const { Client, getStateCallbacks } = createRequire(new URL(`${modules}/`, import.meta.url))(name);
const PATIENCE = 20_000;
const seen = {};

/** Waits until something holds. */
async function until(what, condition) {
  for (const since = Date.now(); !condition(); await new Promise((resolve) => setTimeout(resolve, 5))) {
    if (Date.now() - since > PATIENCE) throw new Error(`waited in vain: ${what}`);
  }
}

/** What a client has of the state, with the players by their names. */
function stateOf({ state }) {
  const { players, ...rest } = state.toJSON();
  const places = Object.values(players).map(({ name, place: { x, y } }) => [name, [x, y]]);
  return { ...rest, players: Object.fromEntries(places) };
}

/** A client in the room, which counts its changes of state. */
function follow(room) {
  const client = { room, changes: 0 };
  room.onStateChange(() => client.changes++);
  return client;
}

/** Lets the room do something, and tells what clients have when the next patch has come. */
async function step(what, ...clients) {
  const before = clients.map(({ changes }) => changes);
  clients[0].room.send("do", what);
  await until(what, () => clients.every(({ changes }, i) => changes > before[i]));
  seen[what] = clients.map(({ room }) => stateOf(room));
}

const client = new Client(url);
const ada = follow(await client.joinOrCreate("arena", { name: "ada" }));
await until("the state", () => ada.changes);
const events = [];
const on = getStateCallbacks(ada.room);
on(ada.room.state).players.onAdd((player) => events.push(`+${player.name}`));
on(ada.room.state).players.onRemove((player) => events.push(`-${player.name}`));
on(ada.room.state).listen("round", (round) => events.push(round));
const bob = follow(await client.joinOrCreate("arena", { name: "bob" }));
await until("the state of bob", () => bob.changes && ada.room.state.players.size === 2);
seen.joined = [ada, bob].map(({ room }) => stateOf(room));
seen.own = [ada, bob].map(({ room }) => room.state.players.get(room.sessionId).name);
for (const what of ["primitives", "list", "nested", "inherited", "unset"]) await step(what, ada, bob);
await step("show", bob);
await step("secret", bob);
await step("hide", bob);
const { reconnectionToken } = bob.room;
if (bob.room.reconnection) bob.room.reconnection.enabled = false;
const gone = new Promise((resolve) => bob.room.onLeave(resolve));
bob.room.connection.close();
await gone;
await step("away", ada);
const back = follow(await client.reconnect(reconnectionToken));
await until("the state again", () => back.changes);
seen.back = [stateOf(back.room)];
seen.events = events.splice(0);
if (ada.room.reconnection) {
  ada.room.reconnection.minUptime = 0;
  await step("fill", ada, back);
  const returned = new Promise((resolve) => ada.room.onReconnect(resolve));
  const before = ada.changes;
  ada.room.connection.close();
  await step("empty", back);
  await returned;
  await until("the state after coming back by itself", () => ada.changes > before);
  seen.automatic = [stateOf(ada.room)];
  seen.again = events.splice(0);
  // The room gets another owner, and all of its clients reconnect.
  back.room.reconnection.enabled = true;
  back.room.reconnection.minUptime = 0;
  const counts = [ada, back].map((each) => each.changes);
  const all = [ada, back].map(({ room }) => new Promise((resolve) => room.onReconnect(resolve)));
  ada.room.send("do", "move");
  await Promise.all(all);
  await until("the state of the next owner", () => [ada, back].every((each, i) => each.changes > counts[i]));
  seen.moved = [ada, back].map(({ room }) => stateOf(room));
}
await step("last", ada, back);
if (ada.room.reconnection) {
  seen.anew = events.splice(0);
  // The room knows that the client has got the state from this owner: the answer to its ping came before "last".
  const before = ada.changes;
  const returned = new Promise((resolve) => ada.room.onReconnect(resolve));
  ada.room.connection.close();
  await returned;
  await until("the state after coming back to the next owner", () => ada.changes > before);
  seen.notAnew = events.splice(0);
}
await back.room.leave();
await until("bob's end", () => ada.room.state.players.size === 1);
seen.late = events;
await ada.room.leave();
process.stdout.write(JSON.stringify({ ...seen, errors: [] }), () => process.exit(0));
