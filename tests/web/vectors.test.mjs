/** The tables of the protocol: the client is held to the test vectors, as the server and the Python client are. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { CloseCode, DEFAULTS, ErrorCode, mayReconnect } from "../../txroom/web/txroom.js";
import { Harness, settle } from "./harness.mjs";

const vectors = JSON.parse(readFileSync(new URL("../vectors/protocol-v1.json", import.meta.url), "utf-8"));

test("the names of errors and close codes are those of the protocol", () => {
  const errors = vectors.errors.map(({ error }) => error).filter((error) => error !== "aWordOfTheRoom");
  assert.deepEqual(Object.values(ErrorCode).sort(), errors.sort());
  const codes = new Set(vectors.closes.map(({ code }) => code));
  for (const [name, code] of Object.entries(CloseCode)) assert.ok(codes.has(code), name);
});

test("after which close codes it connects again, and what it tells those who wait if not", async () => {
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

test("after which left codes it resumes", async () => {
  for (const { code, reason = "", resumes } of vectors.closes) {
    const h = new Harness();
    const room = await h.join();
    h.socket.receive("left", "r1", code, reason);
    assert.equal(room.state, resumes ? "away" : "left", `${code}`);
    h.client.close();
  }
});

test("what it does about a resume that was refused, and with what code it has left", async () => {
  for (const { error, left, comeback } of vectors.errors) {
    const h = new Harness();
    const room = await h.join();
    const [[kind, ref]] = await h.reconnect();
    assert.equal(kind, "resume");
    h.socket.receive("error", ref, null, error, "no", null);
    await settle();
    const [frame] = h.socket.take();
    if (comeback === "end") {
      assert.deepEqual([room.state, room.log.at(-1)], ["left", ["left", { code: left, reason: "no" }]], error);
    } else if (comeback === "rejoin") {
      assert.deepEqual([room.state, frame[0]], ["resuming", "joinById"], error);
    } else {
      assert.deepEqual([room.state, frame], ["away", undefined], error);
    }
    h.client.close();
  }
});

test("with what code it has left if it may not join anew", async () => {
  for (const { error, left, comeback } of vectors.errors) {
    if (comeback !== "rejoin") continue;
    const h = new Harness({ rejoin: false });
    const room = await h.join();
    const [[, ref]] = await h.reconnect();
    h.socket.receive("error", ref, null, error, "no", null);
    await settle();
    assert.deepEqual(room.log.at(-1), ["left", { code: left, reason: "no" }], error);
    h.client.close();
  }
});

test("its limits are those of the protocol", async () => {
  const { limits } = vectors;
  assert.equal(DEFAULTS.window, limits.window);
  const h = new Harness();
  const room = await h.join();
  room.send("x".repeat(limits.name));
  assert.throws(() => room.send("x".repeat(limits.name + 1)), { code: "badRequest" });
  const nested = (depth) => (depth ? [nested(depth - 1)] : 0);
  room.send("say", nested(limits.depth));
  assert.throws(() => room.send("say", nested(limits.depth + 1)), { code: "invalidData" });
  h.client.close();
});
