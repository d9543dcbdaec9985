/** A clock that only the test moves, and sockets whose server is the test. */

/** Waits until all callbacks of promises were called. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

export class FakeClock {
  #time = 0;
  #timers = new Map();
  #last = 0;

  now = () => this.#time;

  setTimeout = (callback, delay) => {
    this.#timers.set(++this.#last, { at: this.#time + Math.max(0, delay), callback });
    return this.#last;
  };

  clearTimeout = (timer) => {
    this.#timers.delete(timer);
  };

  get pending() {
    return this.#timers.size;
  }

  /** Moves on, timer by timer. */
  async advance(milliseconds) {
    const end = this.#time + milliseconds;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.#time = Math.max(this.#time, due[1].at);
      due[1].callback();
      await settle();
    }
    this.#time = end;
  }
}

/** A class of sockets: `sockets` are all that were made, `current` is the newest. */
export function fakeSockets() {
  const sockets = [];

  class FakeSocket {
    onopen = null;
    onmessage = null;
    onclose = null;
    onerror = null;
    protocol = "";
    readyState = 0;
    /** Bytes that wait to go: the test's to say. */
    bufferedAmount = 0;
    /** The close code and reason of the client. */
    closed = null;
    #sent = [];

    constructor(url, protocols) {
      this.url = url;
      this.protocols = protocols;
      sockets.push(this);
    }

    static get all() {
      return sockets;
    }

    static get current() {
      return sockets.at(-1);
    }

    // -- the client's end

    send(text) {
      if (this.readyState !== 1) throw new Error("InvalidStateError");
      this.#sent.push(JSON.parse(text));
      this.onsent?.(this.#sent.at(-1));
    }

    close(code, reason) {
      this.closed ??= { code, reason };
      this.readyState = 2;
      this.onclosing?.();
    }

    // -- the test's end

    open(protocol = "txroom.v1.json") {
      this.readyState = 1;
      this.protocol = protocol;
      this.onopen?.({});
    }

    /** What the client has sent since the last time, heartbeats left out. */
    take() {
      return this.#sent.splice(0).filter(([kind]) => kind !== "ping");
    }

    takeAll() {
      return this.#sent.splice(0);
    }

    receive(...frame) {
      this.raw(JSON.stringify(frame));
    }

    raw(data) {
      this.onmessage?.({ data });
    }

    /** The connection ends; `said` is what the event "error" tells, which in browsers is nothing. */
    end(code = 1006, reason = "", said = undefined) {
      this.readyState = 3;
      this.onerror?.({ message: said });
      this.onclose?.({ code, reason });
    }
  }
  return FakeSocket;
}
