"""
Whether the server is well: the page that tells it, and the watch that notices a stalled reactor.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import Request

#: Seconds between two looks at the reactor, and how late one must be to be called a stall.
INTERVAL = 1.0
STALL = 1.0
#: Seconds for which a stall shows on the page.
REMEMBERED = 60.0


class StallDetector:
    """
    Notices that the reactor did not turn, because a hook kept the processor to itself.

    It looks every `INTERVAL` seconds; `lastStall` is what the page shows.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._expected = 0.0
        self._stall: tuple[float, float] | None = None
        #: Called at each look; a thread that watches from outside (`txroom.process.watchdog`) sets it.
        self.onCheck: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._expected = self._clock.seconds() + INTERVAL
        self._call = self._clock.callLater(INTERVAL, self._look)

    def stop(self) -> None:
        """Watch no longer."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    @property
    def lastStall(self) -> float | None:
        """Seconds that the last stall took, if it was in the last minute."""
        if self._stall is None or self._clock.seconds() - self._stall[0] > REMEMBERED:
            return None
        return self._stall[1]

    def _look(self) -> None:
        now = self._clock.seconds()
        late = now - self._expected
        if late >= STALL:
            self._stall = (now, late)
            self._log.warn(
                "the reactor stalled for {late:.1f} s: a hook blocked it; nothing was served meanwhile",
                late=late,
            )
        if self.onCheck is not None:
            self.onCheck()
        self.start()


class HealthPage(Resource):
    """
    200 `{"status": "ok"}`; 503 with "draining" while the server stops; "degraded" after a stall.
    """

    isLeaf = True

    def __init__(self, isDraining: Callable[[], bool], watch: StallDetector) -> None:
        super().__init__()
        self._isDraining = isDraining
        self._watch = watch

    def render_GET(self, request: Request) -> bytes:
        report: dict[str, Any] = {"status": "ok"}
        stalled = self._watch.lastStall
        if self._isDraining():
            request.setResponseCode(503)
            report["status"] = "draining"
        elif stalled is not None:
            report = {"status": "degraded", "stalledSeconds": round(stalled, 1)}
        request.setHeader("Content-Type", "application/json")
        request.setHeader("Cache-Control", "no-store")
        return json.dumps(report).encode()
