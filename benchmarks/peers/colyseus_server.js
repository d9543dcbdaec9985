// Colyseus: a room without state, with messages like those of its own client.
"use strict";

const { Room, Server } = require("@colyseus/core");
const { WebSocketTransport } = require("@colyseus/ws-transport");
const { port } = require("./common.js");

class ChatRoom extends Room {
  onCreate() {
    this.onMessage("say", (client, { text }) => this.broadcast("said", { name: client.userData.name, text }));
    this.onMessage("ask", (client, { text }) => client.send("answered", { name: client.userData.name, text }));
  }

  onJoin(client, { name }) {
    client.userData = { name };
  }
}

const server = new Server({ transport: new WebSocketTransport({}), greet: false });
server.define("chat", ChatRoom);
server.listen(port, "127.0.0.1", 511);
