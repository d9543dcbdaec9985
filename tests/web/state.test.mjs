/** The state of a room: what the client makes of the server's data, and how it stays up to date. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { CloseCode } from "../../txroom/web/txroom.js";
import { Harness, failure, settle } from "./harness.mjs";

const [ROWS, WIDE, MAKE, PUT, GONE, SPLICE, EMPTY, REMOVED, FULL, HASH] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/** The types of the states in these tests: a game with players, scores, and who is on turn. */
const SCHEMA = [
  ["object", "Game", [["players", 1], ["scores", 3], ["turn", 2, true], ["over", "bool"]]],
  ["map", 2],
  ["object", "Player", [["name", "str"], ["x", "float32"], ["hp", "int"], ["note", ["optional", "str"]]]],
  ["list", "int"],
];

const number = (value) => {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return [...bytes, value];
};
const text = (value) => [...number(Buffer.byteLength(value)), ...Buffer.from(value)];
const integer = (value) => {
  const bytes = [];
  let rest = BigInt(value) < 0n ? -BigInt(value) * 2n - 1n : BigInt(value) * 2n;
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) + 128);
  return [...bytes, Number(rest)];
};
const word = (value) => [value & 255, value >> 8];
const float = (value) => [...new Uint8Array(new Float32Array([value]).buffer)];
const base64 = (...bytes) => Buffer.from(bytes.flat(Infinity)).toString("base64");

const player = (id, { name = "", x = 0, hp = 100, note = null }) => [
  word(id),
  text(name),
  float(x),
  integer(hp),
  note === null ? 0 : [1, text(note)],
];
/** The whole state: the players by their keys, with numbers from 3 on. */
const full = (players, { scores = [], over = false } = {}) => {
  const entries = Object.entries(players);
  return base64(
    FULL,
    [MAKE, 0, 0, 1, MAKE, 1, 1, 1, MAKE, 3, 2, 1],
    entries.length ? [MAKE, 2, 3, entries.length] : [],
    [ROWS, 0, 0b1011, 0, 1, word(0), 2, 3, over ? 1 : 0],
    entries.length ? [ROWS, 2, 15, 0, entries.length, entries.map(([, one], at) => player(3 + at, one))] : [],
    entries.length ? [PUT, 1, entries.length, entries.map(([key], at) => [text(key), number(4 + at)])] : [],
    scores.length ? [SPLICE, 2, 0, 0, scores.length, scores.map(integer)] : [],
  );
};
const ADA = { name: "Ada", x: 1.5, hp: -7 };

/** A room that was joined with a state; `room.changes` has what each event "state" told. */
async function joined(h, data = full({ ada: ADA }), version = 7, more = {}) {
  const joining = h.client.joinOrCreate("chat");
  await settle();
  h.socket.open();
  const [join] = h.socket.take();
  h.socket.receive("joined", join[1], "r1", h.membership({ schema: SCHEMA, stateVersion: version, ...more }));
  h.socket.receive("state", "r1", version, data);
  const room = await joining;
  room.changes = [];
  room.log = [];
  room.on("state", (changes) => room.changes.push(changes));
  for (const name of ["reconnecting", "recovered", "lost"]) room.on(name, () => room.log.push(name));
  await h.clock.advance(0);
  return room;
}

/** The changes as texts. */
const told = (room) =>
  room.changes.splice(0).map((changes) =>
    changes.map(({ target, key, value, former }) => {
      const name = target instanceof Map ? "map" : Array.isArray(target) ? "list" : target.name ?? "game";
      const plain = (one) => (typeof one === "object" && one !== null && !Array.isArray(one) ? "an object" : one);
      return [name, key, plain(former), plain(value)];
    }),
  );

test("a join has the state when it has succeeded", async () => {
  const h = new Harness();
  const joining = h.client.joinOrCreate("chat");
  let isJoined = false;
  joining.then(() => (isJoined = true));
  await settle();
  h.socket.open();
  const [join] = h.socket.take();
  assert.deepEqual(join.at(-1), { state: 1 });
  h.socket.receive("joined", join[1], "r1", h.membership({ schema: SCHEMA, stateVersion: 7 }));
  await settle();
  assert.equal(isJoined, false);
  await h.clock.advance(10);
  h.socket.receive("state", "r1", 7, full({ ada: { ...ADA, note: "é" } }, { scores: [1, -(2 ** 53 - 1), 2 ** 53 - 1] }));
  h.socket.receive("msg", "r1", 1, "n", 1);
  const room = await joining;
  assert.deepEqual(room.state, {
    players: new Map([["ada", { name: "Ada", x: 1.5, hp: -7, note: "é" }]]),
    scores: [1, -(2 ** 53 - 1), 2 ** 53 - 1],
    turn: null,
    over: false,
  });
  assert.deepEqual([room.stateVersion, room.stateTime], [7, 10]);
  const seen = [];
  room.on("n", (data) => seen.push(data));
  await h.clock.advance(0);
  assert.deepEqual(seen, [1], "messages wait until the listeners are there");
});

test("a room without state, and one that the client has not asked", async () => {
  const h = new Harness();
  const room = await h.join();
  assert.deepEqual([room.state, room.stateVersion], [null, null]);
  h.socket.receive("state", "r1", 1, full({}));
  assert.match(h.errors[0].message, /a state that the client has not asked for/);
  assert.equal(h.socket.closed.code, CloseCode.misuse);
});

test("the first event has all that there is, the next ones what has changed", async () => {
  const h = new Harness();
  const room = await joined(h, full({ ada: ADA }, { scores: [1] }));
  assert.deepEqual(told(room), [
    [
      ["game", "players", undefined, "an object"],
      ["map", "ada", undefined, "an object"],
      ["Ada", "name", undefined, "Ada"],
      ["Ada", "x", undefined, 1.5],
      ["Ada", "hp", undefined, -7],
      ["Ada", "note", undefined, null],
      ["game", "scores", undefined, [1]],
      ["list", 0, [], [1]],
      ["game", "turn", undefined, null],
      ["game", "over", undefined, false],
    ],
  ]);
  const { players, scores } = room.state;
  const ada = players.get("ada");
  await h.clock.advance(50);
  const bob = [MAKE, 2, 4, 1, ROWS, 2, 15, 0, 1, player(4, { name: "Bob" }), PUT, 1, 1, text("bob"), 5];
  h.socket.receive("patch", "r1", 7, 8, base64(ROWS, 2, 0b10, 0, 1, word(3), float(2.5), bob, SPLICE, 2, 1, 0, 2, [4, 6]));
  assert.deepEqual(told(room), [
    [
      ["map", "bob", undefined, "an object"],
      ["list", 1, [], [2, 3]],
      ["Ada", "x", 1.5, 2.5],
      ["Bob", "name", undefined, "Bob"],
      ["Bob", "x", undefined, 0],
      ["Bob", "hp", undefined, 100],
      ["Bob", "note", undefined, null],
    ],
  ]);
  assert.deepEqual([room.stateVersion, room.stateTime, scores], [8, 50, [1, 2, 3]]);
  // The turn of Ada, which only she sees; then Bob leaves, and the scores begin anew.
  h.socket.receive("patch", "r1", 8, 9, base64(WIDE, 0, 0b100, 0, 1, 0, 0, 0, 0, 4));
  assert.deepEqual(told(room), [[["game", "turn", null, "an object"]]]);
  h.socket.receive("patch", "r1", 9, 12, base64(GONE, 1, 1, text("bob"), REMOVED, 1, 4, EMPTY, 2, SPLICE, 2, 0, 0, 1, 2, HASH, 1, 2, 3, 4));
  assert.deepEqual(told(room), [[["map", "bob", "an object", undefined], ["list", 0, [1, 2, 3], []], ["list", 0, [], [1]]]]);
  assert.ok(room.state.turn === ada && room.state.players === players && room.state.scores === scores);
  h.socket.receive("patch", "r1", 11, 12, base64(GONE, 1, 1, text("ada")));
  assert.deepEqual([told(room), players.size], [[], 1], "it has this patch already");
  assert.deepEqual(h.errors, []);
});

test("a second room object of the membership has the state too", async () => {
  const h = new Harness();
  const room = await joined(h);
  const two = await h.client.joinById("r1");
  two.changes = [];
  two.on("state", (changes) => two.changes.push(changes));
  await h.clock.advance(0);
  assert.equal(told(two)[0].length, 9);
  assert.equal(two.state, room.state);
  told(room);
  h.socket.receive("patch", "r1", 7, 8, base64(ROWS, 2, 0b10, 0, 1, word(3), float(2)));
  assert.deepEqual(told(two), told(room));
});

test("a client that was away resumes with its version, and gets what it has missed", async () => {
  const h = new Harness();
  const room = await joined(h);
  const { state } = room;
  told(room);
  const [resume] = await h.reconnect();
  assert.deepEqual(resume.at(-1), { state: 1, stateVersion: 7 });
  h.resumed(resume, { stateVersion: 11 });
  h.socket.receive("patch", "r1", 7, 11, base64(ROWS, 2, 0b100, 0, 1, word(3), integer(-8)));
  assert.deepEqual([room.log, told(room)], [["reconnecting", "recovered"], [[["Ada", "hp", -7, -8]]]]);
  assert.deepEqual([room.state === state, room.stateVersion], [true, 11]);
});

test("a state that replaces another keeps what has the same place, and tells the differences only", async () => {
  const h = new Harness();
  const room = await joined(h, full({ ada: ADA, bob: { name: "Bob" } }, { scores: [1, 2] }));
  const { state } = room;
  const ada = state.players.get("ada");
  told(room);
  const [resume] = await h.reconnect();
  // Another program serves the room now: its numbers and versions are others.
  h.resumed(resume, { schema: SCHEMA, stateVersion: 3 });
  assert.equal(room.state, state);
  h.socket.receive("state", "r1", 3, full({ cleo: { name: "Cleo" }, ada: { ...ADA, hp: 5 } }, { scores: [2] }));
  assert.deepEqual(told(room), [
    [
      ["map", "bob", "an object", undefined],
      ["map", "cleo", undefined, "an object"],
      ["Cleo", "name", undefined, "Cleo"],
      ["Cleo", "x", undefined, 0],
      ["Cleo", "hp", undefined, 100],
      ["Cleo", "note", undefined, null],
      ["Ada", "hp", -7, 5],
      ["list", 0, [1, 2], [2]],
    ],
  ]);
  assert.ok(room.state === state && state.players.get("ada") === ada);
  assert.equal(ada.hp, 5);
  h.socket.receive("patch", "r1", 3, 4, base64(ROWS, 2, 0b100, 0, 1, word(4), integer(6)));
  assert.deepEqual([ada.hp, room.stateVersion], [6, 4], "the next patch finds the same object");
  h.socket.receive("state", "r1", 9, full({ ada: { ...ADA, hp: 6 }, cleo: { name: "Cleo" } }, { scores: [2] }));
  assert.deepEqual(told(room), [[["Ada", "hp", 5, 6]]]);
});

test("a field that the class of the server has no more is gone", async () => {
  const h = new Harness();
  const room = await joined(h);
  const { state } = room;
  const ada = state.players.get("ada");
  told(room);
  const [resume] = await h.reconnect();
  const schema = [
    ["object", "Game", [["players", 1], ["level", "uint8"]]],
    ["map", 2],
    ["object", "Player", [["name", "str"], ["hp", "int"]]],
  ];
  h.resumed(resume, { schema, stateVersion: 3 });
  const game = [MAKE, 0, 0, 1, MAKE, 1, 1, 1, MAKE, 2, 2, 1, ROWS, 0, 0b11, 0, 1, word(0), 2, 5];
  const players = [ROWS, 2, 0b11, 0, 1, word(2), text("Ada"), integer(-7), PUT, 1, 1, text("ada"), 3];
  h.socket.receive("state", "r1", 3, base64(FULL, game, players));
  assert.deepEqual(state, { players: new Map([["ada", { name: "Ada", hp: -7 }]]), level: 5 });
  assert.ok(room.state === state && state.players.get("ada") === ada);
  assert.deepEqual(told(room), [
    [
      ["game", "scores", [], undefined],
      ["game", "turn", null, undefined],
      ["game", "over", false, undefined],
      ["Ada", "x", 1.5, undefined],
      ["Ada", "note", null, undefined],
      ["game", "level", undefined, 5],
    ],
  ]);
  h.socket.receive("state", "r1", 4, base64(FULL, game, players));
  assert.deepEqual(told(room), [], "what has gone is told once");
  h.socket.receive("patch", "r1", 4, 5, base64(ROWS, 2, 0b10, 0, 1, word(2), integer(8)));
  assert.deepEqual(ada, { name: "Ada", hp: 8 });
});

test("an item of a list that has another class now has the fields of that", async () => {
  const h = new Harness();
  const joining = h.client.joinOrCreate("chat");
  await settle();
  h.socket.open();
  const schema = [
    ["object", "Game", [["shapes", 1]]],
    ["list", 2],
    ["object", "Shape", [["name", "str"]]],
    ["object", "Circle", [["name", "str"], ["radius", "uint8"]]],
    ["object", "Square", [["name", "str"], ["side", "uint8"]]],
  ];
  h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership({ schema, stateVersion: 1 }));
  const full = (cls, name, size) => {
    const made = [MAKE, 0, 0, 1, MAKE, 1, 1, 1, MAKE, cls, 2, 1];
    return base64(FULL, made, ROWS, 0, 1, 0, 1, word(0), 2, ROWS, cls, 3, 0, 1, word(2), text(name), size, SPLICE, 1, 0, 0, 1, 3);
  };
  h.socket.receive("state", "r1", 1, full(3, "round", 5));
  const room = await joining;
  assert.deepEqual(room.state, { shapes: [{ name: "round", radius: 5 }] });
  h.socket.receive("state", "r1", 2, full(4, "even", 7));
  assert.deepEqual(room.state, { shapes: [{ name: "even", side: 7 }] });
  assert.deepEqual(Object.keys(room.state.shapes[0]), ["name", "side"]);
  h.socket.receive("patch", "r1", 2, 3, base64(ROWS, 4, 2, 0, 1, word(2), 8));
  assert.deepEqual(room.state, { shapes: [{ name: "even", side: 8 }] });
  assert.deepEqual(h.errors, []);
});

test("another join that is answered without a state keeps the state, and patches go on", async () => {
  const h = new Harness();
  const room = await joined(h);
  const { state } = room;
  const again = h.client.joinOrCreate("chat");
  await settle();
  h.socket.receive("joined", h.socket.take().at(-1)[1], "r1", h.membership({ stateVersion: 9, recovered: true }));
  const two = await again;
  assert.ok(room.state === state && two.state === state);
  assert.equal(two.stateVersion, 7);
  h.socket.receive("patch", "r1", 7, 9, base64(ROWS, 2, 0b10, 0, 1, word(3), float(2)));
  assert.deepEqual([state.players.get("ada").x, two.stateVersion, room.status, h.errors], [2, 9, "joined", []]);
});

test("numbers have up to 53 bits", async () => {
  const h = new Harness();
  const room = await joined(h);
  const high = 2 ** 53 - 2;
  const made = [MAKE, 2, number(high), 1, ROWS, 2, 15, number(high), 1, player(0, { name: "Eve" })];
  h.socket.receive("patch", "r1", 7, 8, base64(made, PUT, 1, 1, text("eve"), number(high + 1)));
  assert.deepEqual([room.state.players.get("eve").name, h.errors], ["Eve", []]);
  h.socket.receive("patch", "r1", 8, 9, base64(REMOVED, 1, Array(8).fill(255), 1));
  assert.match(h.errors[0].message, /malformed/);
});

test("a client that misses a patch resumes with the version that it has", async () => {
  const h = new Harness();
  const room = await joined(h);
  h.socket.receive("patch", "r1", 8, 9, base64(GONE, 1, 1, text("ada")));
  assert.deepEqual([room.status, room.state.players.size], ["away", 1]);
  h.socket.receive("patch", "r1", 9, 10, base64(GONE, 1, 1, text("ada")));
  await h.clock.advance(250);
  const [resume] = h.socket.take();
  assert.deepEqual([resume[0], resume.at(-1)], ["resume", { state: 1, stateVersion: 7 }]);
  h.socket.receive("left", "r1", CloseCode.replaced, "");
  h.resumed(resume, { stateVersion: 10 });
  h.socket.receive("patch", "r1", 7, 10, base64(GONE, 1, 1, text("ada"), REMOVED, 1, 3));
  assert.deepEqual([room.log, room.state.players.size], [["reconnecting", "recovered"], 0]);
  assert.deepEqual([h.errors, h.sockets.length], [[], 1]);
});

test("after malformed data the client asks for the whole state", async () => {
  const h = new Harness();
  const room = await joined(h);
  h.socket.receive("patch", "r1", 7, 8, base64(ROWS, 2, 0b10, 0, 1, word(9), float(2)));
  assert.match(h.errors[0].message, /a part that the state does not have/);
  assert.equal(h.socket.closed.code, CloseCode.misuse);
  await h.nextSocket();
  h.socket.open();
  const [resume] = h.socket.take();
  assert.deepEqual(resume.at(-1), { state: 1, stateVersion: null });
  h.resumed(resume, { schema: SCHEMA, stateVersion: 8 });
  h.socket.receive("state", "r1", 8, full({ ada: ADA }));
  assert.deepEqual([room.log, room.stateVersion], [["reconnecting", "recovered"], 8]);
});

test("data that is malformed in any way is refused, and costs no more than it is long", async () => {
  const cases = [
    "?",
    base64(FULL),
    base64(MAKE, 0, 0, 1),
    base64(FULL, MAKE, 9, 0, 1),
    base64(FULL, MAKE, 0, 0, number(2 ** 40)),
    base64(FULL, MAKE, 0, 0, Array(12).fill(255)),
    base64(FULL, MAKE, 0, 0, 1, 99),
    base64(FULL, MAKE, 0, 0, 1, PUT, 0, 1, text("x"), 1),
    base64(FULL, MAKE, 1, 0, 1, ROWS, 0, 1, 0, 1, word(0), 1),
    base64(FULL, MAKE, 3, 0, 1, SPLICE, 0, 1, 0, 0),
    base64(FULL, MAKE, 0, 0, 1, ROWS, 0, 1, 0, 1, word(0), 1), // the game is one of its own players
    base64(FULL, MAKE, 0, 0, 1, MAKE, 1, 1, 1, PUT, 1, 1, 200, 1),
  ];
  for (const data of cases) {
    const h = new Harness();
    const joining = failure(h.client.joinOrCreate("chat"));
    await settle();
    h.socket.open();
    h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership({ schema: SCHEMA, stateVersion: 7 }));
    h.socket.receive("state", "r1", 7, data);
    assert.equal((await joining).code, "unavailable", data);
    assert.equal(h.socket.closed.code, CloseCode.misuse, data);
    h.client.close();
  }
  for (const schema of ["x", [["object", "Game", [["x", "wxyz"]]]], [["object", "Game", [["x", 3, true]]]], [["map"]]]) {
    const h = new Harness();
    const joining = failure(h.client.joinOrCreate("chat"));
    await settle();
    h.socket.open();
    h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership({ schema, stateVersion: 7 }));
    assert.equal((await joining).code, "unavailable", JSON.stringify(schema));
    h.client.close();
  }
});

test("any change of valid data is either another state or refused", async () => {
  let seed = 1;
  const random = (limit) => (seed = (seed * 48271) % 2147483647) % limit;
  const valid = Buffer.from(full({ ada: ADA, bob: { name: "Bob", note: "x" } }, { scores: [1, 2, 3] }), "base64");
  const h = new Harness({ random: () => 0, maxDelay: 0, minDelay: 0 });
  await joined(h);
  for (let round = 0; round < 500; round++) {
    const bytes = Buffer.from(valid.subarray(0, random(4) ? valid.length : random(valid.length)));
    for (let count = random(3); count >= 0; count--) bytes[random(bytes.length || 1)] = random(256);
    h.socket.receive("state", "r1", 7, bytes.toString("base64"));
    if (!h.socket.closed) continue;
    await h.nextSocket();
    h.socket.open();
    const resume = h.socket.take().find(([kind]) => kind === "resume");
    h.resumed(resume, { schema: SCHEMA, stateVersion: 7 });
  }
  h.socket.receive("state", "r1", 7, valid.toString("base64"));
  assert.deepEqual([...h.client.joined[0].state.players.keys()], ["ada", "bob"]);
});

test("a join fails if the connection is lost before the state has arrived", async () => {
  const h = new Harness();
  const joining = failure(h.client.joinOrCreate("chat"));
  await settle();
  h.socket.open();
  h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership({ schema: SCHEMA, stateVersion: 7 }));
  await settle();
  h.socket.end(1006);
  assert.equal((await joining).code, "unavailable");
  await h.clock.advance(5000);
  assert.deepEqual(h.client.joined, []);
  h.client.close();
});

test("a join fails if the room ends before the state has arrived", async () => {
  const h = new Harness();
  const joining = failure(h.client.joinOrCreate("chat"));
  await settle();
  h.socket.open();
  h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership({ schema: SCHEMA, stateVersion: 7 }));
  h.socket.receive("left", "r1", CloseCode.roomClosed, "over");
  assert.equal((await joining).code, "roomGone");
  assert.deepEqual(h.client.joined, []);
});

test("which of the messages sent the state has the effects of", async () => {
  const h = new Harness({ window: 2 });
  const room = await joined(h);
  for (let n = 1; n <= 4; n++) {
    room.send("move", n);
    assert.equal(room.sent, n);
  }
  room.send("look", 0, { volatile: true });
  const handled = [];
  room.on("state", () => handled.push(room.handled));
  h.socket.receive("ack", "r1", 2);
  h.socket.receive("patch", "r1", 7, 8, base64(ROWS, 2, 0b10, 0, 1, word(3), float(2)));
  h.socket.receive("patch", "r1", 8, 9, base64(ROWS, 2, 0b10, 0, 1, word(3), float(3)));
  h.socket.receive("ack", "r1", 3);
  assert.deepEqual([handled, room.handled, room.sent], [[2, 2], 3, 4]);
});

test("the page that resumes for another one asks for the state", async () => {
  const h = new Harness();
  const room = await joined(h);
  const next = new Harness();
  const resuming = next.client.resume(room.reconnectionToken);
  next.socket.open();
  const [resume] = next.socket.take();
  assert.deepEqual(resume.at(-1), { state: 1 });
  next.resumed(resume, { schema: SCHEMA, stateVersion: 7 });
  next.socket.receive("state", "r1", 7, full({ ada: ADA }));
  assert.equal((await resuming).state.players.get("ada").name, "Ada");
});

test("the recorded states, for clients with and without a view", async () => {
  const { schema, steps } = JSON.parse(readFileSync(new URL("../vectors/state-v1.json", import.meta.url), "utf-8"));
  /** A recorded state as the client has it. @returns {any} */
  const expected = (value) => {
    if (typeof value !== "object" || value === null) return value;
    const [kind, content] = Object.entries(value).find(([key]) => key !== "object");
    if (kind === "list") return content.map(expected);
    const entries = Object.entries(content).map(([key, item]) => [key, expected(item)]);
    return kind === "map" ? new Map(entries) : Object.fromEntries(entries);
  };
  const texts = (value) => {
    if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, texts(item)]));
    if (Array.isArray(value)) return value.map(texts);
    if (typeof value === "object" && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, texts(item)]));
    }
    const isLarge = typeof value === "bigint" && (value > 2n ** 53n || value < -(2n ** 53n));
    return isLarge ? String(value) : typeof value === "bigint" ? Number(value) : value;
  };
  for (const who of ["shared", "view"]) {
    for (const [at, step] of steps.entries()) {
      const h = new Harness();
      const parts = [...steps.slice(1, (step.since ?? at - 1) + 1), step].map((each) => Buffer.from(each[who].data, "hex"));
      const joining = h.client.joinOrCreate("chat");
      await settle();
      h.socket.open();
      h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership({ schema, stateVersion: 0 }));
      h.socket.receive("state", "r1", 0, Buffer.from(steps[0][who].data, "hex").toString("base64"));
      const room = await joining;
      if (at > 0) parts.forEach((data, n) => h.socket.receive("patch", "r1", n, n + 1, data.toString("base64")));
      assert.deepEqual(texts(room.state), expected(step[who].state), step.about);
      assert.deepEqual(h.errors, []);
      h.client.close();
    }
  }
});
