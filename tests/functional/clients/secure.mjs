// npm's ws, undici and Node's own fetch, which is undici too, over TLS: node secure.mjs URL...
// Each URL is that of a page, with its socket at /ws beside it. NODE_EXTRA_CA_CERTS says whom to trust.
// Prints one JSON object: for each URL what the page and the sockets said.
import { once } from "node:events";
import { Agent, fetch as undiciFetch, WebSocket as UndiciSocket } from "undici";
import WebSocket from "ws";

const bothProtocols = new Agent({ allowH2: true });
const report = {};

async function talk(socket, read) {
  const [first] = await once(socket, "message");
  const echo = once(socket, "message");
  socket.send("hello");
  const [second] = await echo;
  const closed = once(socket, "close");
  socket.close(1000);
  await closed;
  return [JSON.parse(read(first)), read(second)];
}

for (const url of process.argv.slice(2)) {
  const socketUrl = url.replace("https:", "wss:") + "ws";
  const ofEvent = (event) => event.data;
  const pages = [];
  for (const ask of [() => fetch(url), () => undiciFetch(url, { dispatcher: bothProtocols })]) {
    const answer = await ask();
    pages.push([answer.status, await answer.text()]);
  }
  report[url] = {
    pages,
    ws: await talk(new WebSocket(socketUrl), String),
    undici: await talk(events(new UndiciSocket(socketUrl)), ofEvent),
    undiciBoth: await talk(events(new UndiciSocket(socketUrl, { dispatcher: bothProtocols })), ofEvent),
  };
}

// An EventTarget whose "error" ends the wait, as it does for an emitter.
function events(target) {
  target.addEventListener("error", (event) => { throw event.error ?? new Error("undici: " + target.url); });
  return target;
}

console.log(JSON.stringify(report));
await bothProtocols.destroy();
process.exit(0); // the agent of fetch would keep its connections
