"""
Faults: what a network in trouble, or a peer with a bug, does to single frames of the room protocol.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..client.connection import Attempt, WebSocket


class Action(StrEnum):
    """What becomes of a frame."""

    LOSE = "lose"
    DELAY = "delay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"


@attrs.define(eq=False)
class Fault:
    """What becomes of the next `count` frames of a kind."""

    action: Action
    kind: str
    count: int
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.action} {self.kind!r}, {self.count} to come"


class Faults:
    """
    What becomes of the next frames that a `RoomClient` sends, or that are sent to it.

    `kind` is the first element of a frame, as in the protocol: "send", "ack", "joined", ... Several faults
    of one kind come one after another, in the order of the calls. They outlive a connection; what is held
    or delayed when it breaks is lost with it. A fault that is still to come when the harness stops is
    reported: the test has not tested what it says. Raises `ValueError` for a kind that doesn't go this way.
    """

    def __init__(self, kinds: frozenset[str]) -> None:
        self._kinds = kinds
        #: Those that are still to come.
        self.pending: list[Fault] = []

    def lose(self, kind: str, count: int = 1) -> None:
        """
        The next frames of that kind don't arrive.

        TCP loses nothing as long as the connection lives: followed by `RoomClient.drop` it is a frame that
        was under way when the network broke. Without that it is a peer that breaks the protocol.
        """
        self._add(Fault(Action.LOSE, kind, count))

    def delay(self, kind: str, seconds: float, count: int = 1) -> None:
        """The next frames of that kind take so long, and so do those behind them: a slow network."""
        self._add(Fault(Action.DELAY, kind, count, seconds))

    def duplicate(self, kind: str, count: int = 1) -> None:
        """The next frames of that kind arrive twice: a peer that sends again what was handled already."""
        self._add(Fault(Action.DUPLICATE, kind, count))

    def reorder(self, kind: str, count: int = 1) -> None:
        """
        The next frame of that kind arrives after the one of that kind that follows it; `count` such pairs.

        TCP keeps the order: it is a peer, or a proxy, with a bug.
        """
        self._add(Fault(Action.REORDER, kind, count))

    def clear(self) -> None:
        """Forget those that are still to come."""
        self.pending.clear()

    def next(self, kind: str) -> Fault | None:
        """The fault of a frame of that kind, now that one comes."""
        fault = next((fault for fault in self.pending if fault.kind == kind), None)
        if fault is not None:
            fault.count -= 1
            if not fault.count:
                self.pending.remove(fault)
        return fault

    def _add(self, fault: Fault) -> None:
        if fault.kind not in self._kinds:
            kinds = ", ".join(sorted(self._kinds))
            raise ValueError(f"kind={fault.kind!r}: frames in this direction are {kinds}")
        if fault.count < 1:
            raise ValueError(f"count={fault.count!r}: must be 1 or more")
        self.pending.append(fault)


class Direction:
    """One direction of a connection: delivers the frames that it takes, but for the faults."""

    def __init__(self, faults: Faults, clock: IReactorTime, deliver: Callable[[bytes, bool], None]) -> None:
        self._faults = faults
        self._clock = clock
        self._deliver = deliver
        #: What is under way, each with the earliest time at which it arrives.
        self._waiting: deque[tuple[float, bytes, bool]] = deque()
        #: What arrives after the next of its kind.
        self._held: dict[str, bytes] = {}
        self._timer: IDelayedCall | None = None

    def take(self, message: bytes, isBinary: bool) -> None:
        """A frame begins its way."""
        kind = (msgspec.msgpack if isBinary else msgspec.json).decode(message)[0]
        held = self._held.pop(kind, None)
        fault = None if held is not None else self._faults.next(kind)
        action = None if fault is None else fault.action
        if action is Action.LOSE:
            return
        if action is Action.REORDER:
            self._held[kind] = message
            return
        delay = 0.0 if fault is None else fault.seconds
        twin = message if action is Action.DUPLICATE else held
        for each in (message, twin):
            if each is not None:
                self._waiting.append((self._clock.seconds() + delay, each, isBinary))
        if self._timer is None:
            self._arrive()

    def end(self) -> None:
        """The connection is gone, and all that is under way."""
        self._waiting.clear()
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arrive(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        while self._waiting and self._waiting[0][0] <= now:
            _, message, isBinary = self._waiting.popleft()
            self._deliver(message, isBinary)
        if self._waiting:
            self._timer = self._clock.callLater(self._waiting[0][0] - now, self._arrive)


class FaultyWebSocket:
    """
    A WebSocket with faults, between a session of ``txroom.client`` and its network.

    To the network it is an `Attempt`, to the session its `WebSocket`.
    """

    def __init__(
        self,
        attempt: Attempt,
        connect: Callable[[Any], WebSocket],
        outgoing: Faults,
        incoming: Faults,
        clock: IReactorTime,
    ) -> None:
        self._attempt = attempt
        self._outgoing = Direction(outgoing, clock, self._transmit)
        self._incoming = Direction(incoming, clock, attempt.received)
        self._webSocket = connect(self)

    # -- for the network

    def opened(self, protocol: str | None) -> None:
        """The connection is open."""
        self._attempt.opened(protocol)

    def progress(self, size: int) -> None:
        """Bytes have come."""
        self._attempt.progress(size)

    def received(self, message: bytes, isBinary: bool) -> None:
        """A message has come."""
        self._incoming.take(message, isBinary)

    def lost(self, code: int, reason: str = "", retryAfter: float = 0.0) -> None:
        """The connection has ended."""
        self._outgoing.end()
        self._incoming.end()
        self._attempt.lost(code, reason, retryAfter)

    # -- for the session

    @property
    def url(self) -> str:
        """What it connects to."""
        return self._webSocket.url

    @property
    def where(self) -> str:
        """What it connects to, and how far it has come."""
        return self._webSocket.where

    def send(self, message: bytes, isBinary: bool) -> None:
        """Send a message."""
        self._outgoing.take(message, isBinary)

    def close(self, code: int, reason: str) -> Deferred[None]:
        """Close the connection."""
        return self._webSocket.close(code, reason)

    def abort(self) -> None:
        """Drop the connection."""
        self._webSocket.abort()

    def _transmit(self, message: bytes, isBinary: bool) -> None:
        self._webSocket.send(message, isBinary)
