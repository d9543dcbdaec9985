"""What the models of rooms share: random schedules, and a world in which they are run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from tests.rooms.lagging import LaggingEngine
from txroom import Room
from txroom.engine.memory import MemoryEngine, MemoryJournal
from txroom.rooms.host import Host
from txroom.rooms.registry import Registration
from txroom.rooms.seam import Entry, Item, Journal, Owner, Record

#: Schedules that each test of a model runs; `make models` runs many.
EXAMPLES = int(os.environ.get("TXROOM_EXAMPLES", "50"))


class Step(NamedTuple):
    """Something that happens: what, to which one, and how much of it (0 to 40)."""

    kind: str
    which: int
    amount: int


def schedules(kinds: str, least: int, most: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """
    A decorator that runs a test with many a `seed` and `steps`.

    There are `least` to `most` steps; a kind that is named twice happens twice as often. They are drawn
    as bytes, which is much faster than to draw a list of tuples, and shrinks as well.
    """
    names = kinds.split()

    def decoded(data: bytes) -> list[Step]:
        triples = zip(*[iter(data)] * 3, strict=False)
        return [Step(names[kind % len(names)], which, amount % 41) for kind, which, amount in triples]

    drawn = given(
        seed=st.integers(0, 2**32),
        steps=st.binary(min_size=3 * least, max_size=3 * most).map(decoded),
    )
    config = settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=False,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        return config(drawn(test))

    return decorate


class NotedJournal(MemoryJournal):
    """Notes the messages that are logged."""

    engine: NotingEngine

    def write(self, record: Record) -> None:
        if isinstance(record, Entry):
            self.engine.entries.append(record)
        super().write(record)


class NotingEngine(MemoryEngine):
    """The memory engine, and all that was ever logged in its rooms."""

    def __init__(self, maker: Any) -> None:
        super().__init__(maker)
        self.entries: list[Entry] = []

    def claim(self, room: str, owner: Owner) -> Deferred[Journal]:
        journal = NotedJournal(self, room, owner)
        journal.engine = self
        return succeed(journal)


class Maker:
    """Runs the rooms of an engine; all are called "model"."""

    engine: Any

    def __init__(self, clock: Clock, roomClass: type[Room]) -> None:
        self.clock = clock
        self.registration = Registration("model", roomClass, {})

    def makeHost(self, room: str, name: str, options: Mapping[str, Any]) -> Host:
        return Host(room, self.registration, options, cast(Any, self))

    def hostEnded(self, host: Host) -> None:
        """Nobody else needs to know."""


class World:
    """Rooms on one of the engines, their time, and what was seen to be wrong; the edge of its clients."""

    def __init__(self, seed: int, isLagging: bool, roomClass: type[Room]) -> None:
        self.random = Random(seed)
        self.clock = Clock()
        self.isLagging = isLagging
        self.maker = Maker(self.clock, roomClass)
        self.engine: Any
        if isLagging:
            self.engine = LaggingEngine(self.maker, self.clock, self.random)
        else:
            self.engine = NotingEngine(self.maker)
        self.maker.engine = self.engine
        self.violations: list[str] = []

    def check(self, isTrue: bool, text: str) -> None:
        """It is a violation if not."""
        if not isTrue:
            self.violations.append(text)

    def hosts(self) -> dict[str, Host]:
        """The owners of the rooms, by the ids of those."""
        hosts: dict[str, Host] = self.engine.hosts if self.isLagging else self.engine._hosts
        return hosts

    def advance(self, seconds: float) -> None:
        """Let time pass, from one delayed call to the next, so that turns are short."""
        end = self.clock.seconds() + seconds
        while True:
            due = min((call.getTime() for call in self.clock.getDelayedCalls()), default=end)
            if due >= end:
                break
            self.clock.advance(max(0.0, due - self.clock.seconds()))
            self.look()
        self.clock.advance(max(0.0, end - self.clock.seconds()))
        self.look()

    def look(self) -> None:
        """Check what must always hold."""

    def lose(self, room: str, isApplied: bool) -> None:
        """The owner of a room is lost, where that can be."""
        if self.isLagging and room in self.engine.stored:
            self.engine.loseOwner(room, isApplied)

    # -- the outlet

    def deliver(self, item: Item, links: Sequence[str]) -> None:
        raise NotImplementedError

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        raise NotImplementedError
