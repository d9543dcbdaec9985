// A client of Colyseus in a room whose state gets other classes:
//   node colyseus_changed.mjs PACKAGE URL
// Prints one JSON object: what the client has of the state, and what it is told.

import { createRequire } from "node:module";

const [, , name, url] = process.argv;
for (const method of ["log", "info", "warn", "error"]) console[method] = () => {}; // clients write there
const modules = process.env.TXROOM_COLYSEUS && name === "@colyseus/sdk" ? process.env.TXROOM_COLYSEUS : ".";
const { Client } = createRequire(new URL(`${modules}/`, import.meta.url))(name);
const seen = { told: [] };

/** Waits until something holds. */
async function until(what, condition) {
  for (const since = Date.now(); !condition(); await new Promise((resolve) => setTimeout(resolve, 5))) {
    if (Date.now() - since > 20_000) throw new Error(`waited in vain: ${what}`);
  }
}

/** What a client has of the only fighter. */
async function fighterOf(room) {
  await until("the state", () => room.state?.fighters?.get("ada"));
  return room.state.fighters.get("ada").toJSON();
}

const client = new Client(url);
const room = await client.joinOrCreate("ring");
if (room.reconnection) room.reconnection.minUptime = 0;
seen.before = await fighterOf(room);
const { state } = room;
room.onError((code, message) => seen.told.push([code, message]));
room.onLeave((code, reason) => (seen.left = [code, reason]));
room.send("change");
await until("the end", () => seen.left);
seen.kept = state.fighters.get("ada").toJSON();
const again = await client.reconnect(room.reconnectionToken);
seen.after = await fighterOf(again);
seen.isMember = again.sessionId === room.sessionId;
await again.leave();
process.stdout.write(JSON.stringify({ ...seen, errors: [] }), () => process.exit(0));
