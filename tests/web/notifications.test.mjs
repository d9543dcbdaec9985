import assert from "node:assert/strict";
import test from "node:test";

import { Harness, failure, settle } from "./harness.mjs";

/** A client that has subscribed, with no room; what it sends is in `h.socket`. */
async function subscribed(options = {}, name = "notify", listener = undefined) {
  const h = new Harness({ device: "d1", ...options });
  h.told = [];
  h.off = h.client.on(name, listener ?? ((...args) => h.told.push(args)));
  h.socket.open();
  h.sent = h.socket.take();
  h.socket.receive("notified", "e1", 0, 0);
  return h;
}

const send = (h, ...numbers) => numbers.forEach((n) => h.socket.receive("notify", "e1", n, "gift", n, 0));

test("with the first listener a client connects without a room, and reconnects while there is one", async () => {
  const h = await subscribed();
  assert.equal(h.client.state, "open");
  assert.deepEqual(h.sent, [["notify", "d1", null, 0]]);
  assert.deepEqual(await h.reconnect(4101), [["notify", "d1", "e1", 0]]);
  h.off();
  const endings = [];
  h.client.on("disconnected", ({ code }) => endings.push(code));
  h.socket.end(1006);
  assert.equal(h.client.state, "idle");
  assert.deepEqual(endings, [1006]);
  h.client.once("notify:gift", () => {});
  assert.equal(h.client.state, "connecting");
  h.client.close();
  h.client.on("notify", () => {});
  assert.equal(h.client.state, "closed");
});

test("events whose names only look like those of notifications ask for nothing", async () => {
  const h = new Harness();
  for (const name of ["notifyDropped", "notified", "connected"]) h.client.on(name, () => {});
  assert.deepEqual([h.client.state, h.sockets.length], ["idle", 0]);
});

test("the acknowledgement waits for the promises of listeners, and for those of earlier notifications", async () => {
  const ends = [];
  const h = await subscribed({}, "notify", () => new Promise((resolve, reject) => ends.push({ resolve, reject })));
  send(h, 1, 2, 3);
  assert.equal(ends.length, 3);
  ends[1].resolve();
  await h.clock.advance(1_000);
  assert.deepEqual(h.socket.take(), []);
  ends[0].reject(new Error("the listener failed"));
  await h.clock.advance(1_000);
  assert.deepEqual(h.socket.take(), [["notify", "d1", "e1", 2]]);
  assert.deepEqual(
    h.errors.map(({ message }) => message),
    ["the listener failed"],
  );
  // Over the next connection it comes again, and is not told again.
  assert.deepEqual(await h.reconnect(), [["notify", "d1", "e1", 2]]);
  h.socket.receive("notified", "e1", 2, 0);
  send(h, 3, 4);
  assert.equal(ends.length, 4);
  ends[3].resolve();
  ends[2].resolve();
  await h.clock.advance(1_000);
  assert.deepEqual(h.socket.take(), [["notify", "d1", "e1", 4]]);
  // What ends while the connection is lost is acknowledged by the next subscription.
  send(h, 5);
  h.socket.end(1006);
  ends[4].resolve();
  await h.nextSocket();
  h.socket.open();
  assert.deepEqual(h.socket.take(), [["notify", "d1", "e1", 5]]);
});

test("promises that end before the server has answered: nothing is told again, and the window moves", async () => {
  const ends = [];
  const h = await subscribed({}, "notify", (type, n) => new Promise((resolve) => ends.push([n, resolve])));
  const all = Array.from({ length: 64 }, (_, index) => index + 1);
  send(h, ...all);
  assert.deepEqual(await h.reconnect(), [["notify", "d1", "e1", 0]]);
  for (const [, resolve] of ends) resolve();
  await h.clock.advance(1_000);
  assert.deepEqual(h.socket.take(), []); // the server would ignore it: it has sent nothing over this connection
  h.socket.receive("notified", "e1", 0, 0);
  send(h, ...all);
  assert.deepEqual(
    h.socket.take().map(([, , , n]) => n),
    [32, 64],
  );
  send(h, 65);
  assert.deepEqual(
    ends.map(([n]) => n),
    [...all, 65],
  );
});

test("a server that goes back in an epoch after promises have ended has lost what came after", async () => {
  const ends = [];
  const h = await subscribed({}, "notify", (type, n) => new Promise((resolve) => ends.push([n, resolve])));
  send(h, 1, 2);
  ends[0][1]();
  await h.clock.advance(1_000);
  await h.reconnect();
  ends[1][1]();
  await settle();
  h.socket.receive("notified", "e1", 0, 0);
  send(h, 1);
  assert.deepEqual(
    ends.map(([n]) => n),
    [1, 2, 1],
  );
});

test("a promise that ends after the server has begun another epoch changes nothing", async () => {
  const ends = [];
  const h = await subscribed({}, "notify", () => new Promise((resolve) => ends.push(resolve)));
  send(h, 1);
  await h.reconnect();
  h.socket.receive("notified", "e2", 7, 0);
  ends[0]();
  await h.clock.advance(1_000);
  assert.deepEqual(await h.reconnect(), [["notify", "d1", "e2", 7]]);
});

test("a listener that throws is reported, and the notification counts as received", async () => {
  const h = await subscribed({}, "notify", () => {
    throw new Error("no");
  });
  send(h, 1);
  await h.clock.advance(1_000);
  assert.deepEqual(
    h.errors.map(({ message }) => message),
    ["no"],
  );
  assert.deepEqual(h.socket.take(), [["notify", "d1", "e1", 1]]);
});

test("once takes one notification, the next ones wait for another listener", async () => {
  const h = new Harness({ device: "d1" });
  const told = [];
  h.client.once("notify:gift", (data) => told.push(data));
  h.socket.open();
  h.socket.receive("notified", "e1", 0, 0);
  send(h, 1, 2, 3);
  assert.deepEqual(told, [1]);
  await h.clock.advance(1_000);
  assert.deepEqual(h.socket.take().at(-1), ["notify", "d1", "e1", 1]);
  h.client.once("notify", (type, data) => {
    told.push(data);
    h.client.on("notify:gift", (data) => told.push(`gift ${data}`));
  });
  assert.deepEqual(told, [1, 2, "gift 3"]);
});

test("a listener that is added in a listener does not change the order", async () => {
  const h = await subscribed();
  h.off();
  send(h, 1, 2);
  const told = [];
  h.client.on("notify:gift", (n) => {
    told.push(`a${n}`);
    if (n === 1) h.client.on("notify", (type, n) => void told.push(`b${n}`));
  });
  assert.deepEqual(told, ["a1", "b1", "a2", "b2"]);
});

test("after close in a listener no other notification is told; what was handled is acknowledged", async () => {
  const h = await subscribed({}, "notify:none", () => {});
  h.off();
  send(h, 1, 2, 3);
  const told = [];
  h.client.on("notify", (type, data) => told.push(data) === 2 && h.client.close());
  assert.deepEqual(told, [1, 2]);
  assert.deepEqual(h.socket.take(), [["notify", "d1", "e1", 1]]);
  assert.equal(h.clock.pending, 0);
});

test("what is handled is acknowledged at once when the page goes away", async () => {
  const page = new EventTarget();
  const h = await subscribed({ events: page });
  page.dispatchEvent(new Event("pagehide"));
  assert.deepEqual(h.socket.take(), []);
  send(h, 1);
  page.dispatchEvent(new Event("pagehide"));
  assert.deepEqual(h.socket.take(), [["notify", "d1", "e1", 1]]);
  await h.clock.advance(1_000);
  assert.deepEqual(h.socket.take(), []);
});

test("the device is in localStorage, from the first listener on; without a storage there is none", async (t) => {
  const stored = new Map();
  const storage = { getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => stored.set(key, value) };
  const former = Object.getOwnPropertyDescriptor(globalThis, "localStorage");
  const set = (value) => Object.defineProperty(globalThis, "localStorage", { configurable: true, ...value });
  t.after(() => (former ? set(former) : delete globalThis.localStorage));
  const deviceOf = async (options) => (await subscribed(options)).sent[0][1];

  set({ value: storage });
  await new Harness({ device: undefined }).join();
  assert.equal(stored.size, 0);
  assert.equal(await deviceOf({ device: "mine" }), "mine");
  assert.equal(await deviceOf({ device: null }), null);
  assert.equal(stored.size, 0);
  const device = await deviceOf({ device: undefined });
  assert.match(device, /^[A-Za-z0-9_-]{22}$/);
  assert.deepEqual([...stored.values()], [device]);
  assert.equal(await deviceOf({ device: undefined }), device);
  stored.clear();
  assert.notEqual(await deviceOf({ device: undefined }), device);
  stored.set("txroom.device", "x".repeat(100));
  assert.equal(await deviceOf({ device: undefined }), "x".repeat(64));
  set({
    get() {
      throw new Error("SecurityError");
    },
  });
  assert.equal(await deviceOf({ device: undefined }), null);
  set({ value: undefined });
  assert.equal(await deviceOf({ device: undefined }), null);
});

test("the option device is checked", () => {
  for (const device of ["", "x".repeat(65), 5, {}]) {
    assert.throws(() => new Harness({ device }), /the option device must be a string of 1 to 64 characters, or null/);
  }
});

test("a type without a listener is warned of once", async (t) => {
  const warned = t.mock.method(console, "warn", () => {});
  const h = await subscribed({}, "notify:friend");
  send(h, 1, 2);
  assert.deepEqual(
    warned.mock.calls.map(({ arguments: [text] }) => text),
    ['txroom: a notification of the type "gift" has no listener: add one with client.on("notify:gift", …)'],
  );
});

test("an error about notifications in the first frame is not the reason why the server closes", async () => {
  const h = new Harness({ device: "d1" });
  h.client.on("notify", () => {});
  const joining = failure(h.client.joinOrCreate("chat"));
  await settle();
  h.socket.open();
  h.socket.receive("error", null, null, "unauthorized", "no id", { frame: "notify" });
  h.socket.end(4004, "gone");
  assert.equal((await joining).code, "noSuchRoom");
  assert.deepEqual(
    h.errors.map(({ message }) => message),
    ["no id"],
  );
});

test("more notifications than the server may send without acknowledgements end the connection", async () => {
  const h = await subscribed();
  h.off();
  for (let n = 1; n <= 1_001; n++) send(h, n);
  assert.deepEqual(h.sockets[0].closed, { code: 4010, reason: "not a frame" });
  assert.match(h.errors[0].message, /more notifications than/);
});

test("a client that has given up connects again at reconnect()", async () => {
  const h = new Harness({ device: "d1" });
  h.client.reconnect();
  assert.equal(h.sockets.length, 0);
  h.client.on("notify", () => {});
  for (let attempt = 0; attempt < 4; attempt++) {
    h.socket.end(1006);
    await h.nextSocket();
  }
  h.socket.end(1006);
  assert.equal(h.client.state, "idle");
  h.client.reconnect(100);
  assert.equal(await h.nextSocket(), 100);
  h.socket.open();
  assert.deepEqual(h.socket.take(), [["notify", "d1", null, 0]]);
});

/** A queue of the server; `connect` serves the newest socket of a harness, `answer` answers its subscription. */
class ModelQueue {
  last = 0;
  acknowledged = 0;
  push = () => {};
  answer = () => {};

  constructor(limit) {
    this.limit = limit;
  }

  add() {
    this.last++;
    this.push();
  }

  connect(h) {
    const { socket } = h;
    const isOpen = () => socket === h.socket && socket.readyState === 1;
    const waiting = []; // those that were sent over this socket and are not acknowledged
    let sent; // all up to here were sent, or are dropped
    this.push = () => {
      while (isOpen() && sent < this.last && waiting.length < 64) {
        const from = sent;
        sent = Math.max(sent, this.last - this.limit) + 1;
        waiting.push(sent);
        socket.receive("notify", "e1", sent, "number", sent, sent - from - 1);
      }
    };
    const answer = (position) => {
      if (sent !== undefined || !isOpen()) return;
      // Sometimes the answer has what is dropped already.
      sent = this.last % 2 ? position : Math.max(position, this.last - this.limit);
      if (sent > position) waiting.push(sent);
      socket.receive("notified", "e1", sent, sent - position);
      this.push();
    };
    let isAsked = false;
    socket.onsent = ([kind, , epoch, n]) => {
      if (kind !== "notify") return;
      if (isAsked) {
        assert.ok(waiting.includes(n), `${n} was not sent, or is acknowledged already`);
        waiting.splice(0, waiting.indexOf(n) + 1);
      }
      this.acknowledged = Math.max(this.acknowledged, n);
      if (!isAsked) this.answer = answer.bind(undefined, epoch === null ? this.acknowledged : n);
      isAsked = true;
      this.push();
    };
    socket.open();
  }
}

test("random schedules: each is told once and in order, or counted as dropped, and acknowledged when it is done", async () => {
  for (let seed = 1; seed <= 300; seed++) {
    let state = seed * 7919;
    const below = (n) => ((state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 10) % n;
    const queue = new ModelQueue(1 + below(20));
    const h = new Harness({ device: "d1", pingInterval: 0 });
    const running = new Map(); // what ends the listener of a notification
    let known = 0; // all up to here were told or dropped
    h.client.on("notifyDropped", (count) => (known += count));
    const listen = () =>
      h.client.on("notify:number", (n) => {
        assert.equal(n, ++known, `schedule ${seed}`);
        if (below(2)) return undefined;
        return new Promise((resolve) => running.set(n, () => running.delete(n) && resolve()));
      });
    const connect = async () => {
      while (h.client.state === "waiting") await h.clock.advance(100);
      if (h.client.state === "connecting") queue.connect(h);
    };
    let off = listen();
    for (let step = 0; step < 80; step++) {
      const what = below(12);
      if (what < 4) queue.add();
      else if (what < 6) [...running.values()][below(running.size + 1)]?.();
      else if (what === 6) await h.clock.advance(60);
      else if (what === 7) h.socket.end(1006);
      else if (what === 8) off();
      else if (what > 9) queue.answer();
      else {
        off();
        off = listen();
        await connect();
      }
      await settle();
      // One that the server has dropped cannot come again, so its listener does not matter any more.
      const kept = [...running.keys()].filter((n) => n > queue.last - queue.limit);
      const first = Math.min(known + 1, ...kept);
      assert.ok(queue.acknowledged < first, `schedule ${seed}: ${queue.acknowledged} of ${first}`);
    }
    off();
    off = listen();
    await connect();
    for (let round = 0; round < 50 && queue.acknowledged < queue.last; round++) {
      queue.answer();
      for (const end of [...running.values()]) end();
      await h.clock.advance(60);
    }
    assert.deepEqual([known, queue.acknowledged], [queue.last, queue.last], `schedule ${seed}`);
    h.client.close();
  }
});

test("a client that only listens emits the error with which the server refuses it for good, and is idle", async () => {
  for (const [isSaid, code, message] of [
    [true, "unauthorized", "log in"],
    [false, "unauthorized", "the server at ws://server/rooms has closed the connection with 4001: Unauthorized"],
  ]) {
    const h = new Harness({ device: "d1" });
    const endings = [];
    h.client.on("disconnected", (ending) => endings.push(ending.code));
    h.client.on("notify", () => {});
    h.socket.open();
    if (isSaid) h.socket.receive("error", null, null, "unauthorized", "log in", null);
    h.socket.end(4001, "Unauthorized");
    assert.deepEqual(h.errors.map((error) => [error.code, error.message]), [[code, message]]);
    await h.clock.advance(60_000);
    assert.deepEqual([h.sockets.length, h.client.state, h.clock.pending], [1, "idle", 0]);
    h.client.close();
    assert.deepEqual([h.client.state, endings, h.errors.length], ["closed", [4001], 1]);
  }
});

test("a client that only listens emits an error when it gives up; with a join or a room, that has the error", async () => {
  const alone = new Harness({ device: "d1", random: () => 1 });
  alone.client.on("notify", () => {});
  for (let i = 1; i < 5; i++) {
    alone.socket.end();
    await alone.nextSocket();
  }
  assert.deepEqual(alone.errors, []);
  alone.socket.end();
  assert.deepEqual(alone.errors.map(({ code }) => code), ["unavailable"]);
  for (const isIn of [false, true]) {
    const h = new Harness({ device: "d1" });
    const off = h.client.on("notify", () => {});
    h.socket.open();
    h.socket.receive("notified", "e1", 0, 0);
    const room = isIn ? await h.join() : null;
    const joining = isIn ? null : failure(h.client.join("chat"));
    await settle();
    h.socket.end(4001, "log in");
    if (isIn) assert.deepEqual(room.log.at(-1)[0], "left");
    else assert.equal((await joining).code, "unauthorized");
    assert.deepEqual(h.errors, []);
    off();
  }
});

test("a client that was never connected, or is closed, is not disconnected at close()", async () => {
  const h = new Harness({ device: "d1" });
  const endings = [];
  h.client.on("disconnected", (ending) => endings.push(ending.code));
  h.client.close();
  assert.deepEqual(endings, []);
  const open = await subscribed();
  open.client.on("disconnected", (ending) => endings.push(ending.code));
  open.client.close();
  open.client.close();
  assert.deepEqual([endings, open.errors], [[1000], []]);
});
