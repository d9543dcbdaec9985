// Socket.IO: one room, with acknowledgements as answers.
"use strict";

const { createServer } = require("node:http");
const { Server } = require("socket.io");
const { port } = require("./common.js");

const http = createServer();
const io = new Server(http, { transports: ["websocket"] });

io.on("connection", (socket) => {
  const { name } = socket.handshake.query;
  socket.join("chat");
  socket.on("say", ({ text }) => io.to("chat").emit("said", { name, text }));
  socket.on("ask", ({ text }, answer) => answer({ name, text }));
});
http.listen(port, "127.0.0.1", 511);
