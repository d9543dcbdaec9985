"""
The heartbeat of an open connection: it sends pings, detects a dead peer, and enforces the deadlines.

`checkDeadlines` checks one connection and acts, `nextDeadline` tells when to check it again. There are no
timers here: the timer wheel calls, and all times are in seconds of the server's clock.
"""

from __future__ import annotations

from os import urandom
from random import random
from typing import Protocol

from ..core.codes import MESSAGE_TIMEOUT, CloseCode
from ..core.connection import Connection
from ..core.options import ServerOptions
from .context import WireContext
from .deadlines import NEVER, dueBy
from .receiver import Receiver
from .timerwheel import TICK

#: The number of seconds between two checks of a connection whose reading is held.
HELD_INTERVAL = 1.0
#: A ping may be sent one tick late, and its deadline checked one tick late. Pings are sent that much earlier,
#: so that a dead peer is dropped within `pingInterval` + `pingTimeout`.
_SLACK = 2 * TICK
#: The size of the payload of a ping, in bytes.
HEARTBEAT_SIZE = 8


class HeartbeatPort(Protocol):
    """What `Heartbeat` needs of the `WireProtocol`."""

    context: WireContext
    options: ServerOptions
    connection: Connection

    @property
    def refusedAmount(self) -> int:
        """The number of bytes that the operating system has not accepted."""
        ...

    def progress(self) -> tuple[int, int]:
        """Return the number of bytes that the peer has not acknowledged yet, and the number that it has."""
        ...

    def ping(self, payload: bytes) -> None: ...
    def close(self, code: int | None, reason: str) -> None: ...
    def fail(self, code: int, reason: str) -> None: ...
    def lose(self, code: int, reason: str) -> None: ...


def firstPing(now: float, interval: float) -> float:
    """
    Choose when to ping a new connection.

    The time is random, so that clients that connected together are not pinged together.
    """
    return now + interval * (0.5 + 0.5 * random()) - min(_SLACK, interval / 2) if interval else NEVER


class Heartbeat:
    """The heartbeat of one connection."""

    __slots__ = ("_pingDue", "_pingedAt", "_sent", "_stuckSince", "_takenBefore", "rtt")

    def __init__(self, options: ServerOptions, now: float) -> None:
        self._pingDue = firstPing(now, options.pingInterval)
        #: When the unanswered ping was sent.
        self._pingedAt: float | None = None
        #: The payload of the last ping and the time it was sent, until it is answered.
        self._sent: tuple[bytes, float] | None = None
        #: Since when the peer has received nothing while reading is held.
        self._stuckSince: float | None = None
        self._takenBefore: int | None = None  # only while there are unacknowledged bytes
        #: The number of seconds between the last ping and its answer.
        self.rtt: float | None = None

    def isAnsweredBy(self, payload: bytes, now: float) -> bool:
        """Check whether a pong answers the last ping, and set `rtt` if it does."""
        if self._sent is None or payload != self._sent[0]:
            return False
        self.rtt = max(0.0, now - self._sent[1])
        self._sent = None
        return True

    def checkDeadlines(self, wire: HeartbeatPort, receiver: Receiver, now: float) -> None:
        """Ping, close or drop an OPEN connection according to its options."""
        options = wire.options
        if options.maxLifetime and now >= receiver.connectedAt + options.maxLifetime:
            wire.close(CloseCode.GOING_AWAY, "lifetime over")
        elif receiver.isHeld:
            self._checkHeld(wire, receiver, now)
        elif now >= _idleAt(wire, receiver):
            wire.close(CloseCode.GOING_AWAY, "idle")
        elif now >= _completeBy(wire, receiver):
            wire.fail(CloseCode.POLICY_VIOLATION, MESSAGE_TIMEOUT)
        else:
            self._beat(wire, receiver, now)

    def nextDeadline(self, wire: HeartbeatPort, receiver: Receiver, now: float) -> float:
        """Get the earliest time at which `checkDeadlines` has to be called."""
        options = wire.options
        when = NEVER
        if options.maxLifetime:
            when = receiver.connectedAt + options.maxLifetime
        if receiver.isHeld:
            if self._pingedAt is not None:
                when = min(when, max(_due(wire, self._pingedAt, options.pingTimeout), now + TICK))
            elif options.pingInterval:
                when = min(when, max(_quietFrom(receiver, options), now + TICK))
            return min(when, now + HELD_INTERVAL)
        when = min(when, _idleAt(wire, receiver), _completeBy(wire, receiver))
        if self._pingedAt is not None and options.pingTimeout:
            when = min(when, _due(wire, self._pingedAt, options.pingTimeout))
        elif options.pingInterval:
            when = min(when, self._pingDue)
        return when

    def _checkHeld(self, wire: HeartbeatPort, receiver: Receiver, now: float) -> None:
        """
        Check a connection whose reading is held.

        While the connection is not read, receiving nothing does not mean that the peer is dead. So it is only
        dropped if the peer does not receive anything either. When nothing was read for `pingInterval`, the
        heartbeat reads ahead (`Receiver.peek`) to find the answers to its pings.
        """
        options = wire.options
        if options.pingInterval and now >= _quietFrom(receiver, options):
            wasReading = receiver.isReading
            if receiver.peek():
                if not wasReading and self._pingedAt is not None:
                    self._pingedAt = now  # the answer may be in the receive buffer of the socket
                self._beat(wire, receiver, now)
                return
        if wire.refusedAmount == 0 or self._hasTaken(wire) or self._stuckSince is None:
            self._stuckSince = now
            return
        patience = options.pingInterval + options.pingTimeout
        if options.pingInterval and options.pingTimeout and now >= _due(wire, self._stuckSince, patience):
            self._lose(wire)

    def _beat(self, wire: HeartbeatPort, receiver: Receiver, now: float) -> None:
        options = wire.options
        self._stuckSince = None
        if self._hasTaken(wire) and self._pingedAt is not None:
            self._pingedAt = now  # the ping is queued behind bytes that the peer is still receiving
        if self._pingedAt is not None:
            if receiver.lastReceived >= self._pingedAt:
                self._pingedAt = None
                self._pingDue = _quietFrom(receiver, options)
            elif options.pingTimeout and now >= _due(wire, self._pingedAt, options.pingTimeout):
                self._lose(wire)
                return
        if self._pingedAt is None and options.pingInterval and now >= self._pingDue:
            self._pingDue = _quietFrom(receiver, options)
            if now >= self._pingDue or self.rtt is None:
                self._ping(wire, now)
                self._pingDue = now + options.pingInterval

    def _ping(self, wire: HeartbeatPort, now: float) -> None:
        """Send a ping with a random payload, which only a peer that has received it can answer."""
        payload = urandom(HEARTBEAT_SIZE)
        self._sent = (payload, now)
        self._pingedAt = now if wire.options.pingTimeout else None
        wire.ping(payload)

    def _hasTaken(self, wire: HeartbeatPort) -> bool:
        """
        Check whether the peer has received anything since the last call.

        This is known while there are unacknowledged bytes, here or in the operating system.
        """
        waiting, taken = wire.progress()
        seen = self._takenBefore
        if waiting or seen is not None:
            self._takenBefore = taken if waiting else None
        return seen is not None and taken > seen

    def _lose(self, wire: HeartbeatPort) -> None:
        wire.lose(wire.connection.application.heartbeatCode, "no heartbeat")


def _due(wire: HeartbeatPort, since: float, seconds: float) -> float:
    """Compute the time `seconds` after `since`, excluding the time for which the process was stopped."""
    return since + seconds + wire.context.wheel.lostSince(since)


def _idleAt(wire: HeartbeatPort, receiver: Receiver) -> float:
    timeout = wire.options.idleTimeout
    if not timeout:
        return NEVER
    active = max(receiver.lastActivity, receiver.resumedAt)
    if receiver.receivedOfMessage:  # a long message over a slow link
        active = max(active, receiver.lastReceived)
    return _due(wire, active, timeout)


def _completeBy(wire: HeartbeatPort, receiver: Receiver) -> float:
    since = receiver.incompleteSince
    if since is None:
        return NEVER
    lost = wire.context.wheel.lostSince(since)
    return dueBy(since, wire.options.messageTimeout, receiver.receivedOfMessage) + lost


def _quietFrom(receiver: Receiver, options: ServerOptions) -> float:
    interval = options.pingInterval
    return receiver.lastReceived + interval - min(_SLACK, interval / 2)
