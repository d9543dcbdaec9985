import assert from "node:assert/strict";
import test from "node:test";

import { Harness, failure, settle } from "./harness.mjs";

const membership = new Harness().membership();

test("a message that is not a frame closes the connection, and nothing is missed", async () => {
  const messages = [
    "",
    "{",
    "null",
    "7",
    "{}",
    '"msg"',
    "[]",
    "[1]",
    "[null]",
    new ArrayBuffer(4),
    ["msg"],
    ["msg", "r1"],
    ["msg", "r1", "1", "type", 0],
    ["msg", "r1", -1, "type", 0],
    ["msg", "r1", 1.5, "type", 0],
    ["msg", "r1", 2 ** 60, "type", 0],
    ["msg", "r1", 1, 7, 0],
    ["msg", null, 1, "type", 0],
    ["joined"],
    ["joined", 1, "r1"],
    ["joined", 1, "r1", null],
    ["joined", 1, "r1", []],
    ["joined", "1", "r1", membership],
    ["joined", 1, 7, membership],
    ...["member", "token", "epoch", "offset", "handled"].map((name) => [
      "joined",
      1,
      "r1",
      { ...membership, [name]: { not: "this" } },
    ]),
    ["joined", 1, "r1", { ...membership, members: {} }],
    ["joined", 1, "r1", { ...membership, members: [null] }],
    ["joined", 1, "r1", { ...membership, members: [{ user: "ada" }] }],
    ["left", "r1"],
    ["left", "r1", "4000", ""],
    ["left", "r1", 4000, 7],
    ["ack", "r1"],
    ["ack", "r1", -1],
    ["ack", "r1", null],
    ["ack", "r1", 1],
    ["reply"],
    ["reply", "1", 0],
    ["error"],
    ["error", 1, null, 7],
    ["error", 1, 7, "internal"],
    ["error", 1, null, "internal", {}],
    ["call", null, "r1", "type", 0],
    ["call", 1, "r1", null, 0],
    ["presence", "r1", [], null],
    ["presence", "r1", [7], []],
    ["presence", "r1", [], [{ user: "ada", metas: {} }]],
    ["bye"],
    ["bye", "4100", 1],
    ["bye", 4100, "1"],
    ["notified", "e1"],
    ["notified", null, 0, 0],
    ["notified", "e1", -1, 0],
    ["notified", "e1", 0, "1"],
    ["notify", "e1"],
    ["notify", 1, 1, "gift", 0, 0],
    ["notify", "e1", null, "gift", 0, 0],
    ["notify", "e1", 1, null, 0, 0],
    ["notify", "e1", 1, "gift", 0, -1],
  ];
  for (const message of messages) {
    const h = new Harness();
    const room = await h.join();
    const shown = message instanceof ArrayBuffer ? "bytes" : JSON.stringify(message);
    h.socket.raw(Array.isArray(message) ? JSON.stringify(message) : message);
    assert.deepEqual(h.sockets[0].closed, { code: 4010, reason: "not a frame" }, shown);
    assert.equal(h.errors.length, 1);
    assert.equal(h.errors[0].code, "badRequest");
    await h.nextSocket();
    h.socket.open();
    h.resumed(h.socket.take()[0]);
    assert.deepEqual(room.log, [["reconnecting", { code: 1006, reason: "not a frame" }], ["recovered"]], shown);
    h.client.close();
  }
});

test("the client reconnects with growing delays to a server that sends no frames", async () => {
  const h = new Harness();
  await h.join();
  const delays = [];
  for (let i = 0; i < 5; i++) {
    h.socket.raw("nonsense");
    delays.push(await h.nextSocket());
    h.socket.open();
  }
  assert.deepEqual(delays, [125, 250, 500, 1000, 2000]);
});

test("kinds and fields of later versions are ignored", async () => {
  const h = new Harness();
  const room = await h.join();
  h.socket.receive("later", { anything: 1 });
  h.socket.receive("msg", "r1", 1, "n", 1, "more", 2);
  h.socket.receive("__proto__", 1);
  h.socket.receive("constructor", 1);
  assert.deepEqual(room.log, [["msg", "n", 1, 1]]);
  assert.equal(h.client.state, "open");
  assert.deepEqual(h.errors, []);
});

test("frames for unknown rooms and requests are ignored", async () => {
  const h = new Harness();
  await h.join();
  h.socket.receive("msg", "r9", 1, "n", 1);
  h.socket.receive("ack", "r9", 100);
  h.socket.receive("left", "r9", 4003, "");
  h.socket.receive("call", 1, "r9", "n", 1);
  h.socket.receive("presence", "r9", [], []);
  h.socket.receive("reply", 900, 1);
  h.socket.receive("error", 900, null, "internal", "", null);
  assert.deepEqual(h.socket.take(), []);
  assert.equal(h.client.state, "open");
  assert.deepEqual(h.errors, []);
});

test(`a "joined" without a request closes the connection, and keeps no memory`, async () => {
  const h = new Harness();
  await h.join();
  const before = h.clock.pending;
  for (let i = 0; i < 1000; i++) h.socket.receive("joined", 900, `r${i}`, h.membership());
  assert.deepEqual(h.sockets[0].closed, { code: 4010, reason: "not a frame" });
  assert.deepEqual([h.errors.length, h.socket.take(), h.clock.pending <= before], [1, [], true]);
});

test("a server cannot make the client keep endless members or answer endless calls", async () => {
  const h = new Harness();
  const room = await h.join();
  let asked = 0;
  room.handle("wait", () => new Promise(() => asked++));
  for (let i = 0; i < 1500; i++) h.socket.receive("call", i, "r1", "wait", null);
  await settle();
  assert.equal(asked, 1000);
  assert.equal(h.socket.take().at(-1)[3], "rateLimited");
  const some = (from) => [{ user: "u", metas: Array.from({ length: 50_000 }, (_, i) => ({ member: `m${from + i}` })) }];
  for (const from of [0, 50_000]) h.socket.receive("presence", "r1", some(from), []);
  assert.equal(h.client.state, "open");
  h.socket.receive("presence", "r1", some(100_000), []);
  assert.deepEqual(h.sockets[0].closed, { code: 4010, reason: "not a frame" });

  const other = new Harness();
  const joining = failure(other.client.joinOrCreate("chat"));
  await settle();
  other.socket.open();
  const members = [0, 50_000, 100_000].flatMap(some);
  other.socket.receive("joined", 1, "r1", other.membership({ members }));
  assert.equal((await joining).code, "unavailable");
  assert.deepEqual(other.sockets[0].closed, { code: 4010, reason: "not a frame" });
  assert.deepEqual(other.client.joined, []);
});

test("a reply to a join, and counts of another client, do no harm", async () => {
  const h = new Harness();
  const joining = h.client.joinOrCreate("chat");
  await settle();
  h.socket.open();
  h.socket.receive("reply", 1, "hm");
  await assert.rejects(joining, { code: "unavailable" });

  const room = await h.join();
  room.send("say", 1);
  h.socket.receive("ack", "r1", 1);
  room.send("say", 2);
  h.socket.take();
  for (const handled of [0, 700]) {
    const [resume] = await h.reconnect();
    h.resumed(resume, { handled });
    room.send("say", handled);
    assert.equal(h.socket.take().at(-1)[4], handled + 1, "the counts begin where the server is");
  }
  assert.equal(room.log.filter(([event]) => event === "lost").length, 2);
});

test("no damaged message makes the handler of the socket throw", async () => {
  let seed = 7;
  const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
  const values = [null, 0, 1, -1, 1.5, 1e300, "", "r1", "x", [], {}, [{}], [{ user: "u", metas: [] }], true, membership];
  const kinds = ["joined", "msg", "left", "ack", "reply", "error", "call", "presence", "bye", "other"];
  for (let round = 0; round < 300; round++) {
    const h = new Harness();
    const room = await h.join();
    room.send("say", 1);
    room.call("roll").catch(() => {});
    for (let i = 0; i < 8; i++) {
      const frame = [kinds[random(kinds.length)]];
      for (let length = random(6); length > 0; length--) frame.push(values[random(values.length)]);
      h.socket.receive(...frame);
    }
    h.client.close();
  }
});

test("a listener of such an error may close the client", async () => {
  const h = new Harness();
  await h.join();
  h.client.on("error", () => h.client.close());
  h.socket.raw("nonsense");
  assert.equal(h.client.state, "closed");
  await h.clock.advance(60_000);
  assert.equal(h.sockets.length, 1);
  assert.equal(h.clock.pending, 0);
});
