// Clients of Colyseus and of txroom in one room with a state, whose node is killed:
//   node colyseus_nodes.mjs PACKAGE FIRST SECOND
// FIRST and SECOND are the URLs of two nodes. The client of Colyseus asks the first one for a seat, which then has the
// room, and connects to the second one. Prints one JSON object: what both have, before and after.

import { createRequire } from "node:module";

import WebSocket from "ws";

import { Client } from "../../../txroom/web/txroom.js";

const [, , name, first, second] = process.argv;
for (const method of ["log", "info", "warn", "error"]) console[method] = () => {}; // clients write there
const Colyseus = createRequire(import.meta.url)(name);
const seen = {};

async function until(what, condition) {
  for (const since = Date.now(); !condition(); await new Promise((resolve) => setTimeout(resolve, 20))) {
    if (Date.now() - since > 60_000) throw new Error(`waited in vain: ${what}`);
  }
}

const urlBuilder = (url) => {
  if (url.protocol === "ws:") url.host = new URL(second).host;
  return url.toString();
};
const ada = await new Colyseus.Client(first, { urlBuilder }).joinOrCreate("arena");
ada.reconnection.minUptime = 0;
const client = new Client(`${second.replace("http", "ws")}/rooms`, { WebSocket, minDelay: 20, maxDelay: 500 });
const bob = await client.joinById(ada.roomId);

/** What both clients have: the total, and the points of Ada and Bob. */
function states() {
  const [here, there] = [ada.state, bob.state];
  const ids = [ada.sessionId, bob.member];
  return [here, there].map(({ total, players }) => [total, players.size, ...ids.map((id) => players.get(id)?.points)]);
}
const areAt = (total) => states().every(([each]) => Number(each) === total);

await until("both players", () => ada.state?.players?.size === 2 && bob.state?.players.size === 2);
ada.send("score", 5);
const owner = await bob.call("score", 2);
await until("the first total", () => areAt(7));
seen.before = states();
const back = new Promise((resolve) => ada.onReconnect(resolve));
ada.send("die");
await back;
const next = await bob.call("score", 10);
ada.send("score", 100);
await until("the last total", () => areAt(117));
seen.after = states();
seen.isMoved = owner !== next;
process.stdout.write(JSON.stringify({ ...seen, errors: [] }), () => process.exit(0));
