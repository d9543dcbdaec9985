"""
What time does to an open connection: pings, and the deadlines that end it.

`judge` looks at one connection, acts, and says when to look again. Nothing here keeps a timer; the
sweep calls, and all times are seconds of the injected clock.
"""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING

from ..codes import CloseCode
from .sweep import TICK

if TYPE_CHECKING:
    from .protocol import WireProtocol

NEVER = float("inf")
#: A ping goes out and its deadline is seen at most one look late each; ping that much earlier, so
#: that a dead peer is gone within `pingInterval` + `pingTimeout`.
_SLACK = 2 * TICK


def firstPing(now: float, interval: float) -> float:
    """When to ping a new connection; spread, so that a herd that came together isn't pinged together."""
    return now + interval * (0.5 + 0.5 * random()) - min(_SLACK, interval / 2) if interval else NEVER


def judge(wire: WireProtocol, now: float) -> float:
    """Ping or end an OPEN connection as its options say; when to look again (`NEVER`: it ended)."""
    options = wire.options
    if options.maxLifetime and now >= wire.connectedAt + options.maxLifetime:
        return _end(wire, CloseCode.GOING_AWAY, "lifetime over")
    if wire.isHeld:
        # Nothing is read at the moment, so silence is ours.
        return min(now + max(options.pingInterval, 1.0), _lifetimeEnd(wire))
    if options.idleTimeout and now >= wire.lastActivity + options.idleTimeout:
        return _end(wire, CloseCode.GOING_AWAY, "idle")
    if wire.incompleteSince is not None and options.messageTimeout:
        isLate = now >= wire.incompleteSince + options.messageTimeout
        if isLate:
            wire.fail(CloseCode.POLICY_VIOLATION, "message not complete in time")
            return NEVER
    if wire.pingedAt is not None:
        if wire.lastReceived >= wire.pingedAt:
            wire.pingedAt = None
            wire.pingDue = _quietFrom(wire)
        elif options.pingTimeout and now >= wire.pingedAt + options.pingTimeout:
            wire.lose(wire.connection.application.heartbeatCode, "no heartbeat")
            return NEVER
    if wire.pingedAt is None and options.pingInterval and now >= wire.pingDue:
        wire.pingDue = _quietFrom(wire)
        if now >= wire.pingDue or wire.rtt is None:
            wire.sendHeartbeat(now)
            wire.pingDue = now + options.pingInterval
    return nextLook(wire)


def nextLook(wire: WireProtocol) -> float:
    """The earliest time at which `judge` could have something to do."""
    options = wire.options
    when = _lifetimeEnd(wire)
    if options.idleTimeout:
        when = min(when, wire.lastActivity + options.idleTimeout)
    if wire.incompleteSince is not None and options.messageTimeout:
        when = min(when, wire.incompleteSince + options.messageTimeout)
    if wire.pingedAt is not None and options.pingTimeout:
        when = min(when, wire.pingedAt + options.pingTimeout)
    elif options.pingInterval:
        when = min(when, wire.pingDue)
    return when


def _quietFrom(wire: WireProtocol) -> float:
    interval = wire.options.pingInterval
    return wire.lastReceived + interval - min(_SLACK, interval / 2)


def _lifetimeEnd(wire: WireProtocol) -> float:
    lifetime = wire.options.maxLifetime
    return wire.connectedAt + lifetime if lifetime else NEVER


def _end(wire: WireProtocol, code: CloseCode, reason: str) -> float:
    wire.close(code, reason)
    return NEVER
