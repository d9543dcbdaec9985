"""
A clock for the reactor that runs on when somebody sets the system's clock.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.web.http import HTTPFactory, datetimeToLogString


def useMonotonicClock(reactor: Any) -> None:
    """
    Make the timers of this process run on time when somebody sets the system's clock.

    Twisted's reactors measure with `time.time`; all of them ask their own `seconds` for it. Call this before
    anything is scheduled. twisted.web, which would take that clock for the time of day in its access logs, is
    given the time of day.
    """
    reactor.seconds = time.monotonic
    HTTPFactory._updateLogDateTime = _updateLogDateTime  # type: ignore[method-assign]


def _updateLogDateTime(self: HTTPFactory) -> None:
    """As Twisted's own, each second, with the time of day instead of the reactor's."""
    self._logDateTime = datetimeToLogString()
    self._logDateTimeCall = self.reactor.callLater(1, self._updateLogDateTime)
