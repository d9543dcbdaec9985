"""
Tests for pages on the server's own listeners, and their limits.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import Data

from tests.case import HarnessTestCase
from txroom import Application, Room
from txroom.http.pages import MAX_DEPTH
from txroom.testing import RawClient, RoomHarness

KIB = 1024
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


class Mirror(Resource):
    """A page that sends the body of the request back."""

    isLeaf = True

    def render_POST(self, request: Request) -> bytes:
        assert request.content is not None
        body: bytes = request.content.read()
        return body


class Slow(Resource):
    """A page that answers when the test says so."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    def render_GET(self, request: Request) -> int:
        self.requests.append(request)
        return NOT_DONE_YET


class PagesCase(HarnessTestCase):
    """A server with pages and a socket."""

    def start(self, **options: Any) -> RoomHarness:
        self.harness = self.serve(Application(), **{"maxPageBody": 64 * KIB, **options})
        self.slow = Slow()
        server = self.harness.server
        server.addHealthPage()
        server.addPage("/slow", self.slow)
        server.addPage("/mirror", Mirror())
        return self.harness

    def status(self, client: RawClient) -> int | None:
        return None if client.response is None else client.response.status

    def post(
        self, path: str, length: int | None, body: bytes = b"", peer: str = "203.0.113.9", **fields: str
    ) -> RawClient:
        """Send a request with a body of which only a part is sent."""
        said = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        more = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\n{said}\r\n{more}\r\n"
        return self.harness.raw(head.encode() + body, peer=peer)


class BodyTests(PagesCase):
    """The size of a body."""

    def test_huge(self) -> None:
        """A request that announces a body that is too long is refused before the body arrives."""
        self.start()
        for client in (
            self.post("/healthz", 10**11),
            self.post("/healthz", 1025),
            self.post("/mirror", 64 * KIB + 1),
            self.post("/healthz", 10**11, Expect="100-continue"),
        ):
            self.assertEqual(self.status(client), 413)
            client.send(b"x" * 100_000)
            self.harness.advance(2.2)
            self.assertTrue(client.isClosed)
        self.assertEqual(self.harness.server.stats().rejected, {"size": 4})

    def test_fits(self) -> None:
        """A body within the limit is served, in one piece or many, with a length or in chunks."""
        self.start()
        body = b"x" * 64 * KIB
        client = self.post("/mirror", len(body), body[:10])
        for start in range(10, len(body), 1000):
            client.send(body[start : start + 1000])
        self.assertTrue(client.output.endswith(b"\r\n\r\n" + body))
        client = self.post("/mirror", None)
        for start in range(0, len(body), 1024):
            client.send(b"400\r\n" + body[start : start + 1024] + b"\r\n")
        client.send(b"0\r\n\r\n")
        self.assertTrue(client.output.endswith(b"\r\n\r\n" + body))

    def test_chunks(self) -> None:
        """Chunks are counted as they arrive."""
        self.start(maxPageBody=1000)
        client = self.post("/mirror", None, b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        self.assertIsNone(client.response)
        client.send(b"1\r\nx\r\n")
        self.assertEqual(self.status(client), 413)

    def test_noFiles(self) -> None:
        """A limited body is not put into a file, whose descriptor no limit would count."""
        made: list[Any] = []
        server = self.start().server
        server.addPage("/long", Mirror(), maxBody=200_000)
        server.addPage("/any", Mirror(), maxBody=0)

        def make(length: Any) -> BytesIO:
            made.append(length)
            return BytesIO()

        self.patch(http, "_getContentFile", make)
        for path in ("/healthz", "/mirror", "/long", "/any"):
            self.post(path, None, b"1\r\nx\r\n")
        self.post("/mirror", 7)
        self.assertEqual(made, [1024, 64 * KIB, 200_000, None, 7])

    def test_malformed(self) -> None:
        """Malformed chunks and lengths get one refusal."""
        self.start()
        clients = [self.post("/mirror", None, b"zz\r\nx\r\n")]
        for said in (b"Content-Length: " + b"9" * 5000, b"Content-Length: -1", b"Content-Length: 1_0"):
            clients.append(self.harness.raw(b"POST /mirror HTTP/1.1\r\nHost: a\r\n" + said + b"\r\n\r\n"))
        for said in (b"Transfer-Encoding: gzip", b"Transfer-Encoding: identity"):
            clients.append(self.harness.raw(b"POST /mirror HTTP/1.1\r\nHost: a\r\n" + said + b"\r\n\r\n"))
        for client in clients:
            response = client.response
            assert response is not None
            self.assertEqual((response.status, response.body), (400, b"Bad Request"))
            self.assertEqual(client.output.count(b"HTTP/1.1 "), 1)

    def test_raised(self) -> None:
        """A page may have a higher limit, a lower one, or none."""
        server = self.start().server
        server.addPage("/more", Mirror(), maxBody=100 * KIB)
        server.addPage("/less", Mirror(), maxBody=10)
        server.addPage("/any", Mirror(), maxBody=0)
        body = b"x" * 100 * KIB
        for path, length, status in (
            ("/more", 100 * KIB, 200),
            ("/more", 100 * KIB + 1, 413),
            ("/less", 10, 200),
            ("/less", 11, 413),
            ("/any", 100 * KIB, 200),
        ):
            client = self.post(path, length, body[:length])
            self.assertEqual(self.status(client), status, path)
        self.assertIsNone(self.post("/any", 10**11).response)
        server.addPage("/more", Mirror())
        self.assertEqual(self.status(self.post("/more", 100 * KIB)), 413)

    def test_below(self) -> None:
        """The limit of a page applies to everything below it."""
        tree = Resource()
        tree.putChild(b"mirror", Mirror())
        self.start().server.addPage("/tree", tree, maxBody=3)
        self.assertEqual(self.status(self.post("/tree/mirror", 3, b"abc")), 200)
        self.assertEqual(self.status(self.post("/tree/mirror", 4)), 413)

    def test_wrong(self) -> None:
        """The error names a limit that is not a number."""
        server = self.start().server
        for value in (-1, 1.5, "1", True):
            with self.assertRaises(ValueError) as caught:
                server.addPage("/page", Mirror(), maxBody=value)  # type: ignore[arg-type]
            self.assertIn(f"maxBody={value!r}", str(caught.exception))

    def test_ownPages(self) -> None:
        """txroom's own pages read no body, so their limit is small."""
        server = self.start().server
        server.addClientScript()
        for path in ("/healthz", "/txroom.js"):
            self.assertEqual(self.status(self.post(path, 1024, b"x" * 1024)), 405)
            self.assertEqual(self.status(self.post(path, 1025)), 413)

    def test_noSecond(self) -> None:
        """Bytes behind the body are neither a second request nor kept."""
        self.start()
        client = self.harness.raw(HEALTH.replace(b"/healthz", b"/slow") + HEALTH)
        for _ in range(50):
            client.send(b"x" * 10_000)
        visit = next(iter(self.harness.server._gateway.admission.pages))
        self.assertEqual(visit._dataBuffer, [])  # type: ignore[attr-defined]
        self.slow.requests[0].finish()
        self.harness.flush()
        self.assertEqual((client.output.count(b"HTTP/1.1 "), client.isClosed), (1, True))


class DeadlineTests(PagesCase):
    """The duration of a request."""

    def test_body(self) -> None:
        """The body has one deadline, which a byte now and then does not move."""
        self.start(messageTimeout=5)
        client = self.post("/mirror", 100)
        for _ in range(9):
            client.send(b"x")
            self.harness.advance(0.5)
        self.assertFalse(client.isClosed)
        self.harness.advance(0.7)
        self.assertEqual(self.status(client), 408)
        self.assertEqual(self.harness.server.stats().rejected, {"timeout": 1})

    def test_pace(self) -> None:
        """A body that arrives as fast as over a slow link has enough time."""
        self.start(messageTimeout=5)
        client = self.post("/mirror", 64 * KIB)
        for _ in range(16):
            self.harness.advance(1)
            client.send(b"x" * 4 * KIB)
        self.assertEqual(self.status(client), 200)

    def test_off(self) -> None:
        """`messageTimeout=0`: no deadline."""
        self.start(messageTimeout=0)
        client = self.post("/mirror", 100)
        self.harness.advance(3600)
        self.assertFalse(client.isClosed)

    def test_page(self) -> None:
        """The page may take any time if the client reads what there is."""
        self.start()
        client = self.harness.raw(HEALTH.replace(b"/healthz", b"/slow"))
        for _ in range(20):
            self.harness.advance(30)
            self.slow.requests[0].write(b"event\n")
        self.slow.requests[0].finish()
        self.harness.flush()
        self.assertEqual((self.status(client), client.output.count(b"event")), (200, 20))

    def test_stuck(self) -> None:
        """A client that reads nothing of an answer is dropped, before its end and after it."""
        for isComplete in (False, True):
            self.start(closeTimeout=10)
            client = self.harness.raw(HEALTH.replace(b"/healthz", b"/slow"))
            client.stall()
            self.slow.requests[0].write(b"x" * 1000)
            if isComplete:
                self.slow.requests[0].finish()
            self.harness.advance(9.8)
            self.assertFalse(client.isClosed)
            self.harness.advance(10.5)
            self.assertTrue(client.isClosed)
            self.assertEqual(len(self.harness.server._gateway.admission.pages), 0)

    def test_slowReader(self) -> None:
        """A client that reads 4 KiB per second gets the whole answer."""
        self.start(closeTimeout=10)
        client = self.harness.raw(HEALTH.replace(b"/healthz", b"/slow"))
        client.unstall(0)
        self.slow.requests[0].write(b"x" * 200 * KIB)
        self.harness.advance(5)
        client.unstall(100)
        self.harness.advance(6)
        self.slow.requests[0].finish()
        for _ in range(60):
            client.unstall(4 * KIB)
            self.harness.advance(1)
        self.assertTrue(client.isClosed)
        self.assertIn(b"\r\n" + b"x" * 200 * KIB + b"\r\n", client.output)


class LimitTests(PagesCase):
    """The number of page requests at a time."""

    def test_all(self) -> None:
        """Requests that a page is working on are not evicted."""
        self.start(maxPages=3)
        pages = [
            self.harness.raw(HEALTH.replace(b"/healthz", b"/slow"), peer=f"198.51.100.{i}") for i in range(3)
        ]
        late = self.harness.raw(HEALTH)
        assert late.response is not None
        self.assertEqual((late.response.status, late.response.headers["retry-after"]), (503, "5"))
        self.slow.requests[0].finish()
        self.harness.flush()
        self.assertEqual(self.status(self.harness.raw(HEALTH)), 200)
        self.assertEqual([self.status(page) for page in pages], [200, None, None])
        self.assertTrue(self.harness.connect().isOpen)

    def test_address(self) -> None:
        """The limit per address; an IPv6 /64 is one address."""
        self.start(maxPagesPerAddress=2)
        request = HEALTH.replace(b"/healthz", b"/slow")
        for peers in (["203.0.113.9"] * 3, ["2001:db8::1", "2001:db8::2", "2001:db8::3"]):
            clients = [self.harness.raw(request, peer=peer) for peer in peers]
            self.assertEqual([self.status(client) for client in clients], [None, None, 429])
        self.assertEqual(self.status(self.harness.raw(HEALTH, peer="198.51.100.1")), 200)
        self.assertEqual(self.harness.server.stats().rejected, {"limit": 2})

    def test_proxy(self) -> None:
        """Behind a trusted proxy each client is counted by itself."""
        self.start(maxPagesPerAddress=1, trustedProxies=["10.0.0.1"])
        request = HEALTH.replace(b"/healthz", b"/slow")
        told = request.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n")
        clients = [self.harness.raw(request, peer="10.0.0.1") for request in (request, request, told, told)]
        self.assertEqual([self.status(client) for client in clients], [None, None, None, 429])

    def test_answeredYields(self) -> None:
        """An answered request whose client does not read is evicted before one whose body is incomplete."""
        self.start(maxPages=2)
        idle = self.harness.raw(peer="198.51.100.1")
        idle.stall()
        idle.send(HEALTH)
        asking = self.post("/mirror", 10, peer="198.51.100.2")
        self.assertEqual(self.status(self.harness.raw(HEALTH)), 200)
        self.assertEqual((idle.isClosed, self.status(asking)), (True, None))
        asking.send(b"0123456789")
        self.assertEqual(self.status(asking), 200)

    def test_askingYields(self) -> None:
        """Of requests with incomplete bodies, one of the address with the most is evicted."""
        self.start(maxPages=4)
        honest = self.post("/mirror", 10, peer="198.51.100.2")
        greedy = [self.post("/mirror", 10, peer="198.51.100.66") for _ in range(3)]
        self.assertEqual(self.status(self.harness.raw(HEALTH)), 200)
        self.assertEqual([self.status(client) for client in (honest, *greedy)], [None, 503, None, None])

    def test_ownYields(self) -> None:
        """An address at its limit evicts a request of its own."""
        self.start(maxPagesPerAddress=2)
        other = self.post("/mirror", 10, peer="198.51.100.2")
        first, second = (self.post("/mirror", 10) for _ in range(2))
        self.assertEqual(self.status(self.harness.raw(HEALTH)), 200)
        self.assertEqual([self.status(client) for client in (other, first, second)], [None, 503, None])

    def test_forgotten(self) -> None:
        """However a request ends, it is no longer counted."""
        self.start(maxPages=2, maxPagesPerAddress=2)
        for _ in range(5):
            self.harness.raw(HEALTH)
            self.post("/mirror", 10).drop()
            self.post("/mirror", None, b"zz\r\n").drop()
            self.harness.raw(HEALTH.replace(b"/healthz", b"/slow")).drop()
        self.assertEqual(len(self.harness.server._gateway.admission.pages), 0)
        self.assertEqual(self.status(self.harness.raw(HEALTH)), 200)

    def test_gone(self) -> None:
        """A page is told that its client has left."""
        self.start()
        client = self.harness.raw(HEALTH.replace(b"/healthz", b"/slow"))
        gone: Deferred[None] = self.slow.requests[0].notifyFinish()
        client.drop()
        self.failureResultOf(gone)


class LookUpTests(PagesCase):
    """Which page serves a path."""

    def test_deep(self) -> None:
        """A path that is too deep below a page is not found."""
        tree = Resource()
        self.start().server.addPage("/tree", tree)
        node = tree
        for _ in range(MAX_DEPTH - 1):
            child = Resource()
            node.putChild(b"a", child)
            node = child
        node.putChild(b"a", Data(b"found", "text/plain"))
        for depth, status in ((MAX_DEPTH, 200), (MAX_DEPTH + 1, 426)):
            path = b"/tree" + b"/a" * depth
            self.assertEqual(self.status(self.harness.raw(HEALTH.replace(b"/healthz", path))), status)

    def test_none(self) -> None:
        """Without a page it is 404, or 426 with a sentence where a socket is."""
        harness = self.serve({"/echo": Application()})
        harness.server.addHealthPage()
        for path, status in (("/", 404), ("/echo/x", 404), ("/healthz/x", 404), ("/echo", 426)):
            for method in ("GET", "POST"):
                request = f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
                response = harness.raw(request).response
                assert response is not None
                self.assertEqual(response.status, status, path)
        assert response is not None
        sentence = b"A WebSocket is served at this path: connect with a WebSocket client.\n"
        self.assertEqual((response.body, response.headers["upgrade"]), (sentence, "websocket"))
        self.assertEqual(harness.server.stats().rejected, {})

    def test_rooms(self) -> None:
        """At the path of rooms the sentence says so."""
        harness = self.serve({"chat": Room})
        for path in ("/rooms", "/rooms/chat"):
            response = harness.raw(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).response
            assert response is not None
            self.assertEqual(response.status, 426)
            self.assertTrue(response.body.startswith(b"Rooms are served at this path"))
