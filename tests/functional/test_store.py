"""The bundled store with a real Redis: kills, restarts, two holders of one directory, and damaged data."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest_twisted

from tests.functional.support import reactor, until, within
from tests.requires import requires
from txroom.engine.redis.client import RedisClient
from txroom.process.workers.store import Store

Made = Callable[..., Store]


@pytest_twisted.async_yield_fixture
async def make() -> AsyncIterator[Made]:
    """Makes stores that are stopped at the end."""
    requires("redis-server")
    made: list[Store] = []

    def one(stateDir: Path | None = None, **more: Any) -> Store:
        made.append(Store(reactor(), None if stateDir is None else str(stateDir), **more))
        return made[-1]

    yield one
    for store in made:
        await within(store.stop(), f"a store does not stop: {store.state}")


async def ask(store: Store, *args: str | int) -> Any:
    """Run one command by a connection of its own."""
    client = RedisClient(reactor(), store.url, isQuiet=True)
    try:
        await within(client.start(), "no connection")
        return await within(client.ask(*args), f"no reply to {args[0]}")
    finally:
        await client.stop()


def isAlive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def pidOf(store: Store) -> int:
    info: bytes = await ask(store, "INFO", "server")
    (line,) = (line for line in info.splitlines() if line.startswith(b"process_id:"))
    return int(line.partition(b":")[2])


async def test_killed(make: Made, tmp_path: Path) -> None:
    """A store that was killed comes back with all it has confirmed, in a session of its own."""
    store = make(tmp_path / "state")
    died: list[str] = []
    store.onDied = died.append
    assert await within(store.start()) == store.url
    pid = await pidOf(store)
    assert os.getsid(pid) == pid
    for number in range(20):
        await ask(store, "RPUSH", "list", number)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: died, "the store did not die")
    assert [int(each) for each in await ask(store, "LRANGE", "list", 0, -1)] == list(range(20))
    assert await pidOf(store) != pid
    assert died == ["it was ended by SIGKILL"]


async def test_again(make: Made, tmp_path: Path) -> None:
    """Data with a state directory outlives the store; the next store may be asked to start before that."""
    first, second = make(tmp_path / "state"), make(tmp_path / "state")
    await within(first.start())
    await ask(first, "SET", "key", "value")
    started = second.start()
    await within(first.stop())
    await within(started)
    assert await ask(second, "GET", "key") == b"value"
    assert (first.run, (tmp_path / "state").stat().st_mode & 0o777) == (second.run, 0o700)
