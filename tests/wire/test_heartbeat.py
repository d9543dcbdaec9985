"""What time does to an open connection."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred

from tests.case import TEXT, HarnessTestCase, Recorder
from txroom import Application, Connection
from txroom.testing import Client, RoomHarness, clientFrame
from txroom.wire.heartbeat import firstPing


class HeartbeatCase(HarnessTestCase):
    """A recorder and a client, and the seconds since it connected."""

    def open(self, spread: float = 1.0, **options: Any) -> Client:
        self.patch(sys.modules["txroom.wire.heartbeat"], "random", lambda: spread)
        self.app = Recorder()
        self.harness: RoomHarness = self.serve(self.app, **options)
        # An odd moment, so that nothing falls on a tick by chance.
        self.harness.advance(0.0371)
        self.client = self.harness.connect()
        self.began = self.harness.clock.seconds()
        return self.client

    def untilGone(self, limit: float, step: float = 0.05) -> float:
        """The time at which the connection is gone, as seen from its beginning."""
        while not self.client.isClosed:
            elapsed = self.harness.clock.seconds() - self.began
            self.assertLess(elapsed, limit)
            self.harness.advance(step)
        return self.harness.clock.seconds() - self.began


class PingTests(HeartbeatCase):
    """Pings of a silent connection."""

    def test_silent(self) -> None:
        """A connection that is silent is pinged about every interval, and lives for ever."""
        self.open(pingInterval=10, pingTimeout=5)
        self.harness.advance(605)
        self.assertTrue(self.client.isOpen)
        self.assertIn(len(self.client.pings), range(58, 64))

    def test_notBusy(self) -> None:
        """One that is heard of is left in peace, once its round trip is known."""
        self.open(pingInterval=10, pingTimeout=5)
        for _ in range(100):
            self.harness.advance(5)
            self.client.send("x")
        self.assertLessEqual(len(self.client.pings), 1)
        self.assertIsNotNone(self.app.connection.rtt)

    def test_dead(self) -> None:
        """A peer that answers nothing is gone within interval and timeout, whenever its first ping is."""
        for spread in (0.0, 0.3, 1.0):
            for interval, timeout in ((10, 5), (1, 1), (0.5, 0.5), (25, 20)):
                self.open(spread, pingInterval=interval, pingTimeout=timeout)
                self.client.freeze()
                gone = self.untilGone(interval + timeout, step=0.01)
                self.assertLessEqual(gone, interval + timeout)
                self.assertGreaterEqual(gone, interval * 0.5 + timeout - 0.3)

    def test_diesLater(self) -> None:
        """One that dies after a long life is gone as soon, counted from its last byte."""
        for life in (13.37, 20.0, 47.11):
            self.open(pingInterval=10, pingTimeout=5)
            self.harness.advance(life)
            self.client.send("last")
            self.client.freeze()
            self.began = self.harness.clock.seconds()
            self.assertLessEqual(self.untilGone(15), 15)

    def test_fair(self) -> None:
        """From the ping on it has the whole timeout: a pong just before the end saves it."""
        self.open(pingInterval=10, pingTimeout=5)
        for _ in range(5):
            self.client.freeze()
            count = len(self.client.pings)
            while len(self.client.pings) == count:
                self.harness.advance(0.01)
            self.harness.advance(4.9)
            self.assertFalse(self.client.isClosed)
            self.client.unfreeze()
            self.client.protocol.sendPong(self.client.pings[-1])
            self.harness.flush()
            self.harness.advance(1)
            self.assertTrue(self.client.isOpen)

    def test_anyByte(self) -> None:
        """Any byte counts as life, not the pong alone."""
        harness = self.serve(Recorder(), pingInterval=10, pingTimeout=5)
        client = self.upgraded(harness)
        data = clientFrame(TEXT, "x" * 100)
        for at in range(6):
            harness.advance(4.5)
            client.send(data[at : at + 1])
        self.assertFalse(client.isClosed)

    def test_code(self) -> None:
        """1011 as best effort, told to `onDisconnect`; an application may have a code of its own."""
        self.open(pingInterval=1, pingTimeout=1)
        self.client.freeze()
        self.untilGone(3)
        self.assertEqual(self.client.closeCode, 1011)
        self.assertEqual(self.app.named("disconnect"), [(1011, "no heartbeat")])
        self.open(pingInterval=1, pingTimeout=1)
        self.app.heartbeatCode = 4106
        self.client.freeze()
        self.untilGone(3)
        self.assertEqual(self.app.named("disconnect"), [(4106, "no heartbeat")])

    def test_stalled(self) -> None:
        """A peer that neither reads nor answers is dropped though the Close frame can't go out."""
        self.open(pingInterval=2, pingTimeout=1)
        self.client.stall()
        self.app.connection.send("x" * 1000)
        self.harness.advance(3.1)
        self.assertEqual(self.app.named("disconnect"), [(1011, "no heartbeat")])

    def test_slowReader(self) -> None:
        """A peer whose pings are stuck behind a long backlog that it steadily takes is alive."""
        self.open(pingInterval=10, pingTimeout=5, maxBackpressure=0)
        self.client.stall()
        connection = self.app.connection
        connection.send(b"x" * 3_000_000)
        for _ in range(120):
            self.client.unstall(20_000)
            self.harness.advance(1)
        self.assertFalse(self.client.isClosed)
        self.assertGreater(connection.bufferedAmount, 0)
        self.client.stall()
        self.began = self.harness.clock.seconds()
        self.assertLessEqual(self.untilGone(20), 17)

    def test_noTimeout(self) -> None:
        """`pingTimeout=0`: pings, but nobody is dropped."""
        self.open(pingInterval=5, pingTimeout=0)
        self.client.freeze()
        self.harness.advance(100)
        self.assertTrue(self.client.isOpen)
        self.assertIn(len(self.client.pings), range(19, 23))

    def test_off(self) -> None:
        """`pingInterval=0`: no pings, and without deadlines no timer at all."""
        self.open(pingInterval=0)
        self.harness.advance(1000)
        self.assertEqual(self.client.pings, [])
        calls = [call for call in self.harness.clock.getDelayedCalls() if "StallDetector" not in str(call)]
        self.assertEqual(calls, [])

    def test_rtt(self) -> None:
        """Measured by our own pings, on the injected clock; the application's aren't confused with it."""
        self.open(pingInterval=10, pingTimeout=9)
        self.client.freeze()
        while not self.client.pings:
            self.harness.advance(0.05)
        self.assertIsNone(self.app.connection.rtt)
        self.harness.advance(0.25)
        self.client.protocol.sendPong(b"other")
        self.harness.flush()
        self.assertIsNone(self.app.connection.rtt)
        self.client.protocol.sendPong(self.client.pings[0])
        self.harness.flush()
        rtt = self.app.connection.rtt
        assert rtt is not None
        self.assertTrue(0.25 <= rtt <= 0.31, rtt)
        self.assertEqual(self.app.named("pong"), [b"other"], "the heartbeat's own isn't told")

    def test_spread(self) -> None:
        """A herd that came together isn't pinged together."""
        harness = self.serve(Recorder(), pingInterval=20)
        clients = [harness.connect() for _ in range(200)]
        counts = []
        for _ in range(20):
            harness.advance(1)
            counts.append(sum(len(client.pings) for client in clients))
        self.assertEqual(counts[8], 0)
        steps = [after - before for before, after in pairwise(counts)]
        self.assertLess(max(steps), 60)
        self.assertEqual(counts[-1], 200)

    def test_firstPing(self) -> None:
        """Between half an interval and a whole one, a little early."""
        self.patch(sys.modules["txroom.wire.heartbeat"], "random", lambda: 0.0)
        self.assertAlmostEqual(firstPing(100, 10), 104.8)
        self.assertAlmostEqual(firstPing(100, 0.2), 100.0)
        self.patch(sys.modules["txroom.wire.heartbeat"], "random", lambda: 1.0)
        self.assertAlmostEqual(firstPing(100, 10), 109.8)
        self.assertEqual(firstPing(100, 0), float("inf"))

    def test_wallClock(self) -> None:
        """Only the injected clock counts: a wall clock that jumps changes nothing."""
        import time

        self.open(pingInterval=10, pingTimeout=5)
        self.patch(time, "time", lambda: 0.0)
        self.harness.advance(100)
        self.assertTrue(self.client.isOpen)
        self.assertGreater(len(self.client.pings), 5)

    def test_stalledReactor(self) -> None:
        """Our own sleep isn't held against the peer: what it answered meanwhile is seen first."""
        self.open(pingInterval=10, pingTimeout=5)
        self.client.freeze()
        while not self.client.pings:
            self.harness.advance(0.05)
        self.client.protocol.sendPong(self.client.pings[0])
        self.harness.clock.turn()
        self.harness.clock.turn()
        self.harness.clock.rightNow += 100
        self.harness.flush()
        self.assertFalse(self.client.isClosed)
        self.client.drop()

    def test_attributes(self) -> None:
        """Connections have no table of attributes, whatever they have had."""
        self.open(pingInterval=10, pingTimeout=5)
        self.client.send("x" * 10)
        self.client.send("x" * 100_000)
        self.harness.advance(35)
        self.assertGreater(len(self.client.pings), 1)
        wire: Any = self.app.connection._wire
        for part in (wire, wire.receiver, wire._heartbeat, wire.out):
            self.assertFalse(hasattr(part, "__dict__"), part)


class HeldTests(HeartbeatCase):
    """While nothing is read the heartbeat doesn't judge."""

    def test_paused(self) -> None:
        """A connection that the application has paused isn't dropped, however long."""
        self.open(pingInterval=2, pingTimeout=1)
        self.app.connection.pause()
        self.harness.advance(60)
        self.assertTrue(self.client.isOpen)
        self.app.connection.resume()
        self.harness.advance(60)
        self.assertTrue(self.client.isOpen)

    def test_hook(self) -> None:
        """Nor one whose handler takes its time."""
        waiting: Deferred[None] = Deferred()
        self.open(pingInterval=2, pingTimeout=1)
        self.app.connection.onMessage = lambda connection, message: waiting
        self.client.send("x")
        self.harness.advance(60)
        self.assertTrue(self.client.isOpen)
        waiting.callback(None)
        self.harness.advance(60)
        self.assertTrue(self.client.isOpen)

    def test_frozen(self) -> None:
        """A peer that is gone is noticed all the same: for the heartbeat it is read ahead."""
        for hold in ("pause", "hook"):
            self.open(pingInterval=10, pingTimeout=5)
            if hold == "pause":
                self.app.connection.pause()
            else:
                waiting: Deferred[None] = Deferred(lambda _: None)
                self.app.connection.onMessage = lambda connection, message, waiting=waiting: waiting
                self.client.send("x")
            self.client.freeze()
            self.began = self.harness.clock.seconds()
            self.assertLessEqual(self.untilGone(15), 15)

    def test_readAhead(self) -> None:
        """What is read ahead is delivered afterwards, in order; beyond 64 KiB nothing is read."""
        self.open(pingInterval=2, pingTimeout=1)
        self.app.connection.pause()
        messages = [str(number) * 10_000 for number in range(10)]
        for message in messages:
            self.client.send(message)
        self.harness.advance(60)
        self.assertEqual(self.app.named("message"), [])
        self.app.connection.resume()
        self.harness.flush()
        self.assertEqual(self.app.named("message"), messages)

    def test_stuck(self) -> None:
        """One that takes nothing either is gone within interval and timeout."""
        self.open(pingInterval=10, pingTimeout=5)
        self.app.connection.pause()
        self.harness.advance(100)
        self.client.stall()
        self.began = self.harness.clock.seconds()
        self.app.connection.send(b"x" * 10_000)
        self.assertLessEqual(self.untilGone(20), 15)

    def test_stuckEcho(self) -> None:
        """So is one that waits for the queue in its hook."""
        self.open(pingInterval=10, pingTimeout=5)

        def handle(connection: Connection, message: str | bytes) -> Any:
            connection.send(b"x" * 200_000)
            return connection.whenSent()

        self.app.connection.onMessage = handle
        self.client.stall()
        self.client.send("x")
        self.assertLessEqual(self.untilGone(20), 17)

    def test_taking(self) -> None:
        """One that takes what is queued, however slowly, isn't."""
        self.open(pingInterval=10, pingTimeout=5)
        self.app.connection.pause()
        self.client.stall()
        self.app.connection.send(b"x" * 10_000)
        for _ in range(60):
            self.harness.advance(2)
            self.client.unstall(100)
        self.assertFalse(self.client.isClosed)
        self.assertGreater(self.app.connection.bufferedAmount, 0)

    def test_lifetime(self) -> None:
        """A lifetime ends also while nothing is read."""
        self.open(maxLifetime=30, closeTimeout=5)
        self.app.connection.pause()
        self.harness.advance(30.2)
        self.assertClosed(self.client, 1001, "lifetime over")


class IdleTests(HeartbeatCase):
    """`idleTimeout`: no data message for so long."""

    def test_idle(self) -> None:
        """1001, not early and not late; pings and pongs are no data."""
        self.open(idleTimeout=10, pingInterval=2)
        for _ in range(9):
            self.harness.advance(1)
            self.client.ping()
        self.harness.advance(0.9)
        self.assertTrue(self.client.isOpen)
        self.harness.advance(0.3)
        self.assertClosed(self.client, 1001, "idle")

    def test_active(self) -> None:
        """Each message counts from anew."""
        self.open(idleTimeout=10)
        for _ in range(10):
            self.harness.advance(9)
            self.client.send("x")
        self.harness.advance(9.5)
        self.assertTrue(self.client.isOpen)
        self.harness.advance(0.7)
        self.assertClosed(self.client, 1001)

    def test_sendingIsNone(self) -> None:
        """What we send doesn't count."""
        self.open(idleTimeout=10)
        for _ in range(11):
            self.app.connection.send("x")
            self.harness.advance(1)
        self.assertClosed(self.client, 1001)

    def test_noAnswer(self) -> None:
        """An idle peer that doesn't answer the Close frame either goes at `closeTimeout`."""
        self.open(idleTimeout=10, closeTimeout=3, pingInterval=0)
        self.client.freeze()
        gone = self.untilGone(14)
        self.assertTrue(13 <= gone <= 13.3, gone)

    def test_paused(self) -> None:
        """A peer that isn't read can't be idle."""
        self.open(idleTimeout=10)
        self.app.connection.pause()
        self.harness.advance(60)
        self.assertTrue(self.client.isOpen)

    def test_afterHold(self) -> None:
        """After a long hook it has the whole time again."""
        waiting: Deferred[None] = Deferred()
        self.open(idleTimeout=10, pingInterval=0)
        self.app.connection.onMessage = lambda connection, message: waiting
        self.client.send("work")
        self.harness.advance(15)
        waiting.callback(None)
        self.harness.advance(9.9)
        self.assertTrue(self.client.isOpen)
        self.harness.advance(0.4)
        self.assertClosed(self.client, 1001, "idle")


class LifetimeTests(HeartbeatCase):
    """`maxLifetime`."""

    def test_busy(self) -> None:
        """1001 at that age, however busy."""
        self.open(maxLifetime=60)
        for _ in range(59):
            self.harness.advance(1)
            self.client.send("x")
        self.harness.advance(0.9)
        self.assertTrue(self.client.isOpen)
        self.harness.advance(0.3)
        self.assertClosed(self.client, 1001, "lifetime over")

    def test_off(self) -> None:
        """By default they live for ever."""
        self.open()
        self.harness.advance(7 * 86400 / 100)
        self.assertTrue(self.client.isOpen)


class TimerTests(HeartbeatCase):
    """One timer for all, and none when all are gone."""

    def test_one(self) -> None:
        """However many connections."""
        self.open(idleTimeout=100, maxLifetime=100)
        for _ in range(50):
            self.harness.connect()
        wheels = [call for call in self.harness.clock.getDelayedCalls() if "TimerWheel" in str(call)]
        self.assertEqual(len(wheels), 1)

    def test_none(self) -> None:
        """After the last connection there is none."""
        self.open()
        self.client.close()
        self.harness.advance(0.5)
        wheels = [call for call in self.harness.clock.getDelayedCalls() if "TimerWheel" in str(call)]
        self.assertEqual(wheels, [])

    def test_closeInLook(self) -> None:
        """A hook that closes another connection in the same look harms nothing."""
        app = Application()
        harness = self.serve(app, maxLifetime=5)
        clients = [harness.connect() for _ in range(3)]

        def disconnected(connection: Connection, code: int, reason: str) -> None:
            for other in app.connections:
                other.terminate()

        app.onDisconnect = disconnected
        clients += [harness.connect() for _ in range(3)]
        harness.advance(10)
        self.assertTrue(all(client.isClosed for client in clients))

    def test_pingFlood(self) -> None:
        """Pings from the peer are life as well."""
        self.open(pingInterval=5, pingTimeout=3)
        self.client.freeze()
        for _ in range(20):
            self.harness.advance(2)
            self.client.protocol.sendPing(b"")
        self.harness.flush()
        self.assertTrue(self.client.isOpen)
        self.assertEqual(len(self.app.named("ping")), 20)
