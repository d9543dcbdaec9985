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
from .plan import MARK, Plan
from .returns import Returns
from .tally import Tally

#: Seconds after which a message that hasn't come back counts as lost.
RETURN_TIMEOUT = 15.0


@attrs.frozen
class Stage:
    """What all clients of a load test have in common."""

    plan: Plan
    reactor: Any
    tally: Tally
    #: Part of every mark: unlike that of any other load test of the same server.
    token: str
    #: Called when a client can be asked to speak, and when it is gone for good.
    entered: Callable[[Guest], None]
    left: Callable[[Guest], None]


class Guest(ABC):
    """
    A client: it comes in, speaks when it is asked to, and goes; its figures are in the tally.
    """

    def __init__(self, stage: Stage, number: int) -> None:
        self.stage = stage
        self.plan = stage.plan
        self.tally = stage.tally
        self.reactor = stage.reactor
        self.number = number
        #: Whether it is gone, or going: what happens then is of no account.
        self.isOver = False
        #: Whether it is where it wants to be, and has ever been.
        self.isIn = False
        self.wasIn = False
        self.wasConnected = False
        self._isConnected = False
        self._since = 0.0
        self._data = self.plan.dataOf(number)
        self._returns = Returns(f"{stage.token}{number:x}")

    # -- for the crowd

    def enter(self) -> None:
        """Come in."""
        self.tally.started += 1
        self._since = self.now()
        self.connect()

    @abstractmethod
    def connect(self) -> None:
        """Make a connection."""

    @abstractmethod
    def speak(self) -> None:
        """Send a message."""

    @abstractmethod
    def hangUp(self) -> Deferred[None]:
        """End the connection, whatever it is doing; fires when it is gone."""

    def leave(self) -> Deferred[None]:
        """Go, for good; fires when it is gone."""
        if not self.isOver:
            self.isOver = True
            self.setIn(False)
            self.setConnected(False)
            self.tally.pending["returned"] -= self._returns.clear()
            self.stage.left(self)
        return self.hangUp()

    # -- for the kinds of clients

    def now(self) -> float:
        """The time."""
        seconds: float = self.reactor.seconds()
        return seconds

    def failed(self, kind: str) -> None:
        """Something went wrong."""
        if not self.isOver:
            self.tally.failed(kind)

    def setConnected(self, isConnected: bool) -> None:
        """It is connected, or isn't any more."""
        if isConnected and not self.wasConnected:
            self.wasConnected = True
            self.tally.everConnected += 1
            self.tally.connectTimes.add(self.now() - self._since)
            self._since = self.now()
        self.tally.connected += isConnected - self._isConnected
        self._isConnected = isConnected

    def setIn(self, isIn: bool) -> None:
        """It is where it wants to be, or isn't any more."""
        self.tally.joined += isIn - self.isIn
        self.isIn = isIn
        self.wasIn = self.wasIn or isIn

    @property
    def whereItIs(self) -> str:
        """How far one has come that isn't where it wants to be."""
        if self.wasIn:
            return "away at the end"
        return f"not {'joined' if self.wasConnected else 'connected'} at the end"

    def joined(self) -> None:
        """It is in its room for the first time."""
        self.tally.everJoined += 1
        self.tally.joinTimes.add(self.now() - self._since)
        self.setIn(True)

    def lost(self, code: int, reason: str) -> None:
        """The connection was lost, or could not be made."""
        if self._isConnected:
            self.tally.disconnects[code] += 1
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
        return self._data.replace(MARK, self._returns.next)

    def awaitReturn(self) -> None:
        """That message is sent, and is to come back."""
        now = self.now()
        late = self._returns.expire(now - RETURN_TIMEOUT)
        for _ in range(late):
            self.failed("returned: timeout")
        self._returns.add(now)
        self.tally.pending["returned"] += 1 - late

    def cameBack(self, sentAt: float | None) -> None:
        """A message that was sent then has come back."""
        if sentAt is not None:
            self.tally.pending["returned"] -= 1
            self.tally.took("returned", self.now() - sentAt)
