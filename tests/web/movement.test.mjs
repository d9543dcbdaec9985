/** The examples of the page "Smooth movement": what they show, from patches that the test makes. */

import assert from "node:assert/strict";
import test from "node:test";

import { Interpolator } from "../../docs/examples/movement/interpolator.mjs";
import { Predictor } from "../../docs/examples/movement/predictor.mjs";

/** A room with a state of players on a line. */
class FakeRoom {
  member = "me";
  sent = 0;
  handled = 0;
  inputs = [];
  stateTime = 0;
  state = { time: 0, players: new Map() };
  #listeners = new Map();

  on(name, listener) {
    this.#listeners.set(name, listener);
  }

  send(type, input) {
    this.inputs.push([type, input]);
    this.sent++;
  }

  emit(name) {
    this.#listeners.get(name)?.();
  }

  /** A patch arrives. */
  patch(time, arrival, places) {
    this.state.time = time;
    this.stateTime = arrival;
    for (const [key, x] of Object.entries(places)) this.state.players.set(key, { x });
    for (const key of [...this.state.players.keys()]) if (!(key in places)) this.state.players.delete(key);
    this.emit("state");
  }
}

const near = (value, expected) => assert.ok(Math.abs(value - expected) < 1e-6, `${value}, not ${expected}`);

test("players move evenly between patches that are not on time", () => {
  const room = new FakeRoom();
  const shown = new Interpolator(room);
  assert.deepEqual(shown.positionsAt(0), new Map());
  // The client's clock is 7 s ahead; each third patch is 40 ms late.
  const places = [];
  for (let frame = 0; frame < 120; frame++) {
    const now = 7_000 + frame * 10;
    for (let tick = 0; tick < 24; tick++) {
      const arrival = 7_000 + tick * 50 + (tick % 3 === 2 ? 40 : 0);
      if (arrival === now) room.patch(tick / 20, arrival, { ada: tick * 2 });
    }
    if (frame >= 30) places.push(shown.positionsAt(now).get("ada"));
  }
  const steps = places.slice(1).map((x, at) => x - places[at]);
  // Two units in 50 ms are 0.4 in 10 ms; the estimate of the clock moves by half a millisecond for each patch.
  assert.ok(steps.every((step) => step > 0.3 && step < 0.5), steps.join(" "));
});

test("who comes and who goes is there between the same patches", () => {
  const room = new FakeRoom();
  const shown = new Interpolator(room);
  room.patch(0, 1_000, { ada: 0, bob: 5 });
  room.patch(0.05, 1_050, { ada: 1, cleo: 9 });
  near(shown.timeAt(1_125), 0.025);
  const places = shown.positionsAt(1_125);
  assert.deepEqual([...places.keys()], ["ada", "bob"]);
  near(places.get("ada"), 0.5);
  assert.deepEqual([...shown.positionsAt(2_000)], [["ada", 1], ["bob", 5]]);
  room.patch(0.1, 1_100, { ada: 1, cleo: 9 });
  assert.deepEqual([...shown.positionsAt(2_000).keys()], ["ada", "cleo"]);
  assert.deepEqual([...shown.positionsAt(0)], [["ada", 1], ["cleo", 9]], "there is nothing older");
  room.patch(0, 9_000, { dan: 3 });
  assert.deepEqual([...shown.positionsAt(9_000)], [["dan", 3]], "another server begins at 0");
});

test("a player moves at once, and is corrected by what the server has handled", () => {
  const room = new FakeRoom();
  room.state.players.set("me", { x: 0 });
  const move = (x, { direction }) => Math.min(10, x + direction);
  const me = new Predictor(room, move);
  for (let n = 0; n < 4; n++) me.steer({ direction: 1 });
  assert.deepEqual([me.x, room.inputs.length], [4, 4]);
  room.handled = 2;
  room.patch(0.05, 50, { me: 2 });
  assert.equal(me.x, 4, "the other two inputs are on their way");
  room.handled = 3;
  room.patch(0.1, 100, { me: 0 }); // somebody has put the player back
  assert.equal(me.x, 1);
  room.patch(0.15, 150, {});
  assert.equal(me.x, 1, "who has left stays where they were");
  room.emit("lost");
  room.handled = 0;
  room.patch(0.2, 200, { me: 7 });
  assert.equal(me.x, 7);
});
