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
 * All rooms of a client share one socket. When it is lost, the client reconnects automatically, resumes each room
 * and sends again what the server has not acknowledged. The server handles every message once and in order, and
 * the client receives every message of a room once and in order. If the client returns too late, it may miss
 * messages; then the room emits "lost".
 *
 * Times are in milliseconds, sizes in bytes. The module works in browsers, in workers, and in Node. Before Node 22,
 * pass the class of the package `ws`: `new Client(url, { WebSocket })`.
 *
 * The types are in the comments: `make client-types` makes `txroom.d.ts` from them, and `make types` checks both.
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
 * The close codes of rooms, and 1000 for a normal end. After a code from 4000 to 4099 the client does not
 * reconnect. After a code from 4100 to 4199 it reconnects and resumes.
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

/** The members of a WebSocket that the client uses. The WebSockets of browsers and of the package `ws` have them. */
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
  /** Returns the milliseconds since some fixed time. The result never decreases. */
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
   * If `auth` is a function, the client calls it for each join. If it throws or rejects, the client calls it again
   * until `requestTimeout` is over, except after a `TxroomError`: then the join fails at once.
   */
  auth?: unknown | (() => unknown | Promise<unknown>);
  /** The class of the socket; default: `globalThis.WebSocket`. */
  WebSocket?: new (url: any, protocols?: any) => Socket;
  /** How long a socket may take to open, in milliseconds; default 10,000. */
  connectTimeout?: number;
  /**
   * How long joins, resumes, queries and pings may take, in milliseconds, including the time to connect; default
   * 15,000.
   */
  requestTimeout?: number;
  /**
   * How long a call may take, in milliseconds, including the time without a connection; `call(…, {timeout})`
   * overrides it; default 15,000.
   */
  callTimeout?: number;
  /** How long `room.leave()` waits for the server, in milliseconds; default 3,000. */
  leaveTimeout?: number;
  /** The time between two heartbeats, in milliseconds; 0 turns them off; default 25,000. */
  pingInterval?: number;
  /**
   * How long the server may be silent after a heartbeat before the client gives up the connection, in
   * milliseconds; default 10,000.
   */
  pingTimeout?: number;
  /**
   * Replaces `pingTimeout`, in milliseconds, for the check that the client makes when the browser comes online, goes
   * offline or shows the page again; default 3,000.
   */
  probeTimeout?: number;
  /**
   * The delay before the first attempt to reconnect, in milliseconds. It doubles with every attempt, and half of
   * it is random; default 250.
   */
  minDelay?: number;
  /** The longest delay in milliseconds, unless the server asks for a longer one; default 10,000. */
  maxDelay?: number;
  /** How long a connection must be open, in milliseconds, before the next delay is `minDelay` again; default 5,000. */
  stableAfter?: number;
  /**
   * How many attempts to reconnect may fail in a row before the client gives up; default Infinity. A client that
   * no txroom server has ever answered gives up after 5 attempts to connect in any case.
   */
  maxAttempts?: number;
  /**
   * How many frames of a room may be on their way without an acknowledgement; default 64, which is also the
   * server's limit.
   */
  window?: number;
  /**
   * How many frames of a room the client queues while the room is away or the window is full. When the queue is
   * full, `send` throws "unavailable" or "rateLimited"; default 256.
   */
  maxBuffered?: number;
  /**
   * The largest frame that the client sends, in bytes; default 1,048,576. Set it to the server's `maxPayload`,
   * because the server closes the connection after a larger frame.
   */
  maxPayload?: number;
  /**
   * The id of the device for the user's notifications, 1 to 64 characters; null means that there is none. Default: an
   * id that the client makes and keeps in `localStorage` when there is a listener for notifications; null where there
   * is no `localStorage`. The user's next page on this device gets what the pages before have not acknowledged.
   */
  device?: string | null;
  /**
   * Whether the client joins the room again, as a new member, if the server no longer knows the membership;
   * default true.
   */
  rejoin?: boolean;
  /**
   * The object that emits "online", "offline", "visibilitychange" and "pagehide"; default: `globalThis`, which is
   * the window in a page. Null means that there is none.
   */
  events?: Pick<EventTarget, "addEventListener" | "removeEventListener"> | null;
  /** The source of time and timers; for tests. */
  clock?: Clock;
  /** A function that returns a number from 0 to 1, for the delays; for tests. */
  random?: () => number;
}

/**
 * The default of every option of a {@link Client}.
 *
 * `WebSocket`, `device` and `events` are undefined here: a new client looks them up, so this module can be imported
 * anywhere.
 */
export const DEFAULTS: Readonly<Required<Options>>;

/** Removes the listener or the handler that was added. */
export type Off = () => void;

/** One user in a room, with one meta for each membership of the user. */
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
  /** The value that the server's `Room.snapshot` returned. */
  snapshot: Snapshot;
  /** The members now, if the room has presence. */
  members: Member[];
  /** The position in the room's log: the messages that follow have greater offsets. */
  offset: number;
  /** The messages that this `Room` object sent, and that the server may or may not have handled. */
  unconfirmed: { type: string; data: any }[];
}

/** The state of a client's connection: see {@link Client}. */
export type ClientState = "idle" | "connecting" | "open" | "waiting" | "closed";

/** The status of a membership: see {@link Room}. */
export type RoomStatus = "joined" | "away" | "resuming" | "left";

/**
 * A change of a room's state. Those of objects, Maps and arrays that come or go are before those of plain values, so a
 * program knows an object before the values in it.
 */
export interface StateChange {
  /** The object, Map or array that has changed, and is in `room.state` now. */
  target: any;
  /** The name of the field, the key in the Map, or the first index that has changed in the array. */
  key: any;
  /** The new value; undefined: the entry is gone. Of an array: the new items from that index on. */
  value: any;
  /** The value before; undefined: the entry is new. Of an array: the items before. */
  former: any;
}

/** The events of a room. Use `room.onMessage` for a type of message that has the name of an event. */
export interface RoomEvents {
  /**
   * The state of the room has changed, all at once: by one patch, or by a state that replaces it. Each `Room` object
   *   gets its first event when its listeners can be added, with all that there is.
   */
  state: (changes: StateChange[]) => void;
  /** Members joined or left, or their metas changed. */
  presence: (members: Member[], joined: Member[], left: Member[]) => void;
  /** The connection is lost. The client queues what you send. */
  reconnecting: (ending: Ending) => void;
  /** The client is in the room again and has missed nothing. */
  recovered: () => void;
  /** The client is in the room again, but may have missed messages: show the snapshot. */
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
  /** The connection is lost. The client makes attempt number `attempt` in `delay` milliseconds. */
  reconnecting: (ending: Ending & { attempt: number; delay: number }) => void;
  /** There is no connection, and the client opens none before the next join or request. */
  disconnected: (ending: Ending) => void;
  /** The server will close the connection, and asks the client to wait `retryAfter` seconds. */
  bye: (bye: { code: number; retryAfter: number }) => void;
  /** A heartbeat has measured the round-trip time. */
  latency: (milliseconds: number) => void;
  /** A notification for the user. "notify:friend" is the event of those of the type "friend", and so on. */
  notify: (type: string, data: any) => unknown;
  /**
   * So many notifications were dropped at the server before the next one, or before now if the client has just
   *   connected: the user's queue was full, or they were too old.
   */
  notifyDropped: (count: number) => void;
  /** An error that no promise reports. If there is no listener, the client writes it to the console. */
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
  /** The largest number of members; 0 means no limit. */
  maxClients: number;
  /** Whether clients cannot join the room now, because it is full or locked. */
  locked: boolean;
  /** The metadata that the room has set. */
  metadata: Record<string, any>;
}

/** The data of a message of type `Type` according to the map `Messages`; any data if the map does not have the type. */
export type Data<Messages, Type extends string> = Type extends keyof Messages ? Messages[Type] : any;

/** The types of messages in the map `Messages`, or any other string. */
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
 * It does not reconnect after a code from 4000 to 4099, nor after the codes of RFC 6455 for errors that would
 * happen again (1002, 1003, 1007 to 1010). There is one exception: it reconnects after 1008 with the reason "message
 * not complete in time" or "message timeout", which only mean that the link is slow.
 */
export function mayReconnect(code: number, reason?: string): boolean;

/**
 * A room that the client has joined.
 *
 * Each join returns a new `Room` object, with its own listeners. Joins that lead to the same room share one
 * membership, which ends when `leave()` was called on the last of these objects.
 *
 * `status` is one of
 *
 * - "joined": the connection is open, and the client is a member of the room;
 * - "away": the connection is lost, or the room is temporarily unavailable;
 * - "resuming": the client has asked the server to resume, and sends nothing to the room until it answers;
 * - "left": the client is no longer in the room; the event "left" says why.
 *
 * While the status is "away" or "resuming", the client queues messages.
 *
 * `Messages` maps the types of the server's messages to their data:
 * `client.joinOrCreate<{ said: { text: string } }>("chat")`. `State` is the type of the state:
 * `client.joinOrCreate<any, { balls: Map<string, { x: number }> }>("pool")`.
 */
export class Room<Messages extends object = any, State = any> {
  /** You cannot create a room object yourself: `client.join` and similar methods do. */
  private constructor();
  /** The id of the room. It changes if the client has to join another room after a loss. */
  readonly id: string;
  /** The name under which the room is registered. */
  readonly name: string;
  /** The id of this membership. */
  readonly member: string;
  /**
   * What the server's `Room.snapshot` returned at the last join or, if the room has emitted "lost" since, the snapshot
   * that came with it.
   */
  readonly snapshot: any;
  /** The client that joined the room. */
  readonly client: Client;
  /**
   * The state that the room declares: an object whose fields have numbers, texts, booleans, null, objects, Maps and
   * arrays as values; null if the room has no state. Don't change it: the next patch expects it as it is.
   *
   * It is there when the join has succeeded, and changes when the room emits "state". Integers of the types `Int64` and
   * `Uint64` are BigInts. After a lost connection the objects, Maps and arrays are the same as before, as far as they
   * have the same places in the state.
   */
  readonly state: State;
  /**
   * The version of the state; null if there is none. The server counts it up with each patch, and sends no patch if
   * nothing has changed.
   */
  readonly stateVersion: number | null;
  /** When the last change of the state has arrived, by the clock of the client: `performance.now()`. */
  readonly stateTime: number;
  /**
   * The number of the last message or call that was sent to this membership, or is queued for it. The numbers count
   * from 1, without volatile messages.
   */
  readonly sent: number;
  /**
   * The number of the last message or call that the server has handled. At the event "state", the state has the effects
   * of all messages up to this one, and of none behind it, if their handlers change the state before they await
   * anything: apply the inputs behind it again to what the server says. After "lost" the numbers may begin anew.
   */
  readonly handled: number;
  /** The status of the membership, see above. */
  readonly status: RoomStatus;
  /** The offset of the last message received. */
  readonly offset: number;
  /** The id of the log to which the offset belongs. A room that is created again has another one. */
  readonly epoch: string;
  /**
   * The users in the room, each with one meta for each of the user's memberships, if the room has presence.
   *
   * In a room with more than `presenceLimit` members the list is not complete: it has the members that the server
   * has sent, and those that `fetchMembers` has fetched. `memberCount` is the number of all members.
   */
  readonly members: Member[];
  /** The number of all memberships in the room, if it has presence. A user with two memberships counts twice. */
  readonly memberCount: number;
  /**
   * The token with which `client.resume` continues this membership, also in the next page.
   *
   * It is null after the client has left the room. It changes with every connection, so read it when you need it, for
   * instance on "pagehide". Keep it secret: anybody who has it can take over the membership. It contains the options
   * of the join, except `auth` and `seat`.
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
  /** Calls `listener(type, data, offset)` for messages whose type has no listener. */
  onMessage(type: "*", listener: (type: string, data: any, offset: number | null) => void): Off;
  /** Calls `listener(data, offset)` for messages of that type, even if it is the name of an event. */
  onMessage<Type extends TypeOf<Messages>>(type: Type, listener: (data: Data<Messages, Type>, offset: number | null) => void): Off;
  /** Calls `listener(members, joined, left)` when members have joined or left, or their metas have changed. */
  onPresence(listener: RoomEvents["presence"]): Off;
  /**
   * Fetches the next members that are not in `members`, at most as many as the room's `presenceLimit`.
   *
   * Adds them to `members`, and emits "presence" with empty arrays of joined and left members. The promise resolves
   * with the fetched members; the array is empty when `members` is complete. The promise rejects with "unavailable"
   * if the room is away or the connection is lost, with "rateLimited" after too many requests, and with "timeout"
   * after `requestTimeout`.
   */
  fetchMembers(): Promise<Member[]>;
  /**
   * Answers the server's calls of that type with what `handler(data)` returns, which may be a promise.
   *
   * If the handler throws a {@link TxroomError}, the server receives that error. For any other error the server
   * receives "internal", and the room emits "error". Returns a function that removes the handler.
   */
  handle(type: string, handler: (data: any) => unknown | Promise<unknown>): Off;
  /**
   * Sends a message, now or when the client is in the room again. The server handles it exactly once.
   *
   * Throws a TxroomError if the client cannot accept the message: "roomGone" after it has left the room,
   * "unavailable" or "rateLimited" if `maxBuffered` frames are queued, "invalidData" if JSON cannot represent the data
   * or the data is too large, "badRequest" if the type is not a string of 1 to 128 characters.
   *
   * The promise resolves when the server has handled the message, also if it has refused it: then the room emits
   * "error". You need not await the promise. It rejects with "roomGone" if the client leaves the room before, and with
   * "replyLost" if the server may or may not have handled the message.
   *
   * With `volatile`, the client sends the message only if it is in the room now, and the message can get lost; the
   * promise resolves at once.
   */
  send(type: string, data?: unknown, options?: { volatile?: boolean }): Promise<void>;
  /**
   * Sends a call; the promise resolves with the answer. The server handles it at most once, even if the
   * connection is lost.
   *
   * The promise rejects with the server's error; with "timeout" after `timeout` milliseconds; with "replyLost" if the
   * answer is lost although the server has handled the call or may have handled it; with "roomGone" if the client
   * leaves the room; with the errors that `send` throws; and with a TypeError if `timeout` is not a time.
   */
  call<Answer = any>(type: string, data?: unknown, options?: { timeout?: number }): Promise<Answer>;
  /** Measures the round-trip time to the server, in milliseconds. */
  ping(): Promise<number>;
  /**
   * Leaves the room. The client first sends the queued messages, then asks the server to end the membership. The
   * promise resolves when the server has answered, or after `leaveTimeout`.
   *
   * After `leaveTimeout` the client leaves without sending the messages that are still queued. If there is no
   * connection, the server ends the membership when `resumeSeconds` are over.
   *
   * If the client has joined the room twice, both joins are one membership. Then only this object ends, and the promise
   * resolves at once.
   */
  leave(): Promise<void>;
}

/**
 * A connection to a txroom server. When its socket is lost, the client opens another one.
 *
 * `state` is one of
 *
 * - "idle": the client needs no connection; it connects at the next join or request, and when a listener for
 *   notifications is added;
 * - "connecting": the client is trying to connect;
 * - "open": the connection is open;
 * - "waiting": the connection is lost, and the client waits before it connects again;
 * - "closed": you have called `close()`; the client does not connect any more.
 *
 *     idle --join, request, listener--> connecting --opened--> open
 *     connecting, open --lost--> waiting --delay over--> connecting
 *     any --final close code, nothing left to do--> idle
 *     any --close()--> closed
 *
 * If the server sends a message that is not a frame, the client closes the connection with 4010, reconnects and
 * resumes, so that it misses nothing. (That it does not reconnect after 4010 is the rule only if the server sends this
 * code.) It ignores frames of a kind that it does not know, and frames for rooms that it has left.
 */
export class Client {
  /** The options, including the defaults. */
  readonly options: Readonly<Required<Options>>;
  /** The URL to which the client connects. */
  readonly url: string;
  /**
   * @param [url] the URL of the rooms, with the scheme `ws:`, `wss:`, `http:` or `https:`, or
   *   relative to the page; if it has no path, the path is "/rooms"
   * @param [options] see {@link DEFAULTS}
   */
  constructor(url?: string | URL, options?: Options);
  /** The state of the connection, see above. */
  readonly state: ClientState;
  /** The round-trip time of the last heartbeat in milliseconds; undefined before the first. */
  readonly latency: number | undefined;
  /** Calls `listener` at one of the client's events, see {@link ClientEvents}. Returns a function that removes it. */
  on<Name extends keyof ClientEvents>(name: Name, listener: ClientEvents[Name]): Off;
  /**
   * Calls `listener(data)` for the user's notifications of one type; "notify:friend" is the name for the type "friend".
   *
   * With the first listener of such a name, or of "notify", the client connects and asks for the notifications. It
   * acknowledges each when its listeners, and the promises that they return, have ended. Add all of these listeners in
   * the same turn of the event loop: a notification whose type has no listener counts as received.
   */
  on(name: `notify:${string}`, listener: (data: any) => unknown): Off;
  /** Calls `listener` only at the next event of that name. */
  once<Name extends keyof ClientEvents>(name: Name, listener: ClientEvents[Name]): Off;
  /** Calls `listener` only for the next notification of that type. Later ones wait for another listener. */
  once(name: `notify:${string}`, listener: (data: any) => unknown): Off;
  /** Removes a listener that `on` or `once` added; without `listener`, removes all listeners of that name. */
  off<Name extends keyof ClientEvents>(name: Name, listener?: ClientEvents[Name]): void;
  /** Removes a listener for the notifications of one type, or all of them. */
  off(name: `notify:${string}`, listener?: (data: any) => unknown): void;
  /** The rooms that the client has joined and not left, one for each join. */
  readonly joined: Room[];
  /**
   * Joins a room of that name; if none has a free seat, creates one.
   *
   * The promise rejects with the server's error; with "unavailable" if there is no connection within `requestTimeout`
   * or the connection is lost before the answer; with "timeout" if the server or `auth` does not answer in this time;
   * with "unauthorized" if `auth` fails; with "badRequest" or "invalidData" if the name or the options are wrong. After
   * a lost connection the client repeats the request only if the server has announced the end of the connection, for
   * example for a deploy; otherwise the client may already be a member. A client that no txroom server has ever
   * answered gives up after 5 attempts to connect, or earlier if `maxAttempts` is less.
   *
   * The room emits no event before the next turn of the event loop, so that you can add listeners after `await`. If you
   * pass `prepare`, the client calls it with the room before the promise resolves.
   *
   * Each join returns a new {@link Room} object, but two of them may share a membership. If a join with the same name
   * and options is in progress, this one waits for it. If the client is leaving the room, this one waits until it has
   * left.
   */
  joinOrCreate<Messages extends object = any, State = any>(name: string, options?: object, prepare?: (room: Room<Messages, State>) => void): Promise<Room<Messages, State>>;
  /**
   * Joins an existing room of that name. Rejects like `joinOrCreate`, and with "noSuchRoom" if no room has a free seat,
   * or with the error of the room that has refused the client.
   */
  join<Messages extends object = any, State = any>(name: string, options?: object, prepare?: (room: Room<Messages, State>) => void): Promise<Room<Messages, State>>;
  /** Creates a room of that name and joins it. Rejects like `joinOrCreate`. */
  create<Messages extends object = any, State = any>(name: string, options?: object, prepare?: (room: Room<Messages, State>) => void): Promise<Room<Messages, State>>;
  /** Joins the room with that id. Rejects like `joinOrCreate`, and with "noSuchRoom" if it does not exist. */
  joinById<Messages extends object = any, State = any>(id: string, options?: object, prepare?: (room: Room<Messages, State>) => void): Promise<Room<Messages, State>>;
  /**
   * Continues the membership of another page; `token` is the `room.reconnectionToken` of that page.
   *
   * The room is as after a join, with the snapshot, the members and the history; new messages follow. The server
   * handles the messages of the other page that reached it. If the other page is still connected, it leaves with 4005.
   * You can continue a membership for `resumeSeconds` after its connection was lost, but not after the other page has
   * left or has closed its client while it had a connection.
   *
   * The promise rejects with "unauthorized" if that time is over, or if a page that has resumed with this token has
   * sent something to the room since; with "forbidden" if the room has kicked the member or the member belongs to another
   * user; with "noSuchRoom" if the room does not exist any more; with "badRequest" if the token is malformed; and
   * otherwise like `joinOrCreate`. Then join again.
   */
  resume<Messages extends object = any, State = any>(token: string, prepare?: (room: Room<Messages, State>) => void): Promise<Room<Messages, State>>;
  /**
   * Lists the rooms of that name, or of any name, that match the filter.
   *
   * `filter` contains values of the options by which the server filters rooms, or of the metadata. If the connection is
   * lost, the client asks again over the next one. The promise rejects with "noSuchRoom" if the name is not registered,
   * with "timeout" or "unavailable" after `requestTimeout`, and with "invalidData" if JSON cannot represent the filter.
   */
  query(name?: string | null, filter?: object): Promise<Listing[]>;
  /** The former name of `query`. */
  rooms(name?: string | null, filter?: object): Promise<Listing[]>;
  /** Measures the round-trip time to the server, in milliseconds. */
  ping(): Promise<number>;
  /**
   * Closes the connection, if there is one, and opens another one after `delay` milliseconds.
   *
   * Does nothing if the client needs no connection: before the first join, if there is no listener for notifications,
   * and after `close`.
   */
  reconnect(delay?: number): void;
  /**
   * Leaves all rooms and closes the connection for good. If there is no connection, the server ends the memberships
   * when `resumeSeconds` are over.
   */
  close(): void;
}
