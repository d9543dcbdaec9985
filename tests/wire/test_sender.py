"""The way out: what became of a message, and the queued bytes."""

from __future__ import annotations

import sys
from typing import Any

from tests.case import HarnessTestCase, Recorder, fired
from txroom import Application, Connection, Prepared, SendStatus
from txroom.testing import Client, RoomHarness
from txroom.wire.frames import preparedFrame

SENT, BACKPRESSURE, DROPPED, CLOSED = SendStatus


class SenderCase(HarnessTestCase):
    """One client, over one kind of transport."""

    more: dict[str, Any] = {}

    def open(self, **options: Any) -> Client:
        self.app = Recorder()
        self.harness: RoomHarness = self.serve(self.app, **options)
        self.client = self.harness.connect(**self.more)
        return self.client

    def send(self, data: Any) -> SendStatus:
        status = self.app.connection.send(data)
        self.harness.flush()
        return status

    @property
    def drains(self) -> int:
        return len(self.app.named("drain"))


class StatusTests(SenderCase):
    """SENT, BACKPRESSURE, DROPPED, CLOSED."""

    def test_sent(self) -> None:
        """With room for it."""
        self.open()
        self.assertEqual(self.send("x"), SENT)
        self.assertEqual(self.send(b"x" * 60_000), SENT)
        self.assertEqual(self.app.connection.bufferedAmount, 0)

    def test_sentWaiting(self) -> None:
        """Up to the mark it is SENT though it waits."""
        self.open(highWaterMark=1000)
        self.client.stall()
        self.assertEqual(self.send(b"x" * 400), SENT)
        self.assertGreater(self.app.connection.bufferedAmount, 400)
        self.assertEqual(self.drains, 0)

    def test_backpressure(self) -> None:
        """Over the mark, each time; it is queued and comes."""
        self.open(highWaterMark=1000)
        self.client.stall()
        self.assertEqual([self.send(b"x" * 400) for _ in range(4)], [SENT, SENT, BACKPRESSURE, BACKPRESSURE])
        self.client.unstall()
        self.assertEqual(self.client.received, [b"x" * 400] * 4)

    def test_drain(self) -> None:
        """`onDrain` once, when all is out."""
        self.open(highWaterMark=1000)
        self.client.stall()
        for _ in range(5):
            self.send(b"x" * 1000)
        self.client.unstall(2000)
        self.assertEqual(self.drains, 0)
        self.client.unstall()
        self.assertEqual((self.drains, self.app.connection.bufferedAmount), (1, 0))
        self.send(b"x")
        self.assertEqual(self.drains, 1)

    def test_drainAgain(self) -> None:
        """And again the next time."""
        self.open(highWaterMark=1000)
        for count in (1, 2, 3):
            self.client.stall()
            self.assertEqual(self.send(b"x" * 2000), BACKPRESSURE)
            self.client.unstall()
            self.assertEqual(self.drains, count)

    def test_drainSends(self) -> None:
        """`onDrain` may send the next lot, as a file server would."""
        left = [b"%d" % number * 1000 for number in range(10)]

        def more(connection: Connection) -> None:
            while left and connection.send(left.pop(0)) is SENT:
                pass

        self.open(highWaterMark=100)
        self.app.connection.onDrain = more
        self.client.stall()
        more(self.app.connection)
        self.assertEqual(len(left), 9)
        self.client.unstall(1500)
        self.assertEqual(len(left), 8)
        self.client.unstall()
        self.assertEqual([message[:1] for message in self.client.received], [b"%d" % n for n in range(10)])

    def test_drainRefilled(self) -> None:
        """Not while what somebody sends who waited for `whenSent` waits itself, but once that is out too."""
        self.open(highWaterMark=100)
        connection = self.app.connection
        self.client.stall()
        self.send(b"x" * 1000)
        connection.whenSent().addCallback(lambda _: connection.send(b"y" * 1000))
        waiting = connection.bufferedAmount
        self.client.unstall(waiting)
        self.assertGreater(connection.bufferedAmount, 0)
        self.assertEqual(self.drains, 0)
        self.client.unstall()
        self.assertEqual((self.drains, connection.bufferedAmount), (1, 0))
        self.assertEqual(self.client.received, [b"x" * 1000, b"y" * 1000])

    def test_drainClosed(self) -> None:
        """No `onDrain` for a connection that is closing or gone."""
        self.open(highWaterMark=100)
        self.client.stall()
        self.send(b"x" * 1000)
        self.app.connection.close()
        self.client.unstall()
        self.assertEqual((self.drains, self.client.received), (0, [b"x" * 1000]))
        self.assertClosed(self.client, 1000)

    def test_noMark(self) -> None:
        """`highWaterMark=0`: never BACKPRESSURE."""
        self.open(highWaterMark=0, maxBackpressure=0)
        self.client.stall()
        self.assertEqual({self.send(b"x" * 100_000) for _ in range(10)}, {SENT})

    def test_dropped(self) -> None:
        """Over the limit it isn't sent; what fits still is; nothing is closed."""
        self.open(highWaterMark=1000, maxBackpressure=2000)
        self.client.stall()
        statuses = [self.send(data) for data in (b"a" * 1500, b"b" * 600, b"c" * 100)]
        self.assertEqual(statuses, [BACKPRESSURE, DROPPED, BACKPRESSURE])
        self.client.unstall()
        self.assertEqual(self.client.received, [b"a" * 1500, b"c" * 100])
        self.assertTrue(self.client.isOpen)
        self.assertEqual(self.harness.server.stats().messagesSent, 2)

    def test_exactly(self) -> None:
        """What fills the limit to the byte still goes."""
        self.open(maxBackpressure=2000)
        self.client.stall()
        self.send(b"x" * 900)
        room = 2000 - self.app.connection.bufferedAmount
        self.assertEqual(self.send(b"x" * (room + 1)), DROPPED)
        self.assertEqual(self.send(b"x" * room), SENT)

    def test_oneLarge(self) -> None:
        """A message that is larger than the limit goes, if nothing waits."""
        self.open(maxBackpressure=1000)
        self.client.stall()
        self.assertEqual(self.send(b"x" * 100_000), BACKPRESSURE)
        self.assertEqual(self.send(b"x"), DROPPED)
        self.client.unstall()
        self.assertEqual(self.client.received, [b"x" * 100_000])

    def test_unlimited(self) -> None:
        """The limit doesn't apply to what is sent without it, which doesn't count until all has left."""
        self.open(highWaterMark=1000, maxBackpressure=2000)
        unlimited = Prepared(b"u" * 50_000)
        for _ in range(2):
            self.client.stall()
            self.send(b"a" * 1500)
            self.assertEqual(self.app.connection.sendUnlimited(unlimited, 2000), BACKPRESSURE)
            statuses = [self.send(data) for data in (b"b" * 400, b"c" * 600)]
            self.assertEqual(statuses, [BACKPRESSURE, DROPPED])
            self.client.unstall()
            self.assertEqual(self.client.received[-3:], [b"a" * 1500, b"u" * 50_000, b"b" * 400])
        self.client.stall()
        self.assertEqual([self.send(b"x" * 1500) for _ in range(2)], [BACKPRESSURE, DROPPED])

    def test_unlimitedFirst(self) -> None:
        """The same if nothing was waiting before."""
        self.open(highWaterMark=1000, maxBackpressure=2000)
        self.client.stall()
        self.assertEqual(self.app.connection.sendUnlimited(Prepared(b"u" * 100_000), 0), BACKPRESSURE)
        self.assertEqual([self.send(b"x" * 1500) for _ in range(2)], [BACKPRESSURE, DROPPED])
        self.client.unstall()
        self.assertEqual(self.client.received, [b"u" * 100_000, b"x" * 1500])
        self.assertEqual(self.app.connection.sendUnlimited(Prepared(b"free"), 0), SENT)
        self.app.connection.close()
        self.assertEqual(self.app.connection.sendUnlimited(Prepared(b"late"), 0), CLOSED)

    def test_unlimitedRefused(self) -> None:
        """Nothing is sent without the limit if more than so many bytes were refused; then it is `None`."""
        self.open()
        connection = self.app.connection
        self.client.stall()
        self.send(b"a" * 1000)
        refused = connection.refusedAmount
        statuses = [connection.sendUnlimited(Prepared(b"u"), most) for most in (0, refused - 1, refused)]
        self.assertEqual(statuses, [None, None, SENT])
        self.client.unstall()
        self.assertEqual(self.client.received, [b"a" * 1000, b"u"])
        self.assertIs(connection.sendUnlimited(Prepared(b"free"), 0), SENT)

    def test_unlimitedSteadily(self) -> None:
        """
        What has left doesn't count any more, also if the send buffer is never empty: however much was sent
        without the limit, no more is queued than the limit and what is left of that.
        """
        limit, refused, size = 20_000, 10_000, 4000
        self.open(highWaterMark=0, maxBackpressure=limit)
        connection = self.app.connection
        self.client.stall()
        self.send(b"a" * 5000)
        patch, sent = Prepared(b"u" * size), 0
        for _ in range(50):
            sent += connection.sendUnlimited(patch, refused) is SENT
            self.harness.flush()
            self.client.unstall(min(size, connection.refusedAmount - 1000))
            self.assertGreater(connection.refusedAmount, 0)
        self.assertGreater(sent * size, 2 * limit)
        while self.send(b"b" * 1000) is SENT:
            self.assertLess(connection.bufferedAmount, limit + refused + 2 * size)
        self.client.unstall()
        self.assertEqual(self.client.received.count(patch.payload), sent)

    def test_noLimit(self) -> None:
        """`maxBackpressure=0`: queued, however much."""
        self.open(maxBackpressure=0)
        self.client.stall()
        self.assertEqual({self.send(b"x" * 1_000_000) for _ in range(5)}, {BACKPRESSURE})
        self.client.unstall()
        self.assertEqual(len(self.client.received), 5)

    def test_controlsExempt(self) -> None:
        """Pings go over the limit, and so does the Close frame."""
        self.open(maxBackpressure=100)
        self.client.stall()
        self.send(b"x" * 1000)
        self.assertEqual(self.send(b"y"), DROPPED)
        self.app.connection.ping(b"p")
        self.app.connection.close(4000)
        self.client.unstall()
        self.assertEqual((self.client.received, self.client.pings), ([b"x" * 1000], [b"p"]))
        self.assertClosed(self.client, 4000)

    def test_closeOnLimit(self) -> None:
        """`closeOnBackpressureLimit`: 1013 in place of a loss."""
        self.open(maxBackpressure=1000, closeOnBackpressureLimit=True)
        self.client.stall()
        self.assertEqual([self.send(b"x" * 900) for _ in range(3)], [SENT, DROPPED, CLOSED])
        self.client.unstall()
        self.assertEqual(self.client.received, [b"x" * 900])
        self.assertClosed(self.client, 1013, "too slow")

    def test_closed(self) -> None:
        """While closing, and after."""
        self.open()
        connection = self.app.connection
        connection.close()
        self.assertEqual((connection.send("x"), connection.sendFrame(Prepared("x"))), (CLOSED, CLOSED))
        self.harness.flush()
        self.assertEqual((connection.send("x"), self.client.received), (CLOSED, []))

    def test_prepared(self) -> None:
        """The same for what is prepared."""
        self.open(highWaterMark=1000, maxBackpressure=2000)
        self.client.stall()
        frame = Prepared(b"x" * 1200)
        send = self.app.connection.sendFrame
        self.assertEqual([send(frame), send(frame)], [BACKPRESSURE, DROPPED])
        self.client.unstall()
        self.assertEqual((self.client.received, self.drains), ([b"x" * 1200], 1))

    def test_lostUnnoticed(self) -> None:
        """A connection that is gone without our knowing: `send` doesn't raise, and then we know."""
        self.open()
        self.app.connection.pause()
        self.client.drop()
        self.assertIn(self.app.connection.send("x"), (SENT, BACKPRESSURE))
        self.harness.flush()
        self.assertEqual(self.app.named("disconnect"), [(1006, "")])
        self.assertEqual(self.app.connection.send("x"), CLOSED)

    def test_slowButSteady(self) -> None:
        """A reader that is slow but steady is measured by the queued bytes, not by whether all is out."""
        self.open(maxBackpressure=10_000)
        self.client.stall()
        statuses = []
        for _ in range(50):
            statuses.append(self.send(b"x" * 1000))
            self.client.unstall(1000 if len(statuses) > 5 else 0)
        self.assertNotIn(DROPPED, statuses)

    def test_order(self) -> None:
        """Messages keep their order, through blocked and free times and all ways of sending."""
        self.open(maxBackpressure=0)
        for number in range(30):
            if number % 7 == 0:
                self.client.stall()
            if number % 3:
                self.app.connection.send(f"{number} " + "x" * 500)
            else:
                self.app.connection.sendFrame(Prepared(f"{number} " + "x" * 500))
            if number % 7 == 3:
                self.client.unstall(777)
            if number % 7 == 5:
                self.client.unstall()
        self.client.unstall()
        numbers = [int(str(message).split()[0]) for message in self.client.received]
        self.assertEqual(numbers, list(range(30)))

    def test_whenSentAtClose(self) -> None:
        """Deferreds from before and after the peer's Close fire when all is taken; the end isn't held up."""
        self.open()
        self.client.stall()
        self.send(b"x" * 100_000)
        connection = self.app.connection
        before = fired(connection.whenSent())
        self.client.close()
        after = fired(connection.whenSent())
        self.harness.flush()
        self.assertEqual((before, after), ([], []))
        self.client.unstall()
        self.assertEqual((before, after), ([None], [None]))
        self.assertEqual((self.client.received, self.client.isClosed), ([b"x" * 100_000], True))


class TLSStatusTests(StatusTests):
    """The same over TLS."""

    more = {"tls": True}

    def test_slowButSteady(self) -> None:
        """Records are larger than messages, so the steps are larger as well."""
        self.open(maxBackpressure=100_000)
        self.client.stall()
        statuses = []
        for _ in range(50):
            statuses.append(self.send(b"x" * 10_000))
            self.client.unstall(12_000 if len(statuses) > 5 else 0)
        self.assertNotIn(DROPPED, statuses)

    def test_lostUnnoticed(self) -> None:
        """Under TLS the first write is only queued; the second turn finds it out."""
        self.open()
        self.app.connection.pause()
        self.client.drop()
        self.app.connection.send("x")
        self.harness.flush()
        self.assertEqual(self.app.named("disconnect"), [(1006, "")])


class PongTests(HarnessTestCase):
    """Answers to pings."""

    def test_each(self) -> None:
        """Each ping of a client that reads is answered, though they come at once and over TLS."""
        for tls in (False, True):
            client = self.serve(Recorder()).connect(tls=tls)
            payloads = [bytes([number]) * 100 for number in range(100)]
            for payload in payloads:
                client.protocol.sendPing(payload)
            client._reactor.flush()
            self.assertEqual(client.pongs, payloads)


class UNIXStatusTests(StatusTests):
    """And over a UNIX socket."""

    more = {"peer": ""}


class BroadcastTests(HarnessTestCase):
    """One message to many, some of them slow."""

    def test_framedOnce(self) -> None:
        """The bytes are built once for all."""
        built: list[int] = []
        original = preparedFrame

        def counting(prepared: Prepared) -> bytes:
            if prepared.frame is None:
                built.append(1)
            return original(prepared)

        self.patch(sys.modules["txroom.wire.sender"], "preparedFrame", counting)
        app = Application()
        harness = self.serve(app)
        clients = [harness.connect() for _ in range(50)]
        app.broadcast("x" * 100)
        harness.flush()
        self.assertEqual(len(built), 1)
        self.assertEqual({tuple(client.received) for client in clients}, {("x" * 100,)})

    def test_slowMember(self) -> None:
        """A slow member loses messages; the others get all, and its memory is bounded."""
        app = Application(maxBackpressure=50_000)
        harness = self.serve(app)
        slow, fast = harness.connect(), harness.connect()
        slow.stall()
        for _ in range(100):
            app.broadcast(b"x" * 10_000)
            harness.flush()
        self.assertEqual(len(fast.received), 100)
        self.assertLess(harness.connectionOf(slow).bufferedAmount, 51_000)
        slow.unstall()
        self.assertEqual(len(slow.received), 4)

    def test_whenSent(self) -> None:
        """Each connection tells of its own."""
        app = Application()
        harness = self.serve(app)
        slow, fast = harness.connect(), harness.connect()
        slow.stall()
        app.broadcast("x")
        waiting = fired(harness.connectionOf(slow).whenSent())
        done = fired(harness.connectionOf(fast).whenSent())
        self.assertEqual((waiting, done), ([], [None]))
        slow.unstall()
        self.assertEqual(waiting, [None])
