// The game of the documentation, by a client of Colyseus:
//   node colyseus_game.mjs URL CLIENT
// CLIENT is the path of the module of the documentation. Prints one JSON object: how often each player had a turn.

const [, , url, client] = process.argv;
const { play } = await import(client);
for (const method of ["log", "info", "warn", "error"]) console[method] = () => {}; // clients write there
const seen = [[], []];

/** Notes what the client of a player shows. */
function viewOf(log) {
  const note = (what) => log.push(what);
  return { turn: note, draw: note, end: note, error: note };
}

/** Waits until a player has seen something. */
async function until(log, what) {
  for (const since = Date.now(); !log.includes(what); await new Promise((resolve) => setTimeout(resolve, 5))) {
    if (Date.now() - since > 20_000) throw new Error(`waited in vain: ${what}`);
  }
}

const ann = await play(url, viewOf(seen[0]));
const bob = await play(url, viewOf(seen[1]));
await until(seen[1], "you");
for (const [player, index, board] of [
  [bob, 0, "200000000"],
  [ann, 4, "200010000"],
  [bob, 1, "220010000"],
  [ann, 5, "220011000"],
  [bob, 2, "222011000"],
]) {
  player.put(index);
  for (const log of seen) await until(log, board);
}
await until(seen[0], "lost");
await until(seen[1], "won");
bob.put(9);
await until(seen[1], 4217);
await ann.leave();
await bob.leave();
const turns = seen.map((log) => log.filter((each) => each === "you").length);
process.stdout.write(JSON.stringify({ turns, errors: [] }), () => process.exit(0));
