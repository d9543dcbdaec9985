// Colyseus: rooms with messages like those of its own client, whose state is empty or the list of players; and rooms
// in whose state entities move, all of which each client sees, or only some of them.
"use strict";

const { Room, Server } = require("@colyseus/core");
const { StateView, schema, t } = require("@colyseus/schema");
const { WebSocketTransport } = require("@colyseus/ws-transport");
const { port, role } = require("./common.js");
const { ENTITIES, SEEN, TICK, makeWorld, move } = require("./colyseus_world.js");

const Player = schema({ name: t.string() }, "Player");
const Party = schema({ players: t.map(Player) }, "Party");

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

class WorldRoom extends Room {
  patchRate = TICK;

  onCreate() {
    const { world, entities } = makeWorld(role === "views");
    this.state = world;
    this.entities = entities;
    this.tick = 0;
    this.setSimulationInterval(() => move(this.entities, this.tick++), TICK);
  }

  onJoin(client) {
    if (role !== "views") return;
    client.view = new StateView();
    const first = this.clients.length;
    for (let index = 0; index < SEEN; index++) {
      client.view.add(this.entities[(first + (index * ENTITIES) / SEEN) % ENTITIES]);
    }
  }
}

const server = new Server({ transport: new WebSocketTransport({}), greet: false });
server.define("chat", ChatRoom);
server.define("state", WorldRoom);
server.define("views", WorldRoom);
server.listen(port, "127.0.0.1", 511);
