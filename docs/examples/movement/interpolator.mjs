/**
 * Computes the positions of the players a moment ago, so that they move evenly although patches come 20 times a second and
 * not always on time. The state must have the server's time in seconds as `time`, and a Map `players` with positions `x`.
 */
export class Interpolator {
  #samples = [];
  #offset = Infinity; // the client's time minus the server's time, measured by the fastest patch

  /** `delay` is how far in the past the shown moment is, in seconds: two patches, so that one of them may be late. */
  constructor(room, { delay = 0.1 } = {}) {
    this.room = room;
    this.delay = delay;
    room.on("state", () => this.#add());
  }

  #add() {
    const { state, stateTime } = this.room;
    const last = this.#samples.at(-1)?.time ?? -Infinity;
    if (state.time === last) return;
    if (state.time < last) [this.#samples, this.#offset] = [[], Infinity]; // the room was created again or restored
    // The offset may grow slowly, because the two clocks do not run at exactly the same speed.
    this.#offset = Math.min(this.#offset + 0.0005, stateTime / 1000 - state.time);
    const positions = new Map([...state.players].map(([key, { x }]) => [key, x]));
    this.#samples.push({ time: state.time, positions });
  }

  /**
   * Returns the server's time, in seconds, of the moment that is shown at `now`, which is in milliseconds of
   * `performance.now()`. The game sends this time with a shot.
   */
  timeAt(now) {
    return now / 1000 - this.#offset - this.delay;
  }

  /** Returns the position of each player to show at `now`. Call it for each frame of the animation. */
  positionsAt(now) {
    const time = this.timeAt(now);
    while (this.#samples.length > 2 && this.#samples[1].time <= time) this.#samples.shift();
    const [before, after = before] = this.#samples;
    if (before === undefined) return new Map();
    const whole = after.time - before.time || 1;
    const part = Math.min(1, Math.max(0, (time - before.time) / whole));
    const positions = new Map();
    for (const [key, x] of before.positions) {
      const next = after.positions.get(key) ?? x;
      positions.set(key, x + (next - x) * part);
    }
    return positions;
  }
}
