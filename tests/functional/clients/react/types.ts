// What TypeScript in strict mode takes, and what it has to refuse. Never run.

import { Client, DEFAULTS, ErrorCode, TxroomError } from "txroom";
import type { Listing, Loss, Member, Options, Room } from "txroom";

interface Filter {
  mode: string;
  level?: number;
}

interface Messages {
  moved: { x: number; y: number };
  over: string;
}

const given: Options = { auth: async () => "token", maxAttempts: 3 };
const client = new Client("wss://example.org/rooms", given);
const anyRoom = (room: Room): string => room.id;
const rooms: Room[] = client.joined;

export async function play(filter: Filter): Promise<Listing[]> {
  const room = await client.joinOrCreate<Messages>("duel", filter, (room) => room.on("over", () => undefined));
  const typed: Room<Messages> = room;
  const untyped: Room = typed;
  rooms.push(typed, untyped);
  anyRoom(typed);
  const off: () => void = room.on("moved", ({ x, y }) => x.toFixed() + y.toFixed());
  room.once("over", (text, offset) => text.toUpperCase() + (offset ?? 0));
  room.on("elsewhere", (data) => data.whatever);
  room.on("lost", ({ snapshot, unconfirmed }: Loss<{ board: string[] }>) => [snapshot.board[0], unconfirmed.length]);
  room.on("left", ({ code, reason }) => `${code}${reason}`);
  room.onPresence((members: Member[]) => members.length);
  room.onMessage("*", (type, data, offset) => [type, data, offset]);
  room.handle("ask", async (data: { n: number }) => data.n * 2);
  // @ts-expect-error: the map of messages has no z
  room.on("moved", ({ z }) => z);
  // @ts-expect-error: it is a text
  room.on("over", (text) => text.x);
  // @ts-expect-error: options are an object
  await client.join("duel", "ada");
  // @ts-expect-error: a room has a name
  await client.joinOrCreate();
  // @ts-expect-error: there is no such option
  new Client("wss://example.org", { pingIntervall: 1 });
  const answer = await room.call<{ points: number }>("score", filter, { timeout: DEFAULTS.callTimeout });
  await room.send("move", { ...filter, points: answer.points }, { volatile: true });
  off();
  try {
    await client.joinById<Messages>(room.id, filter);
  } catch (error) {
    if (error instanceof TxroomError && error.code === ErrorCode.full) await room.leave();
  }
  return client.query("duel", filter);
}
