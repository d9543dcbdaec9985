"""One write for each connection and turn of the reactor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface.verify import verifyObject

from tests.case import HarnessTestCase, Recorder, closeFrame, fired
from txroom import Connection, Prepared, SendStatus, Server
from txroom.testing import Client, RoomHarness, clientFrame, upgradeRequest
from txroom.wire.sender import UNCOPIED
from txroom.wire.turn import (
    CHECKED_PARTS,
    LONGEST,
    LONGEST_OF_ALL,
    MOST_PARTS,
    PATIENCE,
    Parts,
    Turn,
    afterEvents,
)


class FakeSender:
    """A connection that notes what is written."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.parts: Parts = None
        self.written: list[bytes] = []
        self.onWrite: Callable[[], object] = lambda: None
        self.isTerminated = False

    @property
    def out(self) -> FakeSender:
        return self

    def send(self, *parts: bytes) -> None:
        """As `Sender` does it."""
        if self.parts is None:
            self.turn.pending.append(self)
            if not self.turn.isActive and len(self.turn.pending) == 1:
                self.turn.begin()
        before = [self.parts] if isinstance(self.parts, bytes) else self.parts or []
        self.parts = [*before, *parts] if before or parts[1:] else parts[0]

    def write(self, data: bytes) -> int:
        self.written.append(data)
        self.onWrite()
        return 0

    def terminate(self) -> None:
        self.isTerminated = True


class TurnTests(SynchronousTestCase):
    """When the parts are written."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turn = Turn(self.clock)
        self.one, self.other = FakeSender(self.turn), FakeSender(self.turn)

    def test_writesAreCounted(self) -> None:
        """Writes are counted by their parts, whether one connection has parts or several."""
        self.read(lambda: self.one.send(b"a", b"b", b"c"))
        self.read(lambda: self.one.send(b"a"))
        self.read(lambda: self.one.send(b"a"), lambda: self.other.send(b"b", b"c"))
        self.clock.advance(0)
        writes = self.turn.writes
        self.assertEqual((writes.count, writes.sum), (4, 3 + 1 + 1 + 2))
        self.assertEqual(writes.counts[:3], [2, 2, 0])
        self.assertEqual(list(writes.bounds[:3]), [1, 3, 7])

    def test_largestWrite(self) -> None:
        """As many parts as there may be in a turn have a class, too."""
        self.read(lambda: self.one.send(*[b"a"] * (MOST_PARTS + CHECKED_PARTS)))
        self.assertEqual(self.turn.writes.counts[-1], 1)
        self.assertFalse(self.one.isTerminated)

    def read(self, *sends: Callable[[], object]) -> None:
        """As `Receiver` does it."""
        turn = self.turn
        if turn.pending:
            turn.beginRead(self.clock.seconds())
        else:
            turn.since = self.clock.seconds()
        turn.isActive = True
        for send in sends:
            send()
        turn.isActive = False
        if turn.pending:
            turn.endRead()

    def test_outside(self) -> None:
        """What is sent by a thread or a late Deferred is written at the end of the turn, once."""
        self.one.send(b"a")
        self.one.send(b"b")
        self.other.send(b"c")
        self.assertEqual(self.one.written, [])
        self.clock.advance(0)
        self.assertEqual((self.one.written, self.other.written), ([b"ab"], [b"c"]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_readOfOne(self) -> None:
        """One connection is written to at the end of the read that caused it, without a timer."""
        self.read(lambda: self.one.send(b"a"), lambda: self.one.send(b"b"))
        self.assertEqual((self.one.written, self.clock.getDelayedCalls()), ([b"ab"], []))

    def test_readOfSeveral(self) -> None:
        """Several are at the end of the turn, with what later reads cause."""
        self.read(lambda: self.one.send(b"a"), lambda: self.other.send(b"a"))
        self.read(lambda: self.one.send(b"b"))
        self.assertEqual((self.one.written, len(self.clock.getDelayedCalls())), ([], 1))
        self.clock.advance(0)
        self.assertEqual((self.one.written, self.other.written), ([b"ab"], [b"a"]))

    def test_writtenAlone(self) -> None:
        """A connection that was written to on its own is passed by."""
        self.one.send(b"a")
        self.one.parts = None
        self.read(lambda: None)
        self.clock.advance(0)
        self.assertEqual(self.one.written, [])

    def test_delayedCall(self) -> None:
        """What a delayed call of txroom's sends is written at its end."""
        self.turn.clock.callLater(1, self.one.send, b"a", b"b")
        seen: list[Any] = []
        self.one.onWrite = lambda: seen.append(self.clock.getDelayedCalls())
        self.clock.advance(1)
        self.assertEqual((self.one.written, seen), ([b"ab"], [[]]))
        verifyObject(IReactorTime, self.turn.clock)
        self.assertEqual(self.turn.clock.getDelayedCalls(), self.clock.getDelayedCalls())

    def test_delayedCallRaises(self) -> None:
        """Also if it raises."""

        def fail() -> None:
            self.one.send(b"a")
            raise ValueError

        self.assertRaises(ValueError, self.turn.run, fail)
        self.assertEqual(self.one.written, [b"a"])

    def test_long(self) -> None:
        """A turn that takes long is written before the next read, and counts from then on."""
        self.one.send(b"a")
        self.other.send(b"a")
        self.clock.rightNow += LONGEST
        self.read(lambda: self.one.send(b"b"))
        self.assertEqual((self.one.written, self.other.written), ([b"a"], [b"a"]))
        self.clock.rightNow += LONGEST / 2
        self.read(lambda: self.one.send(b"c"))
        self.assertEqual(self.one.written, [b"a"])
        self.clock.advance(0)
        self.assertEqual(self.one.written, [b"a", b"bc"])

    def takes(self, seconds: float) -> None:
        """Write once to both connections, which takes so many seconds."""
        self.one.send(b"a")
        self.other.send(b"a")
        self.one.onWrite = lambda: self.clock.pump([seconds])
        self.turn.flush()
        self.one.onWrite = lambda: None
        del self.one.written[:]

    def test_longWrites(self) -> None:
        """After a write that took long, a turn may take a multiple of its time, but not more than a limit."""
        for write, allowed in ((0.01, PATIENCE * 0.01), (1.0, LONGEST_OF_ALL), (0.0, LONGEST)):
            self.takes(write)
            self.one.send(b"b")
            self.clock.rightNow += allowed - 0.001
            self.turn.check()
            self.assertEqual(self.one.written, [], write)
            self.clock.rightNow += 0.002
            self.turn.check()
            self.assertEqual(self.one.written, [b"b"], write)

    def test_checked(self) -> None:
        """While one read goes on, the time is looked at now and then, and the number of parts."""
        self.one.send(b"a")
        self.turn.check()
        self.assertEqual(self.one.written, [])
        self.clock.rightNow += LONGEST
        self.turn.check()
        self.assertEqual(self.one.written, [b"a"])
        self.one.send(b"b")
        for _ in range(MOST_PARTS // CHECKED_PARTS):
            self.assertEqual(self.one.written, [b"a"])
            self.turn.partsUntilCheck = 0
            self.turn.check()
        self.assertEqual(self.one.written, [b"a", b"b"])

    def test_raises(self) -> None:
        """A connection that can't be written to is dropped; the others are written to."""

        def fail() -> None:
            raise ValueError

        third = FakeSender(self.turn)
        self.one.onWrite = fail
        for sender in (self.one, self.other, third):
            sender.send(b"a")
        self.clock.advance(0)
        self.read(lambda: self.one.send(b"b"))
        self.assertEqual((self.other.written, third.written), ([b"a"], [b"a"]))
        self.assertEqual([each.isTerminated for each in (self.one, self.other)], [True, False])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_dropRaises(self) -> None:
        """If dropping such a connection raises too, the others are still written to."""

        def fail() -> None:
            raise ValueError

        self.one.onWrite = self.one.terminate = fail  # type: ignore[method-assign]
        self.one.send(b"a")
        self.other.send(b"a")
        self.clock.advance(0)
        self.assertEqual(self.other.written, [b"a"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_interrupted(self) -> None:
        """If a write is interrupted, the other connections are written to in the next turn."""

        def interrupt() -> None:
            raise KeyboardInterrupt

        self.one.onWrite = interrupt
        self.one.send(b"a")
        self.other.send(b"a")
        self.assertRaises(KeyboardInterrupt, self.turn.flush)
        self.assertEqual(self.other.written, [])
        self.clock.advance(0)
        self.assertEqual(self.other.written, [b"a"])

    def test_sendsMeanwhile(self) -> None:
        """What is sent while parts are written is written in the same turn, by itself."""
        self.one.onWrite = lambda: self.other.send(b"b") if len(self.one.written) == 1 else None
        self.other.onWrite = lambda: self.one.send(b"c") if len(self.other.written) == 2 else None
        self.other.send(b"a")
        self.one.send(b"a")
        self.turn.flush()
        self.assertEqual((self.one.written, self.other.written), ([b"a", b"c"], [b"a", b"b"]))

    def test_joinedOnce(self) -> None:
        """Those who get the same get the same bytes; others their own."""
        first, second = b"a" * 10, b"b" * 10
        senders = [FakeSender(self.turn) for _ in range(4)]
        for sender in senders:
            sender.send(first)
        for sender in senders[:3]:
            sender.send(second)
        senders[0].send(b"c")
        self.turn.flush()
        written = [sender.written[0] for sender in senders]
        self.assertEqual(written, [first + second + b"c", first + second, first + second, first])
        self.assertIs(written[1], written[2])
        self.assertIs(written[3], first)


class AfterEventsTests(SynchronousTestCase):
    """How each reactor tells the end of its turn."""

    def test_own(self) -> None:
        """By a method of its own."""

        class Reactor(Clock):
            def callAfterEvents(self, function: Any) -> None:
                called.append(function)

        called: list[Any] = []
        afterEvents(Reactor())(self.setUp)
        self.assertEqual(called, [self.setUp])

    def test_asyncio(self) -> None:
        """asyncio calls it before what it finds next; before it runs, as others do."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        reactor = AsyncioSelectorReactor(loop)
        called: list[str] = []
        call = afterEvents(reactor)

        async def send() -> None:
            call(lambda: called.append("turn"))
            loop.call_soon(called.append, "next")

        call(lambda: called.append("before"))
        loop.run_until_complete(send())
        loop.run_until_complete(asyncio.sleep(0.01))
        self.assertEqual(sorted(called), ["before", "next", "turn"])
        self.assertLess(called.index("turn"), called.index("next"))


class Echo(Recorder):
    """Sends back what comes."""

    def onMessage(self, connection: Connection, message: str | bytes) -> None:
        connection.send(message)


class Loud(Recorder):
    """Sends to all what comes."""

    def onMessage(self, connection: Connection, message: str | bytes) -> None:
        self.broadcast(message)


class Greeting(Recorder):
    """Sends two messages to each that comes."""

    def onConnect(self, connection: Connection) -> None:
        super().onConnect(connection)
        connection.send("a")
        connection.send("b")


class Slow(Recorder):
    """Sends back what comes, after a time that is too long for a turn."""

    def onMessage(self, connection: Connection, message: str | bytes) -> None:
        connection.send(message)
        wire: Any = connection._wire
        clock: Any = wire.context.turn.clock
        clock._clock.rightNow += 2 * LONGEST


class Late(Recorder):
    """Sends back what comes twice, when `waiting` fires."""

    waiting: Deferred[None]

    async def onMessage(self, connection: Connection, message: str | bytes) -> None:
        self.waiting = Deferred()
        await self.waiting
        connection.send(message)
        connection.send(message)


class JoinedTests(HarnessTestCase):
    """What a connection does, over TCP."""

    more: dict[str, Any] = {}

    def open(self, app: Recorder | None = None, **options: Any) -> Connection:
        self.app = app or Recorder()
        self.harness: RoomHarness = self.serve(self.app, **options)
        self.client: Client = self.harness.connect(**self.more)
        self.connection = self.app.connection
        wire: Any = self.connection._wire
        self.writes: list[int] = []
        for name in ("write", "writeLong"):
            self.record(type(wire.out), name)
        return self.connection

    def record(self, kind: Any, name: str) -> None:
        written = getattr(kind, name)

        def write(out: Any, *data: bytes) -> int:
            self.writes.append(sum(map(len, data)))
            result: int = written(out, *data)
            return result

        self.patch(kind, name, write)

    def test_oneWrite(self) -> None:
        """Messages, pings, pongs and the Close frame leave in one write, in order."""
        connection = self.open()
        connection.send("a")
        connection.sendFrame(Prepared("b"))
        connection.sendFrames([Prepared("c"), Prepared("d")])
        connection.ping(b"p")
        connection.pong(b"q")
        self.assertEqual(self.writes, [])
        connection.close(4000, "bye")
        self.assertEqual(len(self.writes), 1)
        self.harness.flush()
        self.assertEqual((self.client.received, self.client.pings), (["a", "b", "c", "d"], [b"p"]))
        self.assertClosed(self.client, 4000, "bye")

    def test_manyConnections(self) -> None:
        """If one handler sends to many clients and takes long, their messages are written in between."""
        connection = self.open()
        others = [self.harness.connect(**self.more) for _ in range(2 * CHECKED_PARTS)]
        del self.writes[:]
        for each in connection.application.connections:
            each.send("x")
            self.harness.clock.rightNow += LONGEST / CHECKED_PARTS
        self.assertEqual(len(self.writes) // CHECKED_PARTS, 2)
        self.harness.flush()
        self.assertEqual({tuple(other.received) for other in others}, {("x",)})

    def test_terminated(self) -> None:
        """`whenSent` fails if frames were thrown away."""
        connection = self.open()
        connection.send("x")
        connection.terminate()
        (failure,) = fired(connection.whenSent())
        failure.trap(ConnectionLost)
        self.assertEqual(self.writes, [])

    def test_answers(self) -> None:
        """The answers to all messages of one read leave in one write, at the end of it."""
        self.open(Echo())
        raw = self.upgraded(self.harness, **self.more)
        del self.writes[:]
        raw.send(b"".join(clientFrame(1, text) for text in "abc"))
        self.assertEqual((len(self.writes), raw.take()), (1, b"\x81\x01a\x81\x01b\x81\x01c"))

    def test_slowHandler(self) -> None:
        """If the handlers of one read take long, the answers are written in between."""
        self.open(Slow())
        raw = self.upgraded(self.harness, **self.more)
        del self.writes[:]
        raw.send(b"".join(clientFrame(1, text) for text in "abc"))
        self.assertEqual((len(self.writes), raw.take()), (3, b"\x81\x01a\x81\x01b\x81\x01c"))

    def test_laterDeferred(self) -> None:
        """What an asynchronous handler sends later is written at the end of that turn."""
        self.open(Late())
        raw = self.upgraded(self.harness, **self.more)
        del self.writes[:]
        raw.send(clientFrame(1, "a"))
        app: Any = self.app
        app.waiting.callback(None)
        self.assertEqual(self.writes, [])
        self.harness.flush()
        self.assertEqual((len(self.writes), raw.take()), (1, b"\x81\x01a\x81\x01a"))

    def test_accounts(self) -> None:
        """What was sent counts at once."""
        connection = self.open()
        self.assertEqual(connection.send("x" * 100), SendStatus.SENT)
        self.assertEqual((connection.bufferedAmount, connection.refusedAmount), (102, 0))
        self.assertEqual(self.harness.server.stats().messagesSent, 1)
        self.assertEqual(fired(connection.whenSent()), [None])
        self.assertEqual((connection.bufferedAmount, len(self.writes)), (0, 1))
        self.harness.flush()
        self.assertEqual((len(self.writes), self.client.received), (1, ["x" * 100]))

    def test_refused(self) -> None:
        """What the operating system refuses is known once it was asked; what is sent then comes after it."""
        connection = self.open(highWaterMark=1000, maxBackpressure=2000)
        self.client.stall()
        self.assertEqual({connection.send("x" * 90) for _ in range(10)}, {SendStatus.SENT})
        self.assertEqual(connection.refusedAmount, 0)
        self.harness.flush()
        self.assertGreaterEqual(connection.refusedAmount, 920)
        self.assertEqual(connection.bufferedAmount, connection.refusedAmount)
        self.assertEqual(connection.send("y" * 90), SendStatus.BACKPRESSURE)
        self.assertEqual(connection.send("z" * 2000), SendStatus.DROPPED)
        connection.ping(b"p")
        self.client.unstall()
        self.assertEqual(self.client.received, ["x" * 90] * 10 + ["y" * 90])
        self.assertEqual((self.client.pings, self.app.named("drain")), ([b"p"], [()]))

    def test_limit(self) -> None:
        """At the limit the parts are written at once; the status is that of what was refused."""
        connection = self.open()
        statuses = [connection.send(b"x" * 10_000) for _ in range(7)]
        self.assertEqual((len(self.writes), set(statuses)), (1, {SendStatus.SENT}))
        self.client.stall()
        self.harness.flush()
        statuses = [connection.send(b"x" * 10_000) for _ in range(8)]
        self.assertEqual(statuses[:6] + statuses[7:], [SendStatus.SENT] * 6 + [SendStatus.BACKPRESSURE])
        self.client.unstall()
        self.assertEqual((len(self.client.received), self.app.named("drain")), (15, [()]))

    def test_highWaterMark(self) -> None:
        """A lower `highWaterMark` is that limit."""
        self.checkLimit(highWaterMark=1000)

    def test_maxBackpressure(self) -> None:
        """Or a lower `maxBackpressure`."""
        self.checkLimit(highWaterMark=0, maxBackpressure=1000)

    def checkLimit(self, **options: Any) -> None:
        connection = self.open(**options)
        for _ in range(9):
            connection.send(b"x" * 100)
        self.assertEqual(self.writes, [])
        connection.send(b"x" * 100)
        self.assertEqual(self.writes, [1020])

    def test_uncopied(self) -> None:
        """A long message isn't copied to be joined with those before it."""
        connection = self.open()
        long = Prepared(b"x" * (UNCOPIED * 5))
        connection.send("a")
        connection.send(b"y" * (UNCOPIED * 5))
        connection.send("b")
        connection.sendFrame(long)
        connection.sendFrame(long)
        self.harness.flush()
        self.assertEqual([len(message) for message in self.client.received], [1, 81920, 1, 81920, 81920])

    def test_terminate(self) -> None:
        """What wasn't written when the connection is dropped is forgotten."""
        connection = self.open()
        connection.send("x")
        connection.terminate()
        self.harness.flush()
        self.assertEqual((self.writes, self.client.received), ([], []))
        self.assertEqual(connection.bufferedAmount, 0)

    def test_lose(self) -> None:
        """A connection that is lost is told why, after what was sent before, though it is dropped then."""
        connection = self.open()
        wire: Any = connection._wire
        connection.send("x")
        wire.lose(4106, "no heartbeat")
        self.harness.flush()
        self.assertEqual((self.client.received, self.client.closeCode), (["x"], 4106))

    def test_fail(self) -> None:
        """So is one that breaks a rule."""
        self.open(Echo())
        raw = self.upgraded(self.harness, **self.more)
        raw.send(clientFrame(1, "a") + b"\x83\x80\x00\x00\x00\x00" + clientFrame(1, "b"))
        self.assertTrue(raw.take().startswith(b"\x81\x01a\x88"))

    def test_peerCloses(self) -> None:
        """What was sent before the peer's Close frame is answered leaves before the answer."""
        self.open(Echo())
        raw = self.upgraded(self.harness, **self.more)
        raw.send(clientFrame(1, "a") + closeFrame(1000))
        self.assertEqual(raw.take(), b"\x81\x01a\x88\x02\x03\xe8")

    def test_lost(self) -> None:
        """A connection that is gone before the end of the turn costs nobody anything."""
        connection = self.open()
        connection.send("x")
        self.client.drop()
        self.harness.flush()
        self.assertEqual((connection.bufferedAmount, self.app.named("disconnect")), (0, [(1006, "")]))

    def test_broadcasts(self) -> None:
        """Broadcasts of several members in one turn are one write for each."""
        self.open(Loud())
        others = [self.harness.connect(**self.more) for _ in range(4)]
        del self.writes[:]
        wire: Any = self.connection._wire
        for text in ("a", "b", "c"):
            wire.receiver.dataReceived(clientFrame(1, text))
        self.assertEqual(self.writes, [])
        self.harness.flush()
        self.assertEqual((self.writes, others[3].received), ([9] * 5, ["a", "b", "c"]))

    def test_onConnect(self) -> None:
        """What `onConnect` sends leaves as one write, though nothing is read."""
        self.open(Greeting())
        del self.writes[:]
        client = self.harness.connect(**self.more)
        self.assertEqual((client.received, self.writes[1:]), (["a", "b"], [6]))

    def test_blockedMeanwhile(self) -> None:
        """A transport that is blocked after something was sent has that before all else."""
        connection = self.open(maxBackpressure=1000)
        wire: Any = connection._wire
        connection.send("a")
        self.client.stall()
        wire.out.write(b"\x81\x01b")
        wire.out.amount()
        connection.send("c")
        connection.send("d")
        self.client.unstall()
        self.assertEqual(sorted(self.client.received), ["a", "b", "c", "d"])
        self.assertLess(self.client.received.index("a"), self.client.received.index("c"))


class TLSJoinedTests(JoinedTests):
    """Over TLS."""

    more = {"tls": True}


class UNIXJoinedTests(JoinedTests):
    """Over a UNIX socket."""

    more = {"peer": ""}


class SiteJoinedTests(JoinedTests):
    """Below somebody else's `Site`."""

    def open(self, app: Recorder | None = None, **options: Any) -> Connection:
        harnesses: list[RoomHarness] = []

        class Upgrading(Resource):
            isLeaf = True

            def render(self, request: Any) -> Any:
                harnesses[0].server.handleUpgrade(request)
                return NOT_DONE_YET

        serve = self.serve

        def serving(serves: Any = None, **more: Any) -> RoomHarness:
            harness = serve(serves, **more)
            harnesses[:] = [harness]
            self.more = {"to": Site(Upgrading(), reactor=harness.clock)}
            return harness

        self.patch(self, "serve", serving)
        try:
            return super().open(app, **options)
        finally:
            self.patch(self, "serve", serve)


class HAProxyJoinedTests(SynchronousTestCase):
    """Behind HAProxy."""

    def test_order(self) -> None:
        """One write, in order."""
        app = Recorder()

        def makeServer(clock: Any) -> Server:
            server = Server(clock=clock)
            server.addApplication(app)
            server.listen("haproxy:tcp:8080")
            return server

        with RoomHarness(makeServer) as harness:
            raw = harness.raw(b"PROXY TCP4 203.0.113.9 192.0.2.1 5000 8080\r\n")
            raw.send(upgradeRequest())
            raw.take()
            for text in "abc":
                app.connection.send(text)
            self.assertEqual(app.connection.bufferedAmount, 9)
            harness.flush()
            self.assertEqual(raw.take(), b"\x81\x01a\x81\x01b\x81\x01c")
