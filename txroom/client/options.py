"""
The options of a client, with their defaults, units and ranges.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.logger import Logger

from ..core.validation import OptionError, checked, isAmount, isCount, isInteger, suggestingNames
from ..protocol.limits import JSON_PROTOCOL, MAX_DEVICE, PROTOCOLS, WINDOW
from ..state import State

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
    """Return the argument `value` if it is a time in seconds. Raises `OptionError` otherwise."""
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


def _areStates(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(cls, type) and issubclass(cls, State) and cls is not State
        for name, cls in value.items()
    )


def _isCallable(value: object) -> bool:
    return value is None or callable(value)


@suggestingNames
@attrs.frozen(kw_only=True)
class ClientOptions:
    """
    The options of a `Client`, which it takes as keyword arguments. Times are in seconds, sizes in bytes.
    """

    #: The credentials, sent as `auth` with the options of each join: a value, or a function that returns a
    #: value, a Deferred or a coroutine. The client calls a function for each join. If it fails, the client
    #: calls it again until `requestTimeout` is over, except after a `RoomError`: then the join fails at once.
    auth: Any = None
    #: The sub-protocol: `JSON_PROTOCOL` or `MSGPACK_PROTOCOL`. With MessagePack, messages may contain bytes.
    protocol: str = _option(
        JSON_PROTOCOL,
        " or ".join(map(repr, PROTOCOLS)),
        lambda value: isinstance(value, str) and value in PROTOCOLS,
    )
    #: Additional headers of the upgrade request, by name.
    headers: Mapping[str, str] = _option(
        attrs.Factory(dict), "a mapping of names to strings of one line", _areHeaders
    )
    #: How long a connection may take to open, in seconds.
    connectTimeout: float = _seconds(10.0, isZeroAllowed=False)
    #: How long the server may take to answer a Close frame, in seconds.
    closeTimeout: float = _seconds(3.0)
    #: How long joining, resuming, listing and pinging may take, in seconds, including the time until the
    #: connection is open.
    requestTimeout: float = _seconds(15.0)
    #: How long a call may take, in seconds, including the time without a connection; `call(..., timeout=)`
    #: overrides it.
    callTimeout: float = _seconds(15.0)
    #: How long `room.leave()` waits for the server, in seconds.
    leaveTimeout: float = _seconds(3.0)
    #: The time between two heartbeats, in seconds; 0 turns them off.
    pingInterval: float = _seconds(25.0)
    #: How long the server may be silent after a heartbeat before the connection counts as lost, in seconds.
    pingTimeout: float = _seconds(10.0)
    #: The first delay before reconnecting, in seconds. It doubles with every attempt; half of it is random.
    minDelay: float = _seconds(0.25)
    #: The longest delay in seconds, unless the server asks for a longer one.
    maxDelay: float = _seconds(10.0)
    #: Replaces `minDelay` and `maxDelay`: a function of the number of the attempt, from 0, that returns the
    #: delay in seconds. The policies of Twisted's `ClientService` can be used, such as
    #: `twisted.application.internet.backoffPolicy()`.
    retryPolicy: Callable[[int], float] | None = _option(None, "a function of a number, or None", _isCallable)
    #: How many seconds a connection must last before the delay starts again from `minDelay`.
    stableAfter: float = _seconds(5.0)
    #: How many attempts in a row to reconnect the client makes before it gives up; `None`: no limit.
    maxAttempts: int | None = _option(
        None,
        "a whole number, 0 or more, or None",
        lambda value: value is None or isCount(value),
    )
    #: How many frames of a room may be unacknowledged; the server's limit is 64.
    window: int = _count(WINDOW, least=1, most=WINDOW)
    #: How many frames of a room may be queued while the room is away or its window is full; with more,
    #: `send` raises "unavailable" or "rateLimited".
    maxBuffered: int = _count(256)
    #: The largest frame that may be sent, in bytes; set it to the server's `maxPayload`.
    maxPayload: int = _count(1024 * 1024, least=1)
    #: The largest message that the server may send, in bytes; a larger one closes the connection.
    maxReceived: int = _count(64 * 1024 * 1024, least=1024)
    #: The id of the device for the user's notifications, 1 to 64 characters; `None`: it has none. A client
    #: with the id of an earlier one gets what that one has not acknowledged.
    device: str | None = _option(
        None,
        f"a string of 1 to {MAX_DEVICE} characters, or None",
        lambda value: value is None or (isinstance(value, str) and 1 <= len(value) <= MAX_DEVICE),
    )
    #: For names of rooms: the class of the state that these rooms declare. `Room.state` is an instance of it
    #: then; otherwise its objects are of read-only classes that the client makes.
    states: Mapping[str, type[State]] = _option(
        attrs.Factory(dict), "a mapping of names of rooms to State classes", _areStates
    )
    #: Whether to join the room again, as a new member, if the server no longer knows the membership.
    rejoin: bool = _option(True, "True or False", lambda value: isinstance(value, bool))
    #: A function that returns a number from 0 to 1, for the random part of delays.
    random: Callable[[], float] = _option(random.random, "a function", callable)

    def delay(self, attempt: int) -> float:
        """Return the seconds before an attempt to reconnect; `attempt` counts from 0."""
        if self.retryPolicy is not None:
            try:
                policy = self.retryPolicy(attempt)
            except Exception:
                _log.failure("The option retryPolicy raised an exception; the client uses its usual delay")
            else:
                if isAmount(policy):
                    return policy
                _log.error(
                    "The option retryPolicy returned {policy!r}; it must return a finite number of"
                    " seconds, 0 or more. The client uses its usual delay",
                    policy=policy,
                )
        delay: float = min(self.maxDelay, self.minDelay * 2 ** min(attempt, 32))
        return delay * (1 + self.random()) / 2
