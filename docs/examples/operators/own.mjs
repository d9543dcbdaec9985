// Watch the coins of the players, and give coins to one of them, with txroom.js in Node.

import WebSocket from "ws";

import { Client } from "./txroom.js";

const { TXROOM_ADMIN_URL: url = "http://127.0.0.1:9000", TXROOM_ADMIN_TOKEN: token } = process.env;

class Authorized extends WebSocket {
  constructor(address, protocols) {
    super(address, protocols, { headers: { Authorization: `Bearer ${token}` } });
  }
}

const client = new Client(`${url}/rpc`, { WebSocket: Authorized });
const rpc = await client.joinOrCreate("rpc");
const changed = new Promise((resolve) => rpc.onMessage("watch", ({ answer }) => resolve(answer)));
const { answer } = await rpc.call("watch", { call: "economy.players", every: 0.2 });
console.log(JSON.stringify(answer));
console.log(JSON.stringify(await rpc.call("economy.give", { userId: "bob", amount: 4 })));
console.log(JSON.stringify(await changed));
await client.close();
