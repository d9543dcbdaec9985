"""
A parent with its workers and its store, which tests of clusters can use in place of `Nodes`.

    async with Workers(directory, 3) as nodes:
        crowd = await nodes.crowd()
        nodes[0].kill()         # the parent starts it again
        nodes.redis.kill()      # and the store too
"""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from tests.functional import launched
from tests.functional.cluster.forwarder import Forwarder
from tests.functional.cluster.nodes import Node
from tests.functional.cluster.running import Running
from tests.functional.cluster.witness import Crowd, Witness
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
        return [each for each in self.children if name in _read(each, "cmdline")]

    @property
    def workers(self) -> list[int]:
        """The processes of the workers."""
        return self.named(b"txroom-worker")

    @property
    def store(self) -> int:
        """The process of the store; 0: it is not running."""
        stores = self.named(b"store.sock")
        return stores[-1] if stores else 0

    def worker(self, slot: int) -> int:
        """The process of the worker with that number; 0: it is not running."""
        variable = f"TXROOM_WORKER={slot}".encode()
        return next((pid for pid in self.workers if variable in _read(pid, "environ").split(b"\0")), 0)

    def connections(self, process: int) -> int:
        """How many connections of clients a worker has."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        sockets = {
            f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{self.port:04X}") and row[3] == "01"
        }
        return sum(_target(file) in sockets for file in Path(f"/proc/{process}/fd").iterdir())

    async def complete(self, count: int = 2) -> None:
        """Wait until all workers serve."""
        full = f'"workers": {count}, "running": {count}'
        await until(lambda: full in self.health(), f"not complete: {self.output}", PATIENCE)

    def health(self) -> str:
        """The health page, of any worker."""
        try:
            answer = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=PATIENCE)
        except HTTPError as error:  # 503, while the worker can't serve the rooms
            answer = error
        with answer:
            return str(answer.read())

    async def killed(self) -> None:
        """Kill the parent, and wait until its children have ended."""
        children = self.children
        self.kill()
        await until(lambda: not any(map(exists, children)), f"processes are left: {self.output}", PATIENCE)


def _read(process: int, name: str) -> bytes:
    """A file about a process; empty if that has ended."""
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _target(file: Path) -> str:
    """What a link of a process leads to; empty if the process has closed the file."""
    try:
        return os.readlink(file)
    except FileNotFoundError:
        return ""


def exists(process: int) -> bool:
    """Whether there is a process with that id that has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Worker:
    """One worker, as a `Node`: the parent starts it again when it has ended."""

    def __init__(self, parent: Group, slot: int) -> None:
        self._parent = parent
        self._slot = slot
        #: Its process when it was last killed or paused.
        self._last = 0

    @property
    def pid(self) -> int:
        """Its process; 0: it is not running."""
        return self._parent.worker(self._slot)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """Stop it until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it continue."""
        os.kill(self._last, signal.SIGCONT)

    def _signal(self, number: int) -> None:
        self._last = self.pid
        assert self._last, f"worker {self._slot} is not running"
        os.kill(self._last, number)

    async def start(self) -> None:
        """Wait until the parent has started it again."""
        await until(lambda: self.pid not in (0, self._last), f"no new worker {self._slot}", PATIENCE)


class Store(RedisServer):
    """The store, as a `RedisServer`: the parent starts it again when it has ended."""

    def __init__(self, parent: Group, directory: Path) -> None:
        super().__init__(directory)
        self._parent = parent
        self._last = 0

    def find(self) -> None:
        """Find its socket."""
        title = _read(self._parent.store, "cmdline").split(b"\0")[0].decode()
        self.socket = Path(title.partition("unixsocket:")[2].split()[0])

    def start(self) -> None:
        """Wait until the parent has started it again."""
        launched.until(lambda: self._parent.store not in (0, self._last), "no new store", PATIENCE)
        launched.until(self._answers, "the store does not answer", PATIENCE)

    def _answers(self) -> bool:
        try:
            return self.run("PING") in (b"PONG", "PONG")
        except Exception:  # no connection, an end of it, or a store that loads its data
            return False

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if number != signal.SIGCONT:
            self._last = self._parent.store
        assert self._last, "the store is not running"
        os.kill(self._last, number)


class Workers(Running):
    """
    A parent with workers and a store. Clients use the port that the workers share.

    Args:
        directory: Where the logs and the data are.
        count: How many workers there are.
        options: Further options of `twistd txroom`.
        environment: Further variables of the environment of the parent.
    """

    #: The ways between nodes, Redis and clients; there are none that could be cut.
    links: tuple[Forwarder, ...] = ()
    fronts: tuple[Forwarder, ...] = ()

    def __init__(
        self, directory: Path, count: int, *options: str, environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.state = directory / "state"
        self.parent = Group(directory, "", "--workers", str(count), "--state-dir", str(self.state), *options)
        self.parent.environment = dict(environment or {})
        self.redis = Store(self.parent, directory)
        self._workers = [Worker(self.parent, slot) for slot in range(1, count + 1)]

    def __getitem__(self, number: int) -> Worker:
        return self._workers[number]

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._workers)

    def ownerOf(self, witness: Witness) -> int:
        """The index of the worker that runs the room of a client, as far as the client has heard."""
        assert witness.last is not None
        return [worker.pid for worker in self._workers].index(witness.last.owner)

    def apart(self, number: int) -> None:
        """See `Nodes.apart`: nobody knows which clients are connected to which worker."""

    @property
    def urls(self) -> list[str]:
        """The URL for clients."""
        return [self.parent.url]

    @property
    def logs(self) -> list[str]:
        """What all processes have logged."""
        return [self.parent.output]

    async def crowd(self, isSpread: bool = True, perNode: int = 6, **more: Any) -> Crowd:
        """Clients in some rooms, which any workers run, who begin to speak."""
        return await super().crowd(perNode=perNode, **more)

    async def start(self) -> None:
        """Start the parent, and wait until all workers serve."""
        await self.parent.start()
        await self.parent.complete(len(self._workers))
        self.redis.find()

    async def _begin(self) -> None:
        self._stack.push_async_callback(self._end)
        await self.start()

    async def _end(self) -> None:
        if self.parent.pid and self.parent.status is None:
            for process in self.parent.children:
                os.kill(process, signal.SIGCONT)
            await self.parent.killed()
