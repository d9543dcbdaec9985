// Colyseus's encoder alone, without a server: what a tick costs, in CPU microseconds, and how many bytes it has.
"use strict";

const { Encoder, StateView } = require("@colyseus/schema");
const { makeWorld, move } = require("./colyseus_world.js");

const [VIEWS, SEEN] = [300, 60];
Encoder.BUFFER_SIZE = 1 << 20;

// The CPU microseconds of one call, after as many calls that are not measured.
function timed(count, call) {
  for (let index = 0; index < count; index++) call(index);
  const before = process.cpuUsage();
  for (let index = 0; index < count; index++) call(count + index);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

function shared() {
  const { world, entities } = makeWorld(false);
  const encoder = new Encoder(world);
  let size = 0;
  encoder.discardChanges();
  const cpu = timed(10000, (tick) => {
    move(entities, tick);
    size = encoder.encode().length;
    encoder.discardChanges();
  });
  return { shared: cpu, bytes: size, full: timed(200, () => encoder.encodeAll()) };
}

function views() {
  const { world, entities } = makeWorld(true);
  const encoder = new Encoder(world);
  encoder.encodeAll();
  encoder.discardChanges();
  const all = Array.from({ length: VIEWS }, (_, number) => {
    const view = new StateView();
    for (let index = 0; index < SEEN; index++) view.add(entities[(number * 7 + index) % entities.length]);
    return view;
  });
  const cpu = timed(100, (tick) => {
    move(entities, tick, entities.length);
    const it = { offset: 0 };
    encoder.encode(it);
    const end = it.offset;
    for (const view of all) encoder.encodeView(view, end, it);
    encoder.discardChanges();
  });
  return { views: cpu };
}

console.log(JSON.stringify({ ...shared(), ...views() }));
