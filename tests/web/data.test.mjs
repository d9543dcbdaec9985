/** Data is checked before its frame gets a number. */

import assert from "node:assert/strict";
import test from "node:test";

import { TxroomError } from "../../txroom/web/txroom.js";
import { Harness, failure, settle } from "./harness.mjs";

const nested = (depth) => Array.from({ length: depth - 1 }).reduce((data) => [data], []);
const circle = { way: [] };
circle.way.push({ back: circle });

/** Data that is refused, the place, and a part of the error. */
const REFUSED = [
  [NaN, "", "NaN"],
  [{ a: [1, Infinity] }, "a[1]", "Infinity"],
  [{ "a b": -Infinity }, "a b", "-Infinity"],
  [new Number(NaN), "", "NaN"],
  [[1n], "[0]", "a BigInt"],
  [{ x: { y: 1e20 } }, "x.y", "64 bits"],
  [2 ** 64, "", "64 bits"],
  [-1e19, "", "64 bits"],
  [{ deep: [new Uint8Array(1)] }, "deep[0]", "bytes"],
  [new ArrayBuffer(1), "", "bytes"],
  [{ then: () => {} }, "", "`await` is missing"],
  [{ a: Promise.resolve() }, "a", "`await` is missing"],
  [{ a: new Map([[1, 2]]) }, "a", "a Map or a Set"],
  [circle, "way[0].back", "contains itself"],
  [nested(65), "[0]".repeat(64), "more than 64 deep"],
];

/** Data that can be sent, and what the server receives. */
const TAKEN = [
  [undefined, null],
  [{ a: undefined, b: [undefined] }, { b: [null] }],
  [nested(64), nested(64)],
  [2 ** 63, 2 ** 63],
  [-(2 ** 63), -(2 ** 63)],
  [1e21, 1e21],
  [0.1, 0.1],
  [new Date(0), "1970-01-01T00:00:00.000Z"],
  [[circle.way.length, [{}, {}], "\\ud83d", "\\\\"], [1, [{}, {}], "\\ud83d", "\\\\"]],
];

test("data that JSON or the server does not have is refused, with its place, and uses no number", async () => {
  const h = new Harness();
  const room = await h.join();
  for (const [data, field, what] of REFUSED) {
    const isRefused = (error) => {
      assert.ok(error instanceof TxroomError);
      assert.deepEqual([error.code, error.details], ["invalidData", { field }]);
      assert.ok(error.message.includes(what), error.message);
      return true;
    };
    assert.throws(() => room.send("x", data), isRefused);
    assert.throws(() => room.send("x", data, { volatile: true }), isRefused);
    isRefused(await failure(room.call("x", data)));
    if (typeof data !== "object" || Array.isArray(data) || data instanceof Number) continue;
    isRefused(await failure(h.client.joinOrCreate("chat", data)));
    isRefused(await failure(h.client.query("chat", data)));
  }
  assert.deepEqual(h.socket.take(), []);
  room.send("x", "next");
  assert.deepEqual(h.socket.take(), [["send", "r1", "x", "next", 1]]);
});

test("data that can be sent", async () => {
  const h = new Harness();
  const room = await h.join();
  const shared = { a: 1 };
  for (const [data, expected] of [...TAKEN, [[shared, shared, { shared }], [shared, shared, { shared }]]]) {
    room.send("x", data);
    assert.deepEqual(h.socket.take()[0][3], expected);
  }
});

test("half a surrogate pair becomes U+FFFD anywhere; whole pairs and escapes do not change", async () => {
  const h = new Harness();
  const room = await h.join();
  const half = "hello 😀".slice(0, 7);
  let raw;
  const { send } = h.socket;
  h.socket.send = function (text) {
    raw = text;
    send.call(this, text);
  };
  const write = (act) => (act(), raw);
  const data = { text: half, [half]: ["\ude00", "😀", "\\ud83d", "\u0007"] };
  room.send("say", data);
  assert.deepEqual(h.socket.take()[0][3], {
    text: "hello \ufffd",
    "hello \ufffd": ["\ufffd", "😀", "\\ud83d", "\u0007"],
  });
  assert.ok(!/[^\\]\\ud/.test(write(() => room.send(half, half))), "no escape of half a pair is left");
  assert.deepEqual(h.socket.take()[0].slice(2), ["hello \ufffd", "hello \ufffd", 2]);
  room.handle("ask", () => half);
  room.handle("refuse", () => {
    throw new TxroomError("no", `${"x".repeat(1023)}😀`);
  });
  h.socket.receive("call", 1, "r1", "ask", null);
  h.socket.receive("call", 2, "r1", "refuse", null);
  await settle();
  assert.deepEqual(h.socket.take(), [
    ["reply", "r1", 1, "hello \ufffd"],
    ["error", "r1", 2, "no", "x".repeat(1023)],
  ]);
  failure(h.client.joinOrCreate("chat", { name: half }));
  await settle();
  assert.deepEqual(h.socket.take()[0][3], { name: "hello \ufffd" });
});

test("an answer over maxPayload is an error for the server, and the connection stays open", async () => {
  const h = new Harness({ maxPayload: 1000 });
  const room = await h.join();
  room.handle("large", () => "x".repeat(1000));
  room.handle("wide", () => "€".repeat(400));
  room.handle("fits", () => "x".repeat(900));
  ["large", "wide", "fits"].forEach((name, index) => h.socket.receive("call", index, "r1", name, null));
  await settle();
  assert.deepEqual(
    h.socket.take().sort((one, other) => one[2] - other[2]).map(([kind, , , code]) => [kind, code.slice(0, 11)]),
    [["error", "invalidData"], ["error", "invalidData"], ["reply", "x".repeat(11)]],
  );
});

test("maxPayload limits volatile messages and the options of a join, too", async () => {
  const h = new Harness({ maxPayload: 1000 });
  const room = await h.join();
  assert.throws(() => room.send("x", "y".repeat(1000), { volatile: true }), { code: "invalidData" });
  assert.equal((await failure(h.client.join("chat", { name: "y".repeat(1000) }))).code, "invalidData");
  assert.deepEqual(h.socket.take(), []);
});

test("options of a join and filters have at most 16 KiB as JSON, credentials included", async () => {
  const options = { a: "ü".repeat(8_188) }; // 16,384 bytes as JSON
  const large = { a: `${options.a}x` };
  const h = new Harness({ auth: undefined });
  for (const refused of [h.client.joinOrCreate("chat", large), h.client.query("chat", large)]) {
    const error = await failure(refused);
    assert.equal(error.code, "invalidData");
    assert.match(error.message, /^(options|filter) must have at most 16384 bytes as JSON$/);
  }
  assert.equal(h.sockets.length, 0);
  const joining = h.client.joinOrCreate("chat", options);
  await settle();
  h.socket.open();
  assert.deepEqual(h.socket.take(), [["join", 2, "chat", options, { state: 1 }]]);
  h.client.close();
  await failure(joining);
  const error = await failure(new Harness({ auth: "secret" }).client.joinOrCreate("chat", options));
  assert.deepEqual([error.code, error.details], ["invalidData", { field: "options" }]);
});

test("names and types have 1 to 128 characters, which may be several code units each", async () => {
  const h = new Harness();
  const room = await h.join();
  room.send("😀".repeat(128));
  assert.equal(h.socket.take().length, 1);
  assert.throws(() => room.send("😀".repeat(129)), { code: "badRequest" });
  for (const method of ["joinOrCreate", "join", "create", "joinById"]) {
    for (const name of [undefined, "", 7, {}, "x".repeat(129)]) {
      const error = await failure(h.client[method](name));
      assert.equal(error.code, "badRequest");
      assert.match(error.message, new RegExp(`^the (name|id) for ${method} must be a string`));
    }
    for (const options of ["ada", 7, null, []]) {
      assert.equal((await failure(h.client[method]("chat", options))).code, "badRequest");
    }
  }
  assert.match((await failure(h.client.joinOrCreate())).message, /not undefined$/);
  assert.deepEqual(h.socket.take(), []);
});
