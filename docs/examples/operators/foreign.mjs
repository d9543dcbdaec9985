// Watch the coins of the players, and give coins, with the npm packages json-rpc-2.0 and ws.

import { JSONRPCClient, JSONRPCServer, JSONRPCServerAndClient } from "json-rpc-2.0";
import WebSocket from "ws";

const { TXROOM_ADMIN_URL: url = "http://127.0.0.1:9000", TXROOM_ADMIN_TOKEN: token } = process.env;

const headers = { Authorization: `Bearer ${token}` };
const socket = new WebSocket(`${url.replace(/^http/, "ws")}/rpc`, "jsonrpc", { headers });
const rpc = new JSONRPCServerAndClient(
  new JSONRPCServer(),
  new JSONRPCClient((request) => socket.send(JSON.stringify(request))),
);
socket.on("message", (data) => rpc.receiveAndSend(JSON.parse(data)));
await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));

const changed = new Promise((resolve) => rpc.addMethod("watch", ({ answer }) => resolve(answer)));
const begun = await rpc.request("watch", { call: "economy.players", every: 0.2 });
console.log(JSON.stringify(begun));
console.log(JSON.stringify(await rpc.request("economy.give", { userId: "bob", amount: 4 })));
console.log(JSON.stringify(await changed));
await rpc.request("economy.give", { userId: "eve" }).catch(({ code, message, data }) => {
  console.log(JSON.stringify({ code, message, data }));
});
socket.close();
