"""
The statistics of a server, for operators.
"""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Protocol

from msgspec import Struct

from ...core.options import ServerOptions
from ...rooms.contract.ports import EngineService
from ..health import HealthPage, StallDetector
from ..meters import Meters
from ..reactorlag import ReactorLag
from ..workerplace import WorkerPlace

_STATM = "/proc/self/statm"


class NodeStats(Struct):
    """A node: one of the servers that share rooms, and how it is."""

    #: Its id, which is new at each start.
    node: str
    host: str = ""
    pid: int = 0
    #: The number of the worker; null: it has no parent.
    slot: int | None = None
    #: The versions of txroom and Python, and the class of the reactor.
    version: str = ""
    python: str = ""
    reactor: str = ""
    #: When it started, in seconds since 1970, and for how many seconds it has run.
    startedAt: float = 0.0
    uptime: float = 0.0
    #: What its health page says, such as "ok".
    status: str = ""
    isDraining: bool = False
    connections: int = 0
    #: The number of connections that were opened.
    connectionsOpened: int = 0
    rooms: int = 0
    #: The members of its rooms, connected or not.
    members: int = 0
    #: Messages and their bytes since the start, without frames and compression; one to many counts for each.
    messagesReceived: int = 0
    bytesReceived: int = 0
    messagesSent: int = 0
    bytesSent: int = 0
    #: The messages that were not sent because a client read too slowly.
    messagesDropped: int = 0
    #: How late the reactor was in the last minute, in milliseconds: half of the times, and 99 of 100. It is
    #: measured if the node has an admin listener; else 0.
    lagP50: float = 0.0
    lagP99: float = 0.0
    #: The memory that it has, in bytes; null where that is not known.
    rss: int | None = None
    #: The processor time that it has used.
    cpuSeconds: float = 0.0


class StatsServer(Protocol):
    """The server as its statistics see it."""

    options: ServerOptions
    stallDetector: StallDetector
    engine: EngineService
    clock: Any
    meters: Meters
    worker: WorkerPlace | None
    reactorLag: ReactorLag

    @property
    def isDraining(self) -> bool: ...
    def healthPage(self) -> HealthPage: ...


class Stats:
    """
    Tells the statistics of a server.

    Args:
        server: The server.
        wallClock: Returns the time of day, in seconds since 1970.
    """

    def __init__(self, server: StatsServer, wallClock: Callable[[], float] = time.time) -> None:
        self._server = server
        self._wallClock = wallClock
        self._since = server.clock.seconds()
        self._health = server.healthPage()

    @property
    def node(self) -> str:
        """The id of the node of this server; empty: it isn't one yet."""
        return next((each.id for each in self._server.engine.nodes()), "")

    def health(self) -> dict[str, Any]:
        """Return what the health page says."""
        return self._health.whole()[0]

    def tell(self) -> NodeStats:
        """Return the statistics."""
        server, meters = self._server, self._server.meters
        uptime = server.clock.seconds() - self._since
        return NodeStats(
            node=self.node,
            host=socket.gethostname(),
            pid=os.getpid(),
            slot=None if server.worker is None else server.worker.slot,
            version=version("txroom"),
            python=platform.python_version(),
            reactor=type(server.clock).__name__,
            startedAt=round(self._wallClock() - uptime, 3),
            uptime=round(uptime, 3),
            status=self._health.report()["status"],
            isDraining=server.isDraining,
            connections=meters.connections,
            connectionsOpened=meters.connectionsOpened,
            rooms=sum(meters.rooms.values()),
            members=sum(meters.members.values()),
            messagesReceived=meters.messagesReceived,
            bytesReceived=meters.bytesReceived,
            messagesSent=meters.messagesSent,
            bytesSent=meters.bytesSent,
            messagesDropped=meters.messagesDropped,
            lagP50=round(server.reactorLag.quantile(0.5) * 1000, 2),
            lagP99=round(server.reactorLag.quantile(0.99) * 1000, 2),
            rss=residentSize(),
            cpuSeconds=round(time.process_time(), 3),
        )


def residentSize() -> int | None:
    """Return the bytes of memory that this process has; `None` where that is not known."""
    try:
        with open(_STATM, "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
