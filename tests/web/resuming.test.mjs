import assert from "node:assert/strict";
import test from "node:test";

import { Harness, failure, settle } from "./harness.mjs";

/** The token of a page that has joined and sent a request. */
async function leave(options = {}) {
  const h = new Harness({ auth: "secret" });
  const room = await h.join("r1", { offset: 7 }, { name: "ada", seat: "once", ...options });
  failure(room.call("roll"));
  return room.reconnectionToken;
}

/** The next page, and its resumed room. */
async function next(token, more = {}) {
  const h = new Harness();
  const resuming = h.client.resume(token);
  h.socket.open();
  const [[kind, ref, ...rest]] = h.socket.take();
  const [features, attempt] = [rest.pop(), rest.pop()];
  assert.deepEqual([kind, ...rest, features], ["resume", "r1", "t1", "", 0, { state: 1 }]);
  assert.ok(Math.abs(Date.now() - attempt) < 60_000);
  h.socket.receive("joined", ref, "r1", h.membership({ token: "t2", ...more }));
  const room = await resuming;
  room.log = [];
  room.on("lost", (loss) => room.log.push(loss));
  await h.clock.advance(0);
  return { h, room };
}

test("resume continues as the same member, with a new snapshot", async () => {
  const { h, room } = await next(await leave(), { offset: 9, snapshot: "s", handled: 2 });
  assert.deepEqual([room.id, room.name, room.member, room.status], ["r1", "chat", "m1", "joined"]);
  assert.deepEqual([room.offset, room.snapshot, room.log], [9, "s", []]);
  assert.deepEqual(h.client.joined, [room]);
  room.send("say", "on");
  assert.deepEqual(h.socket.take(), [["send", "r1", "say", "on", 3]]);
  assert.deepEqual((await h.reconnect())[0].slice(2, 6), ["r1", "t2", "e1", 9]);
});

test("prepare gets the resumed room before the promise resolves", async () => {
  const h = new Harness();
  const prepared = [];
  const resuming = h.client.resume(await leave(), (room) => prepared.push(room.id));
  h.socket.open();
  h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership());
  assert.deepEqual(prepared, ["r1"]);
  await resuming;
});

test("numbers that the server has accepted are not used again, though their frames are not handled yet", async () => {
  const { h, room } = await next(await leave(), { handled: 2, accepted: 4 });
  let isHandled = false;
  const sent = room.send("say", "on").then(() => (isHandled = true));
  assert.deepEqual(h.socket.take(), [["send", "r1", "say", "on", 5]]);
  h.socket.receive("ack", "r1", 4);
  await h.clock.advance(1);
  assert.equal(isHandled, false);
  h.socket.receive("ack", "r1", 5);
  await sent;
});

test("if the server has forgotten frames of the former page, the frames of this one are unconfirmed", async () => {
  const { h, room } = await next(await leave(), { handled: 2, accepted: 4 });
  room.send("say", "on");
  h.resumed((await h.reconnect())[0], { handled: 2 });
  assert.deepEqual(room.log[0].unconfirmed, [{ type: "say", data: "on" }]);
  room.send("say", "again");
  assert.deepEqual(h.socket.take(), [["send", "r1", "say", "again", 3]]);
});

test("answers to requests of the former page do not answer those of this one", async () => {
  const { h, room } = await next(await leave());
  const call = room.call("roll");
  const ref = h.socket.take()[0][1];
  for (let other = 1; other < 9; other++) h.socket.receive("reply", other, "to the former");
  h.socket.receive("reply", ref, 6);
  assert.equal(await call, 6);
});

test("if the member is forgotten, the page joins again like the former one, without its seat and credentials", async () => {
  const { h } = await next(await leave({ auth: "mine" }));
  const [resume] = await h.reconnect();
  h.socket.receive("error", resume[1], null, "unauthorized", "", null);
  await settle();
  const [[kind, ref, target, options]] = h.socket.take();
  assert.deepEqual([kind, target, options], ["joinById", "r1", { name: "ada" }]);
  h.socket.receive("error", ref, null, "noSuchRoom", "", null);
  await settle();
  assert.deepEqual(h.socket.take().map(([kind, , name]) => [kind, name]), [["join", "chat"]]);
});

test("a refused resume rejects, and the client does not join instead", async () => {
  for (const code of ["unauthorized", "forbidden", "noSuchRoom"]) {
    const h = new Harness();
    const resuming = failure(h.client.resume(await leave()));
    h.socket.open();
    h.socket.receive("error", h.socket.take()[0][1], null, code, "", null);
    assert.equal((await resuming).code, code);
    assert.deepEqual([h.socket.take(), h.client.joined], [[], []]);
  }
});

test("a malformed token is refused without a connection", async () => {
  const h = new Harness();
  const token = JSON.parse(await leave());
  const wrong = [undefined, null, "", "x", "null", "[]", "{}", JSON.stringify({ ...token, method: "constructor" })];
  for (const key of Object.keys(token)) wrong.push(JSON.stringify({ ...token, [key]: undefined }));
  for (const each of wrong) assert.equal((await failure(h.client.resume(each))).code, "badRequest");
  assert.equal(h.sockets.length, 0);
});

test("a room that was left has no token; one that is away has", async () => {
  const h = new Harness();
  const room = await h.join();
  h.socket.end();
  assert.notEqual(room.reconnectionToken, null);
  h.client.close();
  assert.equal(room.reconnectionToken, null);
});
