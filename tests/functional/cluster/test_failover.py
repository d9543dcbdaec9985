"""
A replica takes the place of Redis's primary: `make chaos`. It lacks the newest changes, although they were
confirmed, or the primary goes on beside it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint

from tests.functional.cluster.forwarder import Forwarder
from tests.functional.cluster.nodes import Nodes
from tests.functional.cluster.test_cluster import report
from tests.functional.cluster.witness import SETTLE, Crowd, Witness
from tests.functional.launched import freePort
from tests.functional.redisserver import RedisServer
from tests.functional.support import reactor, until

pytestmark = pytest.mark.chaos


class Failover:
    """
    Nodes on a primary with one replica.

    Args:
        nodes: The nodes, on the primary.
        replica: The replica.
        stream: The way from the primary to the replica.
    """

    def __init__(self, nodes: Nodes, replica: RedisServer, stream: Forwarder) -> None:
        self.nodes = nodes
        self.replica = replica
        self._stream = stream

    async def isFollowing(self) -> None:
        """Wait until the replica has what the primary has."""

        def isUp() -> bool:
            return b"master_link_status:up" in self.replica.run("INFO", "replication")

        await until(isUp, f"no replica: {self.replica.log}", 20)

    async def lag(self, crowd: Crowd, seconds: float) -> None:
        """From now on nothing reaches the replica, while clients go on speaking for a while."""
        self._stream.hold()
        await crowd.during(seconds)

    def promote(self) -> None:
        """The primary dies; the replica takes its place, and the nodes find it at the same address."""
        self.nodes.redis.kill()
        self.replica.run("REPLICAOF", "NO", "ONE")
        self._lead(*self.nodes.links)

    def split(self) -> None:
        """
        The replica becomes a primary, and the old one goes on beside it. The first two nodes find the new one
        at the address; the last node stays with the old one.
        """
        self.replica.run("REPLICAOF", "NO", "ONE")
        self._lead(*self.nodes.links[:2])

    def unite(self) -> None:
        """The old primary is gone, and the last node finds the new one too."""
        self.nodes.redis.kill()
        self._lead(self.nodes.links[2])

    def _lead(self, *links: Forwarder) -> None:
        """Lead these nodes to the replica."""
        for link in links:
            link.targets = (UNIXClientEndpoint(reactor(), str(self.replica.socket)),)
            link.cut()


@asynccontextmanager
async def failover(directory: Path) -> AsyncIterator[Failover]:
    """Three nodes, a primary and a replica."""
    port = freePort()
    (directory / "replica").mkdir()
    options = ("--port", str(port), "--repl-diskless-sync-delay", "0")
    async with Nodes(directory, 3, *options) as nodes:
        stream = await Forwarder.to(TCP4ClientEndpoint(reactor(), "127.0.0.1", port))
        try:
            with RedisServer(directory / "replica") as replica:
                replica.run("REPLICAOF", "127.0.0.1", stream.port)
                world = Failover(nodes, replica, stream)
                await world.isFollowing()
                yield world
        finally:
            await stream.close()


def offsetsOf(redis: RedisServer, rooms: set[str]) -> dict[str, int]:
    """The offsets up to which a Redis has the logs of rooms."""
    return {room: int(redis.run("HGET", f"txr:{{{room}}}", "off")) for room in rooms}


@pytest.mark.parametrize("hasOwner", [True, False])
async def test_lostTail(directory: Path, hasOwner: bool) -> None:
    """
    Acknowledged messages of the last second are not on the replica.

    The owners that are left write them again, so that nobody notices. The rooms of an owner that has died
    with the primary begin a new epoch, and all of their clients are told that they may have missed messages.
    """
    async with failover(directory) as world:
        nodes = world.nodes
        crowd = await nodes.crowd(isSpread=True, rooms=6)
        owners = {witness.room.id: nodes.ownerOf(witness) for witness in crowd.witnesses}
        epochs = {witness.room.id: witness.room.epoch for witness in crowd.witnesses}
        crowd.listenAgain()
        await world.lag(crowd, 1.0)
        confirmed = offsetsOf(nodes.redis, set(owners))
        world.promote()
        if not hasOwner:
            nodes[0].kill()
        kept = offsetsOf(world.replica, set(owners))
        await crowd.during(5 if hasOwner else 16)
        tally = await crowd.settle()
        lacking = sum(confirmed[room] - kept[room] for room in owners)
        more = "" if hasOwner else ", and an owner killed"
        report(f"a replica without the last {lacking} messages{more}", crowd, tally)
        lost = {room for room, owner in owners.items() if owner == 0 and not hasOwner}
        assert all(kept[room] < confirmed[room] for room in owners)
        assert not tally.broken, tally
        assert tally.left == 0
        for witness in crowd.witnesses:
            isLost = witness.room.id in lost
            assert witness.counts["lost"] == isLost, str(witness)
            assert (witness.room.epoch != epochs[witness.room.id]) == isLost
        if hasOwner:
            assert tally.acknowledged == tally.sent
            assert tally.sockets == 0


async def joinLate(nodes: Nodes, crowd: Crowd) -> list[Witness]:
    """One client more of each node joins each room of the crowd."""
    rooms = sorted({witness.room.id for witness in crowd.witnesses})
    late = []
    for number, url in enumerate(nodes.urls):
        for room in rooms:
            witness = Witness(f"late{number}", url, number, Random(number))
            await witness.join("joinById", room)
            late.append(witness)
    return late


async def test_twoPrimaries(directory: Path) -> None:
    """
    The old primary goes on beside the new one, and there are nodes at both.

    Each half goes on by itself, with owners of its own for all rooms. When all nodes have one primary again,
    each room is one room again, as one of the halves knew it. Its members keep their seats, and all of them
    are told that they may have missed messages. Within each half nobody misses anything before that. Clients
    that have joined meanwhile, in either half, are in the rooms too.
    """
    async with failover(directory) as world:
        nodes = world.nodes
        crowd = await nodes.crowd(isSpread=True, rooms=6)
        halves = [crowd.at[0] + crowd.at[1], crowd.at[2]]
        owners = [{nodes[0].pid, nodes[1].pid}, {nodes[2].pid}]
        crowd.listenAgain()
        world.split()

        def areApart() -> bool:
            return all(
                witness.last is not None and witness.last.owner in pids
                for half, pids in zip(halves, owners, strict=True)
                for witness in half
            )

        await until(areApart, "the nodes have not taken over each other's rooms", SETTLE)
        late = await joinLate(nodes, crowd)
        await crowd.during(3)
        world.unite()
        await crowd.during(5)
        tally = await crowd.settle()
        report("two primaries for a while", crowd, tally)
        assert all(witness.counts["lost"] for witness in crowd.witnesses), tally
        assert (tally.left, tally.sockets) == (0, 0)
        for half in halves:
            assert not crowd.tallyOf(half).broken, crowd.tallyOf(half)
        await until(lambda: all(each.room.status == "joined" for each in late), "not all have joined", SETTLE)
        assert not any(each.errors or each.counts["left"] for each in late), list(map(str, late))
        for each in late:
            await each.client.close()
