"""
Nodes of txroom as processes, which share one Redis.

    async with Nodes(directory, 3) as nodes:
        crowd = await nodes.crowd()
        nodes[0].kill()
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint

from tests.functional.cluster.forwarder import Forwarder
from tests.functional.cluster.running import Running
from tests.functional.cluster.witness import Witness
from tests.functional.launched import command, freePort
from tests.functional.redisserver import RedisServer
from tests.functional.support import environment, reactor, until

APP = "tests.functional.cluster.rooms:makeServer"
#: How many seconds a node may take to start.
START = 60.0


class Node:
    """
    One node.

    Args:
        directory: Where its output goes.
        redis: The URL of its Redis; empty: its rooms are in its memory.
        options: Further options of `twistd txroom`; "{admin}" in them is its `admin`.
    """

    def __init__(self, directory: Path, redis: str, *options: str) -> None:
        #: Further variables of its environment.
        self.environment: dict[str, str] = {}
        self.port = freePort()
        #: A port of its own for the HTTP API, if its options say so.
        self.admin = freePort()
        self._log = directory / f"node-{self.port}.log"
        self._redis = redis
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        #: The id of its newest process, also after that has ended; 0: it was never started.
        self.pid = 0

    @property
    def url(self) -> str:
        """The URL of its rooms."""
        return f"ws://127.0.0.1:{self.port}/rooms"

    @property
    def output(self) -> str:
        """What it has logged, in all its lives."""
        return self._log.read_text("utf-8")

    @property
    def status(self) -> int | None:
        """The exit status of its process; `None` while it is running."""
        return None if self._process is None else self._process.poll()

    def begin(self) -> None:
        """Start its process."""
        listen = ("--listen", f"tcp:{self.port}:interface=127.0.0.1")
        redis = ("--redis", self._redis) if self._redis else ()
        options = (each.replace("{admin}", str(self.admin)) for each in self._options)
        arguments = (*listen, "--app", APP, *redis, *options)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command(("twistd", "-n"), *arguments),
                env={**environment(), **self.environment},
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._written = self._log.stat().st_size

    async def ready(self) -> None:
        """Wait until it serves."""
        await until(self._isReady, f"a node does not start: {self.output}", START)

    def _isReady(self) -> bool:
        assert self.status is None, f"a node has ended with {self.status}: {self.output}"
        return "listening: " in self.output[self._written :]

    async def start(self) -> None:
        """Start it, and wait until it serves."""
        self.begin()
        await self.ready()

    def kill(self) -> None:
        """End it with SIGKILL."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def pause(self) -> None:
        """Stop it until `resume`."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it continue."""
        self.signal(signal.SIGCONT)

    async def stop(self) -> int:
        """End it as an operator does, and return its status."""
        self.signal(signal.SIGTERM)
        await until(lambda: self.status is not None, f"a node does not stop: {self.output}", START)
        status = self.status
        assert status is not None
        return status


class Nodes(Running):
    """
    A Redis with several nodes, each of which reaches it through a `Forwarder` of its own.

    Clients connect through forwarders too: to a node of their own, and if that is gone to the next one.

    Args:
        directory: Where the sockets, logs and data are.
        count: How many nodes there are.
        options: Further options of redis-server.
        nodeOptions: Further options of the nodes.
        isDurable: Whether Redis writes everything to its disk before it replies.
        environment: Further variables of the environment of Redis.
    """

    def __init__(
        self,
        directory: Path,
        count: int,
        *options: str,
        nodeOptions: tuple[str, ...] = (),
        isDurable: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.directory = directory
        self.redis = RedisServer(directory, *options, isDurable=isDurable, environment=environment)
        self._nodeOptions = nodeOptions
        self._count = count
        self._nodes: list[Node] = []
        #: The ways from the nodes to Redis.
        self.links: list[Forwarder] = []
        #: The ways from clients to the nodes.
        self.fronts: list[Forwarder] = []

    def __getitem__(self, number: int) -> Node:
        return self._nodes[number]

    @property
    def urls(self) -> list[str]:
        """The URLs for clients, one for each node; the first node creates the rooms of a crowd."""
        return [f"ws://127.0.0.1:{front.port}/rooms" for front in self.fronts]

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes)

    def ownerOf(self, witness: Witness) -> int:
        """The number of the node that runs the room of a client, as far as the client has heard."""
        assert witness.last is not None
        return [node.pid for node in self._nodes].index(witness.last.owner)

    def apart(self, number: int) -> int:
        """The node of which the clients of the others must notice nothing."""
        return number

    @property
    def logs(self) -> list[str]:
        """What the nodes have logged."""
        return [node.output for node in self._nodes]

    async def _begin(self) -> None:
        self._stack.enter_context(self.redis)
        for _ in range(self._count):
            link = await Forwarder.to(UNIXClientEndpoint(reactor(), str(self.redis.socket)))
            self._stack.push_async_callback(link.close)
            self.links.append(link)
            node = Node(self.directory, f"redis://127.0.0.1:{link.port}", *self._nodeOptions)
            self._stack.callback(node.kill)
            self._nodes.append(node)
            node.begin()
        for node in self._nodes:
            await node.ready()
        targets = [TCP4ClientEndpoint(reactor(), "127.0.0.1", node.port, 2) for node in self._nodes]
        for number in range(self._count):
            front = await Forwarder.to(*targets[number:], *targets[:number])
            self._stack.push_async_callback(front.close)
            self.fronts.append(front)
