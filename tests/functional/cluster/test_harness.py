"""The tools of the tests of clusters: they must see every fault that they are to find."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.endpoints import TCP4ClientEndpoint

from tests.functional.cluster.forwarder import Forwarder
from tests.functional.cluster.nodes import Node
from tests.functional.cluster.witness import Crowd, Entry, Tally
from tests.functional.support import Echo, Net, reactor, sleep, text, until

# -- what clients agree on


def entries(*numbers: int, who: str = "a", epoch: str = "e", first: int = 1) -> list[Entry]:
    """Messages of one client, at consecutive offsets."""
    return [Entry("r", epoch, first + at, who, i, 1) for at, i in enumerate(numbers)]


def tallied(*received: list[Entry] | list[list[Entry]], acknowledged: tuple[int, ...] = ()) -> Tally:
    """
    The tally of clients "a", "b" and so on in one room, which have received this, in one part or several; "a"
    has acknowledgements.
    """
    crowd = Crowd(["ws://localhost"])
    for number, parts in enumerate(received):
        witness: Any = SimpleNamespace(
            who="abc"[number],
            room=SimpleNamespace(id="r"),
            sent=0,
            acknowledged=set(acknowledged if number == 0 else ()),
            failures=[],
            errors=[],
            silence=0.0,
            counts=dict.fromkeys(("sockets", "recovered", "lost", "left"), 0),
            parts=parts if parts and isinstance(parts[0], list) else [parts],
        )
        crowd.witnesses.append(witness)
    return crowd.tally()


def test_good() -> None:
    """Clients that have received the same, one from a later time on, and everything acknowledged."""
    whole = entries(1, 2, 3, 4)
    tally = tallied(whole, whole, acknowledged=(1, 2, 4))
    assert not tally.broken
    assert (tally.received, tally.acknowledged, tally.owners) == (8, 3, 1)
    assert not tallied(whole, whole[1:]).broken


@pytest.mark.parametrize(
    ("fault", "tally"),
    [
        ("missed", tallied(entries(1, 2, 3), entries(1) + entries(3, first=3))),
        ("missed", tallied(entries(1, 2), entries(1, 2), acknowledged=(1, 2, 3))),
        ("missed", tallied([entries(1, 3), entries(4, first=4)], acknowledged=(1, 2, 3, 4))),
        ("doubled", tallied(entries(1, 2, 2, 3))),
        ("doubled", tallied(entries(1, 2) + entries(2, epoch="f"))),
        ("reordered", tallied(entries(1, 3, 2))),
        ("reordered", tallied(entries(1, first=2) + entries(2, first=1))),
        ("disputed", tallied(entries(1, 2), entries(1) + entries(7, first=2))),
    ],
)
def test_faults(fault: str, tally: Tally) -> None:
    """Each kind of fault is found, and nothing else."""
    assert list(tally.broken) == [fault]


def test_told() -> None:
    """What a client missed when it was told that something is lost is no fault."""
    told = [entries(1), entries(4, first=4)]
    assert not tallied(entries(1, 2, 3, 4), told, acknowledged=(1, 2, 3, 4)).broken
    assert not tallied(told, told, acknowledged=(1, 2, 4)).broken


# -- the forwarder


async def test_forwarder(net: Net) -> None:
    """It passes everything on, holds it, delays it, and cuts it."""
    server = await net.serve(Echo())
    link = await Forwarder.to(TCP4ClientEndpoint(reactor(), "127.0.0.1", server.address().port))
    try:
        probe = await net.open(link)
        probe.send(text("a"))
        assert (await probe.frame()).payload == b"a"
        link.hold()
        probe.send(text("b"))
        await sleep(0.1)
        assert not probe.data
        link.release()
        assert (await probe.frame()).payload == b"b"
        link.delay = 0.1
        began = reactor().seconds()
        probe.send(text("c"))
        probe.send(text("d"))
        assert [(await probe.frame()).payload for _ in range(2)] == [b"c", b"d"]
        assert reactor().seconds() - began >= 0.2
        link.cut()
        await until(lambda: probe.ended)
    finally:
        await link.close()


async def test_forwarderHidesEnds(net: Net) -> None:
    """While it holds, neither end learns that the other one is gone."""
    server = await net.serve(Echo())
    link = await Forwarder.to(TCP4ClientEndpoint(reactor(), "127.0.0.1", server.address().port))
    try:
        probe = await net.open(link)
        link.hold()
        probe.reset()
        await sleep(0.1)
        assert len(server.connections) == 1
        link.release()
        await until(lambda: not server.connections)
    finally:
        await link.close()


async def test_forwarderChooses(net: Net) -> None:
    """The first target that accepts gets the connection."""
    server = await net.serve(Echo())
    port = server.address().port
    targets = [TCP4ClientEndpoint(reactor(), "127.0.0.1", each) for each in (1, port)]
    link = await Forwarder.to(*targets)
    try:
        probe = await net.open(link)
        probe.send(text("a"))
        assert (await probe.frame()).payload == b"a"
    finally:
        await link.close()


# -- nodes and crowds


async def test_oneNode(directory: Path) -> None:
    """A crowd at one node in memory, whose connections are cut: everything is as it should be."""
    node = Node(directory, "")
    try:
        await node.start()
        link = await Forwarder.to(TCP4ClientEndpoint(reactor(), "127.0.0.1", node.port))
        crowd = Crowd([f"ws://127.0.0.1:{link.port}"], rooms=2, perNode=3)
        try:
            await crowd.join()
            crowd.begin()
            await crowd.during(0.5)
            link.cut()
            await crowd.during(1.0)
            tally = await crowd.settle()
            assert not tally.broken, tally
            assert tally.acknowledged == tally.sent > 30
            assert tally.received == 3 * tally.sent
            assert (tally.recovered, tally.sockets, tally.failed, tally.owners) == (6, 6, 0, 1)
        finally:
            await crowd.close()
            await link.close()
        assert await node.stop() in (0, -15)
    finally:
        node.kill()
