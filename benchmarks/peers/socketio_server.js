// Socket.IO: one room, with acknowledgements as answers.
"use strict";

const { createServer } = require("node:http");
const { Server } = require("socket.io");
const { port, role } = require("./common.js");

const http = createServer();
const io = new Server(http, { transports: ["websocket"] });
const members = new Map();

io.on("connection", (socket) => {
  const { name } = socket.handshake.query;
  socket.join("chat");
  if (role === "presence") present(socket, name);
  socket.on("say", ({ text }) => io.to("chat").emit("said", { name, text }));
  socket.on("ask", ({ text }, answer) => answer({ name, text }));
});

/** Tells each of the others, as examples of Socket.IO do. */
function present(socket, name) {
  members.set(socket.id, { id: socket.id, name });
  socket.emit("members", [...members.values()]);
  socket.to("chat").emit("came", members.get(socket.id));
  socket.on("disconnect", () => {
    io.to("chat").emit("went", members.get(socket.id));
    members.delete(socket.id);
  });
}

http.listen(port, "127.0.0.1", 511);
