"""
Tests for connections of Autobahn protocols, from the 101 answer to their end.
"""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any, cast

import txaio
from autobahn.twisted.websocket import WrappingWebSocketServerFactory
from autobahn.websocket.compress import PerMessageDeflateOfferAccept
from autobahn.websocket.protocol import parseHttpHeader
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface.verify import verifyObject

from tests.case import CLOSE, PING, TEXT, closeFrame
from tests.http.test_autobahn import AutobahnCase, Echo, EchoFactory
from txroom import Handshake, Headers, ReadyState, SendStatus, Server, UpgradeError
from txroom.core.message import Prepared
from txroom.http.autobahn import AutobahnApplication
from txroom.http.request import parseHead
from txroom.http.rewriting import requestHead
from txroom.testing import clientFrame, upgradeRequest


class LifeCase(AutobahnCase):
    """A server with an Autobahn protocol, which records the calls of the application's hooks."""

    def begin(self, protocol: Any = Echo, **options: Any) -> None:
        self.told: list[Any] = []
        hooks = {
            "onConnect": lambda connection: self.told.append("connect"),
            "onDrain": lambda connection: self.told.append("drain"),
            "onDisconnect": lambda connection, code, reason: self.told.append((code, reason)),
        }
        self.start(protocol, hooks, **options)

    @property
    def own(self) -> Echo:
        """The newest open protocol."""
        return self.factory.protocols[-1]


class CloseTests(LifeCase):
    """How connections end, and which codes are reported."""

    def test_codes(self) -> None:
        """The peer's code is reported; 1005 where `onClose` gets None, and 1006 without a Close frame."""
        for frame, autobahn, ours in (
            (closeFrame(4000, "bye"), (True, 4000), (4000, "bye")),
            (clientFrame(CLOSE, b""), (True, None), (1005, "")),
        ):
            self.begin()
            client = self.upgraded()
            client.send(frame)
            self.assertEqual(self.named("close"), [("close", *autobahn)])
            self.assertEqual(self.told, ["connect", ours])
            self.assertTrue(client.isClosed)
            self.assertCounts(0)
        self.begin()
        self.upgraded().drop()
        self.assertEqual(self.named("close"), [("close", False, 1006)])
        self.assertEqual(self.told, ["connect", (1006, "")])

    def test_stuck(self) -> None:
        """A peer that has sent Close and reads nothing is dropped at the deadline."""
        self.begin(closeTimeout=10)
        client = self.connect()
        client.stall()
        self.own.sendMessage(b"x" * 200_000, True)
        client.close()
        self.harness.advance(9)
        self.assertEqual(self.named("close"), [])
        self.harness.advance(2)
        self.assertEqual(self.named("close"), [("close", True, 1000)])
        self.assertCounts(0)

    def test_silent(self) -> None:
        """
        A peer that does not answer a Close frame, of the protocol or of the server, is dropped at the
        deadline.
        """
        for close in (lambda own: own.sendClose(1000), lambda own: own.connection.close(1012)):
            self.begin(closeTimeout=10)
            client = self.upgraded()
            close(self.own)
            self.assertIs(self.own.connection.readyState, ReadyState.CLOSING)
            self.harness.advance(9.8)
            self.assertFalse(client.isClosed)
            self.harness.advance(0.4)
            self.assertTrue(client.isClosed)
            self.assertEqual(self.named("close"), [("close", False, 1006)])

    def test_answered(self) -> None:
        """A close that is answered loses no data and resets no connection."""
        self.begin()
        client = self.connect()
        self.own.sendMessage(b"x" * 100_000, True)
        self.own.sendClose(3001, "bye")
        self.harness.flush()
        self.assertEqual((client.received, client.closeCode), ([b"x" * 100_000], 3001))
        self.assertEqual(self.named("close"), [("close", True, 3001)])
        self.assertTrue(client.protocol.wasClean)

    def test_violation(self) -> None:
        """Autobahn handles a broken rule as without txroom, with and without `failByDrop`."""
        self.begin()
        client = self.upgraded()
        client.send(clientFrame(TEXT, b"\xff"))
        self.assertEqual((client.output, client.isClosed), (b"", True))
        self.assertEqual(self.told[-1], (1006, ""))
        self.begin()
        self.factory.setProtocolOptions(failByDrop=False, maxMessagePayloadSize=10)
        client = self.upgraded()
        client.send(clientFrame(TEXT, "x" * 11))
        self.assertEqual(client.output[:4], b"\x88" + client.output[1:2] + (1009).to_bytes(2, "big"))
        client.send(closeFrame(1009))
        self.assertTrue(client.isClosed)
        self.assertEqual(self.told[-1][0], 1009)

    def test_raises(self) -> None:
        """If a method raises, the connection is closed and the exception is logged."""

        class Raising(Echo):
            def onMessage(self, payload: bytes, isBinary: bool) -> None:
                raise ZeroDivisionError

        self.begin(Raising)
        client = self.connect()
        client.send("x")
        self.assertClosed(client, 1011)
        self.assertEqual(self.told, ["connect", (1011, "")])
        self.assertRaised(ZeroDivisionError)

        class RaisingAtOnce(Echo):
            def onOpen(self) -> None:
                raise ZeroDivisionError

            def onClose(self, *args: Any) -> None:
                super().onClose(*args)
                raise ZeroDivisionError

        self.begin(RaisingAtOnce)
        self.assertClosed(self.connect(), 1011)
        self.assertEqual(len(self.named("close")), 1)
        self.assertRaised(ZeroDivisionError, 2)
        self.assertCounts(0)

    def test_closing(self) -> None:
        """
        Messages that arrive while the server closes are delivered; a failed answer to them is not an error.
        """
        self.begin()
        client = self.upgraded()
        self.own.connection.close(1001)
        client.send(clientFrame(TEXT, "late") + clientFrame(TEXT, "later") + closeFrame(1001))
        self.assertEqual([event[1] for event in self.named("message")], [b"late", b"later"])
        self.assertEqual(self.named("close"), [("close", True, 1001)])
        self.assertTrue(client.isClosed)

    def test_stop(self) -> None:
        """At a shutdown, connections that remain are dropped at the deadline."""
        self.begin(shutdownTimeout=5, closeTimeout=0)
        client = self.upgraded()
        self.harness.stop()
        self.assertTrue(client.isClosed)
        self.assertIn((1001).to_bytes(2, "big"), client.output)
        self.assertEqual(self.named("close", "stop"), [("close", False, 1006), ("stop",)])

    def test_noOpen(self) -> None:
        """If the `onConnect` hook closes the connection, `onOpen` is not called."""
        self.start(hooks={"onConnect": lambda connection: connection.close(1008)})
        self.assertClosed(self.connect(), 1008)
        self.assertEqual(self.named("open", "close"), [("close", True, 1008)])

    def test_hookWaits(self) -> None:
        """`onOpen` and messages wait for an asynchronous `onConnect` hook."""
        waiting: Deferred[None] = Deferred()
        self.start(hooks={"onConnect": lambda connection: waiting})
        client = self.raw(clientFrame(TEXT, "early"))
        client.send(clientFrame(TEXT, "late"))
        self.assertEqual(self.named("open", "message"), [])
        waiting.callback(None)
        self.harness.flush()
        self.assertEqual(
            [event[0] for event in self.named("open", "message")], ["open", "message", "message"]
        )


class TimeTests(LifeCase):
    """The deadlines are txroom's; Autobahn's timers do not run."""

    def test_timers(self) -> None:
        """txaio is never asked for a timer, whatever the options of the factory."""
        calls: list[Any] = []
        self.patch(txaio, "call_later", lambda *args: calls.append(args))
        self.start()
        timer = self.factory._batched_timer
        self.patch(timer, "call_later", lambda *args: calls.append(args))
        self.factory.setProtocolOptions(
            openHandshakeTimeout=5, closeHandshakeTimeout=1, autoPingInterval=1, autoPingTimeout=1
        )
        client = self.connect()
        client.send("x")
        self.factory.protocols[0].sendMessage(b"sync", sync=True)
        self.factory.protocols[0].sendMessage(b"more")
        self.harness.flush()
        self.assertEqual(client.received, ["x", "sync", "more"])
        self.factory.protocols[0].sendClose()
        self.harness.advance(60)
        self.connect().drop()
        self.assertEqual(calls, [])
        self.assertEqual(self.factory.autoPingInterval, 1, "the factory's options are the user's")

    def test_dead(self) -> None:
        """A peer that vanished is noticed by the server's clock."""
        self.begin(pingInterval=10, pingTimeout=5)
        client = self.connect()
        client.freeze()
        self.harness.advance(15.1)
        self.assertEqual(self.named("close"), [("close", False, 1006)])
        self.assertEqual(self.told, ["connect", (1011, "no heartbeat")])
        self.assertCounts(0)

    def test_alive(self) -> None:
        """A peer that answers pings stays, and the protocol's `onPong` does not see the answers."""
        pongs: list[bytes] = []

        class Ponging(Echo):
            def onPong(self, payload: bytes) -> None:
                pongs.append(payload)

        self.begin(Ponging, pingInterval=10, pingTimeout=5)
        client = self.connect()
        self.harness.advance(200)
        self.assertTrue(client.isOpen)
        self.assertGreater(len(client.pings), 15)
        self.assertEqual(self.own.connection.rtt, 0.0)
        self.own.sendPing(b"mine")
        self.harness.flush()
        self.assertEqual(pongs, [b"mine"])

    def test_idle(self) -> None:
        """`idleTimeout` and `maxLifetime` close with 1001."""
        self.begin(idleTimeout=30)
        client = self.connect()
        self.harness.advance(20)
        client.send("x")
        self.harness.advance(20)
        self.assertTrue(client.isOpen)
        self.harness.advance(11)
        self.assertClosed(client, 1001, "idle")
        self.begin(maxLifetime=30)
        client = self.connect()
        self.harness.advance(31)
        self.assertClosed(client, 1001, "lifetime over")

    def test_trickle(self) -> None:
        """A message must be complete in time, in one frame or in many."""
        for first in (clientFrame(TEXT, "x" * 100)[:50], clientFrame(TEXT, "x", fin=False)):
            self.begin(messageTimeout=10, pingInterval=0)
            client = self.upgraded()
            client.send(first)
            self.harness.advance(9)
            self.assertFalse(client.isClosed)
            self.harness.advance(1.5)
            self.assertEqual(self.told[-1], (1008, "message not complete in time"))

    def test_rate(self) -> None:
        """Over the rate limit reading stops, and then the connection is closed with 1008."""
        self.begin(messageRate=10, messageBurst=10)
        client = self.upgraded()
        client.send(clientFrame(TEXT, "x") * 100)
        self.assertLess(len(self.named("message")), 20)
        self.harness.advance(5)
        self.assertLess(len(self.named("message")), 75)
        self.assertGreater(len(self.named("message")), 40)
        client.send(clientFrame(TEXT, "x") * 100)
        self.harness.advance(10)
        self.assertEqual(self.told[-1], (1008, "over the rate limit"))

    def test_pings(self) -> None:
        """Each ping is answered once, and too many close the connection with 1008."""
        self.begin()
        client = self.upgraded()
        client.send(clientFrame(PING, b"a"))
        self.assertEqual(client.take(), b"\x8a\x01a")
        client.send(clientFrame(PING, b"") * 700)
        self.assertEqual(self.told[-1], (1008, "too many control frames"))


class PressureTests(LifeCase):
    """Peers that read slowly."""

    def test_own(self) -> None:
        """If the protocol itself queues more than `maxBackpressure`, the connection is closed with 1013."""
        self.begin(maxBackpressure=100_000)
        client = self.connect()
        client.stall()
        for _ in range(20):
            self.own.sendMessage(b"x" * 10_000, True)
        self.assertGreater(self.own.connection.bufferedAmount, 100_000)
        self.harness.flush()
        self.assertIs(self.own.connection.readyState, ReadyState.CLOSING)
        client.unstall()
        self.harness.flush()
        self.assertClosed(client, 1013, "too slow")

    def test_one(self) -> None:
        """A single long message does not exceed the limit."""
        self.begin(maxBackpressure=100_000)
        client = self.connect()
        self.own.sendMessage(b"x" * 1_000_000, True)
        self.harness.flush()
        self.assertEqual(len(client.received), 1)
        self.assertTrue(client.isOpen)

    def test_send(self) -> None:
        """`send` returns the same results, drops and drains as elsewhere, and keeps the order."""
        self.begin(maxBackpressure=100_000, highWaterMark=30_000)
        client = self.connect()
        connection = self.own.connection
        client.stall()
        self.own.sendMessage(b"first")
        statuses = [connection.send("x" * 20_000) for _ in range(6)]
        sent, pressed, dropped = SendStatus.SENT, SendStatus.BACKPRESSURE, SendStatus.DROPPED
        self.assertEqual(statuses, [sent, pressed, pressed, pressed, dropped, dropped])
        waiter = connection.whenSent()
        self.assertNoResult(waiter)
        client.unstall()
        self.harness.flush()
        self.assertEqual([len(each) for each in client.received], [5, 20_000, 20_000, 20_000, 20_000])
        self.assertEqual(self.told, ["connect", "drain"])
        self.successResultOf(waiter)
        self.assertTrue(client.isOpen)

    def test_sendUnlimited(self) -> None:
        """The limits apply here also to what is sent without them; a client that is too slow gets nothing."""
        self.begin(maxBackpressure=100_000, highWaterMark=0)
        client = self.connect()
        connection = self.own.connection
        self.assertIs(connection.sendUnlimited(Prepared("first"), 0), SendStatus.SENT)
        self.harness.flush()
        client.stall()
        connection.send("x" * 20_000)
        self.harness.flush()
        refused = connection.refusedAmount
        last = Prepared("last")
        statuses = [connection.sendUnlimited(last, most) for most in (0, refused - 1, refused)]
        self.assertEqual(statuses, [None, None, SendStatus.SENT])
        self.assertIs(connection.sendUnlimited(Prepared("x" * 100_000), refused * 2), SendStatus.DROPPED)
        client.unstall()
        self.harness.flush()
        self.assertEqual(client.received, ["first", "x" * 20_000, "last"])

    def test_inParts(self) -> None:
        """`send` waits for the end of a message that is sent in parts; pings wait for the end of a frame."""
        self.begin(pingInterval=10, pingTimeout=5)
        client = self.connect()
        own = self.own
        own.beginMessage()
        own.beginMessageFrame(6)
        own.sendMessageFrameData(b"abc")
        self.assertIs(own.connection.send("later"), SendStatus.SENT)
        own.connection.ping(b"p")
        self.assertEqual(own.connection.bufferedAmount, 5)
        self.harness.flush()
        self.assertEqual((client.received, client.pings), ([], []))
        own.sendMessageFrameData(b"def")
        self.harness.flush()
        self.assertEqual((client.received, client.pings), ([], [b"p"]))
        own.endMessage()
        self.harness.flush()
        self.assertEqual(client.received, ["abcdef", "later"])
        stats = self.harness.server.stats()
        self.assertEqual((stats.messagesSent, stats.bytesSent), (2, 11))
        self.assertEqual(own.connection.bufferedAmount, 0)

    def test_prepared(self) -> None:
        """Prepared messages keep the order, are counted once, and are never sent after a Close frame."""
        self.begin()
        client = self.connect()
        prepared = self.factory.prepareMessage(b"abc")
        self.own.sendPreparedMessage(prepared)
        self.own.sendMessage(b"de")
        self.own.connection.send("f")
        self.own.sendClose()
        self.own.sendPreparedMessage(prepared)
        self.harness.flush()
        self.assertEqual((client.received, client.closeCode), (["abc", "de", "f"], 1005))
        stats = self.harness.server.stats()
        self.assertEqual((stats.messagesSent, stats.bytesSent), (3, 6))

    def test_closeInParts(self) -> None:
        """A close inside a frame waits for its end."""
        self.begin()
        client = self.connect()
        own = self.own
        own.beginMessage()
        own.beginMessageFrame(6)
        own.sendMessageFrameData(b"abc")
        own.connection.close(1012)
        self.assertIs(own.connection.send("x"), SendStatus.CLOSED)
        own.sendMessageFrameData(b"def")
        self.harness.flush()
        self.assertClosed(client, 1012)
        self.assertEqual(self.named("close"), [("close", True, 1012)])

    def test_producer(self) -> None:
        """A producer of the protocol is paused, resumed and stopped."""
        events: list[str] = []

        class Producer:
            def pauseProducing(self) -> None:
                events.append("pause")

            def resumeProducing(self) -> None:
                events.append("resume")

            def stopProducing(self) -> None:
                events.append("stop")

        self.begin()
        client = self.connect()
        client.stall()
        self.own.registerProducer(Producer(), True)
        self.own.sendMessage(b"x" * 70_000, True)
        self.assertEqual(events, ["pause"])
        client.unstall()
        self.harness.flush()
        self.assertEqual(events, ["pause", "resume"])
        client.drop()
        self.assertEqual(events, ["pause", "resume", "stop"])

    def test_pull(self) -> None:
        """A pull producer is asked as long as it writes something."""
        rest = [b"x" * 50_000] * 5

        class Pulled:
            def __init__(self, own: Echo) -> None:
                self.own = own

            def resumeProducing(self) -> None:
                if rest:
                    self.own.sendMessage(rest.pop(), True)
                else:
                    self.own.unregisterProducer()

            def stopProducing(self) -> None: ...

        self.begin()
        client = self.connect()
        client.stall()
        self.own.registerProducer(Pulled(self.own), False)
        self.harness.flush()
        self.assertEqual(len(rest), 4)
        client.unstall()
        self.harness.flush()
        self.assertEqual((len(client.received), rest), (5, []))

    def test_paused(self) -> None:
        """The protocol may stop reading; `pause` also holds bytes that have already arrived."""
        self.begin()
        client = self.upgraded()
        self.own.transport.pauseProducing()
        client.send(clientFrame(TEXT, "x"))
        self.assertEqual(self.named("message"), [])
        self.own.transport.resumeProducing()
        self.harness.flush()
        self.assertEqual(len(self.named("message")), 1)

        class Pausing(Echo):
            def onMessage(self, payload: bytes, isBinary: bool) -> None:
                super().onMessage(payload, isBinary)
                self.connection.pause()

        self.begin(Pausing)
        client = self.upgraded()
        client.send(clientFrame(TEXT, "x") * 3)
        for count in (1, 2, 3):
            self.assertEqual(len(self.named("message")), count)
            self.own.connection.resume()
            self.harness.flush()

    def test_compressed(self) -> None:
        """The factory's compression applies, to `send` too."""
        self.begin()
        self.factory.setProtocolOptions(
            perMessageCompressionAccept=lambda offers: PerMessageDeflateOfferAccept(offers[0])
        )
        client = self.connect(compression=True)
        client.send("a" * 1000)
        self.own.connection.send("b" * 1000)
        self.harness.flush()
        self.assertEqual(client.received, ["a" * 1000, "b" * 1000])
        self.assertEqual(self.own.connection.extensions, "permessage-deflate")
        stats = self.harness.server.stats()
        self.assertEqual((stats.bytesReceived, stats.bytesSent), (1000, 2000))

    def test_compressedInParts(self) -> None:
        """A compressed message that is sent in parts is counted by its size before compression."""
        self.begin()
        self.factory.setProtocolOptions(
            perMessageCompressionAccept=lambda offers: PerMessageDeflateOfferAccept(offers[0])
        )
        client = self.connect(compression=True)
        self.own.beginMessage()
        self.own.sendMessageFrame(b"a" * 1000)
        self.own.sendMessageFrame(b"b" * 1000)
        self.own.endMessage()
        self.harness.flush()
        self.assertEqual(client.received, ["a" * 1000 + "b" * 1000])
        self.assertEqual(self.harness.server.stats().bytesSent, 2000)


class HeadTests(LifeCase):
    """txroom and Autobahn read the same request head."""

    def test_breaks(self) -> None:
        """Characters at which Autobahn would end a line do not add headers."""
        self.start()
        self.upgraded(headers={"User-Agent": "a\xc3\x85X-User: admin", "X-Forwarded-For": "6.6.6.6"})
        (request,) = self.factory.requests
        self.assertNotIn("x-user", request.headers)
        self.assertNotIn("x-forwarded-for", request.headers)
        self.assertEqual(request.headers["user-agent"], "a\xc3\x85X-User: admin")

    def test_proxy(self) -> None:
        """Only `trustedProxies` decides the client's address."""
        self.start(trustedProxies=["203.0.113.0/24"])
        self.factory.setProtocolOptions(trustXForwardedFor=1)
        self.upgraded(headers={"X-Forwarded-For": "198.51.100.7"})
        self.upgraded(headers={"X-Forwarded-For": "198.51.100.7"}, peer="192.0.2.9")
        self.assertEqual([request.peer for request in self.factory.requests], ["198.51.100.7", "192.0.2.9"])

    def test_fuzz(self) -> None:
        """Autobahn reads exactly the headers that txroom has read, for random heads."""
        chance = random.Random(11)
        alphabet = [
            "\x85",
            "\xc3",
            "\xa0",
            "\t",
            " ",
            ":",
            ",",
            "a",
            "X-User: admin",
            "\x0b",
            "\x1c",
            "\r\n",
            '"',
        ]
        names = [
            "X-A",
            "Cookie",
            "User-Agent",
            "Forwarded",
            "X-Forwarded-Host",
            "Origin",
            "Sec-WebSocket-Protocol",
        ]
        passed = 0
        for _ in range(3000):
            fields = [
                f"{chance.choice(names)}: {''.join(chance.choices(alphabet, k=chance.randrange(5)))}"
                for _ in range(chance.randrange(6))
            ]
            try:
                head = parseHead("\r\n".join(["GET /x HTTP/1.1", "Host: h", *fields]).encode("latin-1"))
            except UpgradeError:
                continue
            passed += 1
            _, found, counts = parseHttpHeader(
                requestHead(Handshake(target=head.target, headers=head.headers))
            )
            expected = {name for name, _ in head.headers.pairs if "forwarded" not in name}
            self.assertEqual(set(found), expected)
            self.assertEqual(set(counts.values()), {1})
        self.assertGreater(passed, 300)

    def test_target(self) -> None:
        """A target that does not fit into a line, which a foreign Site accepts, is refused."""
        with self.assertRaises(UpgradeError):
            requestHead(Handshake(target="/a b", headers=Headers()))

    def test_site(self) -> None:
        """All of this holds under a foreign Site, also for bytes behind the head."""
        self.start()
        site: Any = Site(self.harness.server.resource(), reactor=self.harness.clock)
        client = self.harness.connect("/ws", to=site)
        client.send("x")
        self.assertEqual(client.received, ["x"])
        raw = self.raw(clientFrame(TEXT, "early"), to=site)
        self.assertEqual(raw.output[-7:], b"\x81\x05early")
        client.freeze()
        self.harness.advance(60)
        self.assertTrue(client.isClosed)

    def test_byHand(self) -> None:
        """After `handleUpgrade` the connection is known before `onOpen`, and early bytes wait."""
        self.start()
        factory, found = self.factory, []

        class Upgrading(Resource):
            isLeaf = True

            def render(inner, request: Any) -> Any:
                outcome = self.harness.server.handleUpgrade(request, AutobahnApplication(factory))
                outcome.addCallback(lambda connection: found.append((connection, len(factory.protocols))))
                return NOT_DONE_YET

        site: Any = Site(Upgrading(), reactor=self.harness.clock)
        client = self.harness.connect("/hand", to=site)
        client.send("x")
        self.assertEqual((client.received, found), (["x"], [(self.harness.server.connections[0], 0)]))
        raw = self.harness.raw(upgradeRequest("/hand") + clientFrame(TEXT, "early"), to=site)
        self.assertEqual(raw.output[-7:], b"\x81\x05early")

    def test_proxyProtocol(self) -> None:
        """The client's address comes from a PROXY header."""
        self.factory = EchoFactory()

        def makeServer(clock: Any) -> Server:
            server = Server(clock=clock)
            server.addFactory("/ws", self.factory)
            server.listen("haproxy:tcp:8080")
            return server

        self.harness = self.serve(makeServer)
        header = b"PROXY TCP4 198.51.100.7 192.0.2.1 5000 8080\r\n"
        client = self.harness.raw(header + upgradeRequest("/ws") + clientFrame(TEXT, "x"))
        self.assertEqual(client.output[-3:], b"\x81\x01x")
        self.assertEqual([request.peer for request in self.factory.requests], ["198.51.100.7"])
        self.assertEqual(self.factory.protocols[0].transport.getPeer().host, "198.51.100.7")

    def test_factory(self) -> None:
        """It works by `Server.factory`, the factory for any endpoint."""
        self.start()
        factory: Any = self.harness.server.factory()
        verifyObject(IProtocolFactory, factory)
        verifyObject(IProtocolNegotiationFactory, factory)
        client = self.harness.connect("/ws", to=factory)
        client.send("x")
        self.assertEqual(client.received, ["x"])

    def test_wrapping(self) -> None:
        """Autobahn's factory for stream protocols over WebSocket works."""

        class Streaming(Protocol):
            def dataReceived(self, data: bytes) -> None:
                cast(Any, self.transport).write(data)

        wrapping = WrappingWebSocketServerFactory(
            Factory.forProtocol(Streaming), "ws://localhost", reactor=object()
        )
        harness = self.serve({"/stream": wrapping})
        client = harness.connect("/stream", protocols=["binary"])
        client.send(b"abc")
        self.assertEqual((client.received, client.protocolInUse), ([b"abc"], "binary"))

    def test_tls(self) -> None:
        """It works over TLS and over a UNIX socket."""
        self.begin()
        for more in ({"tls": True}, {"peer": ""}):
            client = self.connect(**more)
            client.send("x" * 100_000)
            self.assertEqual(client.received, ["x" * 100_000])
            self.assertEqual(self.own.transport_details.is_secure, "tls" in more)
            client.close()
            self.assertTrue(client.isClosed)
        self.assertEqual(len(self.named("close")), 2)


class ImportTests(SynchronousTestCase):
    """Autobahn is imported only if it is used."""

    def test_light(self) -> None:
        """`import txroom` and a server do not import it."""
        script = (
            "import sys; from twisted.internet.task import Clock; from txroom import Server\n"
            "Server(clock=Clock()); sys.exit('autobahn' in sys.modules)"
        )
        self.assertEqual(subprocess.run([sys.executable, "-c", script], check=False).returncode, 0)
