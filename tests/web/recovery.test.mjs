import assert from "node:assert/strict";
import test from "node:test";

import { DEFAULTS, mayReconnect } from "../../txroom/web/txroom.js";
import { Harness, failure, settle } from "./harness.mjs";

test("after a lost connection, resume has the token, the epoch and the last offset, and nothing else is sent before joined", async () => {
  const h = new Harness();
  const room = await h.join("r1", { offset: 3 });
  h.socket.receive("msg", "r1", 5, "n", 5);
  h.socket.receive("msg", "r1", null, "volatile", 0);
  h.socket.end(1006);
  assert.equal(room.status, "away");
  assert.equal(h.client.state, "waiting");
  room.send("say", "while away");
  await h.nextSocket();
  room.send("say", "while connecting");
  h.socket.open();
  assert.equal(room.status, "resuming");
  room.send("say", "while resuming");
  const [resume, ...others] = h.socket.take();
  assert.deepEqual(resume, ["resume", resume[1], "r1", "t1", "e1", 5, resume[6], { state: 1, stateVersion: null }]);
  assert.deepEqual(others, []);
  h.resumed(resume, { offset: 5 });
  assert.equal(room.status, "joined");
  assert.deepEqual(h.socket.take(), [
    ["send", "r1", "say", "while away", 1],
    ["send", "r1", "say", "while connecting", 2],
    ["send", "r1", "say", "while resuming", 3],
  ]);
  h.socket.receive("msg", "r1", 6, "n", 6);
  assert.deepEqual(room.log.slice(2), [
    ["reconnecting", { code: 1006, reason: "" }],
    ["recovered"],
    ["msg", "n", 6, 6],
  ]);
});

test("attempts to resume are numbered by the time in milliseconds, each greater than the last one", async () => {
  const h = new Harness();
  await h.join();
  const begin = Date.now();
  const attempts = [];
  let resume;
  for (let i = 0; i < 3; i++) {
    [resume] = await h.reconnect();
    attempts.push(resume[6]);
  }
  assert.ok(attempts[0] >= begin && attempts[2] <= Date.now() + 3);
  assert.ok(attempts[0] < attempts[1] && attempts[1] < attempts[2]);
  const retried = async () => {
    resume = undefined;
    while (!resume) {
      await h.clock.advance(100);
      resume = h.socket.take().find(([kind]) => kind === "resume");
    }
  };
  // Another page has resumed while the clock was an hour ahead.
  const ahead = Date.now() + 3_600_000;
  h.socket.receive("error", resume[1], null, "unavailable", "late", { attempt: ahead });
  await retried();
  assert.equal(resume[6], ahead + 1);
  for (const details of [{ attempt: "x" }, { attempt: 2 ** 60 }, [1], null]) {
    h.socket.receive("error", resume[1], null, "unavailable", "late", details);
    await retried();
  }
  assert.equal(resume[6], ahead + 5);
});

test("frames that are not acknowledged are sent again, in order, with their numbers", async () => {
  const h = new Harness();
  const room = await h.join();
  const sent = [1, 2, 3].map((i) => room.send("say", i));
  const call = room.call("roll");
  const ref = h.socket.take()[3][1];
  room.send("say", 5);
  h.socket.receive("ack", "r1", 1);
  h.socket.end();
  room.send("say", 6);
  await h.nextSocket();
  h.socket.open();
  h.resumed(h.socket.take()[0], { handled: 2 });
  assert.deepEqual(h.socket.take(), [
    ["send", "r1", "say", 3, 3],
    ["call", ref, "r1", "roll", null, 4],
    ["send", "r1", "say", 5, 5],
    ["send", "r1", "say", 6, 6],
  ]);
  await Promise.all(sent.slice(0, 2));
  h.socket.receive("reply", ref, 6);
  assert.equal(await call, 6);
  h.socket.receive("ack", "r1", 6);
  await sent[2];
  const [resume, ...more] = await h.reconnect();
  h.resumed(resume, { handled: 6 });
  assert.deepEqual([...more, ...h.socket.take()], []);
});

test("a call that was handled but not answered is sent again for its answer", async () => {
  const h = new Harness();
  const room = await h.join();
  const [call, lost] = [room.call("roll"), failure(room.call("again"))];
  room.send("say", 3);
  const [[, first], [, second]] = h.socket.take();
  const [resume] = await h.reconnect();
  h.resumed(resume, { handled: 3 });
  assert.deepEqual(h.socket.take(), [
    ["call", first, "r1", "roll", null, 1],
    ["call", second, "r1", "again", null, 2],
  ]);
  h.socket.receive("reply", first, 3);
  h.socket.receive("error", second, "r1", "replyLost", "", null);
  assert.equal(await call, 3);
  assert.equal((await lost).code, "replyLost");
});

test("a call that was answered but not acknowledged is sent again, so that no number is missing", async () => {
  const h = new Harness();
  const room = await h.join();
  room.send("say", 1);
  const call = room.call("roll");
  const [, [, ref]] = h.socket.take();
  h.socket.receive("reply", ref, 4);
  assert.equal(await call, 4);
  const [resume] = await h.reconnect();
  h.resumed(resume, { handled: 0 });
  assert.deepEqual(
    h.socket.take().map((frame) => frame.at(-1)),
    [1, 2],
  );
});

test("each joined has a new token; if a joined is lost, the former one is used", async () => {
  const h = new Harness();
  await h.join();
  let [resume] = await h.reconnect();
  assert.equal(resume[3], "t1");
  [resume] = await h.reconnect();
  assert.equal(resume[3], "t1", "the answer never came");
  h.resumed(resume, { token: "t3", epoch: "e1" });
  [resume] = await h.reconnect();
  assert.equal(resume[3], "t3");
});

test("all rooms of a socket resume, each on its own", async () => {
  const h = new Harness();
  const one = await h.join("r1");
  const two = await h.join("r2", { member: "m2", token: "u1" });
  h.socket.end();
  one.send("say", 1);
  two.send("say", 2);
  await h.nextSocket();
  h.socket.open();
  const frames = h.socket.take();
  assert.deepEqual(
    frames.map((frame) => [frame[0], frame[2], frame[3]]),
    [
      ["resume", "r1", "t1"],
      ["resume", "r2", "u1"],
    ],
  );
  h.resumed(frames[1], { member: "m2" });
  assert.deepEqual(h.socket.take(), [["send", "r2", "say", 2, 1]]);
  assert.deepEqual([one.status, two.status], ["resuming", "joined"]);
  h.resumed(frames[0]);
  assert.deepEqual(h.socket.take(), [["send", "r1", "say", 1, 1]]);
});

test("lost has the snapshot and the members; the numbers continue while the membership is the same", async () => {
  const h = new Harness();
  const room = await h.join("r1", { offset: 50 });
  room.send("say", 1);
  room.send("say", 2);
  const presences = [];
  room.onPresence((members) => presences.push(members));
  const [resume] = await h.reconnect();
  const members = [{ user: "bob", metas: [{ member: "m2" }] }];
  h.resumed(resume, { recovered: false, epoch: "e2", offset: 7, handled: 1, snapshot: { board: "x" }, members });
  assert.deepEqual(h.socket.take(), [["send", "r1", "say", 2, 2]]);
  assert.deepEqual(room.log.at(-1), ["lost", { snapshot: { board: "x" }, members, offset: 7, unconfirmed: [] }]);
  assert.deepEqual([room.offset, room.epoch, room.snapshot], [7, "e2", { board: "x" }]);
  assert.deepEqual(presences, [members]);
  h.socket.receive("msg", "r1", 8, "n", 8);
  assert.deepEqual(room.log.at(-1), ["msg", "n", 8, 8]);
  const [again] = await h.reconnect();
  assert.deepEqual(again.slice(3, 6), ["t2", "e2", 8]);
});

test("recovered keeps the snapshot and replaces the members", async () => {
  const h = new Harness();
  const room = await h.join("r1", { snapshot: 1, members: [{ user: "ada", metas: [{ member: "m1" }] }] });
  const [resume] = await h.reconnect();
  h.resumed(resume, { members: [{ user: "bob", metas: [{ member: "m2" }] }] });
  assert.equal(room.snapshot, 1);
  assert.deepEqual(
    room.members.map(({ user }) => user),
    ["bob"],
  );
});

test("if the server has forgotten the member, it joins the room again and lists the unconfirmed messages", async () => {
  let tokens = 0;
  const h = new Harness({ auth: async () => ++tokens });
  const room = await h.join("r1", {}, { name: "ada" });
  const confirmed = room.send("say", 1);
  const doubtful = failure(room.send("say", 2));
  const call = failure(room.call("roll"));
  h.socket.receive("ack", "r1", 1);
  await confirmed;
  h.socket.end();
  room.send("say", "never sent");
  await h.nextSocket();
  h.socket.open();
  h.socket.receive("error", h.socket.take()[0][1], null, "unauthorized", "", null);
  await settle();
  const [[kind, ref, target, options]] = h.socket.take();
  assert.deepEqual([kind, target, options], ["joinById", "r1", { name: "ada", auth: 2 }]);
  assert.equal(room.status, "resuming");
  h.socket.receive("joined", ref, "r1", h.membership({ member: "m7", token: "t7", offset: 9, snapshot: "s" }));
  assert.deepEqual(h.socket.take(), [["send", "r1", "say", "never sent", 1]]);
  assert.equal((await doubtful).code, "replyLost");
  assert.equal((await call).code, "replyLost");
  assert.equal(room.member, "m7");
  const unconfirmed = [
    { type: "say", data: 2 },
    { type: "roll", data: null },
  ];
  assert.deepEqual(room.log.slice(1), [["lost", { snapshot: "s", members: [], offset: 9, unconfirmed }]]);
});

test("if the room does not exist any more, another one is joined by the name it was joined by", async () => {
  const h = new Harness();
  const room = await h.join("r1");
  const [resume] = await h.reconnect();
  h.socket.receive("error", resume[1], null, "noSuchRoom", "", null);
  await settle();
  let [[kind, ref]] = h.socket.take();
  assert.equal(kind, "joinById");
  h.socket.receive("error", ref, null, "noSuchRoom", "", null);
  await settle();
  let target;
  [[kind, ref, target]] = h.socket.take();
  assert.deepEqual([kind, target], ["join", "chat"]);
  h.socket.receive("joined", ref, "r2", h.membership({ member: "m2" }));
  assert.equal(room.id, "r2");
  assert.deepEqual(h.client.joined, [room]);
  h.socket.receive("msg", "r2", 1, "n", 1);
  h.socket.receive("msg", "r1", 2, "n", 2);
  assert.deepEqual(room.log.at(-1), ["msg", "n", 1, 1]);
});

test("if the room does not exist any more and was created or joined by its id, or with rejoin off, it ends", async () => {
  for (const [method, options] of [
    ["create", {}],
    ["joinById", {}],
    ["joinOrCreate", { rejoin: false }],
  ]) {
    const h = new Harness(options);
    const joining = h.client[method]("r1");
    await settle();
    h.socket.open();
    h.socket.receive("joined", 1, "r1", h.membership());
    const room = await joining;
    const ends = [];
    room.on("left", (ending) => ends.push(ending));
    await h.clock.advance(0);
    const call = failure(room.call("roll"));
    const [resume] = await h.reconnect();
    h.socket.receive("error", resume[1], null, "noSuchRoom", "gone", null);
    await settle();
    const [join] = h.socket.take();
    if (join) h.socket.receive("error", join[1], null, "noSuchRoom", "gone", null);
    await settle();
    assert.deepEqual(ends, [{ code: 4004, reason: "gone" }], method);
    assert.equal((await call).code, "roomGone");
    assert.equal(h.client.state, "open");
  }
});

test("a resume that is refused with a permanent error ends the room", async () => {
  for (const [word, code] of [
    ["forbidden", 4003],
    ["full", 4008],
    ["constructor", 4008],
  ]) {
    const h = new Harness();
    const room = await h.join();
    const [resume] = await h.reconnect();
    h.socket.receive("error", resume[1], null, word, "banned", null);
    assert.deepEqual(room.log.at(-1), ["left", { code, reason: "banned" }]);
    assert.deepEqual(h.socket.take(), [], "it does not join anew");
  }
});

test("after five errors internal in a row the room ends and reports the error", async () => {
  const h = new Harness();
  const room = await h.join();
  const errors = [];
  room.on("error", ({ code }) => errors.push(code));
  h.socket.end();
  await h.nextSocket();
  h.socket.open();
  const refused = async (code) => {
    h.socket.receive("error", h.socket.take()[0][1], null, "roomGone", "", null);
    await settle();
    h.socket.receive("error", h.socket.take()[0][1], null, code, "", null);
    await settle();
  };
  for (const code of [...Array(4).fill("internal"), "unavailable", ...Array(4).fill("internal")]) {
    await refused(code);
    assert.equal(room.status, "away");
    await h.clock.advance(DEFAULTS.maxDelay);
  }
  await refused("internal");
  assert.deepEqual(errors, ["internal"]);
  assert.deepEqual(room.log.at(-1), ["left", { code: 4008, reason: "internal" }]);
  assert.deepEqual(h.client.joined, []);
});

test("a resume that is refused with a temporary error is sent again on the same connection", async () => {
  const h = new Harness();
  const room = await h.join();
  let [resume] = await h.reconnect();
  for (const delay of [125, 250, 500]) {
    h.socket.receive("error", resume[1], null, "unavailable", "", null);
    assert.equal(room.status, "away");
    await h.clock.advance(delay - 1);
    assert.deepEqual(h.socket.take(), []);
    await h.clock.advance(1);
    [resume] = h.socket.take();
    assert.equal(resume[0], "resume");
  }
  h.resumed(resume);
  assert.equal(room.status, "joined");
  assert.equal(h.sockets.length, 2);
});

test("a resume without an answer drops the connection", async () => {
  const h = new Harness({ pingInterval: 0 });
  const room = await h.join();
  await h.reconnect();
  await h.clock.advance(DEFAULTS.requestTimeout);
  assert.equal(h.client.state, "waiting");
  assert.deepEqual(h.socket.closed, { code: 4106, reason: "no answer" });
  await h.nextSocket();
  h.socket.open();
  h.resumed(h.socket.take()[0]);
  assert.equal(room.status, "joined");
});

test("after left 4100 to 4199 the room resumes over the same connection", async () => {
  for (const code of [4100, 4101, 4103, 4104, 4150]) {
    const h = new Harness();
    const room = await h.join();
    const other = await h.join("r2", { member: "m2" });
    room.send("say", 1);
    h.socket.take();
    h.socket.receive("left", "r1", code, "moved");
    room.send("say", 2);
    assert.deepEqual(room.log, [["reconnecting", { code, reason: "moved" }]]);
    await h.clock.advance(250);
    const [resume, ...more] = h.socket.take();
    assert.deepEqual(more, []);
    h.resumed(resume, { handled: 1 });
    assert.deepEqual(h.socket.take(), [["send", "r1", "say", 2, 2]]);
    assert.equal(other.status, "joined");
    assert.equal(h.sockets.length, 1);
  }
});

test("rooms that get left again and again resume with growing delays", async () => {
  const h = new Harness();
  await h.join();
  const delays = [];
  for (let i = 0; i < 8; i++) {
    if (i === 7) await h.clock.advance(DEFAULTS.stableAfter);
    h.socket.receive("left", "r1", 4101, "");
    const since = h.clock.now();
    let frames = [];
    while (!frames.length) {
      await h.clock.advance(5);
      frames = h.socket.take();
    }
    delays.push(h.clock.now() - since);
    h.resumed(frames[0]);
  }
  assert.deepEqual(delays, [125, 250, 500, 1000, 2000, 4000, 5000, 125]);
});

test("any other code of left ends the room, and the connection stays open", async () => {
  for (const code of [1000, 4001, 4003, 4004, 4005, 4008, 4010, 4029, 4099]) {
    const h = new Harness();
    const room = await h.join();
    const sent = failure(room.send("say", 1));
    h.socket.receive("left", "r1", code, "why");
    assert.deepEqual(room.log, [["left", { code, reason: "why" }]]);
    assert.deepEqual([(await sent).code, (await sent).details], ["roomGone", { code }]);
    assert.equal(h.client.state, "open");
    h.socket.end(code === 1000 ? 1000 : code);
    assert.equal(h.client.state, "idle");
    await h.clock.advance(60_000);
    assert.equal(h.sockets.length, 1);
  }
});

test("while resuming over the same connection, the end of the former membership has no effect", async () => {
  const h = new Harness();
  const room = await h.join();
  h.socket.receive("left", "r1", 4101, "");
  await h.clock.advance(250);
  const [resume] = h.socket.take();
  h.socket.receive("left", "r1", 4005, "replaced");
  h.socket.receive("left", "r1", 4101, "");
  h.socket.receive("msg", "r1", 9, "n", "of the former link: it comes again");
  assert.equal(room.status, "resuming");
  h.resumed(resume);
  h.socket.receive("msg", "r1", 8, "n", 8);
  h.socket.receive("msg", "r1", 9, "n", 9);
  assert.deepEqual(
    room.log.slice(2).map(([, , data]) => data),
    [8, 9],
  );
  const second = (await h.reconnect())[0];
  h.socket.receive("left", "r1", 4003, "kicked");
  assert.equal(room.status, "left");
  h.resumed(second);
  assert.equal(room.status, "left");
  assert.deepEqual(h.errors, []);
});

test("the close code decides whether the client reconnects", async () => {
  const codes = { back: [1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015, 3000, 4100, 4102, 4106, 4199, 4500] };
  codes.final = [1002, 1003, 1007, 1008, 1009, 1010, 4000, 4001, 4003, 4005, 4010, 4029, 4099];
  for (const code of [...codes.back, ...codes.final]) {
    const h = new Harness();
    const room = await h.join();
    const ends = [];
    h.client.on("disconnected", (ending) => ends.push(ending));
    h.socket.end(code, "because");
    await h.clock.advance(5_000);
    const isBack = codes.back.includes(code);
    assert.equal(mayReconnect(code), isBack);
    assert.equal(h.sockets.length, isBack ? 2 : 1, `${code}`);
    assert.equal(room.status, isBack ? "away" : "left");
    assert.deepEqual(ends, isBack ? [] : [{ code, reason: "because" }]);
    if (!isBack) assert.deepEqual(room.log, [["left", { code, reason: "because" }]]);
    h.client.close();
    assert.equal(h.clock.pending, 0);
  }
});

test("after a final close code the next join connects again", async () => {
  const h = new Harness();
  await h.join();
  h.socket.end(4005);
  assert.equal(h.client.state, "idle");
  const room = await h.join("r2");
  assert.equal(room.status, "joined");
  assert.equal(h.sockets.length, 2);
});

test("the delay doubles up to its limit, half of it is random, and the event has it", async () => {
  for (const [random, expected] of [
    [0, [125, 250, 500, 1000, 2000, 4000, 5000, 5000]],
    [1, [250, 500, 1000, 2000, 4000, 8000, 10000, 10000]],
  ]) {
    const h = new Harness({ random: () => random });
    await h.join();
    const told = [];
    h.client.on("reconnecting", ({ attempt, delay }) => told.push([attempt, delay]));
    const delays = [];
    for (let i = 0; i < expected.length; i++) {
      h.socket.end();
      delays.push(await h.nextSocket());
    }
    assert.deepEqual(delays, expected);
    assert.deepEqual(
      told,
      expected.map((delay, index) => [index + 1, delay]),
    );
  }
});

test("the delay starts again from its minimum after a long connection, not after a short one", async () => {
  const h = new Harness();
  await h.join();
  const delays = [];
  for (const uptime of [0, 0, DEFAULTS.stableAfter - 1, DEFAULTS.stableAfter]) {
    await h.clock.advance(uptime);
    h.socket.end();
    delays.push(await h.nextSocket());
    h.socket.open();
    h.resumed(h.socket.take()[0]);
  }
  assert.deepEqual(delays, [125, 250, 500, 125]);
});

test("the client gives up after maxAttempts", async () => {
  const h = new Harness({ maxAttempts: 2 });
  const room = await h.join();
  for (let i = 0; i < 2; i++) {
    h.socket.end();
    await h.nextSocket();
  }
  h.socket.end(1006, "refused");
  assert.equal(h.client.state, "idle");
  assert.deepEqual(room.log.at(-1), ["left", { code: 1006, reason: "refused" }]);
});

test("after bye the client waits once as long as it was asked to, with a random addition", async () => {
  for (const [random, expected] of [
    [0, 7_125],
    [1, 7_000 * 1.2 + 250],
  ]) {
    const h = new Harness({ random: () => random });
    const room = await h.join();
    const byes = [];
    h.client.on("bye", (bye) => byes.push(bye));
    h.socket.receive("bye", 4100, 7);
    room.send("say", "still here");
    assert.equal(h.socket.take().length, 1);
    h.socket.end(4100);
    assert.equal(await h.nextSocket(), expected);
    h.socket.end(1006);
    assert.ok((await h.nextSocket()) < 1000);
    assert.deepEqual(byes, [{ code: 4100, retryAfter: 7 }]);
  }
});

test("the code of bye counts if the close code is 1006; a final one ends the rooms", async () => {
  const h = new Harness();
  const room = await h.join();
  h.socket.receive("bye", 4001, 0);
  h.socket.end(1006);
  assert.equal(room.status, "left");
  assert.equal(h.client.state, "idle");
});

test("a server that is silent after a heartbeat counts as lost", async () => {
  const h = new Harness();
  const room = await h.join();
  await h.clock.advance(DEFAULTS.pingInterval + DEFAULTS.pingTimeout - 1);
  assert.equal(room.status, "joined");
  await h.clock.advance(1);
  assert.equal(room.status, "away");
  assert.equal(h.sockets[0].closed.code, 4106);
  h.sockets[0].receive("msg", "r1", 1, "n", "from the dead");
  h.sockets[0].end(4005);
  assert.equal(room.offset, 0);
  assert.equal(h.client.state, "waiting");
});

test("any frame shows that the server is there", async () => {
  const h = new Harness();
  const room = await h.join();
  for (let i = 1; i < 20; i++) {
    await h.clock.advance(DEFAULTS.pingTimeout - 1);
    h.socket.receive("msg", "r1", i, "n", i);
  }
  assert.equal(room.status, "joined");
  assert.equal(h.sockets.length, 1);
});

test("a socket that does not open in time is given up", async () => {
  const h = new Harness();
  const joining = h.client.joinOrCreate("chat");
  await h.clock.advance(DEFAULTS.connectTimeout);
  assert.ok(h.sockets[0].closed);
  await h.nextSocket();
  h.socket.open();
  h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership());
  await joining;
});

test("a socket with an unknown sub-protocol is given up; without one it is JSON", async () => {
  const h = new Harness();
  const joining = h.client.joinOrCreate("chat");
  await settle();
  h.socket.open("txroom.v2.json");
  assert.equal(h.socket.closed.code, 4010);
  await h.nextSocket();
  h.socket.open("");
  h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership());
  await joining;
});

test("reconnect closes the connection and opens another one after any delay", async () => {
  const h = new Harness();
  const room = await h.join();
  h.client.reconnect(3_000);
  assert.equal(room.status, "away");
  assert.equal(await h.nextSocket(), 3_000);
  h.socket.end();
  h.client.reconnect();
  assert.equal(await h.nextSocket(), 0 + 5, "at once: the next look of this test");
});

test(`on "online" the client connects at once; on "offline" or a visible page it checks the connection`, async () => {
  const events = new EventTarget();
  const h = new Harness({ events });
  const room = await h.join();
  h.socket.takeAll();
  await h.clock.advance(12_000);
  h.socket.takeAll();
  events.dispatchEvent(new Event("offline"));
  assert.deepEqual(h.socket.takeAll()[0][0], "ping");
  await h.clock.advance(DEFAULTS.probeTimeout);
  assert.equal(room.status, "away");
  for (let i = 0; i < 6; i++) {
    await h.nextSocket();
    h.socket.end();
  }
  const count = h.sockets.length;
  events.dispatchEvent(new Event("offline"));
  assert.equal(h.sockets.length, count);
  events.dispatchEvent(new Event("online"));
  assert.equal(h.sockets.length, count + 1);
  h.socket.end();
  events.dispatchEvent(new Event("visibilitychange"));
  assert.equal(h.sockets.length, count + 2);
  h.client.close();
  events.dispatchEvent(new Event("online"));
  assert.equal(h.sockets.length, count + 2);
});

test("a hidden page does not reconnect at once, nor does a client that was asked to wait", async () => {
  const events = new EventTarget();
  const h = new Harness({ events });
  await h.join();
  h.socket.receive("bye", 4100, 30);
  h.socket.end(4100);
  events.dispatchEvent(new Event("online"));
  assert.equal(h.sockets.length, 1);
  await h.nextSocket();
  h.socket.end();
  const hidden = new Event("visibilitychange");
  Object.defineProperty(hidden, "target", { value: { visibilityState: "hidden" } });
  events.dispatchEvent(hidden);
  assert.equal(h.sockets.length, 2);
});

test("a room that is left while away needs no connection", async () => {
  const h = new Harness();
  const room = await h.join();
  room.on("reconnecting", () => h.client.close());
  h.socket.end();
  assert.equal(h.client.state, "closed");
  await h.clock.advance(60_000);
  assert.equal(h.sockets.length, 1);
  assert.equal(h.clock.pending, 0);
});

test("if the room ends during a rejoin, the joined room is left again", async () => {
  const h = new Harness();
  const room = await h.join();
  const [resume] = await h.reconnect();
  h.socket.receive("error", resume[1], null, "roomGone", "", null);
  await settle();
  const [[, ref]] = h.socket.take();
  const leaving = room.leave();
  await h.clock.advance(DEFAULTS.leaveTimeout);
  await leaving;
  h.socket.receive("joined", ref, "r1", h.membership({ member: "m2" }));
  assert.deepEqual(h.socket.take().map((frame) => [frame[0], frame[2]]), [["leave", "r1"]]);
  assert.equal(room.status, "left");
});

test("a rejoin is not sent if the connection is lost while auth is pending", async () => {
  const answers = [];
  const h = new Harness({ auth: () => new Promise((resolve) => answers.push(resolve)) });
  const joining = h.client.joinOrCreate("chat");
  answers.shift()("first");
  await settle();
  h.socket.open();
  h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership());
  const room = await joining;
  for (let i = 0; i < 2; i++) {
    const [resume] = await h.reconnect();
    h.socket.receive("error", resume[1], null, "unauthorized", "", null);
  }
  answers.forEach((answer, index) => answer(index));
  await settle();
  const [[kind, ref, , { auth }], ...more] = h.socket.take();
  assert.deepEqual([kind, auth, more], ["joinById", 1, []]);
  h.socket.receive("joined", ref, "r1", h.membership({ member: "m2" }));
  assert.equal(room.member, "m2");
});

test("a rejoin that leads to a room that the client is in already ends one of the memberships", async () => {
  const h = new Harness();
  const one = await h.join("r1", {}, { seat: "once" });
  const two = await h.join("r2", { member: "m2" });
  h.socket.receive("left", "r1", 4104, "");
  await h.clock.advance(200);
  h.socket.receive("error", h.socket.take()[0][1], null, "noSuchRoom", "", null);
  await settle();
  const [[, first, , options]] = h.socket.take();
  assert.deepEqual(options, {}, "a seat is for once");
  h.socket.receive("error", first, null, "noSuchRoom", "", null);
  await settle();
  const [[kind, ref]] = h.socket.take();
  assert.equal(kind, "join");
  h.socket.receive("joined", ref, "r2", h.membership({ member: "m2", token: "u2", recovered: true }));
  assert.equal(one.log.at(-1)[1].code, 4008);
  assert.deepEqual(two.log, []);
  assert.deepEqual(h.client.joined, [two]);
  assert.equal((await h.reconnect())[0][3], "u2");
});
