// @ts-check

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

/** The codes that a {@link TxroomError} has by itself; a room may use words of its own besides. */
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

/** The close codes of rooms: 4000-4099 are final, after 4100-4199 the client comes back and resumes. */
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
 * What the client needs of a WebSocket; browsers' and `ws`'s have it.
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
 * What tells the time and wakes up.
 *
 * @typedef {object} Clock
 * @property {() => number} now Milliseconds since whenever; never goes back.
 * @property {(callback: () => void, delay: number) => any} setTimeout Calls once, after `delay` milliseconds.
 * @property {(timer: any) => void} clearTimeout Ends what `setTimeout` has returned.
 */

/**
 * What a {@link Client} can be told.
 *
 * @typedef {object} Options
 * @property {unknown | (() => unknown | Promise<unknown>)} [auth]
 *   Sent as `auth` with the options of each join: a value, or a function (may be async) that returns one.
 *
 *   One that fails is called again, within `requestTimeout`; only a `TxroomError` that it throws is final.
 * @property {new (url: any, protocols?: any) => Socket} [WebSocket]
 *   The class of the socket; default: `globalThis.WebSocket`.
 * @property {number} [connectTimeout] How long a socket may take to open; default 10 000.
 * @property {number} [requestTimeout]
 *   How long joining, resuming, listing and pinging may take, waiting for a connection included; default 15 000.
 * @property {number} [callTimeout]
 *   How long a call may take, time away included; `call(…, {timeout})` overrides it; default 15 000.
 * @property {number} [leaveTimeout] How long `room.leave()` waits for the server; default 3 000.
 * @property {number} [pingInterval] Time between two heartbeats, 0: none; default 25 000.
 * @property {number} [pingTimeout]
 *   How long the server may be silent after a heartbeat before the connection counts as lost; default 10 000.
 * @property {number} [probeTimeout]
 *   The same after the browser came online, went offline, or showed the page again; default 3 000.
 * @property {number} [minDelay]
 *   The first delay before reconnecting; it doubles with every attempt, half of it is random; default 250.
 * @property {number} [maxDelay] The longest delay, unless the server asks for a longer one; default 10 000.
 * @property {number} [stableAfter]
 *   After this long a connection counts as good, and the delay begins anew; default 5 000.
 * @property {number} [maxAttempts] Attempts to reconnect in a row before the client gives up; default Infinity.
 * @property {number} [window] Frames of a room that may be unacknowledged; default 64, the server's limit.
 * @property {number} [maxBuffered]
 *   Frames of a room that may wait, while it is away or its window is full; beyond it `send` throws; default 256.
 * @property {number} [maxPayload]
 *   The largest frame that may be sent; default 1 048 576, the server's `maxPayload`.
 * @property {boolean} [rejoin]
 *   Whether to join anew, as another member, when the server has forgotten us; default true.
 * @property {Pick<EventTarget, "addEventListener" | "removeEventListener"> | null} [events]
 *   Where "online", "offline" and "visibilitychange" happen; default the window, null: nowhere.
 * @property {Clock} [clock] What tells the time and wakes up; for tests.
 * @property {() => number} [random] A number from 0 to 1, for the jitter; for tests.
 */

/**
 * Every option of a {@link Client} with its default.
 *
 * A plain object; `WebSocket` and `events` are looked up when a client is made, so that this module can be
 * imported anywhere.
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

// -- what users get

/**
 * Ends what returned it.
 *
 * @typedef {() => void} Off
 */

/**
 * One user in a room, with one meta for each of its connections.
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
 * What was missed, and what is known.
 *
 * @template [Snapshot=any]
 * @typedef {object} Loss
 * @property {Snapshot} snapshot What `Room.snapshot` of the server gave.
 * @property {Member[]} members
 * @property {number} offset The messages that follow have greater offsets.
 * @property {{ type: string; data: any }[]} unconfirmed What we had sent, and may or may not have been handled.
 */

/**
 * Where a client is in its life: see {@link Client}.
 *
 * @typedef {"idle" | "connecting" | "open" | "waiting" | "closed"} ClientState
 */

/**
 * Where a room is in its life: see {@link Room}.
 *
 * @typedef {"joined" | "away" | "resuming" | "left"} RoomState
 */

/**
 * The room's own events; a message of such a type is for `room.onMessage`.
 *
 * @typedef {object} RoomEvents
 * @property {(members: Member[], joined: Member[], left: Member[]) => void} presence Somebody came or went.
 * @property {(ending: Ending) => void} reconnecting Away; what is sent now waits.
 * @property {() => void} recovered Back, nothing was missed.
 * @property {(loss: Loss) => void} lost Back, but messages were missed: show the snapshot.
 * @property {(ending: Ending) => void} left For good.
 * @property {(error: any) => void} error The server refused a message, or a listener or a handler threw.
 */

/**
 * The events of a client.
 *
 * @typedef {object} ClientEvents
 * @property {() => void} connected There is a connection.
 * @property {(ending: Ending & { attempt: number; delay: number }) => void} reconnecting
 *   The connection is lost; attempt number `attempt` is in `delay` ms.
 * @property {(ending: Ending) => void} disconnected
 *   There is no connection, and the client does not make one until the next join or request.
 * @property {(bye: { code: number; retryAfter: number }) => void} bye
 *   The server will close the connection, and asks to stay away for `retryAfter` seconds.
 * @property {(milliseconds: number) => void} latency A heartbeat was answered.
 * @property {(error: any) => void} error
 *   Nobody else was there to be told; without a listener it goes to the console.
 */

/**
 * A room as matchmaking lists it.
 *
 * @typedef {object} Listing
 * @property {string} room Its id.
 * @property {string} name The name it was registered with.
 * @property {number} clients
 * @property {number} maxClients 0: any number.
 * @property {boolean} locked Whether there is no joining it now: it is full, or locked.
 * @property {Record<string, any>} metadata
 */

/**
 * The data of a message of type `Type`, if the map of messages has it.
 *
 * @template Messages
 * @template {string} Type
 * @typedef {Type extends keyof Messages ? Messages[Type] : any} Data
 */

/**
 * The types that the map of messages has; any text if there is no map.
 *
 * @template Messages
 * @typedef {(keyof Messages & string) | (string & {})} TypeOf
 */

// -- the options

/** @internal @typedef {Readonly<Required<Options>>} Settings */

/** @internal @typedef {Socket & { bufferedAmount?: number, on?: Function, terminate?: () => void }} AnySocket */

/** The longest time that `setTimeout` can count: beyond it fires at once. */
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

/** What each option may be, and how to say so; others may be anything. @type {Record<string, Rule>} */
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
    "a whole number from 0 on, or Infinity",
  ],
  window: isWhole(1, 64),
  maxBuffered: isWhole(0, Number.MAX_SAFE_INTEGER),
  maxPayload: isWhole(1, Number.MAX_SAFE_INTEGER),
  rejoin: [(value) => typeof value === "boolean", "true or false"],
  events: [(value) => value === null || isFunction(value.addEventListener), "an EventTarget, or null"],
  clock: [
    (value) => ["now", "setTimeout", "clearTimeout"].every((name) => isFunction(value?.[name])),
    "an object with now(), setTimeout() and clearTimeout()",
  ],
  random: FUNCTION,
};

/** @type {(name: string, value: unknown, called?: string) => void} */
function checkOption(name, value, called = `option ${name}`) {
  const [is, allowed] = ALLOWED[name];
  if (!is(value)) throw new TypeError(`the ${called} is ${allowed}, not ${shown(value)}`);
}

/**
 * The options with their defaults; one that is undefined has its default too.
 *
 * @param {Record<string, any>} given
 */
function withDefaults(given) {
  /** @type {Record<string, any>} */
  const options = { ...DEFAULTS };
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(DEFAULTS, name)) throw new TypeError(`txroom has no option ${name}`);
    const value = given[name];
    if (value === undefined) continue;
    if (Object.hasOwn(ALLOWED, name)) checkOption(name, value);
    options[name] = value;
  }
  return /** @type {Settings} */ (Object.freeze(options));
}

/** What goes wrong. */
export class TxroomError extends Error {
  /**
   * One of {@link ErrorCode}, or a room's own word.
   *
   * @readonly
   * @type {ErrorCodeName | (string & {})}
   */
  code;
  /**
   * Whatever the server adds, e.g. the field that is wrong.
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

/** After these the client stays away, since they would happen again: protocol errors, refused frames or behaviour. */
const FINAL = new Set([1002, 1003, 1007, 1008, 1009, 1010]);
/** The reasons of a 1008 that is not final: the network was too slow for a message. */
const TOO_SLOW = new Set(["message not complete in time", "message timeout"]);

/** After so many errors "internal" in a row the client takes the server's mistake for a lasting one. */
const MAX_INTERNAL = 5;

/**
 * What an error means.
 *
 * @internal
 * @typedef {object} Meaning
 * @property {"retry" | "rejoin"} [comeback]
 *   What the client does when it is refused so as it resumes: it resumes again a little later, or joins anew as
 *   another member. With any other error it has left.
 * @property {number} [left] The code of "left" when the room is over for that; 4008 for any other.
 * @property {number} [refused] The close code of a connection that was refused so, if it got lost.
 */

/** What errors mean; the others mean no more than that something was refused. @type {Map<string, Meaning>} */
const ERRORS = new Map(
  Object.entries({
    noSuchRoom: { comeback: "rejoin", left: CloseCode.noSuchRoom, refused: CloseCode.noSuchRoom },
    roomGone: { comeback: "rejoin" },
    unauthorized: { comeback: "rejoin", left: CloseCode.unauthorized, refused: CloseCode.unauthorized },
    forbidden: { left: CloseCode.kicked, refused: CloseCode.unauthorized },
    timeout: { comeback: "retry" },
    rateLimited: { comeback: "retry", left: CloseCode.rateAbuse },
    unavailable: { comeback: "retry" },
    internal: { comeback: "retry" },
  }),
);

/**
 * Close codes that say the same as an error; any other says "unavailable".
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

/** The error of what still waits when a connection has ended for good. @type {(code: number) => string} */
const errorOf = (code) => CLOSES.get(code) ?? "unavailable";

/**
 * Whether a client comes back after a socket was closed with `code` and `reason`.
 *
 * Not after 4000-4099 nor after the errors of RFC 6455 that would repeat themselves (1002, 1003, 1007-1010),
 * but for a 1008 that says "message not complete in time": a slow link is no misbehaviour.
 *
 * @param {number} code @param {string} [reason] @returns {boolean}
 */
export function mayReconnect(code, reason = "") {
  return !(code >= 4000 && code <= 4099) && (!FINAL.has(code) || (code === 1008 && TOO_SLOW.has(reason)));
}

/**
 * The close code that says the same as the answer to an upgrade that was refused for good.
 *
 * @param {number} status
 */
function closeOfStatus(status) {
  if (status === 401 || status === 403) return CloseCode.unauthorized;
  if (status === 404) return CloseCode.noSuchRoom;
  return status >= 400 && status <= 499 && ![408, 425, 429].includes(status) ? 1008 : undefined;
}

/** @type {(code: number) => boolean} */
const mayResume = (code) => code >= 4100 && code <= 4199;

// -- frames

/** Longest types and names, codes of errors, and texts of errors that the server takes, in characters. */
const MAX_TYPE = 128;
const MAX_CODE = 64;
const MAX_REASON = 1024;
/** How deep data, options and filters may be nested. */
const MAX_DEPTH = 64;
/** Most members of a room; what tells of more is no server of txroom. */
const MAX_MEMBERS = 100_000;
/** Most calls of the server that are answered at the same time. */
const MAX_ANSWERING = 1_000;
/** In seconds: if the server asks to stay away for longer, the client connects then all the same. */
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
 * What the server says of a membership, in `joined`.
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
 * @property {unknown} [snapshot]
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
  optional(isMembers)(value.members);

/** The frames of the server: what follows the kind. @type {Map<string, Is[]>} */
const FRAMES = new Map([
  ["joined", [optional(isCount), isText, isMembership]],
  ["msg", [isText, optional(isCount), isText, isAnything]],
  ["left", [isText, isCount, optional(isText)]],
  ["ack", [isText, isCount]],
  ["reply", [isCount, isAnything]],
  ["error", [optional(isCount), optional(isText), isText, optional(isText), isAnything]],
  ["call", [isCount, isText, isText, isAnything]],
  ["presence", [isText, isMembers, isMembers]],
  ["bye", [isCount, optional(isNumber)]],
]);

/**
 * Returns the frame, null for a kind this version does not know; throws for what is no frame at all.
 *
 * @param {unknown} message @returns {any[] | null}
 */
function parse(message) {
  if (!isText(message)) throw new TypeError("it is not text");
  const frame = JSON.parse(message);
  if (!Array.isArray(frame) || !isText(frame[0])) throw new TypeError("it does not begin with its kind");
  const shape = FRAMES.get(frame[0]);
  if (shape === undefined) return null;
  if (!shape.every((is, index) => is(frame[index + 1]))) throw new TypeError(`${frame[0]} goes otherwise`);
  return frame;
}

/**
 * What is wrong with a value that JSON cannot say or the server does not take; undefined if nothing is.
 *
 * @param {any} value @returns {string | undefined}
 */
function flawOf(value) {
  if (typeof value === "bigint") return "a BigInt, which JSON does not have";
  if (typeof value === "number") {
    if (!Number.isFinite(value)) return `${value}, which JSON does not have`;
    const isLarge = value >= 2 ** 64 || value < -(2 ** 63);
    // From 1e21 on JSON has it with an exponent: to the server that is no whole number.
    if (isLarge && Number.isInteger(value) && Math.abs(value) < 1e21) return "a whole number of more than 64 bits";
  } else if (typeof value === "object" && value !== null) {
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return "bytes, which JSON does not have";
    if (isFunction(value.then)) return "a promise: await it";
    if (value instanceof Map || value instanceof Set) return "a Map or a Set, which is empty in JSON";
    if (value instanceof Number) return flawOf(Number(value));
  }
  return undefined;
}

/** An escape in JSON; `JSON.stringify` writes half a surrogate pair as one, and nothing else of that kind. */
const ESCAPE = /\\(?:ud[89a-f][0-9a-f]{2}|.)/g;

/** JSON with U+FFFD in place of half surrogate pairs. @type {(json: string) => string} */
const whole = (json) => (json.includes("\\ud") ? json.replace(ESCAPE, (all) => (all.length > 2 ? "\ufffd" : all)) : json);

/** A text in JSON. @type {(text: string) => string} */
const quote = (text) => whole(JSON.stringify(text));

/**
 * JSON of `data`; undefined is null, and half a surrogate pair U+FFFD, as in all that browsers send.
 *
 * @param {unknown} data
 * @param {number} [outer] how many layers are not the data's, but of the frame that it is in
 */
function encode(data, outer = 0) {
  /** @type {{ value: object; key: string; holder: unknown }[]} */
  const path = []; // the containers that a value is in, and where each of them is
  /** @this {unknown} @param {string} key @param {unknown} value */
  function check(key, value) {
    while (path.length && path.at(-1)?.value !== this) path.pop();
    let flaw = flawOf(value);
    if (!flaw && typeof value === "object" && value !== null) {
      if (path.some((each) => each.value === value)) flaw = "what contains itself";
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

/** The beginning of `text`; no character is cut in two. @type {(text: string, limit: number) => string} */
const cut = (text, limit) => (text.length > limit ? text.slice(0, limit).replace(/[\ud800-\udbff]$/, "") : text);

/** A value in an error message. @param {unknown} value @returns {string} */
function shown(value) {
  if (isText(value)) return JSON.stringify(cut(value, 60));
  if (isFunction(value)) return "a function";
  if (Array.isArray(value)) return "an array";
  return isObject(value) ? "an object" : String(value);
}

/**
 * Whether it is a text of 1 to `MAX_TYPE` characters, as types and names are.
 *
 * @param {unknown} value @returns {value is string}
 */
const isName = (value) => isText(value) && value !== "" && (value.length <= MAX_TYPE || [...value].length <= MAX_TYPE);

/**
 * Whether `text` has more bytes in UTF-8 than `limit`; they are counted only if there could be.
 *
 * @param {string} text @param {number} limit
 */
function isLonger(text, limit) {
  return text.length > limit || (text.length * 3 > limit && new TextEncoder().encode(text).length > limit);
}

/** @param {string} text @param {number} limit */
function checkLength(text, limit) {
  if (isLonger(text, limit)) throw new TxroomError("invalidData", `larger than ${limit} bytes`);
}

const ignore = () => {};

/**
 * A timer, however far away.
 *
 * @type {(settings: { clock: Clock }, callback: () => void, delay: number) => any}
 */
const later = ({ clock }, callback, delay) => clock.setTimeout(callback, Math.min(delay, MAX_TIME));

// -- what a page leaves to the next

/** A page that resumes for another numbers its requests from the next multiple of this on: they are unused. */
const REFS = 1_000_000;

/** Reads a `room.reconnectionToken`. Throws for a text that it is not. @param {string} text */
function readToken(text) {
  try {
    const { room, token, ref, method, target, options } = JSON.parse(text);
    const isWhole = [room, token, target].every(isText) && isCount(ref) && isObject(options);
    if (!isWhole || !Object.hasOwn(JOIN_FRAMES, method)) throw new TypeError("it is not whole");
    return { room, token, ref, joinRequest: { method, target, options } };
  } catch (cause) {
    throw new TxroomError("badRequest", "that is no reconnectionToken", { cause });
  }
}

// -- events

/** @internal @typedef {((...args: any[]) => any) & { listener?: Listener }} Listener */

/** Calls listeners. What one throws goes to `report`, but for those of "error". */
class Emitter {
  #report;
  /** @type {Map<string, Listener[]>} */
  #listeners = new Map();

  /** @param {(error: any) => void} report */
  constructor(report) {
    this.#report = report;
  }

  /**
   * Calls `listener` at each event of that name; returns a function that ends it.
   *
   * @param {string} name @param {Listener} listener
   */
  on(name, listener) {
    if (!isFunction(listener)) throw new TypeError(`the listener of ${String(name)} is no function`);
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
    return () => this.off(name, listener);
  }

  /** The same for the next event only. @param {string} name @param {Listener} listener */
  once(name, listener) {
    if (!isFunction(listener)) return this.on(name, listener); // refuses it
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
   * Ends what `on` or `once` began; without a listener, for all of that name.
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

  /** Whether anybody listens. @param {string} name */
  has(name) {
    return this.#listeners.has(name);
  }

  /** Tells them; whether there was anybody. @param {string} name @param {any[]} args */
  emit(name, ...args) {
    const listeners = this.#listeners.get(name) ?? [];
    for (const listener of listeners) {
      try {
        const result = listener(...args);
        if (isFunction(result?.then)) result.then(ignore, (/** @type {unknown} */ error) => this.#failed(name, error));
      } catch (error) {
        this.#failed(name, error);
      }
    }
    return listeners.length > 0;
  }

  /** @param {string} name @param {unknown} error */
  #failed(name, error) {
    if (name === "error") console.error(error);
    else this.#report(error);
  }
}

// -- what a room sends

/**
 * A message or a call on its way to the server.
 *
 * @internal
 * @typedef {object} Pending
 * @property {Room} room The join that sends it.
 * @property {"send" | "call"} kind
 * @property {string} type
 * @property {string} data In JSON.
 * @property {number} [n] Its number, once it was sent.
 * @property {number} [ref] Of a call: the number of its answer.
 * @property {boolean} [isAwaited] Of a call: whether its answer is waited for.
 * @property {boolean} [isAnswered]
 * @property {() => void} acknowledged
 * @property {(error: unknown) => void} fail
 */

/** @internal @typedef {Pending & { n: number }} Numbered */

/**
 * The messages and calls of one membership: those that wait, and those that are sent, numbered 1, 2, …
 *
 * A frame gets its number when it is sent, and keeps it. A send is forgotten when it is acknowledged. A call
 * is forgotten when it is acknowledged and answered (or nobody waits for the answer any more), so that
 * what is held after an acknowledgement has no gap.
 */
class SendQueue {
  #window;
  /** @type {Pending[]} */
  #waiting = [];
  /** @type {Numbered[]} */
  #held = [];
  #last = 0;
  #acknowledged = 0;
  /** The last number that is not ours, but of an earlier page of the same membership. */
  #base = 0;

  /** @param {number} window */
  constructor(window) {
    this.#window = window;
  }

  get waiting() {
    return this.#waiting.length;
  }

  /** The types of the messages that are sent and not acknowledged. */
  get sentTypes() {
    return this.#held.filter(({ kind, n }) => kind === "send" && n > this.#acknowledged).map(({ type }) => type);
  }

  /** @param {Pending} pending */
  add(pending) {
    this.#waiting.push(pending);
  }

  /**
   * The next frame to send, numbered; undefined if none waits or the window is full.
   *
   * The window begins at the oldest frame that is held: the server keeps the answers of as many frames, and
   * one that was lost on its way must not be forgotten before it is asked for again.
   */
  next() {
    const done = this.#held.length ? Math.min(this.#acknowledged, this.#held[0].n - 1) : this.#acknowledged;
    if (!this.#waiting.length || this.#last >= done + this.#window) return undefined;
    const pending = /** @type {Numbered} */ (this.#waiting.shift());
    pending.n = ++this.#last;
    this.#held.push(pending);
    return pending;
  }

  /** The server has handled all up to `n`; false if so many were never sent. @param {number} n */
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

  /** Nobody waits for the answer any more. @param {Pending} pending */
  abandon(pending) {
    pending.isAwaited = false;
    if (pending.n === undefined) this.#waiting = this.#waiting.filter((other) => other !== pending);
    else this.#forget();
  }

  /**
   * The server resumes this membership, of which it has handled `handled` frames, and has `accepted`.
   *
   * Returns the frames to send again, in order; null if those counts can't be ours.
   *
   * @param {number} handled @param {number} accepted
   */
  resume(handled, accepted) {
    if (handled < this.#acknowledged || handled > this.#last || accepted < this.#base) return null;
    this.acknowledge(handled);
    return [...this.#held];
  }

  /**
   * Another membership begins, or one of which we don't know the beginning.
   *
   * Returns the frames that were sent and of which nothing is known.
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

  /** Takes everything out, and returns it. */
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

// -- rooms

/** What `room.on` takes besides the types of messages. A message of such a type: `room.onMessage`. */
const ROOM_EVENTS = new Set(["presence", "reconnecting", "recovered", "lost", "left", "error"]);

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
 *
 * @template {object} [Messages=any]
 */
export class Room {
  #client;
  #membership;
  #events = new Emitter((error) => this._report(error));
  #messages = new Emitter((error) => this._report(error));
  /** @type {Map<string, (data: any) => unknown>} */
  #handlers = new Map();
  /**
   * What happens before whoever awaited the join had the time to add listeners; null afterwards.
   *
   * @type {(() => void)[] | null}
   */
  #held = [];
  #isLeft = false;
  /** @type {Promise<void> | null} */
  #leaving = null;

  /**
   * Rooms are made by `client.join` and its like.
   *
   * @private
   * @param {Client} client
   * @param {Membership} membership
   */
  constructor(client, membership) {
    this.#client = client;
    this.#membership = membership;
    // Whoever awaits the join gets to add listeners before the first event.
    later(client.options, () => this.#release(), 0);
  }

  /** The id of the room; it changes if the client has to join another one after a loss. @returns {string} */
  get id() {
    return this.#membership.id;
  }

  /** The name it was registered with. @returns {string} */
  get name() {
    return this.#membership.name;
  }

  /** The id of this membership. @returns {string} */
  get member() {
    return this.#membership.member;
  }

  /** What `Room.snapshot` of the server gave at the last join or loss. @returns {any} */
  get snapshot() {
    return this.#membership.snapshot;
  }

  /** The client it was joined with. @returns {Client} */
  get client() {
    return this.#client;
  }

  /** Where it is in its life, see above. @returns {RoomState} */
  get state() {
    return this.#isLeft ? "left" : this.#membership.state;
  }

  /** The offset of the last message received. @returns {number} */
  get offset() {
    return this.#membership.offset;
  }

  /** Which log the offset is of. @returns {string} */
  get epoch() {
    return this.#membership.epoch;
  }

  /** Who is here, if the room has presence. @returns {Member[]} */
  get members() {
    return this.#membership.members;
  }

  /**
   * What `client.resume` takes, also in the next page; null when the room was left.
   *
   * Look at it when you need it, at best on "pagehide": with every connection it is another. Whoever has it can
   * take the membership over, so keep it secret. The options of the join are in it, but for `auth`.
   *
   * @returns {string | null}
   */
  get reconnectionToken() {
    return this.#isLeft ? null : this.#membership.reconnectionToken;
  }

  /** How many frames wait to be sent. @returns {number} */
  get buffered() {
    return this.#membership.buffered;
  }

  /**
   * Calls `listener` at one of the room's own events, see {@link RoomEvents}; returns a function that ends it.
   *
   * @template {keyof RoomEvents} Name
   * @overload
   * @param {Name} name
   * @param {RoomEvents[Name]} listener
   * @returns {Off}
   */
  /**
   * Calls `listener` at messages of that type, with the data and the offset (null: volatile).
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
   * Calls `listener` at the next of the room's own events of that name only.
   *
   * @template {keyof RoomEvents} Name
   * @overload
   * @param {Name} name
   * @param {RoomEvents[Name]} listener
   * @returns {Off}
   */
  /**
   * Calls `listener` at the next message of that type only.
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
   * Ends what `on` or `once` began; without a listener, for all of that name.
   *
   * @param {string} name @param {(...args: any[]) => void} [listener] @returns {void}
   */
  off(name, listener) {
    this.#emitterOf(name).off(name, listener);
  }

  /**
   * Calls `listener` at messages of the types that have no listener of their own.
   *
   * @overload
   * @param {"*"} type
   * @param {(type: string, data: any, offset: number | null) => void} listener
   * @returns {Off}
   */
  /**
   * Calls `listener` at messages of that type, whatever it is named.
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
   * Calls `listener(members, joined, left)` when somebody comes or goes.
   *
   * @param {RoomEvents["presence"]} listener @returns {Off}
   */
  onPresence(listener) {
    return this.on("presence", listener);
  }

  /**
   * Answers the server's calls of that type with what `handler(data)`, which may be async, returns.
   *
   * Throw a {@link TxroomError} to choose what the server is told; of any other error it is told "internal",
   * and the error goes to the listeners of "error". Returns a function that ends it.
   *
   * @param {string} type @param {(data: any) => unknown | Promise<unknown>} handler @returns {Off}
   */
  handle(type, handler) {
    if (!isFunction(handler)) throw new TypeError(`the handler of ${type} is no function`);
    this.#handlers.set(type, handler);
    return () => {
      if (this.#handlers.get(type) === handler) this.#handlers.delete(type);
    };
  }

  /**
   * Sends a message, now or when the room is back; the server handles it exactly once.
   *
   * Throws a TxroomError if it can't be accepted: "roomGone" after the room was left, "unavailable" or
   * "rateLimited" when `maxBuffered` frames wait, "invalidData" if it has no JSON or is too large. The
   * promise, which need not be awaited, resolves when the server has handled the message.
   *
   * A `volatile` message is sent only if it can be now, may get lost, and resolves at once.
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
   * Asks the room; the promise has the answer. It is handled at most once, also across a lost connection.
   *
   * Rejects with the server's error, with "timeout" after `timeout` milliseconds, with "replyLost" if it was
   * or may have been handled but the answer is lost, with "roomGone" when the room is left.
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

  /** The time to the server and back, in milliseconds. @returns {Promise<number>} */
  ping() {
    return this.#client.ping();
  }

  /**
   * Leaves, after what was sent before. Resolves when the server has said so, or after `leaveTimeout`; at once
   * if another join has the same membership, which goes on.
   *
   * By then the server is asked to let go in any case, and what still waited is not sent. Only if there is no
   * connection it is not told: it gives up the seat by itself, when `resumeSeconds` are over.
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

  /** One of the room's own events. @internal @param {keyof RoomEvents} name @param {any[]} args */
  _tell(name, ...args) {
    this._deliver(() => void this.#events.emit(name, ...args));
  }

  /**
   * A message has come.
   *
   * @internal @param {string} type @param {unknown} data @param {number | null} offset
   */
  _message(type, data, offset) {
    this._deliver(() => {
      if (this.#messages.emit(type, data, offset) || this.#messages.emit("*", type, data, offset)) return;
      this.#membership.warnUnheard(type);
    });
  }

  /** Whether anybody listens to messages of that type. @internal @param {string} type */
  _hasListener(type) {
    return this.#messages.has(type) || this.#messages.has("*");
  }

  /** Whether anybody here listens to errors. @internal */
  get _hasErrorListener() {
    return this.#events.has("error");
  }

  /** The handler of the server's calls of that type. @internal @param {string} type */
  _handler(type) {
    return this.#handlers.get(type);
  }

  /** It was left. @internal @param {number} code @param {string} reason */
  _end(code, reason) {
    this.#isLeft = true;
    this._tell("left", { code, reason });
  }

  /** Something went wrong that nobody waits for. @internal @param {unknown} error */
  _report(error) {
    if (this._hasErrorListener) this._tell("error", error);
    else this.#client._report(error);
  }

  /** Lets it happen when it is time to. @internal @param {() => void} event */
  _deliver(event) {
    if (this.#held === null) event();
    else this.#held.push(event);
  }

  #release() {
    const held = this.#held ?? [];
    for (let event = held.shift(); event; event = held.shift()) event();
    this.#held = null;
  }
}

/** @internal @typedef {"joinOrCreate" | "join" | "create" | "joinById"} Method */

/**
 * How a room was joined, and is joined again if need be.
 *
 * @internal
 * @typedef {object} JoinRequest
 * @property {Method} method
 * @property {string} target The name or the id.
 * @property {Record<string, any>} options
 */

/** @internal @typedef {(error: any, id?: any, info?: any) => void} JoinDone */

/**
 * What the server knows as one member of a room, and the joins here that share it (`rooms`).
 *
 *     joined --connection lost, left 41xx--> away --connected, a little later--> resuming
 *     resuming --joined--> joined    --error for now--> away    --error for good--> left
 *     resuming --forgotten: joins anew--> resuming
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
  /** @type {RoomState} */
  state = "away";
  epoch = "";
  offset = 0;
  /**
   * Asked to end.
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
  #token = "";
  #attempts = 0;
  /** How often in a row resuming has failed with "internal". */
  #internal = 0;
  #since = 0;
  /** Counts up when a membership or a connection begins or ends; what was begun under another number is ignored. */
  #round = 0;
  /** @type {unknown} */
  #timer;
  /** How many calls of the server are being answered. */
  #answering = 0;
  /** The types that nobody listens to, and of which that was said. @type {Set<string>} */
  #warnedTypes = new Set();
  /** The type of the last volatile message, if there was one. @type {string[]} */
  #volatile = [];

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

  get reconnectionToken() {
    const { seat, auth, ...options } = this.#joinRequest.options; // a seat is used once, and credentials are not kept
    const { method, target } = this.#joinRequest;
    const ref = this.#client._lastRef;
    return JSON.stringify({ room: this.id, token: this.#token, ref, method, target, options });
  }

  get buffered() {
    return this.#sendQueue.waiting;
  }

  // -- for rooms

  /** Makes a room for one more join that shares this membership. */
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
      if (this.state === "joined") this.#write(pending);
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
        settle(new TxroomError("timeout", `no answer to ${type} within ${timeout} ms`));
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

  /** A room is left, and with the last one the membership. @param {Room} room @returns {Promise<void>} */
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

  /** Warns, once for each type, that a message of that type has reached nobody. @param {string} type */
  warnUnheard(type) {
    const isHeard = [...this.rooms].some((room) => room._hasListener(type));
    if (isHeard || this.#warnedTypes.has(type) || this.#warnedTypes.size >= 100) return;
    this.#warnedTypes.add(type);
    const [what, where] = [shown(type), shown(this.name)];
    console.warn(`txroom: nobody listens to the messages ${what} of the room ${where}: room.on(${what}, …) does`);
  }

  // -- towards the client

  /** The server has answered the first join. @param {string} id @param {MembershipInfo} info */
  enter(id, info) {
    this.#apply(id, info, false);
  }

  /**
   * The server has answered another join with the room that we are in already.
   *
   * @param {string} id @param {MembershipInfo} info
   */
  enterAgain(id, info) {
    const isSame = this.state === "joined" && info.member === this.member;
    if (!isSame || !this.#sendQueue.acknowledge(info.handled)) return this.#readmit(id, info, false);
    this.#token = info.token;
    this.#pump();
  }

  /** There is a connection. */
  connected() {
    if (this.state === "away") this.#resume();
  }

  /** There is none, or the room is not reachable through it. @param {number} code @param {string} reason */
  away(code, reason) {
    if (this.state === "left") return;
    const wasJoined = this.state === "joined";
    this.#options.clock.clearTimeout(this.#timer);
    this.state = "away";
    this.#round++;
    if (this.leaving?.isSent) this.end(1000, "left");
    else if (wasJoined) {
      if (this.#options.clock.now() - this.#since >= this.#options.stableAfter) this.#attempts = 0;
      this.#tell("reconnecting", { code, reason });
    }
  }

  /** A frame for this room. @param {any[]} frame */
  receive(frame) {
    if (frame[0] === "left") return this.#left(frame[2], frame[3] ?? "");
    if (this.state !== "joined") return; // of the former connection: it comes again, or is in `joined`
    switch (frame[0]) {
      case "msg":
        this.#message(frame[2] ?? null, frame[3], frame[4]);
        break;
      case "presence":
        this.#presence(frame[2], frame[3]);
        this.#tell("presence", this.members, frame[2], frame[3]);
        break;
      case "call":
        this.#called(frame[1], frame[3], frame[4]);
        break;
      case "ack":
        if (!this.#sendQueue.acknowledge(frame[2])) throw new TypeError("an acknowledgement of what was not sent");
        this.#pump();
        break;
    }
  }

  /** We have left the room for good. @param {number} code @param {string} reason */
  end(code, reason) {
    if (this.state === "left") return;
    const { clock } = this.#options;
    this.state = "left";
    this.#round++;
    clock.clearTimeout(this.#timer);
    this.#client._remove(this);
    const error = new TxroomError("roomGone", reason || `the room was left (${code})`, { details: { code } });
    for (const pending of this.#sendQueue.clear()) pending.fail(error);
    for (const room of this.rooms) room._end(code, reason);
    if (this.leaving !== null) {
      clock.clearTimeout(this.leaving.timer);
      this.leaving.done();
    }
  }

  /**
   * Something went wrong that nobody waits for: told to the joins that listen to errors, else to the client.
   *
   * @param {unknown} error
   * @param {string} [what] said with it in the console
   */
  report(error, what = "") {
    const rooms = [...this.rooms].filter((room) => room._hasErrorListener);
    for (const room of rooms) room._report(error);
    if (!rooms.length) this.#client._report(error, what);
  }

  /**
   * The server has refused a message. Its error does not say which: one that is not acknowledged yet, or volatile.
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
    this.state = "resuming";
    const round = ++this.#round;
    /** @type {Build} */
    const frame = (ref) => ["resume", ref, this.id, this.#token, this.epoch, this.offset];
    /** @type {JoinDone} */
    const done = (error, id, info) => {
      if (round !== this.#round) this.#client._decline(id);
      else if (!error) this.#readmit(id, info, true);
      else if (ERRORS.get(error.code)?.comeback === "rejoin" && this.#options.rejoin && !this.leaving) this.#rejoin();
      else this.#refused(error);
    };
    this.#client._ask(frame, done, { answer: "joined", timeout: this.#client._patience(this.#options.requestTimeout) });
  }

  /** Joins anew: the same room if it is still there, else by the same request as at first. */
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
          this.end(CloseCode.roomClosed, "instead there is a room that was joined already");
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

  /** Resumes a little later, over the connection there is. @param {number} code @param {string} reason */
  #retry(code, reason) {
    this.away(code, reason);
    if (this.state !== "away") return;
    const again = () => {
      if (this.#client.state === "open") this.connected();
    };
    this.#timer = later(this.#options, again, backoff(this.#options, this.#attempts++));
  }

  /** @param {string} id @param {MembershipInfo} info @param {boolean} isResumed */
  #readmit(id, info, isResumed) {
    const unconfirmed = this.#apply(id, info, isResumed);
    const gone = new TxroomError("replyLost", "it may or may not have been handled");
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
   * A member, again: sends what is still held, with its old numbers, then what waited.
   *
   * Returns the frames that were sent to a membership which is no more, and of which nothing is known.
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
    this.#presence(info.members ?? [], []);
    this.#options.clock.clearTimeout(this.#timer);
    this.#round++;
    this.state = "joined";
    this.#internal = 0;
    this.#since = this.#options.clock.now();
    this.#client._add(this, former);
    for (const pending of again ?? []) this.#write(pending);
    this.#pump();
    return unconfirmed;
  }

  /** @param {number} code @param {string} reason */
  #left(code, reason) {
    // While resuming over the same connection it is the former membership there that ends.
    if (this.state === "resuming" && (mayResume(code) || code === CloseCode.replaced)) return;
    if (mayResume(code) && !this.leaving) this.#retry(code, reason);
    else this.end(code, reason);
  }

  /** Nobody waits any longer for the room to be left; what still waits to be sent is not sent. */
  #tooLate() {
    if (this.state === "joined" && !this.leaving?.isSent) this.#client._leave(this.id);
    this.end(1000, "left");
  }

  // -- in

  /** @param {number | null} offset @param {string} type @param {unknown} data */
  #message(offset, type, data) {
    if (offset !== null) {
      if (offset <= this.offset) return;
      this.offset = offset;
    }
    for (const room of [...this.rooms]) room._message(type, data, offset);
  }

  /**
   * Users by their id; a meta is known by its member, and one that comes again replaces the former. Who stays
   * keeps the place, as in the server's list: a meta in both lists has changed.
   *
   * @param {Member[]} joined @param {Member[]} left
   */
  #presence(joined, left) {
    const here = new Set(joined.flatMap(({ user, metas }) => metas.map((meta) => keyOf([user, keyOfMeta(meta)]))));
    for (const { user, metas } of left) {
      const known = this.#members.get(keyOf(user))?.metas;
      for (const meta of metas) if (!here.has(keyOf([user, keyOfMeta(meta)]))) known?.delete(keyOfMeta(meta));
    }
    for (const { user, metas } of joined) {
      const known = this.#members.get(keyOf(user)) ?? { user, metas: new Map() };
      for (const meta of metas) known.metas.set(keyOfMeta(meta), meta);
      this.#members.set(keyOf(user), known);
    }
    for (const { user } of left) if (!this.#members.get(keyOf(user))?.metas.size) this.#members.delete(keyOf(user));
    let count = 0;
    for (const { metas } of this.#members.values()) count += metas.size;
    if (count > MAX_MEMBERS) throw new RangeError("too many members");
  }

  /**
   * The newest join that has a handler answers. The answer goes to the connection that asked, or nowhere.
   *
   * @param {number} ref @param {string} type @param {unknown} data
   */
  #called(ref, type, data) {
    const round = this.#round;
    const rooms = [...this.rooms].reverse();
    /** @param {string} frame */
    const write = (frame) => {
      if (round === this.#round && this.state === "joined") this.#client._write(frame);
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
          room._report(error); // of what the handler has returned
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
    if (handler === undefined) throw new TxroomError("unknownType", `no handler of ${type}`);
    if (this.#answering > MAX_ANSWERING) throw new TxroomError("rateLimited", "too many calls at the same time");
    return handler(data);
  }

  /** @param {keyof RoomEvents} name @param {any[]} args */
  #tell(name, ...args) {
    for (const room of [...this.rooms]) room._tell(name, ...args);
  }

  // -- out

  /** @param {Room} room @param {Pending["kind"]} kind @param {string} type @param {unknown} data */
  #newPending(room, kind, type, data) {
    if (!isName(type)) {
      throw new TxroomError("badRequest", `the type of a message is a text of 1 to ${MAX_TYPE} characters, not ${shown(type)}`);
    }
    /** @type {Pending} */
    const pending = { room, kind, type, data: encode(data), acknowledged: ignore, fail: ignore };
    // Its number and its ref have place, too.
    checkLength(this.#text(pending), this.#options.maxPayload - (kind === "call" ? 32 : 16));
    return pending;
  }

  /** @param {Pending} pending */
  #submit(pending) {
    const { maxBuffered } = this.#options;
    if (this.state === "left" || this.leaving) throw new TxroomError("roomGone", "the room was left");
    if (this.#sendQueue.waiting >= maxBuffered) {
      const isHere = this.state === "joined";
      throw new TxroomError(isHere ? "rateLimited" : "unavailable", `${maxBuffered} messages wait already`);
    }
    this.#sendQueue.add(pending);
    this.#pump();
  }

  #pump() {
    if (this.state !== "joined") return;
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
 * The delay before attempt `attempt` (0, 1, …): doubling, bounded, half of it random.
 *
 * @param {Settings} settings @param {number} attempt
 */
function backoff({ minDelay, maxDelay, random }, attempt) {
  const delay = Math.min(maxDelay, minDelay * 2 ** Math.min(attempt, 32));
  return (delay * (1 + random())) / 2;
}

/** The error of a request that the server has not answered. */
class NoAnswer extends TxroomError {}

/** The error of a request that could not be made, since `auth` failed or took too long. */
class AuthFailed extends TxroomError {}

/** Whether it is worth while to try again a little later. @type {(error: TxroomError) => boolean} */
const isTemporary = (error) => error instanceof AuthFailed || ERRORS.get(error.code)?.comeback === "retry";

// -- the client

/**
 * The frame of a request with that number.
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
 * @property {string | null} text The frame; null if it is not known yet.
 * @property {"reply" | "joined"} answer The kind of frame that answers it.
 * @property {boolean} repeat Whether it is asked again over the next connection.
 * @property {boolean} isCall Whether it is the call of a membership, which asks it itself.
 * @property {boolean} isOpen
 * @property {boolean} isSent
 * @property {number} sentAt
 * @property {number} written The characters that were sent over the connection, this included.
 * @property {number} deadline
 * @property {unknown} [cause] Why the last attempt to get `auth` failed.
 * @property {unknown} [pause] The timer of the next attempt.
 * @property {() => void} forget
 * @property {Done} done
 */

/** What waits for the answer to the call of a membership, which sends it itself. @type {Request} */
const CALL = Object.freeze({
  ref: 0,
  text: null,
  answer: "reply",
  repeat: false,
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
 * The first element of the frame by which each method joins.
 *
 * @type {Record<Method, string>}
 */
const JOIN_FRAMES = { joinOrCreate: "join", join: "joinOnly", create: "create", joinById: "joinById" };

/** A client that was never connected gives up after so many attempts. */
const FIRST_ATTEMPTS = 5;
/** How long "close" may take after an error. */
const CLOSE_TIMEOUT = 100;
/** For so many bytes that may be on their way still, the server has a second more to answer. */
const BYTES_A_SECOND = 4096;
/** How many times longer than usual the client waits at most, after it has given up slow connections. */
const MAX_PATIENCE = 8;

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
  /**
   * The options, defaults included.
   *
   * @readonly
   * @type {Readonly<Required<Options>>}
   */
  options;
  /**
   * Where it connects to.
   *
   * @readonly
   * @type {string}
   */
  url;
  #events = new Emitter((error) => this._report(error));
  #WebSocket;
  /** @type {ClientState} */
  #state = "idle";
  /** By the ids of the rooms. @type {Map<string, Membership>} */
  #memberships = new Map();
  /** By their numbers. @type {Map<number, Request>} */
  #requests = new Map();
  /** Joins under way, by their method, target and options. @type {Map<string, Promise<Room>>} */
  #pendingJoins = new Map();
  #lastRef = 0;
  #attempts = 0;
  #isAskedToWait = false;
  /** Whether a server of rooms was ever there. */
  #isKnown = false;
  /** Why there is no connection, as far as it is known. */
  #trouble = "";
  /** How many times longer than usual it waits for the server: see `_giveUp`. */
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
  /** What is known of the connection that `#socket` is, or was. */
  #connection = newConnection(0);

  /**
   * @param {string | URL} [url] where the rooms are, `ws:`, `wss:`, `http:`, `https:` or relative to the page;
   *   without a path: "/rooms"
   * @param {Options} [options] see {@link DEFAULTS}
   */
  constructor(url = "/rooms", options = {}) {
    this.options = withDefaults(options);
    /** @type {Settings["WebSocket"]} */
    this.#WebSocket = this.options.WebSocket ?? globalThis.WebSocket;
    if (typeof this.#WebSocket !== "function") throw new TypeError("no WebSocket here: pass one as an option");
    this.url = absolute(url);
    this.#listen(this.options.events === undefined ? globalThis : this.options.events);
  }

  /** Where it is in its life, see above. @returns {ClientState} */
  get state() {
    return this.#state;
  }

  /**
   * Milliseconds to the server and back at the last heartbeat; undefined before the first.
   *
   * @returns {number | undefined}
   */
  get latency() {
    return this.#latency;
  }

  /**
   * Calls `listener` at one of the client's events, see {@link ClientEvents}; returns a function that ends it.
   *
   * @template {keyof ClientEvents} Name
   * @param {Name} name
   * @param {ClientEvents[Name]} listener
   * @returns {Off}
   */
  on(name, listener) {
    return this.#events.on(name, listener);
  }

  /**
   * Calls `listener` at the next event of that name only.
   *
   * @template {keyof ClientEvents} Name
   * @param {Name} name
   * @param {ClientEvents[Name]} listener
   * @returns {Off}
   */
  once(name, listener) {
    return this.#events.once(name, listener);
  }

  /**
   * Ends what `on` or `once` began; without a listener, for all of that name.
   *
   * @template {keyof ClientEvents} Name
   * @param {Name} name
   * @param {ClientEvents[Name]} [listener]
   * @returns {void}
   */
  off(name, listener) {
    this.#events.off(name, listener);
  }

  /** The rooms that are not left. @returns {Room[]} */
  get joined() {
    return [...this.#memberships.values()].flatMap(({ rooms }) => [...rooms]);
  }

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
   *
   * @template {object} [Messages=any]
   * @param {string} name
   * @param {object} [options]
   * @param {(room: Room<Messages>) => void} [prepare]
   * @returns {Promise<Room<Messages>>}
   */
  joinOrCreate(name, options = {}, prepare = undefined) {
    return this.#enter("joinOrCreate", name, options, prepare);
  }

  /**
   * Joins a room of that name that exists.
   *
   * @template {object} [Messages=any]
   * @param {string} name
   * @param {object} [options]
   * @param {(room: Room<Messages>) => void} [prepare]
   * @returns {Promise<Room<Messages>>}
   */
  join(name, options = {}, prepare = undefined) {
    return this.#enter("join", name, options, prepare);
  }

  /**
   * Makes a new room of that name and joins it.
   *
   * @template {object} [Messages=any]
   * @param {string} name
   * @param {object} [options]
   * @param {(room: Room<Messages>) => void} [prepare]
   * @returns {Promise<Room<Messages>>}
   */
  create(name, options = {}, prepare = undefined) {
    return this.#enter("create", name, options, prepare);
  }

  /**
   * Joins the room of that id.
   *
   * @template {object} [Messages=any]
   * @param {string} id
   * @param {object} [options]
   * @param {(room: Room<Messages>) => void} [prepare]
   * @returns {Promise<Room<Messages>>}
   */
  joinById(id, options = {}, prepare = undefined) {
    return this.#enter("joinById", id, options, prepare);
  }

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
   *
   * @template {object} [Messages=any]
   * @param {string} token
   * @param {(room: Room<Messages>) => void} [prepare]
   * @returns {Promise<Room<Messages>>}
   */
  async resume(token, prepare = undefined) {
    const { room, token: secret, ref, joinRequest } = readToken(token);
    this.#lastRef = Math.max(this.#lastRef, (Math.floor(ref / REFS) + 1) * REFS);
    // An epoch that is none: we have seen nothing of what it has.
    /** @type {Build} */
    const frame = (ref) => ["resume", ref, room, secret, "", 0];
    return this.#admit(joinRequest, prepare, (done) => this._ask(frame, done, { answer: "joined" }));
  }

  /**
   * The rooms of that name, or of any, that match the filter.
   *
   * @param {string | null} [name] @param {object} [filter] @returns {Promise<Listing[]>}
   */
  async query(name = null, filter = {}) {
    if (name !== null) checkName("query", name);
    const [rooms] = await this.#request((ref) => ["rooms", ref, name, checkObject("filter", filter)]);
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

  /** The time to the server and back, in milliseconds. @returns {Promise<number>} */
  ping() {
    return this.#request((ref) => ["ping", ref]).then(([, request]) => this.#measured(request));
  }

  /**
   * Gives up the connection, if there is one, and makes another after `delay` milliseconds.
   *
   * @param {number} [delay] @returns {void}
   */
  reconnect(delay = 0) {
    checkOption("minDelay", delay, "delay");
    if (this.#state === "open" || this.#state === "connecting") this._drop("reconnect", { delay });
    else if (this.#state === "waiting") this.#wait(delay);
  }

  /** Leaves all rooms and closes the connection, for good. @returns {void} */
  close() {
    if (this.#state === "closed") return;
    for (const { state, id } of this.#memberships.values()) if (state === "joined") this._leave(id);
    const socket = this.#detach();
    this.#state = "closed";
    this.#ignoreEvents();
    closeSocket(socket, 1000, "");
    this.#finish(1000, "closed", closedError());
  }

  // -- for memberships

  /** The number of the last request. @internal */
  get _lastRef() {
    return this.#lastRef;
  }

  /**
   * A number for an answer that `done(error, data)` waits for, across connections.
   *
   * @internal @param {Done} done
   */
  _expect(done) {
    const ref = ++this.#lastRef;
    this.#requests.set(ref, { ...CALL, ref, done });
    return ref;
  }

  /** Nobody waits for that answer any more. @internal @param {number} ref */
  _forget(ref) {
    this.#requests.delete(ref);
  }

  /**
   * Asks the server as soon as there is a connection, and takes a frame of kind `answer` for an answer.
   * `done(error, …)` is called once, and at once when that comes: what follows it is read after. With
   * `repeat` the question outlives its connection.
   *
   * @internal @param {Build} build @param {Done} done
   * @param {{ answer?: Request["answer"], timeout?: number, repeat?: boolean }} [options]
   */
  _ask(build, done, options = {}) {
    const request = this.#newRequest(done, options);
    this.#ask(request, build);
    return request;
  }

  /**
   * Asks to join, if that is still wanted when `auth` is known.
   *
   * @internal @param {Method} method @param {string} target @param {Record<string, any>} options
   * @param {JoinDone} done @param {() => boolean} [isWanted]
   */
  _join(method, target, options, done, isWanted = () => true) {
    if (this.#state === "closed") return done(closedError());
    const request = this.#newRequest(done, { answer: "joined" });
    this.#credentials(request, options).then(
      (full) => {
        if (isWanted()) this.#ask(request, (ref) => [JOIN_FRAMES[method], ref, target, full]);
        else request.forget();
      },
      (error) => request.done(error),
    );
  }

  /** Our membership in that room, if there is one. @internal @param {string} id */
  _membership(id) {
    return this.#memberships.get(id);
  }

  /** Leaves a room that nobody here waits for any more. @internal @param {string} [id] */
  _decline(id) {
    if (id !== undefined && !this.#memberships.has(id)) this._leave(id);
  }

  /** Asks the server to end our membership in a room. @internal @param {string} id @param {() => void} [done] */
  _leave(id, done = ignore) {
    this._ask((ref) => ["leave", ref, id], done, { timeout: this.options.leaveTimeout });
  }

  /** Sends a frame, if there is a connection. @internal @param {string} text */
  _write(text) {
    this.#connection.written += text.length;
    try {
      this.#socket?.send(text);
    } catch {
      // It is closing: `onclose` follows, and what must not get lost is sent again.
    }
  }

  /**
   * We are a member of that room; formerly of the room `former`, if there was one.
   *
   * @internal @param {Membership} membership @param {string} former
   */
  _add(membership, former) {
    if (this.#memberships.get(former) === membership) this.#memberships.delete(former);
    this.#memberships.set(membership.id, membership);
    this.#connection.endedRooms.delete(membership.id);
  }

  /** We are no member of that room any more. @internal @param {Membership} membership */
  _remove(membership) {
    if (this.#memberships.get(membership.id) !== membership) return;
    this.#memberships.delete(membership.id);
    if (this.#connection.endedRooms.size < 1000) this.#connection.endedRooms.add(membership.id);
  }

  /** How long to wait for what should take `timeout`. @internal @param {number} timeout */
  _patience(timeout) {
    return timeout * this.#patience;
  }

  /**
   * Gives up a connection on which the server is silent, and waits longer for the next: it may only be slow.
   *
   * @internal @param {string} reason
   */
  _giveUp(reason) {
    this.#patience = Math.min(MAX_PATIENCE, this.#patience * 2);
    this._drop(reason);
  }

  /**
   * Ends the connection, and makes another one later.
   *
   * @internal @param {string} reason @param {{ delay?: number, code?: number }} [options]
   */
  _drop(reason, { delay = undefined, code = CloseCode.noHeartbeat } = {}) {
    if (this.#state !== "open" && this.#state !== "connecting") return; // who was told of the reason has done it
    closeSocket(this.#detach(), code, reason);
    this.#lost(ABNORMAL, reason, delay);
  }

  /**
   * Something went wrong that nobody waits for; `what` is said with it in the console.
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
      checkObject("options", options);
      /** @param {JoinDone} done */
      const ask = (done) => {
        const present = method === "joinById" ? this.#memberships.get(target) : undefined;
        if (present && !present.leaving) done(null, target, null);
        else this._join(method, target, options, done);
      };
      const admit = () => this.#admit({ method, target, options }, prepare, ask);
      // Each `create` makes another room. All else may lead to where somebody is entering, or leaving.
      return method === "create" ? admit() : this.#inTurn(target, encode([method, target, options], 1), admit);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Joins after an equal join that is pending, and after a room that is being left is left.
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
        if (error instanceof TxroomError) throw error; // the server would answer the same
      });
      // Others who waited for it may have decided to leave.
      await new Promise((resolve) => later(this.options, () => resolve(undefined), 0));
    }
    for (let leaving = this.#leaving(target); leaving; leaving = this.#leaving(target)) await leaving.promise;
  }

  /** The leaving, if there is one, of a room that `target` may lead to. @param {string} target */
  #leaving(target) {
    const memberships = [...this.#memberships.values()];
    return memberships.find(({ id, name, leaving }) => leaving && (id === target || name === target))?.leaving;
  }

  /**
   * Asks, and makes the room that the server's answer is about.
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
        try {
          prepare?.(room);
          resolve(room);
        } catch (failure) {
          room.leave();
          reject(failure);
        }
      };
      ask(done);
    });
  }

  /**
   * The options with `auth`; undefined if nobody waits for them any more.
   *
   * An `auth` that fails, often because it needs the same network, is asked again. Only a TxroomError is meant.
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
   * A request that has its number and its deadline, and is not sent yet.
   *
   * @param {Done} done @param {{ answer?: Request["answer"], timeout?: number, repeat?: boolean }} options
   */
  #newRequest(done, { answer = "reply", timeout = this.options.requestTimeout, repeat = false } = {}) {
    const { clock } = this.options;
    /** @type {Request} */
    const request = {
      ref: ++this.#lastRef,
      text: null,
      answer,
      repeat,
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
      error = new NoAnswer("timeout", `no answer within ${timeout} ms`);
    } else if (text !== null) error = this.#unavailable(ABNORMAL, ` within ${timeout} ms`);
    else if (cause === undefined) error = new AuthFailed("timeout", `auth has not answered within ${timeout} ms`);
    else error = new AuthFailed("unauthorized", `auth failed: ${textOf(cause)}`, { cause });
    request.done(error);
  }

  // -- the connection

  #connect() {
    const { clock, connectTimeout } = this.options;
    this.#state = "connecting";
    clock.clearTimeout(this.#timer);
    this.#deadline = later(this.options, () => this._drop("not open in time"), connectTimeout);
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
    // Without a listener `ws` would end the process; it tells what has happened.
    socket.onerror = guard((event) => this.#socketFailed(event?.message || ""));
    socket.onclose = guard(({ code, reason }) => {
      const { errorText } = this.#connection;
      const status = Number(/server response: (\d{3})/.exec(errorText)?.[1]);
      this.#detach();
      this.#lost(closeOfStatus(status) ?? code, reason || errorText);
    });
    // In Node the bytes that come can be seen before their message is whole.
    socket.on?.("upgrade", (/** @type {any} */ response) => (this.#connection.stream = response?.socket));
  }

  /** @param {Socket} socket */
  #opened(socket) {
    const { clock } = this.options;
    if (socket.protocol && socket.protocol !== PROTOCOL) {
      this._drop(`sub-protocol ${socket.protocol}`, { code: CloseCode.misuse });
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
    if (this.options.pingInterval) this.#heartbeat();
    this.#events.emit("connected");
  }

  /** "close" follows at once, but for a socket of Node 20's own that never opened. @param {string} said */
  #socketFailed(said) {
    this.#connection.errorText = said;
    if (this.#state !== "connecting") return;
    this.options.clock.clearTimeout(this.#deadline);
    this.#deadline = later(this.options, () => this._drop(said || "it failed"), CLOSE_TIMEOUT);
  }

  /** Takes the socket away; nothing it does is heard any more. */
  #detach() {
    const socket = this.#socket;
    this.#socket = null;
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
    // The socket of a room that has ended, and nothing to do with the others.
    const isOfRoom = ending?.code === code;
    const wasOpen = this.#state === "open";
    if (wasOpen && clock.now() - openedAt >= stableAfter) this.#attempts = 0;
    this.#state = "waiting";
    this.#trouble = refusal?.message || reason || `closed with ${code}`;
    const limit = this.#isKnown ? maxAttempts : Math.min(maxAttempts, FIRST_ATTEMPTS - 1);
    const isFinal = !isOfRoom && !mayReconnect(code, reason);
    if (isFinal || this.#attempts >= limit) {
      this.#state = "idle";
      const error = isFinal && wasOpen ? this.#closed(code, reason) : this.#unavailable(code);
      this.#finish(code, refusal?.message || reason, refusal ?? error);
      return;
    }
    const attempt = this.#attempts++;
    const retryAfter = Math.min(MAX_RETRY_AFTER, Math.max(0, bye?.retryAfter ?? refusal?.details?.retryAfter ?? 0)) || 0;
    this.#isAskedToWait = retryAfter > 0;
    delay ??= retryAfter * 1000 * (1 + this.options.random() / 5) + backoff(this.options, attempt);
    this.#wait(delay); // before anybody is told, who may reconnect() at once
    for (const membership of [...this.#memberships.values()]) membership.away(code, reason);
    for (const request of [...this.#requests.values()]) {
      if (request.isCall) continue;
      const isAgain = request.repeat || (isOfRoom && request.ref > ending.ref);
      if (isAgain) request.isSent = false;
      if (isRefused && request.text !== null && request.deadline <= clock.now() + delay) request.done(refusal);
      else if (isRefused) request.isSent = false; // nothing of it was read
      else if (request.isSent) {
        request.done(new TxroomError("unavailable", "the connection was lost", { details: { code } }));
      }
    }
    if (this.#state !== "waiting") return; // somebody who was told has closed or reconnected
    if (!this.#isIdle(code, reason)) this.#events.emit("reconnecting", { code, reason, attempt: attempt + 1, delay });
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

  /** Whether nobody needs a connection any more. @param {number} code @param {string} reason */
  #isIdle(code, reason) {
    if (this.#memberships.size || this.#requests.size) return false;
    this.options.clock.clearTimeout(this.#timer);
    this.#attempts = 0;
    this.#state = "idle";
    this.#events.emit("disconnected", { code, reason });
    return true;
  }

  /**
   * Ends all memberships and requests: there will be no connection for them.
   *
   * @param {number} code @param {string} reason @param {TxroomError} error
   */
  #finish(code, reason, error) {
    this.#attempts = 0;
    const memberships = [...this.#memberships.values()];
    const requests = [...this.#requests.values()].filter(({ isCall }) => !isCall);
    for (const membership of memberships) membership.end(code, reason);
    for (const request of requests) request.done(error);
    this.#events.emit("disconnected", { code, reason });
  }

  /**
   * The error of what needs a connection, which there is not: it says where to and why.
   *
   * @param {number} code @param {string} [within]
   */
  #unavailable(code, within = "") {
    const { location, navigator } = globalThis;
    let hint = "";
    if (this.url.startsWith("ws:") && location?.protocol === "https:") hint = " A page on https: needs a wss: URL.";
    else if (navigator?.onLine === false) hint = " The browser is offline.";
    else if (!this.#isKnown) hint = ` Does the server run, and are host, port and path right?${otherOrigin(this.url)}`;
    const message = `no connection to ${publicURL(this.url)}${within} (${this.#trouble || "it does not open"}).${hint}`;
    return new TxroomError(errorOf(code), message, { details: { code } });
  }

  /**
   * The error of what needed a connection that the server has closed for good.
   *
   * @param {number} code @param {string} reason
   */
  #closed(code, reason) {
    const why = reason ? `: ${reason}` : "";
    const message = `the server at ${publicURL(this.url)} has closed the connection with ${code}${why}`;
    return new TxroomError(errorOf(code), message, { details: { code } });
  }

  // -- in

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
      this._report(new TxroomError("badRequest", `the server sent what is no frame: ${textOf(cause)}`, { cause }));
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
        if (request && request.answer !== kind) throw new TypeError(`${kind} where ${request.answer} is due`);
        if (request) this.#answered(request, null, ...answer);
        else if (kind === "joined") {
          if ((ref ?? null) === null) return this.#joinedByPath();
          if (!this.#connection.givenUp.delete(ref)) throw new TypeError("joined, which nobody has asked for");
          this._decline(answer[0]);
        }
        break;
      }
      case "bye":
        this.#connection.bye = { code: frame[1], retryAfter: Math.max(0, frame[2] ?? 0) };
        this.#events.emit("bye", this.#connection.bye);
        break;
      default: {
        const membership = this.#memberships.get(kind === "call" ? frame[2] : frame[1]);
        if (kind === "left" && membership) this.#connection.ending = { code: frame[2], ref: this.#lastRef };
        membership?.receive(frame);
      }
    }
  }

  /** The server has joined us to a room by the path of the URL, and would with each connection. */
  #joinedByPath() {
    const [, rooms] = /^([^?]*?)\/[^/?]+\/?(?:\?|$)/.exec(this.url) ?? [];
    const hint = rooms ? `that of the rooms, ${rooms}` : "that of the rooms";
    const error = new TxroomError("badRequest", `${this.url} is the URL of one room: give the client ${hint}`);
    closeSocket(this.#detach(), 1000, "the URL of a room");
    this.#state = "idle";
    this.#finish(1000, error.message, error);
  }

  /** @param {Request} request @param {[error: any, ...answer: any[]]} answer */
  #answered(request, ...answer) {
    // What was sent before the question has arrived.
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
    if (isFirst && (room ?? null) === null) {
      this.#connection.refusal = error; // if the server closes the socket now, that is why
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

  /** Asks the server for a sign of life, and gives it `timeout` for that. @param {number} timeout */
  #probe(timeout) {
    this.#connection.probed = this.#connection.heard;
    this.#watch(timeout);
    this.#measure();
  }

  /**
   * Ends a connection on which nothing moves for `timeout`, though the server was asked.
   *
   * @param {number} timeout
   */
  #watch(timeout) {
    const { clock, requestTimeout } = this.options;
    const connection = this.#connection;
    const slow = Math.floor((connection.written - connection.confirmed) / BYTES_A_SECOND) * 1000;
    // What comes first may be large, and says nothing before it is whole.
    const least = connection.isAnswered ? 0 : requestTimeout;
    const before = this.#traffic();
    clock.clearTimeout(this.#deadline);
    const look = () => {
      this.#deadline = undefined;
      if (connection.heard > connection.probed) return;
      const { read, gone } = this.#traffic();
      // What leaves an empty buffer says nothing of the network: the system takes it in any case.
      if (read > before.read || (before.waiting > 0 && gone > before.gone)) this.#watch(timeout);
      else this._giveUp("no heartbeat");
    };
    this.#deadline = later(this.options, look, this._patience(Math.max(timeout, least)) + slow);
  }

  /** Bytes that have come, that wait here to go, and that have gone, as far as the platform tells. */
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
    const isHere = [...this.#memberships.values()].every(({ state }) => state === "joined");
    if (isHere && latency <= this.options.pingTimeout) this.#patience = 1;
    this.#events.emit("latency", latency);
    return latency;
  }

  /**
   * Looks at the connection when the network or the page comes back, and does not wait for a timer.
   *
   * @param {Settings["events"]} target
   */
  #listen(target) {
    if (target === null || !isFunction(target.addEventListener)) return;
    /** @param {any} event */
    const look = (event) => {
      if (event.type === "visibilitychange" && event.target?.visibilityState === "hidden") return;
      if (this.#state === "open") this.#probe(this.options.probeTimeout);
      else if (this.#state === "waiting" && event.type !== "offline" && !this.#isAskedToWait) this.#connect();
      // The attempt began over a network that is no more.
      else if (this.#state === "connecting" && event.type === "online") this._drop("online", { delay: 0 });
    };
    const names = ["online", "offline", "visibilitychange"];
    for (const name of names) target.addEventListener(name, look);
    this.#ignoreEvents = () => names.forEach((name) => target.removeEventListener(name, look));
  }
}

const closedError = () => new TxroomError("unavailable", "the client was closed");

/**
 * What is known of one connection.
 *
 * @internal
 * @typedef {object} Connection
 * @property {number} openedAt
 * @property {string} errorText What an error event said; browsers say nothing.
 * @property {any} stream In Node: the TCP stream.
 * @property {number} heard How many frames have come.
 * @property {number} probed How many had when the server was last asked whether it is there.
 * @property {boolean} isAnswered
 * @property {number} written Characters that were sent.
 * @property {number} confirmed Characters that have arrived for sure.
 * @property {{ code: number, retryAfter: number } | null} bye With what the server has said that it will close it.
 * @property {TxroomError | null} refusal
 *   An error of nothing in particular that came first: why it is closed, if it is.
 * @property {{ code: number, ref: number } | null} ending
 *   The last `left`, and the number of the last request before it.
 * @property {Set<string>} endedRooms The rooms that were joined over it and are no more.
 * @property {Set<number>} givenUp Joins that were asked and are not waited for any more.
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
  throw new TxroomError("badRequest", `${method} takes the ${what} of a room, a text of 1 to ${MAX_TYPE} characters, not ${shown(name)}`);
}

/** @param {string} what @param {unknown} value */
function checkObject(what, value) {
  if (isObject(value)) return value;
  throw new TxroomError("badRequest", `${what} must be an object, not ${shown(value)}`);
}

/** The WebSocket URL; relative ones are relative to the page. @param {string | URL} url */
function absolute(url) {
  const page = globalThis.location?.href;
  if (!isText(url) && !(url instanceof URL)) throw new TypeError(`the URL must be a text, not ${shown(url)}; options come after it`);
  let parsed;
  try {
    parsed = new URL(url, page);
  } catch (cause) {
    const whole = "write a whole one, such as ws://localhost:8080/rooms";
    const why = page ? "" : ", and there is no page that it could be relative to";
    throw new TypeError(`${shown(String(url))} is no whole URL${why}: ${whole}`, { cause });
  }
  parsed.protocol = parsed.protocol.replace(/^http/, "ws");
  parsed.hash = "";
  if (parsed.pathname === "/") parsed.pathname = "/rooms";
  if (!/^wss?:$/.test(parsed.protocol)) throw new TypeError(`${url} is no URL of a WebSocket, such as ws://localhost:8080/rooms`);
  return parsed.href;
}

/**
 * The URL without what may be secret in it: the query, and a user's name and password.
 *
 * @param {string} url
 */
function publicURL(url) {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/** What a page of another server than that of the URL has to know. @param {string} url */
function otherOrigin(url) {
  const { host, origin } = globalThis.location ?? {};
  return !host || host === new URL(url).host ? "" : ` And does it allow the origin ${origin}?`;
}

/**
 * Closes a socket, whatever it is doing.
 *
 * @param {AnySocket | null} socket @param {number} code @param {string} reason
 */
function closeSocket(socket, code, reason) {
  try {
    // A peer that is gone never answers; `ws` would wait, and keep the process, for half a minute.
    if (code === CloseCode.noHeartbeat && isFunction(socket?.terminate)) socket.terminate();
    else socket?.close(code, cut(reason, 40)); // 123 bytes are allowed
  } catch {
    // It was closed already.
  }
}
