"""
What time does to an open connection: pings, and the deadlines that end it.

`judge` looks at one connection and acts, `nextLook` says when to look again. Nothing here keeps a timer;
the timer wheel calls, and all times are seconds of the injected clock.
"""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING

from ..core.codes import MESSAGE_TIMEOUT, CloseCode
from .pace import NEVER, dueBy
from .timerwheel import TICK

if TYPE_CHECKING:
    from .protocol import WireProtocol

#: Seconds between two looks at a connection whose reading is held.
HELD_INTERVAL = 1.0
#: A ping goes out and its deadline is seen at most one look late each; ping that much earlier, so
#: that a dead peer is gone within `pingInterval` + `pingTimeout`.
_SLACK = 2 * TICK


def firstPing(now: float, interval: float) -> float:
    """When to ping a new connection; spread, so that a herd that came together isn't pinged together."""
    return now + interval * (0.5 + 0.5 * random()) - min(_SLACK, interval / 2) if interval else NEVER


def judge(wire: WireProtocol, now: float) -> None:
    """Ping or end an OPEN connection, as its options say."""
    options = wire.options
    if options.maxLifetime and now >= wire.connectedAt + options.maxLifetime:
        wire.close(CloseCode.GOING_AWAY, "lifetime over")
    elif wire.isHeld:
        _judgeHeld(wire, now)
    elif now >= _idleAt(wire):
        wire.close(CloseCode.GOING_AWAY, "idle")
    elif now >= _completeBy(wire):
        wire.fail(CloseCode.POLICY_VIOLATION, MESSAGE_TIMEOUT)
    else:
        _beat(wire, now)


def _judgeHeld(wire: WireProtocol, now: float) -> None:
    """Nothing is read, so the silence is ours; but a peer that takes nothing either is gone.

    Held for long, it is read ahead, so that the heartbeat goes on.
    """
    options = wire.options
    if options.pingInterval and now >= _quietFrom(wire):
        wasReading = wire.isReading
        if wire.peek():
            if not wasReading and wire.pingedAt is not None:
                wire.pingedAt = now  # the answer may lie in the socket
            _beat(wire, now)
            return
    if wire.bufferedAmount == 0 or wire.hasTaken() or wire.stuckSince is None:
        wire.stuckSince = now
        return
    patience = options.pingInterval + options.pingTimeout
    if options.pingInterval and options.pingTimeout and now >= _due(wire, wire.stuckSince, patience):
        wire.lose(wire.connection.application.heartbeatCode, "no heartbeat")


def _due(wire: WireProtocol, since: float, seconds: float) -> float:
    """So long after that; the time for which the process stood still doesn't count."""
    return since + seconds + wire.context.wheel.lostSince(since)


def _idleAt(wire: WireProtocol) -> float:
    timeout = wire.options.idleTimeout
    if not timeout:
        return NEVER
    active = max(wire.lastActivity, wire.resumedAt)
    if wire.receivedOfMessage:  # a long message over a slow link
        active = max(active, wire.lastReceived)
    return _due(wire, active, timeout)


def _beat(wire: WireProtocol, now: float) -> None:
    options = wire.options
    if wire.stuckSince is not None:  # few ever have it: `WireProtocol.reserve`
        wire.stuckSince = None
    if wire.hasTaken() and wire.pingedAt is not None:
        wire.pingedAt = now  # the ping is stuck behind what the peer is still taking
    if wire.pingedAt is not None:
        if wire.lastReceived >= wire.pingedAt:
            wire.pingedAt = None
            wire.pingDue = _quietFrom(wire)
        elif options.pingTimeout and now >= _due(wire, wire.pingedAt, options.pingTimeout):
            wire.lose(wire.connection.application.heartbeatCode, "no heartbeat")
            return
    if wire.pingedAt is None and options.pingInterval and now >= wire.pingDue:
        wire.pingDue = _quietFrom(wire)
        if now >= wire.pingDue or wire.rtt is None:
            wire.sendHeartbeat(now)
            wire.pingDue = now + options.pingInterval


def nextLook(wire: WireProtocol, now: float) -> float:
    """The earliest time at which `judge` could have something to do."""
    options = wire.options
    when = NEVER
    if options.maxLifetime:
        when = wire.connectedAt + options.maxLifetime
    if wire.isHeld:
        if wire.pingedAt is not None:
            when = min(when, max(_due(wire, wire.pingedAt, options.pingTimeout), now + TICK))
        elif options.pingInterval:
            when = min(when, max(_quietFrom(wire), now + TICK))
        return min(when, now + HELD_INTERVAL)
    when = min(when, _idleAt(wire), _completeBy(wire))
    if wire.pingedAt is not None and options.pingTimeout:
        when = min(when, _due(wire, wire.pingedAt, options.pingTimeout))
    elif options.pingInterval:
        when = min(when, wire.pingDue)
    return when


def _completeBy(wire: WireProtocol) -> float:
    since = wire.incompleteSince
    if since is None:
        return NEVER
    lost = wire.context.wheel.lostSince(since)
    return dueBy(since, wire.options.messageTimeout, wire.receivedOfMessage) + lost


def _quietFrom(wire: WireProtocol) -> float:
    interval = wire.options.pingInterval
    return wire.lastReceived + interval - min(_SLACK, interval / 2)
