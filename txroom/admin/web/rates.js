// What all views know of the nodes: the newest statistics, and rates, which are differences of counters.

import { Series } from "./plot.js";

const COUNTERS = ["messagesReceived", "messagesSent", "bytesReceived", "bytesSent", "cpuSeconds"];
const LINES = ["messagesReceived", "messagesSent", "bytesReceived", "bytesSent", "lag", "connections", "members"];
const SUMS = ["connections", "rooms", "members", "rss"];

export class Rates {
  constructor() {
    /** The nodes with their rates, and those that have not answered. */
    this.nodes = [];
    this.unanswered = [];
    /** Sums over all nodes; `lag` is the greatest. */
    this.totals = {};
    this.series = Object.fromEntries(LINES.map((name) => [name, new Series()]));
    this._before = new Map();
    this._listeners = new Set();
  }

  /** Calls this now and after each answer. Returns a function that ends it. */
  listen(listener) {
    this._listeners.add(listener);
    if (this.nodes.length) listener();
    return () => this._listeners.delete(listener);
  }

  /** Takes an answer of "nodes.list". */
  take({ nodes, unanswered = [] }) {
    const now = performance.now() / 1000;
    this.at = now;
    this.nodes = nodes.map((node) => ({ ...node, rates: this._ratesOf(node, now) }));
    this.unanswered = unanswered;
    for (const known of this._before.keys()) if (!nodes.some(({ node }) => node === known)) this._before.delete(known);
    for (const name of SUMS) this.totals[name] = sum(this.nodes.map((node) => node[name]));
    for (const name of COUNTERS) this.totals[name] = sum(this.nodes.map((node) => node.rates[name]));
    this.totals.lag = Math.max(0, ...this.nodes.map((node) => node.lagP99 ?? 0));
    for (const [name, series] of Object.entries(this.series)) {
      if (Number.isFinite(this.totals[name])) series.add(now, this.totals[name]);
    }
    for (const listener of this._listeners) listener();
  }

  /** The differences per second since an answer that is at least a second old. A node that has started anew has none. */
  _ratesOf(node, now) {
    const before = this._before.get(node.node);
    const isAnew = !before || node.uptime < before.node.uptime;
    if (isAnew || now - before.at >= 0.8) this._before.set(node.node, { at: now, node, rates: isAnew ? {} : rate(before, node, now) });
    return this._before.get(node.node).rates;
  }
}

function rate(before, node, now) {
  const seconds = Number.isFinite(node.uptime) && node.uptime > before.node.uptime ? node.uptime - before.node.uptime : now - before.at;
  return Object.fromEntries(COUNTERS.map((name) => [name, Math.max(0, (node[name] - before.node[name]) / seconds)]));
}

function sum(values) {
  const known = values.filter(Number.isFinite);
  return known.length ? known.reduce((all, value) => all + value, 0) : NaN;
}
