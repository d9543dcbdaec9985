/**
 * Shows the players of a room as they were a moment ago, so that they move evenly although patches come 20 times a second
 * and not always on time. The state has the server's time in seconds as `time`, and Map `players` with places `x`.
 */
export class Interpolator {
  #samples = [];
  #offset = Infinity; // how far the client's clock is ahead of the time of the patches that come fastest

  /** `delay` is how long ago the shown moment is, in seconds: two patches, so that one may be late. */
  constructor(room, { delay = 0.1 } = {}) {
    this.room = room;
    this.delay = delay;
    room.on("state", () => this.#add());
  }

  #add() {
    const { state, stateTime } = this.room;
    const last = this.#samples.at(-1)?.time ?? -Infinity;
    if (state.time === last) return;
    if (state.time < last) [this.#samples, this.#offset] = [[], Infinity]; // it is another room, or began anew
    // It may grow slowly, because no two clocks run equally fast.
    this.#offset = Math.min(this.#offset + 0.0005, stateTime / 1000 - state.time);
    const places = new Map([...state.players].map(([key, { x }]) => [key, x]));
    this.#samples.push({ time: state.time, places });
  }

  /** The server's time that is shown at `now`, in milliseconds of `performance.now()`. Shots tell the server this time. */
  timeAt(now) {
    return now / 1000 - this.#offset - this.delay;
  }

  /** The places by player at `now`: call it for each frame of the animation. */
  placesAt(now) {
    const time = this.timeAt(now);
    while (this.#samples.length > 2 && this.#samples[1].time <= time) this.#samples.shift();
    const [before, after = before] = this.#samples;
    if (before === undefined) return new Map();
    const whole = after.time - before.time || 1;
    const part = Math.min(1, Math.max(0, (time - before.time) / whole));
    const places = new Map();
    for (const [key, x] of before.places) {
      const next = after.places.get(key) ?? x;
      places.set(key, x + (next - x) * part);
    }
    return places;
  }
}
