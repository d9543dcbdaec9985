"""
The connections of a server, and what it has counted.
"""

from __future__ import annotations

from collections import Counter

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..core.codes import CloseCode, ReadyState
from ..core.connection import Connection
from ..http.factory import WireFactory
from .shutdown import inTurns

#: Connections told to go in one turn when the server stops, and seconds between two turns.
CLOSE_BATCH = 500
CLOSE_PAUSE = 0.05


@attrs.frozen
class Stats:
    """What a server has done since it was made (seed 003: verb's connection pool)."""

    #: Connections opened, and those open now.
    total: int
    active: int
    #: Upgrades that failed, by reason.
    rejected: dict[str, int]
    messagesReceived: int
    bytesReceived: int
    messagesSent: int
    bytesSent: int


class Roster:
    """The open connections by id, in the order in which they came."""

    _log = Logger()

    def __init__(self, wire: WireFactory, clock: IReactorTime) -> None:
        self._wire = wire
        self._clock = clock
        self._connections: dict[str, Connection] = {}
        self._rejected: Counter[str] = Counter()
        self._total = 0
        self._emptied: Deferred[None] | None = None

    @property
    def connections(self) -> list[Connection]:
        """Those that are open."""
        return list(self._connections.values())

    def get(self, id: str) -> Connection | None:
        """The open connection with that id."""
        return self._connections.get(id)

    def stats(self) -> Stats:
        """The counters."""
        wire = self._wire
        return Stats(
            self._total,
            len(self._connections),
            dict(self._rejected),
            wire.messagesReceived,
            wire.bytesReceived,
            wire.messagesSent,
            wire.bytesSent,
        )

    # -- who comes and goes

    def opened(self, connection: Connection) -> None:
        """One more."""
        self._total += 1
        self._connections[connection.id] = connection
        self._wire.open = len(self._connections)

    def closed(self, connection: Connection) -> None:
        """One less; its last hook may still run."""
        self._connections.pop(connection.id, None)
        self._wire.open = len(self._connections)

    def finished(self) -> None:
        """The last hook of a connection is over, or a connection that was no WebSocket is gone."""
        if self._emptied is not None and self._isEmpty:
            emptied, self._emptied = self._emptied, None
            emptied.callback(None)

    def refused(self, reason: str) -> None:
        """An upgrade failed."""
        self._rejected[reason] += 1

    # -- when the server stops

    async def closeAll(self) -> None:
        """Tell all connections to go; over when they are gone."""

        def close(connection: Connection) -> None:
            if connection.readyState is ReadyState.OPEN:
                try:
                    connection.application.shutDown(connection)
                except Exception:
                    self._log.failure("connection {id} could not be shut down", id=connection.id)
                    connection.close(CloseCode.GOING_AWAY)

        await inTurns(self._clock, self.connections, CLOSE_BATCH, CLOSE_PAUSE, close)
        await self.whenEmpty()

    def dropAll(self) -> None:
        """Drop every connection, and cancel every hook that still runs."""
        for connection in self.connections:
            connection.terminate()
            connection.cancelHook()
        for protocol in list(self._wire.finishing):
            protocol.cancelHook()

    def whenEmpty(self) -> Deferred[None]:
        """Fires when all connections are gone, also of pages and refused clients, and the last hooks over."""
        if self._isEmpty:
            return succeed(None)
        self._emptied = Deferred()
        return self._emptied

    def describe(self) -> str:
        """Who is still here, in words."""
        return (
            f"connections ({len(self._connections)} open, {len(self._wire.finishing)} with a hook that runs)"
        )

    @property
    def _isEmpty(self) -> bool:
        return not self._connections and not self._wire.finishing and self._wire.isQuiet
