import { Room, Server } from "@colyseus/core";
import { MapSchema, schema } from "@colyseus/schema";
import { WebSocketTransport } from "@colyseus/ws-transport";

const NAMES = { "t-1": "ann", "t-2": "bob" };

const Player = schema({
  name: "string",
  x: "number",
  y: "number",
  connected: "boolean",
});
const State = schema({ players: { map: Player } });

class Arena extends Room {
  maxClients = 8;
  patchRate = 50;
  state = new State();

  static async onAuth(token) {
    return NAMES[token];
  }

  onCreate() {
    this.onMessage("move", (client, to) => {
      if (typeof to?.x !== "number" || typeof to?.y !== "number") return;
      const player = this.state.players.get(client.sessionId);
      player.x = Math.min(Math.max(to.x, 0), 100);
      player.y = Math.min(Math.max(to.y, 0), 100);
    });
    this.onMessage("say", (client, text) => {
      if (typeof text !== "string" || text.length > 200) return;
      this.broadcast("said", { name: client.auth, text });
    });
    this.clock.setTimeout(() => this.disconnect(), 600_000);
  }

  onJoin(client) {
    const player = new Player().assign({
      name: client.auth,
      x: 50,
      y: 50,
      connected: true,
    });
    this.state.players.set(client.sessionId, player);
  }

  async onLeave(client, consented) {
    const player = this.state.players.get(client.sessionId);
    player.connected = false;
    try {
      if (consented) throw new Error("left");
      await this.allowReconnection(client, 30);
      player.connected = true;
    } catch {
      this.state.players.delete(client.sessionId);
    }
  }
}

const server = new Server({ transport: new WebSocketTransport() });
server.define("arena", Arena).filterBy(["mode"]);
server.listen(Number(process.env.PORT ?? 2567));
