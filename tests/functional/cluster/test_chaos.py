"""
The faults that take longer: `make chaos`.

Each test prints what it counted. `TXROOM_KILLS` sets how often processes are killed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

import pytest

from tests.functional.cluster.nodes import Nodes
from tests.functional.cluster.test_cluster import report, settled
from tests.functional.support import reactor, sleep, until, within
from txroom.client import Client

pytestmark = pytest.mark.chaos

KILLS = int(os.environ.get("TXROOM_KILLS", "20"))


async def test_paused(directory: Path) -> None:
    """The owner stands still for longer than its lease: it is fenced, and what it sends then is dropped."""
    async with Nodes(directory, 3) as nodes:
        crowd = await nodes.crowd()
        owner = nodes.ownerOf(crowd.witnesses[0])
        crowd.listenAgain()
        nodes[owner].pause()
        await crowd.during(15)
        nodes[owner].resume()
        await crowd.during(3)
        tally = await settled("SIGSTOP of the owner, 15 s", crowd, owner)
        assert tally.owners > 1


async def test_partition(directory: Path) -> None:
    """The owner is cut from Redis for 15 seconds, while its clients can reach it."""
    async with Nodes(directory, 3) as nodes:
        crowd = await nodes.crowd()
        owner = nodes.ownerOf(crowd.witnesses[0])
        crowd.listenAgain()
        nodes.links[owner].hold()
        await crowd.during(15)
        nodes.links[owner].release()
        await crowd.during(3)
        tally = await settled("the owner cut from Redis, 15 s", crowd, owner)
        assert tally.owners > 1


async def test_partitionOfEdge(directory: Path) -> None:
    """A node without rooms of its own is cut from Redis: only its clients notice."""
    async with Nodes(directory, 2) as nodes:
        crowd = await nodes.crowd()
        edge = 1 - nodes.ownerOf(crowd.witnesses[0])
        crowd.listenAgain()
        nodes.links[edge].hold()
        await crowd.during(12)
        nodes.links[edge].release()
        await settled("an edge cut from Redis, 12 s", crowd, edge)
        assert crowd.elsewhere(edge)[1] < 1.5


async def test_cuts(directory: Path) -> None:
    """Connections between nodes and Redis are reset again and again."""
    async with Nodes(directory, 3) as nodes:
        random = Random(1)
        crowd = await nodes.crowd()
        crowd.listenAgain()
        for _ in range(15):
            random.choice(nodes.links).cut()
            await crowd.during(random.random())
        await crowd.during(2)
        tally = await settled("15 cuts between nodes and Redis", crowd)
        assert tally.sockets == 0


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
async def test_connectionsKilled(directory: Path, kind: str) -> None:
    """Redis ends its connections of one kind five times."""
    async with Nodes(directory, 2) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        for _ in range(5):
            nodes.redis.run("CLIENT", "KILL", "TYPE", kind)
            await crowd.during(1)
        tally = await settled(f"{kind} connections killed five times", crowd)
        assert tally.sockets == 0


async def test_slow(directory: Path) -> None:
    """Redis takes 200 ms for everything."""
    async with Nodes(directory, 2) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        for link in nodes.links:
            link.delay = 0.1
        await crowd.during(6)
        tally = await settled("commands take 200 ms", crowd)
        assert tally.sockets == tally.recovered == 0


async def test_redisHangs(directory: Path) -> None:
    """Redis hangs for 9 seconds."""
    async with Nodes(directory, 2) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        nodes.redis.pause()
        await crowd.during(9)
        nodes.redis.resume()
        await crowd.during(3)
        await settled("Redis hangs, 9 s", crowd)


async def test_redisAway(directory: Path) -> None:
    """Redis is gone for 15 seconds, which is longer than the leases, and comes back with its data."""
    async with Nodes(directory, 2) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        nodes.redis.kill()
        await crowd.during(15)
        nodes.redis.start()
        await crowd.during(5)
        tally = await crowd.settle()
        report("kill -9 of Redis, back after 15 s", crowd, tally)
        assert not tally.broken, tally
        assert tally.left == 0


async def test_emptyRedis(directory: Path) -> None:
    """Redis is killed and comes back without its data."""
    async with Nodes(directory, 2, isDurable=False) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        nodes.redis.restart()
        await crowd.during(5)
        tally = await crowd.settle()
        report("Redis killed, back empty", crowd, tally)
        assert not tally.broken, tally
        assert tally.left == 0, [witness.reason for witness in crowd.witnesses]
        assert tally.lost >= len(crowd.witnesses)


async def test_olderCopy(directory: Path) -> None:
    """Redis comes back with the data of some seconds ago."""
    async with Nodes(directory, 2) as nodes:
        crowd = await nodes.crowd()
        copied = directory / "copy"
        shutil.copytree(directory / "appendonlydir", copied)
        await crowd.during(3)
        crowd.listenAgain()
        nodes.redis.kill()
        shutil.rmtree(directory / "appendonlydir")
        shutil.copytree(copied, directory / "appendonlydir")
        nodes.redis.start()
        await crowd.during(5)
        tally = await crowd.settle()
        report("Redis with the data of 3 s ago", crowd, tally)
        assert not tally.broken, tally


async def test_noMemory(directory: Path) -> None:
    """Redis refuses writes with OOM for 5 seconds."""
    async with Nodes(directory, 2) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        nodes.redis.run("CONFIG", "SET", "maxmemory", "1")
        await crowd.during(5)
        nodes.redis.run("CONFIG", "SET", "maxmemory", "0")
        await crowd.during(2)
        tally = await settled("OOM for 5 s", crowd)
        assert tally.sockets == 0


async def test_noDisk(directory: Path) -> None:
    """Redis refuses writes with MISCONF for 5 seconds, since it could not save."""
    options = ("--save", "3600 1", "--enable-protected-configs", "yes")
    async with Nodes(directory, 2, *options, isDurable=False) as nodes:
        crowd = await nodes.crowd()
        gone = directory / "gone"
        gone.mkdir()
        nodes.redis.run("CONFIG", "SET", "dir", str(gone))
        gone.rmdir()
        crowd.listenAgain()
        nodes.redis.run("BGSAVE")
        await until(lambda: b"rdb_last_bgsave_status:err" in nodes.redis.run("INFO", "persistence"))
        await crowd.during(5)
        nodes.redis.run("CONFIG", "SET", "dir", str(directory))
        nodes.redis.run("BGSAVE")
        await crowd.during(2)
        tally = await settled("MISCONF for 5 s", crowd)
        assert tally.sockets == 0


async def test_userRemoved(directory: Path) -> None:
    """The user of the nodes is removed: they end clearly, with a status that is not 0."""
    async with Nodes(directory, 2) as nodes:
        await nodes.crowd(rooms=1)
        nodes.redis.run("ACL", "SETUSER", "default", "resetpass", ">other")
        for link in nodes.links:
            link.cut()
        await until(lambda: all(node.status is not None for node in nodes), "a node does not end", 20)
        for node in nodes:
            assert node.status != 0
            assert "NOAUTH" in node.output


async def test_coldStart(directory: Path) -> None:
    """All nodes are killed and started again: they adopt the rooms, and clients resume."""
    async with Nodes(directory, 2) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        for node in nodes:
            node.kill()
        for node in nodes:
            await node.start()
        await crowd.during(12)
        tally = await crowd.settle()
        report("all nodes killed and started again", crowd, tally)
        assert not tally.broken, tally
        assert (tally.lost, tally.left) == (0, 0)


async def test_kills(directory: Path) -> None:
    """
    Owners are killed again and again under load, every fourth time together with Redis.

    There are 30 seconds between two kills, since nobody takes a room whose owners die more often.
    """
    async with Nodes(directory, 3) as nodes:
        random = Random(2)
        crowd = await nodes.crowd()
        crowd.listenAgain()
        for number in range(KILLS):
            victim = nodes[nodes.ownerOf(random.choice(crowd.witnesses))]
            victim.kill()
            if number % 4 == 3:
                nodes.redis.restart()
            await sleep(random.uniform(0.2, 2))
            await victim.start()
            await sleep(30)
        await settled(f"{KILLS} kills of owners, {KILLS // 4} with Redis", crowd)


async def test_deadly(directory: Path) -> None:
    """A message kills each process that handles it: nobody takes its room any more, and a node is left."""
    async with Nodes(directory, 4) as nodes:
        client = Client(nodes.urls[0], reactor=reactor(), minDelay=0.05, maxDelay=1.0)
        try:
            room = await client.create("deadly")
            room.send("die")
            await until(lambda: sum(node.status is None for node in nodes) == 1, "nobody dies", 60)
            [left] = [node for node in nodes if node.status is None]
            await sleep(20)
            assert left.status is None
            assert "its owners have died too often" in left.output
            other = await client.create("ledger", {"who": "c"})
            await within(other.call("add", 1))
        finally:
            await client.close()
