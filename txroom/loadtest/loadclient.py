"""
One client of a load test, of whatever kind.
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

#: Seconds after which a message that hasn't come back counts as lost.
RETURN_TIMEOUT = 15.0


@attrs.frozen
class LoadTestContext:
    """What all clients of a load test have in common."""

    plan: Plan
    reactor: Any
    metrics: Metrics
    #: Part of every mark: unlike that of any other load test of the same server.
    token: str
    #: Called when a client can be asked to sendNext, and when it is gone for good.
    entered: Callable[[LoadClient], None]
    left: Callable[[LoadClient], None]


class LoadClient(ABC):
    """
    A client: it comes in, speaks when it is asked to, and goes; its figures are in the metrics.
    """

    def __init__(self, context: LoadTestContext, number: int) -> None:
        self.context = context
        self.plan = context.plan
        self.metrics = context.metrics
        self.reactor = context.reactor
        self.number = number
        #: Whether it is gone, or going: what happens then is of no account.
        self.isOver = False
        #: Whether it is where it wants to be, and has ever been.
        self.isReady = False
        self.wasReady = False
        self.wasConnected = False
        self._isConnected = False
        self._since = 0.0
        self._data = self.plan.dataOf(number)
        self._roundTrips = RoundTrips(f"{context.token}{number:x}")

    # -- for the loadTest

    def enter(self) -> None:
        """Come in."""
        self.metrics.started += 1
        self._since = self.now()
        self.connect()

    @abstractmethod
    def connect(self) -> None:
        """Make a connection."""

    @abstractmethod
    def sendNext(self) -> None:
        """Send a message."""

    @abstractmethod
    def disconnect(self) -> Deferred[None]:
        """End the connection, whatever it is doing; fires when it is gone."""

    def leave(self) -> Deferred[None]:
        """Go, for good; fires when it is gone."""
        if not self.isOver:
            self.isOver = True
            self.setReady(False)
            self.setConnected(False)
            self.metrics.pending["returned"] -= self._roundTrips.clear()
            self.context.left(self)
        return self.disconnect()

    # -- for the kinds of clients

    def now(self) -> float:
        """The time."""
        seconds: float = self.reactor.seconds()
        return seconds

    def failed(self, kind: str) -> None:
        """Something went wrong."""
        if not self.isOver:
            self.metrics.failed(kind)

    def setConnected(self, isConnected: bool) -> None:
        """It is connected, or isn't any more."""
        if isConnected and not self.wasConnected:
            self.wasConnected = True
            self.metrics.everConnected += 1
            self.metrics.connectTimes.add(self.now() - self._since)
            self._since = self.now()
        self.metrics.connected += isConnected - self._isConnected
        self._isConnected = isConnected

    def setReady(self, isReady: bool) -> None:
        """It is where it wants to be, or isn't any more."""
        self.metrics.joined += isReady - self.isReady
        self.isReady = isReady
        self.wasReady = self.wasReady or isReady

    @property
    def progress(self) -> str:
        """How far one has come that isn't where it wants to be."""
        if self.wasReady:
            return "away at the end"
        return f"not {'joined' if self.wasConnected else 'connected'} at the end"

    def joined(self) -> None:
        """It is in its room for the first time."""
        self.metrics.everJoined += 1
        self.metrics.joinTimes.add(self.now() - self._since)
        self.setReady(True)

    def lost(self, code: int, reason: str) -> None:
        """The connection was lost, or could not be made."""
        if self._isConnected:
            self.metrics.disconnects[code] += 1
            self.setConnected(False)
        else:
            what = "reconnect" if self.wasConnected else "connect"
            self.failed(f"{what}: {self.withoutURL(reason) or code}")

    def withoutURL(self, reason: str) -> str:
        """Why there is no connection: of all clients, to the same server, the same."""
        return reason.partition(": ")[2] if reason.startswith(shownURL(self.plan.url)) else reason

    # -- messages that come back

    def marked(self) -> str:
        """The data of the next message."""
        return self._data.replace(MARK, self._roundTrips.next)

    def expectReturn(self) -> None:
        """That message is sent, and is to come back."""
        now = self.now()
        late = self._roundTrips.expire(now - RETURN_TIMEOUT)
        for _ in range(late):
            self.failed("returned: timeout")
        self._roundTrips.add(now)
        self.metrics.pending["returned"] += 1 - late

    def returned(self, sentAt: float | None) -> None:
        """A message that was sent then has come back."""
        if sentAt is not None:
            self.metrics.pending["returned"] -= 1
            self.metrics.took("returned", self.now() - sentAt)
