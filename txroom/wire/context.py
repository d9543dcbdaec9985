"""
What the connections of one server share: the clock, the timer wheel, the counters and the deflaters.

A connection knows nothing of what lies above it. What it has to tell goes to `ConnectionEvents`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..core.connection import Connection
from ..core.options import ServerOptions
from .deflate import DeflateParameters, Deflater
from .timerwheel import TimerWheel
from .turn import Turn


class ConnectionEvents(Protocol):
    """What becomes of the connections of a server; implemented by who admits them."""

    def opened(self, connection: Connection, options: ServerOptions) -> None:
        """The 101 answer of a connection, which has these options, is written."""
        ...

    def closed(self, connection: Connection, address: str) -> None:
        """The TCP connection of an opened connection, which is counted under `address`, is gone."""
        ...

    def left(self, address: str, application: object) -> None:
        """A connection of which only that was known is gone; it was no `Connection`."""
        ...

    def finished(self) -> None:
        """The last hook of a connection is over."""
        ...


class FinishingConnection(Protocol):
    """A connection whose TCP connection is gone, but not yet its last hook."""

    def cancelHook(self) -> None:
        """Cancel the hook that still runs."""
        ...


class WireContext:
    """
    Shared by all connections of one server.

    Args:
        clock: The time of every deadline.
        events: Told what becomes of each connection.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, events: ConnectionEvents) -> None:
        self.seconds: Callable[[], float] = clock.seconds
        self.events = events
        self.turn = Turn(clock)
        self.clock = self.turn.clock
        self.wheel = TimerWheel(self.clock)
        #: Whether each event of each connection is logged; set by the server.
        self.isTracing = False
        #: Of all connections so far.
        self.messagesReceived = self.bytesReceived = 0
        self.messagesSent = self.bytesSent = 0
        self.finishing: set[FinishingConnection] = set()
        self._deflaters: dict[tuple[int, int], Deflater] = {}

    def deflater(self, parameters: DeflateParameters) -> Deflater:
        """A deflater for one connection, or without context takeover the one that all share."""
        if parameters.serverTakeover:
            return Deflater(parameters)
        key = (parameters.serverBits, parameters.memoryLevel)
        if key not in self._deflaters:
            self._deflaters[key] = Deflater(parameters)
        return self._deflaters[key]

    def trace(self, connection: Connection, event: str, **details: object) -> None:
        """Log one event of a connection; call it only if `isTracing`."""
        text = " ".join(f"{name}={value!r}" for name, value in details.items())
        self._log.debug("{id} {event} {text}", id=connection.id, event=event, text=text)
