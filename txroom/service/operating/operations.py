"""
Operations: everything that a server tells and does for operators, on all nodes.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from msgspec import Struct, to_builtins
from twisted.internet.defer import Deferred

from ...core.application import Application
from ...core.connection import Connection
from ...rooms.application import RoomApplication
from ..cluster import Cluster
from ..connections import Connections
from .connections import NodeConnections
from .managing import LogLevels, ManagedServer, Manager, OwnManager
from .memory import MemoryCount
from .simulations import NodeSimulations
from .stalls import NodeStalls
from .stats import NodeStats, Stats, StatsServer
from .stuckrooms import RoomWaits

_STATS, _DRAIN, _STAY, _LEVEL = "txroom.stats", "txroom.drain", "txroom.stay", "txroom.logLevel"


class Nodes(Struct):
    """The nodes."""

    nodes: list[NodeStats]
    #: The nodes that have not answered.
    unanswered: list[str]


class OperatedServer(StatsServer, ManagedServer, Protocol):
    """The server as its operations see it."""

    @property
    def cluster(self) -> Cluster: ...
    @property
    def applications(self) -> list[Application]: ...
    def userId(self, user: Any) -> str | None: ...
    def stay(self) -> None: ...


class Operations:
    """
    What operators see of a server and do with it, and of the others that share its rooms.

    Args:
        server: The server.
        connections: Its connections.
    """

    def __init__(self, server: OperatedServer, connections: Connections) -> None:
        self._server = server
        self.stats = Stats(server)
        self.logLevels = LogLevels()
        #: What runs the server. A program that does sets another one.
        self.manager: Manager = OwnManager(server)
        cluster = server.cluster
        self.connections = NodeConnections(
            cluster, lambda: connections.all, lambda user: server.userId(user), self._roomsOf, server.clock
        )
        self.simulations = NodeSimulations(cluster, connections, server.clock)
        self.waits = RoomWaits(cluster, self._applications)
        self.stalls = NodeStalls(cluster, server.stallDetector)
        self.memory = MemoryCount(server.clock)
        cluster.answerNode(_STATS, lambda _: to_builtins(self.stats.tell()))
        cluster.answerNode(_DRAIN, lambda _: self.manager.drain())
        cluster.answerNode(_STAY, lambda _: server.stay())
        cluster.answerNode(_LEVEL, self._setLevel)

    def _applications(self) -> list[RoomApplication]:
        return [each for each in self._server.applications if isinstance(each, RoomApplication)]

    @staticmethod
    def _roomsOf(connection: Connection) -> list[str]:
        """Return the ids of the rooms that a connection is in."""
        application: object = connection.application
        if not isinstance(application, RoomApplication):
            return []
        session = application.sessions.get(connection.id)
        return [] if session is None else list(session.rooms)

    # -- all nodes

    async def nodes(self) -> Nodes:
        """Return the statistics of all nodes."""
        answers = await self._server.cluster.askNodes(_STATS)
        found = [msgspec.convert(each, NodeStats) for each in answers.done.values()]
        return Nodes(found, list(answers.unanswered))

    def drain(self, node: str | None) -> Deferred[None]:
        """Let a node begin to drain; `None`: this one. Fails with `RoomError`."""
        return self._server.cluster.askNode(node or self.stats.node, _DRAIN)

    def stay(self, node: str | None) -> Deferred[None]:
        """Let a node serve as before `drain`; `None`: this one. Fails with `RoomError`."""
        return self._server.cluster.askNode(node or self.stats.node, _STAY)

    async def setLogLevel(self, level: str) -> list[str]:
        """Set the level of the log of all nodes. Returns those that have not done so."""
        answers = await self._server.cluster.askNodes(_LEVEL, level)
        return list(answers.unanswered)

    async def _setLevel(self, level: str) -> None:
        """Set the level of the log of this process, and of the one that writes it."""
        self.logLevels.set(level)
        await self.manager.setLogLevel(level)
