// ws: the echo and the broadcast of its README.
"use strict";

const { readFileSync } = require("node:fs");
const { createServer } = require("node:https");
const { WebSocketServer } = require("ws");
const { port, certificate, role, isEcho } = require("./common.js");

const options = { perMessageDeflate: role === "deflate" };
let https;
if (role === "tls") {
  const pem = readFileSync(certificate);
  https = createServer({ key: pem, cert: pem });
  https.listen(port, "127.0.0.1", 511);
}
const server = new WebSocketServer(https ? { ...options, server: https } : { ...options, host: "127.0.0.1", port });

server.on("connection", (socket) => {
  socket.on("error", console.error);
  socket.on("message", (data, isBinary) => {
    if (isEcho) {
      socket.send(data, { binary: isBinary });
      return;
    }
    for (const client of server.clients) client.send(data, { binary: isBinary });
  });
});
