import { Room, Server } from "@colyseus/core";
import { schema, t } from "@colyseus/schema";
import { WebSocketTransport } from "@colyseus/ws-transport";

const LINES = ["012", "345", "678", "036", "147", "258", "048", "246"];
const TURN_SECONDS = 10;

const Game = schema({
  turn: t.string(),
  winner: t.string(),
  isDraw: t.boolean(),
  marks: t.map("uint8"),
  board: t.array("uint8"),
});

class TicTacToe extends Room {
  maxClients = 2;
  state = new Game();

  onCreate() {
    this.state.board.push(...Array(9).fill(0));
    this.onMessage("put", (client, { index }) => this.put(client.sessionId, index));
  }

  onJoin(client) {
    this.state.marks.set(client.sessionId, this.state.marks.size + 1);
    if (this.state.marks.size === 2) {
      this.lock();
      this.begin(client.sessionId);
    }
  }

  put(id, index) {
    const { board, marks, turn } = this.state;
    if (id !== turn || board[index] !== 0) return;
    board[index] = marks.get(id);
    if (LINES.some((line) => [...line].every((i) => board[i] === board[index]))) {
      this.end(id);
    } else if (!board.includes(0)) {
      this.state.isDraw = true;
      this.end("");
    } else {
      this.begin([...marks.keys()].find((other) => other !== id));
    }
  }

  begin(id) {
    this.state.turn = id;
    this.timer?.clear();
    this.timer = this.clock.setTimeout(() => {
      this.put(id, this.state.board.indexOf(0));
    }, TURN_SECONDS * 1000);
  }

  end(winner) {
    this.timer?.clear();
    this.state.turn = "";
    this.state.winner = winner;
  }

  onLeave(client) {
    this.state.marks.delete(client.sessionId);
    if (this.state.turn) this.end([...this.state.marks.keys()][0] ?? "");
  }
}

const server = new Server({ transport: new WebSocketTransport() });
server.define("tictactoe", TicTacToe);
server.listen(Number(process.env.PORT ?? 2567));
