"""
`LoadClient`: one client of a load test; its subclasses speak the protocols.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from ..client.transport import shownURL
from .metrics import Metrics
from .plan import MARK, Plan
from .roundtrips import RoundTrips

#: After this many seconds a message that has not returned counts as lost.
RETURN_TIMEOUT = 15.0


@attrs.frozen
class LoadTestContext:
    """What all clients of a load test share."""

    plan: Plan
    reactor: Any
    metrics: Metrics
    #: A part of every mark, different from that of any other load test on the same server.
    token: str
    #: Called when a client is ready to send, and when it has ended.
    entered: Callable[[LoadClient], None]
    left: Callable[[LoadClient], None]


class LoadClient(ABC):
    """
    A client that connects, sends when it is asked to, and disconnects; its figures are added to the
    metrics.
    """

    def __init__(self, context: LoadTestContext, number: int) -> None:
        self.context = context
        self.plan = context.plan
        self.metrics = context.metrics
        self.reactor = context.reactor
        self.number = number
        #: Whether the client has ended or is ending; later events are not counted.
        self.isOver = False
        #: Whether the client is ready to send (a client of rooms: in its room), and whether it ever was.
        self.isReady = False
        self.wasReady = False
        self.wasConnected = False
        self._isConnected = False
        self._since = 0.0
        self._data = self.plan.dataOf(number)
        self._roundTrips = RoundTrips(f"{context.token}{number:x}")

    # -- for the load test

    def enter(self) -> None:
        """Start the client."""
        self.metrics.started += 1
        self._since = self.now()
        self.connect()

    @abstractmethod
    def connect(self) -> None:
        """Open a connection."""

    @abstractmethod
    def sendNext(self) -> None:
        """Send a message."""

    @abstractmethod
    def disconnect(self) -> Deferred[None]:
        """Close the connection, whatever its state. The Deferred fires when it is closed."""

    def leave(self) -> Deferred[None]:
        """End the client. The Deferred fires when its connection is closed."""
        if not self.isOver:
            self.isOver = True
            self.setReady(False)
            self.setConnected(False)
            self.metrics.pending["returned"] -= self._roundTrips.clear()
            self.context.left(self)
        return self.disconnect()

    # -- for subclasses

    def now(self) -> float:
        """Return the time of the reactor, in seconds."""
        seconds: float = self.reactor.seconds()
        return seconds

    def failed(self, kind: str) -> None:
        """Count an error of that kind."""
        if not self.isOver:
            self.metrics.failed(kind)

    def setConnected(self, isConnected: bool) -> None:
        """Note whether the client is connected."""
        if isConnected and not self.wasConnected:
            self.wasConnected = True
            self.metrics.everConnected += 1
            self.metrics.connectTimes.add(self.now() - self._since)
            self._since = self.now()
        self.metrics.connected += isConnected - self._isConnected
        self._isConnected = isConnected

    def setReady(self, isReady: bool) -> None:
        """Note whether the client is ready to send."""
        self.metrics.joined += isReady - self.isReady
        self.isReady = isReady
        self.wasReady = self.wasReady or isReady

    @property
    def progress(self) -> str:
        """How far a client that is not ready has come, as a kind of error."""
        if self.wasReady:
            return "away at the end"
        return f"not {'joined' if self.wasConnected else 'connected'} at the end"

    def joined(self) -> None:
        """Note that the client has joined its room for the first time."""
        self.metrics.everJoined += 1
        self.metrics.joinTimes.add(self.now() - self._since)
        self.setReady(True)

    def lost(self, code: int, reason: str) -> None:
        """Count a connection that was lost or could not be opened."""
        if self._isConnected:
            self.metrics.disconnects[code] += 1
            self.setConnected(False)
        else:
            what = "reconnect" if self.wasConnected else "connect"
            self.failed(f"{what}: {self.withoutURL(reason) or code}")

    def withoutURL(self, reason: str) -> str:
        """Return the reason without the URL, so that the errors of all clients are of the same kind."""
        return reason.partition(": ")[2] if reason.startswith(shownURL(self.plan.url)) else reason

    # -- messages that return to their sender

    def marked(self) -> str:
        """Return the data of the next message, with its mark."""
        return self._data.replace(MARK, self._roundTrips.next)

    def expectReturn(self) -> None:
        """Note that a message was sent which the server sends back."""
        now = self.now()
        late = self._roundTrips.expire(now - RETURN_TIMEOUT)
        for _ in range(late):
            self.failed("returned: timeout")
        self._roundTrips.add(now)
        self.metrics.pending["returned"] += 1 - late

    def returned(self, sentAt: float | None) -> None:
        """
        Note that a message which was sent at that time has returned; `None`: it is not one of this client's.
        """
        if sentAt is not None:
            self.metrics.pending["returned"] -= 1
            self.metrics.took("returned", self.now() - sentAt)
