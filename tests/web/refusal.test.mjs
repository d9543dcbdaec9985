/** Servers that refuse the client or cannot be reached. */

import assert from "node:assert/strict";
import test from "node:test";

import { DEFAULTS } from "../../txroom/web/txroom.js";
import { Harness, failure, settle } from "./harness.mjs";

/** The server upgrades, sends the error, and closes. */
function refuse(h, close, code, message, details = null) {
  h.socket.open();
  h.socket.receive("error", null, null, code, message, details);
  h.socket.end(close, message);
}

test("a final refusal rejects the join at once with the server's error", async () => {
  for (const [close, code] of [[4001, "unauthorized"], [4001, "forbidden"], [4004, "noSuchRoom"], [1006, "forbidden"]]) {
    const h = new Harness();
    const endings = [];
    h.client.on("disconnected", (ending) => endings.push(ending));
    const joins = [failure(h.client.joinOrCreate("chat")), failure(h.client.query("chat"))];
    await settle();
    refuse(h, close, code, "members only", { why: 1 });
    for (const joining of joins) {
      const error = await joining;
      assert.deepEqual([error.code, error.message, error.details], [code, "members only", { why: 1 }]);
    }
    assert.deepEqual(endings, [{ code: close === 1006 ? 4001 : close, reason: "members only" }]);
    await h.clock.advance(60_000);
    assert.deepEqual([h.sockets.length, h.client.state, h.errors, h.clock.pending], [1, "idle", [], 0]);
  }
});

test("a final refusal during a reconnection ends the rooms", async () => {
  const h = new Harness();
  const room = await h.join();
  h.socket.end();
  await h.nextSocket();
  refuse(h, 4001, "unauthorized", "logged out");
  assert.deepEqual(room.log.at(-1), ["left", { code: 4001, reason: "logged out" }]);
});

test("after a temporary refusal the client waits retryAfter and sends the requests again", async () => {
  const h = new Harness();
  const joining = h.client.joinOrCreate("chat");
  await settle();
  refuse(h, 1013, "rateLimited", "too many connections", { retryAfter: 3 });
  assert.equal(await h.nextSocket(), 3_125);
  h.socket.open();
  const [[kind, ref]] = h.socket.take();
  assert.equal(kind, "join");
  h.socket.receive("joined", ref, "r1", h.membership());
  assert.equal((await joining).status, "joined");
});

test("if retryAfter is longer than a join may take, it rejects at once with the server's error", async () => {
  const h = new Harness();
  const joining = failure(h.client.joinOrCreate("chat"));
  await settle();
  refuse(h, 1013, "unavailable", "full house", { retryAfter: 60 });
  const error = await joining;
  assert.deepEqual([error.code, error.message, error.details], ["unavailable", "full house", { retryAfter: 60 }]);
  assert.deepEqual([h.client.state, h.clock.pending], ["idle", 0]);
});

test("after five refusals in a row the join rejects with the reason", async () => {
  const h = new Harness({ random: () => 1 });
  const joining = failure(h.client.joinOrCreate("chat"));
  await settle();
  for (let i = 1; ; i++) {
    refuse(h, 1011, "internal", "the server failed");
    if (i === 5) break;
    await h.nextSocket();
  }
  const error = await joining;
  assert.deepEqual([error.code, error.message], ["internal", "the server failed"]);
  assert.ok(h.clock.now() < 4_000);
});

test("a first error that is not a refusal is reported when the next frame arrives", async () => {
  const h = new Harness();
  h.client.query("chat").catch(() => {});
  h.socket.open();
  h.socket.receive("error", null, null, "badRequest", "what?", null);
  assert.deepEqual(h.errors, []);
  h.socket.receive("reply", 1, []);
  assert.deepEqual(h.errors.map(({ message }) => message), ["what?"]);
});

test("without a server the client makes five attempts, and the error has the URL", async () => {
  const h = new Harness({ random: () => 1 });
  const joining = failure(h.client.joinOrCreate("chat"));
  await settle();
  for (let i = 1; i < 5; i++) {
    h.socket.end();
    await h.nextSocket();
  }
  h.socket.end();
  const error = await joining;
  assert.deepEqual([error.code, error.details], ["unavailable", { code: 1006 }]);
  assert.equal(
    error.message,
    "no connection to ws://server/rooms (the connection was closed with 1006). Is the server running, and are the host, the port and the path right?",
  );
  assert.deepEqual([h.client.state, h.clock.pending], ["idle", 0]);
  assert.ok(h.clock.now() < 4_000);
});

test("a client that was connected before tries without a limit", async () => {
  const h = new Harness();
  const room = await h.join();
  for (let i = 0; i < 20; i++) {
    h.socket.end();
    await h.nextSocket();
  }
  assert.equal(room.status, "away");
  const joining = failure(h.client.joinOrCreate("duel"));
  await h.clock.advance(DEFAULTS.requestTimeout);
  assert.match((await joining).message, /^no connection to ws:\/\/server\/rooms within 15000 ms \(.+\)\.$/);
});

test("with Node's ws the error has the cause, and a refused upgrade is final", async () => {
  for (const [status, code, close] of [
    [401, "unauthorized", 4001],
    [403, "unauthorized", 4001],
    [404, "noSuchRoom", 4004],
    [400, "unavailable", 1008],
  ]) {
    const h = new Harness();
    const joining = failure(h.client.joinOrCreate("chat"));
    await settle();
    h.socket.end(1006, "", `Unexpected server response: ${status}`);
    const error = await joining;
    assert.deepEqual([error.code, error.details], [code, { code: close }]);
    assert.ok(error.message.startsWith(`no connection to ws://server/rooms (Unexpected server response: ${status})`));
  }
  for (const said of ["Unexpected server response: 429", "Unexpected server response: 503", "connect ECONNREFUSED"]) {
    const h = new Harness({ requestTimeout: 1_000 });
    const joining = failure(h.client.joinOrCreate("chat"));
    await settle();
    h.socket.end(1006, "", said);
    await h.nextSocket();
    await h.clock.advance(1_000);
    assert.ok((await joining).message.includes(said));
  }
});

test("no error has the query or the password of the URL", async () => {
  const h = new Harness({ random: () => 1 }, "wss://ada:pass@server/rooms?token=s3cret#part");
  const joining = failure(h.client.joinOrCreate("chat"));
  await settle();
  for (let i = 0; i < 5; i++) {
    if (i) await h.nextSocket();
    assert.equal(h.socket.url, "wss://ada:pass@server/rooms?token=s3cret");
    h.socket.end();
  }
  assert.match((await joining).message, /^no connection to wss:\/\/server\/rooms \(the connection was closed with 1006\)\./);
});

test("if the server closes with a final code before any answer, the error has the code and the reason", async () => {
  for (const [close, reason, code, said] of [
    [1008, "behave", "unavailable", "1008: behave"],
    [1009, "", "unavailable", "1009"],
    [4001, "log in", "unauthorized", "4001: log in"],
    [4008, "", "roomGone", "4008"],
  ]) {
    const h = new Harness({}, "ws://server/rooms?token=s3cret");
    const endings = [];
    h.client.on("disconnected", (ending) => endings.push(ending));
    const joining = failure(h.client.joinOrCreate("chat"));
    await settle();
    h.socket.open();
    h.socket.end(close, reason);
    const error = await joining;
    assert.deepEqual([error.code, error.details], [code, { code: close }]);
    assert.equal(error.message, `the server at ws://server/rooms has closed the connection with ${said}`);
    assert.deepEqual(endings, [{ code: close, reason }]);
    assert.deepEqual([h.sockets.length, h.client.state, h.errors, h.clock.pending], [1, "idle", [], 0]);
  }
});

test(`an "error" event without "close" ends an attempt, too`, async () => {
  const h = new Harness({ random: () => 1 });
  const joining = failure(h.client.joinOrCreate("chat"));
  await settle();
  for (let i = 0; i < 5; i++) {
    h.socket.onerror({ message: `network error, ${"€".repeat(200)}` });
    if (i < 4) await h.nextSocket();
  }
  await h.clock.advance(100);
  assert.match((await joining).message, /^no connection to ws:\/\/server\/rooms \(network error, €+\)/);
  for (const { closed } of h.sockets) assert.ok(new TextEncoder().encode(closed.reason).length <= 123);
  assert.deepEqual([h.client.state, h.clock.pending], ["idle", 0]);
});

test("the error mentions ws: on an https: page, and a missing network", async () => {
  const tell = async (name, value) => {
    const former = Object.getOwnPropertyDescriptor(globalThis, name);
    Object.defineProperty(globalThis, name, { value, configurable: true });
    try {
      const h = new Harness({ requestTimeout: 1_000 });
      const joining = failure(h.client.joinOrCreate("chat"));
      await h.clock.advance(1_000);
      return (await joining).message;
    } finally {
      delete globalThis[name];
      if (former) Object.defineProperty(globalThis, name, former);
    }
  };
  assert.match(await tell("location", new URL("https://example.org/")), /A page with an https: URL needs a wss: URL\.$/);
  const other = await tell("location", new URL("http://localhost:5173/"));
  assert.match(other, /path right\? And does it allow the origin http:\/\/localhost:5173\?$/);
  assert.doesNotMatch(await tell("location", new URL("http://server/")), /origin/);
  assert.match(await tell("navigator", { onLine: false }), /The browser is offline\.$/);
});

test(`on "online" an attempt that hangs is replaced by another one`, async () => {
  const events = new EventTarget();
  const h = new Harness({ events });
  await h.join();
  h.socket.end();
  await h.nextSocket();
  events.dispatchEvent(new Event("offline"));
  events.dispatchEvent(new Event("visibilitychange"));
  await h.clock.advance(0);
  assert.equal(h.sockets.length, 2);
  events.dispatchEvent(new Event("online"));
  await h.clock.advance(0);
  assert.deepEqual([h.sockets.length, h.sockets[1].closed.reason, h.client.state], [3, "online", "connecting"]);
});

test("reconnect(0) in a listener of the loss is not overridden by the usual delay", async () => {
  const h = new Harness({ minDelay: 4_000 });
  const room = await h.join();
  room.on("reconnecting", () => h.client.reconnect(0));
  h.socket.end();
  await h.clock.advance(0);
  assert.equal(h.sockets.length, 2);
});

test("if auth fails during a rejoin, the room stays away and tries again", async () => {
  let isOut = false;
  const auth = async () => {
    if (isOut) throw new TypeError("Failed to fetch");
    return "token";
  };
  const h = new Harness({ auth });
  const room = await h.join();
  isOut = true;
  let [resume] = await h.reconnect();
  for (let i = 0; i < 3; i++) {
    h.socket.receive("error", resume[1], null, "unauthorized", "", null);
    await h.clock.advance(DEFAULTS.requestTimeout + DEFAULTS.maxDelay);
    resume = h.socket.take().find(([kind]) => kind === "resume");
    assert.ok(resume, "it asks again");
    assert.deepEqual(room.log.map(([name]) => name), ["reconnecting"]);
  }
  isOut = false;
  h.socket.receive("error", resume[1], null, "unauthorized", "", null);
  await settle();
  const [[kind, ref, , options]] = h.socket.take();
  assert.deepEqual([kind, options.auth], ["joinById", "token"]);
  h.socket.receive("joined", ref, "r1", h.membership({ member: "m2" }));
  assert.equal(room.status, "joined");
});

test("the URL of one room is refused for good; the error has the right URL, without its secrets", async () => {
  for (const before of [false, true]) {
    const h = new Harness({}, "ws://ada:secret@server/play/chat?auth=secret");
    const room = before ? await h.join() : null;
    const joining = failure(h.client.join("mole"));
    await settle();
    if (!before) h.socket.open();
    h.socket.receive("joined", null, "r2", h.membership());
    const message = "ws://server/play/chat is the URL of one room: pass the URL of all rooms, ws://server/play, and join by the name of the room";
    const error = await joining;
    assert.deepEqual([error.code, error.message], ["badRequest", message]);
    assert.deepEqual(h.sockets[0].closed, { code: 1000, reason: "the URL of one room" });
    await h.clock.advance(600_000);
    if (room) assert.deepEqual(room.log.at(-1), ["left", { code: 1000, reason: message }]);
    assert.deepEqual([h.sockets.length, h.client.state, h.errors, h.clock.pending], [1, "idle", [], 0]);
  }
});

test("query without a name lists the rooms of all names", async () => {
  const h = new Harness();
  const listing = h.client.query();
  await settle();
  h.socket.open();
  const [[kind, ref, name, filter]] = h.socket.take();
  assert.deepEqual([kind, name, filter], ["rooms", null, {}]);
  h.socket.receive("reply", ref, []);
  assert.deepEqual(await listing, []);
});
