import { Interpolator } from "./interpolator.mjs";
import { Predictor } from "./predictor.mjs";

const move = (x, { direction }) => Math.max(0, Math.min(100, x + 0.25 * direction));

/** Plays on a screen: it has the pressed `direction`, and draws players. Returns the room, and what shoots at a place. */
export async function play(client, screen) {
  const room = await client.joinOrCreate("arena");
  const others = new Interpolator(room);
  const me = new Predictor(room, move);
  setInterval(() => screen.direction && me.steer({ direction: screen.direction }), 50);
  requestAnimationFrame(function draw(now) {
    for (const [member, x] of others.placesAt(now)) if (member !== room.member) screen.draw(member, x);
    screen.draw(room.member, me.x);
    requestAnimationFrame(draw);
  });
  const shoot = (x) => room.send("shoot", { x, time: others.timeAt(performance.now()) });
  return { room, shoot };
}
