"""
The health page, and the detector of a stalled reactor.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import Request

#: The seconds between two checks of the reactor, and how late a check must be to count as a stall.
INTERVAL = 1.0
STALL = 1.0
#: How long a stall is shown on the health page, in seconds.
REMEMBERED = 60.0
#: How many stalls are kept.
KEPT_STALLS = 20


class Stall(NamedTuple):
    """A time in which the reactor was blocked."""

    #: When it ended, in seconds since 1970.
    at: float
    #: How late the check was, in seconds.
    seconds: float
    #: The stack of the reactor's thread during that time; empty: it is not known.
    stack: str


class StallDetector:
    """
    Detects that the reactor was blocked, because a hook took too long.

    It checks every `INTERVAL` seconds. `lastStall` is what the health page shows.

    Args:
        clock: The clock.
        wallClock: Returns the time of day, in seconds since 1970.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, wallClock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._wallClock = wallClock
        self._call: IDelayedCall | None = None
        self._expected = 0.0
        self._stall: tuple[float, float] | None = None
        #: The last stalls, the newest last.
        self.stalls: deque[Stall] = deque(maxlen=KEPT_STALLS)
        #: Returns the stack of the reactor's thread during the stall that has just ended, and forgets it;
        #: set by the thread that watches the reactor.
        self.takeStack: Callable[[], str] = str
        #: Called at each check; set by the thread that watches the reactor (`txroom.process.watchdog`).
        self.onCheck: Callable[[], None] | None = None

    def start(self) -> None:
        """Start checking. Does nothing if it has started already."""
        if self._call is None:
            self._schedule()

    def _schedule(self) -> None:
        self._expected = self._clock.seconds() + INTERVAL
        self._call = self._clock.callLater(INTERVAL, self._check)

    def stop(self) -> None:
        """Stop checking."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    @property
    def lastStall(self) -> float | None:
        """The length of the last stall in seconds, if it was in the last minute; otherwise `None`."""
        if self._stall is None or self._clock.seconds() - self._stall[0] > REMEMBERED:
            return None
        return self._stall[1]

    def _check(self) -> None:
        now = self._clock.seconds()
        late = now - self._expected
        stack = self.takeStack()
        if late >= STALL:
            self._stall = (now, late)
            self.stalls.append(Stall(self._wallClock(), late, stack))
            self._log.warn(
                "the reactor was blocked for {late:.1f} s, by a hook or other code; nothing was served",
                late=late,
            )
        if self.onCheck is not None:
            self.onCheck()
        self._schedule()


class HealthPage(Resource):
    """
    A page for load balancers and monitoring.

    It answers 200 with ``{"status": "ok"}``, and 503 with "draining" while the server is stopping. While the
    engine of the rooms can't serve them, the status is "unavailable", with 503 and the reason. For a minute
    after the reactor was blocked, the status is "degraded", with 200 and `stalledSeconds`.

    Args:
        isDraining: Returns whether the server is stopping.
        watch: The detector of stalls.
        engineHealth: Returns what is wrong with the engine; `None`: nothing.
        note: Returns further fields. Its "status" is used if it would be "ok" otherwise.
    """

    isLeaf = True

    def __init__(
        self,
        isDraining: Callable[[], bool],
        watch: StallDetector,
        engineHealth: Callable[[], str | None] = lambda: None,
        note: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        super().__init__()
        self._isDraining = isDraining
        self._watch = watch
        self._engineHealth = engineHealth
        self._note = note

    def report(self) -> dict[str, Any]:
        """Return what the page says, without the further fields."""
        problem = self._engineHealth()
        stalled = self._watch.lastStall
        if self._isDraining():
            return {"status": "draining"}
        if problem is not None:
            return {"status": "unavailable", "reason": problem}
        if stalled is not None:
            return {"status": "degraded", "stalledSeconds": round(stalled, 1)}
        return {"status": "ok"}

    def whole(self) -> tuple[dict[str, Any], bool]:
        """Return what the page says, with the further fields, and whether the server should get clients."""
        report, note = self.report(), self._note()
        isReady = report["status"] not in ("draining", "unavailable")
        return ({**report, **note} if report["status"] == "ok" else {**note, **report}), isReady

    def render_GET(self, request: Request) -> bytes:
        report, isReady = self.whole()
        if not isReady:
            request.setResponseCode(503)
        request.setHeader("Content-Type", "application/json")
        request.setHeader("Cache-Control", "no-store")
        return json.dumps(report).encode()
