/** Types of txroom.js, the JavaScript client of txroom's rooms. Times are milliseconds, sizes are bytes. */

/** The WebSocket sub-protocol. */
export const PROTOCOL: "txroom.v1.json";

export type ErrorCodeName =
  | "badRequest"
  | "unknownType"
  | "invalidData"
  | "noSuchRoom"
  | "roomGone"
  | "full"
  | "locked"
  | "unauthorized"
  | "forbidden"
  | "timeout"
  | "rateLimited"
  | "replyLost"
  | "unavailable"
  | "internal";

/** The codes that a `TxroomError` has by itself; a room may use words of its own besides. */
export const ErrorCode: { readonly [Name in ErrorCodeName]: Name };

/** The close codes of rooms: 4000-4099 are final, after 4100-4199 the client comes back and resumes. */
export const CloseCode: {
  readonly normal: 1000;
  readonly unauthorized: 4001;
  readonly kicked: 4003;
  readonly noSuchRoom: 4004;
  readonly replaced: 4005;
  readonly roomClosed: 4008;
  readonly misuse: 4010;
  readonly rateAbuse: 4029;
  readonly shuttingDown: 4100;
  readonly roomMoved: 4101;
  readonly slowConsumer: 4102;
  readonly engineUnavailable: 4103;
  readonly stateLost: 4104;
  readonly noHeartbeat: 4106;
};

/** Whether a client comes back after a socket was closed with `code` and `reason`. */
export function mayReconnect(code: number, reason?: string): boolean;

/** What goes wrong. */
export class TxroomError extends Error {
  constructor(code: string, message?: string, options?: { details?: unknown; cause?: unknown });
  /** One of `ErrorCode`, or a room's own word. */
  readonly code: ErrorCodeName | (string & {});
  /** Whatever the server adds, e.g. the field that is wrong. */
  readonly details: any;
}

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
  now(): number;
  setTimeout(callback: () => void, delay: number): any;
  clearTimeout(timer: any): void;
}

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
  /** How long joining, resuming, listing and pinging may take, waiting for a connection included; 15 000. */
  requestTimeout?: number;
  /** How long a call may take, time away included; default 15 000. */
  callTimeout?: number;
  /** How long `room.leave()` waits for the server; default 3 000. */
  leaveTimeout?: number;
  /** Time between two heartbeats, 0: none; default 25 000. */
  pingInterval?: number;
  /** How long the server may be silent after a heartbeat; default 10 000. */
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
  /** Frames of a room that may wait, while it is away or its window is full; default 256. */
  maxBuffered?: number;
  /** The largest frame that may be sent; default 1 048 576, the server's `maxPayload`. */
  maxPayload?: number;
  /** Whether to join anew, as another member, when the server has forgotten us; default true. */
  rejoin?: boolean;
  /** Where "online", "offline" and "visibilitychange" happen; default the window, null: nowhere. */
  events?: Pick<EventTarget, "addEventListener" | "removeEventListener"> | null;
  clock?: Clock;
  /** A number from 0 to 1, for the jitter. */
  random?: () => number;
}

/** Every option of a `Client` with its default. */
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

export interface Loss<Snapshot = any> {
  /** What `Room.snapshot` of the server gave. */
  snapshot: Snapshot;
  members: Member[];
  /** The messages that follow have greater offsets. */
  offset: number;
  /** What we had sent, and may or may not have been handled. */
  unconfirmed: { type: string; data: any }[];
}

export type ClientState = "idle" | "connecting" | "open" | "waiting" | "closed";
export type RoomState = "joined" | "away" | "resuming" | "left";

/** The room's own events; a message of such a type is for `room.onMessage`. */
export interface RoomEvents {
  presence: (members: Member[], joined: Member[], left: Member[]) => void;
  /** Away; what is sent now waits. */
  reconnecting: (ending: Ending) => void;
  /** Back, nothing was missed. */
  recovered: () => void;
  /** Back, but messages were missed: show the snapshot. */
  lost: (loss: Loss) => void;
  /** For good. */
  left: (ending: Ending) => void;
  /** The server refused a message, or a listener threw. */
  error: (error: any) => void;
}

/** The data of a message of type `Type`, if the map of messages has it. */
type Data<Messages, Type extends string> = Type extends keyof Messages ? Messages[Type] : any;

/** The types that the map of messages has; any text if there is no map. */
type TypeOf<Messages> = (keyof Messages & string) | (string & {});

/**
 * A room that the client has joined: what one join promised. Joins that lead to the same room share one
 * membership there, which ends when the last of them is left.
 *
 * `Messages` maps the types of the server's messages to their data:
 * `client.joinOrCreate<{ said: { text: string } }>("chat")`.
 */
export class Room<Messages extends object = any> {
  private constructor();
  /** The id of the room; it changes if the client has to join another one after a loss. */
  readonly id: string;
  /** The name it was registered with. */
  readonly name: string;
  /** The id of this membership. */
  readonly member: string;
  /** What `Room.snapshot` of the server gave at the last join or loss. */
  readonly snapshot: any;
  readonly client: Client;
  readonly state: RoomState;
  /** The offset of the last message received. */
  readonly offset: number;
  /** Which log the offset is of. */
  readonly epoch: string;
  /** Who is here, if the room has presence. */
  readonly members: Member[];
  /**
   * What `client.resume` takes, also in the next page; null when the room was left. Keep it secret.
   *
   * With every connection it is another: look at it when you need it, at best on "pagehide".
   */
  readonly reconnectionToken: string | null;
  /** How many frames wait to be sent. */
  readonly buffered: number;

  /** Calls `listener` at one of the room's own events, or at messages of that type. */
  on<Name extends keyof RoomEvents>(name: Name, listener: RoomEvents[Name]): Off;
  on<Type extends TypeOf<Messages>>(
    type: Type,
    listener: (data: Data<Messages, Type>, offset: number | null) => void,
  ): Off;
  /** The same for the next one only. */
  once<Name extends keyof RoomEvents>(name: Name, listener: RoomEvents[Name]): Off;
  once<Type extends TypeOf<Messages>>(
    type: Type,
    listener: (data: Data<Messages, Type>, offset: number | null) => void,
  ): Off;
  /** Ends what `on` began; without a listener, for all of that name. */
  off(name: string, listener?: (...args: any[]) => void): void;
  /** Messages of the types that have no listener of their own. */
  onMessage(type: "*", listener: (type: string, data: any, offset: number | null) => void): Off;
  /** Messages of that type, whatever it is named. */
  onMessage<Type extends TypeOf<Messages>>(
    type: Type,
    listener: (data: Data<Messages, Type>, offset: number | null) => void,
  ): Off;
  /** When somebody comes or goes. */
  onPresence(listener: RoomEvents["presence"]): Off;
  /** Answers the server's calls of that type; throw a `TxroomError` to choose what the server is told. */
  handle(type: string, handler: (data: any) => unknown | Promise<unknown>): Off;
  /**
   * Sends a message, now or when the room is back; the server handles it exactly once.
   *
   * Throws a `TxroomError` ("roomGone", "unavailable", "rateLimited", "invalidData") if it can't be accepted.
   * The promise, which need not be awaited, resolves when the server has handled it.
   */
  send(type: string, data?: unknown, options?: { volatile?: boolean }): Promise<void>;
  /** Asks the room; the promise has the answer. Handled at most once. */
  call<Answer = any>(type: string, data?: unknown, options?: { timeout?: number }): Promise<Answer>;
  /** The time to the server and back. */
  ping(): Promise<number>;
  /** Leaves, after what was sent before; after `leaveTimeout` in any case. Another join of it goes on. */
  leave(): Promise<void>;
}

export interface ClientEvents {
  connected: () => void;
  /** The connection is lost; attempt number `attempt` is in `delay` ms. */
  reconnecting: (ending: Ending & { attempt: number; delay: number }) => void;
  /** There is no connection, and the client does not make one until the next join or request. */
  disconnected: (ending: Ending) => void;
  /** The server will close the connection, and asks to stay away for `retryAfter` seconds. */
  bye: (bye: { code: number; retryAfter: number }) => void;
  latency: (milliseconds: number) => void;
  /** Nobody else was there to be told; without a listener it goes to the console. */
  error: (error: any) => void;
}

/** A room as matchmaking lists it. */
export interface Listing {
  room: string;
  name: string;
  clients: number;
  /** 0: any number. */
  maxClients: number;
  /** Whether there is no joining it now: it is full, or locked. */
  locked: boolean;
  metadata: Record<string, any>;
}

/** A connection to a txroom server that outlives its sockets. */
export class Client {
  /** `url`: `ws:`, `wss:`, `http:`, `https:` or relative to the page; without a path: "/rooms". */
  constructor(url?: string | URL, options?: Options);
  readonly options: Readonly<Required<Options>>;
  readonly url: string;
  readonly state: ClientState;
  /** Milliseconds to the server and back at the last heartbeat; undefined before the first. */
  readonly latency: number | undefined;
  /** The rooms that are not left. */
  readonly joined: Room[];

  on<Name extends keyof ClientEvents>(name: Name, listener: ClientEvents[Name]): Off;
  once<Name extends keyof ClientEvents>(name: Name, listener: ClientEvents[Name]): Off;
  off<Name extends keyof ClientEvents>(name: Name, listener?: ClientEvents[Name]): void;

  /**
   * Joins a room of that name, a new one if there is none with a seat.
   *
   * `prepare` gets the room before the promise resolves. Rejects with a `TxroomError`.
   */
  joinOrCreate<Messages extends object = any>(
    name: string,
    options?: object,
    prepare?: (room: Room<Messages>) => void,
  ): Promise<Room<Messages>>;
  /** Joins a room of that name that exists. */
  join<Messages extends object = any>(
    name: string,
    options?: object,
    prepare?: (room: Room<Messages>) => void,
  ): Promise<Room<Messages>>;
  /** Makes a new room of that name and joins it. */
  create<Messages extends object = any>(
    name: string,
    options?: object,
    prepare?: (room: Room<Messages>) => void,
  ): Promise<Room<Messages>>;
  /** Joins the room of that id. */
  joinById<Messages extends object = any>(
    id: string,
    options?: object,
    prepare?: (room: Room<Messages>) => void,
  ): Promise<Room<Messages>>;
  /**
   * Goes on as the member that another page was: `token` is the `room.reconnectionToken` it had.
   *
   * The room is as after a join. Rejects with "unauthorized", "forbidden" or "noSuchRoom" if that is not
   * possible any more, "badRequest" for what is no token; then it is for you to join anew.
   */
  resume<Messages extends object = any>(
    token: string,
    prepare?: (room: Room<Messages>) => void,
  ): Promise<Room<Messages>>;
  /** The rooms of that name, or of any, that match the filter. */
  query(name?: string | null, filter?: object): Promise<Listing[]>;
  /** The former name of `query`. */
  rooms(name?: string | null, filter?: object): Promise<Listing[]>;
  /** The time to the server and back. */
  ping(): Promise<number>;
  /** Gives up the connection, if there is one, and makes another after `delay` milliseconds. */
  reconnect(delay?: number): void;
  /** Leaves all rooms and closes the connection, for good. */
  close(): void;
}
