/** The parts of the operators' page that need no browser: how figures are written, and rates from counters. */

import assert from "node:assert/strict";
import test from "node:test";

import { amount, bytes, moment, ms, percent, plural, reason, span } from "../../txroom/admin/web/format.js";
import { Series, WINDOW } from "../../txroom/admin/web/plot.js";
import { Rates } from "../../txroom/admin/web/rates.js";
import { describe } from "../../txroom/admin/web/room.js";
import { isOpenAtFirst, linesOf, Throttle } from "../../txroom/admin/web/statetree.js";

test("figures have as many digits as are of use", () => {
  for (const [format, value, text] of [
    [amount, 0, "0"],
    [amount, 0.42, "0.4"],
    [amount, 12.4, "12"],
    [amount, 2345, "2,345"],
    [amount, 12_345, "12.3 k"],
    [amount, 2_500_000, "2.5 M"],
    [amount, undefined, "–"],
    [bytes, 999, "999 B"],
    [bytes, 1_500, "1.5 KB"],
    [bytes, 250_000_000, "250 MB"],
    [bytes, null, "–"],
    [ms, 0.42, "0.4 ms"],
    [ms, 128.4, "128 ms"],
    [ms, 12_000, "12 s"],
    [span, 7.9, "7 s"],
    [span, 61, "1 min 1 s"],
    [span, 3600, "1 h 0 min"],
    [span, 90_000, "1 d 1 h"],
    [percent, 0.012, "1.2 %"],
    [percent, 0.98, "98 %"],
  ]) {
    assert.equal(format(value), text);
  }
  assert.deepEqual([plural(1, "room"), plural(0, "room"), plural(2, "entry", "entries")], ["1 room", "0 rooms", "2 entries"]);
  assert.match(moment(0), /^19\d\d-\d\d-\d\d \d\d:\d\d:\d\d$/);
  assert.match(moment(Date.now() / 1000), /^\d\d:\d\d:\d\d$/);
});

test("errors are told in words, with the field that is wrong", () => {
  assert.equal(reason({ code: "badRequest", message: "is too long", details: { field: "reason" } }), "reason: is too long");
  assert.equal(reason({ code: "internal", message: "internal" }), "The server had an error; its log says more.");
  assert.equal(reason({ code: "internal", message: "KeyError: 'x'" }), "The server had an error; its log says more. (KeyError: 'x')");
  assert.equal(reason({ code: "ownCode", message: "no coins" }), "no coins");
  assert.match(reason({ code: "noSuchRoom", message: "" }), /^There is no such room/);
  assert.equal(reason(new Error("text")), "text");
});

test("values older than the window are forgotten", () => {
  const series = new Series();
  for (let at = 0; at <= 2 * WINDOW; at += 1) series.add(at, at);
  assert.equal(series.points.length, WINDOW + 1);
  assert.equal(series.last, 2 * WINDOW);
});

const node = (id, uptime, messagesSent, more = {}) => ({
  node: id, uptime, messagesSent, messagesReceived: 0, bytesSent: 0, bytesReceived: 0, cpuSeconds: uptime / 10,
  connections: 5, rooms: 2, members: 3, rss: 100, lagP99: 1, ...more,
});

test("rates are differences of counters, and begin anew with a node", () => {
  const rates = new Rates();
  let told = 0;
  rates.listen(() => (told += 1));
  rates.take({ nodes: [node("a", 10, 1000)], unanswered: ["c"] });
  assert.deepEqual([rates.totals.messagesSent, rates.unanswered, told], [NaN, ["c"], 1]);
  rates._before.get("a").at -= 2;
  rates.take({ nodes: [node("a", 12, 1100), node("b", 3, 7, { lagP99: 9 })] });
  assert.equal(rates.nodes[0].rates.messagesSent, 50);
  assert.ok(Math.abs(rates.nodes[0].rates.cpuSeconds - 0.1) < 1e-9);
  assert.deepEqual([rates.totals.connections, rates.totals.rooms, rates.totals.rss, rates.totals.lag], [10, 4, 200, 9]);
  assert.equal(rates.totals.messagesSent, 50); // of those whose rate is known
  rates._before.get("a").at -= 2;
  rates.take({ nodes: [node("a", 1, 5)] });
  assert.equal(rates.nodes[0].rates.messagesSent, undefined);
  assert.equal(rates.series.messagesSent.last, 50);
  assert.equal(rates._before.size, 1);
});

test("a member is described by its meta, and its id is not told twice", () => {
  for (const [userId, meta, text] of [
    ["ada", { level: 7 }, 'm1 {"level":7}'],
    ["ada", {}, "m1"],
    ["m1", { level: 7 }, '{"level":7}'],
    ["m1", {}, ""],
  ]) assert.equal(describe({ member: "m1", userId, meta }), text);
});

const state = {
  players: new Map([["ada", { name: "Ada", hand: [3, 4], best: null }], ["<b>", { name: "x", hand: [], best: { rank: 9n } }]]),
  round: 1,
  words: [],
  notes: new Map(),
  text: "a\nb",
};

/** The lines as they look, with what is closed and open. */
function drawn(value, isOpen = (_, depth, size) => isOpenAtFirst(depth, size), most = undefined) {
  const { lines, more } = linesOf(value, isOpen, most);
  const signs = new Map([[null, " "], [false, "+"], [true, "-"]]);
  return [...lines.map((line) => `${"  ".repeat(line.depth)}${signs.get(line.isOpen)}${line.key}: ${line.text}`), ...(more ? [`${more} more`] : [])];
}

test("a state is a tree of lines, with its Maps, arrays, objects and values", () => {
  assert.deepEqual(drawn(state), [
    "-players: 2 entries",
    "  -ada: ",
    '     name: "Ada"',
    "    +hand: 2 items",
    "     best: null",
    "  -<b>: ",
    '     name: "x"',
    "     hand: []",
    "    +best: rank: 9",
    " round: 1",
    " words: []",
    " notes: {}",
    ' text: "a\\nb"',
  ]);
  assert.deepEqual(drawn(state, () => false).slice(0, 2), ["+players: 2 entries", " round: 1"]);
  assert.deepEqual(drawn(state, (path) => path === "\0players").slice(1, 3), ['  +ada: name: "Ada", hand: …, best: null', '  +<b>: name: "x", hand: [], best: …']);
  for (const none of [null, {}]) assert.deepEqual(linesOf(none, () => true), { lines: [], more: 0 });
});

test("a large state has so many lines, and the number of the others", () => {
  const large = { cells: Array.from({ length: 30_000 }, (_, index) => ({ index })), last: "x".repeat(10_000) };
  assert.deepEqual(drawn(large)[0], "+cells: 30000 items".replace("30000", "30,000"));
  assert.ok(drawn(large)[1].length < 300);
  const { lines, more } = linesOf(large, () => true);
  assert.deepEqual([lines.length, more], [200, 1 + 60_000 + 1 - 200]);
  assert.equal(new Set(lines.map(({ path }) => path)).size, 200);
  assert.deepEqual(drawn({ a: 1, b: [1, 2] }, () => true, 2), [" a: 1", "-b: 2 items", "2 more"]);
});

test("changes are shown at once, then at most twice a second, and not while the page is hidden", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = Object.assign(new EventTarget(), { hidden: false });
  let shown = 0;
  const changes = new Throttle(() => (shown += 1), page);
  const after = (ms) => {
    t.mock.timers.tick(ms);
    return shown;
  };
  changes.ask();
  assert.equal(shown, 1);
  for (let each = 0; each < 10; each += 1) changes.ask();
  assert.deepEqual([shown, after(499), after(1), after(5000)], [1, 1, 2, 2]);
  page.hidden = true;
  changes.ask();
  assert.equal(after(5000), 2);
  page.hidden = false;
  page.dispatchEvent(new Event("visibilitychange"));
  assert.equal(shown, 3);
  changes.ask();
  changes.stop();
  page.dispatchEvent(new Event("visibilitychange"));
  assert.equal(after(5000), 3);
});
