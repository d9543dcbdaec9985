"""The bytes that are queued, on every kind of transport."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import BufferingTLSTransport

from tests.case import HarnessTestCase
from txroom import Application, SendStatus
from txroom.testing import RawClient
from txroom.wire.sendbuffer import (
    BufferedOutgoing,
    OpaqueOutgoing,
    Outgoing,
    SocketOutgoing,
    TLSOutgoing,
    outgoing,
)


class OutgoingCase(HarnessTestCase):
    """One connection, from below."""

    def open(self, wrap: Any = lambda factory: factory, **more: Any) -> Outgoing:
        made: list[Protocol] = []

        class Silent(Protocol):
            def connectionMade(self) -> None:
                made.append(self)

        self.harness = self.serve()
        self.client: RawClient = self.harness.raw(to=wrap(Factory.forProtocol(Silent)), **more)
        self.transport: Any = made[0].transport
        self.emptied = 0
        self.out = outgoing(self.transport)
        return self.out

    def onEmpty(self) -> None:
        self.emptied += 1

    def check(self, out: Outgoing, kind: type, slack: int = 0) -> None:
        """All that an `Outgoing` promises."""
        self.assertIs(type(out), kind)
        self.assertEqual(out.amount(), 0)
        out.write(b"a" * 100)
        self.harness.flush()
        self.assertEqual((out.amount(), self.client.take()), (0, b"a" * 100))
        self.client.stall()
        for _ in range(3):
            out.write(b"b" * 100_000)
        self.assertTrue(300_000 <= out.amount() <= 300_000 + slack, out.amount())
        self.harness.flush()
        self.assertTrue(300_000 <= out.amount() <= 300_000 + slack, out.amount())
        out.notifyWhenEmpty(self.onEmpty)
        out.notifyWhenEmpty(self.onEmpty)
        self.client.unstall(200_000)
        self.assertTrue(100_000 <= out.amount() <= 100_000 + slack, out.amount())
        self.assertEqual(self.emptied, 0)
        self.client.unstall()
        self.assertEqual((out.amount(), self.emptied), (0, 1))
        self.assertEqual(self.client.take(), b"b" * 300_000)
        out.write(b"c")
        self.harness.flush()
        self.assertEqual(self.emptied, 1)


class SocketTests(OutgoingCase):
    """A plain TCP or UNIX socket."""

    def test_all(self) -> None:
        """As promised, on both."""
        self.check(self.open(), SocketOutgoing)
        self.check(self.open(peer=""), SocketOutgoing)

    def test_atOnce(self) -> None:
        """What can be sent is sent without a turn of the reactor."""
        out = self.open()
        out.write(b"x" * 100_000)
        self.assertEqual((out.amount(), self.harness.clock.writers), (0, {}))

    def test_rest(self) -> None:
        """What the kernel doesn't take is left to the transport, in order."""
        out = self.open()
        self.client.unstall(1000)
        out.write(b"a" * 1500)
        out.write(b"b" * 1500)
        self.assertEqual(out.amount(), 2000)
        self.client.unstall()
        self.assertEqual(self.client.output, b"a" * 1500 + b"b" * 1500)

    def test_behindQueued(self) -> None:
        """Nothing overtakes what was given to the transport otherwise."""
        out = self.open()
        self.transport.write(b"first")
        out.write(b"second")
        self.harness.flush()
        self.assertEqual(self.client.output, b"firstsecond")

    def test_lost(self) -> None:
        """A connection that is gone is found out by the reactor, not by an exception."""
        out = self.open()
        self.transport.pauseProducing()
        self.client.drop()
        out.write(b"x")
        self.assertTrue(self.transport.connected)
        self.harness.flush()
        self.assertFalse(self.transport.connected)
        out.write(b"y")
        self.harness.flush()

    def test_disconnecting(self) -> None:
        """After `loseConnection` it is for the transport to decide."""
        out = self.open()
        self.client.stall()
        out.write(b"a")
        self.transport.loseConnection()
        self.client.unstall()
        out.write(b"b")
        self.harness.flush()
        self.assertEqual((self.client.output, self.client.isClosed), (b"a", True))

    def test_forget(self) -> None:
        """Without its producer a transport can be closed."""
        out = self.open()
        self.client.stall()
        out.write(b"x")
        out.notifyWhenEmpty(self.onEmpty)
        self.transport.loseConnection()
        out.forget()
        out.forget()
        self.client.unstall()
        self.assertEqual((self.emptied, self.client.isClosed), (0, True))

    def test_lostArmed(self) -> None:
        """A connection that is lost meanwhile isn't told to be empty."""
        out = self.open()
        self.client.stall()
        out.write(b"x")
        out.notifyWhenEmpty(self.onEmpty)
        self.client.drop()
        out.forget()
        self.assertEqual(self.emptied, 0)

    def test_foreignProducer(self) -> None:
        """Somebody else's producer isn't pushed away."""

        class Other:
            def resumeProducing(self) -> None: ...

            def pauseProducing(self) -> None: ...

            def stopProducing(self) -> None: ...

        out = self.open()
        other: Any = Other()
        self.transport.registerProducer(other, True)
        out.write(b"x")
        out.notifyWhenEmpty(self.onEmpty)
        self.assertIs(self.transport.producer, other)
        out.forget()
        self.assertIs(self.transport.producer, other)
        self.transport.unregisterProducer()

    def test_again(self) -> None:
        """Whoever is told may write, and ask again, at once."""
        out = self.open()
        rounds: list[int] = []

        def more() -> None:
            rounds.append(len(rounds))
            if len(rounds) < 4:
                self.client.stall()
                out.write(b"y" * 100)
                out.notifyWhenEmpty(more)

        self.client.stall()
        out.write(b"x")
        out.notifyWhenEmpty(more)
        for _ in range(6):
            self.client.unstall()
        self.assertEqual((len(rounds), len(self.client.output)), (4, 301))


class WrappedTests(OutgoingCase):
    """Transports on top of a socket."""

    def test_tls(self) -> None:
        """TLS: bytes that are not encrypted yet count, and so do the records."""
        self.check(self.open(tls=True), TLSOutgoing, slack=20_000)

    def test_tlsAggregated(self) -> None:
        """Twisted collects small writes behind queued bytes; they are queued too, and stay in order."""
        out = self.open(tls=True)
        self.assertIsInstance(self.transport, BufferingTLSTransport)
        self.client.stall()
        out.write(b"x" * 10)
        waiting = out.amount()
        out.write(b"y" * 10)
        out.write(b"z" * 10)
        self.assertEqual(out.amount(), waiting + 20)
        self.client.unstall()
        self.assertEqual((out.amount(), self.client.output), (0, b"x" * 10 + b"y" * 10 + b"z" * 10))

    def test_tlsAtOnce(self) -> None:
        """While nothing waits a write needs no turn of the reactor."""
        out = self.open(tls=True)
        out.write(b"x" * 10)
        self.assertEqual((out.amount(), self.harness.clock.writers), (0, {}))
        self.harness.flush()
        self.assertEqual(self.client.output, b"x" * 10)

    def test_notYet(self) -> None:
        """The socket is empty, but there is more above it: that isn't empty yet."""
        out = self.open(tls=True)
        assert isinstance(out, TLSOutgoing)
        self.client.stall()
        out.write(b"x")
        out.notifyWhenEmpty(self.onEmpty)
        out.write(b"y")
        out.resumeProducing()
        self.assertEqual(self.emptied, 0)
        self.client.unstall()
        self.assertEqual((self.emptied, self.client.output), (1, b"xy"))

    def test_collectedMeanwhile(self) -> None:
        """The socket has just been emptied, by the same turn that is about to encrypt what came after."""
        for isAskedLate in (False, True):
            self.emptied = 0
            out = self.open(tls=True)
            assert isinstance(out, TLSOutgoing)
            self.client.stall()
            out.write(b"x")
            if not isAskedLate:
                out.notifyWhenEmpty(self.onEmpty)
            self.harness.clock.callLater(0, out._socket.doWrite)
            if isAskedLate:
                self.harness.clock.callLater(0, out.notifyWhenEmpty, self.onEmpty)
            out.write(b"y")
            self.client.unstall()
            self.assertEqual((out.amount(), self.emptied, self.client.output), (0, 1, b"xy"))

    def test_policy(self) -> None:
        """A wrapper of `twisted.protocols.policies`."""
        self.check(self.open(WrappingFactory), BufferedOutgoing)

    def test_wrappedTLS(self) -> None:
        """A wrapper on top of TLS."""

        def wrap(factory: Factory) -> Any:
            wrapper: Any = WrappingFactory(factory)
            wrapper.protocol = ProtocolWrapper
            return wrapper

        out = self.open(wrap, tls=True)
        self.assertIs(type(out), BufferedOutgoing)
        self.client.stall()
        out.write(b"x" * 100_000)
        self.harness.flush()
        self.assertGreaterEqual(out.amount(), 100_000)
        out.notifyWhenEmpty(self.onEmpty)
        self.client.unstall()
        self.assertEqual((out.amount(), self.emptied), (0, 1))


class OpaqueTests(HarnessTestCase):
    """A transport of an unknown kind."""

    def setUp(self) -> None:
        self.transport = StringTransport()
        self.emptied: list[int] = []
        out = outgoing(self.transport)
        assert isinstance(out, OpaqueOutgoing)
        self.out = out

    def test_writes(self) -> None:
        """What is written goes to it."""
        self.out.write(b"x")
        self.assertEqual((self.transport.value(), self.out.amount()), (b"x", 0))

    def test_full(self) -> None:
        """ "Full" and "empty" are what it says itself; told once."""
        self.out.pauseProducing()
        self.out.notifyWhenEmpty(lambda: self.emptied.append(1))
        self.assertGreater(self.out.amount(), 64 * 1024)
        self.out.resumeProducing()
        self.out.resumeProducing()
        self.assertEqual((self.out.amount(), self.emptied), (0, [1]))

    def test_bounded(self) -> None:
        """What is written while it is full counts, so that a bound can be kept."""
        self.out.pauseProducing()
        full = self.out.amount()
        self.assertEqual(self.out.write(b"x" * 1000), full + 1000)
        self.out.pauseProducing()
        self.assertEqual((self.out.amount(), self.out.total), (full + 1000, 1000))
        self.out.resumeProducing()
        self.assertEqual(self.out.write(b"x"), 0)

    def test_maxBackpressure(self) -> None:
        """A connection on such a transport drops what is over its bound."""
        harness = self.serve(Application(), maxBackpressure=100_000)
        client = harness.connect()
        connection = harness.connectionOf(client)
        wire: Any = connection._wire
        own, wire.out = wire.out, self.out
        self.assertEqual(connection.send(b"x" * 10_000), SendStatus.SENT)
        self.out.pauseProducing()
        statuses = [connection.send(b"x" * 10_000) for _ in range(100)]
        self.assertEqual(set(statuses[5:]), {SendStatus.DROPPED})
        self.assertLessEqual(connection.bufferedAmount, 100_000)
        wire.out = own

    def test_forget(self) -> None:
        """It isn't its producer any more; a lost transport has let go by itself."""
        self.out.forget()
        self.out.forget()
        self.assertIsNone(self.transport.producer)
        other = outgoing(self.transport)
        other.stopProducing()
        other.forget()
        self.assertIsNotNone(self.transport.producer)
