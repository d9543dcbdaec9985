// What TypeScript in strict mode takes, and what it has to refuse. Never run.

import { Client, DEFAULTS, ErrorCode, PROTOCOL, Room as RoomClass, TxroomError } from "txroom";
import type { ClientEvents, Clock, Listing, Loss, Member, Off, Options, Room, RoomEvents, Socket } from "txroom";

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

interface Pool {
  readonly balls: Map<string, { x: number; owner: string }>;
}
export async function watchBalls(): Promise<number[]> {
  const room = await client.joinOrCreate<Messages, Pool>("pool", {}, (room) => room.state.balls.size);
  // @ts-expect-error: the state has no cues
  room.on("state", () => room.state.cues);
  const anyState: Room<Messages> = room;
  anyState.state.whatever;
  return [...room.state.balls.values()].map(({ x }) => x);
}

/** Wrappers keep the types, as hooks of React do. */
export function listen<Name extends keyof RoomEvents>(room: Room, name: Name, listener: RoomEvents[Name]): Off {
  return room.on(name, listener);
}
export function onMessage<Type extends keyof Messages>(
  room: Room<Messages>,
  type: Type,
  listener: (data: Messages[Type]) => void,
): Off {
  return room.once(type, (data) => listener(data as Messages[Type]));
}
export function watch<Name extends keyof ClientEvents>(name: Name, listener: ClientEvents[Name]): void {
  client.on(name, listener);
  client.off(name, listener);
}
watch("notify", (type, data) => type.toUpperCase() + data.whatever);
watch("notifyDropped", (count) => count.toFixed());
client.once("notify:friend", async ({ from }) => from);
client.off("notify:friend");
// @ts-expect-error: the listener of one type gets only the data
client.on("notify:friend", (type, data) => [type, data]);
new Client("wss://example.org/rooms", { device: null });
watch("reconnecting", ({ code, attempt, delay }) => code + attempt + delay);
// @ts-expect-error: a client has no such event
client.on("disconnect", () => undefined);
// @ts-expect-error: there is only attempt
watch("reconnecting", ({ attempts }) => attempts);
// @ts-expect-error: rooms are made by joining
new RoomClass();

/** What tests put in place of the real ones needs no cast. */
class FakeClock implements Clock {
  now(): number {
    return 0;
  }
  setTimeout(callback: () => void, delay: number): number {
    callback();
    return delay;
  }
  clearTimeout(timer: number): void {
    timer.toFixed();
  }
}
class FakeSocket implements Socket {
  readonly protocol = PROTOCOL;
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  onerror: Socket["onerror"] = null;
  constructor(readonly url: string) {}
  send(text: string): void {
    this.onmessage?.({ data: text });
  }
  close(): void {}
}
new Client("ws://localhost/rooms", { clock: new FakeClock(), WebSocket: FakeSocket, events: null, random: () => 0 });
