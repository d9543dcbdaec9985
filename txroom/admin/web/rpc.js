// The connection to the server: calls, and watches that go on when the connection comes back.

import { Client } from "./txroom.js";

/** After how many milliseconds to join again, when the server has refused. */
const PAUSE = 3000;

/**
 * The calls of the server.
 *
 * `state` is "connecting", "open", "waiting", which ends by itself, or "over": one has to log in again.
 * `onstate(state)` is called at each change.
 */
export class Rpc {
  constructor() {
    this.state = "connecting";
    this.onstate = () => {};
    this._room = null;
    this._joining = null;
    this._timer = null;
    this._methods = null;
    this._watches = new Set();
    this._byNumber = new Map();
    this._isPaused = document.hidden;
    this._client = new Client("/rpc", { device: null, maxDelay: 5000 });
    this._client.on("connected", () => this._room?.state === "joined" && this._change("open"));
    this._client.on("reconnecting", ({ attempt }) => this._away(attempt));
    this._client.on("disconnected", () => this._retry());
    this._client.on("error", () => {}); // the promises tell it
    document.addEventListener("visibilitychange", () => this._pause(document.hidden));
  }

  /** Connects, and goes on trying. */
  async start() {
    this._timer = null;
    if (this._room || this.state === "over") return;
    try {
      await this._join();
    } catch {
      this._retry();
    }
  }

  _retry() {
    if (this.state === "over") return;
    this._room = null;
    this._change("waiting");
    this._timer ??= setTimeout(() => this.start(), PAUSE);
  }

  /** The connection is lost, or could not be opened. A WebSocket does not tell that the session has ended. */
  async _away(attempt) {
    this._change("waiting");
    if (attempt < 2 || !(await mustLogIn())) return;
    this._change("over");
    this._client.close();
  }

  _change(state) {
    if (this.state === "over" || this.state === state) return;
    this.state = state;
    this.onstate(state);
  }

  async _join() {
    this._joining ??= this._client.joinOrCreate("rpc", {}, (room) => this._prepare(room)).finally(() => (this._joining = null));
    const room = await this._joining;
    if (this._room === room) return;
    this._room = room;
    this._change("open");
    this._renew();
  }

  _prepare(room) {
    room.onMessage("watch", (update) => this._byNumber.get(update.watch)?.take(update));
    room.on("reconnecting", () => this._change("waiting"));
    room.on("recovered", () => this._change("open"));
    room.on("lost", () => {
      this._change("open");
      this._renew();
    });
    room.on("left", () => {
      if (this._room === room) this._retry();
    });
    room.on("error", () => {});
  }

  /**
   * Makes a call.
   *
   * @param {string} name The name, such as "rooms.list".
   * @param {object} [args] The arguments; those that are `undefined`, `null` or "" are left out.
   * @returns {Promise} The answer.
   */
  async call(name, args = {}) {
    if (!this._room) await this._join();
    return this._room.call(name, given(args), { timeout: 35_000 });
  }

  /** The calls that the server has, by their names, as `rpc.discover` describes them; `$defs` has their schemas. */
  async methods() {
    if (this._methods) return this._methods;
    const found = await this.call("rpc.discover");
    const methods = new Map(found.methods.map((method) => [method.name, method]));
    methods.$defs = found.components?.schemas ?? {};
    return (this._methods = methods);
  }

  /**
   * Tells the answer of a call now, and each time it changes, while the page is visible.
   *
   * @param {string} name The name of the call.
   * @param {object} args Its arguments.
   * @param {number} every How often to look, in seconds.
   * @param {function} onAnswer Called with the answer.
   * @param {function} onError Called with an error. Answers may follow nevertheless.
   * @returns {function} Ends the watch.
   */
  watch(name, args, every, onAnswer, onError = () => {}) {
    const watch = new Watch(this, { call: name, args: given(args), every }, onAnswer, onError);
    this._watches.add(watch);
    if (this._room && !this._isPaused) watch.start();
    return () => {
      this._watches.delete(watch);
      watch.stop();
    };
  }

  _renew() {
    this._methods = null; // the server may be a newer one
    this._byNumber.clear();
    for (const watch of this._watches) {
      watch.number = null;
      if (!this._isPaused) watch.start();
    }
  }

  /** A page that nobody sees asks for nothing. */
  _pause(isPaused) {
    if (isPaused === this._isPaused) return;
    this._isPaused = isPaused;
    if (!this._room) return;
    for (const watch of this._watches) isPaused ? watch.stop() : watch.start();
  }
}

class Watch {
  constructor(rpc, wanted, onAnswer, onError) {
    this._rpc = rpc;
    this._wanted = wanted;
    this._onAnswer = onAnswer;
    this._onError = onError;
    this._run = 0;
    this.number = null;
  }

  async start() {
    const run = ++this._run;
    const room = this._rpc._room;
    try {
      const { watch, answer } = await room.call("watch", this._wanted);
      if (run !== this._run) {
        if (this._rpc._room === room) room.call("unwatch", { watch }).catch(() => {});
        return;
      }
      this.number = watch;
      this._rpc._byNumber.set(watch, this);
      this._onAnswer(answer);
    } catch (error) {
      if (run === this._run && this._rpc._room === room) this._onError(error);
    }
  }

  stop() {
    this._run += 1;
    if (this.number === null) return;
    const watch = this.number;
    this.number = null;
    this._rpc._byNumber.delete(watch);
    this._rpc._room?.call("unwatch", { watch }).catch(() => {});
  }

  take(update) {
    if (update.error) this._onError(update.error);
    else this._onAnswer(update.answer);
  }
}

function given(args) {
  return Object.fromEntries(Object.entries(args).filter(([, value]) => value !== undefined && value !== null && value !== ""));
}

/** Whether the server answers with the form to log in. */
async function mustLogIn() {
  try {
    const answer = await fetch("/", { cache: "no-store" });
    return answer.ok && (await answer.text()).includes('action="/login"');
  } catch {
    return false;
  }
}
