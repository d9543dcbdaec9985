/** A client on a fake clock and fake sockets, and the frames of a server that accepts everything. */

import { Client } from "../../txroom/web/txroom.js";
import { FakeClock, fakeSockets, settle } from "./fakes.mjs";

export class Harness {
  constructor(options = {}, url = "ws://server/rooms") {
    this.clock = new FakeClock();
    this.Socket = fakeSockets();
    this.errors = [];
    this.client = new Client(url, {
      clock: this.clock,
      WebSocket: this.Socket,
      random: () => 0,
      events: null,
      ...options,
    });
    this.client.on("error", (error) => this.errors.push(error));
  }

  get socket() {
    return this.Socket.current;
  }

  get sockets() {
    return this.Socket.all;
  }

  /** The body of a `joined` frame. */
  membership(more = {}) {
    return {
      name: "chat",
      member: "m1",
      token: "t1",
      epoch: "e1",
      offset: 0,
      recovered: false,
      handled: 0,
      members: [],
      snapshot: null,
      ...more,
    };
  }

  /** Joins `id`; what the room tells is collected in `room.log`. */
  async join(id = "r1", more = {}, options = {}) {
    const joining = this.client.joinOrCreate("chat", options);
    await settle();
    if (this.client.state === "connecting") this.socket.open();
    const [kind, ref] = this.socket.take().at(-1);
    if (kind !== "join") throw new Error(kind);
    this.socket.receive("joined", ref, id, this.membership(more));
    const room = await joining;
    room.log = [];
    for (const name of ["reconnecting", "recovered", "lost", "left"]) {
      room.on(name, (value) => room.log.push(value === undefined ? [name] : [name, value]));
    }
    room.onMessage("*", (type, data, offset) => room.log.push(["msg", type, data, offset]));
    await this.clock.advance(0);
    return room;
  }

  /** The connection is lost and there is a new one; returns the frames that are sent on it. */
  async reconnect(code = 1006) {
    this.socket.end(code);
    await this.nextSocket();
    this.socket.open();
    return this.socket.take();
  }

  /** Time passes until the client connects again; returns the milliseconds. */
  async nextSocket() {
    const count = this.sockets.length;
    const since = this.clock.now();
    while (this.sockets.length === count) {
      if (this.clock.now() - since > 120_000) throw new Error("it does not reconnect");
      await this.clock.advance(5);
    }
    return this.clock.now() - since;
  }

  /** Answers the `resume` frames. */
  resumed(frame, more = {}) {
    const [kind, ref, room] = frame;
    if (kind !== "resume") throw new Error(kind);
    this.socket.receive("joined", ref, room, this.membership({ recovered: true, token: "t2", ...more }));
  }
}

/** The error that a promise rejects with. */
export const failure = (promise) =>
  promise.then(
    (value) => {
      throw new Error(`resolved: ${JSON.stringify(value)}`);
    },
    (error) => error,
  );

export { settle };
