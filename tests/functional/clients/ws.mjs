// npm's ws against txroom: `node ws.mjs URL COMPRESSION SIZE...`.
//
// Echoes text and binary messages of each size, pings, and closes from both ends; prints one JSON object.
import assert from "node:assert/strict";
import { once } from "node:events";
import WebSocket from "ws";

const [url, compression, ...sizes] = process.argv.slice(2);
const options = { perMessageDeflate: compression === "disabled" ? false : { threshold: 0 }, maxPayload: 64 << 20 };

function connect(path = "/echo", protocols = []) {
  return new WebSocket(url + path, protocols, options);
}

async function open(path, protocols) {
  const socket = connect(path, protocols);
  await once(socket, "open");
  return socket;
}

async function closed(socket) {
  const [code, reason] = await once(socket, "close");
  return [code, reason.toString()];
}

const pattern = Buffer.from(Array.from({ length: 997 }, (_, number) => (number * 31) % 251));

function message(size, isText) {
  return isText ? "aé€😀 ".repeat(Math.ceil(size / 11)) : Buffer.alloc(size, pattern);
}

const report = {};
const socket = await open("/echo", ["unknown", "chat.v2", "chat.v1"]);
report.protocol = socket.protocol;
report.extensions = socket.extensions;

for (const size of sizes.map(Number)) {
  for (const isText of [true, false]) {
    const sent = message(size, isText);
    socket.send(sent);
    const [received, isBinary] = await once(socket, "message");
    assert.equal(isBinary, !isText);
    assert.ok(isText ? received.toString() === sent : received.equals(sent), `size ${size}`);
  }
}

// Many at once come back in order.
const many = Array.from({ length: 500 }, (_, number) => `message ${number} ` + "x".repeat(number));
const back = [];
const all = new Promise((resolve) => socket.on("message", (data) => back.push(data.toString()) === many.length && resolve()));
for (const one of many) socket.send(one);
await all;
assert.deepEqual(back, many);

// In fragments.
socket.removeAllListeners("message");
socket.send("in ", { fin: false });
socket.send("frag", { fin: false });
socket.send("ments", { fin: true });
assert.equal((await once(socket, "message"))[0].toString(), "in fragments");

socket.ping("are you there");
report.pong = (await once(socket, "pong"))[0].toString();

socket.close(3001, "bye from ws");
report.closedByUs = await closed(socket);

const empty = await open();
empty.close();
report.closedEmpty = await closed(empty);

report.closedByServer = [];
for (const code of [1000, 1001, 1011, 1012, 1013, 1014, 3000, 4999]) {
  report.closedByServer.push(await closed(connect(`/close?code=${code}`)));
}

report.refused = (await once(connect("/nowhere"), "error"))[0].message;

const pinged = connect("/ping");
pinged.on("ping", (payload) => (report.ping = payload.toString()));
report.ponged = (await once(pinged, "message"))[0].toString();
pinged.terminate();

console.log(JSON.stringify(report));
