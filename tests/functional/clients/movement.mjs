/** Two players of the page "Smooth movement", with a real server: one runs, the other shoots at what it sees. */

import WebSocket from "ws";

import { play } from "../../../docs/examples/movement/game.mjs";
import { Client } from "../../../txroom/web/txroom.js";

globalThis.requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), 16);

const errors = [];
const client = () => {
  const made = new Client(process.argv[2], { WebSocket });
  made.on("error", (error) => errors.push(String(error)));
  return made;
};
const screen = () => ({
  direction: 0,
  places: new Map(),
  draw(member, x) {
    this.places.set(member, x);
  },
});
/** Waits until something is true; the test fails by its own time limit. */
const until = async (isSo) => {
  while (!isSo()) await new Promise((next) => setTimeout(next, 10));
};

const [runner, shooter] = [screen(), screen()];
const ada = await play(client(), runner);
const bob = await play(client(), shooter);
const me = ada.room.member;
runner.direction = 1;
await until(() => shooter.places.get(me) > 2);
const isAhead = runner.places.get(me) >= shooter.places.get(me);
while (bob.room.state.players.get(me).hits === 0) {
  bob.shoot(shooter.places.get(me));
  await new Promise((next) => setTimeout(next, 100));
}
runner.direction = 0;
await until(() => ada.room.handled === ada.room.sent && shooter.places.get(me) === ada.room.state.players.get(me).x);
const places = [runner.places.get(me), ada.room.state.players.get(me).x];
console.log(JSON.stringify({ isAhead, places, hits: ada.room.state.players.get(me).hits > 0, errors }));
process.exit(0);
