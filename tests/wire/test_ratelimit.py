"""How much one connection may send in a time."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.case import PING, TEXT, HarnessTestCase, Recorder
from txroom import Connection
from txroom.core.options import ServerOptions
from txroom.core.tokenbucket import TokenBucket
from txroom.testing import RawClient, RoomHarness, clientFrame
from txroom.wire.ratelimit import CONTROL_BURST, CONTROL_RATE, PATIENCE, SLOWED, Meter


class BucketTests(SynchronousTestCase):
    """A token bucket."""

    def test_burst(self) -> None:
        """As much as it holds at once; then the time until the debt is paid."""
        bucket = TokenBucket(rate=10, burst=5, now=0)
        self.assertEqual([bucket.spend(1, 0) for _ in range(5)], [0] * 5)
        self.assertAlmostEqual(bucket.spend(1, 0), 0.1)
        self.assertAlmostEqual(bucket.spend(1, 0), 0.2)

    def test_refill(self) -> None:
        """It fills with time, but never beyond its size."""
        bucket = TokenBucket(rate=10, burst=5, now=0)
        bucket.spend(5, 0)
        self.assertEqual(bucket.spend(1, 0.1), 0)
        self.assertEqual(bucket.spend(5, 1000), 0)
        self.assertGreater(bucket.spend(1, 1000), 0)

    def test_take(self) -> None:
        """One, if it is there; a request in vain costs nothing."""
        bucket = TokenBucket(rate=10, burst=2, now=0)
        self.assertEqual([bucket.take(0) for _ in range(100)], [True, True, *[False] * 98])
        self.assertEqual([bucket.take(0.1), bucket.take(0.1)], [True, False])

    def test_backwards(self) -> None:
        """A clock that goes back takes nothing away."""
        bucket = TokenBucket(rate=10, burst=5, now=100)
        bucket.spend(4, 100)
        self.assertEqual(bucket.spend(1, 50), 0)

    def test_credit(self) -> None:
        """What couldn't be looked at may be spent beyond the burst, until that is over."""
        bucket = TokenBucket(rate=10, burst=5, now=0)
        bucket.spend(7, 0)
        self.assertAlmostEqual(bucket.credit(0, 0), 0.2)
        self.assertEqual(bucket.credit(10, 0), 0)
        self.assertEqual(bucket.spend(98, 0), 0)
        self.assertGreater(bucket.spend(1, 0), 0)
        bucket.credit(10, 0)
        bucket.settle()
        self.assertEqual(bucket.spend(5, 1), 0)
        self.assertGreater(bucket.spend(1, 1), 0)

    def test_ease(self) -> None:
        """At ease with half of it there."""
        bucket = TokenBucket(rate=1, burst=4, now=0)
        seen = []
        for _ in range(4):
            bucket.spend(1, 0)
            seen.append(bucket.isHalfFull)
        self.assertEqual(seen, [True, True, False, False])


class MeterTests(SynchronousTestCase):
    """Both buckets of a connection, and its patience."""

    def meter(self, **options: Any) -> Meter:
        meter = Meter.of(ServerOptions(**options), 0)
        assert meter is not None
        return meter

    def test_none(self) -> None:
        """No limit, no meter."""
        self.assertIsNone(Meter.of(ServerOptions(messageBurst=5, byteBurst=5), 0))

    def test_defaultBurst(self) -> None:
        """Twice the rate, at least one."""
        meter = self.meter(messageRate=2)
        self.assertEqual([bool(meter.spend(1, 0)) for _ in range(5)], [False] * 4 + [True])
        slow = self.meter(messageRate=0.1)
        self.assertEqual([bool(slow.spend(1, 0)) for _ in range(2)], [False, True])

    def test_bytes(self) -> None:
        """Bytes count by themselves."""
        meter = self.meter(byteRate=100, byteBurst=50)
        self.assertEqual(meter.spend(50, 0), 0)
        self.assertAlmostEqual(meter.spend(10, 0), 0.1)

    def test_longer(self) -> None:
        """The longer of the two waits counts."""
        meter = self.meter(messageRate=1, messageBurst=1, byteRate=1, byteBurst=1)
        meter.spend(1, 0)
        self.assertAlmostEqual(meter.spend(9, 0), 9)

    def test_abuse(self) -> None:
        """Slowed down without a break for longer than patience lasts."""
        meter = self.meter(messageRate=1, messageBurst=4)
        for second in range(int(PATIENCE) + 1):
            for _ in range(5):
                meter.spend(1, second)
            self.assertFalse(meter.isAbused(second))
        self.assertTrue(meter.isAbused(PATIENCE + 0.1))

    def test_ease(self) -> None:
        """A break makes it forget."""
        meter = self.meter(messageRate=1, messageBurst=4)
        for _ in range(5):
            meter.spend(1, 0)
        meter.spend(1, 9)
        self.assertFalse(meter.isAbused(100))

    def test_easeOfBoth(self) -> None:
        """With both buckets both must be at ease; with one, that one."""
        for options, forgets in (
            ({"byteRate": 10, "byteBurst": 40}, True),
            ({"byteRate": 10, "byteBurst": 40, "messageRate": 0.01, "messageBurst": 4}, False),
        ):
            meter = self.meter(**options)
            for _ in range(8 + SLOWED + 1):
                meter.spend(5, 0)
            meter.spend(0, 9)
            self.assertEqual(meter.isAbused(PATIENCE + 1), not forgets, options)

    def test_longMessages(self) -> None:
        """A few long messages, each paid for by waiting, are no abuse."""
        meter = self.meter(byteRate=10, byteBurst=40)
        meter.spend(1000, 0)
        for now in (97, 98, 99):
            meter.spend(10, now)
            self.assertFalse(meter.isAbused(now))


class LimitTests(HarnessTestCase):
    """Limits of a connection: first it is read no more, then closed with 1008."""

    def start(self, **options: Any) -> tuple[RoomHarness, Recorder, RawClient]:
        app = Recorder()
        harness = self.serve(app, **options)
        return harness, app, self.upgraded(harness)

    def test_waits(self) -> None:
        """What is too fast waits, and is delivered at the rate; none is lost."""
        harness, app, client = self.start(messageRate=10, messageBurst=5)
        client.send(b"".join(clientFrame(TEXT, str(number)) for number in range(20)))
        self.assertEqual(len(app.named("message")), 6)
        harness.advance(1)
        self.assertIn(len(app.named("message")), (11, 12, 13, 14, 15, 16))
        harness.advance(1)
        self.assertEqual(app.named("message"), [str(number) for number in range(20)])

    def test_stopsReading(self) -> None:
        """Meanwhile nothing is read: the peer's own buffers fill."""
        harness, app, client = self.start(messageRate=1, messageBurst=1)
        client.send(clientFrame(TEXT, "a") + clientFrame(TEXT, "b"))
        client.send(clientFrame(PING, "x"))
        self.assertEqual((len(app.named("message")), app.named("ping")), (2, []))
        harness.advance(1.3)
        self.assertEqual(app.named("ping"), [b"x"])

    def test_bytes(self) -> None:
        """By size."""
        harness, app, client = self.start(byteRate=1000, byteBurst=1000)
        client.send(clientFrame(TEXT, "x" * 1500) + clientFrame(TEXT, "y"))
        self.assertEqual(len(app.named("message")), 1)
        harness.advance(0.7)
        self.assertEqual(len(app.named("message")), 2)

    def test_abuse(self) -> None:
        """A client that never slows down is closed with 1008."""
        harness, app, client = self.start(messageRate=10, messageBurst=5)
        client.send(b"".join(clientFrame(TEXT) for _ in range(1000)))
        harness.advance(PATIENCE + 1)
        self.assertEqual(app.named("disconnect"), [(1008, "over the rate limit")])
        self.assertIn(b"\x03\xf0over the rate limit", client.output)
        self.assertLess(len(app.named("message")), 130)

    def test_long(self) -> None:
        """A message that is paid for by a long wait is no abuse."""
        harness, app, client = self.start(byteRate=1000, pingInterval=0)
        client.send(clientFrame(TEXT, "x" * 100_000))
        harness.advance(99)
        client.send(clientFrame(TEXT, "y"))
        harness.advance(2)
        self.assertEqual((len(app.named("message")), app.named("disconnect")), (2, []))

    def test_fair(self) -> None:
        """A client that keeps to the rate is never slowed down, for as long as it lasts."""
        harness, app, client = self.start(messageRate=10, messageBurst=5)
        for _ in range(60):
            for _ in range(5):
                client.send(clientFrame(TEXT))
            harness.advance(0.5)
        self.assertEqual(len(app.named("message")), 300)
        self.assertEqual(app.named("disconnect"), [])

    def test_code(self) -> None:
        """Applications may have a code of their own."""
        app = Recorder()
        app.abuseCode = 4029
        harness = self.serve(app, messageRate=1, messageBurst=1)
        client = self.upgraded(harness)
        client.send(b"".join(clientFrame(TEXT) for _ in range(100)))
        harness.advance(PATIENCE + 3)
        self.assertEqual(app.named("disconnect")[0][0], 4029)

    def test_dropWhileWaiting(self) -> None:
        """A connection that is closed while it waits leaves nothing behind."""
        harness, app, client = self.start(messageRate=1, messageBurst=1)
        client.send(clientFrame(TEXT) * 3)
        app.connection.close()
        harness.advance(11)
        self.assertEqual(harness.server.connections, [])


class ControlTests(HarnessTestCase):
    """Control frames have a limit of their own, always."""

    def test_flood(self) -> None:
        """More than anybody with good intentions sends: 1008."""
        app = Recorder()
        client = self.upgraded(self.serve(app))
        client.send(clientFrame(PING) * int(CONTROL_BURST))
        self.assertEqual(app.named("disconnect"), [])
        client.send(clientFrame(PING) * 2)
        self.assertEqual(app.named("disconnect"), [(1008, "too many control frames")])

    def test_steady(self) -> None:
        """A steady rate is fine."""
        app = Recorder()
        harness = self.serve(app)
        client = self.upgraded(harness)
        for _ in range(20):
            client.send(clientFrame(PING) * int(CONTROL_RATE))
            harness.advance(1)
        self.assertEqual(len(app.named("ping")), 20 * CONTROL_RATE)


class MeanwhileTests(HarnessTestCase):
    """What came while the server didn't read isn't a flood, if it is none by the time that it took."""

    def start(self, app: Recorder | None = None, **options: Any) -> RawClient:
        self.app = app or Recorder()
        self.harness = self.serve(self.app, pingInterval=0, **options)
        self.client = self.upgraded(self.harness)
        return self.client

    def beat(self, frame: bytes, seconds: int, each: int = 1) -> None:
        """Send so many frames in each of so many seconds."""
        for _ in range(seconds):
            self.client.send(frame * each)
            self.harness.advance(1)

    def test_pings(self) -> None:
        """A ping a second for nine minutes, behind `pause`."""
        self.start()
        self.app.connection.pause()
        self.beat(clientFrame(PING), 600)
        self.app.connection.resume()
        self.harness.advance(1)
        self.assertEqual((len(self.app.named("ping")), self.app.named("disconnect")), (600, []))

    def test_flood(self) -> None:
        """More of them than there may be in that time: 1008."""
        self.start()
        self.app.connection.pause()
        self.beat(clientFrame(PING), 5, each=400)
        self.app.connection.resume()
        self.harness.advance(1)
        self.assertEqual(self.app.named("disconnect"), [(1008, "too many control frames")])
        self.assertLess(len(self.app.named("ping")), 1010)

    def test_soon(self) -> None:
        """A client that has been idle meanwhile doesn't save it up."""
        self.start()
        self.app.connection.pause()
        self.harness.advance(600)
        self.app.connection.resume()
        self.harness.advance(PATIENCE + 1)
        self.client.send(clientFrame(PING) * 600)
        self.harness.advance(1)
        self.assertEqual(self.app.named("disconnect"), [(1008, "too many control frames")])

    def test_messages(self) -> None:
        """Messages at nine tenths of the rate, for a minute behind `pause`: all are handled at once."""
        self.start(messageRate=10, messageBurst=20)
        self.app.connection.pause()
        self.beat(clientFrame(TEXT, "x"), 60, each=9)
        self.app.connection.resume()
        self.harness.advance(0.5)
        self.assertEqual(len(self.app.named("message")), 540)
        self.beat(clientFrame(TEXT, "x"), 30, each=9)
        self.assertEqual((len(self.app.named("message")), self.app.named("disconnect")), (810, []))

    def test_handler(self) -> None:
        """Behind a handler that takes a minute."""
        waiting: list[Deferred[None]] = []

        def handle(connection: Connection, message: str) -> Deferred[None] | None:
            if message == "slow":
                waiting.append(Deferred())
                return waiting[0]
            self.app.events.append(("message", message))
            return None

        self.start(Recorder(onMessage=handle), messageRate=10, messageBurst=20)
        self.client.send(clientFrame(TEXT, "slow"))
        self.beat(clientFrame(TEXT, "x"), 60, each=9)
        waiting[0].callback(None)
        self.harness.advance(0.5)
        self.assertEqual((len(self.app.named("message")), self.app.named("disconnect")), (540, []))

    def test_standstill(self) -> None:
        """After the process stood still, and once for each time."""
        self.start(messageRate=10, messageBurst=20, idleTimeout=1000)
        self.harness.clock.rightNow += 60
        self.client.send(clientFrame(TEXT, "x") * 540)
        self.harness.advance(0.5)
        self.assertEqual(len(self.app.named("message")), 540)
        self.client.send(clientFrame(PING) * 1000)
        self.harness.advance(PATIENCE + 1)
        self.assertEqual(self.app.named("disconnect"), [])
        self.client.send(clientFrame(TEXT, "x") * 540)
        self.harness.advance(0.5)
        self.assertLess(len(self.app.named("message")), 540 + 30)

    def test_abuse(self) -> None:
        """A client that sends more than the rate meanwhile is slowed down, and closed, as ever."""
        self.start(messageRate=10, messageBurst=20)
        self.app.connection.pause()
        self.beat(clientFrame(TEXT, "x"), 10, each=100)
        self.app.connection.resume()
        self.harness.advance(PATIENCE + 1)
        self.assertEqual(self.app.named("disconnect"), [(1008, "over the rate limit")])
        self.assertLess(len(self.app.named("message")), 300)
