// Made from the comments of txroom.js by `make client-types`: do not edit it here.

/**
 * txroom.js: the JavaScript client for txroom's rooms, version 1 of the protocol.
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
 * All rooms of a client share one socket. When it is lost, the client reconnects by itself, resumes each room
 * and sends again what the server has not acknowledged. The server handles every message once and in order, and
 * the client receives every message of a room once and in order. If the client returns too late, messages can
 * be lost; then the room emits "lost".
 *
 * Times are in milliseconds, sizes in bytes. It works in browsers, in workers, and in Node. Before Node 22, pass
 * the class of the package `ws`: `new Client(url, { WebSocket })`.
 *
 * The types are in the comments: `txroom.d.ts` is made from them, and `make types` checks both.
 */

/** The WebSocket sub-protocol. */
export const PROTOCOL = "txroom.v1.json";

/** One of {@link ErrorCode}. */
export type ErrorCodeName = keyof typeof ErrorCode;

/** The codes of {@link TxroomError} that the server and this client use; a room may use codes of its own. */
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

/**
 * The close codes of rooms, and 1000 for a normal end. After 4000 to 4099 the client does not reconnect; after 4100
 * to 4199 it reconnects and resumes.
 */
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

/** What the client uses of a WebSocket. Those of browsers and of the package `ws` have it. */
export interface Socket {
  readonly protocol: string;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** A source of time and timers. */
export interface Clock {
  /** The milliseconds since any fixed time; it never decreases. */
  now: () => number;
  /** Calls `callback` once after `delay` milliseconds, and returns a timer. */
  setTimeout: (callback: () => void, delay: number) => any;
  /** Cancels a timer. */
  clearTimeout: (timer: any) => void;
}

/** The options of a {@link Client}. */
export interface Options {
  /**
   * The credentials, sent as `auth` with the options of each join: a value, or a function that returns a value
   * or a promise.
   *
   * A function that fails is called again until `requestTimeout` is over. If it throws a `TxroomError`, the join
   * fails at once.
   */
  auth?: unknown | (() => unknown | Promise<unknown>);
  /** The class of the socket; default: `globalThis.WebSocket`. */
  WebSocket?: new (url: any, protocols?: any) => Socket;
  /** How long a socket may take to open, in milliseconds; default 10 000. */
  connectTimeout?: number;
  /**
   * How long joining, resuming, listing and pinging may take, in milliseconds, including the time until there
   * is a connection; default 15 000.
   */
  requestTimeout?: number;
  /**
   * How long a call may take, in milliseconds, including the time without a connection; `call(…, {timeout})`
   * overrides it; default 15 000.
   */
  callTimeout?: number;
  /** How long `room.leave()` waits for the server, in milliseconds; default 3 000. */
  leaveTimeout?: number;
  /** The time between two heartbeats, in milliseconds; 0 turns them off; default 25 000. */
  pingInterval?: number;
  /**
   * How long the server may be silent after a heartbeat before the connection counts as lost, in milliseconds;
   * default 10 000.
   */
  pingTimeout?: number;
  /** The same after the browser came online, went offline or showed the page again; default 3 000. */
  probeTimeout?: number;
  /**
   * The first delay before reconnecting, in milliseconds. It doubles with every attempt; half of it is random;
   * default 250.
   */
  minDelay?: number;
  /** The longest delay in milliseconds, unless the server asks for a longer one; default 10 000. */
  maxDelay?: number;
  /** How long a connection must last, in milliseconds, before the delay starts again from `minDelay`; default 5 000. */
  stableAfter?: number;
  /** How many attempts in a row to reconnect the client makes before it gives up; default Infinity. */
  maxAttempts?: number;
  /** How many frames of a room may be unacknowledged; default 64, which is the server's limit. */
  window?: number;
  /**
   * How many frames of a room may be queued while the room is away or its window is full. With more, `send`
   * throws "unavailable" or "rateLimited"; default 256.
   */
  maxBuffered?: number;
  /** The largest frame that may be sent, in bytes; set it to the server's `maxPayload`; default 1 048 576. */
  maxPayload?: number;
  /** Whether to join the room again, as a new member, if the server no longer knows the membership; default true. */
  rejoin?: boolean;
  /** The object that emits "online", "offline" and "visibilitychange"; default: the window; null: none. */
  events?: Pick<EventTarget, "addEventListener" | "removeEventListener"> | null;
  /** The source of time and timers; for tests. */
  clock?: Clock;
  /** A function that returns a number from 0 to 1, for the delays; for tests. */
  random?: () => number;
}

/**
 * The default of every option of a {@link Client}.
 *
 * `WebSocket` and `events` are undefined here: a new client looks them up, so this module can be imported
 * anywhere.
 */
export const DEFAULTS: Readonly<Required<Options>>;

/** Removes the listener or the handler that was added. */
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

/** The argument of the event "lost". */
export interface Loss<Snapshot = any> {
  /** What the server's `Room.snapshot` returned. */
  snapshot: Snapshot;
  /** The members now, if the room has presence. */
  members: Member[];
  /** The position in the room's log: the messages that follow have greater offsets. */
  offset: number;
  /** The messages that this join sent, and that the server may or may not have handled. */
  unconfirmed: { type: string; data: any }[];
}

/** The state of a client's connection: see {@link Client}. */
export type ClientState = "idle" | "connecting" | "open" | "waiting" | "closed";

/** The state of a membership: see {@link Room}. */
export type RoomState = "joined" | "away" | "resuming" | "left";

/** The events of a room. Use `room.onMessage` for a type of message that has the name of an event. */
export interface RoomEvents {
  /** Members joined or left, or their metas changed. */
  presence: (members: Member[], joined: Member[], left: Member[]) => void;
  /** The connection is lost; messages sent now are queued. */
  reconnecting: (ending: Ending) => void;
  /** The client is in the room again and has missed nothing. */
  recovered: () => void;
  /** The client is in the room again, but has missed messages: show the snapshot. */
  lost: (loss: Loss) => void;
  /** The client is no longer in the room. */
  left: (ending: Ending) => void;
  /** The server refused a message, or a listener or a handler threw. */
  error: (error: any) => void;
}

/** The events of a client. */
export interface ClientEvents {
  /** The connection is open. */
  connected: () => void;
  /** The connection is lost; attempt number `attempt` is in `delay` milliseconds. */
  reconnecting: (ending: Ending & { attempt: number; delay: number }) => void;
  /** There is no connection, and the client opens none before the next join or request. */
  disconnected: (ending: Ending) => void;
  /** The server will close the connection, and asks the client to wait `retryAfter` seconds. */
  bye: (bye: { code: number; retryAfter: number }) => void;
  /** A heartbeat has measured the round-trip time. */
  latency: (milliseconds: number) => void;
  /** An error that nothing else handles; without a listener it is written to the console. */
  error: (error: any) => void;
}

/** A room as matchmaking lists it. */
export interface Listing {
  /** The id of the room. */
  room: string;
  /** The name under which the room is registered. */
  name: string;
  /** The number of members. */
  clients: number;
  /** The largest number of members; 0: no limit. */
  maxClients: number;
  /** Whether the room cannot be joined now, since it is full or locked. */
  locked: boolean;
  /** The metadata that the room has set. */
  metadata: Record<string, any>;
}

/** The data of a message of type `Type`, if the map of messages has that type; otherwise any data. */
export type Data<Messages, Type extends string> = Type extends keyof Messages ? Messages[Type] : any;

/** The types of the map of messages, or any text if there is no map. */
export type TypeOf<Messages> = (keyof Messages & string) | (string & {});

/** An error of a room, of the server or of this client; `code` says which. */
export class TxroomError extends Error {
  /** One of {@link ErrorCode}, or a code of the room's own. */
  readonly code: ErrorCodeName | (string & {});
  /** What the server adds, such as the field that is wrong; null if it adds nothing. */
  readonly details: any;
  constructor(code: string, message?: string, options?: { details?: unknown; cause?: unknown });
}

/**
 * Whether a client reconnects after its socket was closed with `code` and `reason`.
 *
 * It does not after 4000 to 4099, nor after the codes of RFC 6455 for errors that would happen again (1002,
 * 1003, 1007 to 1010). It does after 1008 with the reason "message not complete in time", which only says
 * that the link is slow.
 */
export function mayReconnect(code: number, reason?: string): boolean;

/**
 * A room that the client has joined.
 *
 * Each join has a `Room` of its own, with its own listeners. Joins that lead to the same room share one
 * membership. It ends when the last of them is left.
 *
 * `state` is one of
 *
 * - "joined": the connection is open, and the client is a member of the room;
 * - "away": the connection is lost, or the room is temporarily unavailable;
 * - "resuming": the client has asked the server to resume, and sends nothing to the room until it answers;
 * - "left": the client is no longer in the room; the event "left" tells why.
 *
 * While the state is "away" or "resuming", messages are queued.
 *
 * `Messages` maps the types of the server's messages to their data:
 * `client.joinOrCreate<{ said: { text: string } }>("chat")`.
 */
export class Room<Messages extends object = any> {
  /** Rooms are made by `client.join` and similar methods. */
  private constructor();
  /** The id of the room. It changes if the client has to join another room after a loss. */
  readonly id: string;
  /** The name under which the room is registered. */
  readonly name: string;
  /** The id of this membership. */
  readonly member: string;
  /** What the server's `Room.snapshot` returned at the last join or loss. */
  readonly snapshot: any;
  /** The client with which the room was joined. */
  readonly client: Client;
  /** The state of the membership, see above. */
  readonly state: RoomState;
  /** The offset of the last message received. */
  readonly offset: number;
  /** The log that the offset belongs to. A room that is created again has another one. */
  readonly epoch: string;
  /**
   * The users in the room, with a meta for each of their members, if the room has presence.
   *
   * In a room of more than `presenceLimit` members the list is not complete: it has the members that the server
   * has sent, and those that `fetchMembers` has fetched. `memberCount` is the number of all members.
   */
  readonly members: Member[];
  /** The number of all members, if the room has presence. A user with two connections counts twice. */
  readonly memberCount: number;
  /**
   * The token with which `client.resume` continues this membership, also in the next page.
   *
   * It is null after the room was left. Read it when you need it, for instance on "pagehide", since it changes
   * with every connection. Keep it secret: anybody with it can take the membership over. It contains the options
   * of the join, except `auth`.
   */
  readonly reconnectionToken: string | null;
  /** How many frames are queued because the room is away or its window is full. */
  readonly buffered: number;
  /** Calls `listener` at one of the room's events, see {@link RoomEvents}. Returns a function that removes it. */
  on<Name extends keyof RoomEvents>(name: Name, listener: RoomEvents[Name]): Off;
  /**
   * Calls `listener` for messages of that type, with the data and the offset, which is null for volatile ones.
   * Returns a function that removes the listener.
   */
  on<Type extends TypeOf<Messages>>(type: Type, listener: (data: Data<Messages, Type>, offset: number | null) => void): Off;
  /** Calls `listener` only at the next event of that name. */
  once<Name extends keyof RoomEvents>(name: Name, listener: RoomEvents[Name]): Off;
  /** Calls `listener` only for the next message of that type. */
  once<Type extends TypeOf<Messages>>(type: Type, listener: (data: Data<Messages, Type>, offset: number | null) => void): Off;
  /** Removes a listener that `on` or `once` added; without `listener`, removes all listeners of that name. */
  off(name: string, listener?: (...args: any[]) => void): void;
  /** Calls `listener(type, data, offset)` for messages of all types without a listener of their own. */
  onMessage(type: "*", listener: (type: string, data: any, offset: number | null) => void): Off;
  /** Calls `listener(data, offset)` for messages of that type, even if it is the name of an event. */
  onMessage<Type extends TypeOf<Messages>>(type: Type, listener: (data: Data<Messages, Type>, offset: number | null) => void): Off;
  /** Calls `listener(members, joined, left)` when a member joins or leaves. */
  onPresence(listener: RoomEvents["presence"]): Off;
  /**
   * Fetches the next members that are not in `members`, at most as many as the room's `presenceLimit`.
   *
   * They are added to `members`, and the listeners of "presence" are called with no joined and no left members.
   * Resolves with the fetched members; the list is empty when all members are known. Rejects with "unavailable"
   * if the room is away or the connection is lost, with "rateLimited" after too many requests, and with "timeout"
   * after `requestTimeout`.
   */
  fetchMembers(): Promise<Member[]>;
  /**
   * Answers the server's calls of that type with what `handler(data)` returns, which may be a promise.
   *
   * If the handler throws a {@link TxroomError}, the server receives that error. For any other error the server
   * receives "internal", and the error goes to the listeners of "error". Returns a function that removes the
   * handler.
   */
  handle(type: string, handler: (data: any) => unknown | Promise<unknown>): Off;
  /**
   * Sends a message, now or when the client is in the room again. The server handles it exactly once.
   *
   * Throws a TxroomError if the message cannot be sent: "roomGone" after the room was left, "unavailable" or
   * "rateLimited" if `maxBuffered` frames are queued, "invalidData" if the data is not JSON or is too large. The
   * promise resolves when the server has handled the message; it need not be awaited. It rejects with "roomGone"
   * if the room is left before, and with "replyLost" if it can't be known whether the message was handled.
   *
   * With `volatile`, the message is sent only if the client is in the room now, and may be lost; the promise
   * resolves at once.
   */
  send(type: string, data?: unknown, options?: { volatile?: boolean }): Promise<void>;
  /**
   * Sends a call; the promise resolves with the answer. The server handles it at most once, even if the
   * connection is lost.
   *
   * The promise rejects with the server's error; with "timeout" after `timeout` milliseconds; with "replyLost"
   * if the call was or may have been handled but its answer is lost; with "roomGone" when the room is left.
   */
  call<Answer = any>(type: string, data?: unknown, options?: { timeout?: number }): Promise<Answer>;
  /** Measures the round-trip time to the server, in milliseconds. */
  ping(): Promise<number>;
  /**
   * Leaves the room, after the queued messages were sent.
   *
   * The promise resolves when the server has confirmed, at the latest after `leaveTimeout`. If the client has
   * joined the room twice, both joins are one member: only this object ends, and the promise resolves at once.
   *
   * After `leaveTimeout` the client leaves without sending the messages that are still queued. If there is no
   * connection, the server ends the membership when `resumeSeconds` are over.
   */
  leave(): Promise<void>;
}

/**
 * A connection to a txroom server that survives lost sockets.
 *
 * `state` is one of
 *
 * - "idle": there is nothing to do; the client connects at the next join or request;
 * - "connecting": the client is trying to connect;
 * - "open": the connection is open;
 * - "waiting": the connection is lost, and the client waits before it connects again;
 * - "closed": the user has called `close()`; the client does not connect any more.
 *
 *     idle --join, request--> connecting --opened--> open
 *     connecting, open --lost--> waiting --delay over--> connecting
 *     any --final close code, nothing left to do--> idle
 *     any --close()--> closed
 *
 * If the server sends a message that is not a frame, the client closes the connection with 4010, reconnects and
 * resumes, so that it misses nothing. It ignores frames of a kind that it does not know, and frames for rooms
 * that it has left.
 */
export class Client {
  /** The options, including the defaults. */
  readonly options: Readonly<Required<Options>>;
  /** The URL that the client connects to. */
  readonly url: string;
  /**
   * @param [url] the URL of the rooms, with the scheme `ws:`, `wss:`, `http:` or `https:`, or
   *   relative to the page; without a path, "/rooms" is used
   * @param [options] see {@link DEFAULTS}
   */
  constructor(url?: string | URL, options?: Options);
  /** The state of the connection, see above. */
  readonly state: ClientState;
  /** The round-trip time of the last heartbeat in milliseconds; undefined before the first. */
  readonly latency: number | undefined;
  /** Calls `listener` at one of the client's events, see {@link ClientEvents}. Returns a function that removes it. */
  on<Name extends keyof ClientEvents>(name: Name, listener: ClientEvents[Name]): Off;
  /** Calls `listener` only at the next event of that name. */
  once<Name extends keyof ClientEvents>(name: Name, listener: ClientEvents[Name]): Off;
  /** Removes a listener that `on` or `once` added; without `listener`, removes all listeners of that name. */
  off<Name extends keyof ClientEvents>(name: Name, listener?: ClientEvents[Name]): void;
  /** The rooms that were joined and not left, one for each join. */
  readonly joined: Room[];
  /**
   * Joins a room of that name; if none has a free seat, creates one.
   *
   * The promise rejects with the server's error, or with "unavailable" if there is no connection within
   * `requestTimeout` or the connection is lost before the answer. In that last case the server may have let the
   * client in, so the client does not ask again by itself.
   *
   * Events are delivered from the next turn of the event loop on, so that listeners can be added after `await`.
   * `prepare`, if given, is called with the room before the promise resolves.
   *
   * Each join has a {@link Room} of its own, though two may share a membership. If an equal join is pending, this
   * one waits for it; if the client is leaving the room, it waits until the room is left.
   */
  joinOrCreate<Messages extends object = any>(name: string, options?: object, prepare?: (room: Room<Messages>) => void): Promise<Room<Messages>>;
  /** Joins an existing room of that name. Rejects like `joinOrCreate`, and with "noSuchRoom" if there is none. */
  join<Messages extends object = any>(name: string, options?: object, prepare?: (room: Room<Messages>) => void): Promise<Room<Messages>>;
  /** Creates a room of that name and joins it. Rejects like `joinOrCreate`. */
  create<Messages extends object = any>(name: string, options?: object, prepare?: (room: Room<Messages>) => void): Promise<Room<Messages>>;
  /** Joins the room with that id. Rejects like `joinOrCreate`, and with "noSuchRoom" if it does not exist. */
  joinById<Messages extends object = any>(id: string, options?: object, prepare?: (room: Room<Messages>) => void): Promise<Room<Messages>>;
  /**
   * Continues the membership of another page; `token` is the `room.reconnectionToken` of that page.
   *
   * The room is as after a join: with the snapshot, the members and the history; new messages follow. Messages
   * that the other page sent are handled if they reached the server. If the other page is still connected, it
   * leaves with 4005. A membership can be continued for `resumeSeconds` after its connection was lost, but not
   * after it was closed.
   *
   * The promise rejects with "unauthorized" if that time is over or the token was used before, with "forbidden"
   * if the member was kicked or belongs to another user, with "noSuchRoom" if the room does not exist any more,
   * with "badRequest" if the token is malformed, and otherwise like `joinOrCreate`. Then join again.
   */
  resume<Messages extends object = any>(token: string, prepare?: (room: Room<Messages>) => void): Promise<Room<Messages>>;
  /**
   * Lists the rooms of that name, or of any name, that match the filter.
   *
   * `filter` has values of options by which the server filters, or of metadata. If the connection is lost, the
   * client asks again over the next one. The promise rejects with "noSuchRoom" if the name is not registered,
   * with "timeout" or "unavailable" after `requestTimeout`, and with "invalidData" if the filter cannot be sent.
   */
  query(name?: string | null, filter?: object): Promise<Listing[]>;
  /** The former name of `query`. */
  rooms(name?: string | null, filter?: object): Promise<Listing[]>;
  /** Measures the round-trip time to the server, in milliseconds. */
  ping(): Promise<number>;
  /**
   * Closes the connection, if there is one, and opens another one after `delay` milliseconds.
   *
   * Nothing happens if the client needs no connection: before the first join, and after `close`.
   */
  reconnect(delay?: number): void;
  /** Leaves all rooms and closes the connection for good. */
  close(): void;
}
