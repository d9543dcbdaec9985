"""
How late the reactor is.
"""

from __future__ import annotations

from collections import deque
from math import ceil

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..core.meters import Histogram

#: The seconds between two measurements, and how many of them are remembered: those of a minute.
INTERVAL = 0.25
REMEMBERED = 240


class ReactorLag(Service):
    """
    Measures how late delayed calls are, because the reactor was busy: that long each client waits besides.

    Args:
        clock: The clock.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._expected = 0.0
        #: All measurements, in seconds.
        self.times = Histogram()
        self._recent: deque[float] = deque(maxlen=REMEMBERED)

    def quantile(self, share: float) -> float:
        """
        Return the lag that this share of the measurements of the last minute does not exceed, in seconds.

        Args:
            share: More than 0, up to 1: 0.5 is the median.
        """
        recent = sorted(self._recent)
        return recent[ceil(share * len(recent)) - 1] if recent else 0.0

    def startService(self) -> None:
        """Start measuring."""
        super().startService()
        self._schedule()

    def stopService(self) -> Deferred[None] | None:
        """Stop measuring."""
        super().stopService()
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
        return None

    def _schedule(self) -> None:
        self._expected = self._clock.seconds() + INTERVAL
        self._call = self._clock.callLater(INTERVAL, self._measure)

    def _measure(self) -> None:
        late = max(0.0, self._clock.seconds() - self._expected)
        self.times.observe(late)
        self._recent.append(late)
        self._schedule()
