"""
Several nodes serve the same rooms, and what a fault costs: what every test run checks.

`test_chaos.py` has the faults that take longer: `make chaos`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import gatherResults

from tests.functional.cluster.nodes import Node, Nodes
from tests.functional.cluster.parent import Workers
from tests.functional.cluster.witness import Crowd, Tally
from tests.functional.support import reactor, sleep, until, within
from txroom.client import Client


def report(name: str, crowd: Crowd, tally: Tally, node: int | None = None) -> None:
    """Print the counts, which pytest shows with -rP; those of the clients of other nodes than `node` too."""
    sockets, silence = (0, 0.0) if node is None else crowd.elsewhere(node)
    more = "" if node is None else f"; elsewhere sockets {sockets}, silence {silence:.1f} s"
    print(f"{name}: {tally}{more}")


async def settled(name: str, crowd: Crowd, node: int | None = None) -> Tally:
    """
    The tally after a fault that kept the data: nothing is lost, and nobody was told so. If the fault was of
    one `node`, the clients of the others have kept their sockets.
    """
    tally = await crowd.settle()
    report(name, crowd, tally, node)
    assert node is None or crowd.elsewhere(node)[0] == 0
    assert not tally.broken, tally
    assert tally.acknowledged == tally.sent, tally
    assert (tally.lost, tally.left) == (0, 0), tally
    return tally


async def test_together(directory: Path) -> None:
    """Clients of all nodes are in the same rooms, each of which one node runs."""
    async with Nodes(directory, 3) as nodes:
        crowd = await nodes.crowd(isSpread=True)
        await crowd.during(2)
        tally = await settled("three nodes", crowd)
        assert tally.sockets == tally.recovered == 0
        assert tally.owners == 3
        assert tally.received == 6 * tally.sent


async def test_pairs(directory: Path) -> None:
    """Two clients that join or create at once on different nodes meet in one room."""
    async with Nodes(directory, 2, isDurable=False) as nodes:
        clients = [Client(url, reactor=reactor()) for url in nodes.urls]
        try:
            joining = [
                client.joinOrCreate("pair", {"match": f"m{number}"})
                for number in range(15)
                for client in clients
            ]
            rooms: list[Any] = await within(gatherResults(joining, consumeErrors=True), seconds=20)
            ids = [room.id for room in rooms]
            assert ids[::2] == ids[1::2]
            assert len(set(ids)) == 15
        finally:
            for client in clients:
                await client.close()


async def test_killed(directory: Path) -> None:
    """The owner is killed: the other nodes take its rooms over, and their clients keep their sockets."""
    async with Nodes(directory, 3) as nodes:
        crowd = await nodes.crowd()
        owner = nodes.ownerOf(crowd.witnesses[0])
        crowd.listenAgain()
        nodes[owner].kill()
        await crowd.during(13)
        tally = await settled("kill -9 of the owner", crowd, owner)
        assert tally.recovered >= len(crowd.witnesses)
        assert owner not in {nodes.ownerOf(witness) for witness in crowd.witnesses}


async def test_savedRoom(directory: Path) -> None:
    """All nodes are killed while a room counts: it comes back, and has counted each message once."""
    async with Nodes(directory, 2) as nodes:
        clients = [Client(url, reactor=reactor(), minDelay=0.05, maxDelay=0.5) for url in nodes.urls]
        try:
            rooms = [await client.joinOrCreate("account") for client in clients]
            heard: list[list[int]] = [[], []]
            lost: list[Any] = []
            for room, balances in zip(rooms, heard, strict=True):
                room.on("balance", lambda data, offset, balances=balances: balances.append(data))
                room.on("lost", lost.append)
            handled = []
            for number in range(200):
                handled.append(rooms[number % 2].send("pay", 1).whenHandled())
                if number == 100:
                    for node in nodes:
                        node.kill()
                    for node in nodes:
                        node.begin()
                await sleep(0.002)
            await within(gatherResults(handled), seconds=60)
            await until(lambda: [len(each) for each in heard] == [200, 200], f"heard {heard}")
            assert heard == [[*range(1, 201)]] * 2
            assert not lost
        finally:
            for client in clients:
                await client.close()


async def test_stopped(directory: Path) -> None:
    """The owner is stopped by SIGTERM: it hands its rooms over, and nobody waits for a lease to end."""
    async with Nodes(directory, 2) as nodes:
        crowd = await nodes.crowd()
        owner = nodes.ownerOf(crowd.witnesses[0])
        crowd.listenAgain()
        await nodes[owner].stop()
        await crowd.during(2)
        await settled("SIGTERM of the owner", crowd, owner)


@pytest.mark.parametrize("kind", [Nodes, pytest.param(Workers, marks=pytest.mark.chaos)])
async def test_pausedShortly(directory: Path, kind: type[Nodes] | type[Workers]) -> None:
    """The owner stands still for 4 seconds, which is shorter than its lease: nobody even resumes."""
    async with kind(directory, 2) as nodes:
        crowd = await nodes.crowd()
        owner = nodes.ownerOf(crowd.witnesses[0])
        crowd.listenAgain()
        nodes[owner].pause()
        await crowd.during(4)
        nodes[owner].resume()
        tally = await settled("SIGSTOP of the owner, 4 s", crowd)
        assert (tally.sockets, tally.recovered) == (0, 0)


async def test_redisKilled(directory: Path) -> None:
    """Redis is killed and comes back with its data: the same owners go on."""
    async with Nodes(directory, 2) as nodes:
        crowd = await nodes.crowd()
        owners = [nodes.ownerOf(witness) for witness in crowd.witnesses]
        crowd.listenAgain()
        nodes.redis.kill()
        await crowd.during(1)
        nodes.redis.start()
        await crowd.during(3)
        tally = await crowd.settle()
        report("kill -9 of Redis, back after 1 s", crowd, tally)
        assert not tally.broken, tally
        assert tally.acknowledged == tally.sent
        assert tally.sockets == tally.left == 0
        assert [nodes.ownerOf(witness) for witness in crowd.witnesses] == owners


async def test_flushed(directory: Path) -> None:
    """Redis loses everything: each client is told so, nobody misses anything silently, and rooms go on."""
    async with Nodes(directory, 2, isDurable=False) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        nodes.redis.run("FLUSHALL")
        await crowd.during(4)
        tally = await crowd.settle()
        report("FLUSHALL", crowd, tally)
        assert not tally.broken, tally
        assert tally.lost >= len(crowd.witnesses)
        assert tally.sockets == tally.left == 0


async def test_refused(directory: Path) -> None:
    """A node with a wrong password ends with one clear line, which does not show the password."""
    async with Nodes(directory, 0, "--requirepass", "secret") as nodes:
        node = Node(directory, f"unix://:hunter2@{nodes.redis.socket}")
        try:
            node.begin()
            await until(lambda: node.status is not None, "the node does not end", 20)
            assert node.status not in (0, None)
            assert "WRONGPASS" in node.output
            assert "hunter2" not in node.output
            assert "Traceback" not in node.output
        finally:
            node.kill()


async def test_late(directory: Path) -> None:
    """A node that is started before Redis waits for it, and is not healthy meanwhile."""
    nodes = Nodes(directory, 0)
    node = Node(directory, nodes.redis.url)
    try:
        node.begin()
        await sleep(2)
        assert node.status is None, node.output
        async with nodes:
            await node.ready()
    finally:
        node.kill()
