/**
 * Moves the local player immediately. When a patch arrives, it takes the position from the server, and applies the inputs
 * that the server has not handled yet to this position again.
 */
export class Predictor {
  #pending = [];

  /** `move(x, input)` returns the position of a player after an input. It must do the same as the server. */
  constructor(room, move) {
    this.room = room;
    this.move = move;
    this.x = room.state.players.get(room.member).x;
    room.on("state", () => this.#correct());
    room.on("lost", () => (this.#pending = [])); // the client may be a new member, whose numbers start at 1
  }

  /** Sends an input, and shows its effect. */
  steer(input) {
    this.room.send("move", input);
    this.#pending.push({ n: this.room.sent, input });
    this.x = this.move(this.x, input);
  }

  #correct() {
    const player = this.room.state.players.get(this.room.member);
    if (player === undefined) return;
    this.#pending = this.#pending.filter(({ n }) => n > this.room.handled);
    this.x = this.#pending.reduce((x, { input }) => this.move(x, input), player.x);
  }
}
