"""Several processes on one machine: a parent with workers, as a user starts it."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.functional.cluster.nodes import Node
from tests.functional.cluster.test_cluster import settled
from tests.functional.cluster.witness import Crowd
from tests.functional.redisserver import RedisServer
from tests.functional.support import until

#: How many seconds workers may take to start or to stop.
PATIENCE = 40.0


class Group(Node):
    """A parent and its workers."""

    @property
    def children(self) -> list[int]:
        """The processes that the parent has started."""
        return [int(each) for each in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def named(self, name: bytes) -> list[int]:
        """Those with that name in their command lines."""
        return [each for each in self.children if name in Path(f"/proc/{each}/cmdline").read_bytes()]

    @property
    def workers(self) -> list[int]:
        """The processes of the workers."""
        return self.named(b"txroom-worker")

    async def complete(self, count: int = 2) -> None:
        """Wait until all workers serve."""
        full = f'"workers": {count}, "running": {count}'
        await until(lambda: full in self.health(), f"not complete: {self.output}", PATIENCE)

    def health(self) -> str:
        """The health page, of any worker."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=PATIENCE) as answer:
            return str(answer.read())


def exists(process: int) -> bool:
    """Whether there is a process with that id that has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@asynccontextmanager
async def group(directory: Path, redis: str, *options: str) -> AsyncIterator[tuple[Group, Crowd]]:
    """Two workers, and clients in some rooms."""
    parent = Group(directory, redis, "--workers", "2", *options)
    crowd = Crowd([parent.url], perNode=4)
    processes: list[int] = []
    try:
        await parent.start()
        await parent.complete()
        processes = parent.children
        await crowd.join()
        crowd.begin()
        await crowd.during(1)
        yield parent, crowd
    except BaseException:
        print(parent.output[-6000:])
        raise
    finally:
        await crowd.close()
        if parent.status is None and parent.pid:
            processes += parent.children
        parent.kill()
        await until(lambda: not any(map(exists, processes)), "processes are left", PATIENCE)


async def test_workers(directory: Path) -> None:
    """
    The workers share one port and the rooms. If one is killed, its rooms go on at once in the other one, and
    it is replaced. Ctrl-C, which reaches all processes of the terminal, and a new start lose nothing.
    """
    with RedisServer(directory) as redis:
        await killedAndStopped(directory, redis.url)


async def killedAndStopped(directory: Path, redis: str) -> None:
    """The body of `test_workers`."""
    async with group(directory, redis) as (parent, crowd):
        last = crowd.witnesses[0].last
        assert last is not None and last.owner in parent.workers
        crowd.listenAgain()
        os.kill(last.owner, signal.SIGKILL)
        await crowd.during(4)
        tally = await settled("kill -9 of a worker", crowd)
        assert tally.silence < 5, tally
        assert "was ended by signal 9; it is started again in 0.1 s" in parent.output
        await parent.complete()
        assert len(parent.workers) == 2

        crowd.begin()
        await crowd.during(1)
        workers = parent.workers
        os.killpg(parent.pid, signal.SIGINT)
        await until(lambda: parent.status is not None, f"it does not stop: {parent.output}", PATIENCE)
        assert not any(map(exists, workers))
        assert "Traceback" not in parent.output
        await parent.start()
        await crowd.during(1)
        await settled("Ctrl-C and start", crowd)


async def test_store(directory: Path) -> None:
    """
    With a store of their own: if it is killed, it is started again. If the parent is killed, everything ends,
    and the next parent goes on with the rooms.
    """
    async with group(directory, "", "--state-dir", str(directory / "state")) as (parent, crowd):
        (store,) = parent.named(b"store.sock")[-1:]
        os.kill(store, signal.SIGKILL)
        await crowd.during(2)
        await settled("kill -9 of the store", crowd)
        children = parent.children
        crowd.begin()
        parent.kill()
        await until(lambda: not any(map(exists, children)), f"processes are left: {parent.output}", PATIENCE)
        await parent.start()
        await crowd.during(1)
        await settled("kill -9 of the parent", crowd)


async def test_noWorker(directory: Path) -> None:
    """If no worker can start, the parent ends with status 1 and says why."""
    parent = Group(directory, "unix:///nowhere", "--workers", "2", "--app", "nosuch:app")
    parent.begin()
    await until(lambda: parent.status is not None, f"it does not end: {parent.output}", PATIENCE)
    assert parent.status == 1
    why = "txroom: --app nosuch:app: there is no module 'nosuch'"
    assert "txroom: no worker could start; the last lines of worker" in parent.output
    assert f":\n{why}\n" in parent.output, parent.output
