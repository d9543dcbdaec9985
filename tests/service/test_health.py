"""
Tests for the health page, the stall detector and the watchdog thread.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.case import HarnessTestCase
from txroom.process.watchdog import Watchdog
from txroom.service.health import INTERVAL, KEPT_STALLS, REMEMBERED, STALL, StallDetector
from txroom.testing import RoomHarness


class LateClock(Clock):
    """A clock whose calls can come late, as when the reactor is blocked."""

    def stall(self, seconds: float) -> None:
        self.rightNow += seconds
        self.advance(0)


class StallDetectorTests(SynchronousTestCase):
    """`StallDetector`."""

    def setUp(self) -> None:
        self.clock = LateClock()
        self.stallDetector = StallDetector(self.clock)
        self.turns = 0
        self.stallDetector.onCheck = self.turn
        self.stallDetector.start()
        self.addCleanup(self.stallDetector.stop)

    def turn(self) -> None:
        self.turns += 1

    def test_quiet(self) -> None:
        """Without a stall nothing is reported; `onCheck` is called at each check."""
        self.clock.pump([INTERVAL] * 10)
        self.assertEqual((self.stallDetector.lastStall, self.turns), (None, 10))

    def test_stall(self) -> None:
        """A stall is reported for a minute."""
        self.clock.advance(INTERVAL)
        self.clock.stall(INTERVAL + STALL + 4)
        self.assertEqual(self.stallDetector.lastStall, STALL + 4)
        self.clock.pump([INTERVAL] * int(REMEMBERED))
        self.assertEqual(self.stallDetector.lastStall, STALL + 4)
        self.clock.advance(INTERVAL)
        self.assertIsNone(self.stallDetector.lastStall)

    def test_late(self) -> None:
        """A small delay is not a stall."""
        self.clock.stall(INTERVAL + STALL - 0.01)
        self.assertIsNone(self.stallDetector.lastStall)

    def test_stalls(self) -> None:
        """The last stalls are kept, with their times and the stacks that the watchdog has taken."""
        stacks = ["never used", *(f"at {index}" for index in range(30))]
        detector = StallDetector(self.clock, lambda: 1000.0 + self.clock.seconds())
        detector.takeStack = lambda: stacks.pop(0)
        detector.start()
        self.addCleanup(detector.stop)
        self.clock.advance(INTERVAL)
        for _ in range(KEPT_STALLS + 5):
            self.clock.stall(INTERVAL + STALL)
        self.assertEqual(len(detector.stalls), KEPT_STALLS)
        self.assertEqual([each.stack for each in detector.stalls][:2], ["at 5", "at 6"])
        self.assertEqual(detector.stalls[-1].seconds, STALL)
        self.assertEqual(detector.stalls[-1].at, 1000.0 + self.clock.seconds())

    def test_startedTwice(self) -> None:
        """A detector that is started twice checks once in each interval, and can be stopped."""
        self.stallDetector.start()
        self.clock.pump([INTERVAL] * 3)
        self.assertEqual(self.turns, 3)
        self.stallDetector.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """A detector that is stopped leaves no timer behind."""
        self.stallDetector.stop()
        self.stallDetector.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class HealthPageTests(HarnessTestCase):
    """The health page."""

    def setUp(self) -> None:
        self.harness = self.serve()
        self.harness.server.addHealthPage()

    def health(self, harness: RoomHarness, method: str = "GET") -> tuple[int, Any]:
        client = harness.raw(f"{method} /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = client.response
        assert answer is not None
        self.assertEqual(answer.headers.get("content-type"), "application/json")
        self.assertEqual(answer.headers.get("cache-control"), "no-store")
        return answer.status, json.loads(answer.body) if answer.body else None

    def test_ok(self) -> None:
        """It answers 200 and "ok"; HEAD has no body."""
        self.assertEqual(self.health(self.harness), (200, {"status": "ok"}))
        self.assertEqual(self.health(self.harness, "HEAD"), (200, None))

    def test_degraded(self) -> None:
        """After a stall it answers 200 with "degraded"."""
        self.harness.clock.rightNow += INTERVAL + STALL + 2.5
        self.harness.advance(0)
        expected = {"status": "degraded", "stalledSeconds": STALL + 2.5}
        self.assertEqual(self.health(self.harness), (200, expected))
        self.harness.advance(REMEMBERED + 1)
        self.assertEqual(self.health(self.harness), (200, {"status": "ok"}))

    def test_draining(self) -> None:
        """
        While the server drains and still listens, it answers 503, so that load balancers stop sending
        clients.
        """
        finished: Deferred[None] = Deferred()
        self.harness.server.onShutdown(lambda: finished)
        stopping = self.harness.server.stopService()
        self.assertEqual(self.health(self.harness), (503, {"status": "draining"}))
        finished.callback(None)
        self.harness.flush()
        self.successResultOf(stopping)


class WatchdogTests(SynchronousTestCase):
    """The watchdog thread."""

    LIMIT = 0.1

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.reported = threading.Event()
        self.watchdog = Watchdog(self.LIMIT)
        self.patch(self.watchdog, "_log", self)
        self.addCleanup(self.watchdog.stop)

    def warn(self, format: str, **values: Any) -> None:
        """Collects warnings."""
        self.events.append(values)
        self.reported.set()

    def test_stack(self) -> None:
        """The stack of the blocked thread is logged during the stall, once."""
        self.watchdog.start()
        self.assertTrue(self.reported.wait(10))  # the stall
        time.sleep(0.6)
        self.assertEqual(len(self.events), 1)
        self.assertIn("in test_stack", self.events[0]["stack"])
        self.assertGreater(self.events[0]["silence"], self.LIMIT)
        self.assertEqual(self.watchdog.takeStack(), self.events[0]["stack"])
        self.assertEqual(self.watchdog.takeStack(), "")

    def test_again(self) -> None:
        """The next stall is logged, too."""
        self.watchdog.start()
        self.assertTrue(self.reported.wait(10))
        self.reported.clear()
        self.watchdog.beat()
        self.assertTrue(self.reported.wait(10))

    def test_beating(self) -> None:
        """Nothing is logged while the reactor runs."""
        self.patch(self.watchdog, "_limit", 5.0)
        self.watchdog.start()
        for _ in range(6):
            time.sleep(0.1)
            self.watchdog.beat()
        self.assertEqual(self.events, [])

    def test_stop(self) -> None:
        """It can be stopped, also if it was never started."""
        Watchdog(1).stop()
        self.watchdog.start()
        self.watchdog.stop()
        self.assertFalse(self.watchdog.is_alive())
