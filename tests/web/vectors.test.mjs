/** The client and the tables of the test vectors, which also the server and the Python client are tested with. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { CloseCode, DEFAULTS, ErrorCode, PROTOCOL, TxroomError, mayReconnect } from "../../txroom/web/txroom.js";
import { Harness, failure, settle } from "./harness.mjs";

const vectors = JSON.parse(readFileSync(new URL("../vectors/protocol-v1.json", import.meta.url), "utf-8"));

test("the names of errors and close codes are those of the protocol", () => {
  const errors = vectors.errors.map(({ error }) => error).filter((error) => error !== "aWordOfTheRoom");
  assert.deepEqual(Object.values(ErrorCode).sort(), errors.sort());
  const codes = new Set(vectors.closes.map(({ code }) => code));
  for (const [name, code] of Object.entries(CloseCode)) assert.ok(codes.has(code), name);
});

test("after which close codes the client reconnects, and with which error requests fail otherwise", async () => {
  for (const { code, reason = "", error, reconnects } of vectors.closes) {
    assert.equal(mayReconnect(code, reason), reconnects, `${code}`);
    const h = new Harness();
    await h.join();
    const query = h.client.query("chat").then(null, (refusal) => refusal.code);
    await settle();
    h.socket.end(code, reason);
    assert.equal(h.client.state, reconnects ? "waiting" : "idle", `${code}`);
    if (!reconnects) assert.equal(await query, error, `${code}`);
    h.client.close();
  }
});

test("after which codes of left the client resumes", async () => {
  for (const { code, reason = "", resumes } of vectors.closes) {
    const h = new Harness();
    const room = await h.join();
    h.socket.receive("left", "r1", code, reason);
    assert.equal(room.status, resumes ? "away" : "left", `${code}`);
    h.client.close();
  }
});

test("what the client does after a refused resume, and the code of the event left", async () => {
  for (const { error, left, fallback } of vectors.errors) {
    const h = new Harness();
    const room = await h.join();
    const [[kind, ref]] = await h.reconnect();
    assert.equal(kind, "resume");
    h.socket.receive("error", ref, null, error, "no", null);
    await settle();
    const [frame] = h.socket.take();
    if (fallback === "end") {
      assert.deepEqual([room.status, room.log.at(-1)], ["left", ["left", { code: left, reason: "no" }]], error);
    } else if (fallback === "rejoin") {
      assert.deepEqual([room.status, frame[0]], ["resuming", "joinById"], error);
    } else {
      assert.deepEqual([room.status, frame], ["away", undefined], error);
    }
    h.client.close();
  }
});

test("the code of the event left if the client may not join again", async () => {
  for (const { error, left, fallback } of vectors.errors) {
    if (fallback !== "rejoin") continue;
    const h = new Harness({ rejoin: false });
    const room = await h.join();
    const [[, ref]] = await h.reconnect();
    h.socket.receive("error", ref, null, error, "no", null);
    await settle();
    assert.deepEqual(room.log.at(-1), ["left", { code: left, reason: "no" }], error);
    h.client.close();
  }
});

test("the close code for the HTTP status of a refused upgrade, where the platform has it", async () => {
  for (const { status, answered } of vectors.statuses) {
    const h = new Harness();
    const joining = failure(h.client.joinOrCreate("chat"));
    await settle();
    h.socket.end(1006, "", `Unexpected server response: ${status}`);
    assert.equal(h.client.state, mayReconnect(answered) ? "waiting" : "idle", `${status}`);
    if (h.client.state === "waiting") h.client.close();
    else {
      const { error } = vectors.closes.find(({ code }) => code === answered);
      const { code, details } = await joining;
      assert.deepEqual([code, details], [error, { code: answered }], `${status}`);
    }
  }
});

test("the close code for a refusal in the protocol, also if the close code is lost", async () => {
  for (const { status, error, refused } of vectors.statuses) {
    for (const close of [refused, 1006]) {
      const h = new Harness();
      const endings = [];
      h.client.on("disconnected", ({ code }) => endings.push(code));
      const joining = failure(h.client.joinOrCreate("chat"));
      await settle();
      h.socket.open();
      h.socket.receive("error", null, null, error, "no", { status });
      h.socket.end(close, "");
      assert.equal(h.client.state, mayReconnect(refused) ? "waiting" : "idle", `${status}, ${close}`);
      if (h.client.state === "waiting") h.client.close();
      else assert.deepEqual([(await joining).code, endings], [error, [refused]], `${status}, ${close}`);
    }
  }
});

test("the limits are those of the protocol", async () => {
  const { limits, protocols } = vectors;
  assert.equal(DEFAULTS.window, limits.window);
  assert.ok(protocols.includes(PROTOCOL));
  const h = new Harness();
  const room = await h.join();
  room.send("x".repeat(limits.name));
  assert.throws(() => room.send("x".repeat(limits.name + 1)), { code: "badRequest" });
  const nested = (depth) => (depth ? [nested(depth - 1)] : 0);
  room.send("say", nested(limits.depth));
  assert.throws(() => room.send("say", nested(limits.depth + 1)), { code: "invalidData" });
  h.socket.take();
  room.handle("ask", () => {
    throw new TxroomError("c".repeat(limits.code + 1), "t".repeat(limits.text + 1));
  });
  h.socket.receive("call", 1, "r1", "ask", null);
  await settle();
  const [[, , , code, message]] = h.socket.take();
  assert.deepEqual([code.length, message.length], [limits.code, limits.text]);
  h.client.close();
});

test("presence: the members that are known, and how many there are", async () => {
  for (const { about, joined, steps, ...first } of vectors.presence) {
    const h = new Harness();
    const room = await h.join("r1", joined);
    const known = { ...first };
    const check = () => assert.deepEqual({ members: room.members, memberCount: room.memberCount }, known, about);
    check();
    for (const { presence, fetch, reply, ...then } of steps) {
      if (presence) h.socket.receive("presence", "r1", ...presence);
      else {
        const told = [];
        const off = room.onPresence((members, joined, left) => told.push([joined, left]));
        const fetched = room.fetchMembers();
        const frames = h.socket.take();
        if (fetch === null) assert.deepEqual(frames, []);
        else {
          const [[kind, ref, id, after]] = frames;
          assert.deepEqual([kind, id, after], ["members", "r1", fetch]);
          h.socket.receive("reply", ref, reply);
        }
        assert.deepEqual(await fetched, reply?.members ?? []);
        assert.deepEqual(told, fetch === null ? [] : [[[], []]]);
        off();
      }
      Object.assign(known, then);
      check();
    }
  }
});

test("fetchMembers fails when the server refuses it, sends something else, or can't be reached", async () => {
  const h = new Harness();
  const room = await h.join("r1", { memberCount: 9, membersAfter: 0 });
  const fetching = [room.fetchMembers(), room.fetchMembers()].map(failure);
  const [[, first], [, second]] = h.socket.take();
  h.socket.receive("error", first, "r1", "rateLimited", "", null);
  h.socket.receive("reply", second, { members: 5 });
  const codes = (await Promise.all(fetching)).map(({ code }) => code);
  assert.deepEqual(codes, ["rateLimited", "badRequest"]);
  const lost = failure(room.fetchMembers());
  h.socket.end(1006);
  assert.equal((await lost).code, "unavailable");
  assert.equal((await failure(room.fetchMembers())).code, "unavailable");
  assert.deepEqual(h.errors, []);
});

test("notifications: what listeners are told, and what the client sends", async (t) => {
  t.mock.method(console, "warn", () => {});
  for (const { about, steps } of vectors.notifications) {
    const h = new Harness({ device: "d1", pingInterval: 0 });
    await h.join(); // for the room, a client without listeners reconnects, too
    const told = [];
    const sent = [];
    const held = []; // what ends the listeners that have not ended, in order
    h.client.off("error");
    h.client.on("error", (error) => told.push(["error", error.code]));
    for (const step of steps) {
      const [[kind, value]] = Object.entries(step);
      if (kind === "listen") h.client.on(value, (...args) => told.push([value, ...args]));
      else if (kind === "hold") {
        h.client.on(value, (...args) => {
          told.push([value, ...args]);
          return new Promise((resolve) => held.push(resolve));
        });
      } else if (kind === "end") for (const end of held.splice(0, value)) end();
      else if (kind === "unlisten") h.client.off(value);
      else if (kind === "receive") h.socket.receive(...value);
      else if (kind === "wait") await h.clock.advance(value * 1000);
      else if (kind === "told") assert.deepEqual(told.splice(0), value, about);
      else if (kind === "sent") assert.deepEqual([...sent.splice(0), ...h.socket.take()], value, `${about}: ${JSON.stringify(step)}`);
      else if (kind === "burst") {
        const [epoch, first, last] = value;
        for (let n = first; n <= last; n++) h.socket.receive("notify", epoch, n, "gift", n, 0);
      } else {
        const [resume, ...others] = await h.reconnect();
        h.resumed(resume);
        sent.push(...others);
      }
      await settle();
    }
    h.client.close();
  }
});
