// Reads what an encoder wrote with the decoders of Colyseus's SDKs 0.16, 0.17 and 0.18.
//
// Each line of the input is {"schema": 3 | 4 | 5, "steps": [[kind, base64], …]}, of which the first is the "handshake".
// For each line this program writes one: {"states": [the state after each other step], "complaints": […]}. A map is
// told as {"map": [[key, value], …]}, and an infinite number by its name. With "listeners": "getStateCallbacks" |
// "Callbacks" it has "events", too: what listeners to everything, added after the second step, were told in each step.
import { createInterface } from "node:readline";

const schemas = {
  3: await import("schema-v3"),
  4: await import("schema-v4"),
  5: await import("schema-v5"),
};
let complaints = [];
console.warn = console.error = (...texts) => complaints.push(texts.map(String).join(" "));

function told(value, { MapSchema, ArraySchema, Schema }) {
  const inner = (one) => told(one, { MapSchema, ArraySchema, Schema });
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (typeof value === "bigint") return Number(value);
  if (value instanceof MapSchema) return { map: Array.from(value.entries(), ([key, one]) => [key, inner(one)]) };
  if (value instanceof ArraySchema) return Array.from(value, inner);
  if (!(value instanceof Schema)) return value;
  const fields = {};
  for (const name of namesOf(value)) {
    if (value[name] !== undefined && value[name] !== null) fields[name] = inner(value[name]);
  }
  return fields;
}

// The fields of an object, as the handshake named them.
function namesOf(object) {
  const metadata = object.constructor[Symbol.metadata];
  const names = [];
  for (let index = 0; metadata[index] !== undefined; index++) names.push(metadata[index].name);
  return names;
}

// The functions that add listeners: those of `getStateCallbacks` and of `Callbacks` of the SDKs.
function listening(decoder, kind, { Callbacks, getDecoderStateCallbacks }) {
  if (kind === "Callbacks") return Callbacks.get(decoder);
  const $ = getDecoderStateCallbacks(decoder);
  return {
    listen: (object, name, callback) => $(object).listen(name, callback),
    onAdd: (object, name, callback) => $(object)[name].onAdd(callback),
    onRemove: (object, name, callback) => $(object)[name].onRemove(callback),
  };
}

// Listens to an object and all below it, as applications do: to items of collections when they are added.
function follow(on, object, path, events, library) {
  for (const name of namesOf(object)) {
    const value = object[name];
    const place = path + name;
    if (value instanceof library.MapSchema || value instanceof library.ArraySchema) {
      on.onAdd(object, name, (item, key) => {
        events.push(`+${place}[${key}]`);
        if (item instanceof library.Schema) follow(on, item, `${place}[${key}].`, events, library);
      });
      on.onRemove(object, name, (item, key) => events.push(`-${place}[${key}]`));
    } else if (value instanceof library.Schema) {
      follow(on, value, `${place}.`, events, library);
    } else {
      on.listen(object, name, (present) => events.push(`${place}=${present}`));
    }
  }
}

function played({ schema, steps, listeners }) {
  const library = schemas[schema];
  const states = [];
  const heard = [];
  const events = [];
  let decoder = null;
  complaints = [];
  for (const [kind, text] of steps) {
    const bytes = Buffer.from(text, "base64");
    if (kind === "handshake") {
      decoder = library.Reflection.decode(bytes);
      continue;
    }
    if (kind === "resync" && decoder.decodeResync) decoder.decodeResync(bytes);
    else decoder.decode(bytes);
    states.push(told(decoder.state, library));
    if (listeners && states.length === 1) {
      follow(listening(decoder, listeners, library), decoder.state, "", heard, library);
    } else {
      events.push([...heard]);
    }
    heard.length = 0;
  }
  return { states, complaints, events };
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = played(JSON.parse(line));
  } catch (error) {
    answer = { error: error.stack, complaints };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
