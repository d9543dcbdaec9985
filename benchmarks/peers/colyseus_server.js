// Colyseus: a room whose state is empty, or the list of players for presence, with messages like those of its own
// client.
"use strict";

const { Room, Server } = require("@colyseus/core");
const { MapSchema, Schema, defineTypes } = require("@colyseus/schema");
const { WebSocketTransport } = require("@colyseus/ws-transport");
const { port, role } = require("./common.js");

class Player extends Schema {}
defineTypes(Player, { name: "string" });

class Party extends Schema {
  constructor() {
    super();
    this.players = new MapSchema();
  }
}
defineTypes(Party, { players: { map: Player } });

class ChatRoom extends Room {
  onCreate() {
    if (role === "presence") this.state = new Party();
    this.onMessage("say", (client, { text }) => this.broadcast("said", { name: client.userData.name, text }));
    this.onMessage("ask", (client, { text }) => client.send("answered", { name: client.userData.name, text }));
  }

  onJoin(client, { name }) {
    client.userData = { name };
    if (role === "presence") this.state.players.set(client.sessionId, new Player().assign({ name }));
  }

  onLeave(client) {
    if (role === "presence") this.state.players.delete(client.sessionId);
  }
}

const server = new Server({ transport: new WebSocketTransport({}), greet: false });
server.define("chat", ChatRoom);
server.listen(port, "127.0.0.1", 511);
