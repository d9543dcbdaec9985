"""What a simulated slow link does to a connection, and what stays true meanwhile."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.protocols.policies import WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from tests.case import BINARY, PING, PONG, TEXT, HarnessTestCase, Recorder, closeFrame, fired
from txroom import Connection, SendStatus
from txroom.core.link import Link
from txroom.testing import RawClient, clientFrame, upgradeRequest
from txroom.wire.receiver import Receiver
from txroom.wire.slowlink import IN_FLIGHT, RETRANSMISSION, Direction, SlowLink

LINK = Link(latency=1.0)


class DirectionTests(SynchronousTestCase):
    """What is on its way in one direction."""

    def direction(self, link: Link, *numbers: float) -> Direction:
        self.clock = Clock()
        self.got: list[tuple[float, bytes]] = []
        random = iter(numbers)

        def deliver(data: bytes) -> None:
            self.got.append((round(self.clock.seconds(), 6), data))

        made = Direction(self.clock, deliver, lambda: next(random))
        made.link = link
        return made

    def test_latency(self) -> None:
        """Half of a round trip each way, and a jitter that never changes the order."""
        direction = self.direction(Link(latency=2.0, jitter=1.0), 0.5, 0.0, 0.25)
        for data in (b"a", b"b", b"c"):
            direction.add(data)
        self.assertEqual(direction.size, 3)
        self.clock.pump([0.1] * 20)
        self.assertEqual(self.got, [(1.5, b"a"), (1.5, b"b"), (1.5, b"c")])
        self.assertEqual((direction.size, self.clock.getDelayedCalls()), (0, []))

    def test_loss(self) -> None:
        """What is lost comes after a retransmission, and after twice that time if it is lost again."""
        direction = self.direction(Link(latency=1.0, loss=0.4), 0.3, 0.3, 0.9, 0.9)
        direction.add(b"a")
        direction.add(b"b")
        late = 0.5 + 3 * (1.0 + RETRANSMISSION)
        self.clock.advance(late - 0.1)
        self.assertEqual(self.got, [])
        self.clock.advance(0.1)
        self.assertEqual(self.got, [(late, b"a"), (late, b"b")])

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.binary(min_size=1, max_size=4),
                st.floats(0.0, 0.5),
                st.sampled_from(["pause", "go", "hurry"]),
            ),
            max_size=30,
        ),
        st.floats(0.0, 2.0),
        st.floats(0.0, 1.0),
        st.floats(0.0, 0.5),
        st.randoms(use_true_random=False),
    )
    def test_order(self, steps: list[Any], latency: float, jitter: float, loss: float, random: Any) -> None:
        """Everything arrives once and in its order, whatever happens meanwhile, and nothing is left."""
        clock, got, sent = Clock(), bytearray(), b""
        direction = Direction(clock, got.extend, random.random)
        direction.link = Link(latency, jitter, loss)
        for step in steps:
            if isinstance(step, bytes):
                direction.add(step)
                sent += step
            elif isinstance(step, float):
                clock.advance(step)
            elif step == "hurry":
                direction.hurry()
            else:
                direction.pause(step == "pause")
            self.assertTrue(sent.startswith(got))
            self.assertEqual(direction.size, len(sent) - len(got))
        direction.pause(False)
        clock.pump([1.0] * 300)
        self.assertEqual((bytes(got), direction.size), (sent, 0))
        self.assertEqual(clock.getDelayedCalls(), [])


class SlowLinkCase(HarnessTestCase):
    """A connection that echoes, and its slow link."""

    wrap: Any = staticmethod(lambda factory: factory)
    more: dict[str, Any] = {}

    def open(self, **options: Any) -> RawClient:
        class Echo(Recorder):
            def onMessage(self, connection: Connection, message: str | bytes) -> Any:
                super().onMessage(connection, message)
                connection.send(message)

        self.app = Echo()
        self.harness = self.serve(self.app, **{"pingInterval": 0, **options})
        to = self.wrap(self.harness.server.factory())
        self.client = self.harness.raw(upgradeRequest("/"), to=to, **self.more)
        self.client.output = self.client.output.partition(b"\r\n\r\n")[2]
        self.connection = self.app.connection
        self.ended = 0
        return self.client

    def simulate(self, link: Link | None = LINK) -> bool:
        def ended() -> None:
            self.ended += 1

        return self.connection.simulate(link, ended)

    def assertGone(self) -> None:
        """The connection is as if there had never been a link."""
        wire: Any = self.connection._wire
        self.assertEqual(self.ended, 1)
        self.assertIsInstance(wire.receiver, Receiver)
        self.assertNotIsInstance(wire.receiver.transport, SlowLink)
        self.assertNotIn("Slow", type(wire.out).__name__)
        transport = wire.receiver.transport
        protocol = getattr(transport, "wrappedProtocol", None) or transport.protocol
        self.assertIs(protocol, wire.receiver)


class SlowLinkTests(SlowLinkCase):
    """A TCP socket."""

    def test_delay(self) -> None:
        """Messages take half of the round trip each way, in order; then the link ends and leaves no trace."""
        client = self.open()
        self.assertTrue(self.simulate())
        client.send(clientFrame(TEXT, "a"))
        client.send(clientFrame(TEXT, "b"))
        self.harness.advance(0.4)
        self.assertEqual(self.app.named("message"), [])
        self.harness.advance(0.2)
        self.assertEqual((self.app.named("message"), client.take()), (["a", "b"], b""))
        self.harness.advance(0.5)
        self.assertEqual(client.take(), b"\x81\x01a\x81\x01b")
        self.simulate(None)
        self.harness.flush()
        self.assertGone()
        client.send(clientFrame(TEXT, "c"))
        self.assertEqual(client.take(), b"\x81\x01c")

    def test_end(self) -> None:
        """What is on its way arrives at once and in order when the link ends."""
        client = self.open()
        self.simulate(Link(latency=60.0))
        client.send(clientFrame(TEXT, "in"))
        self.connection.send("out")
        self.simulate(None)
        self.connection.send("after")
        client.send(clientFrame(TEXT, "behind"))
        self.harness.advance(0.01)
        self.assertEqual(self.app.named("message"), ["in", "behind"])
        self.assertEqual(client.take(), b"\x81\x03out\x81\x05after\x81\x02in\x81\x06behind")
        self.assertGone()

    def test_again(self) -> None:
        """A link may be changed, and begun again before it has ended."""
        client = self.open()
        self.simulate(Link(latency=60.0))
        self.connection.send("a")
        self.harness.flush()
        self.simulate(None)
        self.simulate(Link(latency=2.0))
        self.connection.send("b")
        self.harness.advance(0.5)
        self.assertEqual((client.take(), self.ended), (b"\x81\x01a", 0))
        self.harness.advance(0.6)
        self.assertEqual(client.take(), b"\x81\x01b")
        self.simulate(None)
        self.harness.flush()
        self.assertGone()

    def test_roundTrip(self) -> None:
        """The heartbeat measures it."""
        client = self.open(pingInterval=10)
        self.simulate(Link(latency=0.4))
        ping = b""
        while not ping:
            self.harness.advance(0.01)
            ping = client.take()
        self.assertEqual(ping[0] & 15, PING)
        client.send(clientFrame(PONG, ping[2:]))
        self.harness.advance(1)
        self.assertTrue(0.39 < (self.connection.rtt or 0.0) < 0.42, self.connection.rtt)

    def test_accounts(self) -> None:
        """What is on the link counts as sent; more than fits on it waits, and the application is told."""
        client = self.open(maxBackpressure=1 << 20, highWaterMark=1000)
        self.simulate()
        self.assertIs(self.connection.send(bytes(IN_FLIGHT - 4)), SendStatus.SENT)
        self.assertEqual(self.connection.bufferedAmount, 6)
        self.assertIs(self.connection.send(bytes(100_000)), SendStatus.BACKPRESSURE)
        self.assertGreater(self.connection.bufferedAmount, 100_000)
        sent = fired(self.connection.whenSent())
        self.harness.advance(0.4)
        self.assertEqual((sent, self.app.named("drain"), client.take()), ([], [], b""))
        self.harness.advance(0.2)
        self.assertEqual((sent, len(self.app.named("drain"))), ([None], 1))
        self.assertEqual(self.connection.bufferedAmount, 0)
        self.assertEqual(len(client.take()), IN_FLIGHT + 100_000 - 4 + 20)
        statuses = [self.connection.send(bytes(100_000)) for _ in range(20)]
        self.assertIs(statuses[-1], SendStatus.DROPPED)
        self.assertLessEqual(self.connection.bufferedAmount, 1 << 20)

    def test_stalled(self) -> None:
        """A client that reads slowly before, meanwhile and afterwards: nothing is told too early."""
        client = self.open(highWaterMark=1000)
        client.stall()
        self.connection.send(bytes(5000))
        sent = fired(self.connection.whenSent())
        self.simulate()
        self.assertEqual(self.connection.bufferedAmount, 5004)
        self.connection.send(bytes(5000))
        self.harness.advance(1)
        self.assertEqual((sent, self.connection.bufferedAmount), ([], 10_008))
        self.simulate(None)
        self.harness.advance(0.1)
        self.assertGone()
        self.assertEqual((sent, self.connection.bufferedAmount), ([], 10_008))
        client.unstall()
        self.assertEqual((sent, self.connection.bufferedAmount), ([None], 0))
        self.assertEqual(len(client.take()), 10_008)

    def test_paused(self) -> None:
        """A connection that is paused gets nothing from the link either; it gets that when it goes on."""
        client = self.open()
        self.simulate()
        self.connection.pause()
        self.harness.flush()
        client.send(clientFrame(TEXT, "a"))
        self.harness.advance(2)
        self.assertEqual(self.app.named("message"), [])
        self.simulate(None)
        self.harness.advance(1)
        self.connection.resume()
        self.harness.advance(1)
        self.assertEqual(self.app.named("message"), ["a"])
        self.assertGone()

    def test_resumed(self) -> None:
        """A connection that was paused before goes on through the link."""
        client = self.open()
        self.connection.pause()
        self.simulate()
        client.send(clientFrame(TEXT, "a"))
        self.harness.advance(2)
        self.assertEqual(self.app.named("message"), [])
        self.connection.resume()
        self.harness.advance(0.6)
        self.assertEqual(self.app.named("message"), ["a"])

    def test_bounded(self) -> None:
        """No more is read from a client than fits on the link, and the rest comes later."""
        client = self.open(maxPayload=0)
        self.simulate(Link(latency=4.0))
        frames = b"".join(clientFrame(BINARY, bytes(50_000)) for _ in range(20))
        client.send(frames)
        link: Any = self.connection._wire
        self.harness.flush()
        self.assertLess(link.out.link._incoming.size, IN_FLIGHT + (1 << 17))
        self.harness.advance(30)
        self.assertEqual(len(self.app.named("message")), 20)

    def test_close(self) -> None:
        """The closing handshake passes the link too, from both sides, and what was sent before arrives."""
        for isOurs in (True, False):
            client = self.open()
            self.simulate(Link(latency=0.8))
            self.connection.send("last")
            if isOurs:
                self.connection.close(4000, "bye")
                self.harness.advance(0.5)
                self.assertEqual(client.take(), b"\x81\x04last\x88\x05\x0f\xa0bye")
                client.send(closeFrame(4000))
            else:
                client.send(closeFrame(4000))
                self.harness.advance(0.5)
                self.assertEqual(client.take(), b"\x81\x04last")
            self.harness.advance(0.2)
            self.assertFalse(client.isClosed)
            self.harness.advance(0.6)
            self.assertTrue(client.isClosed)
            self.assertEqual((self.app.named("disconnect"), self.ended), ([(4000, "")], 1))
            self.assertFalse(self.connection.simulate(LINK))

    def test_lost(self) -> None:
        """What arrived before the connection was lost is delivered; what was not sent has failed."""
        client = self.open()
        self.simulate(Link(latency=60.0))
        client.send(clientFrame(TEXT, "a"))
        self.connection.send(bytes(2 * IN_FLIGHT))
        sent = fired(self.connection.whenSent())
        client.drop()
        self.harness.flush()
        self.assertEqual((self.app.named("message"), self.ended), (["a"], 1))
        self.assertEqual(len(self.app.named("disconnect")), 1)
        self.assertTrue(sent[0].check(ConnectionLost))

    def test_terminate(self) -> None:
        """A connection that is dropped sends nothing more."""
        client = self.open()
        self.simulate()
        self.connection.send("a")
        self.harness.flush()
        self.connection.terminate()
        self.harness.advance(2)
        self.assertEqual((client.take(), client.isClosed, self.ended), (b"", True, 1))

    def test_inHandler(self) -> None:
        """A handler may make its own connection slow, and as fast as before."""
        client = self.open()

        def onMessage(connection: Connection, message: str | bytes) -> None:
            self.app.events.append(("message", message))
            self.simulate(LINK if message == "slow" else None)

        self.connection.onMessage = onMessage
        client.send(b"".join(clientFrame(TEXT, text) for text in ("slow", "a", "b")))
        client.send(clientFrame(TEXT, "c"))
        self.harness.advance(1)
        self.assertEqual(self.app.named("message"), ["slow", "a", "b", "c"])
        self.assertGone()


class TLSTests(SlowLinkTests):
    """TLS on it."""

    more = {"tls": True}

    def test_stalled(self) -> None:
        """The bytes that TLS adds are counted too."""


class WrappedTests(SlowLinkTests):
    """A transport behind a wrapper of Twisted's policies."""

    wrap = staticmethod(WrappingFactory)
