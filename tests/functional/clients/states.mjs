/**
 * Follows states that a file has, with fake sockets: `node states.mjs FILE`. After each frame the client must have the state
 * that the file tells, and what the changes have told must lead to it too.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { Harness, settle } from "../../web/harness.mjs";

/** A state in the form of the file; `read` gives what a container has. @returns {any} */
function plain(value, read) {
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return value;
  const content = read(value);
  if (Array.isArray(value)) return content.map((item) => plain(item, read));
  const entries = [...content].map(([key, item]) => [key, plain(item, read)]);
  return { [value instanceof Map ? "map" : "fields"]: Object.fromEntries(entries) };
}

const actual = (value) => (value instanceof Map || Array.isArray(value) ? value : Object.entries(value));

/** What the changes have told of each container. */
class Shadow {
  #told = new Map();

  read = (container) => {
    if (Array.isArray(container)) return this.#told.get(container) ?? [];
    // A field that the client may not see is null from the beginning, which is no change.
    const hidden = container instanceof Map ? [] : Object.entries(container).filter(([, value]) => value === null);
    return new Map([...hidden, ...(this.#told.get(container) ?? [])]);
  };

  change({ target, key, value, former }) {
    const told = this.#told.get(target) ?? (Array.isArray(target) ? [] : new Map());
    this.#told.set(target, told);
    if (Array.isArray(target)) {
      assert.deepEqual(told.slice(key, key + former.length), former);
      told.splice(key, former.length, ...value);
    } else {
      assert.equal(told.get(key) ?? null, former ?? null);
      if (value === undefined) told.delete(key);
      else told.set(key, value);
    }
  }
}

const errors = [];
let checked = 0;
for (const { schema, steps } of JSON.parse(readFileSync(process.argv[2], "utf-8"))) {
  const h = new Harness();
  const shadow = new Shadow();
  const joining = h.client.joinOrCreate("chat");
  await settle();
  h.socket.open();
  const version = steps[0].frame[2];
  h.socket.receive("joined", h.socket.take()[0][1], "r1", h.membership({ schema, stateVersion: version }));
  h.socket.receive(...steps[0].frame);
  const room = await joining;
  room.on("state", (changes) => changes.forEach((change) => shadow.change(change)));
  await h.clock.advance(0);
  for (const { frame, state } of steps) {
    if (frame !== steps[0].frame) h.socket.receive(...frame);
    errors.push(...h.errors.map(String));
    assert.deepEqual(plain(room.state, actual), state);
    assert.deepEqual(plain(room.state, shadow.read), state);
    checked++;
  }
  h.client.close();
}
console.log(JSON.stringify({ checked, errors }));
