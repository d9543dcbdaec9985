// @ts-check

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
 *
 * @module txroom
 */

/** The WebSocket sub-protocol. */
export const PROTOCOL = "txroom.v1.json";

/**
 * One of {@link ErrorCode}.
 *
 * @typedef {keyof typeof ErrorCode} ErrorCodeName
 */

/** The codes of {@link TxroomError} that the server and this client use; a room may use codes of its own. */
export const ErrorCode = Object.freeze({
  badRequest: "badRequest",
  unknownType: "unknownType",
  invalidData: "invalidData",
  noSuchRoom: "noSuchRoom",
  roomGone: "roomGone",
  full: "full",
  locked: "locked",
  unauthorized: "unauthorized",
  forbidden: "forbidden",
  timeout: "timeout",
  rateLimited: "rateLimited",
  replyLost: "replyLost",
  unavailable: "unavailable",
  internal: "internal",
});

/**
 * The close codes of rooms, and 1000 for a normal end. After a code from 4000 to 4099 the client does not
 * reconnect. After a code from 4100 to 4199 it reconnects and resumes.
 */
export const CloseCode = Object.freeze({
  normal: 1000,
  unauthorized: 4001,
  kicked: 4003,
  noSuchRoom: 4004,
  replaced: 4005,
  roomClosed: 4008,
  misuse: 4010,
  rateAbuse: 4029,
  shuttingDown: 4100,
  roomMoved: 4101,
  slowConsumer: 4102,
  engineUnavailable: 4103,
  stateLost: 4104,
  noHeartbeat: 4106,
});

/**
 * The members of a WebSocket that the client uses. The WebSockets of browsers and of the package `ws` have them.
 *
 * @typedef {{
 *   readonly protocol: string;
 *   onopen: ((event: any) => void) | null;
 *   onmessage: ((event: any) => void) | null;
 *   onclose: ((event: any) => void) | null;
 *   onerror: ((event: any) => void) | null;
 *   send(text: string): void;
 *   close(code?: number, reason?: string): void;
 * }} Socket
 */

/**
 * A source of time and timers.
 *
 * @typedef {object} Clock
 * @property {() => number} now Returns the milliseconds since some fixed time. The result never decreases.
 * @property {(callback: () => void, delay: number) => any} setTimeout
 *   Calls `callback` once after `delay` milliseconds, and returns a timer.
 * @property {(timer: any) => void} clearTimeout Cancels a timer.
 */

/**
 * The options of a {@link Client}.
 *
 * @typedef {object} Options
 * @property {unknown | (() => unknown | Promise<unknown>)} [auth]
 *   The credentials, sent as `auth` with the options of each join: a value, or a function that returns a value
 *   or a promise.
 *
 *   If `auth` is a function, the client calls it for each join. If it throws or rejects, the client calls it again
 *   until `requestTimeout` is over, except after a `TxroomError`: then the join fails at once.
 * @property {new (url: any, protocols?: any) => Socket} [WebSocket]
 *   The class of the socket; default: `globalThis.WebSocket`.
 * @property {number} [connectTimeout] How long a socket may take to open, in milliseconds; default 10,000.
 * @property {number} [requestTimeout]
 *   How long joins, resumes, queries and pings may take, in milliseconds, including the time to connect; default
 *   15,000.
 * @property {number} [callTimeout]
 *   How long a call may take, in milliseconds, including the time without a connection; `call(…, {timeout})`
 *   overrides it; default 15,000.
 * @property {number} [leaveTimeout] How long `room.leave()` waits for the server, in milliseconds; default 3,000.
 * @property {number} [pingInterval]
 *   The time between two heartbeats, in milliseconds; 0 turns them off; default 25,000.
 * @property {number} [pingTimeout]
 *   How long the server may be silent after a heartbeat before the client gives up the connection, in
 *   milliseconds; default 10,000.
 * @property {number} [probeTimeout]
 *   Replaces `pingTimeout`, in milliseconds, for the check that the client makes when the browser comes online, goes
 *   offline or shows the page again; default 3,000.
 * @property {number} [minDelay]
 *   The delay before the first attempt to reconnect, in milliseconds. It doubles with every attempt, and half of
 *   it is random; default 250.
 * @property {number} [maxDelay]
 *   The longest delay in milliseconds, unless the server asks for a longer one; default 10,000.
 * @property {number} [stableAfter]
 *   How long a connection must be open, in milliseconds, before the next delay is `minDelay` again; default 5,000.
 * @property {number} [maxAttempts]
 *   How many attempts to reconnect may fail in a row before the client gives up; default Infinity. A client that
 *   no txroom server has ever answered gives up after 5 attempts to connect in any case.
 * @property {number} [window]
 *   How many frames of a room may be on their way without an acknowledgement; default 64, which is also the
 *   server's limit.
 * @property {number} [maxBuffered]
 *   How many frames of a room the client queues while the room is away or the window is full. When the queue is
 *   full, `send` throws "unavailable" or "rateLimited"; default 256.
 * @property {number} [maxPayload]
 *   The largest frame that the client sends, in bytes; default 1,048,576. Set it to the server's `maxPayload`,
 *   because the server closes the connection after a larger frame.
 * @property {string | null} [device]
 *   The id of the device for the user's notifications, 1 to 64 characters; null means that there is none. Default: an
 *   id that the client makes and keeps in `localStorage` when there is a listener for notifications; null where there
 *   is no `localStorage`. The user's next page on this device gets what the pages before have not acknowledged.
 * @property {boolean} [rejoin]
 *   Whether the client joins the room again, as a new member, if the server no longer knows the membership;
 *   default true.
 * @property {Pick<EventTarget, "addEventListener" | "removeEventListener"> | null} [events]
 *   The object that emits "online", "offline", "visibilitychange" and "pagehide"; default: `globalThis`, which is
 *   the window in a page. Null means that there is none.
 * @property {Clock} [clock] The source of time and timers; for tests.
 * @property {() => number} [random] A function that returns a number from 0 to 1, for the delays; for tests.
 */

/**
 * The default of every option of a {@link Client}.
 *
 * `WebSocket`, `device` and `events` are undefined here: a new client looks them up, so this module can be imported
 * anywhere.
 *
 * @type {Readonly<Required<Options>>}
 */
export const DEFAULTS = Object.freeze({
  auth: undefined,
  WebSocket: /** @type {any} */ (undefined),
  connectTimeout: 10_000,
  requestTimeout: 15_000,
  callTimeout: 15_000,
  leaveTimeout: 3_000,
  pingInterval: 25_000,
  pingTimeout: 10_000,
  probeTimeout: 3_000,
  minDelay: 250,
  maxDelay: 10_000,
  stableAfter: 5_000,
  maxAttempts: Infinity,
  window: 64,
  maxBuffered: 256,
  maxPayload: 1_048_576,
  device: /** @type {any} */ (undefined),
  rejoin: true,
  events: /** @type {any} */ (undefined),
  clock: Object.freeze(
    /** @type {Clock} */ ({
      now: () => performance.now(),
      setTimeout: (callback, delay) => setTimeout(callback, delay),
      clearTimeout: (timer) => clearTimeout(timer),
    }),
  ),
  random: Math.random,
});

// -- types for users

/**
 * Removes the listener or the handler that was added.
 *
 * @typedef {() => void} Off
 */

/**
 * One user in a room, with one meta for each membership of the user.
 *
 * @template [Meta=any]
 * @typedef {object} Member
 * @property {string} user
 * @property {Meta[]} metas
 */

/**
 * Why a connection or a membership ended.
 *
 * @typedef {object} Ending
 * @property {number} code A close code: RFC 6455's, or one of `CloseCode`.
 * @property {string} reason
 */

/**
 * The argument of the event "lost".
 *
 * @template [Snapshot=any]
 * @typedef {object} Loss
 * @property {Snapshot} snapshot The value that the server's `Room.snapshot` returned.
 * @property {Member[]} members The members now, if the room has presence.
 * @property {number} offset The position in the room's log: the messages that follow have greater offsets.
 * @property {{ type: string; data: any }[]} unconfirmed
 *   The messages that this `Room` object sent, and that the server may or may not have handled.
 */

/**
 * The state of a client's connection: see {@link Client}.
 *
 * @typedef {"idle" | "connecting" | "open" | "waiting" | "closed"} ClientState
 */

/**
 * The status of a membership: see {@link Room}.
 *
 * @typedef {"joined" | "away" | "resuming" | "left"} RoomStatus
 */

/**
 * A change of a room's state. Those of objects, Maps and arrays that come or go are before those of plain values, so a
 * program knows an object before the values in it.
 *
 * @typedef {object} StateChange
 * @property {any} target The object, Map or array that has changed, and is in `room.state` now.
 * @property {any} key The name of the field, the key in the Map, or the first index that has changed in the array.
 * @property {any} value The new value; undefined: the entry is gone. Of an array: the new items from that index on.
 * @property {any} former The value before; undefined: the entry is new. Of an array: the items before.
 */

/**
 * The events of a room. Use `room.onMessage` for a type of message that has the name of an event.
 *
 * @typedef {object} RoomEvents
 * @property {(changes: StateChange[]) => void} state
 *   The state of the room has changed, all at once: by one patch, or by a state that replaces it. Each `Room` object
 *   gets its first event when its listeners can be added, with all that there is.
 * @property {(members: Member[], joined: Member[], left: Member[]) => void} presence
 *   Members joined or left, or their metas changed.
 * @property {(ending: Ending) => void} reconnecting
 *   The connection is lost. The client queues what you send.
 * @property {() => void} recovered The client is in the room again and has missed nothing.
 * @property {(loss: Loss) => void} lost
 *   The client is in the room again, but may have missed messages: show the snapshot.
 * @property {(ending: Ending) => void} left The client is no longer in the room.
 * @property {(error: any) => void} error The server refused a message, or a listener or a handler threw.
 */

/**
 * The events of a client.
 *
 * @typedef {object} ClientEvents
 * @property {() => void} connected The connection is open.
 * @property {(ending: Ending & { attempt: number; delay: number }) => void} reconnecting
 *   The connection is lost. The client makes attempt number `attempt` in `delay` milliseconds.
 * @property {(ending: Ending) => void} disconnected
 *   There is no connection, and the client opens none before the next join or request.
 * @property {(bye: { code: number; retryAfter: number }) => void} bye
 *   The server will close the connection, and asks the client to wait `retryAfter` seconds.
 * @property {(milliseconds: number) => void} latency A heartbeat has measured the round-trip time.
 * @property {(type: string, data: any) => unknown} notify
 *   A notification for the user. "notify:friend" is the event of those of the type "friend", and so on.
 * @property {(count: number) => void} notifyDropped
 *   So many notifications were dropped at the server before the next one, or before now if the client has just
 *   connected: the user's queue was full, or they were too old.
 * @property {(error: any) => void} error
 *   An error that no promise reports. If there is no listener, the client writes it to the console.
 */

/**
 * A room as matchmaking lists it.
 *
 * @typedef {object} Listing
 * @property {string} room The id of the room.
 * @property {string} name The name under which the room is registered.
 * @property {number} clients The number of members.
 * @property {number} maxClients The largest number of members; 0 means no limit.
 * @property {boolean} locked Whether clients cannot join the room now, because it is full or locked.
 * @property {Record<string, any>} metadata The metadata that the room has set.
 */

/**
 * The data of a message of type `Type` according to the map `Messages`; any data if the map does not have the type.
 *
 * @template Messages
 * @template {string} Type
 * @typedef {Type extends keyof Messages ? Messages[Type] : any} Data
 */

/**
 * The types of messages in the map `Messages`, or any other string.
 *
 * @template Messages
 * @typedef {(keyof Messages & string) | (string & {})} TypeOf
 */

// -- the options

/** @internal @typedef {Readonly<Required<Options>>} Settings */

/** @internal @typedef {Socket & { bufferedAmount?: number, on?: Function, terminate?: () => void }} AnySocket */

/** The longest delay of `setTimeout` in milliseconds; with a longer one it fires at once. */
const MAX_TIME = 2 ** 31 - 1;

/** @internal @typedef {[is: (value: any) => boolean, allowed: string]} Rule */

/** @param {unknown} value @returns {value is (...args: any[]) => any} */
const isFunction = (value) => typeof value === "function";
/** @type {(from: number, to: number) => Rule} */
const isWhole = (from, to) => [
  (value) => Number.isInteger(value) && value >= from && value <= to,
  `a whole number from ${from} to ${to}`,
];
/** @type {(value: unknown) => boolean} */
const isTime = (value) => typeof value === "number" && value >= 0 && value <= MAX_TIME;
/** @type {Rule} */
const TIME = [isTime, `a number of milliseconds from 0 to ${MAX_TIME}`];
/** @type {Rule} */
const FUNCTION = [isFunction, "a function"];

/** For each option that is checked: the check, and the values that it allows, in words. @type {Record<string, Rule>} */
const ALLOWED = {
  WebSocket: [isFunction, "a class"],
  connectTimeout: [(value) => isTime(value) && value > 0, `a number of milliseconds above 0, up to ${MAX_TIME}`],
  requestTimeout: TIME,
  callTimeout: TIME,
  leaveTimeout: TIME,
  pingInterval: TIME,
  pingTimeout: TIME,
  probeTimeout: TIME,
  minDelay: TIME,
  maxDelay: TIME,
  stableAfter: TIME,
  maxAttempts: [
    (value) => value === Infinity || (Number.isInteger(value) && value >= 0),
    "a whole number, 0 or more, or Infinity",
  ],
  window: isWhole(1, 64),
  maxBuffered: isWhole(0, Number.MAX_SAFE_INTEGER),
  maxPayload: isWhole(1, Number.MAX_SAFE_INTEGER),
  device: [
    (value) => value === null || (isText(value) && value !== "" && [...value].length <= MAX_DEVICE),
    "a string of 1 to 64 characters, or null",
  ],
  rejoin: [(value) => typeof value === "boolean", "true or false"],
  events: [(value) => value === null || isFunction(value.addEventListener), "an EventTarget, or null"],
  clock: [
    (value) => ["now", "setTimeout", "clearTimeout"].every((name) => isFunction(value?.[name])),
    "an object with now(), setTimeout() and clearTimeout()",
  ],
  random: FUNCTION,
};

/** @type {(name: string, value: unknown, argument?: string) => void} */
function checkOption(name, value, argument = `option ${name}`) {
  const [is, allowed] = ALLOWED[name];
  if (!is(value)) throw new TypeError(`the ${argument} must be ${allowed}, not ${shown(value)}`);
}

/**
 * The given options and the defaults of the others; an undefined option has its default.
 *
 * @param {Record<string, any>} given
 */
function withDefaults(given) {
  /** @type {Record<string, any>} */
  const options = { ...DEFAULTS };
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(DEFAULTS, name)) throw new TypeError(`${name} is not an option of Client: see DEFAULTS`);
    const value = given[name];
    if (value === undefined) continue;
    if (Object.hasOwn(ALLOWED, name)) checkOption(name, value);
    options[name] = value;
  }
  return /** @type {Settings} */ (Object.freeze(options));
}

/** An error of a room, of the server or of this client; `code` says which. */
export class TxroomError extends Error {
  /**
   * One of {@link ErrorCode}, or a code of the room's own.
   *
   * @readonly
   * @type {ErrorCodeName | (string & {})}
   */
  code;
  /**
   * What the server adds, such as the field that is wrong; null if it adds nothing.
   *
   * @readonly
   * @type {any}
   */
  details;

  /**
   * @param {string} code @param {string} [message] @param {{ details?: unknown; cause?: unknown }} [options]
   */
  constructor(code, message = "", options = {}) {
    const { details = null, cause } = options;
    super(message || code, cause === undefined ? undefined : { cause });
    this.name = "TxroomError";
    this.code = code;
    this.details = details;
  }
}

// -- codes

const ABNORMAL = 1006;
const POLICY_VIOLATION = 1008;

/** After these codes the client does not reconnect, since the same error would happen again. */
const FINAL = new Set([1002, 1003, 1007, 1008, 1009, 1010]);
/** After 1008 with one of these reasons the client reconnects: the network was too slow for a message. */
const TOO_SLOW = new Set(["message not complete in time", "message timeout"]);

/** After this many errors "internal" in a row the client gives up, because the server will not recover. */
const MAX_INTERNAL = 5;

/**
 * How the client reacts to an error.
 *
 * @internal
 * @typedef {object} Meaning
 * @property {"retry" | "rejoin"} [fallback]
 *   What the client does if the server refuses a resume with this error: it resumes again after a delay, or joins
 *   again as another member. Without this property the membership ends.
 * @property {number} [left] The code of the event "left" if the membership ends with this error; default 4008.
 * @property {number} [refused]
 *   The close code that the client assumes if the server refused the connection with this error, and the Close frame
 *   got lost.
 */

/** The errors to which the client reacts in a special way. @type {Map<string, Meaning>} */
const ERRORS = new Map(
  Object.entries({
    noSuchRoom: { fallback: "rejoin", left: CloseCode.noSuchRoom, refused: CloseCode.noSuchRoom },
    roomGone: { fallback: "rejoin" },
    unauthorized: { fallback: "rejoin", left: CloseCode.unauthorized, refused: CloseCode.unauthorized },
    forbidden: { left: CloseCode.kicked, refused: CloseCode.unauthorized },
    timeout: { fallback: "retry" },
    rateLimited: { fallback: "retry", left: CloseCode.rateAbuse },
    unavailable: { fallback: "retry" },
    internal: { fallback: "retry" },
  }),
);

/**
 * By close code: the error with which pending requests end when the connection is closed with that code. After any
 * other code it is "unavailable".
 *
 * @type {Map<number, string>}
 */
const CLOSES = new Map([
  [CloseCode.unauthorized, "unauthorized"],
  [CloseCode.kicked, "forbidden"],
  [CloseCode.noSuchRoom, "noSuchRoom"],
  [CloseCode.roomClosed, "roomGone"],
  [CloseCode.misuse, "badRequest"],
  [CloseCode.rateAbuse, "rateLimited"],
]);

/** The error of requests that are pending when the connection ends for good. @type {(code: number) => string} */
const errorOf = (code) => CLOSES.get(code) ?? "unavailable";

/**
 * Whether a client reconnects after its socket was closed with `code` and `reason`.
 *
 * It does not reconnect after a code from 4000 to 4099, nor after the codes of RFC 6455 for errors that would
 * happen again (1002, 1003, 1007 to 1010). There is one exception: it reconnects after 1008 with the reason "message
 * not complete in time" or "message timeout", which only mean that the link is slow.
 *
 * @param {number} code @param {string} [reason] @returns {boolean}
 */
export function mayReconnect(code, reason = "") {
  return !(code >= 4000 && code <= 4099) && (!FINAL.has(code) || (code === POLICY_VIOLATION && TOO_SLOW.has(reason)));
}

/**
 * The close code for the HTTP status of a refused upgrade; undefined if the client may try again.
 *
 * @param {number} status
 */
function closeOfStatus(status) {
  if (status === 404 || status === 410) return CloseCode.noSuchRoom;
  if (status === 401 || status === 403) return CloseCode.unauthorized;
  return status >= 400 && status <= 499 && ![408, 425, 429].includes(status) ? POLICY_VIOLATION : undefined;
}

/** @type {(code: number) => boolean} */
const mayResume = (code) => code >= 4100 && code <= 4199;

// -- frames

/** The longest types and names, the longest error codes and the longest error texts, in characters. */
const MAX_TYPE = 128;
const MAX_CODE = 64;
const MAX_REASON = 1024;
/** How many levels deep data, options and filters may be nested. */
const MAX_DEPTH = 64;
/** The largest options of a join, and the largest filter, in bytes of JSON. */
const MAX_OPTIONS = 16_384;
/** The largest number of members of a room; a frame with more is refused. */
const MAX_MEMBERS = 100_000;
/** How many calls of the server the handlers may be answering at once. */
const MAX_ANSWERING = 1_000;
/** The longest id of a device, in characters. */
const MAX_DEVICE = 64;
/** For how many types of messages the client warns that there is no listener. */
const MAX_WARNED = 100;
/** How many notifications the client keeps while there is no listener; the server sends at most 64. */
const MAX_NOTIFICATIONS = 1_000;
/** The longest time, in seconds, that the server can make the client wait before it reconnects. */
const MAX_RETRY_AFTER = 3_600;

/** @internal @typedef {(value: any) => boolean} Is */

/** @type {(value: unknown) => value is string} */
const isText = (value) => typeof value === "string";
/** @type {Is} */
const isNumber = (value) => Number.isFinite(value);
/** @type {Is} */
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isAnything = () => true;
/** @param {unknown} value @returns {value is Record<string, any>} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
/** @type {Is} */
const isMembers = (value) =>
  Array.isArray(value) && value.every((one) => isObject(one) && Array.isArray(one.metas));
/** @type {(is: Is) => Is} */
const optional = (is) => (value) => value === null || value === undefined || is(value);

/**
 * What the frame `joined` says about the membership.
 *
 * @internal
 * @typedef {object} MembershipInfo
 * @property {string} [name]
 * @property {string} member
 * @property {string} token
 * @property {string} epoch
 * @property {number} offset
 * @property {number} handled
 * @property {number | null} [accepted]
 * @property {boolean} [recovered]
 * @property {Member[] | null} [members]
 * @property {number | null} [memberCount] The number of all members, if `members` is not complete.
 * @property {number | null} [membersAfter] The position after which the frame `members` lists the others.
 * @property {unknown} [snapshot]
 * @property {number | null} [stateVersion] The version of the state after what follows; null: the room has no state.
 * @property {any[] | null} [schema] The types of the state, if all of it follows.
 */

/** @type {Is} */
const isMembership = (value) =>
  isObject(value) &&
  isText(value.member) &&
  isText(value.token) &&
  isText(value.epoch) &&
  isCount(value.offset) &&
  isCount(value.handled) &&
  optional(isCount)(value.accepted) &&
  optional(isMembers)(value.members) &&
  optional(isCount)(value.memberCount) &&
  optional(isCount)(value.membersAfter) &&
  optional(isCount)(value.stateVersion);

/** The answer to the frame `members`. @type {Is} */
const isPage = (value) =>
  isObject(value) && isMembers(value.members) && isCount(value.memberCount) && isCount(value.membersAfter);

/** The frames of the server by their kinds: a check for each element after the kind. @type {Map<string, Is[]>} */
const FRAMES = new Map([
  ["joined", [optional(isCount), isText, isMembership]],
  ["msg", [isText, optional(isCount), isText, isAnything]],
  ["left", [isText, isCount, optional(isText)]],
  ["ack", [isText, isCount]],
  ["reply", [isCount, isAnything]],
  ["error", [optional(isCount), optional(isText), isText, optional(isText), isAnything]],
  ["call", [isCount, isText, isText, isAnything]],
  ["state", [isText, isCount, isText]],
  ["patch", [isText, isCount, isCount, isText]],
  ["presence", [isText, isMembers, isMembers, optional(isCount), optional(isCount)]],
  ["bye", [isCount, optional(isNumber)]],
  ["notified", [isText, isCount, optional(isCount)]],
  ["notify", [optional(isText), isCount, isText, isAnything, optional(isCount)]],
]);

/**
 * Returns the frame, or null if this version does not know its kind. Throws if the message is not a frame.
 *
 * @param {unknown} message @returns {any[] | null}
 */
function parse(message) {
  if (!isText(message)) throw new TypeError("it is not a text message");
  const frame = JSON.parse(message);
  if (!Array.isArray(frame) || !isText(frame[0])) throw new TypeError("it is not an array that begins with a string");
  const shape = FRAMES.get(frame[0]);
  if (shape === undefined) return null;
  if (!shape.every((is, index) => is(frame[index + 1]))) throw new TypeError(`an element of the frame ${shown(frame[0])} is missing or has a wrong type`);
  return frame;
}

/**
 * Why a value cannot be sent, since JSON or the server has no such value; undefined if it can be sent.
 *
 * @param {any} value @returns {string | undefined}
 */
function flawOf(value) {
  if (typeof value === "bigint") return "a BigInt, which JSON does not have";
  if (typeof value === "number") {
    if (!Number.isFinite(value)) return `${value}, which JSON does not have`;
    const isLarge = value >= 2 ** 64 || value < -(2 ** 63);
    // From 1e21 on, JSON writes an exponent, and the server reads the number as a float.
    if (isLarge && Number.isInteger(value) && Math.abs(value) < 1e21) return "a whole number of more than 64 bits";
  } else if (typeof value === "object" && value !== null) {
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return "bytes, which JSON does not have";
    if (isFunction(value.then)) return "a promise, so `await` is missing";
    if (value instanceof Map || value instanceof Set) return "a Map or a Set, which is empty in JSON";
    if (value instanceof Number) return flawOf(Number(value));
  }
  return undefined;
}

/** An escape in JSON. `JSON.stringify` escapes half a surrogate pair, but never a whole one. */
const ESCAPE = /\\(?:ud[89a-f][0-9a-f]{2}|.)/g;

/** JSON with U+FFFD instead of half surrogate pairs. @type {(json: string) => string} */
const whole = (json) => (json.includes("\\ud") ? json.replace(ESCAPE, (all) => (all.length > 2 ? "\ufffd" : all)) : json);

/** A text in JSON. @type {(text: string) => string} */
const quote = (text) => whole(JSON.stringify(text));

/**
 * Returns `data` as JSON. Undefined becomes null, and half a surrogate pair becomes U+FFFD, as in every text
 * that a browser sends. Throws a TxroomError that names the wrong place in the data.
 *
 * @param {unknown} data
 * @param {number} [outer] how many of the outer levels belong to the frame and not to the data
 */
function encode(data, outer = 0) {
  /** @type {{ value: object; key: string; holder: unknown }[]} */
  const path = []; // the containers that hold the current value, and the place of each
  /** @this {unknown} @param {string} key @param {unknown} value */
  function check(key, value) {
    while (path.length && path.at(-1)?.value !== this) path.pop();
    let flaw = flawOf(value);
    if (!flaw && typeof value === "object" && value !== null) {
      if (path.some((each) => each.value === value)) flaw = "an object that contains itself";
      else if (path.length >= MAX_DEPTH + outer) flaw = `nested more than ${MAX_DEPTH} deep`;
      else path.push({ value, key, holder: this });
    }
    if (!flaw) return value;
    const steps = [...path, { key, holder: this }].slice(1 + outer);
    const names = steps.map(({ key, holder }) => (Array.isArray(holder) ? `[${key}]` : `.${key}`));
    const field = names.join("").replace(/^\./, "");
    throw new TxroomError("invalidData", `${field || "the data"} is ${flaw}`, { details: { field } });
  }
  try {
    const text = JSON.stringify(data, check) ?? "null";
    return whole(text);
  } catch (cause) {
    if (cause instanceof TxroomError) throw cause;
    throw new TxroomError("invalidData", textOf(cause), { cause });
  }
}

/** @type {(cause: any) => string} */
const textOf = (cause) => String(cause?.message ?? cause);

/** The beginning of `text`, cut between characters. @type {(text: string, limit: number) => string} */
const cut = (text, limit) => (text.length > limit ? text.slice(0, limit).replace(/[\ud800-\udbff]$/, "") : text);

/** A value as it is shown in an error message. @param {unknown} value @returns {string} */
function shown(value) {
  if (isText(value)) return JSON.stringify(cut(value, 60));
  if (isFunction(value)) return "a function";
  if (Array.isArray(value)) return "an array";
  return isObject(value) ? "an object" : String(value);
}

/**
 * Whether `value` is a string of 1 to `MAX_TYPE` characters, as types and names must be.
 *
 * @param {unknown} value @returns {value is string}
 */
const isName = (value) => isText(value) && value !== "" && (value.length <= MAX_TYPE || [...value].length <= MAX_TYPE);

/**
 * Whether `text` has more than `limit` bytes in UTF-8. They are counted only if the length of the text leaves it open.
 *
 * @param {string} text @param {number} limit
 */
function isLonger(text, limit) {
  return text.length > limit || (text.length * 3 > limit && new TextEncoder().encode(text).length > limit);
}

/** @param {string} text @param {number} limit */
function checkLength(text, limit) {
  if (isLonger(text, limit)) throw new TxroomError("invalidData", `the frame is larger than ${limit} bytes`);
}

const ignore = () => {};

/**
 * Starts a timer; a delay that is too long for `setTimeout` is shortened.
 *
 * @type {(settings: { clock: Clock }, callback: () => void, delay: number) => any}
 */
const later = ({ clock }, callback, delay) => clock.setTimeout(callback, Math.min(delay, MAX_TIME));

// -- resuming for another page

/** A page that resumes for another one takes its refs from the next multiple of this number. */
const REFS = 1_000_000;

/** Reads a `room.reconnectionToken`. Throws a TxroomError for any other text. @param {string} text */
function readToken(text) {
  try {
    const { room, token, ref, method, target, options } = JSON.parse(text);
    const isWhole = [room, token, target].every(isText) && isCount(ref) && isObject(options);
    if (!isWhole || !Object.hasOwn(JOIN_FRAMES, method)) throw new TypeError("a part is missing");
    return { room, token, ref, joinRequest: { method, target, options } };
  } catch (cause) {
    throw new TxroomError("badRequest", "the token must be the reconnectionToken of a room", { cause });
  }
}

// -- events

/** @internal @typedef {((...args: any[]) => any) & { listener?: Listener }} Listener */

/** Keeps listeners by the names of events, and calls them. Passes what they throw to `report`. */
class Emitter {
  #report;
  /** @type {Map<string, Listener[]>} */
  #listeners = new Map();

  /** @param {(error: any) => void} report */
  constructor(report) {
    this.#report = report;
  }

  /**
   * Calls `listener` at each event of that name. Returns a function that removes the listener.
   *
   * @param {string} name @param {Listener} listener
   */
  on(name, listener) {
    if (!isFunction(listener)) throw new TypeError(`the listener for ${String(name)} must be a function, not ${shown(listener)}`);
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
    return () => this.off(name, listener);
  }

  /** Like `on`, but only for the next event. @param {string} name @param {Listener} listener */
  once(name, listener) {
    if (!isFunction(listener)) return this.on(name, listener); // throws
    /** @type {Listener} */
    const first = (...args) => {
      off();
      return listener(...args);
    };
    first.listener = listener;
    const off = this.on(name, first);
    return off;
  }

  /**
   * Removes a listener that `on` or `once` added; without `listener`, removes all listeners of that name.
   *
   * @param {string} name @param {Listener} [listener]
   */
  off(name, listener) {
    /** @type {(one: Listener) => boolean} */
    const isOther = (one) => one !== listener && one.listener !== listener;
    const left = listener === undefined ? [] : (this.#listeners.get(name) ?? []).filter(isOther);
    if (left.length) this.#listeners.set(name, left);
    else this.#listeners.delete(name);
  }

  /** Whether the event has a listener. @param {string} name */
  has(name) {
    return this.#listeners.has(name);
  }

  /** Whether an event whose name begins with `prefix` has a listener. @param {string} prefix */
  hasAny(prefix) {
    return [...this.#listeners.keys()].some((name) => name.startsWith(prefix));
  }

  /** Calls the listeners of an event. Returns whether there were any. @param {string} name @param {any[]} args */
  emit(name, ...args) {
    const isHeard = this.has(name);
    this.call(name, ...args);
    return isHeard;
  }

  /**
   * Calls the listeners of an event. Returns a promise for each listener that has returned one; it resolves when the
   * listener has ended.
   *
   * @param {string} name @param {any[]} args
   */
  call(name, ...args) {
    /** @type {Promise<void>[]} */
    const promises = [];
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        const result = listener(...args);
        if (isFunction(result?.then)) {
          promises.push(result.then(ignore, (/** @type {unknown} */ error) => this.#failed(name, error)));
        }
      } catch (error) {
        this.#failed(name, error);
      }
    }
    return promises;
  }

  /** @param {string} name @param {unknown} error */
  #failed(name, error) {
    if (name === "error") console.error(error);
    else this.#report(error);
  }
}

// -- notifications

/** The event that has all notifications, and the beginning of the names of the events for one type. */
const NOTIFY = "notify";
const NOTIFY_TYPE = "notify:";
/** Where the id of the device is in `localStorage`. */
const DEVICE_KEY = "txroom.device";
/** The client acknowledges this many notifications at once, and fewer after this many milliseconds. */
const ACK_COUNT = 32;
const ACK_DELAY = 50;

/** The id of this device, which all pages of this origin use; null if it can't be kept. */
function deviceHere() {
  try {
    const known = globalThis.localStorage.getItem(DEVICE_KEY);
    if (known) return cut(known, MAX_DEVICE);
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const made = btoa(String.fromCharCode(...bytes)).replace(/[+/]/g, (sign) => (sign === "+" ? "-" : "_")).slice(0, 22);
    globalThis.localStorage.setItem(DEVICE_KEY, made);
    return made;
  } catch {
    return null; // there is no storage here, or the user does not allow it
  }
}

/**
 * A position in the notifications of the user. Numbers of different epochs can't be compared.
 *
 * @internal
 * @typedef {object} Position
 * @property {string | null} epoch
 * @property {number} n
 */

/** Whether a position is `other`, or before it in the same epoch. @param {Position} position @param {Position} other */
const isUpTo = (position, other) => position.epoch === other.epoch && position.n <= other.n;

/**
 * A notification whose listeners have not ended, or those of an earlier one.
 *
 * @internal
 * @typedef {object} Notification
 * @property {Position} position What is done when it and all before it are.
 * @property {string} type
 * @property {unknown} data
 * @property {number} dropped How many notifications before it are lost.
 * @property {boolean} isTold Whether the listeners were called.
 * @property {boolean} isDone Whether the listeners have ended.
 */

/**
 * The user's notifications: asks for them, passes them to the listeners, and acknowledges them.
 *
 * A notification is acknowledged when it and all before it were passed to the listeners, and the promises that these
 * have returned are settled. If there is no listener, those that have arrived wait for one, and the server keeps the
 * others. What the answer to the subscription says is dropped is acknowledged when it was told.
 *
 * After a reconnection the server sends again what was not done when the client subscribed. Of this, the client passes on
 * what it has not passed on before, and acknowledges everything when it is done.
 */
class Notifications {
  #settings;
  #events;
  #write;
  /** Whether the client has subscribed over this connection. */
  #isSubscribed = false;
  /** All up to here have arrived. @type {Position} */
  #arrived = { epoch: null, n: 0 };
  /** All up to here are done. @type {Position} */
  #done = { epoch: null, n: 0 };
  /** Those that have arrived and are not done, or were not told yet. @type {Notification[]} */
  #queue = [];
  #isTelling = false;
  /** What was done when the client subscribed over this connection. @type {Position} */
  #asked = { epoch: null, n: 0 };
  /** The last that has come over this connection. @type {Position} */
  #last = { epoch: null, n: 0 };
  /** Those that have come over this connection and are not done, in order. @type {Position[]} */
  #sent = [];
  /** How many have come over this connection, are done and not acknowledged. */
  #dueCount = 0;
  /** The last of them. @type {Position} */
  #due = { epoch: null, n: 0 };
  /** @type {unknown} */
  #timer;
  /** @type {string | null | undefined} */
  #device;
  /** The types for which there was a warning. @type {Set<string>} */
  #warned = new Set();

  /** @param {Settings} settings @param {Emitter} events @param {(text: string) => void} write */
  constructor(settings, events, write) {
    this.#settings = settings;
    this.#events = events;
    this.#write = write;
    this.#device = settings.device;
  }

  /** Whether there is a listener. */
  get isWanted() {
    return this.#events.has(NOTIFY) || this.#events.hasAny(NOTIFY_TYPE);
  }

  /** The connection is open. The server sends again what the client has not acknowledged. */
  opened() {
    this.lost();
    this.#queue = this.#queue.filter(({ isTold }) => isTold);
    this.#arrived = this.#queue.at(-1)?.position ?? this.#done;
    this.subscribe();
  }

  /** The connection is lost. The next one has to bring again what is to be acknowledged over it. */
  lost() {
    this.#isSubscribed = false;
    this.#sent = [];
    this.#dueCount = 0;
    this.#settings.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** If there is a listener, asks for the notifications, and passes it those that have arrived before it was added. */
  subscribe() {
    if (!this.isWanted) return;
    if (this.#isSubscribed) return this.#tell();
    if (this.#device === undefined) this.#device = deviceHere();
    this.#isSubscribed = true;
    this.#asked = this.#done;
    this.#acknowledge(this.#asked);
  }

  /** The server has answered the subscription. @param {any[]} frame */
  subscribed([, epoch, n, dropped]) {
    const position = { epoch, n };
    const missed = this.#missed({ epoch, n: n + 1 }, dropped);
    const isBack = epoch === this.#asked.epoch && n < this.#asked.n;
    this.#last = position;
    if (isBack || !isUpTo(position, this.#arrived)) {
      this.#arrived = this.#done = position;
      this.#queue = [];
    } else this.#goOn(position);
    if (dropped) this.#sent.push(position);
    if (missed) this.#events.emit("notifyDropped", missed);
    this.#acknowledgeSoon(); // what is dropped too, else the next page of the user is told it again
  }

  /** What comes after the position has arrived already, if not all of it. It may be done meanwhile. @param {Position} position */
  #goOn(position) {
    for (const one of this.#queue) {
      if (one.position.epoch !== position.epoch) one.position = position; // it has a number of the new epoch, too
    }
    if (!isUpTo(position, this.#done)) this.#done = position;
  }

  /** A notification has arrived. @param {any[]} frame */
  receive([, epoch, n, type, data, dropped]) {
    const position = { epoch: epoch ?? null, n };
    if (position.epoch === null) {
      if (this.isWanted) this.#call(type, data); // it was not queued
      return;
    }
    if (isUpTo(position, this.#last)) return;
    this.#last = position;
    this.#sent.push(position);
    if (isUpTo(position, this.#arrived)) return this.#acknowledgeSoon();
    if (this.#queue.length >= MAX_NOTIFICATIONS) throw new TypeError("more notifications than the client has asked for");
    this.#queue.push({ position, type, data, dropped: this.#missed(position, dropped), isTold: false, isDone: false });
    this.#arrived = position;
    this.#tell();
  }

  /**
   * How many of those that the server has dropped before a position have not arrived: it counts from what is done.
   *
   * @param {Position} position @param {number | null} [dropped]
   */
  #missed({ epoch, n }, dropped) {
    const most = epoch === this.#arrived.epoch ? Math.max(0, n - this.#arrived.n - 1) : Infinity;
    return Math.min(dropped ?? 0, most);
  }

  /** Acknowledges all up to a position. The first time on a connection, this is the subscription. @param {Position} position */
  #acknowledge({ epoch, n }) {
    this.#settings.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#dueCount = 0;
    this.#write(encode([NOTIFY, this.#device, epoch, n], 1));
  }

  /** Acknowledges what is done, now, unless it is acknowledged already. */
  flush() {
    if (this.#dueCount) this.#acknowledge(this.#due);
  }

  /** Passes the notifications that have arrived to the listeners. */
  #tell() {
    if (this.#isTelling) return; // a listener has added a listener
    this.#isTelling = true;
    for (let one = this.#next(); one && this.isWanted && this.#isSubscribed; one = this.#next()) {
      const told = one;
      told.isTold = true;
      if (told.dropped) this.#events.emit("notifyDropped", told.dropped);
      const promises = this.#call(told.type, told.data);
      if (promises.length) void Promise.all(promises).then(() => this.#ended(told));
      else this.#ended(told);
    }
    this.#isTelling = false;
  }

  #next() {
    return this.#queue.find(({ isTold }) => !isTold);
  }

  /** @param {string} type @param {unknown} data */
  #call(type, data) {
    const isHeard = this.#events.has(NOTIFY_TYPE + type) || this.#events.has(NOTIFY);
    if (!isHeard) this.#warn(type);
    return [...this.#events.call(NOTIFY_TYPE + type, data), ...this.#events.call(NOTIFY, type, data)];
  }

  /** The listeners of a notification have ended. @param {Notification} one */
  #ended(one) {
    one.isDone = true;
    for (let first = this.#queue[0]; first?.isDone; first = this.#queue[0]) {
      this.#queue.shift();
      if (!isUpTo(first.position, this.#done)) this.#done = first.position;
      this.#settle();
    }
    this.#acknowledgeSoon();
  }

  /** Takes what is done from that which has come over this connection. */
  #settle() {
    while (this.#sent.length && isUpTo(this.#sent[0], this.#done)) {
      this.#due = /** @type {Position} */ (this.#sent.shift());
      this.#dueCount++;
    }
  }

  /** Acknowledges what has come over this connection and is done: now if it is much, else soon, with what follows. */
  #acknowledgeSoon() {
    this.#settle();
    if (!this.#dueCount || !this.#isSubscribed) return;
    if (this.#dueCount >= ACK_COUNT) this.flush();
    else this.#timer ??= later(this.#settings, () => this.flush(), ACK_DELAY);
  }

  /** Warns, once for each type, that a notification of that type has no listener. @param {string} type */
  #warn(type) {
    if (this.#warned.has(type) || this.#warned.size >= MAX_WARNED) return;
    this.#warned.add(type);
    const name = shown(NOTIFY_TYPE + type);
    console.warn(`txroom: a notification of the type ${shown(type)} has no listener: add one with client.on(${name}, …)`);
  }
}

// -- the queue of what a room sends

/**
 * A message or a call that the server has to handle.
 *
 * @internal
 * @typedef {object} Pending
 * @property {Room} room The room object that sends it.
 * @property {"send" | "call"} kind
 * @property {string} type
 * @property {string} data The data, as JSON.
 * @property {number} [n] The number of the frame, assigned when it is sent.
 * @property {number} [ref] The ref of a call, which its answer carries.
 * @property {boolean} [isAwaited] Whether the answer of a call is still awaited.
 * @property {boolean} [isAnswered]
 * @property {() => void} acknowledged
 * @property {(error: unknown) => void} fail
 */

/** @internal @typedef {Pending & { n: number }} Numbered */

/**
 * The messages and calls of one membership: those that are waiting, and those that were sent.
 *
 * The frames have the numbers 1, 2 and so on. Each gets its number when it is sent, and keeps it. The queue
 * forgets a message when the server has acknowledged it. It forgets a call when the server has acknowledged it, and
 * has answered it or nothing awaits the answer any more. Therefore the frames that were sent and are not
 * acknowledged have consecutive numbers.
 */
class SendQueue {
  #window;
  /** @type {Pending[]} */
  #waiting = [];
  /** @type {Numbered[]} */
  #held = [];
  #last = 0;
  #acknowledged = 0;
  /** The last number that an earlier page of the same membership has used. */
  #base = 0;

  /** @param {number} window */
  constructor(window) {
    this.#window = window;
  }

  get waiting() {
    return this.#waiting.length;
  }

  /** The number of the last frame, also if it is waiting. */
  get last() {
    return this.#last + this.#waiting.length;
  }

  get acknowledged() {
    return this.#acknowledged;
  }

  /** The types of the messages that were sent and are not acknowledged. */
  get sentTypes() {
    return this.#held.filter(({ kind, n }) => kind === "send" && n > this.#acknowledged).map(({ type }) => type);
  }

  /** @param {Pending} pending */
  add(pending) {
    this.#waiting.push(pending);
  }

  /**
   * Numbers and returns the next frame to send; undefined if none is waiting or the window is full.
   *
   * The window begins at the oldest frame that is held. The server keeps the answers to as many frames as the
   * window has, so it still has the answer to that frame if the client must send it again.
   */
  next() {
    const done = this.#held.length ? Math.min(this.#acknowledged, this.#held[0].n - 1) : this.#acknowledged;
    if (!this.#waiting.length || this.#last >= done + this.#window) return undefined;
    const pending = /** @type {Numbered} */ (this.#waiting.shift());
    pending.n = ++this.#last;
    this.#held.push(pending);
    return pending;
  }

  /** The server has handled all frames up to `n`. Returns whether that many were sent. @param {number} n */
  acknowledge(n) {
    if (n > this.#last) return false;
    this.#acknowledged = Math.max(this.#acknowledged, n);
    this.#forget();
    return true;
  }

  /** A call was answered. @param {Pending} pending */
  answered(pending) {
    pending.isAnswered = true;
    pending.isAwaited = false;
    this.#forget();
  }

  /** The answer is no longer awaited. @param {Pending} pending */
  abandon(pending) {
    pending.isAwaited = false;
    if (pending.n === undefined) this.#waiting = this.#waiting.filter((other) => other !== pending);
    else this.#forget();
  }

  /**
   * The server has resumed this membership: it has accepted and handled that many frames.
   *
   * Returns the frames to send again, in order, or null if the counts are not of this page.
   *
   * @param {number} handled @param {number} accepted
   */
  resume(handled, accepted) {
    if (handled < this.#acknowledged || handled > this.#last || accepted < this.#base) return null;
    this.acknowledge(handled);
    return [...this.#held];
  }

  /**
   * A new membership begins, or one of which this page does not know the beginning.
   *
   * Returns the sent frames that may or may not have been handled.
   *
   * @param {number} handled @param {number} accepted
   */
  restart(handled, accepted) {
    const unconfirmed = this.#held.filter((pending) => !pending.isAnswered);
    this.#held = [];
    this.#acknowledged = handled;
    this.#last = this.#base = accepted;
    return unconfirmed;
  }

  /** Removes and returns all frames. */
  clear() {
    const all = [...this.#held, ...this.#waiting];
    this.#waiting = [];
    this.#held = [];
    return all;
  }

  #forget() {
    const kept = [];
    for (const pending of this.#held) {
      if (pending.n > this.#acknowledged || pending.isAwaited) kept.push(pending);
      else pending.acknowledged();
    }
    this.#held = kept;
  }
}

// -- the state of a room

/** What kind of container a value is; 0: none. @param {unknown} value */
const kindOf = (value) => (value instanceof Map ? 1 : Array.isArray(value) ? 2 : isObject(value) ? 3 : 0);

/** What stands for the container or value `fresh` if `old` may stay. @param {any} old @param {any} fresh */
const kept = (old, fresh) => (kindOf(fresh) && kindOf(old) === kindOf(fresh) ? old : fresh);

/**
 * Returns `old` made equal to `fresh`, and the changes of it. Objects, Maps and arrays that have the same places in both
 * stay as they are; `now` has for each of `fresh` what is in its place. Without `old`, everything has changed.
 *
 * @param {any} old @param {any} fresh @param {StateChange[]} [changes] @param {Map<any, any>} [now]
 */
function merged(old, fresh, changes = [], now = new Map()) {
  if (now.has(fresh)) throw new TypeError("a part of the state has two places");
  const target = kept(old, fresh);
  const isNew = target !== old;
  now.set(fresh, target);
  /** @param {any} value @param {any} item */
  const descend = (value, item) => {
    if (kindOf(item)) merged(value === item ? undefined : value, item, changes, now);
  };
  if (Array.isArray(fresh)) {
    const items = [...fresh];
    const former = isNew ? [] : [...target];
    const value = items.map((item, at) => kept(former[at], item));
    if (value.length !== former.length || value.some((one, at) => one !== former[at])) {
      changes.push({ target, key: 0, value, former });
      splice(target, 0, target.length, value);
    }
    items.forEach((item, at) => descend(value[at], item));
  } else {
    const isMap = fresh instanceof Map;
    /** @type {Map<string, any>} */
    const entries = new Map(isMap ? fresh : Object.entries(fresh));
    const before = new Map(isNew ? [] : isMap ? target : Object.entries(target));
    if (isMap) target.clear(); // the order is that of the server
    for (const [key, former] of before) {
      if (entries.has(key)) continue;
      changes.push({ target, key, value: undefined, former });
      if (!isMap) delete target[key];
    }
    for (const [key, item] of entries) {
      const former = before.get(key);
      const value = kept(former, item);
      if (value !== former) changes.push({ target, key, value, former });
      if (isMap) target.set(key, value);
      else target[key] = value;
      descend(value, item);
    }
  }
  return { state: target, changes, now };
}

/** Replaces `count` items of an array. @param {any[]} target @param {number} at @param {number} count @param {any[]} items */
function splice(target, at, count, items) {
  const rest = target.slice(at + count);
  target.length = at;
  for (const part of [items, rest]) for (const item of part) target.push(item);
}

/** The sections of the data of states. */
const [ROWS, WIDE_ROWS, MAKE, PUT, GONE, SPLICE, EMPTY, REMOVED, FULL, HASH] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/** The types of values that DataView reads: the ends of the names of its methods. @type {Record<string, string>} */
const FIXED = {
  int8: "Int8",
  uint8: "Uint8",
  int16: "Int16",
  uint16: "Uint16",
  int32: "Int32",
  uint32: "Uint32",
  int64: "BigInt64",
  uint64: "BigUint64",
  float32: "Float32",
  float64: "Float64",
  float: "Float64",
};

/** @internal @typedef {{ name: string, read: () => any, first: null | undefined }} StateField */
/** @internal @typedef {{ kind: "object" | "map" | "list", fields: StateField[], read: () => any }} StateClass */

const utf8 = new TextDecoder();

/** The bytes that a text in base64 stands for. @param {string} text */
function bytesOf(text) {
  const chars = atob(text);
  const bytes = new Uint8Array(chars.length);
  for (let at = 0; at < chars.length; at++) bytes[at] = chars.charCodeAt(at);
  return bytes;
}

/** @param {boolean} isRight */
function check(isRight) {
  if (!isRight) throw new TypeError("the data of the state is malformed");
}

/**
 * A copy of the state of a room, which follows the patches of the server. The specification of the protocol has the
 * format.
 *
 * The methods throw if the data is malformed. Then `version` is null, and only a whole state helps.
 */
class StateReader {
  /** @type {any} */
  root;
  /** @type {number | null} */
  version = null;
  /** @type {StateClass[]} */
  #classes;
  /** The objects, Maps and arrays by their numbers; the root is 0. @type {Map<number, { value: any, cls: StateClass }>} */
  #parts = new Map();
  #view = /** @type {DataView} */ (new DataView(new ArrayBuffer(0)));
  #at = 0;
  #isHeard = false;
  /** What has changed: first what holds something, so that a program knows an object before the values in it. */
  #changes = /** @type {StateChange[][]} */ ([]);

  /** @param {any[]} schema @param {any} former the state before, whose objects are kept as far as possible; or null */
  constructor(schema, former) {
    this.root = former;
    this.#classes = schema.map(([kind, item, fields]) => ({
      kind,
      read: fields ? ignore : this.#reader(item),
      fields: fields?.map((/** @type {any[]} */ [name, type, isPrivate]) => ({
        name,
        read: this.#reader(type),
        first: isPrivate && schema[type][0] === "object" ? null : undefined, // null: it may be hidden
      })),
    }));
  }

  /**
   * Takes the whole state. Returns what has changed.
   *
   * @param {number} version @param {Uint8Array} bytes @returns {StateChange[]}
   */
  replace(version, bytes) {
    check(bytes[0] === FULL);
    this.#parts = new Map();
    this.#read(version, bytes.subarray(1), false);
    const { state, changes, now } = merged(this.root, this.#part(0).value);
    for (const part of this.#parts.values()) part.value = now.get(part.value) ?? part.value;
    this.root = state;
    return changes;
  }

  /**
   * Takes a patch. Returns what has changed, if that is wanted.
   *
   * @param {number} version @param {Uint8Array} bytes @param {boolean} isHeard @returns {StateChange[]}
   */
  patch(version, bytes, isHeard) {
    this.#read(version, bytes, isHeard);
    return this.#changes.flat();
  }

  /** @param {number} version @param {Uint8Array} bytes @param {boolean} isHeard */
  #read(version, bytes, isHeard) {
    this.version = null;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#at = 0;
    this.#isHeard = isHeard;
    this.#changes = [[], []];
    while (this.#at < bytes.length) this.#section(this.#byte());
    this.version = version;
  }

  /** @param {number} kind */
  #section(kind) {
    if (kind === ROWS || kind === WIDE_ROWS) this.#rows(this.#reader(kind === ROWS ? "uint16" : "uint32"));
    else if (kind === HASH) this.#reader("uint32")();
    else if (kind === REMOVED) this.#each(() => this.#parts.delete(this.#number()));
    else if (kind === MAKE) {
      const cls = this.#classes[this.#number()];
      let id = this.#number();
      this.#each(() => this.#parts.set(id++, { cls, value: made(cls) }));
    } else {
      const { value, cls } = this.#part(this.#number());
      if (kind === EMPTY && cls.kind === "list") this.#splice(value, 0, value.length, []);
      else if (kind === EMPTY) for (const key of value.keys()) this.#put(value, key);
      else if (kind === SPLICE) this.#splice(value, this.#number(), this.#number(), this.#each(cls.read));
      else {
        check(kind === PUT || kind === GONE);
        this.#each(() => this.#put(value, this.#text(), kind === PUT ? cls.read() : undefined));
      }
    }
  }

  /** Changes the same fields of some objects. @param {() => number} readId */
  #rows(readId) {
    const cls = this.#classes[this.#number()];
    /** @type {StateField[]} */
    const fields = [];
    for (let index = 0, byte = 128; byte > 127; index += 7) {
      byte = this.#byte();
      for (let bit = 0; bit < 7; bit++) if ((byte >> bit) & 1) fields.push(cls.fields[index + bit]);
    }
    const base = this.#number();
    this.#each(() => {
      const { value: object, cls: own } = this.#part(base + readId());
      check(own === cls);
      for (const { name, read } of fields) {
        const former = object[name];
        object[name] = read();
        this.#tell(object, name, object[name], former);
      }
    });
  }

  /** Changes an entry of a Map; undefined removes it. @param {Map<string, any>} map @param {string} key @param {any} [value] */
  #put(map, key, value) {
    this.#tell(map, key, value, map.get(key));
    if (value === undefined) map.delete(key);
    else map.set(key, value);
  }

  /** Replaces items of an array. @param {any[]} array @param {number} at @param {number} count @param {any[]} items */
  #splice(array, at, count, items) {
    check(at + count <= array.length);
    this.#tell(array, at, items, array.slice(at, at + count));
    splice(array, at, count, items);
  }

  /** @param {any} target @param {any} key @param {any} value @param {any} former */
  #tell(target, key, value, former) {
    if (!this.#isHeard || value === former) return;
    this.#changes[kindOf(value) || kindOf(former) ? 0 : 1].push({ target, key, value, former });
  }

  /** The object, Map or array with a number. @param {number} id */
  #part(id) {
    const part = this.#parts.get(id);
    if (part === undefined) throw new TypeError("a part that the state does not have");
    return part;
  }

  // -- values

  /** The function that reads the values of a type. @param {any} type @returns {() => any} */
  #reader(type) {
    if (type === "str") return () => this.#text();
    if (type === "int") return () => this.#integer();
    if (type === "bool") return () => this.#byte() === 1;
    if (Object.hasOwn(FIXED, type)) {
      const read = /** @type {"getInt16"} */ (`get${FIXED[type]}`);
      const size = parseInt(FIXED[type].replace(/\D+/, "")) / 8;
      return () => this.#view[read]((this.#at += size) - size, true); // throws behind the end
    }
    if (isNumber(type)) {
      return () => {
        const id = this.#number();
        return id ? this.#part(id - 1).value : null;
      };
    }
    const [kind, least, most, bits] = type;
    check(kind === "optional" || kind === "quantized");
    const read = this.#reader(kind === "optional" ? least : `uint${bits}`);
    return kind === "optional" ? () => (this.#byte() ? read() : null) : () => least + (read() / (2 ** bits - 1)) * (most - least);
  }

  #byte() {
    return this.#view.getUint8(this.#at++); // throws behind the end
  }

  /** A number from 0 on, in groups of 7 bits, the lowest first. */
  #number() {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      check(scale < 2 ** 50); // 53 bits in 8 bytes
      const byte = this.#byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  /**
   * Reads how many parts follow, and each of them. A part has at least one byte, or is needed by one that follows.
   *
   * @param {() => any} read
   */
  #each(read) {
    const count = this.#number();
    check(count <= this.#view.byteLength - this.#at);
    const items = [];
    while (items.length < count) items.push(read());
    return items;
  }

  /** 0, -1, 1, -2, … are 0, 1, 2, 3, …; without the lowest bit, all fit into a number of JavaScript. */
  #integer() {
    const first = this.#byte();
    const half = ((first & 127) >> 1) + (first > 127 ? this.#number() * 64 : 0);
    return first & 1 ? -half - 1 : half;
  }

  #text() {
    const size = this.#number();
    const bytes = new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.#at, size); // throws behind the end
    this.#at += size;
    return utf8.decode(bytes);
  }
}

/** An empty Map or array, or an object whose fields are not known yet. @param {StateClass} cls */
function made({ kind, fields }) {
  if (kind === "map") return new Map();
  if (kind === "list") return [];
  return Object.fromEntries(fields.map(({ name, first }) => [name, first]));
}

// -- rooms

/** The events of a room. `room.on` takes these names and types of messages. */
const ROOM_EVENTS = new Set(["state", "presence", "reconnecting", "recovered", "lost", "left", "error"]);

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
 *
 * @template {object} [Messages=any]
 * @template [State=any]
 */
export class Room {
  #client;
  #membership;
  #events = new Emitter((error) => this._report(error));
  #messages = new Emitter((error) => this._report(error));
  /** @type {Map<string, (data: any) => unknown>} */
  #handlers = new Map();
  /**
   * The events that occur before the code that awaits the join can add listeners; null afterwards.
   *
   * @type {(() => void)[] | null}
   */
  #held = [];
  #isLeft = false;
  /** @type {Promise<void> | null} */
  #leaving = null;

  /**
   * You cannot create a room object yourself: `client.join` and similar methods do.
   *
   * @private
   * @param {Client} client
   * @param {Membership} membership
   */
  constructor(client, membership) {
    this.#client = client;
    this.#membership = membership;
  }

  /** The id of the room. It changes if the client has to join another room after a loss. @returns {string} */
  get id() {
    return this.#membership.id;
  }

  /** The name under which the room is registered. @returns {string} */
  get name() {
    return this.#membership.name;
  }

  /** The id of this membership. @returns {string} */
  get member() {
    return this.#membership.member;
  }

  /**
   * What the server's `Room.snapshot` returned at the last join or, if the room has emitted "lost" since, the snapshot
   * that came with it.
   *
   * @returns {any}
   */
  get snapshot() {
    return this.#membership.snapshot;
  }

  /** The client that joined the room. @returns {Client} */
  get client() {
    return this.#client;
  }

  /**
   * The state that the room declares: an object whose fields have numbers, texts, booleans, null, objects, Maps and
   * arrays as values; null if the room has no state. Don't change it: the next patch expects it as it is.
   *
   * It is there when the join has succeeded, and changes when the room emits "state". Integers of the types `Int64` and
   * `Uint64` are BigInts. After a lost connection the objects, Maps and arrays are the same as before, as far as they
   * have the same places in the state.
   *
   * @returns {State}
   */
  get state() {
    return this.#membership.state;
  }

  /**
   * The version of the state; null if there is none. The server counts it up with each patch, and sends no patch if
   * nothing has changed.
   *
   * @returns {number | null}
   */
  get stateVersion() {
    return this.#membership.stateVersion;
  }

  /** When the last change of the state has arrived, by the clock of the client: `performance.now()`. @returns {number} */
  get stateTime() {
    return this.#membership.stateTime;
  }

  /**
   * The number of the last message or call that was sent to this membership, or is queued for it. The numbers count
   * from 1, without volatile messages.
   *
   * @returns {number}
   */
  get sent() {
    return this.#membership.sent;
  }

  /**
   * The number of the last message or call that the server has handled. At the event "state", the state has the effects
   * of all messages up to this one, and of none behind it, if their handlers change the state before they await
   * anything: apply the inputs behind it again to what the server says. After "lost" the numbers may begin anew.
   *
   * @returns {number}
   */
  get handled() {
    return this.#membership.handled;
  }

  /** The status of the membership, see above. @returns {RoomStatus} */
  get status() {
    return this.#isLeft ? "left" : this.#membership.status;
  }

  /** The offset of the last message received. @returns {number} */
  get offset() {
    return this.#membership.offset;
  }

  /** The id of the log to which the offset belongs. A room that is created again has another one. @returns {string} */
  get epoch() {
    return this.#membership.epoch;
  }

  /**
   * The users in the room, each with one meta for each of the user's memberships, if the room has presence.
   *
   * In a room with more than `presenceLimit` members the list is not complete: it has the members that the server
   * has sent, and those that `fetchMembers` has fetched. `memberCount` is the number of all members.
   *
   * @returns {Member[]}
   */
  get members() {
    return this.#membership.members;
  }

  /**
   * The number of all memberships in the room, if it has presence. A user with two memberships counts twice.
   *
   * @returns {number}
   */
  get memberCount() {
    return this.#membership.memberCount;
  }

  /**
   * The token with which `client.resume` continues this membership, also in the next page.
   *
   * It is null after the client has left the room. It changes with every connection, so read it when you need it, for
   * instance on "pagehide". Keep it secret: anybody who has it can take over the membership. It contains the options
   * of the join, except `auth` and `seat`.
   *
   * @returns {string | null}
   */
  get reconnectionToken() {
    return this.#isLeft ? null : this.#membership.reconnectionToken;
  }

  /** How many frames are queued because the room is away or its window is full. @returns {number} */
  get buffered() {
    return this.#membership.buffered;
  }

  /**
   * Calls `listener` at one of the room's events, see {@link RoomEvents}. Returns a function that removes it.
   *
   * @template {keyof RoomEvents} Name
   * @overload
   * @param {Name} name
   * @param {RoomEvents[Name]} listener
   * @returns {Off}
   */
  /**
   * Calls `listener` for messages of that type, with the data and the offset, which is null for volatile ones.
   * Returns a function that removes the listener.
   *
   * @template {TypeOf<Messages>} Type
   * @overload
   * @param {Type} type
   * @param {(data: Data<Messages, Type>, offset: number | null) => void} listener
   * @returns {Off}
   */
  /** @param {string} name @param {Listener} listener @returns {Off} */
  on(name, listener) {
    return this.#emitterOf(name).on(name, listener);
  }

  /**
   * Calls `listener` only at the next event of that name.
   *
   * @template {keyof RoomEvents} Name
   * @overload
   * @param {Name} name
   * @param {RoomEvents[Name]} listener
   * @returns {Off}
   */
  /**
   * Calls `listener` only for the next message of that type.
   *
   * @template {TypeOf<Messages>} Type
   * @overload
   * @param {Type} type
   * @param {(data: Data<Messages, Type>, offset: number | null) => void} listener
   * @returns {Off}
   */
  /** @param {string} name @param {Listener} listener @returns {Off} */
  once(name, listener) {
    return this.#emitterOf(name).once(name, listener);
  }

  /**
   * Removes a listener that `on` or `once` added; without `listener`, removes all listeners of that name.
   *
   * @param {string} name @param {(...args: any[]) => void} [listener] @returns {void}
   */
  off(name, listener) {
    this.#emitterOf(name).off(name, listener);
  }

  /**
   * Calls `listener(type, data, offset)` for messages whose type has no listener.
   *
   * @overload
   * @param {"*"} type
   * @param {(type: string, data: any, offset: number | null) => void} listener
   * @returns {Off}
   */
  /**
   * Calls `listener(data, offset)` for messages of that type, even if it is the name of an event.
   *
   * @template {TypeOf<Messages>} Type
   * @overload
   * @param {Type} type
   * @param {(data: Data<Messages, Type>, offset: number | null) => void} listener
   * @returns {Off}
   */
  /** @param {string} type @param {Listener} listener @returns {Off} */
  onMessage(type, listener) {
    return this.#messages.on(type, listener);
  }

  /**
   * Calls `listener(members, joined, left)` when members have joined or left, or their metas have changed.
   *
   * @param {RoomEvents["presence"]} listener @returns {Off}
   */
  onPresence(listener) {
    return this.on("presence", listener);
  }

  /**
   * Fetches the next members that are not in `members`, at most as many as the room's `presenceLimit`.
   *
   * Adds them to `members`, and emits "presence" with empty arrays of joined and left members. The promise resolves
   * with the fetched members; the array is empty when `members` is complete. The promise rejects with "unavailable"
   * if the room is away or the connection is lost, with "rateLimited" after too many requests, and with "timeout"
   * after `requestTimeout`.
   *
   * @returns {Promise<Member[]>}
   */
  fetchMembers() {
    return this.#membership.fetchMembers();
  }

  /**
   * Answers the server's calls of that type with what `handler(data)` returns, which may be a promise.
   *
   * If the handler throws a {@link TxroomError}, the server receives that error. For any other error the server
   * receives "internal", and the room emits "error". Returns a function that removes the handler.
   *
   * @param {string} type @param {(data: any) => unknown | Promise<unknown>} handler @returns {Off}
   */
  handle(type, handler) {
    if (!isFunction(handler)) throw new TypeError(`the handler for ${type} must be a function, not ${shown(handler)}`);
    this.#handlers.set(type, handler);
    return () => {
      if (this.#handlers.get(type) === handler) this.#handlers.delete(type);
    };
  }

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
   *
   * @param {string} type @param {unknown} [data] @param {{ volatile?: boolean }} [options]
   * @returns {Promise<void>}
   */
  send(type, data = null, options = {}) {
    const { volatile = false } = options;
    this.#checkOpen();
    return this.#membership.send(this, type, data, volatile);
  }

  /**
   * Sends a call; the promise resolves with the answer. The server handles it at most once, even if the
   * connection is lost.
   *
   * The promise rejects with the server's error; with "timeout" after `timeout` milliseconds; with "replyLost" if the
   * answer is lost although the server has handled the call or may have handled it; with "roomGone" if the client
   * leaves the room; with the errors that `send` throws; and with a TypeError if `timeout` is not a time.
   *
   * @template [Answer=any]
   * @param {string} type
   * @param {unknown} [data]
   * @param {{ timeout?: number }} [options]
   * @returns {Promise<Answer>}
   */
  async call(type, data = null, options = {}) {
    const { timeout = this.#client.options.callTimeout } = options;
    checkOption("callTimeout", timeout, "timeout");
    this.#checkOpen();
    return this.#membership.call(this, type, data, timeout);
  }

  /** Measures the round-trip time to the server, in milliseconds. @returns {Promise<number>} */
  ping() {
    return this.#client.ping();
  }

  /**
   * Leaves the room. The client first sends the queued messages, then asks the server to end the membership. The
   * promise resolves when the server has answered, or after `leaveTimeout`.
   *
   * After `leaveTimeout` the client leaves without sending the messages that are still queued. If there is no
   * connection, the server ends the membership when `resumeSeconds` are over.
   *
   * If the client has joined the room twice, both joins are one membership. Then only this object ends, and the promise
   * resolves at once.
   *
   * @returns {Promise<void>}
   */
  leave() {
    if (this.#isLeft) return this.#leaving ?? Promise.resolve();
    this.#leaving ??= this.#membership.leave(this);
    return this.#leaving;
  }

  #checkOpen() {
    if (this.#isLeft || this.#leaving) throw new TxroomError("roomGone", "the room was left");
  }

  /** @param {string} name */
  #emitterOf(name) {
    return ROOM_EVENTS.has(name) ? this.#events : this.#messages;
  }

  // -- for the membership

  /** Emits one of the room's events. @internal @param {keyof RoomEvents} name @param {any[]} args */
  _tell(name, ...args) {
    this._deliver(() => void this.#events.emit(name, ...args));
  }

  /**
   * A message has arrived.
   *
   * @internal @param {string} type @param {unknown} data @param {number | null} offset
   */
  _message(type, data, offset) {
    this._deliver(() => {
      if (this.#messages.emit(type, data, offset) || this.#messages.emit("*", type, data, offset)) return;
      this.#membership.warnUnheard(type);
    });
  }

  /** Delivers events from the next turn on: the code that awaits the join can add listeners before. @internal */
  _begin() {
    later(this.#client.options, () => this.#release(), 0);
  }

  /** Whether the changes of the state have to be told now. @internal */
  get _hearsState() {
    return this.#held === null && this.#events.has("state");
  }

  /** Whether messages of that type have a listener here. @internal @param {string} type */
  _hasListener(type) {
    return this.#messages.has(type) || this.#messages.has("*");
  }

  /** Whether "error" has a listener here. @internal */
  get _hasErrorListener() {
    return this.#events.has("error");
  }

  /** The handler of the server's calls of that type. @internal @param {string} type */
  _handler(type) {
    return this.#handlers.get(type);
  }

  /** The room was left. @internal @param {number} code @param {string} reason */
  _end(code, reason) {
    this.#isLeft = true;
    this._tell("left", { code, reason });
  }

  /** Reports an error that no promise receives. @internal @param {unknown} error */
  _report(error) {
    if (this._hasErrorListener) this._tell("error", error);
    else this.#client._report(error);
  }

  /** Delivers an event, now or when the listeners could be added. @internal @param {() => void} event */
  _deliver(event) {
    if (this.#held === null) event();
    else this.#held.push(event);
  }

  #release() {
    const { state } = this.#membership;
    if (state !== null && this.#events.has("state")) this.#events.emit("state", merged(undefined, state).changes);
    const held = this.#held ?? [];
    for (let event = held.shift(); event; event = held.shift()) event();
    this.#held = null;
  }
}

/** @internal @typedef {"joinOrCreate" | "join" | "create" | "joinById"} Method */

/**
 * How a room was joined, and is joined again if necessary.
 *
 * @internal
 * @typedef {object} JoinRequest
 * @property {Method} method
 * @property {string} target The name or the id of the room.
 * @property {Record<string, any>} options
 */

/** @internal @typedef {(error: any, id?: any, info?: any) => void} JoinDone */

/**
 * A membership in a room, which survives lost connections. `rooms` are the room objects that share it.
 *
 *     joined --connection lost, left 41xx--> away --connected, delay over--> resuming
 *     resuming --joined--> joined    --temporary error--> away    --other error--> left
 *     resuming --server no longer knows the member: join again--> resuming
 *     any --left, the last leave(), a final close code, close()--> left
 */
class Membership {
  /** @type {Set<Room>} */
  rooms = new Set();
  id = "";
  name = "";
  member = "";
  /** @type {unknown} */
  snapshot = null;
  /** @type {RoomStatus} */
  status = "away";
  epoch = "";
  offset = 0;
  /**
   * The last room was left: its promise and timer, and whether the server was asked; otherwise null.
   *
   * @type {{ promise: Promise<void>, done: () => void, timer: unknown, isSent: boolean } | null}
   */
  leaving = null;
  #client;
  #options;
  #joinRequest;
  #sendQueue;
  /** @type {Map<string, { user: string, metas: Map<string, any> }>} */
  #members = new Map();
  /** The number of all members, which the server has sent; null: all members are known. @type {number | null} */
  #memberCount = null;
  /** The position after which the server lists members that may be unknown; null: all are known. @type {number | null} */
  #membersAfter = null;
  #token = "";
  #attempts = 0;
  /** How many times in a row resuming has failed with "internal". */
  #internal = 0;
  #since = 0;
  /** Counts how often a membership or connection began or ended; the client ignores answers to earlier rounds. */
  #round = 0;
  /** @type {unknown} */
  #timer;
  /** How many calls of the server are not answered yet. */
  #answering = 0;
  /** The types of messages for which a missing listener was reported. @type {Set<string>} */
  #warnedTypes = new Set();
  /** The type of the last volatile message, if there was one. @type {string[]} */
  #volatile = [];
  /** Reads the state of the room; null: the room has none. @type {StateReader | null} */
  #reader = null;
  stateTime = 0;
  /** Called when the first state is here, or with an error. @type {((error?: TxroomError) => void)[]} */
  #stateWaiters = [];

  /** @param {Client} client @param {JoinRequest} joinRequest */
  constructor(client, joinRequest) {
    this.#client = client;
    this.#options = client.options;
    this.#joinRequest = joinRequest;
    this.#sendQueue = new SendQueue(client.options.window);
  }

  get members() {
    return [...this.#members.values()].map(({ user, metas }) => ({ user, metas: [...metas.values()] }));
  }

  get memberCount() {
    return this.#memberCount ?? this.#knownMembers;
  }

  get #knownMembers() {
    let count = 0;
    for (const { metas } of this.#members.values()) count += metas.size;
    return count;
  }

  get reconnectionToken() {
    const { seat, auth, ...options } = this.#joinRequest.options; // a seat is used once, credentials must not be stored
    const { method, target } = this.#joinRequest;
    const ref = this.#client._lastRef;
    return JSON.stringify({ room: this.id, token: this.#token, ref, method, target, options });
  }

  get buffered() {
    return this.#sendQueue.waiting;
  }

  get sent() {
    return this.#sendQueue.last;
  }

  get handled() {
    return this.#sendQueue.acknowledged;
  }

  get state() {
    return this.#reader?.root ?? null;
  }

  get stateVersion() {
    return this.#reader?.version ?? null;
  }

  // -- for rooms

  /** Makes the room object of one more join that shares this membership. */
  share() {
    /** @type {Room} */
    const room = new /** @type {any} */ (Room)(this.#client, this);
    this.rooms.add(room);
    if (this.#members.size) room._tell("presence", this.members, this.members, []);
    return room;
  }

  /**
   * @param {Room} room @param {string} type @param {unknown} data @param {boolean} isVolatile
   * @returns {Promise<void>}
   */
  send(room, type, data, isVolatile) {
    const pending = this.#newPending(room, "send", type, data);
    if (isVolatile) {
      this.#volatile = [type];
      if (this.status === "joined") this.#write(pending);
      return Promise.resolve();
    }
    /** @type {Promise<void>} */
    const sent = new Promise((resolve, reject) => {
      pending.acknowledged = resolve;
      pending.fail = reject;
    });
    sent.catch(ignore);
    this.#submit(pending);
    return sent;
  }

  /**
   * @param {Room} room @param {string} type @param {unknown} data @param {number} timeout
   * @returns {Promise<any>}
   */
  call(room, type, data, timeout) {
    return new Promise((resolve, reject) => {
      const pending = this.#newPending(room, "call", type, data);
      /** @param {unknown} error @param {unknown} [answer] */
      const settle = (error, answer) => {
        if (pending.ref !== undefined) this.#client._forget(pending.ref);
        this.#options.clock.clearTimeout(timer);
        if (error) reject(error);
        else resolve(answer);
      };
      pending.isAwaited = true;
      pending.fail = settle;
      pending.ref = this.#client._expect((error, answer) => {
        settle(error, answer);
        this.#sendQueue.answered(pending);
        this.#pump();
      });
      const tooLate = () => {
        settle(new TxroomError("timeout", `the server did not answer the call ${shown(type)} within ${timeout} ms`));
        this.#sendQueue.abandon(pending);
        this.#pump();
      };
      const timer = later(this.#options, tooLate, timeout);
      try {
        this.#submit(pending);
      } catch (error) {
        settle(error);
      }
    });
  }

  /** Leaves a room; with the last one, the membership ends. @param {Room} room @returns {Promise<void>} */
  leave(room) {
    if (this.rooms.size > 1) {
      this.rooms.delete(room);
      room._end(1000, "left");
      return Promise.resolve();
    }
    let done = ignore;
    /** @type {Promise<void>} */
    const promise = new Promise((resolve) => (done = resolve));
    const timer = later(this.#options, () => this.#tooLate(), this.#options.leaveTimeout);
    this.leaving = { promise, done, timer, isSent: false };
    this.#pump();
    return promise;
  }

  /** Warns, once for each type, that a message of that type has no listener. @param {string} type */
  warnUnheard(type) {
    const isHeard = [...this.rooms].some((room) => room._hasListener(type));
    if (isHeard || this.#warnedTypes.has(type) || this.#warnedTypes.size >= MAX_WARNED) return;
    this.#warnedTypes.add(type);
    const [what, where] = [shown(type), shown(this.name)];
    console.warn(`txroom: the room ${where} sent a message ${what}, which has no listener: add one with room.on(${what}, …)`);
  }

  // -- towards the client

  /** The server has answered the first join. @param {string} id @param {MembershipInfo} info */
  enter(id, info) {
    this.#apply(id, info, false);
  }

  /**
   * The server has answered another join with the room that the client is in already.
   *
   * @param {string} id @param {MembershipInfo} info
   */
  enterAgain(id, info) {
    const isSame = this.status === "joined" && info.member === this.member;
    if (!isSame || !this.#sendQueue.acknowledge(info.handled)) return this.#readmit(id, info, false);
    this.#token = info.token;
    this.#expectState(info);
    this.#pump();
  }

  /** Calls `done` when the state is here, at once if the room has none, or with an error. @param {(error?: TxroomError) => void} done */
  whenStateIsHere(done) {
    if (this.#reader === null || this.#reader.root) done();
    else this.#stateWaiters.push(done);
  }

  /** The connection is open. */
  connected() {
    if (this.status === "away") this.#resume();
  }

  /** The connection is lost, or the room cannot be reached through it. @param {number} code @param {string} reason */
  away(code, reason) {
    if (this.status === "left") return;
    const wasJoined = this.status === "joined";
    this.#options.clock.clearTimeout(this.#timer);
    this.status = "away";
    this.#round++;
    if (code !== CloseCode.stateLost) {
      this.#stateIsHere(new TxroomError("unavailable", "the connection was lost", { details: { code } }));
    }
    if (this.leaving?.isSent) this.end(1000, "left");
    else if (wasJoined) {
      if (this.#options.clock.now() - this.#since >= this.#options.stableAfter) this.#attempts = 0;
      this.#tell("reconnecting", { code, reason });
    }
  }

  /** A frame for this room has arrived. @param {any[]} frame */
  receive(frame) {
    if (frame[0] === "left") return this.#left(frame[2], frame[3] ?? "");
    if (this.status !== "joined") return; // sent before the room was resumed: it comes again, or `joined` contains it
    switch (frame[0]) {
      case "msg":
        this.#message(frame[2] ?? null, frame[3], frame[4]);
        break;
      case "state":
        this.#replaceState(frame[2], frame[3]);
        break;
      case "patch":
        this.#patchState(frame[2], frame[3], frame[4]);
        break;
      case "presence":
        this.#membersAfter ??= frame[5] ?? null;
        this.#presence(frame[2], frame[3], frame[4]);
        this.#tell("presence", this.members, frame[2], frame[3]);
        break;
      case "call":
        this.#called(frame[1], frame[3], frame[4]);
        break;
      case "ack":
        if (!this.#sendQueue.acknowledge(frame[2])) throw new TypeError("an acknowledgement of frames that were not sent");
        this.#pump();
        break;
    }
  }

  /** The client is no longer in the room. @param {number} code @param {string} reason */
  end(code, reason) {
    if (this.status === "left") return;
    const { clock } = this.#options;
    this.status = "left";
    this.#round++;
    clock.clearTimeout(this.#timer);
    this.#client._remove(this);
    const error = new TxroomError("roomGone", reason || `the room was left (${code})`, { details: { code } });
    for (const pending of this.#sendQueue.clear()) pending.fail(error);
    for (const room of this.rooms) room._end(code, reason);
    this.#stateIsHere(error);
    if (this.leaving !== null) {
      clock.clearTimeout(this.leaving.timer);
      this.leaving.done();
    }
  }

  /**
   * Reports an error that no promise receives to the rooms that listen to "error", or else to the client.
   *
   * @param {unknown} error
   * @param {string} [what] written before the error in the console
   */
  report(error, what = "") {
    const rooms = [...this.rooms].filter((room) => room._hasErrorListener);
    for (const room of rooms) room._report(error);
    if (!rooms.length) this.#client._report(error, what);
  }

  /**
   * The server has refused a message. The error does not say which: one that is not acknowledged, or volatile.
   *
   * @param {TxroomError} error
   */
  refused(error) {
    const types = new Set([...this.#sendQueue.sentTypes, ...this.#volatile].map(shown));
    const which = types.size ? ` ${cut([...types].join(" or "), MAX_REASON)}` : "";
    this.report(error, `txroom: the room ${shown(this.name)} has refused a message${which}:`);
  }

  // -- membership

  #resume() {
    this.status = "resuming";
    const round = ++this.#round;
    /** @type {Build} */
    const frame = (ref) => {
      const features = { ...FEATURES, stateVersion: this.stateVersion };
      return ["resume", ref, this.id, this.#token, this.epoch, this.offset, this.#client._nextAttempt(), features];
    };
    /** @type {JoinDone} */
    const done = (error, id, info) => {
      this.#client._skipAttempts(error);
      if (round !== this.#round) this.#client._decline(id);
      else if (!error) this.#readmit(id, info, true);
      else if (ERRORS.get(error.code)?.fallback === "rejoin" && this.#options.rejoin && !this.leaving) this.#rejoin();
      else this.#refused(error);
    };
    this.#client._ask(frame, done, { answer: "joined", timeout: this.#client._patience(this.#options.requestTimeout) });
  }

  /** Joins again: the same room if it still exists, otherwise with the same request as at first. */
  #rejoin() {
    const round = this.#round;
    const { method, target, options: first } = this.#joinRequest;
    const { seat, ...options } = first; // a reserved seat is used once
    /** @type {[Method, string][]} */
    const attempts = [["joinById", this.id]];
    if (method === "joinOrCreate" || method === "join") attempts.push([method, target]);
    const next = () => {
      const [[how, what]] = attempts.splice(0, 1);
      const isWanted = () => round === this.#round;
      /** @type {JoinDone} */
      const done = (error, id, info) => {
        const present = this.#client._membership(id);
        if (!isWanted()) this.#client._decline(id);
        else if (present && present !== this) {
          present.enterAgain(id, info);
          this.end(CloseCode.roomClosed, "the client has joined another room instead, which it was in already");
        } else if (!error) this.#readmit(id, info, false);
        else if (attempts.length && !isTemporary(error)) next();
        else this.#refused(error);
      };
      this.#client._join(how, what, options, done, isWanted);
    };
    next();
  }

  /** @param {TxroomError} error */
  #refused(error) {
    this.#internal = error.code === "internal" ? this.#internal + 1 : 0;
    if (error instanceof NoAnswer) this.#client._giveUp("no answer");
    else if (this.#internal >= MAX_INTERNAL) {
      this.report(error);
      this.end(CloseCode.roomClosed, error.message);
    } else if (isTemporary(error)) this.#retry(CloseCode.engineUnavailable, error.message);
    else this.end(ERRORS.get(error.code)?.left ?? CloseCode.roomClosed, error.message);
  }

  /** Resumes after a delay, over the same connection. @param {number} code @param {string} reason */
  #retry(code, reason) {
    this.away(code, reason);
    if (this.status !== "away") return;
    const again = () => {
      if (this.#client.state === "open") this.connected();
    };
    this.#timer = later(this.#options, again, backoff(this.#options, this.#attempts++));
  }

  /** @param {string} id @param {MembershipInfo} info @param {boolean} isResumed */
  #readmit(id, info, isResumed) {
    const unconfirmed = this.#apply(id, info, isResumed);
    const gone = new TxroomError("replyLost", "the connection was lost, and the server may or may not have handled this");
    for (const pending of unconfirmed) pending.fail(gone);
    if (isResumed && info.recovered === true && !unconfirmed.length) this.#tell("recovered");
    else {
      for (const room of [...this.rooms]) {
        const own = unconfirmed.filter((pending) => pending.room === room);
        room._tell("lost", {
          snapshot: this.snapshot,
          members: this.members,
          offset: info.offset,
          unconfirmed: own.map((pending) => ({ type: pending.type, data: JSON.parse(pending.data) })),
        });
      }
    }
    if (info.members) this.#tell("presence", this.members, [], []);
  }

  /**
   * Enters the room: sends the held frames again, with their numbers, then those that are queued.
   *
   * Returns the frames that were sent to a former membership and may or may not have been handled.
   *
   * @param {string} id @param {MembershipInfo} info @param {boolean} isResumed
   */
  #apply(id, info, isResumed) {
    const isSame = isResumed && info.member === this.member;
    const { handled } = info;
    const accepted = Math.max(handled, info.accepted ?? 0);
    const again = isSame ? this.#sendQueue.resume(handled, accepted) : null;
    const unconfirmed = again === null ? this.#sendQueue.restart(handled, accepted) : [];
    const former = this.id;
    this.id = id;
    this.name = info.name ?? this.name;
    this.member = info.member;
    this.#token = info.token;
    this.epoch = info.epoch;
    if (!isResumed || info.recovered !== true) {
      this.offset = info.offset;
      this.snapshot = info.snapshot ?? null;
    }
    this.#members = new Map();
    this.#membersAfter = info.membersAfter ?? null;
    this.#presence(info.members ?? [], [], info.memberCount);
    this.#expectState(info);
    this.#options.clock.clearTimeout(this.#timer);
    this.#round++;
    this.status = "joined";
    this.#internal = 0;
    this.#since = this.#options.clock.now();
    this.#client._add(this, former);
    for (const pending of again ?? []) this.#write(pending);
    this.#pump();
    return unconfirmed;
  }

  /** @param {number} code @param {string} reason */
  #left(code, reason) {
    // While the client resumes on the same connection, this frame ends the former membership there.
    if (this.status === "resuming" && (mayResume(code) || code === CloseCode.replaced)) return;
    if (mayResume(code) && !this.leaving) this.#retry(code, reason);
    else this.end(code, reason);
  }

  /** `leaveTimeout` is over: leaves without sending the frames that are still queued. */
  #tooLate() {
    if (this.status === "joined" && !this.leaving?.isSent) this.#client._leave(this.id);
    this.end(1000, "left");
  }

  // -- receiving

  /** @param {number | null} offset @param {string} type @param {unknown} data */
  #message(offset, type, data) {
    if (offset !== null) {
      if (offset <= this.offset) return;
      this.offset = offset;
    }
    for (const room of [...this.rooms]) room._message(type, data, offset);
  }

  /** The server has told which state follows. @param {MembershipInfo} info */
  #expectState({ stateVersion = null, schema = null }) {
    if (stateVersion === null) this.#reader = null;
    else if (schema !== null) this.#reader = new StateReader(schema, this.state);
    else if (this.#reader === null) throw new TypeError("a state without its schema");
  }

  /** The whole state has arrived. @param {number} version @param {string} data */
  #replaceState(version, data) {
    if (this.#reader === null) throw new TypeError("a state that the client has not asked for");
    this.#stateChanged(this.#reader.replace(version, bytesOf(data)));
  }

  /** A patch of the state has arrived. @param {number} since @param {number} version @param {string} data */
  #patchState(since, version, data) {
    const present = this.stateVersion;
    if (this.#reader === null) throw new TypeError("a patch of a state that the client has not asked for");
    if (present === null || since > present) return this.#retry(CloseCode.stateLost, "a patch of the state is missing");
    if (version <= present) return;
    const isHeard = [...this.rooms].some((room) => room._hearsState);
    this.#stateChanged(this.#reader.patch(version, bytesOf(data), isHeard));
  }

  /** @param {StateChange[]} changes */
  #stateChanged(changes) {
    this.stateTime = this.#options.clock.now();
    this.#stateIsHere();
    if (changes.length) for (const room of [...this.rooms]) if (room._hearsState) room._tell("state", changes);
  }

  /** The joins that wait for the state go on, or fail. @param {TxroomError} [error] */
  #stateIsHere(error) {
    for (const done of this.#stateWaiters.splice(0)) done(error);
  }

  /**
   * Changes the members. The field `user` identifies a user, and the field `member` of a meta identifies the meta. A
   * meta in both lists has changed. A user who stays keeps the place in the list, as on the server. The changed meta
   * of an unknown member is ignored: `fetchMembers` will fetch it.
   *
   * @param {Member[]} joined @param {Member[]} left @param {number | null} [count] how many there are now
   */
  #presence(joined, left, count = null) {
    const here = new Set(joined.flatMap(({ user, metas }) => metas.map((meta) => keyOf([user, keyOfMeta(meta)]))));
    const unknown = new Set();
    for (const { user, metas } of left) {
      const known = this.#members.get(keyOf(user))?.metas;
      for (const meta of metas) {
        const place = keyOf([user, keyOfMeta(meta)]);
        if (!known?.has(keyOfMeta(meta))) unknown.add(place);
        else if (!here.has(place)) known.delete(keyOfMeta(meta));
      }
    }
    for (const { user, metas } of joined) {
      const known = this.#members.get(keyOf(user)) ?? { user, metas: new Map() };
      for (const meta of metas) {
        if (!unknown.has(keyOf([user, keyOfMeta(meta)]))) known.metas.set(keyOfMeta(meta), meta);
      }
      if (known.metas.size) this.#members.set(keyOf(user), known);
    }
    for (const { user } of left) if (!this.#members.get(keyOf(user))?.metas.size) this.#members.delete(keyOf(user));
    this.#memberCount = count;
    if (this.#knownMembers > MAX_MEMBERS) throw new RangeError("too many members");
  }

  /** @returns {Promise<Member[]>} */
  async fetchMembers() {
    const after = this.#membersAfter;
    if (this.status !== "joined") throw new TxroomError("unavailable", "the room is away");
    if (after === null || this.#knownMembers >= this.memberCount) return [];
    return new Promise((resolve, reject) => {
      /** @type {Done} */
      const done = (error, page) => {
        if (error) return reject(error);
        if (!isPage(page)) return reject(new TxroomError("badRequest", "the server sent wrong members"));
        this.#membersAfter = page.membersAfter;
        this.#presence(page.members, [], page.memberCount);
        this.#tell("presence", this.members, [], []);
        resolve(page.members);
      };
      this.#client._ask((ref) => ["members", ref, this.id, after], done);
    });
  }

  /**
   * Lets the newest room object that has a handler answer a call, over the connection of the call only.
   *
   * @param {number} ref @param {string} type @param {unknown} data
   */
  #called(ref, type, data) {
    const round = this.#round;
    const rooms = [...this.rooms].reverse();
    /** @param {string} frame */
    const write = (frame) => {
      if (round === this.#round && this.status === "joined") this.#client._write(frame);
    };
    /** @param {{ code: unknown, message: string }} error */
    const refuse = ({ code, message }) => {
      write(encode(["error", this.id, ref, cut(String(code), MAX_CODE), cut(message, MAX_REASON)]));
    };
    rooms[0]._deliver(async () => {
      const room = rooms.find((room) => room._handler(type)) ?? rooms[0];
      this.#answering++;
      try {
        const answer = await this.#answer(room._handler(type), type, data);
        try {
          const frame = `["reply",${quote(this.id)},${ref},${encode(answer)}]`;
          checkLength(frame, this.#options.maxPayload);
          write(frame);
        } catch (error) {
          room._report(error); // the answer of the handler cannot be sent
          refuse(/** @type {TxroomError} */ (error));
        }
      } catch (error) {
        const isMeant = error instanceof TxroomError;
        if (!isMeant) room._report(error);
        refuse(isMeant ? error : { code: "internal", message: "the handler failed" });
      } finally {
        this.#answering--;
      }
    });
  }

  /** @param {((data: any) => unknown) | undefined} handler @param {string} type @param {unknown} data */
  async #answer(handler, type, data) {
    if (handler === undefined) throw new TxroomError("unknownType", `the client has no handler for calls of type ${shown(type)}`);
    if (this.#answering > MAX_ANSWERING) throw new TxroomError("rateLimited", `the client is answering ${MAX_ANSWERING} calls already`);
    return handler(data);
  }

  /** @param {keyof RoomEvents} name @param {any[]} args */
  #tell(name, ...args) {
    for (const room of [...this.rooms]) room._tell(name, ...args);
  }

  // -- sending

  /** @param {Room} room @param {Pending["kind"]} kind @param {string} type @param {unknown} data */
  #newPending(room, kind, type, data) {
    if (!isName(type)) {
      throw new TxroomError("badRequest", `the type of a message must be a string of 1 to ${MAX_TYPE} characters, not ${shown(type)}`);
    }
    /** @type {Pending} */
    const pending = { room, kind, type, data: encode(data), acknowledged: ignore, fail: ignore };
    // Leave room for the number and the ref.
    checkLength(this.#text(pending), this.#options.maxPayload - (kind === "call" ? 32 : 16));
    return pending;
  }

  /** @param {Pending} pending */
  #submit(pending) {
    const { maxBuffered } = this.#options;
    if (this.status === "left" || this.leaving) throw new TxroomError("roomGone", "the room was left");
    if (this.#sendQueue.waiting >= maxBuffered) {
      const isHere = this.status === "joined";
      throw new TxroomError(isHere ? "rateLimited" : "unavailable", `the queue is full: ${maxBuffered} messages (maxBuffered) are waiting to be sent`);
    }
    this.#sendQueue.add(pending);
    this.#pump();
  }

  #pump() {
    if (this.status !== "joined") return;
    for (let pending = this.#sendQueue.next(); pending; pending = this.#sendQueue.next()) this.#write(pending);
    if (this.leaving && !this.leaving.isSent && !this.#sendQueue.waiting) {
      this.leaving.isSent = true;
      this.#client._leave(this.id, () => this.end(1000, "left"));
    }
  }

  /** @param {Pending} pending */
  #write(pending) {
    this.#client._write(this.#text(pending));
  }

  /** @param {Pending} pending */
  #text({ kind, ref, type, data, n }) {
    const head = kind === "call" ? `"call",${ref ?? 0}` : '"send"';
    const tail = n === undefined ? "" : `,${n}`;
    return `[${head},${quote(this.id)},${quote(type)},${data}${tail}]`;
  }
}

/** @type {(value: unknown) => string} */
const keyOf = (value) => JSON.stringify(value);
/** @type {(meta: any) => string} */
const keyOfMeta = (meta) => meta?.member ?? keyOf(meta);

/**
 * The delay before an attempt, which counts from 0: it doubles up to `maxDelay`, and half of it is random.
 *
 * @param {Settings} settings @param {number} attempt
 */
function backoff({ minDelay, maxDelay, random }, attempt) {
  const delay = Math.min(maxDelay, minDelay * 2 ** Math.min(attempt, 32));
  return (delay * (1 + random())) / 2;
}

/** The error of a request that the server has not answered. */
class NoAnswer extends TxroomError {}

/** The error of a join that was not sent because `auth` failed or took too long. */
class AuthFailed extends TxroomError {}

/** Whether to try again after this error. @type {(error: TxroomError) => boolean} */
const isTemporary = (error) => error instanceof AuthFailed || ERRORS.get(error.code)?.fallback === "retry";

// -- the client

/**
 * Makes the frame of a request from the ref of the request.
 *
 * @internal
 * @typedef {(ref: number) => unknown[]} Build
 */

/** @internal @typedef {(error: any, ...answer: any[]) => void} Done */

/**
 * A request to the server.
 *
 * @internal
 * @typedef {object} Request
 * @property {number} ref
 * @property {string | null} text The frame; null until the credentials are known.
 * @property {"reply" | "joined"} answer The kind of frame that answers it.
 * @property {boolean} repeat Whether it is sent again over the next connection.
 * @property {boolean} isEntry Whether a user asks to enter a room: it is sent again if the server has not read it.
 * @property {boolean} isCall Whether it is the call of a membership, which sends it itself.
 * @property {boolean} isOpen Whether it has not ended.
 * @property {boolean} isSent
 * @property {number} sentAt
 * @property {number} written How many characters were sent over the connection, including this frame.
 * @property {number} deadline
 * @property {unknown} [cause] The error of the last attempt to get the credentials.
 * @property {unknown} [pause] The timer until the next attempt to get the credentials.
 * @property {() => void} forget
 * @property {Done} done
 */

/** The request of each call. It only awaits the answer: the membership sends the frame of the call. @type {Request} */
const CALL = Object.freeze({
  ref: 0,
  text: null,
  answer: "reply",
  repeat: false,
  isEntry: false,
  isCall: true,
  isOpen: true,
  isSent: false,
  sentAt: 0,
  written: 0,
  deadline: 0,
  forget: ignore,
  done: ignore,
});

/**
 * The first element of the frame with which each method joins.
 *
 * @type {Record<Method, string>}
 */
const JOIN_FRAMES = { joinOrCreate: "join", join: "joinOnly", create: "create", joinById: "joinById" };

/** What the client asks for when it joins: the state, in format 1. */
const FEATURES = Object.freeze({ state: 1 });

/** A client that was never connected gives up after this many attempts. */
const FIRST_ATTEMPTS = 5;
/** How many milliseconds after "error" the event "close" may be late. */
const CLOSE_TIMEOUT = 100;
/** The server has one more second to answer for each of this many bytes that may still be on their way. */
const BYTES_A_SECOND = 4096;
/** After slow connections the client waits longer, by at most this factor. */
const MAX_PATIENCE = 8;

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
  /**
   * The options, including the defaults.
   *
   * @readonly
   * @type {Readonly<Required<Options>>}
   */
  options;
  /**
   * The URL to which the client connects.
   *
   * @readonly
   * @type {string}
   */
  url;
  #events = new Emitter((error) => this._report(error));
  #notifications;
  #WebSocket;
  /** @type {ClientState} */
  #state = "idle";
  /** The memberships by the ids of their rooms. @type {Map<string, Membership>} */
  #memberships = new Map();
  /** The requests by their refs. @type {Map<number, Request>} */
  #requests = new Map();
  /** The pending joins by their method, target and options. @type {Map<string, Promise<Room>>} */
  #pendingJoins = new Map();
  #lastRef = 0;
  /** The number of the last attempt to resume a membership. */
  #lastAttempt = 0;
  #attempts = 0;
  #isAskedToWait = false;
  /** Whether a txroom server has ever answered. */
  #isKnown = false;
  /** Why there is no connection, as text. */
  #trouble = "";
  /** The factor by which the client waits longer for the server than usual: see `_giveUp`. */
  #patience = 1;
  /** @type {number | undefined} */
  #latency;
  /** @type {unknown} */
  #timer;
  /** @type {unknown} */
  #deadline;
  #ignoreEvents = ignore;
  /** @type {AnySocket | null} */
  #socket = null;
  /** The data of the current connection, or of the last one. */
  #connection = newConnection(0);

  /**
   * @param {string | URL} [url] the URL of the rooms, with the scheme `ws:`, `wss:`, `http:` or `https:`, or
   *   relative to the page; if it has no path, the path is "/rooms"
   * @param {Options} [options] see {@link DEFAULTS}
   */
  constructor(url = "/rooms", options = {}) {
    this.options = withDefaults(options);
    /** @type {Settings["WebSocket"]} */
    this.#WebSocket = this.options.WebSocket ?? globalThis.WebSocket;
    if (typeof this.#WebSocket !== "function") throw new TypeError("there is no WebSocket here: pass the class as the option WebSocket");
    this.url = absolute(url);
    this.#notifications = new Notifications(this.options, this.#events, (text) => this._write(text));
    this.#listen(this.options.events === undefined ? globalThis : this.options.events);
  }

  /** The state of the connection, see above. @returns {ClientState} */
  get state() {
    return this.#state;
  }

  /**
   * The round-trip time of the last heartbeat in milliseconds; undefined before the first.
   *
   * @returns {number | undefined}
   */
  get latency() {
    return this.#latency;
  }

  /**
   * Calls `listener` at one of the client's events, see {@link ClientEvents}. Returns a function that removes it.
   *
   * @template {keyof ClientEvents} Name
   * @overload
   * @param {Name} name
   * @param {ClientEvents[Name]} listener
   * @returns {Off}
   */
  /**
   * Calls `listener(data)` for the user's notifications of one type; "notify:friend" is the name for the type "friend".
   *
   * With the first listener of such a name, or of "notify", the client connects and asks for the notifications. It
   * acknowledges each when its listeners, and the promises that they return, have ended. Add all of these listeners in
   * the same turn of the event loop: a notification whose type has no listener counts as received.
   *
   * @overload
   * @param {`notify:${string}`} name
   * @param {(data: any) => unknown} listener
   * @returns {Off}
   */
  /** @param {string} name @param {Listener} listener @returns {Off} */
  on(name, listener) {
    const off = this.#events.on(name, listener);
    this.#askForNotifications(name);
    return off;
  }

  /**
   * Calls `listener` only at the next event of that name.
   *
   * @template {keyof ClientEvents} Name
   * @overload
   * @param {Name} name
   * @param {ClientEvents[Name]} listener
   * @returns {Off}
   */
  /**
   * Calls `listener` only for the next notification of that type. Later ones wait for another listener.
   *
   * @overload
   * @param {`notify:${string}`} name
   * @param {(data: any) => unknown} listener
   * @returns {Off}
   */
  /** @param {string} name @param {Listener} listener @returns {Off} */
  once(name, listener) {
    const off = this.#events.once(name, listener);
    this.#askForNotifications(name);
    return off;
  }

  /**
   * Removes a listener that `on` or `once` added; without `listener`, removes all listeners of that name.
   *
   * @template {keyof ClientEvents} Name
   * @overload
   * @param {Name} name
   * @param {ClientEvents[Name]} [listener]
   * @returns {void}
   */
  /**
   * Removes a listener for the notifications of one type, or all of them.
   *
   * @overload
   * @param {`notify:${string}`} name
   * @param {(data: any) => unknown} [listener]
   * @returns {void}
   */
  /** @param {string} name @param {Listener} [listener] @returns {void} */
  off(name, listener) {
    this.#events.off(name, listener);
  }

  /** The rooms that the client has joined and not left, one for each join. @returns {Room[]} */
  get joined() {
    return [...this.#memberships.values()].flatMap(({ rooms }) => [...rooms]);
  }

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
   *
   * @template {object} [Messages=any]
   * @template [State=any]
   * @param {string} name
   * @param {object} [options]
   * @param {(room: Room<Messages, State>) => void} [prepare]
   * @returns {Promise<Room<Messages, State>>}
   */
  joinOrCreate(name, options = {}, prepare = undefined) {
    return this.#enter("joinOrCreate", name, options, prepare);
  }

  /**
   * Joins an existing room of that name. Rejects like `joinOrCreate`, and with "noSuchRoom" if no room has a free seat,
   * or with the error of the room that has refused the client.
   *
   * @template {object} [Messages=any]
   * @template [State=any]
   * @param {string} name
   * @param {object} [options]
   * @param {(room: Room<Messages, State>) => void} [prepare]
   * @returns {Promise<Room<Messages, State>>}
   */
  join(name, options = {}, prepare = undefined) {
    return this.#enter("join", name, options, prepare);
  }

  /**
   * Creates a room of that name and joins it. Rejects like `joinOrCreate`.
   *
   * @template {object} [Messages=any]
   * @template [State=any]
   * @param {string} name
   * @param {object} [options]
   * @param {(room: Room<Messages, State>) => void} [prepare]
   * @returns {Promise<Room<Messages, State>>}
   */
  create(name, options = {}, prepare = undefined) {
    return this.#enter("create", name, options, prepare);
  }

  /**
   * Joins the room with that id. Rejects like `joinOrCreate`, and with "noSuchRoom" if it does not exist.
   *
   * @template {object} [Messages=any]
   * @template [State=any]
   * @param {string} id
   * @param {object} [options]
   * @param {(room: Room<Messages, State>) => void} [prepare]
   * @returns {Promise<Room<Messages, State>>}
   */
  joinById(id, options = {}, prepare = undefined) {
    return this.#enter("joinById", id, options, prepare);
  }

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
   *
   * @template {object} [Messages=any]
   * @template [State=any]
   * @param {string} token
   * @param {(room: Room<Messages, State>) => void} [prepare]
   * @returns {Promise<Room<Messages, State>>}
   */
  async resume(token, prepare = undefined) {
    const { room, token: secret, ref, joinRequest } = readToken(token);
    this.#lastRef = Math.max(this.#lastRef, (Math.floor(ref / REFS) + 1) * REFS);
    // The epoch "" exists nowhere: this page has received none of the room's messages.
    /** @type {Build} */
    const frame = (ref) => ["resume", ref, room, secret, "", 0, this._nextAttempt(), FEATURES];
    return this.#admit(joinRequest, prepare, (done) => this._ask(frame, done, { answer: "joined", isEntry: true }));
  }

  /**
   * Lists the rooms of that name, or of any name, that match the filter.
   *
   * `filter` contains values of the options by which the server filters rooms, or of the metadata. If the connection is
   * lost, the client asks again over the next one. The promise rejects with "noSuchRoom" if the name is not registered,
   * with "timeout" or "unavailable" after `requestTimeout`, and with "invalidData" if JSON cannot represent the filter.
   *
   * @param {string | null} [name] @param {object} [filter] @returns {Promise<Listing[]>}
   */
  async query(name = null, filter = {}) {
    if (name !== null) checkName("query", name);
    const [rooms] = await this.#request((ref) => ["rooms", ref, name, checkOptions("filter", filter)]);
    return rooms;
  }

  /**
   * The former name of `query`.
   *
   * @param {string | null} [name] @param {object} [filter] @returns {Promise<Listing[]>}
   */
  rooms(name = null, filter = {}) {
    return this.query(name, filter);
  }

  /** Measures the round-trip time to the server, in milliseconds. @returns {Promise<number>} */
  ping() {
    return this.#request((ref) => ["ping", ref]).then(([, request]) => this.#measured(request));
  }

  /**
   * Closes the connection, if there is one, and opens another one after `delay` milliseconds.
   *
   * Does nothing if the client needs no connection: before the first join, if there is no listener for notifications,
   * and after `close`.
   *
   * @param {number} [delay] @returns {void}
   */
  reconnect(delay = 0) {
    checkOption("minDelay", delay, "delay");
    if (this.#state === "open" || this.#state === "connecting") this._drop("reconnect", { delay });
    else if (this.#state === "waiting") this.#wait(delay);
    else if (this.#state === "idle" && this.#notifications.isWanted) {
      this.#state = "waiting";
      this.#wait(delay);
    }
  }

  /**
   * Leaves all rooms and closes the connection for good. If there is no connection, the server ends the memberships
   * when `resumeSeconds` are over.
   *
   * @returns {void}
   */
  close() {
    if (this.#state === "closed") return;
    for (const { status, id } of this.#memberships.values()) if (status === "joined") this._leave(id);
    this.#notifications.flush();
    const socket = this.#detach();
    const isConnected = this.#state !== "idle"; // else the listeners know already
    this.#state = "closed";
    this.#ignoreEvents();
    closeSocket(socket, 1000, "");
    this.#finish(1000, "closed", closedError(), isConnected);
  }

  // -- for memberships

  /** The ref of the last request. @internal */
  get _lastRef() {
    return this.#lastRef;
  }

  /**
   * The number of the next attempt to resume. It is also greater than the numbers of earlier pages, because it is at
   * least the time in milliseconds.
   *
   * @internal
   */
  _nextAttempt() {
    this.#lastAttempt = Math.max(this.#lastAttempt + 1, Date.now());
    return this.#lastAttempt;
  }

  /** Counts on from the attempt that the server has preferred, if the clock was set back. @internal @param {any} error */
  _skipAttempts(error) {
    const attempt = error?.details?.attempt;
    if (isCount(attempt)) this.#lastAttempt = Math.max(this.#lastAttempt, attempt);
  }

  /**
   * Returns a ref, and calls `done(error, data)` when an answer with it arrives, over this or a later connection.
   *
   * @internal @param {Done} done
   */
  _expect(done) {
    const ref = ++this.#lastRef;
    this.#requests.set(ref, { ...CALL, ref, done });
    return ref;
  }

  /** Ignores an answer with that ref. @internal @param {number} ref */
  _forget(ref) {
    this.#requests.delete(ref);
  }

  /**
   * Sends a request, at once or when the connection is open; a frame of the kind `answer` answers it.
   *
   * `done(error, …)` is called once, as soon as the answer arrives and before the frames behind it are read. With
   * `repeat` the request is sent again over the next connection if this one is lost.
   *
   * @internal @param {Build} build @param {Done} done
   * @param {{ answer?: Request["answer"], timeout?: number, repeat?: boolean, isEntry?: boolean }} [options]
   */
  _ask(build, done, options = {}) {
    const request = this.#newRequest(done, options);
    this.#ask(request, build);
    return request;
  }

  /**
   * Gets the credentials, then asks the server to join, unless `isWanted` returns false then.
   *
   * @internal @param {Method} method @param {string} target @param {Record<string, any>} options
   * @param {JoinDone} done @param {() => boolean} [isWanted] Default: a user asks, and wants it always.
   */
  _join(method, target, options, done, isWanted) {
    if (this.#state === "closed") return done(closedError());
    const request = this.#newRequest(done, { answer: "joined", isEntry: isWanted === undefined });
    this.#credentials(request, options).then(
      (full) => {
        if (isWanted?.() ?? true) this.#ask(request, (ref) => [JOIN_FRAMES[method], ref, target, checkOptions("options", full), FEATURES]);
        else request.forget();
      },
      (error) => request.done(error),
    );
  }

  /** The membership in the room with that id, if there is one. @internal @param {string} id */
  _membership(id) {
    return this.#memberships.get(id);
  }

  /** Leaves the room of a join that was given up, unless the client is a member. @internal @param {string} [id] */
  _decline(id) {
    if (id !== undefined && !this.#memberships.has(id)) this._leave(id);
  }

  /** Asks the server to end the membership in a room. @internal @param {string} id @param {() => void} [done] */
  _leave(id, done = ignore) {
    this._ask((ref) => ["leave", ref, id], done, { timeout: this.options.leaveTimeout });
  }

  /** Sends a frame if the connection is open; otherwise discards it. @internal @param {string} text */
  _write(text) {
    this.#connection.written += text.length;
    try {
      this.#socket?.send(text);
    } catch {
      // The socket is closing: `onclose` follows, and frames that matter are sent again.
    }
  }

  /**
   * The client is a member of that room now; before, the membership was in the room `former`.
   *
   * @internal @param {Membership} membership @param {string} former
   */
  _add(membership, former) {
    if (this.#memberships.get(former) === membership) this.#memberships.delete(former);
    this.#memberships.set(membership.id, membership);
    this.#connection.endedRooms.delete(membership.id);
  }

  /** The client is no longer a member of that room. @internal @param {Membership} membership */
  _remove(membership) {
    if (this.#memberships.get(membership.id) !== membership) return;
    this.#memberships.delete(membership.id);
    if (this.#connection.endedRooms.size < 1000) this.#connection.endedRooms.add(membership.id);
  }

  /** How long to wait for an answer that usually takes at most `timeout`. @internal @param {number} timeout */
  _patience(timeout) {
    return timeout * this.#patience;
  }

  /**
   * Drops a connection on which the server is silent, and waits longer on the next: it may only be slow.
   *
   * @internal @param {string} reason
   */
  _giveUp(reason) {
    this.#patience = Math.min(MAX_PATIENCE, this.#patience * 2);
    this._drop(reason);
  }

  /**
   * Closes the connection, and opens another one later.
   *
   * @internal @param {string} reason @param {{ delay?: number, code?: number }} [options]
   */
  _drop(reason, { delay = undefined, code = CloseCode.noHeartbeat } = {}) {
    if (this.#state !== "open" && this.#state !== "connecting") return; // a listener that was called before has done it
    closeSocket(this.#detach(), code, reason);
    this.#lost(ABNORMAL, reason, delay);
  }

  /**
   * Reports an error that no promise receives; `what` is written before it in the console.
   *
   * @internal @param {unknown} error @param {string} [what]
   */
  _report(error, what = "") {
    if (this.#events.has("error")) this.#events.emit("error", error);
    else if (what) console.error(what, error);
    else console.error(error);
  }

  // -- joining

  /**
   * @param {Method} method @param {string} target @param {Record<string, any>} options
   * @param {((room: Room) => void) | undefined} prepare @returns {Promise<Room>}
   */
  #enter(method, target, options, prepare) {
    try {
      checkName(method, target);
      checkOptions("options", options);
      /** @param {JoinDone} done */
      const ask = (done) => {
        const present = method === "joinById" ? this.#memberships.get(target) : undefined;
        if (present && !present.leaving) done(null, target, null);
        else this._join(method, target, options, done);
      };
      const admit = () => this.#admit({ method, target, options }, prepare, ask);
      // Each `create` makes another room. Other joins may lead to a room that is being joined or left.
      return method === "create" ? admit() : this.#inTurn(target, encode([method, target, options], 1), admit);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Joins after an equal join that is in progress has ended, and after the client has left a room that it is leaving.
   *
   * @param {string} target @param {string} key @param {() => Promise<Room>} admit
   */
  #inTurn(target, key, admit) {
    const former = this.#pendingJoins.get(key);
    const isFree = former === undefined && this.#leaving(target) === undefined;
    const entering = isFree ? admit() : this.#afterOthers(target, former).then(admit);
    const over = () => this.#pendingJoins.get(key) === entering && this.#pendingJoins.delete(key);
    this.#pendingJoins.set(key, entering);
    entering.then(over, over);
    return entering;
  }

  /** @param {string} target @param {Promise<Room> | undefined} former */
  async #afterOthers(target, former) {
    if (former !== undefined) {
      await former.catch((error) => {
        if (error instanceof TxroomError) throw error; // the server would give the same answer
      });
      // Others that waited for it may leave the room now.
      await new Promise((resolve) => later(this.options, () => resolve(undefined), 0));
    }
    for (let leaving = this.#leaving(target); leaving; leaving = this.#leaving(target)) await leaving.promise;
  }

  /** The `leaving` of a membership that a join of `target` may lead to. @param {string} target */
  #leaving(target) {
    const memberships = [...this.#memberships.values()];
    return memberships.find(({ id, name, leaving }) => leaving && (id === target || name === target))?.leaving;
  }

  /**
   * Asks the server, and makes the room for its answer.
   *
   * @param {JoinRequest} joinRequest @param {((room: Room) => void) | undefined} prepare
   * @param {(done: JoinDone) => void} ask @returns {Promise<Room>}
   */
  #admit(joinRequest, prepare, ask) {
    return new Promise((resolve, reject) => {
      /** @type {JoinDone} */
      const done = (error, id, info) => {
        if (error) return reject(error);
        const present = this.#memberships.get(id);
        if (present?.leaving) return void present.leaving.promise.then(() => ask(done));
        const membership = present ?? new Membership(this, joinRequest);
        try {
          if (!present) membership.enter(id, info);
          else if (info !== null) membership.enterAgain(id, info);
        } catch (failure) {
          reject(new TxroomError("unavailable", textOf(failure), { cause: failure }));
          throw failure;
        }
        const room = membership.share();
        membership.whenStateIsHere((lost) => {
          try {
            if (lost) throw lost;
            prepare?.(room);
            room._begin();
            resolve(room);
          } catch (failure) {
            room.leave();
            reject(failure);
          }
        });
      };
      ask(done);
    });
  }

  /**
   * Returns the options with the credentials, or undefined if the request has ended.
   *
   * If `auth` fails, often because it needs the same network, the client calls it again. A TxroomError is final.
   *
   * @param {Request} request @param {Record<string, any>} options
   */
  async #credentials(request, options) {
    const { auth } = this.options;
    if (auth === undefined || "auth" in options) return options;
    for (let attempt = 0; ; attempt++) {
      try {
        const value = isFunction(auth) ? await auth() : auth;
        return value === undefined ? options : { ...options, auth: value };
      } catch (cause) {
        if (cause instanceof TxroomError) throw cause;
        request.cause = cause;
      }
      if (!request.isOpen) return undefined;
      await new Promise((resolve) => {
        request.pause = later(this.options, () => resolve(undefined), backoff(this.options, attempt));
      });
    }
  }

  // -- requests

  /** @param {Build} build @returns {Promise<[answer: any, request: Request]>} */
  #request(build) {
    return new Promise((resolve, reject) => {
      /** @type {Done} */
      const done = (error, answer) => (error ? reject(error) : resolve([answer, request]));
      const request = this._ask(build, done, { repeat: true });
    });
  }

  /**
   * Makes a request with a ref and a deadline, which is not sent yet.
   *
   * @param {Done} done
   * @param {{ answer?: Request["answer"], timeout?: number, repeat?: boolean, isEntry?: boolean }} options
   */
  #newRequest(done, { answer = "reply", timeout = this.options.requestTimeout, repeat = false, isEntry = false } = {}) {
    const { clock } = this.options;
    /** @type {Request} */
    const request = {
      ref: ++this.#lastRef,
      text: null,
      answer,
      repeat,
      isEntry,
      isCall: false,
      isOpen: true,
      isSent: false,
      sentAt: 0,
      written: 0,
      deadline: clock.now() + timeout,
      forget: () => {
        request.isOpen = false;
        this.#requests.delete(request.ref);
        clock.clearTimeout(timer);
        clock.clearTimeout(request.pause);
      },
      done: (...answer) => {
        if (!request.isOpen) return;
        request.forget();
        done(...answer);
      },
    };
    const timer = later(this.options, () => this.#tooLate(request, timeout), timeout);
    this.#requests.set(request.ref, request);
    return request;
  }

  /** @param {Request} request @param {Build} build */
  #ask(request, build) {
    if (!request.isOpen) return;
    try {
      if (this.#state === "closed") throw closedError();
      request.text = encode(build(request.ref), 1);
      checkLength(request.text, this.options.maxPayload);
    } catch (error) {
      request.done(error);
      return;
    }
    if (this.#state === "open") this.#transmit(request);
    else if (this.#state === "idle") this.#connect();
  }

  /** @param {Request} request */
  #transmit(request) {
    request.isSent = true;
    request.sentAt = this.options.clock.now();
    this._write(/** @type {string} */ (request.text));
    request.written = this.#connection.written;
  }

  /** @param {Request} request @param {number} timeout */
  #tooLate(request, timeout) {
    const { cause, isSent, text } = request;
    let error;
    if (isSent) {
      if (request.answer === "joined") this.#connection.givenUp.add(request.ref);
      error = new NoAnswer("timeout", `the server did not answer within ${timeout} ms`);
    } else if (text !== null) error = this.#unavailable(ABNORMAL, ` within ${timeout} ms`);
    else if (cause === undefined) error = new AuthFailed("timeout", `the option auth returned nothing within ${timeout} ms`);
    else error = new AuthFailed("unauthorized", `the option auth failed: ${textOf(cause)}`, { cause });
    request.done(error);
  }

  // -- the connection

  #connect() {
    const { clock, connectTimeout } = this.options;
    this.#state = "connecting";
    clock.clearTimeout(this.#timer);
    this.#deadline = later(this.options, () => this._drop(`the connection did not open within ${connectTimeout} ms`), connectTimeout);
    /** @type {AnySocket} */
    let socket;
    try {
      socket = new this.#WebSocket(this.url, PROTOCOL);
    } catch (error) {
      this.#detach();
      this.#state = "idle";
      this._report(error);
      this.#trouble = textOf(error);
      this.#finish(ABNORMAL, this.#trouble, this.#unavailable(ABNORMAL));
      return;
    }
    this.#socket = socket;
    this.#connection = newConnection(clock.now());
    /** @type {(react: (event: any) => void) => (event: any) => void} */
    const guard = (react) => (event) => {
      if (this.#socket === socket) react(event);
    };
    socket.onopen = guard(() => this.#opened(socket));
    socket.onmessage = guard((event) => this.#receive(event.data));
    // Without this listener, `ws` would end the process. Its event has the text of the error.
    socket.onerror = guard((event) => this.#socketFailed(event?.message || ""));
    socket.onclose = guard(({ code, reason }) => {
      const { errorText } = this.#connection;
      const status = Number(/server response: (\d{3})/.exec(errorText)?.[1]);
      this.#detach();
      this.#lost(closeOfStatus(status) ?? code, reason || errorText);
    });
    // In Node the number of received bytes is known before their message is complete.
    socket.on?.("upgrade", (/** @type {any} */ response) => (this.#connection.stream = response?.socket));
  }

  /** @param {Socket} socket */
  #opened(socket) {
    const { clock } = this.options;
    if (socket.protocol && socket.protocol !== PROTOCOL) {
      this._drop(`the server chose the sub-protocol ${socket.protocol}`, { code: CloseCode.misuse });
      return;
    }
    clock.clearTimeout(this.#deadline);
    this.#deadline = undefined;
    this.#state = "open";
    this.#trouble = "";
    this.#connection.openedAt = clock.now();
    for (const membership of [...this.#memberships.values()]) membership.connected();
    for (const request of [...this.#requests.values()]) {
      if (request.text !== null && !request.isSent) this.#transmit(request);
    }
    this.#notifications.opened();
    if (this.options.pingInterval) this.#heartbeat();
    this.#events.emit("connected");
  }

  /** "close" follows at once, except for a WebSocket of Node 20 that never opened. @param {string} said */
  #socketFailed(said) {
    this.#connection.errorText = said;
    if (this.#state !== "connecting") return;
    this.options.clock.clearTimeout(this.#deadline);
    this.#deadline = later(this.options, () => this._drop(said || "the connection failed"), CLOSE_TIMEOUT);
  }

  /** Forgets the socket, and ignores its further events; returns it. */
  #detach() {
    const socket = this.#socket;
    this.#socket = null;
    this.#notifications.lost();
    this.options.clock.clearTimeout(this.#timer);
    this.options.clock.clearTimeout(this.#deadline);
    this.#deadline = undefined;
    return socket;
  }

  /** @param {number} closeCode @param {string} reason @param {number} [delay] */
  #lost(closeCode, reason, delay = undefined) {
    const { clock, maxAttempts, stableAfter } = this.options;
    const { bye, ending, refusal, openedAt } = this.#connection;
    const isRefused = refusal !== null;
    let code = (closeCode < 4000 && bye?.code) || closeCode;
    if (isRefused && code === ABNORMAL) code = ERRORS.get(refusal.code)?.refused ?? code;
    // The code is about a room that has ended, and does not concern the other rooms.
    const isOfRoom = ending?.code === code;
    const wasOpen = this.#state === "open";
    if (wasOpen && clock.now() - openedAt >= stableAfter) this.#attempts = 0;
    this.#state = "waiting";
    this.#trouble = refusal?.message || reason || `the connection was closed with ${code}`;
    const limit = this.#isKnown ? maxAttempts : Math.min(maxAttempts, FIRST_ATTEMPTS - 1);
    const isFinal = !isOfRoom && !mayReconnect(code, reason);
    if (isFinal || this.#attempts >= limit) {
      this.#state = "idle";
      const error = refusal ?? (isFinal && wasOpen ? this.#closed(code, reason) : this.#unavailable(code));
      this.#reportEnd(error);
      this.#finish(code, refusal?.message || reason, error);
      return;
    }
    const attempt = this.#attempts++;
    const retryAfter = Math.min(MAX_RETRY_AFTER, Math.max(0, bye?.retryAfter ?? refusal?.details?.retryAfter ?? 0)) || 0;
    this.#isAskedToWait = retryAfter > 0;
    delay ??= retryAfter * 1000 * (1 + this.options.random() / 5) + backoff(this.options, attempt);
    this.#wait(delay); // before the listeners are called, which may call reconnect()
    for (const membership of [...this.#memberships.values()]) membership.away(code, reason);
    for (const request of [...this.#requests.values()]) {
      if (request.isCall) continue;
      // Before "bye" the server has answered all that it has read.
      const isUnread = (request.isEntry && bye !== null) || (isOfRoom && request.ref > ending.ref);
      const isAgain = request.repeat || isUnread;
      if (isAgain) request.isSent = false;
      if (isRefused && request.text !== null && request.deadline <= clock.now() + delay) request.done(refusal);
      else if (isRefused) request.isSent = false; // the server has not read it
      else if (request.isSent) {
        request.done(new TxroomError("unavailable", "the connection was lost", { details: { code } }));
      }
    }
    if (this.#state !== "waiting") return; // a listener has closed the client or reconnected
    if (!this.#isIdle(code, reason)) this.#events.emit("reconnecting", { code, reason, attempt: attempt + 1, delay });
  }

  /** If the event is one of notifications, asks for them, or connects in order to. @param {string} name */
  #askForNotifications(name) {
    if (name !== NOTIFY && !String(name).startsWith(NOTIFY_TYPE)) return;
    if (this.#state === "open") this.#notifications.subscribe();
    else if (this.#state === "idle") this.#connect();
  }

  /** @param {number} delay */
  #wait(delay) {
    this.options.clock.clearTimeout(this.#timer);
    this.#timer = later(
      this.options,
      () => {
        if (!this.#isIdle(ABNORMAL, "")) this.#connect();
      },
      delay,
    );
  }

  /** If nothing needs a connection, goes to the state "idle"; returns whether that is so. @param {number} code @param {string} reason */
  #isIdle(code, reason) {
    if (this.#memberships.size || this.#requests.size || this.#notifications.isWanted) return false;
    this.options.clock.clearTimeout(this.#timer);
    this.#attempts = 0;
    this.#state = "idle";
    this.#events.emit("disconnected", { code, reason });
    return true;
  }

  /**
   * Reports an error that ends the connection for good if there are listeners for notifications, and neither a room nor
   * a promise to tell it.
   *
   * @param {TxroomError} error
   */
  #reportEnd(error) {
    if (!this.#notifications.isWanted || this.#memberships.size) return;
    const isAwaited = [...this.#requests.values()].some(({ answer, repeat }) => answer === "joined" || repeat);
    if (!isAwaited) this._report(error);
  }

  /**
   * Ends all memberships and requests, since the client does not reconnect.
   *
   * @param {number} code @param {string} reason @param {TxroomError} error
   * @param {boolean} [isConnected] whether there was a connection, or an attempt to have one
   */
  #finish(code, reason, error, isConnected = true) {
    this.#attempts = 0;
    const memberships = [...this.#memberships.values()];
    const requests = [...this.#requests.values()].filter(({ isCall }) => !isCall);
    for (const membership of memberships) membership.end(code, reason);
    for (const request of requests) request.done(error);
    if (isConnected) this.#events.emit("disconnected", { code, reason });
  }

  /**
   * The error of requests for which there is no connection; it has the URL and the cause.
   *
   * @param {number} code @param {string} [within]
   */
  #unavailable(code, within = "") {
    const { location, navigator } = globalThis;
    let hint = "";
    if (this.url.startsWith("ws:") && location?.protocol === "https:") hint = " A page with an https: URL needs a wss: URL.";
    else if (navigator?.onLine === false) hint = " The browser is offline.";
    else if (!this.#isKnown) hint = ` Is the server running, and are the host, the port and the path right?${otherOrigin(this.url)}`;
    const message = `no connection to ${publicURL(this.url)}${within} (${this.#trouble || "the connection did not open"}).${hint}`;
    return new TxroomError(errorOf(code), message, { details: { code } });
  }

  /**
   * The error of requests after the server has closed the connection with a final code.
   *
   * @param {number} code @param {string} reason
   */
  #closed(code, reason) {
    const why = reason ? `: ${reason}` : "";
    const message = `the server at ${publicURL(this.url)} has closed the connection with ${code}${why}`;
    return new TxroomError(errorOf(code), message, { details: { code } });
  }

  // -- receiving

  /** @param {unknown} message */
  #receive(message) {
    const connection = this.#connection;
    connection.heard++;
    try {
      const frame = parse(message);
      if (connection.refusal !== null) this._report(connection.refusal);
      connection.refusal = null;
      if (frame !== null) this.#dispatch(frame);
    } catch (cause) {
      this._report(new TxroomError("badRequest", `the server sent a message that is not a frame: ${textOf(cause)}`, { cause }));
      this._drop("not a frame", { code: CloseCode.misuse });
    }
  }

  /** @param {any[]} frame */
  #dispatch(frame) {
    const [kind] = frame;
    if (kind === "error") return this.#failed(frame);
    this.#isKnown = true;
    this.#connection.isAnswered = true;
    switch (kind) {
      case "joined":
      case "reply": {
        const [, ref, ...answer] = frame;
        const request = this.#requests.get(ref);
        if (request && request.answer !== kind) throw new TypeError(`"${kind}" answers a request for "${request.answer}"`);
        if (request) this.#answered(request, null, ...answer);
        else if (kind === "joined") {
          if ((ref ?? null) === null) return this.#joinedByPath();
          if (!this.#connection.givenUp.delete(ref)) throw new TypeError('a frame "joined" that answers no request');
          this._decline(answer[0]);
        }
        break;
      }
      case "bye":
        this.#connection.bye = { code: frame[1], retryAfter: Math.max(0, frame[2] ?? 0) };
        this.#events.emit("bye", this.#connection.bye);
        break;
      case "notified":
        this.#notifications.subscribed(frame);
        break;
      case "notify":
        this.#notifications.receive(frame);
        break;
      default: {
        const membership = this.#memberships.get(kind === "call" ? frame[2] : frame[1]);
        if (kind === "left" && membership) this.#connection.ending = { code: frame[2], ref: this.#lastRef };
        membership?.receive(frame);
      }
    }
  }

  /** Ends the connection: the path of its URL joins a room, and would do so again at each reconnection. */
  #joinedByPath() {
    const url = publicURL(this.url);
    const [, rooms] = /^(.*)\/[^/]+\/?$/.exec(url) ?? [];
    const hint = rooms ? `the URL of all rooms, ${rooms}` : "the URL of all rooms";
    const error = new TxroomError("badRequest", `${url} is the URL of one room: pass ${hint}, and join by the name of the room`);
    closeSocket(this.#detach(), 1000, "the URL of one room");
    this.#state = "idle";
    this.#reportEnd(error);
    this.#finish(1000, error.message, error);
  }

  /** @param {Request} request @param {[error: any, ...answer: any[]]} answer */
  #answered(request, ...answer) {
    // What was sent before the request has arrived, too.
    this.#connection.confirmed = Math.max(this.#connection.confirmed, request.written ?? 0);
    request.done(...answer);
  }

  /** @param {any[]} frame */
  #failed([, ref, room, code, message, details]) {
    const error = new TxroomError(code, message ?? "", { details });
    const isFirst = !this.#connection.isAnswered;
    this.#connection.isAnswered = true;
    if (typeof ref === "number") {
      this.#isKnown = true;
      const request = this.#requests.get(ref);
      if (request) this.#answered(request, error);
      return;
    }
    if (isFirst && (room ?? null) === null && details?.frame !== NOTIFY) {
      this.#connection.refusal = error; // the reason, if the server closes the socket now
      return;
    }
    const membership = this.#memberships.get(room);
    if (membership) membership.refused(error);
    else if (!this.#connection.endedRooms.has(room)) this._report(error);
  }

  // -- heartbeat

  #heartbeat() {
    const { pingInterval, pingTimeout } = this.options;
    if (this.#deadline === undefined) this.#probe(pingTimeout);
    else this.#measure();
    this.#timer = later(this.options, () => this.#heartbeat(), pingInterval);
  }

  /** Pings the server, and drops the connection if nothing arrives within `timeout`. @param {number} timeout */
  #probe(timeout) {
    this.#connection.probed = this.#connection.heard;
    this.#watch(timeout);
    this.#measure();
  }

  /**
   * Drops the connection if no data moves for `timeout` after a ping.
   *
   * @param {number} timeout
   */
  #watch(timeout) {
    const { clock, requestTimeout } = this.options;
    const connection = this.#connection;
    const slow = Math.floor((connection.written - connection.confirmed) / BYTES_A_SECOND) * 1000;
    // The first frame may be large, and is not seen before it is complete.
    const least = connection.isAnswered ? 0 : requestTimeout;
    const before = this.#traffic();
    clock.clearTimeout(this.#deadline);
    const look = () => {
      this.#deadline = undefined;
      if (connection.heard > connection.probed) return;
      const { read, gone } = this.#traffic();
      // Data sent with an empty buffer proves nothing: the operating system accepts it in any case.
      if (read > before.read || (before.waiting > 0 && gone > before.gone)) this.#watch(timeout);
      else this._giveUp("no heartbeat");
    };
    this.#deadline = later(this.options, look, this._patience(Math.max(timeout, least)) + slow);
  }

  /** How many bytes were received, are in the socket's buffer, and were sent, as far as the platform tells. */
  #traffic() {
    const waiting = this.#socket?.bufferedAmount ?? 0;
    return { read: this.#connection.stream?.bytesRead ?? 0, waiting, gone: this.#connection.written - waiting };
  }

  #measure() {
    const request = this._ask(
      (ref) => ["ping", ref],
      (error) => error || this.#measured(request),
    );
  }

  /** @param {Request} request */
  #measured(request) {
    const latency = this.options.clock.now() - request.sentAt;
    this.#latency = latency;
    const isHere = [...this.#memberships.values()].every(({ status }) => status === "joined");
    if (isHere && latency <= this.options.pingTimeout) this.#patience = 1;
    this.#events.emit("latency", latency);
    return latency;
  }

  /**
   * Checks the connection at once when the network or the page comes back, without waiting for a timer.
   *
   * @param {Settings["events"]} target
   */
  #listen(target) {
    if (target === null || !isFunction(target.addEventListener)) return;
    /** @param {any} event */
    const look = (event) => {
      if (event.type === "pagehide") return this.#notifications.flush();
      if (event.type === "visibilitychange" && event.target?.visibilityState === "hidden") return;
      if (this.#state === "open") this.#probe(this.options.probeTimeout);
      else if (this.#state === "waiting" && event.type !== "offline" && !this.#isAskedToWait) this.#connect();
      // The attempt began over a network that is gone.
      else if (this.#state === "connecting" && event.type === "online") this._drop("online", { delay: 0 });
    };
    const names = ["online", "offline", "visibilitychange", "pagehide"];
    for (const name of names) target.addEventListener(name, look);
    this.#ignoreEvents = () => names.forEach((name) => target.removeEventListener(name, look));
  }
}

const closedError = () => new TxroomError("unavailable", "the client was closed");

/**
 * The data of one connection.
 *
 * @internal
 * @typedef {object} Connection
 * @property {number} openedAt
 * @property {string} errorText The text of an error event, which browsers leave empty.
 * @property {any} stream The TCP stream, in Node only.
 * @property {number} heard How many frames were received.
 * @property {number} probed How many frames had been received when the server was last pinged.
 * @property {boolean} isAnswered Whether a frame was received.
 * @property {number} written How many characters were sent.
 * @property {number} confirmed How many of them have certainly arrived.
 * @property {{ code: number, retryAfter: number } | null} bye The frame that announces the end of the connection.
 * @property {TxroomError | null} refusal
 *   An error without a ref and a room in the first frame: the reason, if the server then closes the connection.
 * @property {{ code: number, ref: number } | null} ending
 *   The code of the last frame `left`, and the ref of the last request before it.
 * @property {Set<string>} endedRooms The ids of rooms that were joined over it and have ended.
 * @property {Set<number>} givenUp The refs of joins that have timed out.
 */

/** @type {(openedAt: number) => Connection} */
const newConnection = (openedAt) => ({
  openedAt,
  errorText: "",
  stream: undefined,
  heard: 0,
  probed: 0,
  isAnswered: false,
  written: 0,
  confirmed: 0,
  bye: null,
  refusal: null,
  ending: null,
  endedRooms: new Set(),
  givenUp: new Set(),
});

/** @param {string} method @param {unknown} name */
function checkName(method, name) {
  if (isName(name)) return;
  const what = method === "joinById" ? "id" : "name";
  throw new TxroomError("badRequest", `the ${what} for ${method} must be a string of 1 to ${MAX_TYPE} characters, not ${shown(name)}`);
}

/** Returns options or a filter if they can be sent. Throws a TxroomError. @param {string} what @param {unknown} value */
function checkOptions(what, value) {
  if (!isObject(value)) throw new TxroomError("badRequest", `${what} must be an object, not ${shown(value)}`);
  if (!isLonger(encode(value), MAX_OPTIONS)) return value;
  throw new TxroomError("invalidData", `${what} must have at most ${MAX_OPTIONS} bytes as JSON`, { details: { field: what } });
}

/** The WebSocket URL; relative ones are relative to the page. @param {string | URL} url */
function absolute(url) {
  const page = globalThis.location?.href;
  if (!isText(url) && !(url instanceof URL)) throw new TypeError(`the URL must be a string, not ${shown(url)}; pass options as the second argument`);
  let parsed;
  try {
    parsed = new URL(url, page);
  } catch (cause) {
    const why = page ? "" : ", and there is no page that it could be relative to";
    throw new TypeError(`${shown(String(url))} is not a complete URL${why}: write one such as ws://localhost:8080/rooms`, { cause });
  }
  parsed.protocol = parsed.protocol.replace(/^http/, "ws");
  parsed.hash = "";
  if (parsed.pathname === "/") parsed.pathname = "/rooms";
  if (!/^wss?:$/.test(parsed.protocol)) throw new TypeError(`${shown(String(url))} is not a WebSocket URL such as ws://localhost:8080/rooms`);
  return parsed.href;
}

/**
 * The URL without the parts that may be secret: the query, and the name and password of a user.
 *
 * @param {string} url
 */
function publicURL(url) {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/** A hint for pages that come from another server than that of the URL. @param {string} url */
function otherOrigin(url) {
  const { host, origin } = globalThis.location ?? {};
  return !host || host === new URL(url).host ? "" : ` And does it allow the origin ${origin}?`;
}

/**
 * Closes a socket, whatever its state.
 *
 * @param {AnySocket | null} socket @param {number} code @param {string} reason
 */
function closeSocket(socket, code, reason) {
  try {
    // A peer that is gone does not answer. `ws` would wait for it for half a minute and keep the process alive.
    if (code === CloseCode.noHeartbeat && isFunction(socket?.terminate)) socket.terminate();
    else socket?.close(code, cut(reason, 40)); // RFC 6455 allows 123 bytes; 40 characters have at most 120
  } catch {
    // The socket was closed already.
  }
}
