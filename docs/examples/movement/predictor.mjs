/**
 * Moves the own player at once, and corrects it when the server has answered: what the server says, and the inputs that it
 * has not handled applied to it again.
 */
export class Predictor {
  #pending = [];

  /** `move(x, input)` returns where an input takes a player: the same as on the server. */
  constructor(room, move) {
    this.room = room;
    this.move = move;
    this.x = room.state.players.get(room.member).x;
    room.on("state", () => this.#correct());
    room.on("lost", () => (this.#pending = [])); // the numbers begin anew
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
