import { Client } from "txroom";

export async function play(url, token, view) {
  const client = new Client(url, { auth: token });
  const room = await client.joinOrCreate("arena", { mode: "duel" });
  const players = new Map();

  function put(id, player) {
    players.set(id, { ...players.get(id), ...player });
    view.draw(id, players.get(id));
  }

  function drawAll(snapshot) {
    for (const id of players.keys()) if (!(id in snapshot)) view.erase(id);
    players.clear();
    for (const [id, player] of Object.entries(snapshot)) put(id, player);
  }

  drawAll(room.snapshot);
  room.on("player", ({ id, ...player }) => put(id, player));
  room.on("moved", (places) => {
    for (const [id, [x, y]] of Object.entries(places)) put(id, { x, y });
  });
  room.on("gone", (id) => players.delete(id) && view.erase(id));
  room.on("said", ({ name, text }) => view.show(`${name}: ${text}`));
  room.on("reconnecting", () => view.show("no connection"));
  room.on("lost", ({ snapshot }) => drawAll(snapshot));
  return room;
}
