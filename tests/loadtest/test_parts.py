"""The small parts of a load test."""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txroom.loadtest import Progress
from txroom.loadtest.histogram import Histogram
from txroom.loadtest.metrics import MAX_KINDS, Metrics
from txroom.loadtest.report import textOf
from txroom.loadtest.roundtrips import RoundTrips


class HistogramTests(SynchronousTestCase):
    """Percentiles."""

    def test_nothing(self) -> None:
        """Without durations everything is 0."""
        histogram = Histogram()
        self.assertEqual((histogram.percentile(50), histogram.mean, histogram.most), (0.0, 0.0, 0.0))

    def test_one(self) -> None:
        """With one duration every percentile is exact."""
        histogram = Histogram()
        histogram.add(0.0123)
        self.assertEqual([histogram.percentile(p) for p in (0, 50, 100)], [0.0123] * 3)

    def test_exact(self) -> None:
        """Percentiles are within 1 % of those of the sorted list, for any distribution."""
        random = Random(1)
        for draw in (lambda: random.expovariate(100), lambda: random.lognormvariate(-5, 3), random.random):
            histogram, values = Histogram(), sorted(max(2e-6, min(3000.0, draw())) for _ in range(5000))
            for value in values:
                histogram.add(value)
            for percent in (1, 10, 50, 90, 99, 99.9, 100):
                exact = values[max(0, -int(-5000 * percent // 100) - 1)]
                self.assertLess(abs(histogram.percentile(percent) - exact), 0.01 * exact)
            self.assertAlmostEqual(histogram.mean, sum(values) / 5000, 9)

    def test_bounded(self) -> None:
        """The memory does not grow with the number of durations; extreme values do no harm."""
        histogram = Histogram()
        random = Random(2)
        for _ in range(50_000):
            histogram.add(10 ** random.uniform(-12, 12))
        histogram.add(0.0)
        self.assertLess(len(histogram._buckets), 2100)
        self.assertGreater(histogram.percentile(100), 3500.0)
        self.assertEqual((histogram.count, histogram.least), (50_001, 0.0))


class RoundTripsTests(SynchronousTestCase):
    """The marks of messages."""

    def test_own(self) -> None:
        """A client finds its own marks, in any order and once each, and no other client's."""
        mine, other = RoundTrips("a1"), RoundTrips("a11")
        marks = []
        for now in (1.0, 2.0, 3.0):
            marks.append(mine.next)
            mine.add(now)
            other.add(now)
        self.assertEqual(len(set(marks)), 3)
        self.assertIs(mine.find(repr({"text": other.next})), None)
        self.assertEqual(mine.find(repr({"text": [f"x {marks[1]} y"]})), 2.0)
        self.assertIs(mine.find(marks[1]), None)
        self.assertEqual((mine.find(marks[2]), mine.find(marks[0]), len(mine)), (3.0, 1.0, 0))

    def test_foreign(self) -> None:
        """Text that only resembles a mark is ignored."""
        returns = RoundTrips("a1")
        for text in ("", "~a1.", "~a1.zz~", "~a1.5~", "~a1"):
            self.assertIs(returns.find(text), None)

    def test_order(self) -> None:
        """Without marks, messages return in order; messages that are too old are forgotten."""
        returns = RoundTrips("a")
        self.assertIs(returns.first(), None)
        for now in (1.0, 2.0, 3.0, 4.0):
            returns.add(now)
        self.assertEqual((returns.first(), returns.expire(3.0), returns.expire(3.0)), (1.0, 1, 0))
        self.assertEqual((len(returns), returns.clear(), returns.clear()), (2, 2, 0))


class MetricsTests(SynchronousTestCase):
    """The counters."""

    def test_kinds(self) -> None:
        """The number of kinds of errors is bounded, so that a server's reasons cannot fill the memory."""
        metrics = Metrics()
        for number in range(1000):
            metrics.failed(f"left: {number}")
        metrics.failed("left: 0")
        self.assertEqual(len(metrics.errors), MAX_KINDS + 1)
        self.assertEqual((metrics.errors["others"], metrics.errors["left: 0"]), (1000 - MAX_KINDS, 2))

    def test_recent(self) -> None:
        """A recent latency is returned once, and stays in the total."""
        metrics = Metrics()
        metrics.took("reply", 0.5)
        self.assertEqual(list(metrics.takeRecent()), ["reply"])
        self.assertEqual(list(metrics.takeRecent()), [])
        self.assertEqual(metrics.latencies["reply"].count, 1)


class ReportTests(SynchronousTestCase):
    """The texts."""

    def test_progress(self) -> None:
        """A line has the rates and latencies since the last line, and the current counts."""
        clock, metrics = Clock(), Metrics()
        progress = Progress(metrics, clock)
        metrics.connected, metrics.joined, metrics.sent, metrics.received = 7, 6, 100, 300
        metrics.took("handled", 0.05)
        metrics.took("returned", 0.00123)
        clock.advance(2.0)
        self.assertEqual(
            progress.line(),
            "     2 s  connected 7  joined 6  sent 50/s  received 150/s  errors 0"
            "  returned p50 1.23 ms p99 1.23 ms",
        )
        metrics.sent += 3
        metrics.failed("lost", 2)
        clock.advance(1.0)
        self.assertEqual(progress.line(), "     3 s  connected 7  joined 6  sent 3/s  received 0/s  errors 2")

    def test_progressPlain(self) -> None:
        """Without rooms, the line has no "joined"."""
        self.assertNotIn("joined", Progress(Metrics(), Clock(), hasRooms=False).line())

    def test_summary(self) -> None:
        """The figures as text."""
        none = {"count": 0, "mean": 0.0, "p50": 0.0, "p90": 0.0, "p99": 0.0, "max": 0.0}
        some = {"count": 9, "mean": 0.002, "p50": 0.001, "p90": 0.002, "p99": 0.0123, "max": 1.5}
        figures = {
            "url": "ws://localhost/rooms",
            "room": "chat",
            "isOk": False,
            "isStopped": True,
            "seconds": 12.34,
            "clients": {"planned": 10, "started": 9, "connected": 8, "joined": 7},
            "connect": some,
            "join": none,
            "latency": {"reply": some},
            "messages": {
                "sent": 90,
                "received": 900,
                "wantedRate": 10.0,
                "sentRate": 9.0,
                "receivedRate": 90.0,
            },
            "errors": {"join: full": 1},
            "disconnects": {"1006": 2},
            "recoveries": 1,
            "losses": 1,
            "cpu": 0.95,
            "lateness": some,
        }
        self.assertEqual(
            textOf(figures).splitlines(),
            [
                "ws://localhost/rooms, 12.3 s, stopped",
                "      clients  8 of 10 connected, 7 joined",
                "         sent  90, 9/s of 10/s",
                "     received  900, 90/s",
                "      connect  p50 1.00 ms  p90 2.00 ms  p99 12 ms  max 1500 ms",
                "        reply  p50 1.00 ms  p90 2.00 ms  p99 12 ms  max 1500 ms",
                "        error  1 times join: full",
                "  disconnects  2 times 1006",
                "    recovered  1 without a loss, 1 with one",
                " this process  95% of a processor, late p99 12 ms  max 1500 ms",
                "               too busy to measure well: start several processes with fewer clients each",
            ],
        )
