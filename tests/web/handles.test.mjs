/** Each join has a Room of its own; joins that lead to the same room share a membership. */

import assert from "node:assert/strict";
import test from "node:test";

import { Harness, failure, settle } from "./harness.mjs";

/** A second Room of "r1", with a log of its events. */
async function second(h) {
  const before = h.socket.take();
  const room = await h.client.joinById("r1");
  assert.deepEqual([before.filter(([kind]) => kind !== "send"), h.socket.take()], [[], []], "the server need not be asked");
  room.log = [];
  room.on("n", (data) => room.log.push(data));
  for (const name of ["reconnecting", "recovered", "lost", "left"]) room.on(name, () => room.log.push(name));
  await h.clock.advance(0);
  return room;
}

test("two joins and one leave, as in React's StrictMode: the other room continues, with the data of a new join", async () => {
  const h = new Harness();
  const first = h.client.joinOrCreate("chat", { name: "ada" });
  first.then((room) => room.leave());
  const joining = h.client.joinOrCreate("chat", { name: "ada" });
  await settle();
  h.socket.open();
  const [join, ...early] = h.socket.take();
  assert.deepEqual([join[0], early], ["join", []], "the same again waits for the first");
  h.socket.receive("joined", join[1], "r1", h.membership());
  h.socket.receive("msg", "r1", 1, "n", "history");
  await h.clock.advance(0);
  const [leave, ...others] = h.socket.take();
  assert.deepEqual([leave[0], leave[2], others], ["leave", "r1", []]);
  h.socket.receive("reply", leave[1], null);
  h.socket.receive("left", "r1", 1000, "");
  await settle();
  const [again] = h.socket.take();
  assert.deepEqual([again[0], again[2]], ["join", "chat"]);
  h.socket.receive("joined", again[1], "r1", h.membership({ member: "m2", token: "u1" }));
  h.socket.receive("msg", "r1", 1, "n", "history");
  const room = await joining;
  const seen = [];
  room.on("n", (data) => seen.push(data));
  await h.clock.advance(0);
  assert.deepEqual([room.status, room.member, seen], ["joined", "m2", ["history"]]);
  assert.equal((await first).status, "left");
  assert.deepEqual(h.client.joined, [room]);
});

test("two joins share the membership, and one may leave at any time", async () => {
  const h = new Harness();
  const one = await h.join();
  const two = await second(h);
  h.socket.receive("msg", "r1", 1, "n", 1);
  await one.leave();
  assert.deepEqual(h.socket.take(), [], "the other is there still");
  assert.deepEqual([one.status, two.status, one.reconnectionToken], ["left", "joined", null]);
  assert.throws(() => one.send("say"), { code: "roomGone" });
  assert.equal((await failure(one.call("say"))).code, "roomGone");
  h.socket.receive("msg", "r1", 2, "n", 2);
  assert.deepEqual(one.log, [["msg", "n", 1, 1], ["left", { code: 1000, reason: "left" }]]);
  assert.deepEqual(two.log, [1, 2]);
  assert.deepEqual(h.client.joined, [two]);
  const leaving = two.leave();
  const [leave] = h.socket.take();
  assert.equal(leave[0], "leave");
  h.socket.receive("reply", leave[1], null);
  await leaving;
  assert.deepEqual([two.status, h.client.joined], ["left", []]);
});

test(`both joins get the events of the membership; "lost" lists the messages of each join`, async () => {
  const h = new Harness();
  const [one, two] = [await h.join(), await second(h)];
  one.send("say", "of one").catch(() => {});
  two.send("say", "of two").catch(() => {});
  const lost = [];
  for (const room of [one, two]) room.on("lost", ({ unconfirmed }) => lost.push(unconfirmed.map(({ data }) => data)));
  const [resume, ...more] = await h.reconnect();
  assert.deepEqual(more, [], "one membership resumes once");
  h.socket.receive("error", resume[1], null, "unauthorized", "", null);
  await settle();
  h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership({ member: "m9" }));
  assert.deepEqual(lost, [["of one"], ["of two"]]);
  assert.deepEqual(two.log, ["reconnecting", "lost"]);
  h.socket.receive("left", "r1", 4003, "kicked");
  assert.deepEqual([one.status, two.status], ["left", "left"]);
  assert.deepEqual(two.log, ["reconnecting", "lost", "left"]);
});

test("the newest join that has a handler answers the server's calls", async () => {
  const h = new Harness();
  const [one, two] = [await h.join(), await second(h)];
  one.handle("who", () => "one");
  one.handle("only", () => "one");
  two.handle("who", () => "two");
  h.socket.receive("call", 1, "r1", "who", null);
  h.socket.receive("call", 2, "r1", "only", null);
  await settle();
  assert.deepEqual(h.socket.take(), [["reply", "r1", 1, "two"], ["reply", "r1", 2, "one"]]);
});

test("a join of a room that is being left waits until it is left", async () => {
  for (const [method, target] of [["joinOrCreate", "chat"], ["joinById", "r1"]]) {
    const h = new Harness();
    const room = await h.join();
    room.leave();
    const [leave] = h.socket.take();
    const joining = h.client[method](target);
    await settle();
    assert.deepEqual(h.socket.take(), []);
    h.socket.receive("reply", leave[1], null);
    await settle();
    const [[kind, ref]] = h.socket.take();
    assert.match(kind, /^join/);
    h.socket.receive("joined", ref, "r1", h.membership({ member: "m2" }));
    assert.equal((await joining).member, "m2");
  }
});

test("a join by id of a room that is away gets that room at once", async () => {
  const h = new Harness();
  const room = await h.join();
  h.socket.end();
  const again = await h.client.joinById("r1");
  assert.deepEqual([again.status, again.member], ["away", room.member]);
  await h.nextSocket();
  h.socket.open();
  const [resume, ...more] = h.socket.take();
  assert.deepEqual(more, []);
  h.resumed(resume);
  assert.deepEqual([room.status, again.status], ["joined", "joined"]);
});

test("a join that is answered with a room that is being left is sent again", async () => {
  const h = new Harness();
  const room = await h.join();
  const joining = h.client.joinOrCreate("chat", { name: "ada" });
  await settle();
  const [[, ref]] = h.socket.take();
  room.leave();
  const [leave] = h.socket.take();
  h.socket.receive("joined", ref, "r1", h.membership());
  h.socket.receive("left", "r1", 1000, "");
  await settle();
  assert.equal(leave[0], "leave");
  const [[kind, again]] = h.socket.take();
  assert.equal(kind, "join");
  h.socket.receive("joined", again, "r1", h.membership({ member: "m2" }));
  assert.deepEqual([(await joining).member, room.status], ["m2", "left"]);
});

test("a join that waits for an equal one fails with its error, but not with an error of its `prepare`", async () => {
  const h = new Harness();
  const joins = [1, 2].map(() => failure(h.client.joinOrCreate("chat")));
  await settle();
  h.socket.open();
  const [[, ref]] = h.socket.take();
  h.socket.receive("error", ref, null, "full", "", null);
  for (const joining of joins) assert.equal((await joining).code, "full");
  assert.deepEqual(h.socket.take(), []);

  const prepare = () => {
    throw new Error("mine");
  };
  const one = failure(h.client.joinOrCreate("chat", {}, prepare));
  const two = h.client.joinOrCreate("chat");
  await settle();
  h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership());
  assert.equal((await one).message, "mine");
  await h.clock.advance(0);
  h.socket.receive("reply", h.socket.take()[0][1], null);
  await settle();
  h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership({ member: "m2" }));
  assert.equal((await two).member, "m2");
});

test("different joins, and create, do not wait for others", async () => {
  const h = new Harness();
  h.client.joinOrCreate("chat", { topic: "a" }).catch(() => {});
  h.client.joinOrCreate("chat", { topic: "b" }).catch(() => {});
  for (let i = 0; i < 2; i++) h.client.create("chat").catch(() => {});
  await settle();
  h.socket.open();
  assert.equal(h.socket.take().length, 4);
  h.client.close();
});

test("a message without a listener is reported once in the console", async (t) => {
  const warned = t.mock.method(console, "warn", () => {});
  const h = new Harness();
  const joining = h.client.joinOrCreate("chat");
  await settle();
  h.socket.open();
  h.socket.receive("joined", 1, "r1", h.membership());
  const room = await joining;
  room.on("heard", () => {});
  await h.clock.advance(0);
  for (const type of ["heard", "unheard", "unheard", "other"]) {
    h.socket.receive("msg", "r1", null, type, null);
  }
  const texts = warned.mock.calls.map(({ arguments: [text] }) => text);
  assert.deepEqual(
    texts.map((text) => /the room "chat" sent a message "(\w+)", which has no listener/.exec(text)[1]),
    ["unheard", "other"],
  );
  assert.ok(texts[0].includes('room.on("unheard", …)'));
  for (let i = 0; i < 500; i++) h.socket.receive("msg", "r1", null, `type ${i}`, null);
  assert.equal(warned.mock.callCount(), 100);
});

test("off removes a listener of once", async () => {
  const h = new Harness();
  const room = await h.join();
  const seen = [];
  const listener = (data) => seen.push(data);
  for (const name of ["x", "left"]) {
    room.once(name, listener);
    room.off(name, listener);
  }
  room.once("y", listener);
  for (const type of ["x", "y", "y"]) h.socket.receive("msg", "r1", null, type, type);
  h.socket.receive("left", "r1", 4008, "");
  assert.deepEqual(seen, ["y"]);
  assert.throws(() => room.once("x", null), TypeError);
});

test(`when a room ends, "left" can join another: on the same socket, or on a new one if the server closes it`, async () => {
  for (const isClosed of [false, true]) {
    const h = new Harness();
    const room = await h.join();
    let next;
    room.on("left", () => (next = h.client.joinOrCreate("lobby")));
    const early = failure(h.client.joinById("elsewhere"));
    await settle();
    h.socket.take();
    h.socket.receive("left", "r1", 4008, "game over");
    await settle();
    if (isClosed) {
      h.socket.end(4008, "game over");
      assert.equal((await early).code, "unavailable", "the server may have let us in");
      await h.nextSocket();
      h.socket.open();
    }
    const [[kind, ref, target]] = h.socket.take();
    assert.deepEqual([kind, target], ["join", "lobby"]);
    h.socket.receive("joined", ref, "r2", h.membership({ name: "lobby" }));
    assert.equal((await next).status, "joined");
    assert.deepEqual(h.errors, []);
    h.client.close();
  }
});

test("if the socket is closed for one room, the other rooms reconnect", async () => {
  const h = new Harness();
  const [one, two] = [await h.join("r1"), await h.join("r2", { member: "m2", token: "u1" })];
  const listing = h.client.query("chat");
  h.socket.receive("left", "r1", 4010, "misuse");
  h.socket.end(4010, "misuse");
  await h.nextSocket();
  h.socket.open();
  const [resume, query] = h.socket.take();
  assert.deepEqual([resume[0], resume[2], query[0]], ["resume", "r2", "rooms"]);
  h.socket.receive("joined", resume[1], "r2", h.membership({ member: "m2", recovered: true }));
  h.socket.receive("reply", query[1], []);
  assert.deepEqual([one.status, two.status, await listing], ["left", "joined", []]);
});

test("errors for messages on their way to a room that has ended are ignored", async () => {
  const h = new Harness();
  const [one] = [await h.join("r1"), await h.join("r2", { member: "m2" })];
  const errors = [];
  one.on("error", (error) => errors.push(error));
  one.send("say", "crossing").catch(() => {});
  h.socket.receive("left", "r1", 4008, "over");
  h.socket.receive("error", null, "r1", "noSuchRoom", "not in that room", null);
  assert.deepEqual([h.errors, errors], [[], []]);
  h.socket.receive("error", null, "r9", "noSuchRoom", "not in that room", null);
  assert.equal(h.errors.length, 1, "of others it is");
});
