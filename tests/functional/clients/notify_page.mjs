// Pages of a user's device, one after the other:
//   node notify_page.mjs URL DEVICE
// A line on the standard input reloads the page; the end of the input closes it. Prints a line of JSON for
// each event: ["ready"], ["told", type, data], ["dropped", count], ["acknowledged", n], ["error", text].

import { createInterface } from "node:readline";

import WebSocket from "ws";

import { Client } from "../../../txroom/web/txroom.js";

const [url, device] = process.argv.slice(2);
const print = (...event) => console.log(JSON.stringify(event));

class Socket extends WebSocket {
  send(text) {
    super.send(text);
    const [kind, , , n] = JSON.parse(text);
    if (kind === "notify" && n) print("acknowledged", n);
  }
}

async function open() {
  const client = new Client(url, { WebSocket: Socket, device, minDelay: 20, maxDelay: 200 });
  client.on("error", (error) => print("error", String(error)));
  client.on("notifyDropped", (count) => print("dropped", count));
  client.on("notify", (type, data) => print("told", type, data));
  await client.ping(); // the answer to the subscription comes before that to this ping
  print("ready");
  return client;
}

let client = await open();
for await (const line of createInterface({ input: process.stdin })) {
  await client.close();
  client = await open();
}
await client.close();
