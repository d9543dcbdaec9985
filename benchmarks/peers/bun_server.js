// Bun's own server (uWebSockets); it broadcasts with publish.
"use strict";

const { port, certificate, role, isEcho } = require("./common.js");

const server = Bun.serve({
  port,
  hostname: "127.0.0.1",
  tls: role === "tls" ? { key: Bun.file(certificate), cert: Bun.file(certificate) } : undefined,
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("", { status: 426 })),
  websocket: {
    perMessageDeflate: role === "deflate",
    open: (socket) => socket.subscribe("all"),
    message: isEcho
      ? (socket, message) => socket.send(message)
      : (socket, message) => server.publish("all", message, role === "deflate"),
  },
});
