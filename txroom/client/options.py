"""
Every option of a client, with its default, unit and range.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.logger import Logger

from ..core.validation import OptionError, checked, isAmount, isCount, isInteger, suggestingNames
from ..protocol.limits import JSON_PROTOCOL, PROTOCOLS, WINDOW

_log = Logger()


def _option(default: Any, allowed: str, check: Callable[[Any], bool]) -> Any:
    return attrs.field(default=default, validator=checked(check, allowed))


def _seconds(default: float, isZeroAllowed: bool = True) -> Any:
    if isZeroAllowed:
        return _option(default, "a finite number of seconds, 0 or more", isAmount)
    allowed = "a finite number of seconds, more than 0"
    return _option(default, allowed, lambda value: isAmount(value) and value > 0)


def _count(default: int, least: int = 0, most: int | None = None) -> Any:
    def check(value: Any) -> bool:
        return isInteger(value) and value >= least and (most is None or value <= most)

    upTo = "or more" if most is None else f"to {most}"
    return _option(default, f"a whole number, {least} {upTo}", check)


def checkSeconds(name: str, value: Any) -> float:
    """`value`, an argument, if it is a time; raises `OptionError`."""
    if not isAmount(value):
        raise OptionError(f"{name}={value!r}: must be a finite number of seconds, 0 or more")
    return float(value)


def _areHeaders(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str)
        and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name)
        and isinstance(text, str)
        and (text.isprintable() or not text)
        for name, text in value.items()
    )


def _isCallable(value: object) -> bool:
    return value is None or callable(value)


@suggestingNames
@attrs.frozen(kw_only=True)
class ClientOptions:
    """
    What a `Client` takes as keywords. Times are seconds, sizes are bytes.
    """

    #: Sent as `auth` with the options of each join: a value, or a function that returns one, a Deferred
    #: or a coroutine.
    auth: Any = None
    #: The sub-protocol: JSON_PROTOCOL or MSGPACK_PROTOCOL, with which messages may have bytes in them.
    protocol: str = _option(
        JSON_PROTOCOL,
        " or ".join(map(repr, PROTOCOLS)),
        lambda value: isinstance(value, str) and value in PROTOCOLS,
    )
    #: Further headers of the upgrade, by name.
    headers: Mapping[str, str] = _option(
        attrs.Factory(dict), "a mapping of names to texts of one line", _areHeaders
    )
    #: How long a connection may take to open.
    connectTimeout: float = _seconds(10.0, isZeroAllowed=False)
    #: How long the server may take to answer when we close.
    closeTimeout: float = _seconds(3.0)
    #: How long joining, resuming, listing and pinging may take, waiting for a connection included.
    requestTimeout: float = _seconds(15.0)
    #: How long a call may take, time away included; `call(..., timeout=)` overrides it.
    callTimeout: float = _seconds(15.0)
    #: How long `room.leave()` waits for the server.
    leaveTimeout: float = _seconds(3.0)
    #: Time between two heartbeats; 0: none.
    pingInterval: float = _seconds(25.0)
    #: How long the server may be silent after a heartbeat before the connection counts as lost.
    pingTimeout: float = _seconds(10.0)
    #: The first delay before reconnecting; it doubles with every attempt, half of it is random.
    minDelay: float = _seconds(0.25)
    #: The longest delay, unless the server asks for a longer one.
    maxDelay: float = _seconds(10.0)
    #: In place of these two: the delay before attempt 0, 1, ... as for Twisted's `ClientService`, for
    #: instance `twisted.application.internet.backoffPolicy()`.
    retryPolicy: Callable[[int], float] | None = _option(None, "a function of a number, or None", _isCallable)
    #: After this long a connection counts as good, and the delay begins anew.
    stableAfter: float = _seconds(5.0)
    #: Attempts to reconnect in a row before the client gives up; `None`: any number.
    maxAttempts: int | None = _option(
        None,
        "a whole number, 0 or more, or None",
        lambda value: value is None or isCount(value),
    )
    #: Frames of a room that may be unacknowledged; the server's limit is 64.
    window: int = _count(WINDOW, least=1, most=WINDOW)
    #: Frames of a room that may wait, while it is away or its window is full; beyond it `send` raises.
    maxBuffered: int = _count(256)
    #: The largest frame that may be sent: the server's `maxPayload`.
    maxPayload: int = _count(1024 * 1024, least=1)
    #: The largest message that is taken from the server; a larger one costs the connection.
    maxReceived: int = _count(64 * 1024 * 1024, least=1024)
    #: Whether to join anew, as another member, when the server has forgotten us.
    rejoin: bool = _option(True, "True or False", lambda value: isinstance(value, bool))
    #: A number from 0 to 1, for the jitter.
    random: Callable[[], float] = _option(random.random, "a function", callable)

    def delay(self, attempt: int) -> float:
        """The seconds before an attempt to reconnect: 0, 1, ..."""
        if self.retryPolicy is not None:
            try:
                policy = self.retryPolicy(attempt)
            except Exception:
                _log.failure("retryPolicy failed; the usual delay is taken")
            else:
                if isAmount(policy):
                    return policy
                _log.error(
                    "retryPolicy gave {policy!r}, which is no delay; the usual one is taken", policy=policy
                )
        delay: float = min(self.maxDelay, self.minDelay * 2 ** min(attempt, 32))
        return delay * (1 + self.random()) / 2
