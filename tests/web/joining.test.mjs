import assert from "node:assert/strict";
import test from "node:test";

import { Client, DEFAULTS, Room, TxroomError } from "../../txroom/web/txroom.js";
import { Harness, failure, settle } from "./harness.mjs";

test("the client connects only when it is needed", async () => {
  const h = new Harness();
  await h.clock.advance(1000);
  assert.equal(h.sockets.length, 0);
  assert.equal(h.client.state, "idle");
});

test("URLs: the schemes of HTTP, and the default path", () => {
  const WebSocket = class {};
  const url = (from) => new Client(from, { WebSocket }).url;
  assert.equal(url("ws://host:8080"), "ws://host:8080/rooms");
  assert.equal(url("http://host/"), "ws://host/rooms");
  assert.equal(url("https://host/sub/rooms?x=1#y"), "wss://host/sub/rooms?x=1");
  assert.throws(() => url("ftp://host/"), /is not a WebSocket URL/);
  assert.throws(() => url("/rooms"), TypeError, "relative to which page?");
});

test("a relative URL is relative to the page", () => {
  globalThis.location = new URL("https://example.org/demo/index.html");
  try {
    assert.equal(new Client(undefined, { WebSocket: class {} }).url, "wss://example.org/rooms");
    assert.equal(new Client("../r", { WebSocket: class {} }).url, "wss://example.org/r");
  } finally {
    delete globalThis.location;
  }
});

test("options are checked and their defaults visible", () => {
  assert.throws(() => new Client("ws://h", { WebSocket: class {}, pingIntervall: 1 }), /pingIntervall is not an option of Client/);
  for (const name of ["constructor", "toString", "__proto__"]) {
    assert.throws(() => new Client("ws://h", { WebSocket: class {}, [name]: 1 }), new RegExp(`${name} is not an option`));
  }
  const client = new Client("ws://h", { WebSocket: class {}, window: 3 });
  assert.equal(client.options.window, 3);
  assert.equal(client.options.maxBuffered, DEFAULTS.maxBuffered);
  assert.ok(Object.isFrozen(client.options) && Object.isFrozen(DEFAULTS));
});

test("without a WebSocket, the constructor throws", () => {
  const present = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
  delete globalThis.WebSocket;
  try {
    assert.throws(() => new Client("ws://h"), /no WebSocket here/);
  } finally {
    if (present) Object.defineProperty(globalThis, "WebSocket", present);
  }
});

test("the four ways to join", async () => {
  const h = new Harness();
  const joins = [
    h.client.joinOrCreate("chat", { name: "ada" }),
    h.client.create("chat", { mode: 1 }),
    h.client.joinById("r9"),
    h.client.join("duel"),
  ];
  await settle();
  assert.equal(h.socket.url, "ws://server/rooms");
  assert.equal(h.socket.protocols, "txroom.v1.json");
  assert.equal(h.client.state, "connecting");
  h.socket.open();
  assert.equal(h.client.state, "open");
  assert.deepEqual(h.socket.take(), [
    ["join", 1, "chat", { name: "ada" }, { state: 1 }],
    ["create", 2, "chat", { mode: 1 }, { state: 1 }],
    ["joinById", 3, "r9", {}, { state: 1 }],
    ["joinOnly", 4, "duel", {}, { state: 1 }],
  ]);
  h.socket.receive("error", 4, null, "noSuchRoom", "", null);
  h.socket.receive("joined", 3, "r9", h.membership({ member: "m9", offset: 7, snapshot: { level: 2 } }));
  h.socket.receive("joined", 1, "r1", h.membership());
  h.socket.receive("error", 2, null, "forbidden", "clients may not create", { name: "chat" });
  const [first, second, third, fourth] = await Promise.allSettled(joins);
  assert.equal(fourth.reason.code, "noSuchRoom");
  assert.ok(first.value instanceof Room);
  assert.deepEqual([first.value.id, first.value.name, first.value.status], ["r1", "chat", "joined"]);
  assert.deepEqual([third.value.member, third.value.offset, third.value.snapshot], ["m9", 7, { level: 2 }]);
  assert.ok(second.reason instanceof TxroomError);
  assert.equal(second.reason.code, "forbidden");
  assert.equal(second.reason.message, "clients may not create");
  assert.deepEqual(second.reason.details, { name: "chat" });
  assert.deepEqual(h.client.joined, [third.value, first.value]);
  assert.equal(h.sockets.length, 1);
});

test("auth is sent with the options of each join: a value, a function, an async function", async () => {
  let count = 0;
  for (const [auth, expected] of [
    ["secret", ["secret", "secret"]],
    [() => ++count, [1, 2]],
    [async () => `async${++count}`, ["async3", "async4"]],
  ]) {
    const h = new Harness({ auth });
    h.client.joinOrCreate("chat", { name: "ada" }).catch(() => {});
    await settle();
    h.client.joinById("r1").catch(() => {});
    await settle();
    h.socket.open();
    assert.deepEqual(
      h.socket.take().map((frame) => frame[3].auth),
      expected,
    );
    h.client.close();
  }
  const h = new Harness({ auth: "general" });
  h.client.joinOrCreate("chat", { auth: "special" }).catch(() => {});
  await settle();
  h.socket.open();
  assert.equal(h.socket.take()[0][3].auth, "special");
});

test("an auth that fails is called again until requestTimeout; then the join fails with unauthorized", async () => {
  const cause = new Error("no session");
  let calls = 0;
  const h = new Harness({ auth: async () => Promise.reject(++calls && cause) });
  const joining = failure(h.client.joinOrCreate("chat"));
  await h.clock.advance(DEFAULTS.requestTimeout - 1);
  assert.ok(calls > 4 && calls < 12, `tried again, with growing delays: ${calls}`);
  await h.clock.advance(1);
  const error = await joining;
  assert.equal(error.code, "unauthorized");
  assert.match(error.message, /auth failed: no session/);
  assert.equal(error.cause, cause);
  assert.deepEqual([h.sockets.length, h.clock.pending], [0, 0]);
});

test("after an auth that fails once the join succeeds", async () => {
  let calls = 0;
  const auth = () => {
    if (++calls === 1) throw new TypeError("Failed to fetch");
    return "secret";
  };
  const h = new Harness({ auth });
  const joining = h.client.joinOrCreate("chat");
  await h.clock.advance(DEFAULTS.minDelay);
  h.socket.open();
  const [[, ref, , options]] = h.socket.take();
  assert.deepEqual(options, { auth: "secret" });
  h.socket.receive("joined", ref, "r1", h.membership());
  assert.equal((await joining).status, "joined");
});

test("an auth that never settles times out; close() fails the join at once", async () => {
  const h = new Harness({ auth: () => new Promise(() => {}) });
  const joining = failure(h.client.joinOrCreate("chat"));
  await h.clock.advance(DEFAULTS.requestTimeout);
  assert.deepEqual([(await joining).code, h.sockets.length], ["timeout", 0]);
  const other = failure(h.client.joinOrCreate("chat"));
  h.client.close();
  assert.equal((await other).code, "unavailable");
  assert.equal((await failure(h.client.joinOrCreate("chat"))).code, "unavailable");
  assert.equal(h.clock.pending, 0);
});

test("an auth that throws a TxroomError fails the join at once", async () => {
  const h = new Harness({ auth: async () => Promise.reject(new TxroomError("unauthorized", "logged out")) });
  const error = await failure(h.client.joinOrCreate("chat"));
  assert.deepEqual([error.code, error.message, h.clock.pending], ["unauthorized", "logged out", 0]);
});

test("options that are not JSON reject the join", async () => {
  const h = new Harness();
  assert.equal((await failure(h.client.joinOrCreate("chat", { n: 1n }))).code, "invalidData");
  assert.equal((await failure(h.client.joinOrCreate("chat", { b: new Uint8Array(2) }))).code, "invalidData");
  assert.equal(h.sockets.length, 0);
});

test("a join waits for a connection, also after failed attempts", async () => {
  const h = new Harness();
  const joining = h.client.joinOrCreate("chat");
  await settle();
  h.socket.end();
  await h.nextSocket();
  h.socket.end();
  await h.nextSocket();
  h.socket.open();
  const [[, ref]] = h.socket.take();
  h.socket.receive("joined", ref, "r1", h.membership());
  assert.equal((await joining).id, "r1");
  assert.equal(h.sockets.length, 3);
});

test("a join fails after requestTimeout: unavailable without a connection, timeout without an answer", async () => {
  const h = new Harness();
  let joining = failure(h.client.joinOrCreate("chat"));
  await h.clock.advance(DEFAULTS.requestTimeout);
  assert.equal((await joining).code, "unavailable");
  await h.clock.advance(60_000);
  assert.equal(h.client.state, "idle", "nobody needs a connection any more");
  assert.equal(h.clock.pending, 0);

  joining = failure(h.client.joinOrCreate("chat"));
  await settle();
  h.socket.open();
  const ref = h.socket.take()[0][1];
  await h.clock.advance(5_000);
  h.socket.receive("msg", "elsewhere", 1, "x", null);
  await h.clock.advance(DEFAULTS.requestTimeout);
  assert.equal((await joining).code, "timeout");
  h.socket.receive("joined", ref, "r1", h.membership());
  assert.deepEqual(h.socket.take(), [["leave", ref + 2, "r1"]], "what came too late is left again");
});

test("a join whose connection is lost is not sent again, since the server may have let the client in", async () => {
  const h = new Harness();
  const joining = failure(h.client.joinOrCreate("chat"));
  await settle();
  h.socket.open();
  h.socket.take();
  h.socket.end();
  assert.equal((await joining).code, "unavailable");
  await h.clock.advance(60_000);
  assert.equal(h.sockets.length, 1);
});

test("a join that has no answer when the server says goodbye was not read, and is sent again", async () => {
  const h = new Harness();
  const room = await h.join("r1");
  const joining = h.client.joinOrCreate("chat");
  await settle();
  h.socket.take();
  h.socket.receive("bye", 4100, 0);
  const later = h.client.joinById("r2");
  const resuming = h.client.resume(room.reconnectionToken);
  await settle();
  h.socket.end(4100);
  await h.nextSocket();
  h.socket.open();
  const frames = h.socket.take();
  const sent = frames.map(([kind, , target]) => [kind, target]);
  assert.deepEqual(sent, [
    ["resume", "r1"],
    ["join", "chat"],
    ["joinById", "r2"],
    ["resume", "r1"],
  ]);
  h.socket.receive("joined", frames[2][1], "r2", h.membership({ member: "m2" }));
  assert.equal((await later).id, "r2");
  const failures = [failure(joining), failure(resuming)];
  h.socket.end(4100);
  for (const error of await Promise.all(failures)) assert.equal(error.code, "unavailable", "there was no bye now");
});

test("a final close code while joining gives the error of that code", async () => {
  for (const [close, code] of [
    [4001, "unauthorized"],
    [4003, "forbidden"],
    [4004, "noSuchRoom"],
    [4029, "rateLimited"],
    [1008, "unavailable"],
  ]) {
    const h = new Harness();
    const joining = failure(h.client.joinOrCreate("chat"));
    await settle();
    h.socket.open();
    h.socket.end(close, "because");
    const error = await joining;
    assert.deepEqual([error.code, error.details], [code, { code: close }]);
  }
});

test("listeners that are added after await get all events", async () => {
  const h = new Harness();
  const joining = h.client.joinOrCreate("chat");
  await settle();
  h.socket.open();
  h.socket.receive("joined", 1, "r1", h.membership({ members: [{ user: "ada", metas: [{ member: "m1" }] }] }));
  h.socket.receive("msg", "r1", 1, "welcome", "hello");
  h.socket.receive("call", 5, "r1", "question", 6);
  h.socket.receive("left", "r1", 4008, "over");
  const room = await joining;
  const log = [];
  room.on("welcome", (data) => log.push(data));
  room.onPresence((members) => log.push(members.length));
  room.on("left", ({ code }) => log.push(code));
  assert.deepEqual(log, []);
  await h.clock.advance(0);
  assert.deepEqual(log, [1, "hello", 4008]);
});

test("prepare gets the room before the promise resolves", async () => {
  const h = new Harness();
  const log = [];
  const joining = h.client.joinOrCreate("chat", {}, (room) => room.on("welcome", (data) => log.push(data)));
  await settle();
  h.socket.open();
  h.socket.receive("joined", 1, "r1", h.membership());
  h.socket.receive("msg", "r1", 1, "welcome", "hello");
  await h.clock.advance(0);
  assert.deepEqual(log, ["hello"]);
  await joining;
});

test("joining the same room again gives another Room of the same membership", async () => {
  const h = new Harness();
  const room = await h.join("r1");
  room.send("say", 1);
  const joining = h.client.joinOrCreate("chat");
  await settle();
  const [, [, ref]] = h.socket.take();
  h.socket.receive("joined", ref, "r1", h.membership({ token: "t9", offset: 4, handled: 1 }));
  const again = await joining;
  assert.notEqual(again, room);
  assert.deepEqual([again.id, again.member, again.status], [room.id, room.member, room.status]);
  assert.deepEqual([room.log, h.client.joined], [[], [room, again]]);
  again.send("say", 2);
  assert.deepEqual(h.socket.take(), [["send", "r1", "say", 2, 2]], "one order, one count");
  const [resume] = await h.reconnect();
  assert.deepEqual(resume.slice(2, 6), ["r1", "t9", "e1", 0]);
});

test("query is sent again over the next connection", async () => {
  const h = new Harness();
  const listing = h.client.rooms("chat", { mode: "duel" });
  await settle();
  h.socket.open();
  assert.deepEqual(h.socket.take(), [["rooms", 1, "chat", { mode: "duel" }]]);
  h.socket.end();
  await h.nextSocket();
  h.socket.open();
  assert.deepEqual(h.socket.take(), [["rooms", 1, "chat", { mode: "duel" }]]);
  h.socket.receive("reply", 1, [{ room: "r1", clients: 2 }]);
  assert.deepEqual(await listing, [{ room: "r1", clients: 2 }]);
  const refused = failure(h.client.rooms("nope"));
  const [, ref] = h.socket.take()[0];
  h.socket.receive("error", ref, null, "noSuchRoom", "", null);
  assert.equal((await refused).code, "noSuchRoom");
});

test("leave follows the messages that were sent before, and ends with the server's answer", async () => {
  for (const answer of [
    (h) => h.socket.receive("left", "r1", 1000, ""),
    (h, ref) => h.socket.receive("reply", ref, null),
    (h, ref) => h.socket.receive("error", ref, "r1", "noSuchRoom", "", null),
    (h) => h.clock.advance(DEFAULTS.leaveTimeout),
    (h) => h.socket.end(),
  ]) {
    const h = new Harness({ window: 1 });
    const room = await h.join();
    room.send("say", 1);
    room.send("say", 2);
    const leaving = room.leave();
    assert.equal(room.leave(), leaving);
    assert.throws(() => room.send("say", 3), { code: "roomGone" });
    assert.deepEqual(h.socket.take(), [["send", "r1", "say", 1, 1]]);
    h.socket.receive("ack", "r1", 1);
    const frames = h.socket.take();
    assert.deepEqual(frames[0], ["send", "r1", "say", 2, 2]);
    assert.deepEqual([frames[1][0], frames[1][2]], ["leave", "r1"]);
    await answer(h, frames[1][1]);
    await leaving;
    assert.equal(room.status, "left");
    assert.deepEqual(room.log, [["left", { code: 1000, reason: room.log[0][1].reason }]]);
    assert.deepEqual(h.client.joined, []);
    assert.throws(() => room.send("say"), { code: "roomGone" });
    assert.equal((await failure(room.call("x"))).code, "roomGone");
    await room.leave();
  }
});

test("leave while away: when the room is back, or after leaveTimeout", async () => {
  const h = new Harness();
  const room = await h.join();
  h.socket.end();
  const leaving = room.leave();
  await h.nextSocket();
  h.socket.open();
  const [resume] = h.socket.take();
  h.resumed(resume);
  assert.deepEqual(h.socket.take()[0].slice(0, 1), ["leave"]);
  h.socket.receive("left", "r1", 1000, "");
  await leaving;

  const other = await h.join("r2");
  h.socket.end();
  const late = other.leave();
  await h.clock.advance(DEFAULTS.leaveTimeout);
  await late;
  assert.equal(other.status, "left");
});

test("leave with a full window: after leaveTimeout, without the queued messages", async () => {
  const h = new Harness({ window: 1 });
  const room = await h.join();
  for (const i of [1, 2, 3]) room.send("say", i);
  const leaving = room.leave();
  assert.deepEqual(h.socket.take().map(([kind]) => kind), ["send"]);
  await h.clock.advance(DEFAULTS.leaveTimeout);
  await leaving;
  assert.deepEqual(h.socket.take().map(([kind, , id]) => [kind, id]), [["leave", "r1"]]);
});

test("leave while resuming: if the resume is answered after leaveTimeout, the client leaves again", async () => {
  const h = new Harness();
  const room = await h.join();
  const [resume] = await h.reconnect();
  const leaving = room.leave();
  await h.clock.advance(DEFAULTS.leaveTimeout);
  await leaving;
  assert.deepEqual(h.socket.take(), []);
  h.resumed(resume);
  assert.deepEqual(h.socket.take().map(([kind, , id]) => [kind, id]), [["leave", "r1"]]);
  assert.equal(room.status, "left");
});

test("close leaves the rooms, emits the events and is final", async () => {
  const h = new Harness();
  const room = await h.join();
  const call = failure(room.call("roll"));
  const rooms = failure(h.client.rooms("chat"));
  const events = [];
  h.client.on("disconnected", (ending) => events.push(ending));
  h.socket.take();
  h.client.close();
  assert.deepEqual(h.socket.take()[0].slice(0, 1), ["leave"]);
  assert.deepEqual(h.socket.closed, { code: 1000, reason: "" });
  assert.equal((await call).code, "roomGone");
  assert.equal((await rooms).code, "unavailable");
  assert.deepEqual(room.log, [["left", { code: 1000, reason: "closed" }]]);
  assert.deepEqual(events, [{ code: 1000, reason: "closed" }]);
  assert.equal(h.client.state, "closed");
  assert.equal((await failure(h.client.joinOrCreate("chat"))).code, "unavailable");
  assert.equal((await failure(h.client.ping())).code, "unavailable");
  h.socket.end(1000);
  await h.clock.advance(60_000);
  assert.equal(h.sockets.length, 1);
  assert.equal(h.clock.pending, 0);
  h.client.close();
});

test("close before the socket is open", async () => {
  const h = new Harness();
  const joining = failure(h.client.joinOrCreate("chat"));
  await settle();
  h.client.close();
  assert.equal((await joining).code, "unavailable");
  assert.ok(h.socket.closed);
  h.socket.open();
  assert.equal(h.client.state, "closed");
  assert.equal(h.clock.pending, 0);
});

test("if no socket can be made, all requests fail and nothing throws", async () => {
  const WebSocket = class {
    constructor() {
      throw new SyntaxError("refused by policy");
    }
  };
  const h = new Harness({ WebSocket });
  assert.equal((await failure(h.client.joinOrCreate("chat"))).code, "unavailable");
  assert.equal(h.errors[0].message, "refused by policy");
  assert.equal(h.client.state, "idle");
  assert.equal(h.clock.pending, 0);
});

test("prepare that throws rejects the join, and the room is left", async () => {
  const h = new Harness();
  const joining = failure(
    h.client.joinOrCreate("chat", {}, () => {
      throw new Error("mine");
    }),
  );
  await settle();
  h.socket.open();
  h.socket.take();
  h.socket.receive("joined", 1, "r1", h.membership());
  assert.equal((await joining).message, "mine");
  assert.equal(h.socket.take()[0][0], "leave");
  assert.equal(h.client.state, "open");
});

test("a listener of the end may join again at once", async () => {
  const h = new Harness();
  const room = await h.join();
  let again;
  room.on("left", () => (again = h.client.joinOrCreate("chat")));
  h.socket.end(4003);
  await settle();
  h.socket.open();
  h.socket.receive("joined", h.socket.take()[0][1], "r2", h.membership());
  assert.equal((await again).id, "r2");
});
