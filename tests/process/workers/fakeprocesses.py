"""
Processes of workers in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from tests.process.workers.processes import MemoryProcess
from txroom.process.jsonlog import fieldsOf
from txroom.process.settings import Settings
from txroom.process.workers.child import WorkerProcess
from txroom.process.workers.output import RecordObserver
from txroom.process.workers.pipe import (
    FROM_PARENT,
    TO_PARENT,
    Down,
    Joining,
    Message,
    Messages,
    Ready,
    Start,
    encode,
)
from txroom.process.workers.watching import Watching
from txroom.testing import MemoryReactor


def startOf(slot: int = 1, count: int = 2) -> Start:
    """The first message to a worker."""
    return Start(slot, count, Settings(), [], [], "twisted.internet.epollreactor")


class FakeProcess(MemoryProcess):
    """The process of a worker, and its transport."""

    protocol: WorkerProcess

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        #: The messages that it has received.
        self.received: list[Down] = []
        self.isReading = True
        self._messages: Messages[Down] = Messages(Down)

    def writeToChild(self, descriptor: int, data: bytes) -> None:
        assert descriptor == FROM_PARENT
        if not self.isReading:
            raise KeyError(descriptor)
        self.received += self._messages.feed(data)

    # -- what the process does

    @property
    def names(self) -> list[str]:
        """The names of the messages that it has received."""
        return [type(message).__name__ for message in self.received]

    def send(self, message: Message) -> None:
        """Send a message to the parent."""
        self.protocol.childDataReceived(TO_PARENT, encode(message))

    def serve(self, *served: str, node: str | None = "") -> None:
        """Serve; `node` is its id, by default a new one, or `None` if its rooms are in its memory."""
        if node is not None:
            self.join(node)
        self.send(Ready(10.0, list(served)))

    def join(self, node: str = "") -> None:
        """Become a node."""
        self.send(Joining(node or f"node-{self.pid}"))

    def fails(self, what: str, error: Exception, room: str) -> None:
        """Log an exception in a room."""
        observer = RecordObserver(lambda data: self.protocol.childDataReceived(2, data), fieldsOf)
        Logger("test", observer=observer).failure("{what}", Failure(error), what=what, room=room)

    def output(self, text: str, descriptor: int = 2) -> None:
        """Write to the standard output or error."""
        self.protocol.childDataReceived(descriptor, text.encode())


class FakeWatcher(MemoryProcess):
    """The process of a watcher, which ends when its parent needs it no longer."""

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.isToEnd:
            self.end()


class WorkersReactor(MemoryReactor):
    """A reactor in memory that starts processes in memory, and whose ports have descriptors."""

    def __init__(self) -> None:
        super().__init__()
        #: The processes of workers.
        self.processes: list[FakeProcess] = []
        self.watchers: list[FakeWatcher] = []
        self.spawned: list[dict[str, Any]] = []
        self.calls: list[Any] = []

    def spawnProcess(self, protocol: Any, executable: Any, args: Any, env: Any, **more: Any) -> MemoryProcess:
        if isinstance(protocol, Watching):
            watcher = FakeWatcher(protocol, 90 + len(self.watchers), args)
            self.watchers.append(watcher)
            protocol.makeConnection(watcher)
            return watcher
        process = FakeProcess(protocol, 100 + len(self.processes), args)
        self.processes.append(process)
        self.spawned.append({"executable": executable, "args": args, "env": env, **more})
        protocol.makeConnection(process)
        return process

    def callFromThread(self, function: Any, *args: Any, **more: Any) -> None:
        self.callLater(0, function, *args, **more)

    def _listen(self, address: Any, factory: Any) -> Any:
        port: Any = super()._listen(address, factory)
        port.isReading = True
        port.stopReading = lambda: setattr(port, "isReading", False)
        port.fileno = lambda: 50 + self.ports.index(port)
        return port
