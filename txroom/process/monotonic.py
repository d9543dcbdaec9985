"""
A monotonic clock for the reactor, which is not affected when the system's time is set.
"""

from __future__ import annotations

import time
from typing import Any


def useMonotonicClock(reactor: Any) -> None:
    """
    Make the timers of this process independent of changes to the system's time.

    Twisted's reactors use `time.time`, through their method `seconds`; this replaces it by `time.monotonic`.
    Call it before anything is scheduled. The access logs of twisted.web, which would show the reactor's time,
    show the time of day.

    Args:
        reactor: The reactor.
    """
    from ..http.twistedweb import logTimeOfDay  # imports twisted.web

    useMonotonicTimers(reactor)
    logTimeOfDay()


def useMonotonicTimers(reactor: Any) -> None:
    """Do the same in a process without a `Site`, which doesn't have to import twisted.web then."""
    reactor.seconds = time.monotonic
