import { Client, getStateCallbacks } from "@colyseus/sdk";

export async function play(url, view) {
  const client = new Client(url);
  const room = await client.joinOrCreate("tictactoe");
  const $ = getStateCallbacks(room);
  $(room.state).listen("turn", (id) => view.turn(id && (id === room.sessionId ? "you" : "they")));
  $(room.state).board.onChange(() => view.draw([...room.state.board].join("")));
  $(room.state).listen("winner", (id) => id && view.end(id === room.sessionId ? "won" : "lost"));
  $(room.state).listen("isDraw", (isDraw) => isDraw && view.end("draw"));
  room.onError((code, message) => view.error(code, message));
  return { put: (index) => room.send("put", { index }), leave: () => room.leave() };
}
