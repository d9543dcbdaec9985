"""
The faults that take longer: `make chaos`.

Each test prints what it counted. `TXROOM_KILLS` sets how often processes are killed, `TXROOM_STORM` how many
seconds the storm lasts, and `TXROOM_SEED` which one it is.
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path
from random import Random, randrange
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.functional.cluster.nodes import Nodes
from tests.functional.cluster.parent import Workers
from tests.functional.cluster.test_cluster import report, settled
from tests.functional.redisserver import RedisServer
from tests.functional.support import reactor, sleep, until, within
from txroom.client import Client

pytestmark = pytest.mark.chaos
#: These tests run with nodes that share a Redis, and with a parent whose workers share its store.
Kind = type[Nodes] | type[Workers]
KINDS = pytest.mark.parametrize("kind", [Nodes, Workers])

KILLS = int(os.environ.get("TXROOM_KILLS", "20"))
STORM = float(os.environ.get("TXROOM_STORM", "180"))
SEED = int(os.environ.get("TXROOM_SEED", "0")) or randrange(1, 1_000_000)


@KINDS
async def test_paused(directory: Path, kind: Kind) -> None:
    """The owner stands still for longer than its lease: it is fenced, and what it sends then is dropped."""
    async with kind(directory, 3) as nodes:
        crowd = await nodes.crowd()
        owner = nodes.ownerOf(crowd.witnesses[0])
        crowd.listenAgain()
        nodes[owner].pause()
        await crowd.during(15)
        nodes[owner].resume()
        await crowd.during(3)
        tally = await settled("SIGSTOP of the owner, 15 s", crowd, nodes.apart(owner))
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


@KINDS
@pytest.mark.parametrize("type", ["normal", "pubsub"])
async def test_connectionsKilled(directory: Path, kind: Kind, type: str) -> None:
    """Redis ends its connections of one kind five times."""
    async with kind(directory, 2) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        for _ in range(5):
            nodes.redis.run("CLIENT", "KILL", "TYPE", type)
            await crowd.during(1)
        tally = await settled(f"{type} connections killed five times", crowd)
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


@KINDS
async def test_redisHangs(directory: Path, kind: Kind) -> None:
    """Redis hangs for 9 seconds."""
    async with kind(directory, 2) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        nodes.redis.pause()
        await crowd.during(9)
        nodes.redis.resume()
        await crowd.during(3)
        await settled("Redis hangs, 9 s", crowd)


async def test_redisAway(directory: Path) -> None:
    """Redis is gone for 15 seconds, which is longer than the leases; each node goes on with its rooms."""
    async with Nodes(directory, 3) as nodes:
        crowd = await nodes.crowd(isSpread=True, rooms=6)
        owners = [nodes.ownerOf(witness) for witness in crowd.witnesses]
        crowd.listenAgain()
        nodes.redis.kill()
        await crowd.during(15)
        nodes.redis.start()
        await crowd.during(5)
        tally = await settled("kill -9 of Redis, back after 15 s", crowd)
        assert tally.sockets == 0
        assert [nodes.ownerOf(witness) for witness in crowd.witnesses] == owners
        assert tally.epochs == 6


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


@pytest.mark.parametrize("age", [3, 30])
async def test_olderCopy(directory: Path, age: int) -> None:
    """
    Redis comes back with the data of some seconds ago.

    If the nodes still have what is missing, they write it again, and nobody notices. If not, they found their
    rooms again, and all are told so. The leases in an old copy have expired, but nobody is gone.
    """
    async with Nodes(directory, 3) as nodes:
        crowd = await nodes.crowd(isSpread=True, rooms=6)
        owners = [nodes.ownerOf(witness) for witness in crowd.witnesses]
        copied = directory / "copy"
        shutil.copytree(directory / "appendonlydir", copied)
        await crowd.during(age)
        crowd.listenAgain()
        nodes.redis.kill()
        shutil.rmtree(directory / "appendonlydir")
        shutil.copytree(copied, directory / "appendonlydir")
        nodes.redis.start()
        await crowd.during(15)
        tally = await crowd.settle()
        report(f"Redis with the data of {age} s ago", crowd, tally)
        assert not tally.broken, tally
        assert tally.left == tally.sockets == 0
        assert [nodes.ownerOf(witness) for witness in crowd.witnesses] == owners
        assert tally.lost == (0 if age == 3 else len(crowd.witnesses))


@pytest.mark.parametrize("hasOwner", [True, False])
async def test_lostTail(directory: Path, hasOwner: bool) -> None:
    """Redis is killed, perhaps together with an owner, and its disk lacks the last half second."""
    async with Nodes(directory, 3) as nodes:
        crowd = await nodes.crowd(isSpread=True, rooms=6)
        crowd.listenAgain()
        [file] = (directory / "appendonlydir").glob("*.incr.aof")
        size = file.stat().st_size
        await crowd.during(0.5)
        nodes.redis.kill()
        if not hasOwner:
            nodes[0].kill()
        os.truncate(file, size)
        nodes.redis.start()
        await crowd.during(5 if hasOwner else 14)
        tally = await crowd.settle()
        more = "" if hasOwner else ", and an owner killed"
        report(f"Redis without its last 0.5 s{more}", crowd, tally)
        assert not tally.broken, tally
        assert tally.left == 0
        if hasOwner:
            assert (tally.lost, tally.sockets) == (0, 0)


async def test_edgeKilled(directory: Path) -> None:
    """A node without rooms is killed: the clients of the other one notice nothing."""
    async with Nodes(directory, 2) as nodes:
        crowd = await nodes.crowd()
        edge = 1 - nodes.ownerOf(crowd.witnesses[0])
        crowd.listenAgain()
        nodes[edge].kill()
        await crowd.during(5)
        await settled("kill -9 of an edge", crowd, edge)
        assert crowd.elsewhere(edge)[1] < 1.5


@KINDS
@pytest.mark.parametrize(
    ("error", "setting"), [("NOREPLICAS", "min-replicas-to-write"), ("OOM", "maxmemory")]
)
async def test_refuses(directory: Path, kind: Kind, error: str, setting: str) -> None:
    """Redis refuses writes for 5 seconds, since it has no replicas or no memory."""
    async with kind(directory, 2) as nodes:
        crowd = await nodes.crowd()
        crowd.listenAgain()
        nodes.redis.run("CONFIG", "SET", setting, "1")
        await crowd.during(5)
        nodes.redis.run("CONFIG", "SET", setting, "0")
        await crowd.during(2)
        tally = await settled(f"{error} for 5 s", crowd)
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


@KINDS
async def test_coldStart(directory: Path, kind: Kind) -> None:
    """All nodes are killed and started again: they adopt the rooms, and clients resume."""
    async with kind(directory, 2) as nodes:
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


FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


def shifted(file: Path, by: str) -> dict[str, str]:
    """The environment of a process whose clock is shifted by what the file says, such as "+3600" seconds."""
    if not FAKETIME.exists():
        pytest.skip("libfaketime is not installed (Debian: faketime)")
    file.write_text(by)
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


async def test_clockOfNode(directory: Path) -> None:
    """The clock of one node is an hour ahead, and is set back while it runs rooms."""
    environment = shifted(directory / "shift", "+3600")
    async with Nodes(directory, 2) as nodes:
        nodes[0].kill()
        nodes[0].environment = environment
        await nodes[0].start()
        crowd = await nodes.crowd(isSpread=True)
        crowd.listenAgain()
        await crowd.during(3)
        (directory / "shift").write_text("-3600")
        await crowd.during(3)
        tally = await settled("the clock of a node an hour off", crowd)
        assert tally.sockets == tally.recovered == 0
        assert tally.silence < 3


async def test_clockOfRedis(directory: Path) -> None:
    """Redis's clock jumps by an hour, forward and back, and by 15 seconds."""
    shift = directory / "shift"
    environment = shifted(shift, "+0")
    try:
        with RedisServer(directory, environment=environment):
            pass
    except AssertionError:
        pytest.skip("this server doesn't run with libfaketime; valkey without jemalloc does")
    async with Nodes(directory, 3, isDurable=False, environment=environment) as nodes:
        crowd = await nodes.crowd(isSpread=True)
        crowd.listenAgain()
        for by in ("+3600", "+0", "-3600", "+0", "+15", "+0"):
            shift.write_text(by)
            await crowd.during(5)
        tally = await settled("the clock of Redis jumps six times", crowd)
        assert tally.sockets == 0
        assert tally.owners == 3


async def test_kills(directory: Path) -> None:
    """
    Owners are killed again and again under load, every fourth time together with Redis.

    The nodes are told that Redis never loses anything: otherwise a room whose owner dies together with Redis
    begins a new epoch. There are 30 seconds between two kills, since nobody takes a room whose owners die
    more often.
    """
    async with Nodes(directory, 3, nodeOptions=("--redis-durable",)) as nodes:
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


class Storm:
    """Faults at random, some at the same time."""

    def __init__(self, nodes: Nodes | Workers, random: Random) -> None:
        self._nodes = nodes
        self._random = random
        self._killedAt = 0.0
        cuts = (self.cutClients, self.cutRedis, self.hold, self.delay) if nodes.links else ()
        self._faults = (*cuts, self.pause, self.kill, self.restartRedis, self.pauseRedis, self.fillRedis)
        #: The faults, with the seconds at which they began.
        self.log: list[str] = []
        #: What is broken now; only one fault may be there of each thing.
        self._busy: set[object] = set()

    async def rage(self, seconds: float) -> None:
        """Let faults happen for a while, and wait until all of them are over."""
        began = reactor().seconds()
        raging = []
        while (now := reactor().seconds() - began) < seconds:
            fault = self._random.choice(self._faults)
            self.log.append(f"{now:.1f} {fault.__name__}")
            raging.append(Deferred.fromCoroutine(fault()))
            await sleep(self._random.expovariate(1 / 2))
        for each in raging:
            await each

    async def during(self, thing: object, seconds: float, begin: Any, end: Any) -> None:
        """Break a thing for a while, unless it is broken already."""
        if thing in self._busy:
            return
        self._busy.add(thing)
        self.log[-1] += f" {seconds:.1f} s"
        begin()
        await sleep(seconds)
        end()
        self._busy.discard(thing)

    async def cutClients(self) -> None:
        """Reset the connections of the clients of one node."""
        self._random.choice(self._nodes.fronts).cut()

    async def cutRedis(self) -> None:
        """Reset the connections of one node to Redis."""
        self._random.choice(self._nodes.links).cut()

    async def hold(self) -> None:
        """Cut one node from Redis."""
        link = self._random.choice(self._nodes.links)
        await self.during(link, self._random.uniform(0.5, 14), link.hold, link.release)

    async def delay(self) -> None:
        """Make the way of one node to Redis slow."""
        link = self._random.choice(self._nodes.links)

        def change(seconds: float) -> None:
            link.delay = seconds

        await self.during(link, 4, partial(change, self._random.uniform(0, 0.3)), partial(change, 0.0))

    async def pause(self) -> None:
        """Let one node stand still."""
        node: Any = self._random.choice(list(self._nodes))
        await self.during(node, self._random.uniform(0.5, 14), node.pause, node.resume)

    async def kill(self) -> None:
        """Kill one node, which is started again soon; not too often, since its rooms would be given up."""
        node: Any = self._random.choice(list(self._nodes))
        now = reactor().seconds()
        if node in self._busy or now - self._killedAt < 31:
            return
        self._killedAt = now
        self._busy.add(node)
        node.kill()
        await sleep(self._random.uniform(0, 5))
        await node.start()
        self._busy.discard(node)

    async def restartRedis(self) -> None:
        """Kill Redis, which comes back soon."""
        redis = self._nodes.redis
        await self.during(redis, self._random.uniform(0, 3), redis.kill, redis.start)

    async def pauseRedis(self) -> None:
        """Let Redis stand still."""
        redis = self._nodes.redis
        await self.during(redis, self._random.uniform(0.5, 6), redis.pause, redis.resume)

    async def fillRedis(self) -> None:
        """Let Redis refuse writes."""
        redis = self._nodes.redis
        full = partial(redis.run, "CONFIG", "SET", "maxmemory")
        await self.during(redis, 3, partial(full, "1"), partial(full, "0"))


@pytest.mark.parametrize(
    ("isDurable", "kind"),
    [(False, Nodes), (True, partial(Nodes, nodeOptions=("--redis-durable",))), (True, Workers)],
    ids=["", "durable", "workers"],
)
async def test_storm(directory: Path, isDurable: bool, kind: Kind) -> None:
    """
    Everything happens at random, and at the same time.

    Redis keeps its data in all of it. If the nodes are told that it always does, as workers are, nobody loses
    anything. Otherwise a room begins a new epoch if Redis was restarted while no node had the room.
    """
    async with kind(directory, 3) as nodes:
        crowd = await nodes.crowd(isSpread=True, rooms=6)
        crowd.listenAgain()
        storm = Storm(nodes, Random(SEED))
        await storm.rage(STORM)
        print("; ".join(storm.log))
        tally = await crowd.settle(120)
        title = "durable storm" if isDurable else "storm"
        report(f"{title} {SEED}, {STORM:g} s, {len(storm.log)} faults", crowd, tally)
        assert not tally.broken, tally
        assert tally.left == 0, [str(each) for each in crowd.witnesses if each.counts["left"]]
        assert tally.lost == 0 or not isDurable
