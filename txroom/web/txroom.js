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
 * @module txroom
 */

/** The WebSocket sub-protocol. */
export const PROTOCOL = "txroom.v1.json";

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
 * Every option of a {@link Client} with its default.
 *
 * A plain object; `WebSocket` and `events` are looked up when a client is made, so that this module can be
 * imported anywhere.
 */
export const DEFAULTS = Object.freeze({
  /** Sent as `auth` with the options of each join: a value, or a function (may be async) that returns one. */
  auth: undefined,
  /** The class of the socket; default: `globalThis.WebSocket`. */
  WebSocket: undefined,
  /** How long a socket may take to open. */
  connectTimeout: 10_000,
  /** How long joining, resuming, listing and pinging may take, waiting for a connection included. */
  requestTimeout: 15_000,
  /** How long a call may take, time away included; `call(…, {timeout})` overrides it. */
  callTimeout: 15_000,
  /** How long `room.leave()` waits for the server. */
  leaveTimeout: 3_000,
  /** Time between two heartbeats; 0: none. */
  pingInterval: 25_000,
  /** How long the server may be silent after a heartbeat before the connection counts as lost. */
  pingTimeout: 10_000,
  /** The same after the browser came online, went offline, or showed the page again. */
  probeTimeout: 3_000,
  /** The first delay before reconnecting; it doubles with every attempt, half of it is random. */
  minDelay: 250,
  /** The longest delay, unless the server asks for a longer one. */
  maxDelay: 10_000,
  /** After this long a connection counts as good, and the delay begins anew. */
  stableAfter: 5_000,
  /** Attempts to reconnect in a row before the client gives up. */
  maxAttempts: Infinity,
  /** Frames of a room that may be unacknowledged; the server's limit is 64. */
  window: 64,
  /** Frames of a room that may wait, while it is away or its window is full; beyond it `send` throws. */
  maxBuffered: 256,
  /** The largest frame that may be sent: the server's `maxPayload`. */
  maxPayload: 1_048_576,
  /** Whether to join anew, as another member, when the server has forgotten us. */
  rejoin: true,
  /** An EventTarget for "online", "offline" and "visibilitychange"; default: the window, null: none. */
  events: undefined,
  /** What tells the time and wakes up. */
  clock: Object.freeze({
    now: () => performance.now(),
    setTimeout: (callback, delay) => setTimeout(callback, delay),
    clearTimeout: (timer) => clearTimeout(timer),
  }),
  /** A number from 0 to 1, for the jitter. */
  random: Math.random,
});

/** What goes wrong: `code` is one of {@link ErrorCode} or a room's own word, `details` whatever it adds. */
export class TxroomError extends Error {
  constructor(code, message = "", { details = null, cause } = {}) {
    super(message || code, cause === undefined ? undefined : { cause });
    this.name = "TxroomError";
    this.code = code;
    this.details = details;
  }
}

// -- codes

const ABNORMAL = 1006;

/** Coming back would only repeat these: protocol errors, and frames or behaviour that the server refuses. */
const FINAL = new Set([1002, 1003, 1007, 1008, 1009, 1010]);

/** After these errors a resume is tried again; after those of `FORGOTTEN` the client joins anew. */
const TEMPORARY = new Set(["unavailable", "rateLimited", "timeout", "internal"]);
const FORGOTTEN = new Set(["noSuchRoom", "roomGone", "unauthorized"]);
/** So many times "internal" in a row, and the server's mistake is none that passes. */
const MAX_INTERNAL = 5;

const ERROR_OF_CLOSE = new Map([
  [CloseCode.unauthorized, "unauthorized"],
  [CloseCode.kicked, "forbidden"],
  [CloseCode.noSuchRoom, "noSuchRoom"],
  [CloseCode.roomClosed, "roomGone"],
  [CloseCode.misuse, "badRequest"],
  [CloseCode.rateAbuse, "rateLimited"],
]);

const CLOSE_OF_ERROR = new Map([
  ["unauthorized", CloseCode.unauthorized],
  ["forbidden", CloseCode.kicked],
  ["noSuchRoom", CloseCode.noSuchRoom],
  ["rateLimited", CloseCode.rateAbuse],
]);

/**
 * Whether a client comes back after a socket was closed with `code`.
 *
 * Not after 4000-4099 nor after the errors of RFC 6455 that would repeat themselves (1002, 1003, 1007-1010).
 */
export function mayReconnect(code) {
  return !(code >= 4000 && code <= 4099) && !FINAL.has(code);
}

const mayResume = (code) => code >= 4100 && code <= 4199;

// -- frames

/** What the server takes, in characters. */
const MAX_TYPE = 128;
const MAX_CODE = 64;
const MAX_REASON = 1024;

const isText = (value) => typeof value === "string";
const isNumber = (value) => Number.isFinite(value);
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isAnything = () => true;
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isMembers = (value) =>
  Array.isArray(value) && value.every((one) => isObject(one) && Array.isArray(one.metas));
const optional = (is) => (value) => value === null || value === undefined || is(value);

const isMembership = (value) =>
  isObject(value) &&
  isText(value.member) &&
  isText(value.token) &&
  isText(value.epoch) &&
  isCount(value.offset) &&
  isCount(value.handled) &&
  optional(isCount)(value.accepted) &&
  optional(isMembers)(value.members);

/** The frames of the server: what follows the kind. */
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

/** Returns the frame, null for a kind this version does not know; throws for what is no frame at all. */
function parse(message) {
  if (!isText(message)) throw new TypeError("it is not text");
  const frame = JSON.parse(message);
  if (!Array.isArray(frame) || !isText(frame[0])) throw new TypeError("it does not begin with its kind");
  const shape = FRAMES.get(frame[0]);
  if (shape === undefined) return null;
  if (!shape.every((is, index) => is(frame[index + 1]))) throw new TypeError(`${frame[0]} goes otherwise`);
  return frame;
}

function refuseBytes(key, value) {
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) throw new TypeError("JSON has no bytes");
  return value;
}

/** JSON of `data`; undefined is null. */
function encode(data) {
  try {
    return JSON.stringify(data, refuseBytes) ?? "null";
  } catch (cause) {
    throw new TxroomError("invalidData", cause.message, { cause });
  }
}

/** Bytes of `text` in UTF-8, counted only if there could be more than `limit`. */
function isLonger(text, limit) {
  return text.length > limit || (text.length * 3 > limit && new TextEncoder().encode(text).length > limit);
}

const ignore = () => {};

// -- what a page leaves to the next

/** How far apart the numbers of the requests of two pages are, of which one goes on for the other. */
const REFS = 1_000_000;

/** What `room.reconnectionToken` says. Throws for a text that it is not. */
function readToken(text) {
  try {
    const { room, token, ref, method, target, options } = JSON.parse(text);
    const isWhole = [room, token, target].every(isText) && isCount(ref) && isObject(options);
    if (!isWhole || !Object.hasOwn(ENTRANCES, method)) throw new TypeError("it is not whole");
    return { room, token, ref, entrance: { method, target, options } };
  } catch (cause) {
    throw new TxroomError("badRequest", "that is no reconnectionToken", { cause });
  }
}

// -- events

/** A minimal event emitter. What a listener throws goes to `_report`. */
class Emitter {
  #listeners = new Map();

  /** Calls `listener` at each event of that name; returns a function that ends it. */
  on(name, listener) {
    if (typeof listener !== "function") throw new TypeError(`the listener of ${String(name)} is no function`);
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
    return () => this.off(name, listener);
  }

  /** The same for the next event only. */
  once(name, listener) {
    const off = this.on(name, (...args) => {
      off();
      return listener(...args);
    });
    return off;
  }

  /** Ends what `on` began; without a listener, for all of that name. */
  off(name, listener) {
    const left = listener === undefined ? [] : this._listeners(name).filter((one) => one !== listener);
    if (left.length) this.#listeners.set(name, left);
    else this.#listeners.delete(name);
  }

  /** @internal */
  _listeners(name) {
    return this.#listeners.get(name) ?? [];
  }

  /** Returns whether anybody listened. @internal */
  _emit(name, ...args) {
    const listeners = this._listeners(name);
    for (const listener of listeners) {
      try {
        const result = listener(...args);
        if (typeof result?.then === "function") result.then(ignore, (error) => this._failed(name, error));
      } catch (error) {
        this._failed(name, error);
      }
    }
    return listeners.length > 0;
  }

  /** A listener threw; one of "error" is not told about itself. @internal */
  _failed(name, error) {
    if (name === "error") console.error(error);
    else this._report(error);
  }
}

// -- what a room sends

/**
 * The frames of one membership: those that wait, and those that are sent, with their numbers 1, 2, …
 *
 * A frame gets its number when it is sent, and keeps it. A send is forgotten when it is acknowledged. A call
 * is forgotten when it is acknowledged and answered (or nobody waits for the answer any more), so that
 * what is held after an acknowledgement has no gap.
 */
class Outbox {
  #window;
  #waiting = [];
  #held = [];
  #last = 0;
  #acknowledged = 0;
  /** The last number that is not ours, but of an earlier page of the same membership. */
  #base = 0;

  constructor(window) {
    this.#window = window;
  }

  get waiting() {
    return this.#waiting.length;
  }

  add(item) {
    this.#waiting.push(item);
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
    const item = this.#waiting.shift();
    item.n = ++this.#last;
    this.#held.push(item);
    return item;
  }

  /** The server has handled all up to `n`; false if so many were never sent. */
  acknowledge(n) {
    if (n > this.#last) return false;
    this.#acknowledged = Math.max(this.#acknowledged, n);
    this.#forget();
    return true;
  }

  /** A call was answered. */
  answered(item) {
    item.isAnswered = true;
    item.isAwaited = false;
    this.#forget();
  }

  /** Nobody waits for the answer any more. */
  abandon(item) {
    item.isAwaited = false;
    if (item.n === undefined) this.#waiting = this.#waiting.filter((other) => other !== item);
    else this.#forget();
  }

  /**
   * The server resumes this membership, of which it has handled `handled` frames, and has `accepted`.
   *
   * Returns the frames to send again, in order; null if those counts can't be ours.
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
   */
  restart(handled, accepted) {
    const unconfirmed = this.#held.filter((item) => !item.isAnswered);
    this.#held = [];
    this.#acknowledged = handled;
    this.#last = this.#base = accepted;
    return unconfirmed;
  }

  /** Everything, taken out. */
  clear() {
    const items = [...this.#held, ...this.#waiting];
    this.#waiting = [];
    this.#held = [];
    return items;
  }

  #forget() {
    const kept = [];
    for (const item of this.#held) {
      if (item.n > this.#acknowledged || item.isAwaited) kept.push(item);
      else item.acknowledged();
    }
    this.#held = kept;
  }
}

// -- rooms

/** What `room.on` takes besides the types of messages. A message of such a type: `room.onMessage`. */
const ROOM_EVENTS = new Set(["presence", "reconnecting", "recovered", "lost", "left", "error"]);

/**
 * A room that the client has joined.
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
 *     joined --connection lost, left 41xx--> away --connected, a little later--> resuming
 *     resuming --joined--> joined    --error for now--> away    --error for good--> left
 *     resuming --forgotten: joins anew--> resuming
 *     any --left, leave(), a final close code, close()--> left
 */
export class Room extends Emitter {
  #client;
  #options;
  #state = "away";
  #entrance;
  #outbox;
  #messages = new Emitter();
  #handlers = new Map();
  #members = new Map();
  #held = [];
  #token = "";
  #epoch = "";
  #offset = 0;
  #attempts = 0;
  /** How often in a row we were not let in again for a mistake of the server's. */
  #internal = 0;
  #since = 0;
  /** Counts up when a membership or a connection begins or ends: what began before is of no account. */
  #visit = 0;
  #timer;
  #leaving = null;

  /** @internal Rooms are made by `client.join` and its like. */
  constructor(client, entrance) {
    super();
    this.#client = client;
    this.#options = client.options;
    this.#entrance = entrance;
    this.#outbox = new Outbox(client.options.window);
    this.#messages._report = (error) => this._report(error);
    /** The id of the room. */
    this.id = null;
    /** The name it was registered with. */
    this.name = null;
    /** The id of this membership. */
    this.member = null;
    /** What `Room.snapshot` of the server gave at the last join or loss. */
    this.snapshot = null;
  }

  get client() {
    return this.#client;
  }

  get state() {
    return this.#state;
  }

  /** The offset of the last message received. */
  get offset() {
    return this.#offset;
  }

  /** Which log the offset is of. */
  get epoch() {
    return this.#epoch;
  }

  /** Who is here, if the room has presence: `{user, metas}`, one meta for each connection of the user. */
  get members() {
    return [...this.#members.values()].map(({ user, metas }) => ({ user, metas: [...metas.values()] }));
  }

  /**
   * What `client.resume` takes, also in the next page; null when the room was left.
   *
   * Look at it when you need it, at best on "pagehide": with every connection it is another. Whoever has it can
   * take the membership over, so keep it secret. The options of the join are in it, but for `auth`.
   */
  get reconnectionToken() {
    if (this.#state === "left") return null;
    const { seat, auth, ...options } = this.#entrance.options; // for once, and nobody's to keep
    const { method, target } = this.#entrance;
    const ref = this.#client._lastRef;
    return JSON.stringify({ room: this.id, token: this.#token, ref, method, target, options });
  }

  /** How many frames wait to be sent. */
  get buffered() {
    return this.#outbox.waiting;
  }

  /**
   * Calls `listener` at messages of that type, with the data and the offset (null: volatile), or at one of
   * the room's own events:
   *
   * - "presence" (members, joined, left)
   * - "reconnecting" ({code, reason}): away; what is sent now waits
   * - "recovered" (): back, nothing was missed
   * - "lost" ({snapshot, members, offset, unconfirmed}): back, but messages were missed, show the snapshot;
   *   `unconfirmed`: what we had sent (`{type, data}`) and may or may not have been handled
   * - "left" ({code, reason}): for good
   * - "error" (error): the server refused a message, or a listener threw
   *
   * Returns a function that ends it.
   */
  on(name, listener) {
    return ROOM_EVENTS.has(name) ? super.on(name, listener) : this.onMessage(name, listener);
  }

  off(name, listener) {
    if (ROOM_EVENTS.has(name)) super.off(name, listener);
    else this.#messages.off(name, listener);
  }

  /**
   * Calls `listener(data, offset)` at messages of that type, whatever it is named. `"*"` is for the types
   * that have no listener of their own: `listener(type, data, offset)`.
   */
  onMessage(type, listener) {
    return this.#messages.on(type, listener);
  }

  /** Calls `listener(members, joined, left)` when somebody comes or goes. */
  onPresence(listener) {
    return this.on("presence", listener);
  }

  /** Answers the server's calls of that type with what `handler(data)`, which may be async, returns. */
  handle(type, handler) {
    if (typeof handler !== "function") throw new TypeError(`the handler of ${type} is no function`);
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
   */
  send(type, data = null, { volatile = false } = {}) {
    const item = this.#item("send", type, data);
    if (volatile) {
      if (this.#state === "joined") this.#write(item);
      return Promise.resolve();
    }
    const sent = new Promise((resolve, reject) => {
      item.acknowledged = resolve;
      item.fail = reject;
    });
    sent.catch(ignore);
    this.#submit(item);
    return sent;
  }

  /**
   * Asks the room; the promise has the answer. It is handled at most once, also across a lost connection.
   *
   * Rejects with the server's error, with "timeout" after `timeout` milliseconds, with "replyLost" if it was
   * or may have been handled but the answer is lost, with "roomGone" when the room is left.
   */
  call(type, data = null, { timeout = this.#options.callTimeout } = {}) {
    return new Promise((resolve, reject) => {
      const item = this.#item("call", type, data);
      const settle = (error, answer) => {
        this.#client._forget(item.ref);
        this.#options.clock.clearTimeout(timer);
        if (error) reject(error);
        else resolve(answer);
      };
      item.isAwaited = true;
      item.fail = settle;
      item.ref = this.#client._expect((error, answer) => {
        settle(error, answer);
        this.#outbox.answered(item);
        this.#pump();
      });
      const timer = this.#options.clock.setTimeout(() => {
        settle(new TxroomError("timeout", `no answer to ${type} within ${timeout} ms`));
        this.#outbox.abandon(item);
        this.#pump();
      }, timeout);
      try {
        this.#submit(item);
      } catch (error) {
        settle(error);
      }
    });
  }

  /** The time to the server and back, in milliseconds. */
  ping() {
    return this.#client.ping();
  }

  /**
   * Leaves, after what was sent before. Resolves when the server has said so, or after `leaveTimeout`.
   *
   * By then the server is asked to let go in any case, and what still waited is not sent. Only if there is no
   * connection it is not told: it gives up the seat by itself, when `resumeSeconds` are over.
   */
  leave() {
    if (this.#state === "left") return Promise.resolve();
    if (this.#leaving === null) {
      let done;
      const promise = new Promise((resolve) => (done = resolve));
      const timer = this.#options.clock.setTimeout(() => this.#tooLate(), this.#options.leaveTimeout);
      this.#leaving = { promise, done, timer, isSent: false };
      this.#pump();
    }
    return this.#leaving.promise;
  }

  // -- towards the client

  /** The first `joined`. @internal */
  _enter(id, membership) {
    this.#take(id, membership, false);
    // Whoever awaits the join gets to add listeners before the first event.
    this.#options.clock.setTimeout(() => this.#release(), 0);
    if (this.#members.size) this.#tell("presence", this.members, this.members, []);
  }

  /** `joined` to somebody who is here already. @internal */
  _enterAgain(id, membership) {
    const isSame = this.#state === "joined" && membership.member === this.member;
    if (!isSame || !this.#outbox.acknowledge(membership.handled)) return this.#return(id, membership, false);
    this.#token = membership.token;
    this.#pump();
  }

  /** There is a connection. @internal */
  _connected() {
    if (this.#state === "away") this.#resume();
  }

  /** There is none, or the room is not reachable through it. @internal */
  _away(code, reason) {
    if (this.#state === "left") return;
    const wasJoined = this.#state === "joined";
    this.#options.clock.clearTimeout(this.#timer);
    this.#state = "away";
    this.#visit++;
    if (this.#leaving?.isSent) this._end(1000, "left");
    else if (wasJoined) {
      if (this.#options.clock.now() - this.#since >= this.#options.stableAfter) this.#attempts = 0;
      this.#tell("reconnecting", { code, reason });
    }
  }

  /** A frame for this room. @internal */
  _receive(frame) {
    if (frame[0] === "left") return this.#left(frame[2], frame[3] ?? "");
    if (this.#state !== "joined") return; // of the former link: it comes again, or is in `joined`
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
        if (!this.#outbox.acknowledge(frame[2])) throw new TypeError("an acknowledgement of what was not sent");
        this.#pump();
        break;
    }
  }

  /** The room is over for us. @internal */
  _end(code, reason) {
    if (this.#state === "left") return;
    const { clock } = this.#options;
    this.#state = "left";
    this.#visit++;
    clock.clearTimeout(this.#timer);
    this.#client._remove(this);
    const error = new TxroomError("roomGone", reason || `the room was left (${code})`, { details: { code } });
    for (const item of this.#outbox.clear()) item.fail(error);
    this.#tell("left", { code, reason });
    if (this.#leaving !== null) {
      clock.clearTimeout(this.#leaving.timer);
      this.#leaving.done();
    }
  }

  /** Something went wrong that nobody waits for. @internal */
  _report(error) {
    if (!this._listeners("error").length) this.#client._report(error);
    else this.#tell("error", error);
  }

  // -- membership

  #resume() {
    this.#state = "resuming";
    const visit = ++this.#visit;
    const frame = (ref) => ["resume", ref, this.id, this.#token, this.#epoch, this.#offset];
    const done = (error, id, membership) => {
      if (visit !== this.#visit) this.#client._disown(id);
      else if (!error) this.#return(id, membership, true);
      else if (FORGOTTEN.has(error.code) && this.#options.rejoin && !this.#leaving) this.#rejoin();
      else this.#refused(error);
    };
    this.#client._ask(frame, done, { answer: "joined" });
  }

  /** Joins anew: the same room if it is still there, else as at first. */
  #rejoin() {
    const visit = this.#visit;
    const { method, target, options: first } = this.#entrance;
    const { seat, ...options } = first; // a reserved seat is for once
    const ways = [["joinById", this.id]];
    if (method === "joinOrCreate" || method === "join") ways.push([method, target]);
    const next = () => {
      const [how, what] = ways.shift();
      const isWanted = () => visit === this.#visit;
      const done = (error, id, membership) => {
        const present = this.#client._room(id);
        if (!isWanted()) this.#client._disown(id);
        else if (present && present !== this) {
          present._enterAgain(id, membership);
          this._end(CloseCode.roomClosed, "instead there is a room that was joined already");
        } else if (!error) this.#return(id, membership, false);
        else if (ways.length && !TEMPORARY.has(error.code)) next();
        else this.#refused(error);
      };
      this.#client._join(how, what, options, done, isWanted);
    };
    next();
  }

  #refused(error) {
    this.#internal = error.code === "internal" ? this.#internal + 1 : 0;
    if (error instanceof NoAnswer) this.#client._drop("no answer");
    else if (this.#internal >= MAX_INTERNAL) {
      this._report(error);
      this._end(CloseCode.roomClosed, error.message);
    } else if (TEMPORARY.has(error.code)) this.#retry(CloseCode.engineUnavailable, error.message);
    else this._end(CLOSE_OF_ERROR.get(error.code) ?? CloseCode.roomClosed, error.message);
  }

  /** Resumes a little later, over the connection there is. */
  #retry(code, reason) {
    this._away(code, reason);
    if (this.#state !== "away") return;
    const delay = backoff(this.#options, this.#attempts++);
    this.#timer = this.#options.clock.setTimeout(() => {
      if (this.#client.state === "open") this._connected();
    }, delay);
  }

  #return(id, membership, isResumed) {
    const unconfirmed = this.#take(id, membership, isResumed);
    const gone = new TxroomError("replyLost", "it may or may not have been handled");
    for (const item of unconfirmed) item.fail(gone);
    if (isResumed && membership.recovered === true && !unconfirmed.length) this.#tell("recovered");
    else {
      this.#tell("lost", {
        snapshot: this.snapshot,
        members: this.members,
        offset: membership.offset,
        unconfirmed: unconfirmed.map((item) => ({ type: item.type, data: JSON.parse(item.data) })),
      });
    }
    if (membership.members) this.#tell("presence", this.members, [], []);
  }

  /**
   * A member, again: sends what is still held, with its old numbers, then what waited.
   *
   * Returns the frames that were sent to a membership which is no more, and of which nothing is known.
   */
  #take(id, membership, isResumed) {
    const isSame = isResumed && membership.member === this.member;
    const { handled } = membership;
    const accepted = Math.max(handled, membership.accepted ?? 0);
    const again = isSame ? this.#outbox.resume(handled, accepted) : null;
    const unconfirmed = again === null ? this.#outbox.restart(handled, accepted) : [];
    const former = this.id;
    this.id = id;
    this.name = membership.name ?? this.name;
    this.member = membership.member;
    this.#token = membership.token;
    this.#epoch = membership.epoch;
    if (!isResumed || membership.recovered !== true) {
      this.#offset = membership.offset;
      this.snapshot = membership.snapshot ?? null;
    }
    this.#members = new Map();
    this.#presence(membership.members ?? [], []);
    this.#options.clock.clearTimeout(this.#timer);
    this.#visit++;
    this.#state = "joined";
    this.#internal = 0;
    this.#since = this.#options.clock.now();
    this.#client._admit(this, former);
    for (const item of again ?? []) this.#write(item);
    this.#pump();
    return unconfirmed;
  }

  #left(code, reason) {
    // While resuming on the same connection it is the former link that ends.
    if (this.#state === "resuming" && (mayResume(code) || code === CloseCode.replaced)) return;
    if (mayResume(code) && !this.#leaving) this.#retry(code, reason);
    else this._end(code, reason);
  }

  /** Nobody waits any longer for the room to be left; what still waits to be sent is not sent. */
  #tooLate() {
    if (this.#state === "joined" && !this.#leaving.isSent) this.#client._leave(this.id);
    this._end(1000, "left");
  }

  // -- in

  #message(offset, type, data) {
    if (offset !== null) {
      if (offset <= this.#offset) return;
      this.#offset = offset;
    }
    this.#deliver(() => {
      if (!this.#messages._emit(type, data, offset)) this.#messages._emit("*", type, data, offset);
    });
  }

  /**
   * Users by their id; a meta is known by its member, and one that comes again replaces the former. Who stays
   * keeps the place, as in the server's list: a meta in both lists has changed.
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
  }

  /** The answer goes to the connection that asked, or nowhere. */
  #called(ref, type, data) {
    const visit = this.#visit;
    const answer = (frame) => {
      if (visit === this.#visit && this.#state === "joined") this.#client._write(frame);
    };
    this.#deliver(async () => {
      const handler = this.#handlers.get(type);
      try {
        if (handler === undefined) throw new TxroomError("unknownType", `no handler of ${type}`);
        answer(`["reply",${JSON.stringify(this.id)},${ref},${encode(await handler(data))}]`);
      } catch (error) {
        const isMeant = error instanceof TxroomError;
        if (!isMeant) this._report(error);
        const [code, message] = isMeant ? [error.code, error.message] : ["internal", "the handler failed"];
        answer(JSON.stringify(["error", this.id, ref, code.slice(0, MAX_CODE), message.slice(0, MAX_REASON)]));
      }
    });
  }

  #tell(name, ...args) {
    this.#deliver(() => this._emit(name, ...args));
  }

  #deliver(event) {
    if (this.#held === null) event();
    else this.#held.push(event);
  }

  #release() {
    while (this.#held.length) this.#held.shift()();
    this.#held = null;
  }

  // -- out

  #item(kind, type, data) {
    if (!isText(type) || !type || type.length > MAX_TYPE) {
      throw new TxroomError("badRequest", `the type of a message is a string of 1 to ${MAX_TYPE} characters`);
    }
    return { kind, type, data: encode(data), acknowledged: ignore, fail: ignore };
  }

  #submit(item) {
    const { maxBuffered, maxPayload } = this.#options;
    if (this.#state === "left" || this.#leaving) throw new TxroomError("roomGone", "the room was left");
    if (isLonger(this.#text(item), maxPayload - 16)) {
      throw new TxroomError("invalidData", `larger than ${maxPayload} bytes`);
    }
    if (this.#outbox.waiting >= maxBuffered) {
      const isHere = this.#state === "joined";
      throw new TxroomError(isHere ? "rateLimited" : "unavailable", `${maxBuffered} messages wait already`);
    }
    this.#outbox.add(item);
    this.#pump();
  }

  #pump() {
    if (this.#state !== "joined") return;
    for (let item = this.#outbox.next(); item; item = this.#outbox.next()) this.#write(item);
    if (this.#leaving && !this.#leaving.isSent && !this.#outbox.waiting) {
      this.#leaving.isSent = true;
      this.#client._leave(this.id, () => this._end(1000, "left"));
    }
  }

  #write(item) {
    this.#client._write(this.#text(item));
  }

  #text({ kind, ref, type, data, n }) {
    const head = kind === "call" ? `"call",${ref}` : '"send"';
    const tail = n === undefined ? "" : `,${n}`;
    return `[${head},${JSON.stringify(this.id)},${JSON.stringify(type)},${data}${tail}]`;
  }
}

const keyOf = (value) => JSON.stringify(value);
const keyOfMeta = (meta) => meta?.member ?? keyOf(meta);

/** The delay before attempt `attempt` (0, 1, …): doubling, bounded, half of it random. */
function backoff({ minDelay, maxDelay, random }, attempt) {
  const delay = Math.min(maxDelay, minDelay * 2 ** Math.min(attempt, 32));
  return (delay * (1 + random())) / 2;
}

/** The error of a request that the server has not answered. */
class NoAnswer extends TxroomError {}

// -- the client

/** The first element of the frame by which each method joins. */
const ENTRANCES = { joinOrCreate: "join", join: "joinOnly", create: "create", joinById: "joinById" };

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
 * Events:
 *
 * - "connected" ()
 * - "reconnecting" ({code, reason, attempt, delay}): the connection is lost, the next attempt is in `delay` ms
 * - "disconnected" ({code, reason}): and it does not reconnect by itself; the next join does
 * - "bye" ({code, retryAfter}): the server will close the connection, and asks to stay away that many seconds
 * - "latency" (milliseconds)
 * - "error" (error): nobody else was there to be told; without a listener it goes to the console
 *
 * A message of the server that is no frame is answered by closing the connection with 4010; the client then
 * reconnects and resumes, so that whatever it was is not missed. Frames of a kind it does not know, and
 * frames for rooms that it has left, are ignored.
 */
export class Client extends Emitter {
  #WebSocket;
  #state = "idle";
  #socket = null;
  #rooms = new Map();
  #requests = new Map();
  #lastRef = 0;
  #attempts = 0;
  #openedAt = 0;
  #bye = null;
  #isAskedToWait = false;
  #isHeard = false;
  #timer;
  #deadline;
  #ignoreEvents = ignore;

  /**
   * @param {string} [url] where the rooms are, `ws:`, `wss:`, `http:`, `https:` or relative to the page;
   *   without a path: "/rooms"
   * @param {object} [options] see {@link DEFAULTS}
   */
  constructor(url = "/rooms", options = {}) {
    super();
    for (const name of Object.keys(options)) {
      if (!Object.hasOwn(DEFAULTS, name)) throw new TypeError(`txroom has no option ${name}`);
    }
    /** The options, defaults included. */
    this.options = Object.freeze({ ...DEFAULTS, ...options });
    this.#WebSocket = this.options.WebSocket ?? globalThis.WebSocket;
    if (typeof this.#WebSocket !== "function") throw new TypeError("no WebSocket here: pass one as an option");
    /** Where it connects to. */
    this.url = absolute(url);
    /** Milliseconds to the server and back at the last heartbeat; undefined before the first. */
    this.latency = undefined;
    this.#listen(this.options.events === undefined ? globalThis : this.options.events);
  }

  get state() {
    return this.#state;
  }

  /** The rooms that are not left. */
  get joined() {
    return [...this.#rooms.values()];
  }

  /**
   * Joins a room of that name, a new one if there is none with a seat.
   *
   * Rejects with the server's error; with "unavailable" if there is no connection within `requestTimeout` or
   * it is lost meanwhile (the server may have let us in: it is not tried again by itself). Events are
   * delivered from the next turn of the event loop on, so that listeners can be added after `await`;
   * `prepare`, if given, is called with the room even before the promise resolves.
   */
  joinOrCreate(name, options = {}, prepare = undefined) {
    return this.#enter("joinOrCreate", name, options, prepare);
  }

  /** Joins a room of that name that exists. */
  join(name, options = {}, prepare = undefined) {
    return this.#enter("join", name, options, prepare);
  }

  /** Makes a new room of that name and joins it. */
  create(name, options = {}, prepare = undefined) {
    return this.#enter("create", name, options, prepare);
  }

  /** Joins the room of that id. */
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
   */
  async resume(token, prepare = undefined) {
    const { room, token: secret, ref, entrance } = readToken(token);
    this.#lastRef = Math.max(this.#lastRef, (Math.floor(ref / REFS) + 1) * REFS);
    // An epoch that is none: we have seen nothing of what it has.
    const frame = (ref) => ["resume", ref, room, secret, "", 0];
    return this.#letIn(entrance, prepare, (done) => this._ask(frame, done, { answer: "joined" }));
  }

  /** The rooms of that name that match the filter: `{room, name, clients, maxClients, locked, metadata}`. */
  rooms(name, filter = {}) {
    return this.#request((ref) => ["rooms", ref, name, filter]).then(([rooms]) => rooms);
  }

  /** The time to the server and back, in milliseconds. */
  ping() {
    return this.#request((ref) => ["ping", ref]).then(([, request]) => this.#measured(request));
  }

  /** Gives up the connection, if there is one, and makes another after `delay` milliseconds. */
  reconnect(delay = 0) {
    if (this.#state === "open" || this.#state === "connecting") this._drop("reconnect", { delay });
    else if (this.#state === "waiting") this.#wait(delay);
  }

  /** Leaves all rooms and closes the connection, for good. */
  close() {
    if (this.#state === "closed") return;
    for (const room of this.#rooms.values()) if (room.state === "joined") this._leave(room.id);
    const socket = this.#detach();
    this.#state = "closed";
    this.#ignoreEvents();
    shut(socket, 1000, "");
    this.#finish(1000, "closed");
  }

  // -- for rooms

  /** The number of the last request. @internal */
  get _lastRef() {
    return this.#lastRef;
  }

  /** A number for an answer that `done(error, data)` waits for, across connections. @internal */
  _expect(done) {
    const ref = ++this.#lastRef;
    this.#requests.set(ref, { done, answer: "reply", text: null });
    return ref;
  }

  /** @internal */
  _forget(ref) {
    this.#requests.delete(ref);
  }

  /**
   * Asks the server as soon as there is a connection, and takes a frame of kind `answer` for an answer.
   * `done(error, …)` is called once, and at once when that comes: what follows it is read after. With
   * `repeat` the question outlives its connection.
   * @internal
   */
  _ask(build, done, { answer = "reply", timeout = this.options.requestTimeout, repeat = false } = {}) {
    const { clock } = this.options;
    const ref = ++this.#lastRef;
    let text;
    try {
      if (this.#state === "closed") throw new TxroomError("unavailable", "the client is closed");
      text = encode(build(ref));
    } catch (error) {
      done(error);
      return undefined;
    }
    const timer = clock.setTimeout(() => {
      const code = request.isSent ? "timeout" : "unavailable";
      request.done(new NoAnswer(code, `no ${request.isSent ? "answer" : "connection"} within ${timeout} ms`));
    }, timeout);
    const request = {
      text,
      answer,
      repeat,
      isSent: false,
      sentAt: 0,
      done: (...answer) => {
        this.#requests.delete(ref);
        clock.clearTimeout(timer);
        done(...answer);
      },
    };
    this.#requests.set(ref, request);
    if (this.#state === "open") this.#transmit(request);
    else if (this.#state === "idle") this.#connect();
    return request;
  }

  /** Asks to be let in, if that is still wanted when `auth` is known. @internal */
  _join(method, target, options, done, isWanted = () => true) {
    const ask = (full) => {
      if (isWanted()) this._ask((ref) => [ENTRANCES[method], ref, target, full], done, { answer: "joined" });
    };
    this.#credentials(options).then(ask, (cause) => done(new TxroomError("unauthorized", "auth failed", { cause })));
  }

  /** @internal */
  _room(id) {
    return this.#rooms.get(id);
  }

  /** Leaves a room that nobody here waits for any more. @internal */
  _disown(id) {
    if (id !== undefined && !this.#rooms.has(id)) this._leave(id);
  }

  /** @internal */
  _leave(id, done = ignore) {
    this._ask((ref) => ["leave", ref, id], done, { timeout: this.options.leaveTimeout });
  }

  /** @internal */
  _write(text) {
    try {
      this.#socket?.send(text);
    } catch {
      // It is closing: `onclose` follows, and what must not get lost is sent again.
    }
  }

  /** @internal */
  _admit(room, former) {
    if (former !== null && this.#rooms.get(former) === room) this.#rooms.delete(former);
    this.#rooms.set(room.id, room);
  }

  /** @internal */
  _remove(room) {
    if (this.#rooms.get(room.id) === room) this.#rooms.delete(room.id);
  }

  /** The connection is of no use any more. @internal */
  _drop(reason, { delay = undefined, code = CloseCode.noHeartbeat } = {}) {
    if (this.#socket === null) return; // somebody who was told of the reason has done it already
    shut(this.#detach(), code, reason);
    this.#lost(ABNORMAL, reason, delay);
  }

  /** @internal */
  _report(error) {
    if (this._listeners("error").length) this._emit("error", error);
    else console.error(error);
  }

  // -- joining

  #enter(method, target, options, prepare) {
    const ask = (done) => this._join(method, target, options, done);
    return this.#letIn({ method, target, options }, prepare, ask);
  }

  /** The room that the answer to what is asked is about. */
  #letIn(entrance, prepare, ask) {
    return new Promise((resolve, reject) => {
      ask((error, id, membership) => {
        if (error) return reject(error);
        const present = this.#rooms.get(id);
        const room = present ?? new Room(this, entrance);
        if (present) present._enterAgain(id, membership);
        else room._enter(id, membership);
        try {
          prepare?.(room);
          resolve(room);
        } catch (failure) {
          room.leave();
          reject(failure);
        }
      });
    });
  }

  /** The options with `auth`. */
  async #credentials(options) {
    const { auth } = this.options;
    const value = typeof auth === "function" ? await auth() : auth;
    return value === undefined || "auth" in options ? options : { ...options, auth: value };
  }

  // -- requests

  #request(build) {
    return new Promise((resolve, reject) => {
      const done = (error, answer) => (error ? reject(error) : resolve([answer, request]));
      const request = this._ask(build, done, { repeat: true });
    });
  }

  #transmit(request) {
    request.isSent = true;
    request.sentAt = this.options.clock.now();
    this._write(request.text);
  }

  // -- the connection

  #connect() {
    const { clock, connectTimeout } = this.options;
    this.#state = "connecting";
    clock.clearTimeout(this.#timer);
    this.#deadline = clock.setTimeout(() => this._drop("not open in time"), connectTimeout);
    let socket;
    try {
      socket = new this.#WebSocket(this.url, PROTOCOL);
    } catch (error) {
      this.#detach();
      this.#state = "idle";
      this._report(error);
      this.#finish(ABNORMAL, error.message);
      return;
    }
    this.#socket = socket;
    const guard = (react) => (event) => {
      if (this.#socket === socket) react(event);
    };
    socket.onopen = guard(() => this.#opened(socket));
    socket.onmessage = guard((event) => this.#receive(event.data));
    socket.onclose = guard((event) => {
      this.#detach();
      this.#lost(event.code, event.reason);
    });
    // "close" follows. Without a listener `ws` would end the process.
    socket.onerror = ignore;
  }

  #opened(socket) {
    const { clock } = this.options;
    if (socket.protocol && socket.protocol !== PROTOCOL) {
      this._drop(`sub-protocol ${socket.protocol}`, { code: CloseCode.misuse });
      return;
    }
    clock.clearTimeout(this.#deadline);
    this.#deadline = undefined;
    this.#state = "open";
    this.#openedAt = clock.now();
    this.#bye = null;
    for (const room of this.joined) room._connected();
    for (const request of [...this.#requests.values()]) {
      if (request.text !== null && !request.isSent) this.#transmit(request);
    }
    if (this.options.pingInterval) this.#heartbeat();
    this._emit("connected");
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

  #lost(closeCode, reason, delay = undefined) {
    const { clock, maxAttempts, stableAfter } = this.options;
    const wasOpen = this.#state === "open";
    const bye = this.#bye;
    const code = (closeCode < 4000 && bye?.code) || closeCode;
    this.#bye = null;
    this.#isAskedToWait = Boolean(bye?.retryAfter);
    if (wasOpen && clock.now() - this.#openedAt >= stableAfter) this.#attempts = 0;
    this.#state = "waiting";
    if (!mayReconnect(code) || this.#attempts >= maxAttempts) {
      this.#state = "idle";
      this.#finish(code, reason);
      return;
    }
    for (const room of this.joined) room._away(code, reason);
    for (const request of [...this.#requests.values()]) {
      if (!request.isSent) continue;
      if (request.repeat) request.isSent = false;
      else request.done(new TxroomError("unavailable", "the connection was lost", { details: { code } }));
    }
    if (this.#state !== "waiting") return; // somebody who was told has closed or reconnected
    if (this.#isIdle(code, reason)) return;
    const attempt = this.#attempts++;
    if (delay === undefined) {
      const retryAfter = (bye?.retryAfter ?? 0) * 1000;
      delay = retryAfter * (1 + this.options.random() / 5) + backoff(this.options, attempt);
    }
    this.#wait(delay);
    this._emit("reconnecting", { code, reason, attempt: attempt + 1, delay });
  }

  #wait(delay) {
    const { clock } = this.options;
    clock.clearTimeout(this.#timer);
    this.#timer = clock.setTimeout(() => {
      if (!this.#isIdle(ABNORMAL, "")) this.#connect();
    }, delay);
  }

  /** Whether nobody needs a connection any more. */
  #isIdle(code, reason) {
    if (this.#rooms.size || this.#requests.size) return false;
    this.#attempts = 0;
    this.#state = "idle";
    this._emit("disconnected", { code, reason });
    return true;
  }

  /** Nothing more comes of this connection: everybody is told. */
  #finish(code, reason) {
    this.#attempts = 0;
    const rooms = this.joined;
    const requests = [...this.#requests.values()].filter(({ text }) => text !== null);
    const error = new TxroomError(ERROR_OF_CLOSE.get(code) ?? "unavailable", reason, { details: { code } });
    for (const room of rooms) room._end(code, reason);
    for (const request of requests) request.done(error);
    this._emit("disconnected", { code, reason });
  }

  // -- in

  #receive(message) {
    this.#isHeard = true;
    try {
      const frame = parse(message);
      if (frame !== null) this.#dispatch(frame);
    } catch (cause) {
      this._report(new TxroomError("badRequest", `the server sent what is no frame: ${cause.message}`, { cause }));
      this._drop("not a frame", { code: CloseCode.misuse });
    }
  }

  #dispatch(frame) {
    switch (frame[0]) {
      case "joined":
      case "reply": {
        const [kind, ref, ...answer] = frame;
        const request = this.#requests.get(ref);
        if (request && request.answer !== kind) throw new TypeError(`${kind} where ${request.answer} is due`);
        if (request) request.done(null, ...answer);
        else if (kind === "joined") this._disown(answer[0]);
        break;
      }
      case "error":
        this.#failed(frame);
        break;
      case "bye":
        this.#bye = { code: frame[1], retryAfter: Math.max(0, frame[2] ?? 0) };
        this._emit("bye", this.#bye);
        break;
      default:
        this.#rooms.get(frame[0] === "call" ? frame[2] : frame[1])?._receive(frame);
    }
  }

  #failed([, ref, room, code, message, details]) {
    const error = new TxroomError(code, message ?? "", { details });
    if (typeof ref === "number") this.#requests.get(ref)?.done(error);
    else (this.#rooms.get(room) ?? this)._report(error);
  }

  // -- heartbeat

  #heartbeat() {
    const { clock, pingInterval, pingTimeout } = this.options;
    if (this.#deadline === undefined) this.#probe(pingTimeout);
    else this.#measure();
    this.#timer = clock.setTimeout(() => this.#heartbeat(), pingInterval);
  }

  /** Gives the server so long to be heard. */
  #probe(timeout) {
    const { clock } = this.options;
    clock.clearTimeout(this.#deadline);
    this.#isHeard = false;
    this.#deadline = clock.setTimeout(() => {
      this.#deadline = undefined;
      if (!this.#isHeard) this._drop("no heartbeat");
    }, timeout);
    this.#measure();
  }

  #measure() {
    const done = (error) => error || this.#measured(request);
    const request = this._ask((ref) => ["ping", ref], done);
  }

  #measured(request) {
    this.latency = this.options.clock.now() - request.sentAt;
    this._emit("latency", this.latency);
    return this.latency;
  }

  /** The network or the page is back: don't wait for a timer to find out. */
  #listen(target) {
    if (typeof target?.addEventListener !== "function") return;
    const look = (event) => {
      if (event.type === "visibilitychange" && event.target?.visibilityState === "hidden") return;
      if (this.#state === "open") this.#probe(this.options.probeTimeout);
      else if (this.#state === "waiting" && event.type !== "offline" && !this.#isAskedToWait) this.#connect();
    };
    const names = ["online", "offline", "visibilitychange"];
    for (const name of names) target.addEventListener(name, look);
    this.#ignoreEvents = () => names.forEach((name) => target.removeEventListener(name, look));
  }
}

/** The WebSocket URL; relative ones are relative to the page. */
function absolute(url) {
  const parsed = new URL(url, globalThis.location?.href);
  parsed.protocol = parsed.protocol.replace(/^http/, "ws");
  parsed.hash = "";
  if (parsed.pathname === "/") parsed.pathname = "/rooms";
  if (!/^wss?:$/.test(parsed.protocol)) throw new TypeError(`${url} is no URL of a WebSocket`);
  return parsed.href;
}

/** Closes a socket, whatever it is doing. */
function shut(socket, code, reason) {
  try {
    // A peer that is gone never answers; `ws` would wait, and keep the process, for half a minute.
    if (code === CloseCode.noHeartbeat && typeof socket?.terminate === "function") socket.terminate();
    else socket?.close(code, reason);
  } catch {
    // It was closed already.
  }
}
