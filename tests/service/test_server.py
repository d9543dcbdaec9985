"""
Tests for the server: what it serves, its connections, and how it starts and stops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Application as ServiceApplication
from twisted.application.service import IService, IServiceCollection, MultiService, Service
from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import Data
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.case import HarnessTestCase, Recorder, echo, fired
from txroom import (
    Application,
    Connection,
    Handshake,
    OptionError,
    Prepared,
    Room,
    RoomApplication,
    SendStatus,
    Server,
    ServerOptions,
    UpgradeError,
)
from txroom.core.headers import Headers
from txroom.demo import makeDemo
from txroom.service.connections import CLOSE_BATCH
from txroom.service.routing import Route
from txroom.service.shutdown import NOTICE
from txroom.testing import Client, MemoryReactor, RawClient, Response, RoomHarness, upgradeRequest


class RouteTests(SynchronousTestCase):
    """Which application serves a request."""

    def matches(self, handshake: Handshake, host: str | None = None, path: str | None = None) -> bool:
        server = Server(clock=MemoryReactor())
        application = server.addApplication(Application(), host, path)
        return server.applicationFor(handshake) is application

    def request(self, target: str = "/", host: str = "a.example", secure: bool = False) -> Handshake:
        return Handshake(target=target, headers=Headers([("Host", host)]), secure=secure)

    def test_paths(self) -> None:
        """An exact path is compared as sent; a prefix ends at a slash; None matches any path."""
        for path, target, expected in (
            (None, "/", True),
            (None, "/a/b?c", True),
            ("/a", "/a", True),
            ("/a", "/a?b=c", True),
            ("/a", "/a/", False),
            ("/a", "/A", False),
            ("/a", "/ab", False),
            ("/a", "/%61", False),
            ("/a/*", "/a/", True),
            ("/a/*", "/a/b/c?d", True),
            ("/a/*", "/a", False),
            ("/a/*", "/ab", False),
            ("/*", "/", True),
        ):
            found = self.matches(self.request(target), None, path)
            self.assertEqual(found, expected, (path, target))

    def test_hosts(self) -> None:
        """Case does not matter; a host without a port matches any port, and a default port may be omitted."""
        for host, requested, secure, expected in (
            (None, "a.example", False, True),
            ("A.Example", "a.eXAMPLE", False, True),
            ("a.example", "a.example:8080", False, True),
            ("a.example", "b.example", False, False),
            ("a.example:8080", "a.example:8080", False, True),
            ("a.example:8080", "a.example", False, False),
            ("a.example:80", "a.example", False, True),
            ("a.example:80", "a.example", True, False),
            ("a.example:443", "a.example", True, True),
            ("a.example:443", "a.example:443", True, True),
            ("[::1]", "[::1]:8080", False, True),
            ("[::1]:8080", "[::1]:8080", False, True),
        ):
            found = self.matches(self.request(host=requested, secure=secure), host)
            self.assertEqual(found, expected, (host, requested, secure))

    def test_firstWins(self) -> None:
        """The first matching registration is used."""
        server = Server(clock=MemoryReactor())
        first = server.addApplication(Application(), path="/a/*")
        second = server.addApplication(Application())
        self.assertIs(server.applicationFor(self.request("/a/b")), first)
        self.assertIs(server.applicationFor(self.request("/b")), second)

    def test_none(self) -> None:
        """There may be no application for a request."""
        self.assertIsNone(Server(clock=MemoryReactor()).applicationFor(self.request()))
        self.assertFalse(Route(("b", None), None, Application()).matches(self.request()))

    def test_badPath(self) -> None:
        """A path that can never match is an error."""
        server = Server(clock=MemoryReactor())
        for path in ("a", "", "/a*", "/a/*/b", "/*/b", "/a?b", "/a#b"):
            self.assertRaises(ValueError, server.addApplication, Application(), path=path)
            self.assertRaises(ValueError, server.addPage, path, Resource())

    def test_twoOptions(self) -> None:
        """Contradicting options of an application are an error when it is made."""
        self.assertRaises(OptionError, Application, compression="zip")


class DispatchTests(HarnessTestCase):
    """Applications by host and path, over the wire."""

    def test_pathAndHost(self) -> None:
        """Each client gets its application; others get 404."""
        apps = {"a": Recorder(), "b": Recorder()}
        harness = self.serve()
        harness.server.addApplication(apps["a"], path="/chat")
        harness.server.addApplication(apps["b"], host="b.example")
        self.assertTrue(harness.connect("/chat", host="b.example").isOpen)
        self.assertTrue(harness.connect("/other", host="B.example:99").isOpen)
        client = harness.connect("/other")
        assert client.response is not None
        self.assertEqual(client.response.status, 404)
        self.assertEqual([len(app.connections) for app in apps.values()], [1, 1])


class RoomsTests(HarnessTestCase):
    """Where rooms are served."""

    def status(self, harness: RoomHarness, path: str) -> int:
        """Return the status of an upgrade at that path."""
        response = harness.connect(path).response
        assert response is not None
        return response.status

    def test_default(self) -> None:
        """At /rooms and below, whether a room is registered or the application is used first."""
        for first in (lambda server: server.rooms, lambda server: server.register("other", Room)):
            harness = self.serve()
            first(harness.server)
            harness.server.register("chat", Room)
            self.assertIs(harness.server.rooms, harness.server.rooms)
            self.assertEqual(harness.server.applications, [harness.server.rooms])
            self.assertEqual(
                [self.status(harness, path) for path in ("/rooms", "/rooms/", "/rooms/chat", "/", "/chat")],
                [101, 101, 101, 404, 404],
            )

    def test_oneCall(self) -> None:
        """One call serves a path and everything below it, and nothing else."""
        makers: list[Callable[[Server], Application]] = [
            lambda server: server.addApplication(RoomApplication(), path="/open"),
            lambda server: server.addApplication(RoomApplication(), path="/open/*"),
            lambda server: server.addApplication(RoomApplication(), path="/open/"),
            lambda server: server.addApplication(RoomApplication(path="/open")),
            lambda server: server.addApplication(RoomApplication(path="/open"), path="/open"),
        ]
        for make in makers:
            harness = self.serve()
            rooms = make(harness.server)
            self.assertIs(harness.server.rooms, rooms)
            harness.server.register("chat", Room)
            plain = harness.server.addApplication(Application())
            self.assertEqual(
                [self.status(harness, path) for path in ("/open", "/open/chat", "/open/nix", "/rooms")],
                [101, 101, 404, 101],
            )
            self.assertEqual(len(plain.connections), 1)

    def test_root(self) -> None:
        """Rooms may be served at the root."""
        harness = self.serve()
        harness.server.addApplication(RoomApplication(), path="/")
        harness.server.register("chat", Room)
        self.assertEqual([self.status(harness, path) for path in ("/", "/chat", "/nix")], [101, 101, 404])

    def test_twice(self) -> None:
        """
        An application may be added twice at one path, for another host; two paths are an error, and nothing
        is added.
        """
        harness = self.serve()
        rooms = RoomApplication()
        for host, path in ((None, "/open"), (None, "/open/*"), ("a.example", "/open"), (None, None)):
            harness.server.addApplication(rooms, host, path)
        self.assertEqual(self.status(harness, "/open"), 101)
        error = self.assertRaises(ValueError, harness.server.addApplication, rooms, path="/rooms")
        self.assertEqual(str(error), "path='/rooms': these rooms are served at /open already")
        self.assertEqual(self.status(harness, "/rooms"), 404)

    def test_byHand(self) -> None:
        """Rooms that are only upgraded by hand work at any path."""
        for rooms, name in ((RoomApplication(), ""), (RoomApplication(path="/rooms"), None)):
            self.assertEqual(rooms.roomNameOf(Handshake(target="/watch/7")), name)
            self.assertEqual(rooms.roomNameOf(Handshake(target="/rooms/chat?a=b")), "chat")

    def test_wrongPath(self) -> None:
        """A wrong path is an error at once."""
        for wrong in ("open", "/open/*", "/a?b"):
            self.assertRaises(ValueError, RoomApplication, path=wrong)
        bad: Any = 5
        self.assertRaises(TypeError, RoomApplication, path=bad)


class ConnectionsTests(HarnessTestCase):
    """The registry of connections."""

    def setUp(self) -> None:
        self.app = Recorder()
        self.harness = self.serve(self.app)
        self.server = self.harness.server
        self.client = self.harness.connect()

    def test_byId(self) -> None:
        """`send` and `disconnect` by id, as in TeaJS."""
        id = self.app.connection.id
        self.assertIs(self.server.connection(id), self.app.connection)
        self.assertEqual(self.server.send(id, "a"), SendStatus.SENT)
        self.harness.flush()
        self.assertEqual(self.client.received, ["a"])
        self.server.disconnect(id, 4000, "bye")
        self.harness.flush()
        self.assertClosed(self.client, 4000, "bye")

    def test_unknownId(self) -> None:
        """An unknown id is not an error, because the client may just have left."""
        id = self.app.connection.id
        self.client.close()
        self.assertIsNone(self.server.connection(id))
        self.assertEqual(self.server.send(id, "a"), SendStatus.CLOSED)
        self.server.disconnect(id)
        self.server.disconnect("nonsense", 4000)

    def test_broadcast(self) -> None:
        """A broadcast reaches all connections except the excluded ones."""
        other = self.harness.connect()
        self.server.broadcast("a")
        self.server.broadcast(Prepared(b"b"), exclude=[self.harness.connectionOf(other)])
        self.harness.flush()
        self.assertEqual((self.client.received, other.received), (["a", b"b"], ["a"]))

    def test_snapshot(self) -> None:
        """The list is a copy."""
        self.server.connections.clear()
        self.assertEqual(self.server.connections, [self.app.connection])

    def test_noTracking(self) -> None:
        """
        With `clientTracking=False` the list is empty, but ids work, and a shutdown closes all connections.
        """
        app = Recorder()
        harness = self.serve(app, clientTracking=False)
        client = harness.connect()
        self.assertEqual((harness.server.connections, app.connections), ([], []))
        self.assertEqual(harness.server.send(app.connection.id, "a"), SendStatus.SENT)
        self.assertEqual(harness.server.stats().active, 1)
        harness.stop()
        self.assertEqual((client.received, client.closeCode), (["a"], 1001))

    def test_stats(self) -> None:
        """Messages and payload bytes are counted, and refusals by reason."""
        self.client.send("abc")
        self.app.connection.send(b"12345")
        self.harness.flush()
        self.harness.connect().close()
        self.harness.connect(origin="https://evil.example")
        self.harness.raw(b"nonsense\r\n\r\n")
        stats = self.server.stats()
        self.assertEqual((stats.total, stats.active), (2, 1))
        self.assertEqual(stats.rejected, {"origin": 1, "syntax": 1})
        self.assertEqual((stats.messagesReceived, stats.bytesReceived), (1, 3))
        self.assertEqual((stats.messagesSent, stats.bytesSent), (1, 5))

    def test_statsAreACopy(self) -> None:
        """The counters are a copy."""
        before = self.server.stats()
        self.harness.raw(b"nonsense\r\n\r\n")
        self.assertEqual(before.rejected, {})


class HookTests(HarnessTestCase):
    """The server's own hooks."""

    def server(self, **hooks: Any) -> RoomHarness:
        def make(clock: MemoryReactor) -> Server:
            server = Server(clock=clock)
            server.addApplication(Recorder(onMessage=echo))
            for name, hook in hooks.items():
                setattr(server, name, hook)
            return server

        return self.serve(make)

    def test_onConnection(self) -> None:
        """Called for each connection of any application."""
        seen: list[Connection] = []
        harness = self.server(onConnection=seen.append)
        client = harness.connect()
        self.assertEqual(seen, [harness.connectionOf(client)])

    def test_onListening(self) -> None:
        """Called for each port, also at a restart."""
        seen: list[Any] = []
        harness = self.server(onListening=seen.append)
        self.assertEqual(seen, harness.server.ports)
        harness.stop()
        harness.start()
        self.assertEqual(len(seen), 2)

    def test_onClose(self) -> None:
        """Called at the end."""
        seen: list[int] = []
        harness: RoomHarness = self.server(onClose=lambda: seen.append(len(harness.server.connections)))
        harness.connect()
        harness.stop()
        self.assertEqual(seen, [0])

    def test_onClientError(self) -> None:
        """Called for each failed upgrade, with the handshake if there is one."""
        seen: list[tuple[int, str, str | None]] = []

        def failed(error: UpgradeError, handshake: Handshake | None) -> None:
            seen.append((error.status, error.reason, None if handshake is None else handshake.path))

        harness = self.server(onClientError=failed)
        harness.connect("/a", origin="https://evil.example")
        harness.raw(b"nonsense\r\n\r\n")
        harness.raw(upgradeRequest("/b", {"Sec-WebSocket-Version": "8"}))
        harness.raw(b"GET / HTTP/1.1\r\n").drop()
        harness.raw(b"GET / HTTP/1.1\r\n")
        harness.advance(5.2)
        self.assertEqual(
            seen,
            [
                (403, "origin", "/a"),
                (400, "syntax", None),
                (426, "version", "/b"),
                (0, "left", None),
                (408, "timeout", None),
            ],
        )

    def test_noUpgrade(self) -> None:
        """A plain request or a connection without a request is not a failed upgrade."""
        seen: list[Any] = []
        harness = self.server(onClientError=lambda error, handshake: seen.append(error))
        harness.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        harness.raw().drop()
        self.assertEqual((seen, harness.server.stats().rejected), ([], {}))

    def test_raise(self) -> None:
        """An exception from a hook, at once or later, is logged and has no other effect."""

        async def later(*args: Any) -> None:
            raise ZeroDivisionError

        for hook in (lambda *args: 1 / 0, later):
            harness = self.server(onListening=hook, onClose=hook, onClientError=hook)
            harness.raw(b"nonsense\r\n\r\n")
            client = harness.connect()
            client.send("x")
            self.assertEqual(client.received, ["x"])
            harness.stop()
            self.assertRaised(ZeroDivisionError, 3)

    def test_responseHeaders(self) -> None:
        """The server's headers are on every 101 answer, before the application's."""
        harness = self.server(responseHeaders=lambda handshake: {"X-A": handshake.path})
        client = harness.connect("/p")
        assert client.response is not None
        self.assertEqual(client.response.headers["x-a"], "/p")

    def test_debug(self) -> None:
        """`setDebug` logs the events of every connection with its id, as in TeaJS."""
        from twisted.logger import ILogObserver, globalLogPublisher

        events: list[str] = []

        @implementer(ILogObserver)
        def observe(event: Any) -> None:
            if event.get("log_namespace", "").startswith("txroom") and "id" in event:
                events.append(f"{event['id']} {event['log_format']}".format_map(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        harness = self.server()
        harness.connect().close()
        self.assertEqual(events, [])
        harness.server.setDebug(True)
        client = harness.connect("/p")
        id = harness.connectionOf(client).id
        client.send("abc")
        client.ping()
        client.protocol.sendPong(b"")
        client.close(4000)
        harness.connect(origin="https://evil.example")
        self.assertEqual({event.split()[0] for event in events}, {id})
        words = [event.removeprefix(f"{id} {id} ").split()[0] for event in events]
        self.assertEqual(words, ["connect", "message", "ping", "pong", "close", "disconnect"])

    def test_showMessages(self) -> None:
        """`showMessages` logs the beginnings of messages, also without debugging; nothing when it is off."""
        harness = self.server()
        client = harness.connect("/p")
        id = harness.connectionOf(client).id
        with capturedLogs() as events:
            client.send("abcd")
            harness.server.showMessages(3)
            client.send("abcd")
            harness.server.setDebug(True)
            harness.server.setDebug(False)
            client.send(b"abcd")
            harness.server.showMessages(0)
            client.send(b"abcd")
        infos = [formatEvent(event) for event in events if event["log_level"] is LogLevel.info]
        self.assertEqual(infos, [f"{id} sends 'abc'", f"{id} sends b'abc'"])


class ServiceTests(SynchronousTestCase):
    """A server among Twisted's services."""

    def setUp(self) -> None:
        self.clock = MemoryReactor()

    def server(self, *where: Any, **options: Any) -> Server:
        server = Server(ServerOptions(**options), clock=self.clock)
        server.addApplication(Application(onMessage=echo))
        for place in where:
            server.listen(place)
        return server

    def start(self, server: Any) -> None:
        server.privilegedStartService()
        server.startService()

    def stop(self, server: Any) -> None:
        stopping = fired(server.stopService())
        self.clock.advance(12)
        self.assertEqual(len(stopping), 1)

    def test_interfaces(self) -> None:
        """It implements what a `.tac` file or a `MultiService` needs."""
        server = self.server()
        self.assertTrue(verifyObject(IService, server))
        self.assertTrue(verifyObject(IServiceCollection, server))

    def test_parent(self) -> None:
        """A parent starts and stops it, with the privileged start first."""
        parent = MultiService()
        server = self.server("tcp:8080")
        server.setServiceParent(parent)
        parent.privilegedStartService()
        self.assertEqual(len(server.ports), 1)
        self.assertFalse(server.running)
        parent.startService()
        self.assertTrue(server.running)
        self.stop(parent)
        self.assertEqual((self.clock.ports, self.clock.getDelayedCalls()), ([], []))

    def test_tac(self) -> None:
        """It works as the variable `application` of a `.tac` file."""
        application: Any = ServiceApplication("rooms")
        server = self.server("tcp:8080")
        server.setServiceParent(application)
        self.start(IService(application))
        self.assertEqual(len(self.clock.ports), 1)
        self.stop(IService(application))

    def test_lateParent(self) -> None:
        """It starts at once under a parent that is running."""
        parent = MultiService()
        self.start(parent)
        server = self.server("tcp:8080")
        server.setServiceParent(parent)
        self.assertEqual((server.running, len(self.clock.ports)), (1, 1))
        self.stop(parent)

    def test_children(self) -> None:
        """Services inside it start and stop with it."""
        server, child = self.server("tcp:8080"), MultiService()
        child.setServiceParent(server)
        self.start(server)
        self.assertTrue(child.running)
        self.stop(server)
        self.assertFalse(child.running)

    def test_address(self) -> None:
        """`address` is that of the first port; None before and after, as in ws."""
        server = self.server("tcp:8080", "tcp:8081")
        self.assertIsNone(server.address())
        self.start(server)
        address = server.address()
        self.assertEqual(address.port, 8080)
        self.stop(server)
        self.assertIsNone(server.address())

    def test_listenLater(self) -> None:
        """A listener that is added to a running server is opened at once."""
        server = self.server()
        self.assertFalse(server.hasListeners)
        self.start(server)
        port = self.successResultOf(server.listen("tcp:8080"))
        self.assertIn(port, server.ports)
        self.assertTrue(server.hasListeners)
        self.stop(server)

    def test_listenDeferred(self) -> None:
        """The Deferred of `listen` fires with the port at the start."""
        server = self.server()
        listening = fired(server.listen("tcp:8080"))
        self.assertEqual(listening, [])
        self.start(server)
        self.assertEqual(listening, server.ports)
        self.stop(server)

    def test_busy(self) -> None:
        """A port that is taken makes the start fail, and no other port stays open."""
        self.start(self.server("tcp:8080"))
        second = self.server("tcp:8081", "tcp:8080")
        with self.assertRaises(CannotListenError):
            second.privilegedStartService()
        self.assertEqual(len(self.clock.ports), 1)

    def test_busyLater(self) -> None:
        """`listen` of a running server fails in the same way, and the listener is forgotten."""
        self.start(self.server("tcp:8080"))
        second = self.server()
        self.start(second)
        self.failureResultOf(second.listen("tcp:8080"), CannotListenError)
        self.assertFalse(second.hasListeners)

    def test_startAfterBusy(self) -> None:
        """So the server can be stopped and started again."""
        server = self.server("tcp:8080")
        self.start(server)
        self.failureResultOf(server.listen("tcp:8080"), CannotListenError)
        self.stop(server)
        self.start(server)
        self.assertEqual(len(self.clock.ports), 1)
        self.stop(server)

    def test_lateEndpoint(self) -> None:
        """An endpoint that opens after the server has stopped is closed again."""
        waiting: Deferred[Any] = Deferred()

        @implementer(IStreamServerEndpoint)
        class Late:
            def listen(self, protocolFactory: Any) -> Deferred[Any]:
                return waiting

        server = self.server(Late())
        self.start(server)
        self.stop(server)
        waiting.callback(self.clock.listenTCP(8080, Factory()))
        self.assertEqual((self.clock.ports, server.ports), ([], []))

    def test_overrideAfterStop(self) -> None:
        """Options may be changed between two runs, also for applications that were served."""
        server = self.server("tcp:8080")
        with RoomHarness(lambda clock: server, clock=self.clock) as harness:
            harness.connect().drop()
            harness.stop()
            server.overrideOptions({"maxPayload": 10})
            harness.start()
            client = harness.connect()
            client.send("x" * 11)
            self.assertEqual((client.received, client.closeCode), ([], 1009))

    def test_two(self) -> None:
        """Two servers in one process share nothing."""
        one, other = self.server("tcp:8080"), self.server("tcp:8081")
        self.start(one)
        self.start(other)
        self.stop(one)
        self.assertEqual([port.getHost() for port in self.clock.ports], [other.address()])
        self.stop(other)

    def test_close(self) -> None:
        """`close` leaves the parent and stops; the parent and its other children go on."""
        parent = MultiService()
        server, other = self.server("tcp:8080"), self.server("tcp:8081")
        server.setServiceParent(parent)
        other.setServiceParent(parent)
        self.start(parent)
        closing = fired(server.close())
        self.clock.advance(1)
        self.assertEqual((closing, server.running, other.running), ([None], 0, 1))
        self.assertEqual(parent.services, [other])

    def test_closeAlone(self) -> None:
        """`close` works without a parent, twice, and before the start."""
        server = self.server("tcp:8080")
        self.assertIsNone(self.successResultOf(server.close()))
        self.start(server)
        fired(server.close())
        self.clock.advance(1)
        self.assertEqual((server.running, self.clock.ports), (0, []))
        self.assertIsNone(self.successResultOf(server.close()))

    def test_overrideOptions(self) -> None:
        """A launcher may change the options of a server and of its applications."""
        server = self.server("tcp:8080", maxPayload=1)
        application = server.addApplication(Application(maxPayload=2, maxFragments=3), path="/x")
        server.overrideOptions({"maxPayload": 4})
        self.assertEqual(server.options.maxPayload, 4)
        self.assertEqual(dict(application.overrides), {"maxFragments": 3})
        self.assertRaises(OptionError, server.overrideOptions, {"maxPayload": -1})
        self.start(server)
        self.assertRaises(RuntimeError, server.overrideOptions, {"maxPayload": 5})
        self.stop(server)

    def test_globalReactor(self) -> None:
        """The default clock is the global reactor."""
        from twisted.internet import reactor

        self.assertIs(Server().clock, reactor)


class Endless(Resource):
    """A page that never finishes."""

    def render_GET(self, request: Request) -> int:
        return NOT_DONE_YET


class ShutdownTests(HarnessTestCase):
    """The shutdown: 503, callbacks, listeners, 1001, the deadline, dropped connections."""

    def setUp(self) -> None:
        self.app = Recorder()
        self.harness = self.serve(self.app, shutdownTimeout=10, closeTimeout=60, pingInterval=0)
        self.harness.server.addHealthPage()
        self.server = self.harness.server
        self.clients: list[RawClient] = []

    def stop(self) -> list[Any]:
        return fired(self.server.stopService())

    def advance(self, seconds: float) -> None:
        self.harness.advance(seconds)

    def statusOf(self, client: Client) -> int | None:
        return None if client.response is None else client.response.status

    def health(self) -> int:
        response = self.harness.raw(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").response
        assert response is not None
        return response.status

    def test_order(self) -> None:
        """The steps run in their order."""
        steps: list[str] = []
        waiting: Deferred[None] = Deferred()

        def callback() -> Deferred[None]:
            steps.append("callback")
            return waiting

        self.app.onDisconnect = lambda *args: steps.append("disconnect")  # type: ignore[method-assign]
        client = self.harness.connect()
        self.server.onShutdown(callback)
        self.server.onClose = lambda: steps.append("close")
        stopped = self.stop()
        # While the callback runs, the server listens and refuses.
        self.assertEqual((steps, len(self.harness.clock.ports)), (["callback"], 1))
        late = self.harness.connect()
        assert late.response is not None
        self.assertEqual((late.response.status, late.response.headers["retry-after"]), (503, "5"))
        self.assertEqual(self.health(), 503)
        self.assertTrue(client.isOpen)
        # Then the port is closed, and connections are closed.
        waiting.callback(None)
        self.harness.flush()
        self.assertEqual(self.harness.clock.ports, [])
        self.assertClosed(client, 1001, "server shutdown")
        self.advance(2)
        self.assertEqual((steps, stopped), (["callback", "disconnect", "close"], [None]))

    def test_callbacksInOrder(self) -> None:
        """Callbacks run one after another; each waits for the one before, also if that is a coroutine."""
        calls: list[str] = []
        waiting: Deferred[None] = Deferred()

        async def first() -> None:
            calls.append("first")
            await waiting
            calls.append("first done")

        self.server.onShutdown(first)
        self.server.onShutdown(lambda: calls.append("second"))
        self.stop()
        self.assertEqual(calls, ["first"])
        waiting.callback(None)
        self.assertEqual(calls, ["first", "first done", "second"])

    def test_callbackRaises(self) -> None:
        """An exception from a callback, at once or later, is logged; the others run and the server stops."""
        calls: list[str] = []

        async def later() -> None:
            raise ZeroDivisionError

        self.server.onShutdown(lambda: 1 / 0)
        self.server.onShutdown(later)
        self.server.onShutdown(lambda: calls.append("last"))
        stopped = self.stop()
        self.advance(2)
        self.assertEqual((calls, stopped), (["last"], [None]))
        self.assertRaised(ZeroDivisionError, 2)

    def test_callbackHangs(self) -> None:
        """
        A callback that never ends takes all the time, but no more: connections are dropped at the deadline.
        """
        client = self.harness.connect()
        client.freeze()
        cancelled: list[Any] = []
        self.server.onShutdown(lambda: Deferred(cancelled.append))
        stopped = self.stop()
        self.advance(9.9)
        self.assertEqual((stopped, client.isClosed), ([], False))
        self.advance(0.2)
        self.assertEqual((len(cancelled), client.isClosed), (1, True))
        self.advance(2)
        self.assertEqual(stopped, [None])

    def test_peerHangs(self) -> None:
        """A client that does not answer is dropped at the deadline, even if `closeTimeout` is longer."""
        good, bad = self.harness.connect(), self.harness.connect()
        bad.freeze()
        stopped = self.stop()
        self.harness.flush()
        self.assertClosed(good, 1001)
        self.advance(9.9)
        self.assertEqual((bad.isClosed, stopped), (False, []))
        self.advance(0.2)
        self.assertEqual((bad.isClosed, stopped), (True, [None]))
        self.assertEqual([code for code, _ in self.app.named("disconnect")], [1001, 1006])

    def test_hookHangs(self) -> None:
        """A hook that never ends is cancelled at the deadline, and its `onDisconnect` runs."""
        self.app.onMessage = lambda connection, message: Deferred()  # type: ignore[method-assign]
        client = self.harness.connect()
        client.send("x")
        stopped = self.stop()
        self.advance(12)
        self.assertEqual(stopped, [None])
        self.assertEqual(len(self.app.named("disconnect")), 1)

    def test_disconnectHangs(self) -> None:
        """An `onDisconnect` that never ends does not keep the server from stopping."""
        self.app.onDisconnect = lambda *args: Deferred()  # type: ignore[method-assign]
        self.harness.connect()
        stopped = self.stop()
        self.advance(12)
        self.assertEqual(stopped, [None])

    def test_handshakePending(self) -> None:
        """A client whose `verifyClient` is running gets 503."""
        self.app.verifyClient = lambda handshake: Deferred()
        client = self.harness.connect()
        stopped = self.stop()
        self.harness.flush()
        self.assertEqual(self.statusOf(client), 503)
        self.advance(3)
        self.assertEqual(stopped, [None])

    def test_headPending(self) -> None:
        """A client with an incomplete request gets 503, too."""
        client = self.harness.raw(b"GET / HTTP/1.1\r\n")
        self.stop()
        self.harness.flush()
        assert client.response is not None
        self.assertEqual((client.response.status, client.isClosed), (503, True))

    def test_pagePending(self) -> None:
        """A page that never finishes does not keep the server from stopping."""
        self.server.addPage("/page", Endless())
        client = self.harness.raw(b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertFalse(client.isClosed)
        self.stop()
        self.harness.flush()
        self.assertTrue(client.isClosed)

    def test_shutdownCode(self) -> None:
        """An application may have its own close code for the shutdown."""
        self.app.shutdownCode = 4100
        client = self.harness.connect()
        self.stop()
        self.harness.flush()
        self.assertClosed(client, 4100)

    def test_batches(self) -> None:
        """Thousands of connections are closed in batches."""
        clients = [self.harness.connect() for _ in range(CLOSE_BATCH + 3)]
        self.stop()
        self.harness.flush()
        self.assertEqual(sum(client.isClosed for client in clients), CLOSE_BATCH)
        self.advance(0.1)
        self.assertTrue(all(client.closeCode == 1001 for client in clients))

    def test_batchEnds(self) -> None:
        """A connection that closed meanwhile keeps its own code."""
        client = self.harness.connect()
        client.freeze()
        self.app.connection.close(4000)
        self.stop()
        self.harness.flush()
        self.assertEqual(client.closeCode, 4000)

    def test_twice(self) -> None:
        """A second `stopService` waits for the first."""
        client = self.harness.connect()
        client.freeze()
        first, second = self.stop(), self.stop()
        self.harness.flush()
        self.assertEqual((first, second), ([], []))
        client.unfreeze()
        client.drop()
        self.advance(2)
        self.assertEqual((first, second), ([None], [None]))

    def test_now(self) -> None:
        """`stopNow`, like a second signal, skips all waits."""
        client = self.harness.connect()
        client.freeze()
        self.server.onShutdown(Deferred)
        stopped = self.stop()
        self.server.stopNow()
        self.harness.flush()
        self.assertEqual((client.isClosed, stopped), (True, [None]))
        self.assertEqual(len(self.app.named("disconnect")), 1)

    def test_notice(self) -> None:
        """If a step takes long, the log says once which one, and how to end it."""
        with capturedLogs() as events:
            self.app.onDisconnect = lambda *args: Deferred()  # type: ignore[method-assign]
            self.harness.connect().drop()
            self.server.onShutdown(self.slow)
            self.stop()
            self.advance(NOTICE - 0.1)
            self.assertEqual(self.notices(events), [])
            self.advance(0.1)
            name = "onShutdown callback ShutdownTests.slow"
            said = f"stopping: waiting for the {name}, 9 s at most; Server.stopNow() skips the wait"
            self.assertEqual(self.notices(events), [said])
            self.advance(20)
            self.assertEqual(self.notices(events), [said])

    def slow(self) -> Deferred[None]:
        """A callback that takes long."""
        return Deferred()

    def notices(self, events: Sequence[LogEvent]) -> list[str]:
        """Return the log lines about waiting."""
        said = [formatEvent(event) for event in events]
        return [text for text in said if text.startswith("stopping: ")]

    def test_noticeOfHooks(self) -> None:
        """For a hook that never ends, the log gives the number of connections and hooks."""
        self.app.onDisconnect = lambda *args: Deferred()  # type: ignore[method-assign]
        self.harness.connect().drop()
        self.server.setStopHint("a second signal ends it")
        with capturedLogs() as events:
            self.stop()
            self.advance(NOTICE)
        what = "connections (0 open, 1 with a running hook)"
        said = f"stopping: waiting for {what}, 9 s at most; a second signal ends it"
        self.assertEqual(self.notices(events), [said])
        self.advance(20)

    def test_noNotice(self) -> None:
        """Nothing is logged about quick steps."""
        self.harness.connect()
        with capturedLogs() as events:
            self.stop()
            self.advance(20)
        self.assertEqual(self.notices(events), [])

    def test_nowFirst(self) -> None:
        """`stopNow` before a shutdown applies to that one only."""
        client = self.harness.connect()
        client.freeze()
        self.server.stopNow()
        stopped = self.stop()
        self.harness.flush()
        self.assertEqual((client.isClosed, stopped), (True, [None]))
        self.harness.start()
        client = self.harness.connect()
        client.freeze()
        stopped = self.stop()
        self.advance(5)
        self.assertEqual(stopped, [])

    def test_noTime(self) -> None:
        """`shutdownTimeout=0` stops at once."""
        harness = self.serve(Recorder(), shutdownTimeout=0)
        client = harness.connect()
        client.freeze()
        stopped = fired(harness.server.stopService())
        harness.flush()
        self.assertEqual((client.isClosed, stopped), (True, [None]))

    def test_restart(self) -> None:
        """A stopped server starts again, with its callbacks."""
        calls: list[int] = []
        self.server.onShutdown(lambda: calls.append(1))
        for count in (1, 2):
            client = self.harness.connect()
            self.assertTrue(client.isOpen)
            self.assertEqual(self.health(), 200)
            self.harness.stop()
            self.assertEqual((client.closeCode, len(calls)), (1001, count))
            self.assertTrue(self.server.isDraining)
            self.harness.start()
            self.assertFalse(self.server.isDraining)

    def test_restartDuringStop(self) -> None:
        """A start during a shutdown happens at its end."""
        client = self.harness.connect()
        self.server.onShutdown(lambda: deferLater(self.harness.clock, 1, lambda: None))
        stopped = self.server.stopService()
        self.server.startService()
        self.assertTrue(self.server.isDraining)
        self.advance(5)
        self.successResultOf(stopped)
        self.assertClosed(client, 1001)
        self.assertEqual((self.server.isDraining, self.server.running), (False, 1))
        self.assertTrue(self.harness.connect().isOpen)

    def test_lastWord(self) -> None:
        """Of several starts and stops during a shutdown the last one counts."""
        for starts in (False, True):
            self.server.onShutdown(lambda: deferLater(self.harness.clock, 1, lambda: None))
            self.harness.connect()
            first = fired(self.server.stopService())
            self.server.startService()
            self.server.startService()
            second = fired(self.server.stopService())
            if starts:
                self.server.startService()
            self.advance(5)
            self.assertEqual((first, second), ([None], [None]))
            self.assertEqual((bool(self.server.running), len(self.server.ports)), (starts, int(starts)))
            if not starts:
                self.assertEqual(self.harness.clock.getDelayedCalls(), [])
                self.harness.start()

    def test_noRestart(self) -> None:
        """If the start after a shutdown fails, that is logged."""
        self.harness.connect()
        self.server.onShutdown(lambda: deferLater(self.harness.clock, 1, lambda: None))
        stopped = fired(self.server.stopService())
        self.server.startService()
        self.patch(self.server._listeners, "open", lambda: 1 / 0)
        self.advance(5)
        self.assertEqual(stopped, [None])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stoppedInSite(self) -> None:
        """A stopped server that is still mounted refuses clients until it is started again."""
        site: Any = Site(self.server.resource(), reactor=self.harness.clock)
        self.harness.stop()
        refused = self.harness.connect(to=site)
        self.assertEqual((self.statusOf(refused), self.server.connections), (503, []))
        self.harness.start()
        self.assertTrue(self.harness.connect(to=site).isOpen)

    def test_keptAliveUpgrades(self) -> None:
        """Sockets whose connection had a page of a foreign site before are closed with 1001."""
        self.server.addPage("/page", Data(b"page", "text/plain"))
        site: Any = Site(self.server.resource(), reactor=self.harness.clock)
        for _ in range(CLOSE_BATCH + 3):
            client = self.harness.raw(b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n", to=site)
            client.take()
            client.send(upgradeRequest())
            self.assertTrue(client.take().startswith(b"HTTP/1.1 101 "))
            self.clients.append(client)
        self.stop()
        self.advance(0.2)
        self.assertTrue(all(client.output.startswith(b"\x88\x11\x03\xe9") for client in self.clients))
        self.advance(12)
        self.assertTrue(all(client.isClosed for client in self.clients))

    def test_pages(self) -> None:
        """Page connections are closed, also over TLS; those whose client does not read are dropped."""
        self.server.addPage("/page", Endless())
        pages = [self.harness.raw(b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n", tls=tls) for tls in (False, True)]
        stopped = self.stop()
        self.advance(12)
        self.assertEqual((stopped, [page.isClosed for page in pages]), ([None], [True, True]))

    def test_handshakesBreakFree(self) -> None:
        """Cancelling one handshake may let another succeed; nothing breaks."""
        lock = DeferredLock()

        async def verify(handshake: Handshake) -> bool:
            await lock.acquire()
            try:
                if handshake.path == "/slow":
                    await Deferred()
                return True
            finally:
                lock.release()

        self.app.verifyClient = verify
        slow, fast = (self.harness.raw(upgradeRequest(path)) for path in ("/slow", "/fast"))
        stopped = self.stop()
        self.advance(12)
        self.assertEqual((stopped, slow.isClosed, fast.isClosed), ([None], True, True))
        self.assertTrue(slow.output.startswith(b"HTTP/1.1 503 "))
        self.assertEqual(self.server._gateway.admission.perApplication.total(), 0)
        self.assertEqual(self.flushLoggedErrors(), [])

    def serveLocked(self, **options: Any) -> RoomHarness:
        """Serve lost connections whose handlers wait for each other, and one that stays open."""
        lock = DeferredLock()

        async def handle(connection: Connection, message: str | bytes) -> None:
            await lock.acquire()
            try:
                if message == "slow":
                    await Deferred()
            finally:
                lock.release()

        applications = {"/": Application(onMessage=handle), "/other": Application()}
        harness = self.serve(applications, **options)
        clients = [harness.connect() for _ in range(4)]
        harness.connect("/other")
        for number, client in enumerate(clients):
            client.send("fast" if number else "slow")
            harness.connectionOf(client).terminate()
        harness.flush()
        self.assertEqual(len(harness.server._gateway.context.finishing), 4)
        return harness

    def test_hooksBreakFree(self) -> None:
        """Cancelling one hook may end others that would be cancelled next."""
        harness = self.serveLocked(closeTimeout=0)
        stopped = fired(harness.server.stopService())
        harness.advance(30)
        self.assertEqual((stopped, harness.server.running), ([None], 0))
        self.assertEqual(len(harness.server._gateway.context.finishing), 0)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_hooksBreakFreeBefore(self) -> None:
        """The same may happen while the server runs, when `closeTimeout` has passed."""
        harness = self.serveLocked(closeTimeout=5)
        harness.advance(6)
        self.assertEqual(len(harness.server._gateway.context.finishing), 0)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertTrue(harness.connect().isOpen)

    def test_cancellerRaises(self) -> None:
        """A callback whose Deferred can't be cancelled does not keep the server from stopping."""

        def cancel(waiting: Deferred[None]) -> None:
            raise ZeroDivisionError

        client = self.harness.connect()
        self.server.onShutdown(lambda: Deferred(cancel))
        stopped = self.stop()
        self.advance(12)
        self.assertEqual((stopped, client.isClosed), ([None], True))
        self.assertRaised(ZeroDivisionError)

    def test_hookCannotBeCancelled(self) -> None:
        """The same holds for a hook: its `onDisconnect` runs, and the later steps, too."""
        stopped: list[str] = []

        def refuse(waiting: Deferred[None]) -> None:
            raise ZeroDivisionError

        class Other(Application):
            def stop(self) -> Deferred[None]:
                stopped.append("application")
                return succeed(None)

        class Child(Service):
            def stopService(self) -> None:
                stopped.append("child")

        for hook in ("onConnect", "onMessage", "onDisconnect"):
            app = Recorder(**{hook: lambda *args: Deferred(refuse)})
            harness = self.serve({"/": app, "/other": Other()}, shutdownTimeout=3)
            Child().setServiceParent(harness.server)
            client = harness.connect()
            client.send("x")
            over = fired(harness.server.stopService())
            harness.advance(10)
            self.assertEqual((over, harness.server.running, stopped), ([None], 0, ["application", "child"]))
            if hook != "onDisconnect":
                self.assertEqual(len(app.named("disconnect")), 1)
            stopped.clear()
            self.assertRaised(ZeroDivisionError)

    def test_applicationRaises(self) -> None:
        """If an application can't be stopped, or can't close a connection, others are not affected."""
        calls: list[str] = []

        class Bad(Application):
            def shutDown(self, connection: Connection, hasLeft: bool = False) -> None:
                raise ZeroDivisionError

            def stop(self) -> Deferred[None]:
                raise ZeroDivisionError

        class Good(Application):
            def stop(self) -> Deferred[None]:
                calls.append("stop")
                return succeed(None)

        harness = self.serve({"/bad": Bad(), "/good": Good()})
        clients = [harness.connect(path) for path in ("/bad", "/good", "/bad", "/good")]
        stopped = fired(harness.server.stopService())
        harness.flush()
        self.assertEqual([client.closeCode for client in clients], [1001] * 4)
        self.assertEqual((calls, stopped), (["stop"], [None]))
        self.assertRaised(ZeroDivisionError, 3)

    def test_onceOver(self) -> None:
        """Stopping a stopped server does nothing: no callback runs twice."""
        calls: list[str] = []
        self.server.onShutdown(lambda: calls.append("callback"))
        self.server.onClose = lambda: calls.append("close")
        self.stop()
        self.advance(1)
        self.assertEqual((self.stop(), self.stop()), ([None], [None]))
        self.assertEqual(calls, ["callback", "close"])
        self.harness.start()
        self.stop()
        self.advance(1)
        self.assertEqual(calls, ["callback", "close"] * 2)

    def test_neverRun(self) -> None:
        """Neither does stopping one that never ran; but open listeners are closed."""
        calls: list[str] = []
        reactor = MemoryReactor()
        server = Server(clock=reactor)
        server.onShutdown(lambda: calls.append("callback"))
        server.listen("tcp:8080")
        self.assertEqual((fired(server.stopService()), calls, server.isDraining), ([None], [], False))
        server.privilegedStartService()
        self.assertEqual(len(reactor.ports), 1)
        self.assertEqual((fired(server.stopService()), reactor.ports), ([None], []))

    def test_refusedLinger(self) -> None:
        """The server waits for lingering connections; afterwards no socket and no timer is left."""
        for seconds, isGoing in ((0.5, True), (2.2, False)):
            harness = self.serve(Recorder(verifyClient=lambda handshake: False))
            client = harness.raw()
            client.stall()  # so that it doesn't see that the server has closed
            client.send(upgradeRequest())
            stopped = fired(harness.server.stopService())
            harness.advance(0.4)
            self.assertEqual((stopped, client.isClosed), ([], False))
            if isGoing:
                client.unstall()
                self.assertTrue(client.output.startswith(b"HTTP/1.1 401 "))
            harness.advance(seconds)
            self.assertEqual(stopped, [None])
            self.assertEqual(harness.clock.getDelayedCalls(), [])
            self.assertEqual(list(harness.clock.readers), [])

    def test_drainDelay(self) -> None:
        """During `drainDelay` the server listens and refuses, so that load balancers notice in time."""
        calls: list[str] = []
        harness = self.serve(self.app, drainDelay=5, shutdownTimeout=20)
        self.server, self.harness = harness.server, harness
        self.server.addHealthPage()
        self.server.onShutdown(lambda: calls.append("callback"))
        client = harness.connect()
        stopped = self.stop()
        for _ in range(4):
            self.advance(1.2)
            self.assertEqual((self.health(), self.statusOf(harness.connect())), (503, 503))
            client.send("still here")
        self.assertEqual((calls, client.isOpen, len(harness.clock.ports)), ([], True, 1))
        self.assertEqual(self.app.named("message"), ["still here"] * 4)
        self.advance(0.3)
        self.assertEqual((calls, harness.clock.ports, stopped), (["callback"], [], [None]))
        self.assertClosed(client, 1001)

    def test_drainDelayNow(self) -> None:
        """A second signal skips `drainDelay`."""
        harness = self.serve(Recorder(), drainDelay=5)
        stopped = fired(harness.server.stopService())
        self.assertEqual(stopped, [])
        harness.server.stopNow()
        harness.flush()
        self.assertEqual(stopped, [None])

    def test_drainDelayTooLong(self) -> None:
        """`drainDelay` must be shorter than `shutdownTimeout`."""
        for options in (ServerOptions(drainDelay=10), ServerOptions(drainDelay=1, shutdownTimeout=0)):
            with self.assertRaises(OptionError) as caught:
                Server(options, clock=MemoryReactor())
            self.assertIn("must be less than shutdownTimeout=", str(caught.exception))
        server = Server(clock=MemoryReactor())
        self.assertRaises(OptionError, server.overrideOptions, {"drainDelay": 10})
        server.overrideOptions({"drainDelay": 10, "shutdownTimeout": 11})
        self.assertEqual(server.options.drainDelay, 10)

    def test_leftAlone(self) -> None:
        """Without connections a shutdown takes no time."""
        stopped = self.stop()
        self.harness.flush()
        self.assertEqual(stopped, [None])


class PageTests(HarnessTestCase):
    """Pages beside the sockets."""

    def test_samePath(self) -> None:
        """A page and a socket may have one path, in any order of requests."""
        harness = self.serve(Application(onMessage=echo))
        harness.server.addPage("/", Data(b"page", "text/plain"))
        request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        self.assertTrue(harness.raw(request).output.endswith(b"\r\n\r\npage"))
        client = harness.connect("/")
        client.send("x")
        self.assertEqual(client.received, ["x"])

    def test_oneRequest(self) -> None:
        """A connection serves one request, because only its first head is checked."""
        harness = self.serve(Application(onMessage=echo))
        harness.server.addPage("/", Data(b"page", "text/plain"))
        client = harness.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        self.assertIn(b"\r\nConnection: close\r\n", client.output)
        self.assertEqual(client.output.count(b"\r\n\r\npage"), 1)
        self.assertTrue(client.isClosed)

    def test_head(self) -> None:
        """HEAD gets the headers of GET, and is not logged as an error."""
        harness = self.serve(lambda clock: makeDemo(clock=clock))
        harness.server.addPage("/empty", Data(b"", "text/plain"))

        def answer(method: str, path: str) -> Response:
            response = harness.raw(f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).response
            assert response is not None
            return response

        with capturedLogs() as events:
            for path in ("/", "/demo.js", "/txroom.js", "/healthz", "/empty", "/none"):
                get, head = answer("GET", path), answer("HEAD", path)
                self.assertEqual((head.status, head.body), (get.status, b""))
                self.assertEqual({**head.headers, "date": ""}, {**get.headers, "date": ""})
                self.assertEqual(head.headers["content-length"], str(len(get.body)))
        self.assertEqual([text for text in map(formatEvent, events) if "HEAD request" in text], [])

    def test_oldHTTP(self) -> None:
        """HTTP/1.0 gets pages, because old health checks use it, but for sockets 505."""
        harness = self.serve(Application(onMessage=echo))
        harness.server.addPage("/page", Data(b"page", "text/plain"))
        self.assertTrue(harness.raw(b"GET /page HTTP/1.0\r\n\r\n").output.endswith(b"\r\n\r\npage"))
        for request in (b"GET / HTTP/1.0\r\n\r\n", upgradeRequest().replace(b"HTTP/1.1", b"HTTP/1.0")):
            self.assertIn(b"HTTP/1.1 505 ", harness.raw(request).output)

    def test_absolute(self) -> None:
        """The authority of an absolute target is the Host, whatever the header says (RFC 9112 §3.2.2)."""
        hosts: list[str | None] = []

        def verify(handshake: Handshake) -> bool:
            hosts.append(handshake.host)
            return True

        harness = self.serve(Application(verifyClient=verify))
        harness.server.addPage("/page", Data(b"page", "text/plain"))
        page = harness.raw(b"GET http://a.example/page?x HTTP/1.1\r\nHost: b.example\r\n\r\n")
        self.assertTrue(page.output.endswith(b"\r\n\r\npage"))
        for target in ("http://a.example/x", "http://a.example"):
            client = harness.raw(upgradeRequest(target, host="b.example"))
            self.assertTrue(client.output.startswith(b"HTTP/1.1 101 "))
        self.assertEqual(hosts, ["a.example"] * 2)

    def test_treeAtTheRoot(self) -> None:
        """A resource tree at "/": its root is the child "", and the rest lies below."""
        harness = self.serve(Application())
        tree = Resource()
        tree.putChild(b"", Data(b"index", "text/plain"))
        tree.putChild(b"a", Data(b"leaf", "text/plain"))
        harness.server.addPage("/", tree)
        answers = {b"/": b"200 OK", b"/a": b"200 OK", b"/b": b"404 Not Found"}
        for path, answer in answers.items():
            output = harness.raw(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path).output
            self.assertTrue(output.startswith(b"HTTP/1.1 " + answer), output)

    def test_removePages(self) -> None:
        """Without pages everything else gets 426."""
        harness = self.serve(Application())
        harness.server.addPage("/", Data(b"page", "text/plain"))
        harness.server.removePages()
        response = harness.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").response
        assert response is not None
        self.assertEqual(response.status, 426)
