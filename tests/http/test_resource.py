"""
Tests for upgrades that come through twisted.web.
"""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.protocols.policies import TimeoutFactory, WrappingFactory
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import Data

from tests.case import TEXT, HarnessTestCase, Recorder, closeFrame, echo
from txroom import Application, Connection, SendStatus, UpgradeError
from txroom.http.pages import findPage
from txroom.testing import RawClient, Response, RoomHarness, clientFrame, upgradeRequest
from txroom.wire.sendbuffer import BufferedOutgoing

GET = b"GET %s HTTP/1.1\r\nHost: localhost:8080\r\n\r\n"


class SiteCase(HarnessTestCase):
    """A server under a `Site` of the user's."""

    def start(
        self, application: Application | None = None, mount: bytes | None = None, **options: Any
    ) -> None:
        self.app = Recorder(onMessage=echo) if application is None else application
        self.harness: RoomHarness = self.serve(self.app, **options)
        root = self.harness.server.resource()
        if mount is not None:
            parent = Resource()
            parent.putChild(mount, root)
            parent.putChild(b"page", Data(b"foreign page", "text/plain"))
            root = parent
        self.site: Any = Site(root, reactor=self.harness.clock)

    def raw(self, data: bytes, **more: Any) -> RawClient:
        return self.harness.raw(data, to=self.site, **more)

    def response(self, data: bytes, **more: Any) -> Response:
        response = self.raw(data, **more).response
        assert response is not None
        return response


class UpgradeTests(SiteCase):
    """Sockets under a foreign `Site`."""

    def test_echo(self) -> None:
        """The handshake, messages and the close work."""
        self.start()
        client = self.harness.connect("/a?b", to=self.site)
        for message in ("x", b"y" * 100_000):
            client.send(message)
        self.assertEqual(client.received, ["x", b"y" * 100_000])
        self.assertEqual(self.harness.connectionOf(client).handshake.target, "/a?b")
        client.close(4000, "bye")
        self.assertClosed(client, 4000)

    def test_content(self) -> None:
        """The body of the request, which may be a file, is closed although the request is never finished."""
        self.start()
        contents: list[Any] = []

        class NotingRequest(Request):
            def gotLength(self, length: int | None) -> None:
                super().gotLength(length)
                contents.append(self.content)

        self.site.requestFactory = NotingRequest
        client = self.harness.connect(to=self.site)
        self.assertTrue(client.isOpen)
        self.assertEqual([content.closed for content in contents], [True])

    def test_mounted(self) -> None:
        """Below another resource, the path is that of the whole request."""
        app = Application(onMessage=echo)
        self.start(app, mount=b"ws")
        client = self.harness.connect("/ws/rooms/1", to=self.site)
        self.assertEqual(self.harness.connectionOf(client).handshake.path, "/ws/rooms/1")
        self.assertEqual(self.response(GET % b"/page").body, b"foreign page")

    def test_earlyFrames(self) -> None:
        """Frames in the segment of the request come first, those after it follow."""
        self.start()
        client = self.raw(upgradeRequest() + clientFrame(TEXT, "a") + clientFrame(TEXT, "b")[:3])
        client.send(clientFrame(TEXT, "b")[3:] + clientFrame(TEXT, "c"))
        self.assertTrue(client.output.endswith(b"\x81\x01a\x81\x01b\x81\x01c"))

    def test_manyEarly(self) -> None:
        """More early frames than the channel reads ahead: reading goes on afterwards."""
        self.start()
        client = self.raw(upgradeRequest() + clientFrame(TEXT, "x" * 200) * 300)
        self.assertEqual(client.output.count(b"x" * 200), 300)
        client.send(clientFrame(TEXT, "later"))
        self.assertTrue(client.output.endswith(b"later"))

    def test_earlyPending(self) -> None:
        """Early frames are held while a hook runs."""
        waiting: Deferred[bool] = Deferred()
        self.start(Application(onMessage=echo, verifyClient=lambda handshake: waiting))
        client = self.raw(upgradeRequest() + clientFrame(TEXT, "a\r\n\r\n", mask=b"\0" * 4))
        client.send(clientFrame(TEXT, "b"))
        self.assertEqual(client.output, b"")
        waiting.callback(True)
        self.harness.flush()
        self.assertTrue(client.output.endswith(b"\x81\x05a\r\n\r\n\x81\x01b"))

    def test_pipelined(self) -> None:
        """The site does not answer a second request behind the upgrade."""
        self.start(mount=b"")
        client = self.raw(upgradeRequest("/") + GET % b"/page")
        self.assertNotIn(b"foreign", client.output)
        self.assertEqual(client.output.count(b"HTTP/1.1"), 1)
        self.assertTrue(client.isClosed)

    def test_afterPage(self) -> None:
        """A connection that has served a page may be upgraded, also in the same segment."""
        self.start(mount=b"ws")
        client = self.raw(GET % b"/page" + upgradeRequest("/ws/") + clientFrame(TEXT, "x"))
        self.assertEqual(client.output.count(b"HTTP/1.1 "), 2)
        self.assertTrue(client.output.endswith(b"\x81\x01x"))

    def test_tls(self) -> None:
        """It works over TLS."""
        self.start()
        client = self.harness.connect(to=self.site, tls=True)
        client.send("x" * 100_000)
        self.assertEqual(client.received, ["x" * 100_000])
        self.assertTrue(self.harness.connectionOf(client).handshake.secure)
        client.close()
        self.assertClosed(client, 1000)

    def test_wrapped(self) -> None:
        """It works behind a `WrappingFactory`: messages, backpressure, the close."""
        self.start()
        client = self.harness.connect(to=WrappingFactory(self.site))
        connection = self.harness.connectionOf(client)
        client.send("x")
        self.assertEqual(client.received, ["x"])
        self.assertIsInstance(connection._wire.out, BufferedOutgoing)  # type: ignore[attr-defined]
        client.stall()
        self.assertEqual(connection.send(b"y" * 200_000), SendStatus.BACKPRESSURE)
        client.unstall()
        self.assertEqual(client.received[1:], [b"y" * 200_000])
        client.close()
        self.assertClosed(client, 1000)

    def test_timeouts(self) -> None:
        """The site's request timeout does not apply to the socket."""
        self.start(pingInterval=0)
        self.site.timeOut = 10
        client = self.harness.connect(to=self.site)
        self.harness.advance(3600)
        self.assertTrue(client.isOpen)

    def test_foreignTimeouts(self) -> None:
        """A policy of the site that ends silent connections is seen as a lost connection."""
        self.start(Recorder(), pingInterval=0)
        policy: Any = TimeoutFactory(self.site, timeoutPeriod=30)
        policy.callLater = self.harness.clock.callLater
        client = self.harness.connect(to=policy)
        self.harness.advance(31)
        self.assertClosed(client, 1006)
        assert isinstance(self.app, Recorder)
        self.assertEqual(self.app.named("disconnect"), [(1006, "")])

    def test_backpressure(self) -> None:
        """The channel's producer is replaced by txroom's."""
        self.start(Recorder(), highWaterMark=1000)
        client = self.harness.connect(to=self.site)
        connection = self.harness.connectionOf(client)
        client.stall()
        self.assertEqual(connection.send(b"x" * 5000), SendStatus.BACKPRESSURE)
        client.unstall()
        assert isinstance(self.app, Recorder)
        self.assertEqual(len(self.app.named("drain")), 1)

    def test_drop(self) -> None:
        """A connection that is lost while a hook runs is noticed, and is not opened later."""
        waiting: Deferred[bool] = Deferred()
        app = Recorder(verifyClient=lambda handshake: waiting)
        self.start(app)
        client = self.raw(upgradeRequest())
        client.drop()
        self.assertEqual(self.harness.server.stats().rejected, {"left": 1})
        self.assertEqual(app.events, [])

    def test_shutdown(self) -> None:
        """The server's shutdown closes its sockets under the site, too."""
        self.start()
        client = self.harness.connect(to=self.site)
        self.harness.stop()
        self.assertClosed(client, 1001)

    def test_earlyClose(self) -> None:
        """A Close frame in the segment of the request works."""
        self.start()
        client = self.raw(upgradeRequest() + closeFrame(4000))
        self.assertTrue(client.output.endswith(b"\x88\x02\x0f\xa0"))
        self.assertTrue(client.isClosed)


class RefusalTests(SiteCase):
    """Requests that are not upgraded."""

    def test_statuses(self) -> None:
        """The answers are the same as on the server's own listeners."""
        self.start(Recorder(verifyClient=lambda handshake: handshake.path != "/no"))
        for request, status in (
            (upgradeRequest("/no"), 401),
            (upgradeRequest(headers={"Origin": "https://evil.example"}), 403),
            (upgradeRequest(headers={"Sec-WebSocket-Version": "8"}), 426),
            (upgradeRequest(headers={"Sec-WebSocket-Key": "x"}), 400),
            (upgradeRequest(method="POST"), 405),
            (upgradeRequest(headers={"Content-Length": "5"}) + b"hello", 400),
            (upgradeRequest(headers=[("Origin", "http://localhost:8080")] * 2), 400),
            (upgradeRequest(headers=[("Host", "localhost:8080")] * 2), 400),
            (upgradeRequest().replace(b"HTTP/1.1", b"HTTP/1.0"), 505),
        ):
            client = self.raw(request)
            assert client.response is not None, request
            self.assertEqual(client.response.status, status, request)
            self.assertEqual(client.output.count(b"HTTP/1."), 1)
            client.finish()
            self.assertTrue(client.isClosed)

    def test_plain(self) -> None:
        """A plain request gets 426 with a sentence, and does not count as a failed upgrade."""
        self.start()
        for to in (self.site, None):
            response = self.harness.raw(GET % b"/", to=to).response
            assert response is not None
            fields = (response.status, response.headers["upgrade"], response.headers["connection"])
            self.assertEqual(fields, (426, "websocket", "close, upgrade"))
            self.assertTrue(response.body.startswith(b"A WebSocket is served at this path"), response.body)
        self.assertEqual(self.harness.server.stats().rejected, {})

    def test_strangeHosts(self) -> None:
        """A Site accepts any Host and Origin; invalid ones are refused, and nothing is logged as an error."""
        self.start()
        self.harness.server.addApplication(Application(), host="a.example:80", path="/named")
        for path in ("/", "/named"):
            for host, origin, status in (
                ("a:" + "9" * 5000, "http://a:" + "9" * 5000, 400),
                ("a:\xb2", "http://a", 400),
                ("[::1", "http://[::1", 400),
                ("", "http://a", 400),
                ("localhost", "http://a:" + "9" * 5000, 403),
                ("localhost", "http://[::1", 403),
                ("localhost", "http://a:\xb2", 403),
            ):
                fields = {"Host": host, "Origin": origin}
                client = self.raw(upgradeRequest(path, headers=fields))
                assert client.response is not None, (host[:20], client.output)
                self.assertEqual(client.response.status, status, (host[:20], origin[:20]))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_old(self) -> None:
        """A refusal before the upgrade begins is reported and counted."""
        self.start()
        self.response(upgradeRequest().replace(b"HTTP/1.1", b"HTTP/1.0"))
        self.assertEqual(self.harness.server.stats().rejected, {"version": 1})

    def test_http2(self) -> None:
        """HTTP/2 gets 426, because it has no connection to take over."""
        self.start()
        caught: list[Any] = []
        written: list[bytes] = []

        class Trying(Resource):
            isLeaf = True

            def render(inner, request: Request) -> Any:
                real: Any = request.channel
                stream: Any = SimpleNamespace()
                request.channel = stream
                self.patch(request, "write", written.append)
                self.patch(request, "finish", lambda: None)
                self.harness.server.handleUpgrade(request).addErrback(caught.append)
                request.channel = real
                return NOT_DONE_YET

        client = self.harness.raw(upgradeRequest(), to=Site(Trying(), reactor=self.harness.clock))
        error = caught[0].value
        self.assertEqual((error.status, error.reason, written), (426, "http2", [b"Upgrade Required"]))
        client.drop()


class Leaf(Data):
    """A page without children."""

    isLeaf = True


class PageTests(SiteCase):
    """Pages of the server under a foreign site."""

    def start(
        self, application: Application | None = None, mount: bytes | None = None, **options: Any
    ) -> None:
        super().start(application, mount, **options)
        server = self.harness.server
        server.addPage("/", Leaf(b"root", "text/plain"))
        server.addPage("/leaf", Leaf(b"leaf", "text/plain"))
        tree = Resource()
        tree.putChild(b"child", Data(b"child", "text/plain"))
        server.addPage("/tree", tree)

    def test_found(self) -> None:
        """A leaf is found at its path, a tree with everything below it."""
        self.start()
        for path, body in ((b"/", b"root"), (b"/leaf", b"leaf"), (b"/tree/child", b"child")):
            for to in (self.site, None):
                response = self.harness.raw(GET % path, to=to).response
                assert response is not None
                self.assertEqual((response.status, response.body), (200, body))

    def test_notFound(self) -> None:
        """Nothing is found below a leaf; below a tree, only what exists."""
        self.start()
        self.assertEqual(self.response(GET % b"/tree/other").status, 404)
        self.assertEqual(self.response(GET % b"/leaf/x").status, 426)
        self.assertEqual(self.response(GET % b"/leaf?x").body, b"leaf")

    def test_findPage(self) -> None:
        """The nearest page above that is not a leaf serves the path."""
        leaf, tree, inner = Leaf(b"", "text/plain"), Resource(), Resource()
        pages: dict[str, Any] = {"/a": leaf, "/b": tree, "/b/c/d": inner}
        self.assertEqual(findPage(pages, "/a"), (leaf, []))
        self.assertIsNone(findPage(pages, "/a/b"))
        self.assertEqual(findPage(pages, "/b"), (tree, []))
        self.assertEqual(findPage(pages, "/b/x/y"), (tree, ["x", "y"]))
        self.assertEqual(findPage(pages, "/b/c/d/e"), (inner, ["e"]))
        self.assertIsNone(findPage(pages, "/"))

    def test_serverHeader(self) -> None:
        """The server's own listeners send no Server header; a foreign site decides itself."""
        self.start()
        own = self.harness.raw(GET % b"/").response
        assert own is not None
        self.assertNotIn("server", own.headers)
        self.assertIn("server", self.response(GET % b"/").headers)


class ByHandTests(SiteCase):
    """`handleUpgrade` and `shouldHandle`, as in ws."""

    def serveByHand(self, *args: Any, application: Application | None = None) -> list[Any]:
        """Serve a resource that upgrades requests by hand; return the list for the outcomes."""
        outcomes: list[Any] = []
        self.start(*args)
        server = self.harness.server

        class Upgrading(Resource):
            isLeaf = True

            def render(self, request: Request) -> Any:
                if application is None and not server.shouldHandle(request):
                    return b"page"
                server.handleUpgrade(request, application).addBoth(outcomes.append)
                return NOT_DONE_YET

        self.site = Site(Upgrading(), reactor=self.harness.clock)
        return outcomes

    def test_upgrade(self) -> None:
        """The Deferred fires with the Connection."""
        outcomes = self.serveByHand()
        client = self.harness.connect(to=self.site)
        self.assertEqual(outcomes, [self.harness.connectionOf(client)])

    def test_beforeConnect(self) -> None:
        """It fires before `onConnect`, whether hooks were asynchronous or not."""
        waiting: Deferred[bool] = Deferred()
        for verified in (waiting, True):
            seen: list[int] = []
            app = Application(
                verifyClient=lambda handshake: verified,  # noqa: B023
                onConnect=lambda connection: seen.append(len(outcomes)),  # noqa: B023
            )
            outcomes: list[Any] = self.serveByHand(app)
            self.harness.connect(to=self.site)
            if verified is waiting:
                waiting.callback(True)
                self.harness.flush()
            self.assertEqual(seen, [1])

    def test_replaced(self) -> None:
        """So hooks can be set on the connection, and no early frame is missed."""
        messages: list[str | bytes] = []
        events: list[str] = []
        self.start()
        server = self.harness.server

        class Upgrading(Resource):
            isLeaf = True

            def render(self, request: Request) -> Any:
                server.handleUpgrade(request).addCallback(prepare)
                return NOT_DONE_YET

        def prepare(connection: Connection) -> None:
            connection.onConnect = lambda connection: events.append("connect")
            connection.onMessage = lambda connection, message: messages.append(message)

        site: Any = Site(Upgrading(), reactor=self.harness.clock)
        client = self.harness.raw(to=site)
        client.send(upgradeRequest() + clientFrame(TEXT, "a") + clientFrame(TEXT, "b")[:3])
        client.send(clientFrame(TEXT, "b")[3:] + clientFrame(TEXT, "c"))
        self.assertEqual((events, messages), (["connect"], ["a", "b", "c"]))

    def test_goneBeforeConnect(self) -> None:
        """If the client is lost before the first hook, no hook runs and nothing is left."""
        app = Recorder()
        outcomes = self.serveByHand(app)
        self.patch(self.harness.server, "onConnection", lambda connection: app.events.append(("server",)))
        client = self.raw(b"")
        clock = self.harness.clock
        client.protocol.transport.write(upgradeRequest())
        for _ in range(10):
            if outcomes:
                break
            clock.turn()
        self.assertEqual((len(outcomes), app.events), (1, []))
        outcomes[0].terminate()
        self.harness.flush()
        self.assertEqual((app.events, self.harness.server.connections), ([], []))
        self.assertEqual(self.harness.server._gateway.admission.perApplication.total(), 0)

    def test_closeAtOnce(self) -> None:
        """
        The caller may close the connection at once, also with debug on: no hook runs, nothing is raised.
        """
        app = Recorder()
        self.start(app)
        server = self.harness.server
        server.setDebug(True)

        class Closing(Resource):
            isLeaf = True

            def render(self, request: Request) -> Any:
                server.handleUpgrade(request).addCallback(lambda connection: connection.close(1008))
                return NOT_DONE_YET

        client = self.harness.raw(upgradeRequest(), to=Site(Closing(), reactor=self.harness.clock))
        self.assertTrue(client.output.endswith(b"\x88\x02\x03\xf0"))
        client.send(closeFrame(1008))
        self.assertEqual((app.events, client.isClosed), ([], True))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_page(self) -> None:
        """Other requests are left to the resource."""
        self.serveByHand()
        self.assertEqual(self.response(GET % b"/").body, b"page")
        self.harness.server._routes.clear()
        self.assertEqual(self.response(upgradeRequest()).body, b"page")

    def test_application(self) -> None:
        """The application need not be registered."""
        app = Application(onMessage=echo)
        outcomes = self.serveByHand(application=app)
        client = self.harness.connect("/anywhere", to=self.site)
        client.send("x")
        self.assertEqual(client.received, ["x"])
        self.assertEqual(app.connections, outcomes)

    def test_refused(self) -> None:
        """The Deferred fails with `UpgradeError`, after the client was answered."""
        outcomes = self.serveByHand(Recorder(verifyClient=lambda handshake: False))
        self.assertEqual(self.response(upgradeRequest()).status, 401)
        error = outcomes[0].value
        self.assertIsInstance(error, UpgradeError)
        self.assertEqual(error.status, 401)

    def test_noUpgrade(self) -> None:
        """A plain request gets 426, and the Deferred fails."""
        outcomes = self.serveByHand(application=Application())
        self.assertEqual(self.response(GET % b"/").status, 426)
        self.assertEqual((outcomes[0].value.status, outcomes[0].value.reason), (426, "noUpgrade"))

    def test_left(self) -> None:
        """If the client leaves, the Deferred fails with status 0."""
        waiting: Deferred[bool] = Deferred()
        outcomes = self.serveByHand(Recorder(verifyClient=lambda handshake: waiting))
        self.raw(upgradeRequest()).drop()
        self.assertEqual((outcomes[0].value.status, outcomes[0].value.reason), (0, "left"))


class UnheardTests(HarnessTestCase):
    """An outcome without callbacks."""

    def test_noNoise(self) -> None:
        """A resource may ignore the Deferred; a refusal is then not logged as an error."""
        waiting: Deferred[bool] = Deferred()
        for verified in (False, waiting):
            harness = self.serve(Application(verifyClient=lambda handshake: verified))  # noqa: B023

            class Careless(Resource):
                isLeaf = True

                def render(self, request: Request) -> Any:
                    harness.server.handleUpgrade(request)  # noqa: B023
                    return NOT_DONE_YET

            client = harness.raw(upgradeRequest(), to=Site(Careless(), reactor=harness.clock))
            if verified is waiting:
                waiting.callback(False)
                harness.flush()
            assert client.response is not None
            self.assertEqual(client.response.status, 401)
            gc.collect()
            self.assertEqual(self.flushLoggedErrors(), [])
