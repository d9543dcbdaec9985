"""
Faults: what a bad network, or a peer with a bug, does to single frames of the room protocol.
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
    """What happens to a frame."""

    LOSE = "lose"
    DELAY = "delay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"


@attrs.define(eq=False)
class Fault:
    """What happens to the next `count` frames of a kind."""

    action: Action
    kind: str
    count: int
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.action} {self.kind!r} ({self.count} left)"


class Faults:
    """
    The faults of the next frames that a `RoomClient` sends, or that it receives.

    `kind` is the first element of a frame, as in the protocol: "send", "ack", "joined" and so on. Several
    faults for the same kind apply to successive frames, in the order of the calls. They remain when a
    connection ends; frames that are held back or delayed at that moment are lost. When the harness stops,
    it reports faults that have not happened, because the test has not tested what it was meant to test. All
    methods raise `ValueError` for a kind that is not sent in this direction.
    """

    def __init__(self, kinds: frozenset[str]) -> None:
        self._kinds = kinds
        #: The faults that have not happened yet.
        self.pending: list[Fault] = []

    def lose(self, kind: str, count: int = 1) -> None:
        """
        Lose the next frames of that kind.

        TCP loses nothing while a connection lasts. To simulate a frame that was on its way when the network
        failed, call `RoomClient.drop` afterwards. Without `drop`, the fault simulates a peer that violates
        the protocol.
        """
        self._add(Fault(Action.LOSE, kind, count))

    def delay(self, kind: str, seconds: float, count: int = 1) -> None:
        """
        Delay the next frames of that kind, and all frames behind them, by that many seconds, like a slow
        network.
        """
        self._add(Fault(Action.DELAY, kind, count, seconds))

    def duplicate(self, kind: str, count: int = 1) -> None:
        """
        Deliver the next frames of that kind twice, like a peer that sends again what was handled already.
        """
        self._add(Fault(Action.DUPLICATE, kind, count))

    def reorder(self, kind: str, count: int = 1) -> None:
        """
        Deliver the next frame of that kind after the next one of the same kind; do so for `count` such
        pairs.

        TCP keeps the order, so this simulates a peer or a proxy with a bug.
        """
        self._add(Fault(Action.REORDER, kind, count))

    def clear(self) -> None:
        """Remove the faults that have not happened yet."""
        self.pending.clear()

    def next(self, kind: str) -> Fault | None:
        """Return the fault for a frame of that kind that is sent now, or `None`; one frame less remains."""
        fault = next((fault for fault in self.pending if fault.kind == kind), None)
        if fault is not None:
            fault.count -= 1
            if not fault.count:
                self.pending.remove(fault)
        return fault

    def _add(self, fault: Fault) -> None:
        if fault.kind not in self._kinds:
            kinds = ", ".join(sorted(self._kinds))
            raise ValueError(f"kind={fault.kind!r}: must be a kind of frame in this direction: {kinds}")
        if fault.count < 1:
            raise ValueError(f"count={fault.count!r}: must be 1 or more")
        self.pending.append(fault)


class Direction:
    """One direction of a connection: delivers frames, and applies the faults to them."""

    def __init__(self, faults: Faults, clock: IReactorTime, deliver: Callable[[bytes, bool], None]) -> None:
        self._faults = faults
        self._clock = clock
        self._deliver = deliver
        #: The frames on their way, each with the earliest time at which it arrives.
        self._waiting: deque[tuple[float, bytes, bool]] = deque()
        #: The frames that arrive after the next one of their kind.
        self._held: dict[str, bytes] = {}
        self._timer: IDelayedCall | None = None

    def take(self, message: bytes, isBinary: bool) -> None:
        """Take a frame that is sent, and apply the next fault for its kind."""
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
        """Lose all frames on their way, because the connection has ended."""
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
    A WebSocket with faults, between a client of ``txroom.client`` and its network.

    It is an `Attempt` for the network, and a `WebSocket` for the client.
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
        """Called when the WebSocket is open."""
        self._attempt.opened(protocol)

    def progress(self, size: int) -> None:
        """Called when bytes have arrived."""
        self._attempt.progress(size)

    def received(self, message: bytes, isBinary: bool) -> None:
        """Called when a message has arrived."""
        self._incoming.take(message, isBinary)

    def lost(self, code: int, reason: str = "", retryAfter: float = 0.0) -> None:
        """Called when the WebSocket has ended."""
        self._outgoing.end()
        self._incoming.end()
        self._attempt.lost(code, reason, retryAfter)

    # -- for the client

    @property
    def url(self) -> str:
        """The URL of the server."""
        return self._webSocket.url

    @property
    def where(self) -> str:
        """The URL and the stage that connecting has reached."""
        return self._webSocket.where

    def send(self, message: bytes, isBinary: bool) -> None:
        """Send a message."""
        self._outgoing.take(message, isBinary)

    def close(self, code: int, reason: str) -> Deferred[None]:
        """Close the WebSocket."""
        return self._webSocket.close(code, reason)

    def abort(self) -> None:
        """Close the TCP connection at once."""
        self._webSocket.abort()

    def _transmit(self, message: bytes, isBinary: bool) -> None:
        self._webSocket.send(message, isBinary)
