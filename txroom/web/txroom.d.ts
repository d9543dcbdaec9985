// Made from the comments of txroom.js by `make client-types`: do not edit it here.

/**
 * txroom.js: the JavaScript client of txroom's rooms, version 1 of the protocol.
 *
 *     import { Client } from "/txroom.js";
 *
 *     const client = new Client("ws://localhost:8080/rooms", { auth: () => fetchToken() });
 *     const room = await client.joinOrCreate("chat", { name: "ada" });
 *     room.on("said", (data, offset) => show(data));
 *     room.onPresence((members) => list(members));
 *     room.send("say", "hello");
 *     const dice = await room.call("roll", { sides: 6 });
 *
 * Any number of rooms share one socket. When it is lost the client reconnects by itself, resumes each room
 * and sends again what the server has not acknowledged: every message is handled once, in order, and every
 * message of the room arrives once, in order. Where that is impossible the room says so: "lost".
 *
 * Times are milliseconds, sizes are bytes. Works in browsers, in workers, and in Node with `ws`:
 * `new Client(url, { WebSocket })`.
 *
 * Its types are the comments: `txroom.d.ts` is made from them, and `make types` checks both.
 */

/** The WebSocket sub-protocol. */
export const PROTOCOL = "txroom.v1.json";

/** One of {@link ErrorCode}. */
export type ErrorCodeName = keyof typeof ErrorCode;

/** The codes that a {@link TxroomError} has by itself; a room may use words of its own besides. */
export const ErrorCode: Readonly<{
  badRequest: "badRequest";
  unknownType: "unknownType";
  invalidData: "invalidData";
  noSuchRoom: "noSuchRoom";
  roomGone: "roomGone";
  full: "full";
  locked: "locked";
  unauthorized: "unauthorized";
  forbidden: "forbidden";
  timeout: "timeout";
  rateLimited: "rateLimited";
  replyLost: "replyLost";
  unavailable: "unavailable";
  internal: "internal";
}>;

/** The close codes of rooms: 4000-4099 are final, after 4100-4199 the client comes back and resumes. */
export const CloseCode: Readonly<{
  normal: 1000;
  unauthorized: 4001;
  kicked: 4003;
  noSuchRoom: 4004;
  replaced: 4005;
  roomClosed: 4008;
  misuse: 4010;
  rateAbuse: 4029;
  shuttingDown: 4100;
  roomMoved: 4101;
  slowConsumer: 4102;
  engineUnavailable: 4103;
  stateLost: 4104;
  noHeartbeat: 4106;
}>;

/** What the client needs of a WebSocket; browsers' and `ws`'s have it. */
export interface Socket {
  readonly protocol: string;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** What tells the time and wakes up. */
export interface Clock {
  /** Milliseconds since whenever; never goes back. */
  now: () => number;
  /** Calls once, after `delay` milliseconds. */
  setTimeout: (callback: () => void, delay: number) => any;
  /** Ends what `setTimeout` has returned. */
  clearTimeout: (timer: any) => void;
}

/** What a {@link Client} can be told. */
export interface Options {
  /**
   * Sent as `auth` with the options of each join: a value, or a function (may be async) that returns one.
   *
   * One that fails is called again, within `requestTimeout`; only a `TxroomError` that it throws is final.
   */
  auth?: unknown | (() => unknown | Promise<unknown>);
  /** The class of the socket; default: `globalThis.WebSocket`. */
  WebSocket?: new (url: any, protocols?: any) => Socket;
  /** How long a socket may take to open; default 10 000. */
  connectTimeout?: number;
  /** How long joining, resuming, listing and pinging may take, waiting for a connection included; default 15 000. */
  requestTimeout?: number;
  /** How long a call may take, time away included; `call(…, {timeout})` overrides it; default 15 000. */
  callTimeout?: number;
  /** How long `room.leave()` waits for the server; default 3 000. */
  leaveTimeout?: number;
  /** Time between two heartbeats, 0: none; default 25 000. */
  pingInterval?: number;
  /** How long the server may be silent after a heartbeat before the connection counts as lost; default 10 000. */
  pingTimeout?: number;
  /** The same after the browser came online, went offline, or showed the page again; default 3 000. */
  probeTimeout?: number;
  /** The first delay before reconnecting; it doubles with every attempt, half of it is random; default 250. */
  minDelay?: number;
  /** The longest delay, unless the server asks for a longer one; default 10 000. */
  maxDelay?: number;
  /** After this long a connection counts as good, and the delay begins anew; default 5 000. */
  stableAfter?: number;
  /** Attempts to reconnect in a row before the client gives up; default Infinity. */
  maxAttempts?: number;
  /** Frames of a room that may be unacknowledged; default 64, the server's limit. */
  window?: number;
  /** Frames of a room that may wait, while it is away or its window is full; beyond it `send` throws; default 256. */
  maxBuffered?: number;
  /** The largest frame that may be sent; default 1 048 576, the server's `maxPayload`. */
  maxPayload?: number;
  /** Whether to join anew, as another member, when the server has forgotten us; default true. */
  rejoin?: boolean;
  /** Where "online", "offline" and "visibilitychange" happen; default the window, null: nowhere. */
  events?: Pick<EventTarget, "addEventListener" | "removeEventListener"> | null;
  /** What tells the time and wakes up; for tests. */
  clock?: Clock;
  /** A number from 0 to 1, for the jitter; for tests. */
  random?: () => number;
}

/**
 * Every option of a {@link Client} with its default.
 *
 * A plain object; `WebSocket` and `events` are looked up when a client is made, so that this module can be
 * imported anywhere.
 */
export const DEFAULTS: Readonly<Required<Options>>;

/** Ends what returned it. */
export type Off = () => void;

/** One user in a room, with one meta for each of its connections. */
export interface Member<Meta = any> {
  user: string;
  metas: Meta[];
}

/** Why a connection or a membership ended. */
export interface Ending {
  /** A close code: RFC 6455's, or one of `CloseCode`. */
  code: number;
  reason: string;
}

/** What was missed, and what is known. */
export interface Loss<Snapshot = any> {
  /** What `Room.snapshot` of the server gave. */
  snapshot: Snapshot;
  members: Member[];
  /** The messages that follow have greater offsets. */
  offset: number;
  /** What we had sent, and may or may not have been handled. */
  unconfirmed: { type: string; data: any }[];
}

/** Where a client is in its life: see {@link Client}. */
export type ClientState = "idle" | "connecting" | "open" | "waiting" | "closed";

/** Where a room is in its life: see {@link Room}. */
export type RoomState = "joined" | "away" | "resuming" | "left";

/** The room's own events; a message of such a type is for `room.onMessage`. */
export interface RoomEvents {
  /** Somebody came or went. */
  presence: (members: Member[], joined: Member[], left: Member[]) => void;
  /** Away; what is sent now waits. */
  reconnecting: (ending: Ending) => void;
  /** Back, nothing was missed. */
  recovered: () => void;
  /** Back, but messages were missed: show the snapshot. */
  lost: (loss: Loss) => void;
  /** For good. */
  left: (ending: Ending) => void;
  /** The server refused a message, or a listener or a handler threw. */
  error: (error: any) => void;
}

/** The events of a client. */
export interface ClientEvents {
  /** There is a connection. */
  connected: () => void;
  /** The connection is lost; attempt number `attempt` is in `delay` ms. */
  reconnecting: (ending: Ending & { attempt: number; delay: number }) => void;
  /** There is no connection, and the client does not make one until the next join or request. */
  disconnected: (ending: Ending) => void;
  /** The server will close the connection, and asks to stay away for `retryAfter` seconds. */
  bye: (bye: { code: number; retryAfter: number }) => void;
  /** A heartbeat was answered. */
  latency: (milliseconds: number) => void;
  /** Nobody else was there to be told; without a listener it goes to the console. */
  error: (error: any) => void;
}

/** A room as matchmaking lists it. */
export interface Listing {
  /** Its id. */
  room: string;
  /** The name it was registered with. */
  name: string;
  clients: number;
  /** 0: any number. */
  maxClients: number;
  /** Whether there is no joining it now: it is full, or locked. */
  locked: boolean;
  metadata: Record<string, any>;
}

/** The data of a message of type `Type`, if the map of messages has it. */
export type Data<Messages, Type extends string> = Type extends keyof Messages ? Messages[Type] : any;

/** The types that the map of messages has; any text if there is no map. */
export type TypeOf<Messages> = (keyof Messages & string) | (string & {});

/** What goes wrong. */
export class TxroomError extends Error {
  /** One of {@link ErrorCode}, or a room's own word. */
  readonly code: ErrorCodeName | (string & {});
  /** Whatever the server adds, e.g. the field that is wrong. */
  readonly details: any;
  constructor(code: string, message?: string, options?: { details?: unknown; cause?: unknown });
}

/**
 * Whether a client comes back after a socket was closed with `code` and `reason`.
 *
 * Not after 4000-4099 nor after the errors of RFC 6455 that would repeat themselves (1002, 1003, 1007-1010),
 * but for a 1008 that says "message not complete in time": a slow link is no misbehaviour.
 */
export function mayReconnect(code: number, reason?: string): boolean;

/**
 * A room that the client has joined: what one join promised, with listeners of its own.
 *
 * Joins that lead to the same room share one membership there. It ends when the last of them is left.
 *
 * `state` is one of
 *
 * - "joined";
 * - "away": the connection is lost, or the room is not available just now;
 * - "resuming": the server was asked; nothing is sent for the room until it has answered;
 * - "left": for good, see the event "left".
 *
 * While it is away or resuming, what is sent waits.
 *
 * `Messages` maps the types of the server's messages to their data:
 * `client.joinOrCreate<{ said: { text: string } }>("chat")`.
 */
export class Room<Messages extends object = any> {
  /** Rooms are made by `client.join` and its like. */
  private constructor();
  /** The id of the room; it changes if the client has to join another one after a loss. */
  readonly id: string;
  /** The name it was registered with. */
  readonly name: string;
  /** The id of this membership. */
  readonly member: string;
  /** What `Room.snapshot` of the server gave at the last join or loss. */
  readonly snapshot: any;
  /** The client it was joined with. */
  readonly client: Client;
  /** Where it is in its life, see above. */
  readonly state: RoomState;
  /** The offset of the last message received. */
  readonly offset: number;
  /** Which log the offset is of. */
  readonly epoch: string;
  /** Who is here, if the room has presence. */
  readonly members: Member[];
  /**
   * What `client.resume` takes, also in the next page; null when the room was left.
   *
   * Look at it when you need it, at best on "pagehide": with every connection it is another. Whoever has it can
   * take the membership over, so keep it secret. The options of the join are in it, but for `auth`.
   */
  readonly reconnectionToken: string | null;
  /** How many frames wait to be sent. */
  readonly buffered: number;
  /** Calls `listener` at one of the room's own events, see {@link RoomEvents}; returns a function that ends it. */
  on<Name extends keyof RoomEvents>(name: Name, listener: RoomEvents[Name]): Off;
  /** Calls `listener` at messages of that type, with the data and the offset (null: volatile). */
  on<Type extends TypeOf<Messages>>(type: Type, listener: (data: Data<Messages, Type>, offset: number | null) => void): Off;
  /** Calls `listener` at the next of the room's own events of that name only. */
  once<Name extends keyof RoomEvents>(name: Name, listener: RoomEvents[Name]): Off;
  /** Calls `listener` at the next message of that type only. */
  once<Type extends TypeOf<Messages>>(type: Type, listener: (data: Data<Messages, Type>, offset: number | null) => void): Off;
  /** Ends what `on` or `once` began; without a listener, for all of that name. */
  off(name: string, listener?: (...args: any[]) => void): void;
  /** Calls `listener` at messages of the types that have no listener of their own. */
  onMessage(type: "*", listener: (type: string, data: any, offset: number | null) => void): Off;
  /** Calls `listener` at messages of that type, whatever it is named. */
  onMessage<Type extends TypeOf<Messages>>(type: Type, listener: (data: Data<Messages, Type>, offset: number | null) => void): Off;
  /** Calls `listener(members, joined, left)` when somebody comes or goes. */
  onPresence(listener: RoomEvents["presence"]): Off;
  /**
   * Answers the server's calls of that type with what `handler(data)`, which may be async, returns.
   *
   * Throw a {@link TxroomError} to choose what the server is told; of any other error it is told "internal",
   * and the error goes to the listeners of "error". Returns a function that ends it.
   */
  handle(type: string, handler: (data: any) => unknown | Promise<unknown>): Off;
  /**
   * Sends a message, now or when the room is back; the server handles it exactly once.
   *
   * Throws a TxroomError if it can't be accepted: "roomGone" after the room was left, "unavailable" or
   * "rateLimited" when `maxBuffered` frames wait, "invalidData" if it has no JSON or is too large. The
   * promise, which need not be awaited, resolves when the server has handled the message.
   *
   * A `volatile` message is sent only if it can be now, may get lost, and resolves at once.
   */
  send(type: string, data?: unknown, options?: { volatile?: boolean }): Promise<void>;
  /**
   * Asks the room; the promise has the answer. It is handled at most once, also across a lost connection.
   *
   * Rejects with the server's error, with "timeout" after `timeout` milliseconds, with "replyLost" if it was
   * or may have been handled but the answer is lost, with "roomGone" when the room is left.
   */
  call<Answer = any>(type: string, data?: unknown, options?: { timeout?: number }): Promise<Answer>;
  /** The time to the server and back, in milliseconds. */
  ping(): Promise<number>;
  /**
   * Leaves, after what was sent before. Resolves when the server has said so, or after `leaveTimeout`; at once
   * if another join has the same membership, which goes on.
   *
   * By then the server is asked to let go in any case, and what still waited is not sent. Only if there is no
   * connection it is not told: it gives up the seat by itself, when `resumeSeconds` are over.
   */
  leave(): Promise<void>;
}

/**
 * A connection to a txroom server that outlives its sockets.
 *
 * `state` is one of
 *
 * - "idle": nothing to do; it connects at the first join or request;
 * - "connecting";
 * - "open";
 * - "waiting": until it is time to connect again;
 * - "closed": for good, by `close()`.
 *
 *     idle --join, request--> connecting --opened--> open
 *     connecting, open --lost--> waiting --in time--> connecting
 *     any --final close code, nothing to do any more--> idle
 *     any --close()--> closed
 *
 * A message of the server that is no frame is answered by closing the connection with 4010; the client then
 * reconnects and resumes, so that whatever it was is not missed. Frames of a kind it does not know, and
 * frames for rooms that it has left, are ignored.
 */
export class Client {
  /** The options, defaults included. */
  readonly options: Readonly<Required<Options>>;
  /** Where it connects to. */
  readonly url: string;
  /**
   * @param [url] where the rooms are, `ws:`, `wss:`, `http:`, `https:` or relative to the page;
   *   without a path: "/rooms"
   * @param [options] see {@link DEFAULTS}
   */
  constructor(url?: string | URL, options?: Options);
  /** Where it is in its life, see above. */
  readonly state: ClientState;
  /** Milliseconds to the server and back at the last heartbeat; undefined before the first. */
  readonly latency: number | undefined;
  /** Calls `listener` at one of the client's events, see {@link ClientEvents}; returns a function that ends it. */
  on<Name extends keyof ClientEvents>(name: Name, listener: ClientEvents[Name]): Off;
  /** Calls `listener` at the next event of that name only. */
  once<Name extends keyof ClientEvents>(name: Name, listener: ClientEvents[Name]): Off;
  /** Ends what `on` or `once` began; without a listener, for all of that name. */
  off<Name extends keyof ClientEvents>(name: Name, listener?: ClientEvents[Name]): void;
  /** The rooms that are not left. */
  readonly joined: Room[];
  /**
   * Joins a room of that name, a new one if there is none with a seat.
   *
   * Rejects with the server's error; with "unavailable" if there is no connection within `requestTimeout` or
   * it is lost meanwhile (the server may have let us in: it is not tried again by itself). Events are
   * delivered from the next turn of the event loop on, so that listeners can be added after `await`;
   * `prepare`, if given, is called with the room even before the promise resolves.
   *
   * Each join is a {@link Room} of its own, though two may share a membership. A join that says the same as
   * one that is under way waits for that, and one into a room that is being left waits until it is left.
   */
  joinOrCreate<Messages extends object = any>(name: string, options?: object, prepare?: (room: Room<Messages>) => void): Promise<Room<Messages>>;
  /** Joins a room of that name that exists. */
  join<Messages extends object = any>(name: string, options?: object, prepare?: (room: Room<Messages>) => void): Promise<Room<Messages>>;
  /** Makes a new room of that name and joins it. */
  create<Messages extends object = any>(name: string, options?: object, prepare?: (room: Room<Messages>) => void): Promise<Room<Messages>>;
  /** Joins the room of that id. */
  joinById<Messages extends object = any>(id: string, options?: object, prepare?: (room: Room<Messages>) => void): Promise<Room<Messages>>;
  /**
   * Goes on as the member that another page was, or is: `token` is the `room.reconnectionToken` it had.
   *
   * The room is as after a join: the snapshot, the members and the history, then what is new. What the other
   * had sent is handled if the server has got it. If the other is there still it has left: 4005. There is
   * time for `resumeSeconds` after it lost its connection; who has closed it has left.
   *
   * Rejects with "unauthorized" if it is too late or the token was used, "forbidden" if the member was kicked or
   * is another user, "noSuchRoom" if the room is gone, "badRequest" for what is no token, else as
   * `joinOrCreate` does. Then it is for you to join anew.
   */
  resume<Messages extends object = any>(token: string, prepare?: (room: Room<Messages>) => void): Promise<Room<Messages>>;
  /** The rooms of that name, or of any, that match the filter. */
  query(name?: string | null, filter?: object): Promise<Listing[]>;
  /** The former name of `query`. */
  rooms(name?: string | null, filter?: object): Promise<Listing[]>;
  /** The time to the server and back, in milliseconds. */
  ping(): Promise<number>;
  /** Gives up the connection, if there is one, and makes another after `delay` milliseconds. */
  reconnect(delay?: number): void;
  /** Leaves all rooms and closes the connection, for good. */
  close(): void;
}
