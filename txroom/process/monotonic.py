"""
A clock for the reactor that runs on when somebody sets the system's clock.
"""

from __future__ import annotations

import time
from typing import Any

from ..http.twistedweb import logTimeOfDay


def useMonotonicClock(reactor: Any) -> None:
    """
    Make the timers of this process run on time when somebody sets the system's clock.

    Twisted's reactors measure with `time.time`; all of them ask their own `seconds` for it. Call this before
    anything is scheduled. twisted.web, which would take that clock for the time of day in its access logs, is
    given the time of day.
    """
    reactor.seconds = time.monotonic
    logTimeOfDay()
