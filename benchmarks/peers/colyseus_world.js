// The state of the workloads `state` and `encoder` in Colyseus: entities of which some move in each tick.
"use strict";

const { schema, t } = require("@colyseus/schema");

// The same as in txroom_world.py. A tick is told in milliseconds.
const ENTITIES = 500;
const MOVING = 50;
const SEEN = 100;
const TICK = 50;

const Entity = schema({ name: t.string(), x: t.float32(), y: t.float32(), health: t.uint16() }, "Entity");
const World = schema({ entities: t.map(Entity) }, "World");
const HiddenWorld = schema({ entities: t.map(Entity).view() }, "HiddenWorld");

// A world whose entities are seen by all, or only by those who have them in their view.
function makeWorld(isHidden) {
  const world = isHidden ? new HiddenWorld() : new World();
  for (let index = 0; index < ENTITIES; index++) {
    const entity = new Entity();
    Object.assign(entity, { name: `e${index}`, x: index, y: -index, health: 100 });
    world.entities.set(String(index), entity);
  }
  return { world, entities: [...world.entities.values()] };
}

// Move that many entities, those that follow the ones of the tick before.
function move(entities, tick, count = MOVING) {
  for (let index = 0; index < count; index++) {
    const entity = entities[(tick * count + index) % entities.length];
    entity.x += 0.5;
    entity.y -= 0.25;
  }
}

module.exports = { ENTITIES, MOVING, SEEN, TICK, makeWorld, move };
