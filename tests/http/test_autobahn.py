"""
Tests for Autobahn's protocol factories behind txroom's checks.
"""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs, formatEvent

from tests.case import BINARY, TEXT, HarnessTestCase, Recorder
from txroom import Accept, Connection, ReadyState, SendStatus, Server, ServerOptions
from txroom.http.autobahn import DECIDED_BY_AUTOBAHN, AutobahnApplication
from txroom.testing import Client, RawClient, RoomHarness, clientFrame, upgradeRequest


class Echo(WebSocketServerProtocol):
    """A protocol as users of Autobahn write it, which records what happens."""

    connection: Connection
    transport: Any
    transport_details: Any

    def note(self, *event: Any) -> None:
        self.factory.events.append(event)

    def onConnect(self, request: ConnectionRequest) -> Any:
        self.note("connect", request.peer)
        self.factory.requests.append(request)
        self.factory.asked.append(self)
        return self.factory.decide(request)

    def onOpen(self) -> None:
        self.factory.protocols.append(self)
        self.note("open")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.note("message", payload, isBinary)
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.note("close", wasClean, code)


class EchoFactory(WebSocketServerFactory):
    """A factory that also records its starts."""

    protocol: Any = Echo

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, reactor=object(), **more)
        self.events: list[tuple[Any, ...]] = []
        self.requests: list[ConnectionRequest] = []
        self.asked: list[Echo] = []
        self.protocols: list[Echo] = []
        self.decide: Any = lambda request: None

    def startFactory(self) -> None:
        self.events.append(("start",))

    def stopFactory(self) -> None:
        self.events.append(("stop",))


class AutobahnCase(HarnessTestCase):
    """A server with a factory at "/ws"."""

    def start(self, protocol: Any = Echo, hooks: Any = None, **options: Any) -> RoomHarness:
        self.factory = EchoFactory()
        self.factory.protocol = protocol

        def makeServer(clock: Any) -> Server:
            server = Server(ServerOptions(**options), clock=clock)
            self.app = server.addFactory("/ws", self.factory, **(hooks or {}))
            return server

        self.harness = self.serve(makeServer)
        return self.harness

    def connect(self, **more: Any) -> Client:
        return self.harness.connect("/ws", **more)

    def raw(self, rest: bytes = b"", headers: Any = (), **more: Any) -> RawClient:
        return self.harness.raw(upgradeRequest("/ws", headers) + rest, **more)

    def upgraded(self, *args: Any, **more: Any) -> RawClient:
        """Return a raw client after its handshake."""
        client = self.raw(**more)
        head, _, client.output = client.output.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 101 "), head)
        return client

    def named(self, *names: str) -> list[tuple[Any, ...]]:
        return [event for event in self.factory.events if event[0] in names]

    def status(self, client: Client | RawClient) -> int:
        assert client.response is not None
        return client.response.status

    def assertCounts(self, expected: int) -> None:
        admission = self.harness.server._gateway.admission
        self.assertEqual((admission.perApplication.total(), len(admission.pending)), (expected, 0))
        self.assertEqual(len(self.harness.server.connections), expected)
        self.assertEqual(self.factory.countConnections, expected)


class ServingTests(AutobahnCase):
    """A user's protocol class."""

    def test_echo(self) -> None:
        """It is served unchanged, and its connections are `Connection`s of the server."""
        self.start()
        client = self.connect(peer="203.0.113.7")
        client.send("hello")
        client.send(b"\0\1")
        self.assertEqual(client.received, ["hello", b"\0\1"])
        (connection,) = self.harness.server.connections
        self.assertIs(self.factory.protocols[0].connection, connection)
        self.assertIsInstance(self.factory.protocols[0], Echo)
        self.assertEqual((connection.handshake.path, connection.readyState), ("/ws", ReadyState.OPEN))
        self.assertEqual(self.named("connect"), [("connect", "203.0.113.7")])
        stats = self.harness.server.stats()
        self.assertEqual((stats.total, stats.messagesReceived, stats.bytesReceived), (1, 2, 7))
        client.close(4321, "bye")
        self.assertEqual(self.named("close"), [("close", True, 4321)])
        self.assertTrue(client.isClosed)
        self.assertCounts(0)

    def test_registry(self) -> None:
        """
        `send`, `disconnect` and `broadcast` reach its connections, and the application's hooks are called.
        """
        events: list[Any] = []
        hooks = {
            "onConnect": lambda connection: events.append("connect"),
            "onDisconnect": lambda connection, code, reason: events.append((code, reason)),
        }
        self.start(hooks=hooks)
        client = self.connect()
        (connection,) = self.app.connections
        self.assertIs(self.harness.server.send(connection.id, "one"), SendStatus.SENT)
        self.harness.server.broadcast(b"two")
        self.harness.flush()
        self.assertEqual(client.received, ["one", b"two"])
        self.harness.server.disconnect(connection.id, 1008, "enough")
        self.harness.flush()
        self.assertClosed(client, 1008, "enough")
        self.assertIs(connection.send("x"), SendStatus.CLOSED)
        self.assertEqual(events, ["connect", (1008, "enough")])
        self.assertEqual(self.named("open", "close"), [("open",), ("close", True, 1008)])

    def test_started(self) -> None:
        """The factory is started and stopped with the server."""
        self.start()
        self.connect()
        self.harness.stop()
        self.assertEqual((self.factory.events[0], self.factory.events[-1]), (("start",), ("stop",)))
        self.harness.start()
        self.harness.stop()
        self.assertEqual(self.factory.events[-2:], [("start",), ("stop",)])

    def test_anySize(self) -> None:
        """A factory without a limit on messages causes a warning at each start."""
        for limit, expected in ((0, 1), (100, 0)):
            factory = EchoFactory()
            factory.setProtocolOptions(maxMessagePayloadSize=limit)
            with capturedLogs() as events:
                self.serve({"/ws": factory}).connect("/ws")
            texts = [str(formatEvent(event)) for event in events]
            self.assertEqual(
                sum("EchoFactory accepts messages of any size" in each for each in texts), expected
            )

    def test_shutdown(self) -> None:
        """At the shutdown connections are closed with 1001, which Autobahn's `sendClose` would refuse."""
        self.start()
        client = self.connect()
        self.harness.stop()
        self.assertClosed(client, 1001, "server shutdown")
        self.assertEqual(self.named("close"), [("close", True, 1001)])

    def test_beside(self) -> None:
        """It is served beside a room and a plain application."""
        self.start()
        self.harness.server.addApplication(recorder := Recorder(), path="/plain")
        self.harness.connect("/plain").send("x")
        self.connect().send("y")
        self.assertEqual((recorder.named("message"), len(self.named("message"))), (["x"], 1))

    def test_mistakes(self) -> None:
        """Other factories, and hooks and options that Autobahn decides, are refused."""
        self.start()
        with self.assertRaisesRegex(TypeError, "must be a protocol factory"):
            self.harness.server.addFactory("/x", Recorder())  # type: ignore[arg-type]
        with self.assertRaisesRegex(TypeError, "must be a WebSocketServerFactory"):
            AutobahnApplication(Factory())
        for name in DECIDED_BY_AUTOBAHN:
            with self.assertRaisesRegex(TypeError, f"{name} is decided by Autobahn: "):
                self.harness.server.addFactory("/x", self.factory, **{name: None})
        with self.assertRaisesRegex(TypeError, "setProtocolOptions.maxMessagePayloadSize"):
            AutobahnApplication(self.factory, maxPayload=1)


class HandshakeTests(AutobahnCase):
    """txroom's checks come before Autobahn's."""

    def test_order(self) -> None:
        """Autobahn is not asked before txroom's checks have accepted the client."""
        self.start(hooks={"verifyClient": lambda handshake: False}, maxConnections=5)
        self.assertEqual(self.status(self.connect()), 401)
        self.assertEqual(self.status(self.connect(headers={"Origin": "http://evil.example"})), 403)
        self.assertEqual(self.status(self.raw(headers={"Sec-WebSocket-Version": "8"})), 426)
        self.assertEqual(self.factory.events, [("start",)])
        self.assertCounts(0)

    def test_user(self) -> None:
        """
        `onConnect` sees the user that `verifyClient` accepted; headers of `Accept` and of the server are
        sent.
        """
        verify = {"verifyClient": lambda handshake: Accept("ann", headers=[("Set-Cookie", "a=1")])}
        self.start(hooks=verify)
        self.harness.server.responseHeaders = lambda handshake: {"X-Server": "1"}
        users = []

        def decide(request: Any) -> Any:
            users.append(self.factory.asked[0].connection.user)
            return "b", {"X-Own": ["2", "3"]}

        self.factory.decide = decide
        client = self.connect(protocols=["a", "b"])
        assert client.response is not None
        headers = client.response.headers
        self.assertEqual((client.protocol.websocket_protocol_in_use, users), ("b", ["ann"]))
        found = [headers.getAll(name) for name in ("set-cookie", "x-server", "x-own")]
        self.assertEqual(found, [["a=1"], ["1"], ["2", "3"]])
        (connection,) = self.harness.server.connections
        self.assertEqual((connection.protocol, connection.user), ("b", "ann"))

    def test_denied(self) -> None:
        """`ConnectionDeny` becomes an HTTP answer; a text that can't be sent is left out."""
        self.start()
        for denial, status, body in (
            (ConnectionDeny(409, "taken"), 409, b"taken"),
            (ConnectionDeny(403), 403, b"Forbidden"),
            (ConnectionDeny(404, "a\r\nX: y"), 404, b"Not Found"),
            (ConnectionDeny(999, "odd"), 403, b"odd"),
        ):

            def deny(request: Any, denial: Any = denial) -> Any:
                raise denial

            self.factory.decide = deny
            client = self.raw()
            response = client.response
            assert response is not None
            self.assertEqual((response.status, response.body), (status, body))
            self.assertEqual(response.headers["content-length"], str(len(body)))
            self.assertTrue(client.isClosed)
        self.assertEqual(self.named("open"), [])
        self.assertEqual(len(self.named("close")), 4)
        self.assertCounts(0)

    def test_raises(self) -> None:
        """
        An exception becomes a 500 without its text, and so do headers and sub-protocols that can't be sent.
        """
        self.start()
        secret = ValueError("secret")

        def fail(request: Any) -> Any:
            raise secret

        for decide in (
            fail,
            lambda request: "unasked",
            lambda request: (None, {"X": "a\r\nY: b"}),
            lambda request: (None, {"Sec-WebSocket-Accept": "x"}),
        ):
            self.factory.decide = decide
            response = self.raw().response
            assert response is not None
            self.assertEqual((response.status, response.body), (500, b"Internal Server Error"))
        self.assertRaised(ValueError, 4)
        self.assertCounts(0)

    def test_fails(self) -> None:
        """A `failHandshake` of the protocol is answered with its status, if that is an HTTP status."""
        self.start()
        for code, status in ((410, 410), (1234, 403)):
            self.factory.decide = lambda request, code=code: self.factory.asked[-1].failHandshake("no", code)
            response = self.raw().response
            assert response is not None
            self.assertEqual((response.status, b"no" in response.body), (status, False))
        self.assertEqual(self.harness.server.stats().rejected, {"handshake": 2})
        self.assertCounts(0)

    def test_coroutine(self) -> None:
        """`onConnect` may be a coroutine."""

        async def decide(request: Any) -> str:
            await waiting
            return "b"

        self.start()
        waiting: Deferred[None] = Deferred()
        self.factory.decide = decide
        client = self.connect(protocols=["a", "b"])
        self.assertIsNone(client.response)
        waiting.callback(None)
        self.harness.flush()
        self.assertEqual(client.protocolInUse, "b")

    def test_drained(self) -> None:
        """A shutdown refuses clients whose `onConnect` is running, and cancels it."""
        self.start()
        waiting: Deferred[None] = Deferred()
        self.factory.decide = lambda request: waiting
        client = self.raw()
        self.harness.stop()
        self.assertEqual((self.status(client), waiting.called), (503, True))
        self.assertEqual(self.named("open", "close"), [("close", False, 1006)])

    def test_origin(self) -> None:
        """Autobahn's own check of the Origin applies, too."""
        self.start(allowedOrigins=["*"])
        self.factory.setProtocolOptions(allowedOrigins=["http://good.example:80"])
        self.assertEqual(self.status(self.connect(origin="http://good.example")), 101)
        self.assertEqual(self.status(self.connect(origin="http://other.example")), 400)

    def test_their_limit(self) -> None:
        """Autobahn's own `maxConnections` applies, too."""
        self.start()
        self.factory.setProtocolOptions(maxConnections=1)
        self.connect()
        self.assertEqual(self.status(self.connect()), 503)
        self.assertCounts(1)

    def test_later(self) -> None:
        """`onConnect` may be slow; what the client sends meanwhile is delivered after `onOpen`."""
        self.start()
        decision: Deferred[None] = Deferred()
        self.factory.decide = lambda request: decision
        client = self.raw(clientFrame(TEXT, "early"))
        client.send(upgradeRequest("/ws") + clientFrame(BINARY, b"\r\n\r\n"))
        self.assertEqual(client.output, b"")
        self.assertEqual(self.named("message"), [])
        decision.callback(None)
        self.harness.flush()
        self.assertEqual(client.output.count(b"HTTP/1.1 101"), 1)
        self.assertEqual(self.named("open", "message")[:2], [("open",), ("message", b"early", False)])

    def test_early(self) -> None:
        """Frames in the segment of the request are delivered, wherever the bytes are cut."""
        data = upgradeRequest("/ws") + clientFrame(TEXT, "a") + clientFrame(BINARY, b"b" * 70_000)
        for cut in (0, 1, 5, 70_004, 70_020):
            self.start()
            client = self.harness.raw(data[: len(data) - cut])
            client.send(data[len(data) - cut :])
            self.assertEqual(
                self.named("message"), [("message", b"a", False), ("message", b"b" * 70_000, True)]
            )

    def test_left(self) -> None:
        """
        If the client leaves while `onConnect` is running, that is cancelled, and `onOpen` is never called.
        """
        self.start()
        cancelled: list[Any] = []
        decisions: list[Deferred[None]] = []

        def decide(request: Any) -> Deferred[None]:
            decisions.append(Deferred(cancelled.append))
            return decisions[-1]

        self.factory.decide = decide
        self.raw().drop()
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.named("open", "close"), [("close", False, 1006)])
        slow = self.raw()
        self.harness.advance(6)
        self.assertEqual(self.status(slow), 503)
        flood = self.raw()
        flood.send(b"x" * 17_000)
        self.assertTrue(flood.isClosed)
        self.assertEqual(len(cancelled), 3)
        self.assertEqual(self.named("open"), [])
        self.assertCounts(0)

    def test_dropped(self) -> None:
        """`onConnect` may drop the client."""
        for drop in (
            lambda protocol: protocol.dropConnection(abort=True),
            lambda protocol: protocol.transport.loseConnection(),
            lambda protocol: protocol.connection.terminate(),
        ):
            self.start()
            self.factory.decide = lambda request, drop=drop: drop(self.factory.asked[-1])
            client = self.raw()
            self.assertEqual((client.output, client.isClosed), (b"", True))
            self.assertCounts(0)
