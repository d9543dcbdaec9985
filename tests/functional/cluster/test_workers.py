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
from tests.functional.support import sleep, until

#: How many seconds workers may take to start or to stop.
PATIENCE = 40.0


class Group(Node):
    """A parent and its workers."""

    @property
    def workers(self) -> list[int]:
        """The processes of the workers."""
        return [int(each) for each in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

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
async def group(directory: Path, *options: str) -> AsyncIterator[tuple[Group, Crowd]]:
    """Two workers with one Redis, and clients in some rooms."""
    with RedisServer(directory) as redis:
        parent = Group(directory, redis.url, "--workers", "2", *options)
        crowd = Crowd([parent.url], perNode=4)
        workers: list[int] = []
        try:
            await parent.start()
            await parent.complete()
            workers = parent.workers
            await crowd.join()
            crowd.begin()
            await crowd.during(1)
            yield parent, crowd
        except BaseException:
            print(parent.output[-6000:])
            raise
        finally:
            await crowd.close()
            parent.kill()
            await until(lambda: not any(map(exists, workers)), "workers are left", PATIENCE)


async def test_workers(directory: Path) -> None:
    """
    The workers share one port and the rooms. If one is killed, its rooms go on at once in the other one, and
    it is replaced. Ctrl-C, which reaches all processes of the terminal, and a new start lose nothing.
    """
    async with group(directory) as (parent, crowd):
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


async def test_parentKilled(directory: Path) -> None:
    """If the parent is killed, its workers end, and so somebody else can listen on the port."""
    async with group(directory) as (parent, crowd):
        workers = parent.workers
        parent.kill()
        await until(lambda: not any(map(exists, workers)), f"workers are left: {parent.output}", PATIENCE)
        await sleep(0.1)
        await parent.start()
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
