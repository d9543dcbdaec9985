"""The test kit for applications."""

from __future__ import annotations

import re
import subprocess
import sys
from textwrap import dedent
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.case import TEXT, HarnessTestCase, Recorder, echo
from txroom import Application, Connection, Server
from txroom.testing import MemoryReactor, Response, RoomHarness, clientFrame, upgradeRequest


class ClientTests(HarnessTestCase):
    """What clients can do and see."""

    def setUp(self) -> None:
        self.app = Recorder(onMessage=echo)
        self.harness = self.serve(self.app)

    def test_echo(self) -> None:
        """Text and binary messages of any size are echoed unchanged."""
        client = self.harness.connect()
        messages: list[str | bytes] = ["é", b"\x00\xff", "x" * 200_000, "", b""]
        for message in messages:
            client.send(message)
        self.assertEqual(client.received, messages)

    def test_request(self) -> None:
        """The server sees the request that the client was asked to send."""
        client = self.harness.connect(
            "/a%20b?c=1",
            {"X-A": "1"},
            ["p", "q"],
            peer="198.51.100.7",
            host="localhost:99",
            origin="http://localhost:99",
        )
        handshake = self.harness.connectionOf(client).handshake
        self.assertEqual(handshake.target, "/a%20b?c=1")
        self.assertEqual(handshake.headers["x-a"], "1")
        self.assertEqual(handshake.protocols, ["p", "q"])
        self.assertEqual((handshake.peer, handshake.host), ("198.51.100.7", "localhost:99"))
        self.assertEqual(handshake.origin, "http://localhost:99")
        self.assertEqual(client.protocolInUse, "p")

    def test_peers(self) -> None:
        """Clients connect over IPv4, IPv6 and UNIX sockets, from different ports."""
        handshakes = [
            self.harness.connectionOf(self.harness.connect(peer=peer)).handshake
            for peer in ("192.0.2.1", "2001:db8::1", "")
        ]
        self.assertEqual([handshake.peer for handshake in handshakes], ["192.0.2.1", "2001:db8::1", ""])
        self.assertNotEqual(handshakes[0].peerPort, handshakes[1].peerPort)
        self.assertIsNone(handshakes[2].peerPort)

    def test_factory(self) -> None:
        """A factory of Autobahn's can be served alone or at a path."""

        class Echo(WebSocketServerProtocol):
            def onMessage(self, payload: bytes, isBinary: bool) -> None:
                self.sendMessage(payload, isBinary)

        for path, serves in (("/any", lambda factory: factory), ("/ws", lambda factory: {"/ws": factory})):
            factory = WebSocketServerFactory(reactor=object())
            factory.protocol = Echo
            client = self.serve(serves(factory)).connect(path)
            client.send("hello")
            self.assertEqual(client.received, ["hello"])

    def test_tls(self) -> None:
        """TLS works in memory."""
        client = self.harness.connect(tls=True)
        client.send("x" * 100_000)
        self.assertTrue(self.harness.connectionOf(client).handshake.secure)
        self.assertEqual(client.received, ["x" * 100_000])
        client.close(4000)
        self.assertClosed(client, 4000)

    def test_compression(self) -> None:
        """Compression is offered if asked for."""
        harness = self.serve(Application(onMessage=echo), compression="dedicated", threshold=1)
        client = harness.connect(compression=True)
        self.assertTrue(harness.connectionOf(client).extensions.startswith("permessage-deflate"))
        client.send("a" * 5000)
        self.assertEqual(client.received, ["a" * 5000])
        self.assertEqual(harness.connectionOf(harness.connect()).extensions, "")

    def test_refused(self) -> None:
        """The response to a refused upgrade is kept with its body."""
        client = self.harness.connect(headers={"Sec-WebSocket-Version": "12"})
        response = client.response
        assert response is not None
        self.assertEqual((response.status, response.reason), (400, "Bad Request"))
        self.assertEqual(response.headers["content-length"], str(len(response.body)))
        self.assertEqual((client.isOpen, client.isClosed, client.closeInfo), (False, True, None))

    def test_waits(self) -> None:
        """There is no response while a hook is pending."""
        waiting: Deferred[bool] = Deferred()
        harness = self.serve(Application(verifyClient=lambda handshake: waiting))
        client = harness.connect()
        self.assertIsNone(client.response)
        waiting.callback(True)
        harness.flush()
        self.assertTrue(client.isOpen)

    def test_closeByServer(self) -> None:
        """A Close frame is answered with its own code, as browsers do."""
        client = self.harness.connect()
        self.app.connection.close(1014, "why")
        self.harness.flush()
        self.assertClosed(client, 1014, "why")
        self.assertEqual(self.app.events[-1], ("disconnect", 1014, "why"))

    def test_closeByClient(self) -> None:
        """A client can close with codes that RFC 6455 forbids."""
        client = self.harness.connect()
        client.close(1005)
        self.assertClosed(client, 1002)

    def test_drop(self) -> None:
        """Both sides see 1006; a second `drop` does nothing."""
        client = self.harness.connect()
        client.drop()
        client.drop()
        self.assertClosed(client, 1006)
        self.assertEqual(self.app.events[-1], ("disconnect", 1006, ""))

    def test_stall(self) -> None:
        """While a client does not read, what the server sends stays in the server's transport."""
        client = self.harness.connect()
        client.stall()
        self.app.connection.send(b"x" * 300_000)
        self.harness.flush()
        size = 300_000 + 10
        self.assertEqual((self.app.connection.bufferedAmount, client.received), (size, []))
        client.unstall(100_000)
        self.assertEqual((self.app.connection.bufferedAmount, client.received), (size - 100_000, []))
        client.unstall()
        self.assertEqual((self.app.connection.bufferedAmount, client.received), (0, [b"x" * 300_000]))

    def test_stallTLS(self) -> None:
        """The same with TLS."""
        client = self.harness.connect(tls=True)
        client.stall()
        self.app.connection.send(b"x" * 300_000)
        self.harness.flush()
        self.assertGreater(self.app.connection.bufferedAmount, 290_000)
        client.unstall()
        self.assertEqual((self.app.connection.bufferedAmount, client.received), (0, [b"x" * 300_000]))

    def test_freeze(self) -> None:
        """A frozen client sends no pongs until `unfreeze`, but still receives."""
        client = self.harness.connect()
        client.freeze()
        self.app.connection.ping(b"a")
        self.app.connection.send("b")
        self.harness.flush()
        self.assertEqual((self.app.named("pong"), client.pings, client.received), ([], [b"a"], ["b"]))
        client.unfreeze()
        self.app.connection.ping(b"c")
        self.harness.flush()
        self.assertEqual(self.app.named("pong"), [b"c"])

    def test_freezeClose(self) -> None:
        """A frozen client does not answer a Close frame."""
        client = self.harness.connect()
        client.freeze()
        self.app.connection.close(4000)
        self.harness.flush()
        self.assertEqual((client.closeCode, client.isClosed), (4000, False))

    def test_finish(self) -> None:
        """The server sees the end of the client's sending side."""
        client = self.harness.connect()
        client.finish()
        self.assertClosed(client, 1006)

    def test_finishTLS(self) -> None:
        """With TLS, only the TCP connection below ends; no TLS close is sent."""
        client = self.harness.connect(tls=True)
        client.finish()
        self.assertClosed(client, 1006)

    def test_ping(self) -> None:
        """Pings are answered."""
        client = self.harness.connect()
        client.ping(b"x")
        self.assertEqual(client.pongs, [b"x"])

    def test_noConnection(self) -> None:
        """`connectionOf` refuses a client that is not open."""
        client = self.harness.connect()
        client.close()
        self.assertRaises(LookupError, self.harness.connectionOf, client)


class RawTests(HarnessTestCase):
    """Clients that send any bytes."""

    def setUp(self) -> None:
        self.harness = self.serve(Recorder(onMessage=echo))

    def test_upgrade(self) -> None:
        """A request and a frame can be sent in one segment."""
        client = self.harness.raw(upgradeRequest("/x?y") + clientFrame(TEXT, "hi"))
        assert client.response is not None
        self.assertEqual(client.response.status, 101)
        self.assertTrue(client.take().endswith(b"\r\n\r\n\x81\x02hi"))
        self.assertEqual(client.output, b"")
        client.send(clientFrame(TEXT, b"x" * 70_000))
        self.assertEqual(client.take(), b"\x81\x7f" + (70_000).to_bytes(8, "big") + b"x" * 70_000)

    def test_nothingYet(self) -> None:
        """Half a request gets no response."""
        self.assertIsNone(self.harness.raw(b"GET / HTTP/1.1\r\n").response)

    def test_closed(self) -> None:
        """Sending after the end does nothing."""
        client = self.harness.raw(b"nonsense\r\n\r\n")
        self.assertTrue(client.isClosed)
        client.send(b"more")
        self.assertEqual(client.take().count(b"HTTP/1.1"), 1)

    def test_request(self) -> None:
        """Given headers replace the usual ones, or omit them."""
        request = upgradeRequest("/p", [("host", ""), ("X-A", "1"), ("X-A", "2")], method="PUT")
        self.assertTrue(request.startswith(b"PUT /p HTTP/1.1\r\nUpgrade: websocket\r\n"))
        self.assertNotIn(b"ost:", request)
        self.assertTrue(request.endswith(b"X-A: 1\r\nX-A: 2\r\n\r\n"))
        self.assertIn(b"Host: a.example\r\n", upgradeRequest(host="a.example"))

    def test_frame(self) -> None:
        """`clientFrame` writes the examples of RFC 6455 §5.7."""
        mask = bytes.fromhex("37fa213d")
        self.assertEqual(clientFrame(TEXT, "Hello", mask=mask).hex(), "818537fa213d7f9f4d5158")
        self.assertEqual(clientFrame(TEXT, "Hel", fin=False, mask=None).hex(), "010348656c")
        self.assertEqual(clientFrame(2, b"x" * 256, mask=None)[:4].hex(), "827e0100")
        self.assertEqual(clientFrame(2, b"x" * 65536, mask=None)[:10].hex(), "827f0000000000010000")
        self.assertEqual(clientFrame(2, rsv=4, mask=None).hex(), "c200")

    def test_response(self) -> None:
        """A response is parsed once its head is complete."""
        self.assertIsNone(Response.parse(b"HTTP/1.1 200 OK\r\nA: b\r\n"))
        response = Response.parse(b"HTTP/1.1 404 Not Found\r\nA: b:c\r\n\r\nbody")
        assert response is not None
        self.assertEqual((response.status, response.reason, response.body), (404, "Not Found", b"body"))
        self.assertEqual(response.headers["a"], "b:c")

    def test_dropUpgraded(self) -> None:
        """A reset ends an upgraded connection."""
        client = self.upgraded(self.harness)
        client.drop()
        self.assertTrue(client.isClosed)
        self.assertEqual(self.harness.server.connections, [])


class TimeTests(HarnessTestCase):
    """Time passes only when a test says so."""

    def test_exact(self) -> None:
        """Every delayed call runs at its own time, in order, including those made in the meantime."""
        harness = self.serve()
        clock = harness.clock
        began = clock.seconds()
        seen: list[float] = []

        def note() -> None:
            seen.append(round(clock.seconds() - began, 6))
            if len(seen) == 1:
                clock.callLater(0.25, note)

        clock.callLater(0.5, note)
        clock.callLater(2, note)
        harness.advance(1.9)
        self.assertEqual(seen, [0.5, 0.75])
        harness.advance(0.1)
        self.assertEqual(seen, [0.5, 0.75, 2.0])

    def test_stands(self) -> None:
        """Nothing but `advance` changes the time."""
        harness = self.serve(Application(onMessage=echo))
        before = harness.clock.seconds()
        harness.connect().send("x")
        harness.flush()
        self.assertEqual(harness.clock.seconds(), before)

    def test_networkBetween(self) -> None:
        """Between two delayed calls the network comes to rest: an answer arrives before the second call."""
        app = Recorder(onMessage=echo)
        harness = self.serve(app)
        client = harness.connect()
        counts: list[int] = []
        harness.clock.callLater(1, lambda: app.connection.send("a"))
        harness.clock.callLater(1.001, lambda: counts.append(len(client.received)))
        harness.advance(2)
        self.assertEqual(counts, [1])

    def test_restless(self) -> None:
        """An endless loop is an error, not a test that hangs."""
        clock = MemoryReactor()

        def again() -> None:
            clock.callLater(0, again)

        self.patch(sys.modules["txroom.testing.network"], "MAX_TURNS", 100)
        again()
        self.assertRaises(AssertionError, clock.flush)


class LeakTests(SynchronousTestCase):
    """The final check finds what is left."""

    def leftOf(self, harness: RoomHarness) -> str:
        with self.assertRaises(AssertionError) as caught:
            harness.stop()
        return str(caught.exception)

    def test_clean(self) -> None:
        """Nothing is left of clients of all kinds, whatever they were doing."""
        harness = RoomHarness(Recorder(onMessage=echo))
        harness.connect().send("x")
        harness.connect(tls=True)
        harness.connect().stall()
        harness.connect().freeze()
        harness.raw(b"GET / HT")
        harness.raw(upgradeRequest() + b"\x01")
        harness.raw(upgradeRequest(headers={"Upgrade": ""}))
        harness.stop()

    def test_delayedCall(self) -> None:
        """A delayed call that the application has not cancelled is reported."""
        harness = RoomHarness(Recorder())
        call = harness.clock.callLater(3600, self.fail, "never")
        self.assertIn("delayed call", self.leftOf(harness))
        call.cancel()
        harness.check()

    def test_connection(self) -> None:
        """A connection that the server does not end is reported, with its transport."""
        harness = RoomHarness(Recorder())
        client = harness.connect()
        with self.assertRaises(AssertionError) as caught:
            harness.check()
        self.assertIn(repr(harness.connectionOf(client)), str(caught.exception))
        self.assertIn("transport", str(caught.exception))
        self.assertIn("port", str(caught.exception))
        harness.stop()

    def test_port(self) -> None:
        """A port that was opened beside the server is reported."""
        harness = RoomHarness(Recorder())
        port = harness.clock.listenTCP(99, Factory())
        self.assertIn("port", self.leftOf(harness))
        port.stopListening()
        harness.check()

    def test_transport(self) -> None:
        """A transport beside the server is reported."""
        harness = RoomHarness(Recorder())
        harness.raw(to=Factory.forProtocol(Protocol), peer="192.0.2.9")
        harness.stop()

    def test_hangs(self) -> None:
        """A server that does not stop is reported."""
        harness = RoomHarness(Recorder(), shutdownTimeout=1)
        stopping: Deferred[None] = Deferred()
        self.patch(harness.server, "stopService", lambda: stopping)
        self.assertIn("has not stopped within", self.leftOf(harness))

    def test_fails(self) -> None:
        """If stopping the server fails, that error is raised."""
        harness = RoomHarness(Recorder())

        def fail() -> Deferred[None]:
            stopping: Deferred[None] = Deferred()
            stopping.errback(ZeroDivisionError())
            return stopping

        self.patch(harness.server, "stopService", fail)
        self.assertRaises(ZeroDivisionError, harness.stop)

    def test_context(self) -> None:
        """As a context manager the harness does not hide an error of the block by what is left."""
        with RoomHarness(Recorder()) as harness:
            client = harness.connect()
        self.assertEqual((client.closeCode, harness.server.running), (1001, 0))
        with self.assertRaises(ZeroDivisionError), RoomHarness(Recorder()) as harness:
            harness.clock.callLater(3600, self.fail)
            raise ZeroDivisionError


class ServingTests(HarnessTestCase):
    """What a harness can serve."""

    def test_byPath(self) -> None:
        """Several applications by their paths."""
        harness = self.serve({"/a": Application(onMessage=echo), "/b/*": Application()})
        self.assertTrue(harness.connect("/a").isOpen)
        self.assertTrue(harness.connect("/b/c").isOpen)
        self.assertFalse(harness.connect("/c").isOpen)

    def test_factory(self) -> None:
        """A function that makes the server, with listeners of its own."""

        def make(clock: MemoryReactor) -> Server:
            server = Server(clock=clock)
            server.addApplication(Application(onMessage=echo))
            server.listen("tcp:1234")
            return server

        harness = self.serve(make)
        self.assertEqual([portOf(port) for port in harness.server.ports], [1234])
        self.assertTrue(harness.connect().isOpen)

    def test_factoryOptions(self) -> None:
        """Options cannot be given together with a function that makes the server."""
        self.assertRaises(TypeError, RoomHarness, lambda clock: Server(clock=clock), maxPayload=1)

    def test_listensInMemory(self) -> None:
        """All ways of listening work: a number, TCP of both families, UNIX, any free port."""

        def make(clock: MemoryReactor) -> Server:
            server = Server(clock=clock)
            for where in (81, "tcp:82", "tcp:0", "tcp:0", "unix:/nowhere/socket", r"tcp6:83"):
                server.listen(where)
            return server

        ports = self.serve(make).server.ports
        self.assertEqual([portOf(port) for port in ports[:2]], [81, 82])
        free = [portOf(port) for port in ports[2:4]]
        self.assertEqual(len({0, *free}), 3)
        self.assertEqual(ports[4].getHost(), UNIXAddress(b"/nowhere/socket"))

    def test_busy(self) -> None:
        """Two servers cannot listen at the same port."""
        harness = self.serve()
        self.assertRaises(CannotListenError, harness.clock.listenTCP, 8080, Factory())

    def test_nobody(self) -> None:
        """Connecting fails if the server does not listen."""
        harness = self.serve()
        harness.stop()
        self.assertRaises(ConnectionRefusedError, harness.connect)

    def test_refusesConnection(self) -> None:
        """A factory may refuse to build a protocol."""

        class Declines(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        client = self.serve().raw(to=Declines())
        self.assertTrue(client.isClosed)

    def test_restart(self) -> None:
        """A harness that was stopped starts again."""
        harness = self.serve(Application(onMessage=echo))
        harness.stop()
        harness.start()
        client = harness.connect()
        client.send("x")
        self.assertEqual(client.received, ["x"])

    def test_sharedClock(self) -> None:
        """Two servers in one process share a clock."""
        one = self.serve(Application())
        two = RoomHarness(lambda clock: _listening(Server(clock=clock), 8081), clock=one.clock)
        began = one.clock.seconds()
        two.advance(1)
        self.assertEqual(one.clock.seconds(), began + 1)
        self.assertEqual([portOf(port) for port in one.clock.ports], [8080, 8081])
        self.successResultOf(two.server.stopService())

    def test_callRaises(self) -> None:
        """A delayed call that raises is logged, as with a real reactor, and the others run."""
        harness = self.serve()
        seen: list[int] = []
        harness.clock.callLater(0, lambda: 1 / 0)
        harness.clock.callLater(0, seen.append, 1)
        harness.flush()
        self.assertEqual(seen, [1])
        self.assertRaised(ZeroDivisionError)

    def test_flushWithin(self) -> None:
        """Code that runs in a `flush` may call `flush`; the rest happens when the outer call goes on."""
        harness = self.serve()
        seen: list[str] = []

        def happens() -> None:
            harness.clock.callLater(0, seen.append, "later")
            harness.flush()
            seen.append("first")

        harness.clock.callLater(0, happens)
        harness.flush()
        self.assertEqual(seen, ["first", "later"])

    def test_protocolRaises(self) -> None:
        """A protocol that raises loses its connection, as with a real reactor."""

        class Bad(Protocol):
            def dataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError

        client = self.serve().raw(b"x", to=Factory.forProtocol(Bad))
        self.assertTrue(client.isClosed)
        self.assertRaised(ZeroDivisionError)


def portOf(port: Any) -> int:
    """The number of a TCP port."""
    number: int = port.getHost().port
    return number


def _listening(server: Server, port: int) -> Server:
    server.listen(port)
    return server


class MemoryTransportTests(HarnessTestCase):
    """The transports are Twisted's, with all their interfaces."""

    def test_resetAfterUnread(self) -> None:
        """Closing with unread bytes is a reset, as with the kernel."""

        class Deaf(Protocol):
            def connectionMade(self) -> None:
                self.transport.pauseProducing()  # type: ignore[union-attr]
                deaf.append(self)

        deaf: list[Any] = []
        harness = self.serve()
        client = harness.raw(b"unread", to=Factory.forProtocol(Deaf))
        deaf[0].transport.loseConnection()
        harness.flush()
        self.assertTrue(client.isClosed)

    def test_options(self) -> None:
        """Socket options can be set and read."""
        harness = self.serve(Recorder(), noDelay=True)
        client = harness.connect()
        self.assertTrue(client.protocol.transport.getTcpNoDelay())

    def test_interfaces(self) -> None:
        """The transports provide the interfaces that Twisted's TCP transports provide."""
        client = self.serve(Recorder()).connect()
        self.assertFalse(isinstance(client.protocol.transport, StringTransport))
        self.assertEqual(client.protocol.transport.getHost().host, "203.0.113.9")


class PlaceTests(TestCase):
    """The kit needs no reactor, and works where there is one."""

    def test_inTestCase(self) -> None:
        """It works in trial's asynchronous `TestCase` too."""
        with RoomHarness(Application(onMessage=echo)) as harness:
            client = harness.connect()
            client.send("x")
            self.assertEqual(client.received, ["x"])

    def test_noReactor(self) -> None:
        """A whole conversation with TLS does not import the global reactor."""
        script = (
            "import sys\n"
            "from txroom import Application, Room\n"
            "from txroom.testing import RoomHarness\n"
            "with RoomHarness({'/': Application(), 'chat': Room}, pingInterval=1) as harness:\n"
            "    harness.client(tls=True).join('chat')\n"
            "    for tls in (False, True):\n"
            "        client = harness.connect('/', tls=tls)\n"
            "        client.send('x')\n"
            "        harness.advance(5)\n"
            "        client.close()\n"
            "print('twisted.internet.reactor' in sys.modules)\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        self.assertEqual((done.stdout, done.stderr), ("False\n", ""))


class DocumentedTests(SynchronousTestCase):
    """The examples in the module's docstring work."""

    def test_examples(self) -> None:
        """Their tests pass."""
        import unittest

        import txroom.testing

        assert txroom.testing.__doc__ is not None
        text = txroom.testing.__doc__
        for begin, case, count in (
            ("`txroomHarness`::\n", "ChatTests", 3),
            ("to single frames::\n", "CounterTests", 1),
        ):
            block = re.match(r"(?:    .*\n|\n)+", text.partition(begin)[2])
            assert block is not None
            scope: dict[str, Any] = {"__name__": "example"}
            exec(dedent(block[0]), scope)
            result = unittest.TestResult()
            unittest.defaultTestLoader.loadTestsFromTestCase(scope[case]).run(result)
            self.assertEqual((result.testsRun, result.errors, result.failures), (count, [], []))

    def test_connectionIsServers(self) -> None:
        """`connectionOf` returns the object that the application has."""
        app = Recorder()
        with RoomHarness(app) as harness:
            client = harness.connect()
            self.assertIsInstance(harness.connectionOf(client), Connection)
            self.assertIs(harness.connectionOf(client), app.connection)
