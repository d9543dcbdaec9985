import assert from "node:assert/strict";
import test from "node:test";

import { DEFAULTS, TxroomError } from "../../txroom/web/txroom.js";
import { Harness, failure, settle } from "./harness.mjs";

test("messages go to the listeners of their type, with their offsets; those of '*' get the others", async () => {
  const h = new Harness();
  const room = await h.join();
  const said = [];
  const off = room.on("said", (data, offset) => said.push([data, offset]));
  h.socket.receive("msg", "r1", 1, "said", { text: "hi" });
  h.socket.receive("msg", "r1", 2, "else", [1]);
  h.socket.receive("msg", "r1", null, "said", "volatile");
  assert.deepEqual(said, [
    [{ text: "hi" }, 1],
    ["volatile", null],
  ]);
  assert.deepEqual(room.log, [["msg", "else", [1], 2]]);
  assert.equal(room.offset, 2);
  off();
  h.socket.receive("msg", "r1", 3, "said", "x");
  assert.equal(said.length, 2);
  assert.equal(room.log.length, 2);
});

test("duplicates are ignored; entries for other members leave gaps in the offsets", async () => {
  const h = new Harness();
  const room = await h.join("r1", { offset: 10 });
  for (const offset of [9, 10, 11, 11, 14, 12, 15]) h.socket.receive("msg", "r1", offset, "n", offset);
  assert.deepEqual(
    room.log.map(([, , , offset]) => offset),
    [11, 14, 15],
  );
});

test("onMessage takes types with the names of events", async () => {
  const h = new Harness();
  const room = await h.join();
  const log = [];
  room.on("error", (value) => log.push(["event", value]));
  room.onMessage("error", (value) => log.push(["message", value]));
  h.socket.receive("msg", "r1", 1, "error", "data");
  assert.deepEqual(log, [["message", "data"]]);
});

test("once and off", async () => {
  const h = new Harness();
  const room = await h.join();
  const log = [];
  const listener = (data) => log.push(data);
  room.once("a", listener);
  room.on("b", listener);
  room.on("b", listener);
  room.once("recovered", () => log.push("recovered"));
  h.socket.receive("msg", "r1", 1, "a", 1);
  h.socket.receive("msg", "r1", 2, "a", 2);
  h.socket.receive("msg", "r1", 3, "b", 3);
  room.off("b", listener);
  h.socket.receive("msg", "r1", 4, "b", 4);
  assert.deepEqual(log, [1, 3, 3]);
  assert.throws(() => room.on("a", null), TypeError);
  assert.throws(() => room.handle("a", "x"), TypeError);
});

test("after a listener that throws, the others are called", async () => {
  const h = new Harness();
  const room = await h.join();
  const log = [];
  room.on("said", () => {
    throw new Error("sync");
  });
  room.on("said", async () => {
    throw new Error("async");
  });
  room.on("said", (data) => log.push(data));
  h.socket.receive("msg", "r1", 1, "said", "x");
  await settle();
  assert.deepEqual(log, ["x"]);
  assert.deepEqual(
    h.errors.map((error) => error.message),
    ["sync", "async"],
  );
  const seen = [];
  room.on("error", (error) => seen.push(error.message));
  h.socket.receive("msg", "r1", 2, "said", "y");
  await settle();
  assert.deepEqual(seen, ["sync", "async"]);
  assert.equal(h.client.state, "open");
});

test(`if a listener of "error" throws, that goes to the console and not to "error" again`, async (t) => {
  const logged = t.mock.method(console, "error", () => {});
  const h = new Harness();
  const room = await h.join();
  room.on("error", () => {
    throw new Error("again");
  });
  h.socket.receive("error", null, "r1", "invalidData", "text", { field: "text" });
  assert.equal(logged.mock.calls[0].arguments[0].message, "again");
});

test("an error without a listener goes to the console", async (t) => {
  const logged = t.mock.method(console, "error", () => {});
  const h = new Harness();
  await h.join();
  h.client.off("error");
  h.socket.receive("error", null, null, "badRequest", "what?", null);
  assert.equal(logged.mock.calls[0].arguments[0].code, "badRequest");
});

test(`if nothing listens to "error", the console says which room refused a message, and its possible types`, async (t) => {
  const logged = t.mock.method(console, "error", () => {});
  const h = new Harness();
  const room = await h.join();
  h.client.off("error");
  const refuse = () => h.socket.receive("error", null, "r1", "unknownType", "what?", { field: "type" });
  for (const type of ["say", "say", "move"]) room.send(type).catch(() => {});
  room.call("roll").catch(() => {});
  h.socket.receive("ack", "r1", 1);
  refuse();
  h.socket.receive("ack", "r1", 2);
  refuse();
  h.socket.receive("ack", "r1", 4);
  refuse();
  room.send("cursor", null, { volatile: true });
  refuse();
  const said = logged.mock.calls.map(({ arguments: [text, { code }] }) => [text, code]);
  const which = [' "say" or "move"', ' "move"', "", ' "cursor"'];
  assert.deepEqual(said, which.map((types) => [`txroom: the room "chat" has refused a message${types}:`, "unknownType"]));
  room.on("error", () => {});
  refuse();
  assert.equal(logged.mock.callCount(), 4);
});

test("an error of a handler is reported by the room that has the handler", async () => {
  const h = new Harness({ maxPayload: 200 });
  const one = await h.join();
  const two = await h.client.joinById("r1");
  await h.clock.advance(0);
  const errors = [];
  one.on("error", (error) => errors.push(["one", error.code, error.message]));
  two.on("error", (error) => errors.push(["two", error.code, error.message]));
  one.handle("broken", () => {
    throw new Error("of one");
  });
  two.handle("later", async () => {
    throw new Error("of two");
  });
  one.handle("bytes", () => new Uint8Array(1));
  two.handle("large", () => "x".repeat(300));
  two.handle("meant", () => {
    throw new TxroomError("busy", "not now");
  });
  ["broken", "later", "bytes", "large", "meant", "nothing"].forEach((name, index) => {
    h.socket.receive("call", index, "r1", name, null);
  });
  await settle();
  const names = errors.map((error) => error.join(": ")).sort();
  assert.deepEqual(names, [
    "one: : of one",
    "one: invalidData: the data is bytes, which JSON does not have",
    "two: : of two",
    "two: invalidData: the frame is larger than 200 bytes",
  ]);
  assert.deepEqual(h.errors, []);
  const codes = new Map(h.socket.take().map(([kind, , ref, code]) => [ref, [kind, code]]));
  const told = ["internal", "internal", "invalidData", "invalidData", "busy", "unknownType"];
  assert.deepEqual([...Array(6).keys()].map((ref) => codes.get(ref)), told.map((code) => ["error", code]));
});

test("sends are numbered, and resolve when they are acknowledged", async () => {
  const h = new Harness();
  const room = await h.join();
  const done = [];
  room.send("say", "a").then(() => done.push("a"));
  room.send("say", { b: [1, null] }).then(() => done.push("b"));
  room.send("nothing").then(() => done.push("c"));
  assert.deepEqual(h.socket.take(), [
    ["send", "r1", "say", "a", 1],
    ["send", "r1", "say", { b: [1, null] }, 2],
    ["send", "r1", "nothing", null, 3],
  ]);
  h.socket.receive("ack", "r1", 2);
  await settle();
  assert.deepEqual(done, ["a", "b"]);
  h.socket.receive("ack", "r1", 3);
  await settle();
  assert.deepEqual(done, ["a", "b", "c"]);
});

test("data that changes after send is sent as it was", async () => {
  const h = new Harness({ window: 1 });
  const room = await h.join();
  const data = { x: 1 };
  room.send("a", data);
  room.send("a", data);
  data.x = 2;
  h.socket.take();
  h.socket.receive("ack", "r1", 1);
  assert.deepEqual(h.socket.take(), [["send", "r1", "a", { x: 1 }, 2]]);
});

test("volatile messages have no number, and are discarded while away", async () => {
  const h = new Harness();
  const room = await h.join();
  await room.send("typing", true, { volatile: true });
  assert.deepEqual(h.socket.take(), [["send", "r1", "typing", true]]);
  h.socket.end();
  await room.send("typing", false, { volatile: true });
  assert.equal(room.buffered, 0);
});

test("data that is not JSON is refused at once", async () => {
  const h = new Harness();
  const room = await h.join();
  const circle = {};
  circle.circle = circle;
  for (const data of [1n, circle, new Uint8Array(1), { deep: [new ArrayBuffer(1)] }]) {
    assert.throws(() => room.send("x", data), { code: "invalidData" });
    assert.throws(() => room.send("x", data, { volatile: true }), { code: "invalidData" });
    assert.equal((await failure(room.call("x", data))).code, "invalidData");
  }
  for (const type of [7, "", "x".repeat(129)]) assert.throws(() => room.send(type), { code: "badRequest" });
  assert.deepEqual(h.socket.take(), []);
});

test("a frame over maxPayload is refused at once: the server would close the connection over it", async () => {
  const h = new Harness({ maxPayload: 100 });
  const room = await h.join();
  assert.throws(() => room.send("x", "y".repeat(90)), { code: "invalidData" });
  assert.throws(() => room.send("x", "€".repeat(30)), { code: "invalidData" });
  room.send("x", "€".repeat(20));
  assert.equal(h.socket.take().length, 1);
});

test("no more than 64 frames are unacknowledged", async () => {
  const h = new Harness();
  const room = await h.join();
  for (let i = 1; i <= 100; i++) room.send("say", i);
  assert.equal(h.socket.take().length, 64);
  assert.equal(room.buffered, 36);
  h.socket.receive("ack", "r1", 10);
  assert.deepEqual(
    h.socket.take().map((frame) => frame[4]),
    [65, 66, 67, 68, 69, 70, 71, 72, 73, 74],
  );
  h.socket.receive("ack", "r1", 74);
  assert.equal(h.socket.take().at(-1)[4], 100);
});

test("a full queue throws: rateLimited in the room, unavailable while away", async () => {
  const h = new Harness({ window: 2, maxBuffered: 3 });
  const room = await h.join();
  for (let i = 1; i <= 5; i++) room.send("say", i);
  assert.throws(() => room.send("say", 6), { code: "rateLimited" });
  assert.equal((await failure(room.call("say", 6))).code, "rateLimited");
  h.socket.end();
  assert.throws(() => room.send("say", 6), { code: "unavailable" });
  assert.equal(room.buffered, 3);
});

test("calls are answered with data or an error, and are numbered", async () => {
  const h = new Harness();
  const room = await h.join();
  const roll = room.call("roll", { sides: 6 });
  const fail = failure(room.call("fail"));
  const [one, two] = h.socket.take();
  assert.deepEqual(one, ["call", one[1], "r1", "roll", { sides: 6 }, 1]);
  assert.deepEqual(two, ["call", two[1], "r1", "fail", null, 2]);
  assert.notEqual(one[1], two[1]);
  h.socket.receive("error", two[1], "r1", "outOfDice", "none left", { left: 0 });
  h.socket.receive("reply", one[1], 4);
  assert.equal(await roll, 4);
  const error = await fail;
  assert.ok(error instanceof TxroomError);
  assert.deepEqual([error.code, error.details], ["outOfDice", { left: 0 }]);
  h.socket.receive("reply", one[1], 5);
  assert.deepEqual(h.errors, []);
});

test("an answer is not an acknowledgement, since the server counts only acknowledged frames", async () => {
  const h = new Harness({ window: 2 });
  const room = await h.join();
  const calls = [room.call("a"), room.call("b"), room.call("c")];
  const frames = h.socket.take();
  assert.equal(frames.length, 2);
  for (const [, ref] of frames) h.socket.receive("reply", ref, null);
  await Promise.all(calls.slice(0, 2));
  assert.deepEqual(h.socket.take(), []);
  h.socket.receive("ack", "r1", 2);
  const [[, ref, , type, , n]] = h.socket.take();
  assert.deepEqual([type, n], ["c", 3]);
  h.socket.receive("reply", ref, null);
  await calls[2];
});

test("a call times out, and its late reply is ignored", async () => {
  const h = new Harness({ callTimeout: 500 });
  const room = await h.join();
  const slow = failure(room.call("slow"));
  const slower = failure(room.call("slower", null, { timeout: 700 }));
  const [{ 1: ref }] = h.socket.take();
  await h.clock.advance(500);
  assert.equal((await slow).code, "timeout");
  h.socket.receive("reply", ref, "late");
  h.socket.receive("ack", "r1", 1);
  await h.clock.advance(200);
  assert.equal((await slower).code, "timeout");
  const [resume] = await h.reconnect();
  h.resumed(resume, { handled: 1 });
  const again = h.socket.take();
  assert.deepEqual([again.length, again[0][3], again[0][5]], [1, "slower", 2], "its number must not be missing");
});

test("a call that times out before it is sent is never sent", async () => {
  const h = new Harness({ window: 1 });
  const room = await h.join();
  room.send("a");
  const call = failure(room.call("b", null, { timeout: 100 }));
  room.send("c");
  await h.clock.advance(100);
  assert.equal((await call).code, "timeout");
  h.socket.take();
  h.socket.receive("ack", "r1", 1);
  assert.deepEqual(h.socket.take(), [["send", "r1", "c", null, 2]]);
});

test("calls of the server: value, promise, errors, no handler", async () => {
  const h = new Harness();
  const room = await h.join();
  const off = room.handle("double", (data) => data * 2);
  room.handle("later", async (data) => ({ data }));
  room.handle("nothing", () => {});
  room.handle("refuse", () => {
    throw new TxroomError("busy", "not now");
  });
  room.handle("broken", () => {
    throw new Error("secret");
  });
  room.handle("bytes", () => new Uint8Array(1));
  const names = ["double", "later", "nothing", "refuse", "broken", "bytes", "unheard"];
  names.forEach((name, index) => h.socket.receive("call", 70 + index, "r1", name, 21));
  await settle();
  const answers = new Map(h.socket.take().map((frame) => [frame[2], frame]));
  assert.deepEqual(answers.get(70), ["reply", "r1", 70, 42]);
  assert.deepEqual(answers.get(71), ["reply", "r1", 71, { data: 21 }]);
  assert.deepEqual(answers.get(72), ["reply", "r1", 72, null]);
  assert.deepEqual(answers.get(73), ["error", "r1", 73, "busy", "not now"]);
  assert.deepEqual(answers.get(74), ["error", "r1", 74, "internal", "the handler failed"]);
  assert.deepEqual(answers.get(75).slice(0, 4), ["error", "r1", 75, "invalidData"]);
  assert.deepEqual(answers.get(76).slice(0, 4), ["error", "r1", 76, "unknownType"]);
  assert.deepEqual(
    h.errors.map((error) => error.message),
    ["secret", "the data is bytes, which JSON does not have"],
  );
  off();
  h.socket.receive("call", 80, "r1", "double", 1);
  await settle();
  assert.equal(h.socket.take()[0][3], "unknownType");
});

test("the answer to a call is not sent over another connection", async () => {
  const h = new Harness();
  const room = await h.join();
  let answer;
  room.handle("question", () => new Promise((resolve) => (answer = resolve)));
  h.socket.receive("call", 1, "r1", "question", null);
  const [resume] = await h.reconnect();
  h.resumed(resume);
  answer("late");
  await settle();
  assert.deepEqual(h.socket.take(), []);
});

test("presence has the members with their connections, and those that join and leave", async () => {
  const h = new Harness();
  const ada1 = { user: "ada", metas: [{ member: "m1" }] };
  const room = await h.join("r1", { members: [ada1] });
  const log = [];
  room.onPresence((members, joined, left) =>
    log.push([members.map(({ user, metas }) => `${user}${metas.length}`).join(), joined.length, left.length]),
  );
  assert.deepEqual(room.members, [ada1]);
  h.socket.receive("presence", "r1", [{ user: "bob", metas: [{ member: "m2", mood: "good" }] }], []);
  h.socket.receive("presence", "r1", [{ user: "ada", metas: [{ member: "m3" }] }], []);
  h.socket.receive("presence", "r1", [{ user: "bob", metas: [{ member: "m2", mood: "bad" }] }], []);
  assert.deepEqual(room.members[1], { user: "bob", metas: [{ member: "m2", mood: "bad" }] });
  h.socket.receive("presence", "r1", [], [{ user: "ada", metas: [{ member: "m1" }] }]);
  h.socket.receive("presence", "r1", [], [{ user: "bob", metas: [{ member: "m2", mood: "bad" }] }]);
  h.socket.receive("presence", "r1", [], [{ user: "nobody", metas: [{}] }]);
  assert.deepEqual(log, [
    ["ada1,bob1", 1, 0],
    ["ada2,bob1", 1, 0],
    ["ada2,bob1", 1, 0],
    ["ada1,bob1", 0, 1],
    ["ada1", 0, 1],
    ["ada1", 0, 1],
  ]);
  assert.deepEqual(room.members, [{ user: "ada", metas: [{ member: "m3" }] }]);
});

test("a member that changes its meta keeps its place among the users and the connections", async () => {
  const h = new Harness();
  const [first, second, other] = ["m1", "m2", "m3"].map((member) => ({ member }));
  const ada = (...metas) => ({ user: "ada", metas });
  const bob = { user: "bob", metas: [other] };
  const room = await h.join("r1", { members: [ada(first, second), bob] });
  const changed = { member: "m1", name: "ADA" };
  h.socket.receive("presence", "r1", [ada(changed)], [ada(first)]);
  assert.deepEqual(room.members, [ada(changed, second), bob]);
  h.socket.receive("presence", "r1", [], [ada(second)]);
  h.socket.receive("presence", "r1", [ada(first)], [ada(changed)]);
  assert.deepEqual(room.members, [ada(first), bob]);
});

test("errors without a ref are reported by their room, or by the client", async () => {
  const h = new Harness();
  const room = await h.join();
  const seen = [];
  room.on("error", (error) => seen.push([error.code, error.details]));
  h.socket.receive("error", null, "r1", "unknownType", "no such type", { type: "x" });
  h.socket.receive("error", null, null, "badRequest", "what?");
  h.socket.receive("error", null, "elsewhere", "badRequest");
  assert.deepEqual(seen, [["unknownType", { type: "x" }]]);
  assert.deepEqual(
    h.errors.map((error) => error.message),
    ["what?", "badRequest"],
  );
});

test("several rooms share a socket, each with its own numbers", async () => {
  const h = new Harness();
  const one = await h.join("r1");
  const two = await h.join("r2", { member: "m2" });
  assert.equal(h.sockets.length, 1);
  one.send("a");
  two.send("b");
  two.send("c");
  assert.deepEqual(
    h.socket.take().map((frame) => [frame[1], frame[4]]),
    [
      ["r1", 1],
      ["r2", 1],
      ["r2", 2],
    ],
  );
  h.socket.receive("msg", "r2", 5, "x", null);
  assert.deepEqual([one.offset, two.offset], [0, 5]);
  h.socket.receive("left", "r2", 4003, "kicked");
  assert.deepEqual(two.log.at(-1), ["left", { code: 4003, reason: "kicked" }]);
  assert.equal(one.status, "joined");
  assert.equal(h.client.state, "open");
});

test("ping and heartbeats measure the round-trip time", async () => {
  const h = new Harness({ pingInterval: 1000 });
  const latencies = [];
  h.client.on("latency", (latency) => latencies.push(latency));
  const joining = h.client.joinOrCreate("chat");
  await settle();
  h.socket.open();
  const frames = h.socket.takeAll();
  assert.deepEqual(frames.map(([kind]) => kind), ["join", "ping"]);
  await h.clock.advance(30);
  h.socket.receive("reply", frames[1][1], null);
  assert.equal(h.client.latency, 30);
  h.socket.receive("joined", frames[0][1], "r1", h.membership());
  const room = await joining;
  await h.clock.advance(970);
  const [[kind, ref]] = h.socket.takeAll();
  assert.equal(kind, "ping");
  h.socket.receive("reply", ref, null);
  const ping = room.ping();
  const [[, own]] = h.socket.takeAll();
  await h.clock.advance(12);
  h.socket.receive("reply", own, null);
  assert.equal(await ping, 12);
  assert.deepEqual(latencies, [30, 0, 12]);
});

test("no heartbeats with pingInterval 0", async () => {
  const h = new Harness({ pingInterval: 0 });
  await h.join();
  await h.clock.advance(600_000);
  assert.deepEqual(h.socket.takeAll(), []);
  assert.equal(h.clock.pending, 0);
});
