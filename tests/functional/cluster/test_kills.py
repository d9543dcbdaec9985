"""
Workers and their store are killed again and again under load.

`TXROOM_ROUNDS` sets how often this is done with a new parent: in each round two workers are killed, and the
store; in each fourth one, the store is also killed together with a worker.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from tests.functional.cluster.parent import PATIENCE, Workers
from tests.functional.cluster.test_cluster import report
from tests.functional.cluster.witness import Crowd
from tests.functional.support import reactor, until

ROUNDS = int(os.environ.get("TXROOM_ROUNDS", "1"))
ROOMS = 24 if ROUNDS > 1 else 8
#: How many messages the clients of a room send each second.
RATE = 10.0
#: For how many seconds clients go on after each kill.
AFTER = 3.0


@attrs.define
class Room:
    """What the clients of a room have heard last."""

    offset: int = -1
    owner: int = 0
    #: When its owner was killed, until another one is heard; 0: it wasn't.
    killedAt: float = 0.0
    #: The same, until it is known when another one has opened it.
    closedAt: float = 0.0


class Owners:
    """Who runs the rooms, and how long they had no owner."""

    def __init__(self, crowd: Crowd) -> None:
        self._rooms: dict[str, Room] = {}
        #: For each room and kill: after how many seconds another process had opened the room, and after how
        #: many a client heard a message from there.
        self.opened: list[float] = []
        self.heard: list[float] = []
        for witness in crowd.witnesses:
            witness.room.on("added", partial(self._added, witness.room.id))
            witness.room.on("tick", partial(self._ticked, witness.room.id))

    def _added(self, id: str, data: Any, offset: int) -> None:
        owner = data[2]
        room = self._rooms.setdefault(id, Room())
        if offset < room.offset:
            return
        room.offset = offset
        if room.killedAt and owner != room.owner:
            self.heard.append(reactor().seconds() - room.killedAt)
            room.killedAt = 0.0
        room.owner = owner

    def _ticked(self, id: str, data: Any, offset: int | None = None) -> None:
        _, openedAt = data
        room = self._rooms.get(id)
        if room is not None and room.closedAt and openedAt > room.closedAt:
            self.opened.append(openedAt - room.closedAt)
            room.closedAt = 0.0

    @property
    def count(self) -> int:
        """How many rooms have said something."""
        return len(self._rooms)

    def busiest(self) -> int:
        """The process that runs most rooms."""
        return Counter(room.owner for room in self._rooms.values()).most_common(1)[0][0]

    def killed(self, owner: int) -> None:
        """Measure how long its rooms have no owner."""
        for room in self._rooms.values():
            if room.owner == owner:
                room.killedAt, room.closedAt = reactor().seconds(), time.time()

    @property
    def away(self) -> dict[str, Room]:
        """The rooms that have no owner, as far as is known."""
        return {id: room for id, room in self._rooms.items() if room.killedAt or room.closedAt}


def described(values: list[float]) -> str:
    """The median, the 99th percentile and the largest of some numbers of seconds."""
    values = sorted(values)
    count = len(values)
    p50, p99 = values[count // 2], values[min(count - 1, count * 99 // 100)]
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, most {values[-1]:.2f} s of {count}"


class Proof:
    """What all rounds have counted."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        #: For each kind of kill, what `Owners` has measured.
        self.opened: dict[str, list[float]] = {}
        self.heard: dict[str, list[float]] = {}
        #: For each kind of kill, the longest silence of each client.
        self.silences: dict[str, list[float]] = {}

    async def round(self, nodes: Workers, number: int) -> None:
        """Kill two workers and the store, while new clients are in new rooms."""
        crowd = await nodes.crowd(rooms=ROOMS, perNode=3, rate=ROOMS * RATE)
        owners = Owners(crowd)
        await until(lambda: owners.count == ROOMS, "some rooms are silent", PATIENCE)
        await self._kill("worker", nodes, crowd, owners)
        await self._kill("both" if number % 4 == 3 else "worker", nodes, crowd, owners)
        await self._kill("store", nodes, crowd, owners)
        tally = await crowd.settle()
        report(f"round {number}", crowd, tally)
        assert not tally.broken, tally
        assert tally.acknowledged == tally.sent, tally
        assert (tally.lost, tally.left, tally.epochs) == (0, 0, ROOMS), tally
        for name in ("sent", "acknowledged", "received", "recovered", "sockets"):
            self.counts[name] += getattr(tally, name)
        await crowd.close()

    async def _kill(self, what: str, nodes: Workers, crowd: Crowd, owners: Owners) -> None:
        crowd.listenAgain()
        owners.opened, owners.heard = [], []
        sockets = 0
        if what != "store":
            victim = owners.busiest()
            sockets = nodes.parent.connections(victim)
            owners.killed(victim)
            next(worker for worker in nodes if worker.pid == victim).kill()
        if what != "worker":
            nodes.redis.kill()
        await crowd.during(AFTER)
        try:
            await until(lambda: not owners.away and crowd.areJoined, "", PATIENCE)
        except AssertionError:
            raise AssertionError(f"not back after {what}: {owners.away}; {crowd.unsettled}") from None
        self.counts[what] += 1
        self.opened.setdefault(what, []).extend(owners.opened)
        self.heard.setdefault(what, []).extend(owners.heard)
        self.silences.setdefault(what, []).extend(witness.silence for witness in crowd.witnesses)
        lost = sum(witness.counts["sockets"] > 0 for witness in crowd.witnesses)
        assert lost <= sockets, (
            f"{lost} clients have lost their connections, and {sockets} were connected there"
        )


async def test_kills(directory: Path) -> None:
    """
    Nobody loses a message, and clients of other workers keep their connections. A store that is killed often
    is started again later and later, so each round has a parent of its own, with the same state directory.
    """
    proof = Proof()
    for number in range(ROUNDS):
        async with Workers(directory, 3) as nodes:
            await proof.round(nodes, number)
            await nodes.parent.stop()
    print(f"{ROUNDS} rounds: {dict(proof.counts)}")
    for what, silences in proof.silences.items():
        print(f"after kills ({what}): longest silence of each client {described(silences)}")
        if what != "store":
            print(f"  rooms open elsewhere: {described(proof.opened[what])}")
            print(f"  rooms heard from there: {described(proof.heard[what])}")
