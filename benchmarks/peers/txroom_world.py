"""The state of the workloads state, views and encoder in txroom: entities of which some move in each tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from txroom import Client, Room
from txroom.state import Float32, Map, Quantized, State, Uint16, private

# The same as in colyseus_world.js.
ENTITIES, MOVING, SEEN = 500, 50, 100
#: Ticks per second.
RATE = 20.0


class Entity(State):
    """What moves."""

    name: str = ""
    x: Float32 = 0.0
    y: Float32 = 0.0
    health: Uint16 = 100


class World(State):
    """Everybody sees all entities."""

    entities: Map[Entity]


class HiddenWorld(State):
    """Only those see an entity who have it in their view."""

    entities: Map[Entity] = private()


class CoarseEntity(State):
    """An entity with numbers of 16 bits."""

    name: str = ""
    x: Annotated[float, Quantized(-2048, 2048)] = 0.0
    y: Annotated[float, Quantized(-2048, 2048)] = 0.0
    health: Uint16 = 100


class CoarseWorld(State):
    """Everybody sees all entities."""

    entities: Map[CoarseEntity]


def filled(world: Any, entityClass: type[State] = Entity) -> list[Any]:
    """Put the entities into a world, and return them."""
    for index in range(ENTITIES):
        entity: Any = entityClass()
        entity.name, entity.x, entity.y = f"e{index}", index, -index
        world.entities[str(index)] = entity
    return [*world.entities.values()]


def move(entities: Sequence[Any], tick: int, count: int = MOVING) -> None:
    """Move that many entities, those that follow the ones of the tick before."""
    start = tick * count % len(entities)
    for entity in entities[start : start + count]:
        entity.x += 0.5
        entity.y -= 0.25


class WorldRoom(Room):
    """A room in whose state entities move."""

    state: World
    patchRate = tickRate = RATE

    def onCreate(self, options: Mapping[str, Any]) -> None:
        self.entities = filled(self.state)
        self.tick = 0

    def onTick(self, elapsed: float) -> None:
        """Move the next entities."""
        move(self.entities, self.tick)
        self.tick += 1


class HiddenRoom(WorldRoom):
    """A room of whose entities each client sees some."""

    state: HiddenWorld  # type: ignore[assignment]

    def onJoin(self, client: Client, options: Mapping[str, Any]) -> None:
        first = len(self.clients)
        for index in range(SEEN):
            client.view.add(self.entities[(first + index * ENTITIES // SEEN) % ENTITIES])
