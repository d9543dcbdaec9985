/** Slow links: a connection on which data moves is not lost. */

import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import test from "node:test";

import { DEFAULTS } from "../../txroom/web/txroom.js";
import { Harness, failure, settle } from "./harness.mjs";

const { pingInterval, pingTimeout, requestTimeout } = DEFAULTS;

test("the first frame may take as long as a request: a room whose snapshot needs 12 s is joined", async () => {
  const h = new Harness();
  const joining = h.client.joinOrCreate("chat");
  await settle();
  h.socket.open();
  const [[, ref]] = h.socket.take();
  await h.clock.advance(12_000);
  assert.equal(h.sockets[0].closed, null);
  h.socket.receive("joined", ref, "r1", h.membership({ snapshot: "large" }));
  assert.equal((await joining).snapshot, "large");
});

test("a server that never sends anything is given up", async () => {
  const h = new Harness();
  failure(h.client.joinOrCreate("chat"));
  await settle();
  h.socket.open();
  await h.clock.advance(requestTimeout);
  assert.equal(h.sockets[0].closed.code, 4106);
});

test("an upload gets one more second for each 4 KiB that may be on their way", async () => {
  const h = new Harness({ callTimeout: 1e6 });
  const room = await h.join();
  await h.clock.advance(pingInterval - 1);
  h.socket.receive("msg", "r1", null, "x", null);
  room.send("blob", "x".repeat(300_000));
  await h.clock.advance(1);
  const [, ping] = h.socket.takeAll().filter(([kind]) => kind === "send" || kind === "ping").slice(-2);
  assert.equal(ping[0], "ping");
  await h.clock.advance(pingTimeout + 73_000 - 1);
  assert.equal(h.sockets[0].closed, null, "300 kB at 4 KiB a second");
  await h.clock.advance(1);
  assert.equal(h.sockets[0].closed.code, 4106);
});

test("a shrinking send buffer shows that the connection works, a full one does not", async () => {
  const h = new Harness({ pingTimeout: 1_000 });
  const room = await h.join();
  h.socket.bufferedAmount = 90_000;
  await h.clock.advance(pingInterval);
  for (let i = 0; i < 8; i++) {
    h.socket.bufferedAmount -= 10_000;
    await h.clock.advance(1_000);
    assert.equal(room.status, "joined");
  }
  await h.clock.advance(2_000);
  assert.equal(room.status, "away");
});

test("data sent with an empty buffer proves nothing, since the system accepts it in any case", async () => {
  const h = new Harness();
  const room = await h.join();
  await h.clock.advance(pingInterval);
  for (let i = 0; i < 9; i++) {
    room.send("say", "x".repeat(300)).catch(() => {});
    await h.clock.advance(pingTimeout / 10);
  }
  await h.clock.advance(pingTimeout / 10);
  assert.equal(room.status, "away");
});

test("in Node the bytes of an incomplete message show that the connection works", async () => {
  const stream = { bytesRead: 0 };
  const h = new Harness({ pingTimeout: 1_000 });
  const { WebSocket } = h.client.options;
  WebSocket.prototype.on = function (name, listener) {
    (this.emitter ??= new EventEmitter()).on(name, listener);
  };
  const joining = h.client.joinOrCreate("chat");
  await settle();
  h.socket.emitter.emit("upgrade", { socket: stream });
  h.socket.open();
  h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership());
  const room = await joining;
  await h.clock.advance(pingInterval);
  for (let i = 0; i < 60; i++) {
    stream.bytesRead += 10_000;
    await h.clock.advance(500);
  }
  assert.equal(room.status, "joined");
  await h.clock.advance(2_000);
  assert.equal(room.status, "away");
});

test("without knowledge of received bytes, each silence doubles the time of the next connection", async () => {
  const h = new Harness({ requestTimeout: 1_000, pingInterval: 0 });
  await h.join();
  h.socket.end();
  const waited = [];
  for (let i = 0; i < 5; i++) {
    await h.nextSocket();
    h.socket.open();
    const since = h.clock.now();
    const { socket } = h;
    while (socket.closed === null) await h.clock.advance(100);
    waited.push(h.clock.now() - since);
  }
  assert.deepEqual(waited, [1_000, 2_000, 4_000, 8_000, 8_000]);
  await h.nextSocket();
  h.socket.open();
  await h.clock.advance(7_000);
  h.resumed(h.socket.take()[0]);
  h.client.ping().catch(() => {});
  h.socket.receive("reply", h.socket.takeAll()[0][1], null);
  await settle();
  h.socket.end();
  await h.nextSocket();
  h.socket.open();
  const { socket } = h;
  await h.clock.advance(1_000);
  assert.equal(socket.closed?.reason, "no answer", "a heartbeat was answered in time: the link is quick again");
});

test("the client reconnects after a message that a slow link could not carry in time", async () => {
  const h = new Harness();
  const room = await h.join();
  h.socket.end(1008, "message not complete in time");
  assert.equal(room.status, "away");
  await h.nextSocket();
  h.socket.open();
  h.resumed(h.socket.take()[0]);
  assert.equal(room.status, "joined");
});
