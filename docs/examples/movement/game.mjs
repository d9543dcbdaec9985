import { Interpolator } from "./interpolator.mjs";
import { Predictor } from "./predictor.mjs";

const move = (x, { direction }) => Math.max(0, Math.min(100, x + 0.25 * direction));

/**
 * Joins the game and shows it on a screen. `screen.direction` is the direction in which the local player runs: -1, 0 or 1.
 * `screen.draw(member, x)` draws a player at a position. Returns the room, and a function that shoots at a position.
 */
export async function play(client, screen) {
  const room = await client.joinOrCreate("arena");
  const others = new Interpolator(room);
  const me = new Predictor(room, move);
  setInterval(() => screen.direction && me.steer({ direction: screen.direction }), 50);
  requestAnimationFrame(function draw(now) {
    for (const [member, x] of others.positionsAt(now)) if (member !== room.member) screen.draw(member, x);
    screen.draw(room.member, me.x);
    requestAnimationFrame(draw);
  });
  const shoot = (x) => room.send("shoot", { x, time: others.timeAt(performance.now()) });
  return { room, shoot };
}
