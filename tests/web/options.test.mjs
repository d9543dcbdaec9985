/** The options of a client are checked when it is made. */

import assert from "node:assert/strict";
import test from "node:test";

import { Client, DEFAULTS, mayReconnect } from "../../txroom/web/txroom.js";
import { Harness, failure } from "./harness.mjs";

const make = (options) => new Client("ws://h", { WebSocket: class {}, ...options });
const TIMES = [
  ...["connectTimeout", "requestTimeout", "callTimeout", "leaveTimeout", "pingInterval", "pingTimeout"],
  ...["probeTimeout", "minDelay", "maxDelay", "stableAfter"],
];

test("a wrong value is an error that names the option, the value and what is allowed", () => {
  const wrong = [
    ...TIMES.flatMap((name) => [Infinity, NaN, -1, "1s", "10", null, {}, 2 ** 31].map((value) => [name, value])),
    ["connectTimeout", 0],
    ...[0, 65, 100, 1.5, "8"].map((value) => ["window", value]),
    ...[-1, 1.5, Infinity, "8"].map((value) => ["maxBuffered", value]),
    ...[0, -1, "1 MiB"].map((value) => ["maxPayload", value]),
    ...[-1, 1.5, NaN, "8", null].map((value) => ["maxAttempts", value]),
    ...[0, 1, "true"].map((value) => ["rejoin", value]),
    ...[{}, 1].map((value) => ["events", value]),
    ...[{}, null, { now: 1 }].map((value) => ["clock", value]),
    ["random", 0.5],
    ["WebSocket", "ws"],
  ];
  for (const [name, value] of wrong) {
    assert.throws(() => make({ [name]: value }), (error) => {
      assert.ok(error instanceof TypeError);
      assert.match(error.message, new RegExp(`^the option ${name} must be .+, not .+`), error.message);
      return true;
    });
  }
  assert.throws(() => make({ window: 100 }), /the option window must be a whole number from 1 to 64, not 100/);
  assert.throws(() => make({ minDelay: "1s" }), /minDelay must be a number of milliseconds from 0 to 2147483647, not "1s"/);
});

test("right values are taken, and undefined is the default", () => {
  for (const name of TIMES) assert.equal(make({ [name]: 2 ** 31 - 1 }).options[name], 2 ** 31 - 1);
  for (const name of TIMES.slice(1)) assert.equal(make({ [name]: 0 }).options[name], 0);
  const odd = { maxAttempts: Infinity, events: null, rejoin: false, window: 1, maxBuffered: 0 };
  assert.equal(make(odd).options.maxAttempts, Infinity);
  const all = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, undefined]));
  assert.deepEqual(make({ ...all, WebSocket: class {} }).options.callTimeout, DEFAULTS.callTimeout);
});

test("the times for call and reconnect are checked too", async () => {
  const h = new Harness();
  const room = await h.join();
  for (const timeout of [Infinity, NaN, -1, "1s"]) {
    assert.match((await failure(room.call("x", null, { timeout }))).message, /^the timeout must be a number of milliseconds/);
    assert.throws(() => h.client.reconnect(timeout), /^TypeError: the delay must be a number of milliseconds/);
  }
  assert.deepEqual(h.socket.take(), []);
});

test("a server's retryAfter is limited to an hour, since a longer timer would fire at once", async () => {
  for (const retryAfter of [3_600, 2_147_484, 1e300]) {
    const h = new Harness({ random: () => 1, maxDelay: 2 ** 31 - 1 });
    await h.join();
    const delays = [];
    const { setTimeout } = h.clock;
    h.client.options.clock.setTimeout = (callback, delay) => {
      delays.push(delay);
      return setTimeout(callback, delay);
    };
    h.socket.receive("bye", 4100, retryAfter);
    h.socket.end(4100);
    assert.ok(delays.length && delays.every((delay) => delay <= 2 ** 31 - 1), String(delays));
    assert.equal(delays[0], 3_600_000 * 1.2 + 250);
    h.client.close();
  }
});

test("which close codes are final; 1008 for a message that was too slow is not", () => {
  assert.equal(mayReconnect(1008), false);
  assert.equal(mayReconnect(1008, "too many messages"), false);
  assert.equal(mayReconnect(1008, "message not complete in time"), true);
  assert.equal(mayReconnect(1008, "message timeout"), true);
  assert.equal(mayReconnect(4010, "message not complete in time"), false);
});

test("options instead of the URL, and other wrong URLs, are refused", () => {
  for (const [url, said] of [[{ auth: "t-1" }, "an object"], [null, "null"], [["/rooms"], "an array"], [8080, "8080"]]) {
    assert.throws(() => new Client(url, { WebSocket: class {} }), {
      name: "TypeError",
      message: `the URL must be a string, not ${said}; pass options as the second argument`,
    });
  }
  assert.equal(new Client(new URL("ws://host/play"), { WebSocket: class {} }).url, "ws://host/play");
});

test("options and filters must be objects; the error says what was passed", async () => {
  const h = new Harness();
  const refused = async (joining) => (await failure(joining)).message;
  assert.equal(await refused(h.client.join("chat", "ada")), 'options must be an object, not "ada"');
  assert.equal(await refused(h.client.join("chat", ["ada"])), "options must be an object, not an array");
  assert.equal(await refused(h.client.query("chat", "blitz")), 'filter must be an object, not "blitz"');
});

test("an incomplete URL is refused, and the error has an example", () => {
  for (const url of ["/rooms", "rooms", undefined]) {
    assert.throws(
      () => new Client(url, { WebSocket: class {} }),
      /^TypeError: "\/?rooms" is not a complete URL, and there is no page that it could be relative to: write one such as/,
    );
  }
});
