/**
 * Random schedules of the client against a model of the server, over a network that delays, duplicates and
 * cuts. SCHEDULES=20000 node --test tests/web/fuzz.test.mjs runs more of them; SEED=n runs that one.
 */

import assert from "node:assert/strict";
import test from "node:test";

import { Harness, settle } from "./harness.mjs";

const SCHEDULES = Number(process.env.SCHEDULES ?? 300);
const WINDOW = 64;

function generator(seed) {
  let state = seed * 2654435761 + 1;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { next, below: (n) => Math.floor(next() * n), chance: (p) => next() < p };
}

/** One room of the server: log, members, counters, tokens, replies. */
class ModelRoom {
  constructor(id, random) {
    this.id = id;
    this.random = random;
    this.epoch = 1;
    this.offset = 0;
    this.trimmed = 0;
    this.log = [];
    this.members = new Map();
    this.count = 0;
    /** All that was handled, in order: [member, data]. */
    this.handled = [];
  }

  join(wire, ref) {
    const present = [...this.members.values()].find((one) => one.wire === wire);
    if (present) return this.joined(present, ref, false, this.offset, present.tokens[0]);
    const id = `${this.id}m${++this.count}`;
    const member = { id, accepted: 0, handled: 0, acked: 0, replies: new Map(), mailbox: [], tokens: [], wire };
    this.members.set(id, member);
    this.joined(member, ref, false, this.offset);
  }

  resume(wire, ref, token, epoch, offset) {
    const member = [...this.members.values()].find(({ tokens }) => tokens.includes(token));
    if (!member) return wire.say("error", ref, null, "unauthorized", "", null);
    if (member.wire && member.wire !== wire) member.wire.say("left", this.id, 4005, "replaced");
    member.wire = wire;
    member.tokens = [token];
    const isWhole = epoch === `e${this.epoch}` && offset >= this.trimmed && offset <= this.offset;
    this.joined(member, ref, isWhole, isWhole ? offset : this.offset);
    if (isWhole) {
      for (const entry of this.log) {
        if (entry.offset > offset && entry.to !== "others") wire.say("msg", this.id, entry.offset, "n", entry.data);
      }
    }
  }

  joined(member, ref, recovered, offset, token = `${member.id}t${this.random.below(2 ** 30)}`) {
    if (member.tokens[0] !== token) member.tokens.unshift(token);
    member.acked = member.handled;
    member.wire.say("joined", ref, this.id, {
      name: "chat",
      member: member.id,
      token: member.tokens[0],
      epoch: `e${this.epoch}`,
      offset,
      recovered,
      handled: member.handled,
      members: null,
      snapshot: this.offset,
    });
  }

  take(wire, [kind, ...fields]) {
    const member = [...this.members.values()].find((one) => one.wire === wire);
    if (!member) return;
    member.tokens.length = 1;
    const ref = kind === "call" ? fields.shift() : null;
    const [, , data, n] = fields;
    if (n <= member.accepted) {
      const known = member.mailbox.find((item) => item.n === n);
      if (known) known.ref = ref;
      else if (kind === "call" && member.replies.has(n)) wire.say("reply", ref, member.replies.get(n));
      else if (kind === "call") wire.say("error", ref, this.id, "replyLost", "", null);
      return;
    }
    assert.equal(n, member.accepted + 1, "n out of order");
    assert.ok(n <= member.acked + WINDOW, "n over the window");
    member.accepted = n;
    member.mailbox.push({ n, ref, data });
  }

  handle() {
    for (const member of this.members.values()) {
      const item = member.mailbox.shift();
      if (!item) continue;
      member.handled = item.n;
      this.handled.push([member.id, item.data]);
      if (item.ref !== null) {
        member.replies.set(item.n, `re ${item.data}`);
        member.replies.delete(item.n - WINDOW);
        member.wire?.say("reply", item.ref, `re ${item.data}`);
      }
    }
  }

  acknowledge() {
    for (const member of this.members.values()) {
      if (!member.wire || member.acked === member.handled) continue;
      member.acked = member.handled;
      member.wire.say("ack", this.id, member.handled);
    }
  }

  broadcast() {
    const to = this.random.chance(0.2) ? "others" : "all";
    const entry = { offset: ++this.offset, data: `${this.id}e${this.epoch}#${this.offset}`, to };
    this.log.push(entry);
    if (to === "others") return;
    for (const { wire } of this.members.values()) {
      wire?.say("msg", this.id, entry.offset, "n", entry.data);
      if (this.random.chance(0.1)) wire?.say("msg", this.id, entry.offset, "n", entry.data);
    }
  }

  trim() {
    while (this.log.length > 3) this.trimmed = this.log.shift().offset;
  }

  /** The room moves: the client is to resume over the same connection. */
  move() {
    for (const member of this.members.values()) {
      member.wire?.say("left", this.id, 4101, "moved");
      member.wire = null;
    }
  }

  /** The log is lost, the members are not. */
  beginAnew() {
    this.move();
    this.epoch++;
    this.offset = this.trimmed = 0;
    this.log = [];
  }

  forget() {
    this.move();
    this.members.clear();
  }
}

/** A connection, with the frames on their way in both directions. */
class Wire {
  constructor(socket, rooms, random) {
    Object.assign(this, { socket, rooms, random, up: [], down: [], isUp: true, asked: new Set() });
    socket.onsent = (frame) => {
      if (frame[0] === "resume") this.asked.add(frame[2]);
      const room = frame[0] === "call" ? frame[2] : frame[1];
      if (frame[0] === "send" || frame[0] === "call") {
        this.isEarly ||= this.asked.has(room);
      }
      this.up.push(frame);
    };
    socket.onclosing = () => this.cut();
    socket.open();
  }

  say(...frame) {
    if (this.isUp) this.down.push(frame);
  }

  /** The server reads a frame. */
  read() {
    assert.ok(!this.isEarly, "nothing is sent between resume and joined");
    const frame = this.up.shift();
    if (!frame) return;
    const [kind, ref, target] = frame;
    const room = this.rooms.find(({ id }) => id === (["send", "reply", "error"].includes(kind) ? ref : target));
    if (kind === "ping") this.say("reply", ref, null);
    else if (kind === "join" || kind === "joinById") (room ?? this.rooms[0]).join(this, ref);
    else if (kind === "resume" && this.random.chance(0.1)) this.say("error", ref, null, "unavailable", "", null);
    else if (kind === "resume") room.resume(this, ref, ...frame.slice(3));
    else if (kind === "send" || kind === "call") room.take(this, frame);
  }

  /** The client reads a frame. */
  deliver() {
    const frame = this.down.shift();
    if (!frame) return;
    if (frame[0] === "joined") this.asked.delete(frame[2]);
    this.socket.receive(...frame);
  }

  /** What is on its way is lost, up to a point in each direction. */
  cut() {
    if (!this.isUp) return;
    this.isUp = false;
    for (let i = this.random.below(this.up.length + 1); i > 0; i--) this.read();
    for (const room of this.rooms) {
      for (const member of room.members.values()) if (member.wire === this) member.wire = null;
    }
  }

  end(code) {
    for (let i = this.random.below(this.down.length + 1); i > 0; i--) this.deliver();
    this.cut();
    this.socket.end(code);
  }
}

async function schedule(seed) {
  const random = generator(seed);
  const h = new Harness({ random: random.next, maxBuffered: 1000, callTimeout: 1e9, requestTimeout: 60_000 });
  const rooms = [new ModelRoom("r1", random), new ModelRoom("r2", random)];
  const wires = new Map();
  const wire = () => {
    const socket = h.socket;
    if (!wires.has(socket) && h.client.state === "connecting") wires.set(socket, new Wire(socket, rooms, random));
    return wires.get(socket);
  };
  const pump = async () => {
    for (let quiet = 0; quiet < 3; quiet++) {
      await settle();
      const line = wire();
      while (line?.up.length || line?.down.length) {
        line.read();
        line.deliver();
        quiet = 0;
      }
    }
  };

  // Join both rooms before the faults begin.
  const joining = rooms.map(({ id }) => h.client.joinById(id));
  await pump();
  const clients = await Promise.all(joining);
  const records = clients.map(() => ({ sent: [], calls: [], seen: [], unconfirmed: [], rejected: [] }));
  clients.forEach((room, index) => {
    const record = records[index];
    room.on("n", (data, offset) => record.seen.push({ epoch: room.epoch, offset, data }));
    room.on("lost", ({ offset, unconfirmed }) => {
      record.seen.push({ lost: offset, epoch: room.epoch });
      record.unconfirmed.push(...unconfirmed.map(({ data }) => data));
    });
    room.on("left", (ending) => assert.fail(JSON.stringify(ending)));
  });
  await h.clock.advance(0);

  const say = () => {
    const index = random.below(2);
    const [room, record] = [clients[index], records[index]];
    const data = `${room.id}:${record.sent.length}`;
    record.sent.push(data);
    if (random.chance(0.3)) {
      const call = { data, answer: undefined };
      record.calls.push(call);
      room.call("ask", data).then(
        (answer) => (call.answer = answer),
        ({ code }) => (call.answer = code),
      );
    } else room.send("say", data).catch(() => record.rejected.push(data));
  };
  // Further joins of the same rooms: each receives what the first receives, until it leaves.
  const others = [];
  const enter = () => {
    const index = random.below(2);
    const other = { index, from: 0, seen: [] };
    const prepare = (room) => {
      other.from = records[index].seen.length;
      room.on("n", (data, offset) => other.seen.push({ epoch: room.epoch, offset, data }));
      room.on("lost", ({ offset }) => other.seen.push({ lost: offset, epoch: room.epoch }));
      others.push({ ...other, room });
    };
    h.client.joinById(clients[index].id, {}, prepare).catch(({ code }) => assert.match(code, /unavailable|timeout/));
  };
  const leave = async () => {
    const other = others.shift();
    if (!other) return;
    await h.clock.advance(0); // its first events are out
    await other.room.leave();
    assert.deepEqual(other.seen, records[other.index].seen.slice(other.from));
    const { length } = other.seen;
    rooms[other.index].broadcast();
    await pump();
    assert.equal(other.seen.length, length, "who has left is told nothing");
  };
  const steps = [
    [30, say],
    [4, () => Array.from({ length: 80 }, say)],
    [4, enter],
    [4, leave],
    [60, () => wire()?.read()],
    [60, () => wire()?.deliver()],
    [40, () => rooms[random.below(2)].handle()],
    [20, () => rooms[random.below(2)].acknowledge()],
    [30, () => rooms[random.below(2)].broadcast()],
    [2, () => rooms[random.below(2)].trim()],
    [5, () => wire()?.isUp && wire().end([1006, 1001, 4100, 4102][random.below(4)])],
    [1, () => wire()?.say("bye", 4100, random.below(3))],
    [1, () => rooms[random.below(2)].move()],
    [1, () => seed % 3 === 0 && rooms[random.below(2)].beginAnew()],
    [1, () => seed % 5 === 0 && rooms[random.below(2)].forget()],
    [20, () => h.clock.advance(random.below(300))],
    [10, settle],
  ];
  const total = steps.reduce((sum, [weight]) => sum + weight, 0);
  for (let i = 0; i < 250; i++) {
    let choice = random.below(total);
    await steps.find(([weight]) => (choice -= weight) < 0)[1]();
  }

  // The faults end, and everything settles.
  for (let i = 0; i < 60 || rooms.some((room) => [...room.members.values()].some((m) => m.mailbox.length)); i++) {
    await h.clock.advance(1000);
    await pump();
    for (const room of rooms) {
      for (let j = 0; j < 200; j++) room.handle();
      room.acknowledge();
    }
    await pump();
  }
  for (const room of rooms) room.broadcast();
  await pump();
  assert.deepEqual(h.errors, []);

  rooms.forEach((room, index) => {
    const [client, record] = [clients[index], records[index]];
    assert.equal(client.status, "joined");
    assert.equal(client.buffered, 0);
    // Client to server: once and in order; unconfirmed messages were announced.
    const handled = room.handled.map(([, data]) => data);
    assert.equal(new Set(handled).size, handled.length, "handled twice");
    const inDoubt = new Set(record.unconfirmed);
    assert.deepEqual(
      handled.filter((data) => !inDoubt.has(data)),
      record.sent.filter((data) => !inDoubt.has(data)),
      "handled once, in order",
    );
    for (const data of record.rejected) assert.ok(inDoubt.has(data));
    for (const { data, answer } of record.calls) {
      if (answer === "replyLost") assert.ok(inDoubt.has(data));
      else assert.equal(answer, `re ${data}`);
    }
    // Server to client: once and in order, without gaps except the announced ones.
    let last = null;
    for (const { epoch, offset, data, lost } of record.seen) {
      if (lost !== undefined) {
        last = { epoch, offset: lost };
        continue;
      }
      assert.equal(data, `${room.id}${epoch}#${offset}`);
      if (last) {
        assert.equal(epoch, last.epoch);
        assert.ok(offset > last.offset, "in order, once");
      }
      last = { epoch, offset };
    }
    const entries = room.log.filter(({ offset, to }) => to === "all" && offset > room.trimmed);
    const lastLoss = record.seen.findLast(({ lost }) => lost !== undefined);
    const from = lastLoss?.epoch === `e${room.epoch}` ? lastLoss.lost : 0;
    const seen = new Set(record.seen.filter(({ epoch }) => epoch === `e${room.epoch}`).map(({ offset }) => offset));
    for (const { offset } of entries) assert.ok(offset <= from || seen.has(offset), `missed ${offset}`);
    if (seed % 3 && seed % 5 && !room.trimmed) assert.equal(lastLoss, undefined, "nothing was lost");
  });
  h.client.close();
  assert.equal(h.clock.pending, 0);
}

test(`random schedules: exactly once, in order, in both directions`, async () => {
  if (process.env.SEED) return schedule(Number(process.env.SEED));
  for (let seed = 1; seed <= SCHEDULES; seed++) {
    try {
      await schedule(seed);
    } catch (error) {
      error.message = `SEED=${seed}: ${error.message}`;
      throw error;
    }
  }
});
