"""
The objects that the connections of one server share: clock, turn, timer wheel, counters and deflaters.

A connection does not know the layers above it, and reports its events to `ConnectionEvents`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..core.connection import Connection
from ..core.meters import Histogram
from ..core.options import ServerOptions
from .deflate import DeflateParameters, Deflater
from .timerwheel import TimerWheel
from .turn import Turn


class ConnectionEvents(Protocol):
    """The events of the connections of a server; implemented by `txroom.http.gateway`."""

    def opened(self, connection: Connection, options: ServerOptions) -> None:
        """Called when the 101 response of a connection with these options is written."""
        ...

    def closed(self, connection: Connection, address: str) -> None:
        """Called when the TCP connection of an open connection, counted under `address`, is closed."""
        ...

    def left(self, address: str, application: object) -> None:
        """
        Called when a connection to a protocol of a user's factory, which has no `Connection`, is closed.
        """
        ...

    def finished(self) -> None:
        """Called when the last hook of a connection has ended."""
        ...


class FinishingConnection(Protocol):
    """
    A connection that the server waits for when it stops, besides the open `Connection` objects.

    Its TCP connection is closed while one of its hooks is still running; or a protocol of a user's factory
    has it, and it is open.
    """

    def cancelHook(self) -> None:
        """Cancel the hook that is still running, or drop the open connection."""
        ...


class WireContext:
    """
    The context of all connections of one server.

    Args:
        clock: The reactor, or a clock.
        events: Called with the events of each connection.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, events: ConnectionEvents) -> None:
        self.seconds: Callable[[], float] = clock.seconds
        self.events = events
        self.turn = Turn(clock)
        self.clock = self.turn.clock
        self.wheel = TimerWheel(self.clock)
        #: Whether every event of each connection is logged; the server sets it.
        self.isTracing = False
        #: How much of each message is logged while `isTracing` is set, in characters; 0: its size, as debug.
        self.shownOfMessages = 0
        #: Totals of all connections since the start.
        self.messagesReceived = self.bytesReceived = 0
        self.messagesSent = self.bytesSent = 0
        #: The messages that were not sent, because the peer read too slowly.
        self.messagesDropped = 0
        #: The connections that were closed, by the code that `onDisconnect` got.
        self.closes: Counter[int] = Counter()
        #: The seconds from a ping of the heartbeat to its answer.
        self.pingTimes = Histogram()
        #: The connections that have not finished, see `FinishingConnection`.
        self.finishing: set[FinishingConnection] = set()
        self._deflaters: dict[tuple[int, int], Deflater] = {}

    def deflater(self, parameters: DeflateParameters) -> Deflater:
        """Get a deflater for one connection; without context takeover, all connections share one."""
        if parameters.serverTakeover:
            return Deflater(parameters)
        key = (parameters.serverBits, parameters.memoryLevel)
        if key not in self._deflaters:
            self._deflaters[key] = Deflater(parameters)
        return self._deflaters[key]

    def traceMessage(self, connection: Connection, message: str | bytes, size: int) -> None:
        """Log that a message was received; only called if `isTracing` is set."""
        if self.shownOfMessages:
            beginning = message[: self.shownOfMessages]
            self._log.info("{id} sends {beginning!r}", id=connection.id, beginning=beginning)
        else:
            self.trace(connection, "message", kind=type(message).__name__, size=size)

    def trace(self, connection: Connection, event: str, **details: object) -> None:
        """Log one event of a connection; only called if `isTracing` is set."""
        text = " ".join(f"{name}={value!r}" for name, value in details.items())
        self._log.debug("{id} {event} {text}", id=connection.id, event=event, text=text)
