/** The parts of the operators' page that need no browser: how figures are written, and rates from counters. */

import assert from "node:assert/strict";
import test from "node:test";

import { amount, bytes, moment, ms, percent, plural, reason, span } from "../../txroom/admin/web/format.js";
import { Series, WINDOW } from "../../txroom/admin/web/plot.js";
import { Rates } from "../../txroom/admin/web/rates.js";

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
