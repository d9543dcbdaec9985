"""
A monotonic clock for the reactor, which is not affected when the system's time is set.

On Linux the clock goes on while the machine is suspended. So what should have ended meanwhile, such as the
lease of a node, has ended when the machine wakes up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

#: Returns the time, in seconds.
seconds: Callable[[], float] = time.monotonic
if hasattr(time, "CLOCK_BOOTTIME"):
    seconds = partial(time.clock_gettime, time.CLOCK_BOOTTIME)


def useMonotonicClock(reactor: Any) -> None:
    """
    Make the timers of this process independent of changes to the system's time.

    Twisted's reactors use `time.time`, through their method `seconds`; this replaces it by a clock that
    nobody sets, and which on Linux goes on while the machine is suspended. Call it before anything is
    scheduled. The access logs of twisted.web, which would show the reactor's time, show the time of day.

    Args:
        reactor: The reactor.
    """
    from ..http.twistedweb import logTimeOfDay  # imports twisted.web

    useMonotonicTimers(reactor)
    logTimeOfDay()


def useMonotonicTimers(reactor: Any) -> None:
    """Do the same in a process without a `Site`, which doesn't have to import twisted.web then."""
    reactor.seconds = seconds
