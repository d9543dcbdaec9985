import { Client, getStateCallbacks } from "colyseus.js";

export async function play(url, token, view) {
  const client = new Client(url);
  client.auth.token = token;
  let room = await client.joinOrCreate("arena", { mode: "duel" });
  listen(room);
  return () => room;

  function listen(room) {
    const on = getStateCallbacks(room);
    on(room.state).players.onAdd((player, id) => {
      view.draw(id, player);
      on(player).onChange(() => view.draw(id, player));
    });
    on(room.state).players.onRemove((player, id) => view.erase(id));
    room.onMessage("said", ({ name, text }) => view.show(`${name}: ${text}`));
    room.onLeave((code) => code !== 4000 && comeBack(room.reconnectionToken));
  }

  async function comeBack(token) {
    for (let attempt = 0; attempt < 10; attempt++) {
      const delay = 250 * 2 ** Math.min(attempt, 4);
      await new Promise((resolve) => setTimeout(resolve, delay));
      try {
        room = await client.reconnect(token);
        return listen(room);
      } catch (error) {
        view.show(`no connection: ${error.message}`);
      }
    }
  }
}
