"""
Every place where a server can be mounted, over real sockets.

Each place is tested the same way: messages in both directions, frames in the segment of the request,
backpressure with a client that stops reading, a refusal, and a client that leaves.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from klein import Klein
from OpenSSL import SSL
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionLost
from twisted.internet.ssl import CertificateOptions
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.static import Data
from twisted.web.wsgi import WSGIResource

from tests.functional.support import (
    CLOSE,
    PING,
    PONG,
    SOON,
    TEXT,
    Echo,
    Frame,
    Net,
    Probe,
    close,
    frame,
    get,
    head,
    reactor,
    sleep,
    text,
    until,
)
from txroom import Connection, Handshake, SendStatus, Server, ServerOptions, UpgradeError

TCP = "tcp:0:interface=127.0.0.1"
PROXY = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n"


@attrs.define
class Place:
    """A mounted server and how to reach it."""

    server: Server
    application: Echo
    #: The port that it listens on.
    address: Any
    target: str = "/ws"
    tls: Any = None
    #: The bytes that must be sent before the request.
    before: bytes = b""

    async def ask(self, net: Net, *parts: bytes) -> Probe:
        """A client that has sent something."""
        probe = await net.connect(self.address, tls=self.tls)
        probe.send(self.before, *parts)
        return probe

    async def open(self, net: Net, *early: bytes) -> Probe:
        """An upgraded client; `early` is sent in the segment of its request."""
        before = len(self.application.met)
        probe = await self.ask(net, head(self.target), *early)
        await probe.upgraded()
        await until(lambda: len(self.application.met) > before)
        return probe


def application() -> Echo:
    """An echo that refuses clients that ask for it."""
    return Echo(closeTimeout=0.5, verifyClient=lambda handshake: "x-refuse" not in handshake.headers)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The files of a self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "txroom.localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("certificate")
    paths = directory / "cert.pem", directory / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


# -- the places


@pytest.fixture
def places(net: Net, tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[Any]:
    """A function that mounts a server at the place of that name."""
    endings: list[Callable[[], Any]] = []

    async def listening(description: str, **more: Any) -> Place:
        app = application()
        server = Server()
        server.addApplication(app, path="/ws")
        await net.start(server, description)
        return Place(server, app, server.address(), **more)

    async def own() -> Place:
        return await listening(TCP)

    async def unix() -> Place:
        return await listening(f"unix:{tmp_path / 'ws'}")

    async def tls() -> Place:
        cert, key = certificate
        description = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={cert}"
        return await listening(description, tls=CertificateOptions(verify=False))

    async def haproxy() -> Place:
        return await listening("haproxy:tcp:0:interface=127.0.0.1", before=PROXY)

    async def haproxyUnix() -> Place:
        return await listening(f"haproxy:unix:{tmp_path / 'proxied'}", before=PROXY)

    async def foreign(
        make: Callable[[Server], IResource], description: str = "tcp:0:interface=127.0.0.1"
    ) -> Place:
        """Under a Site that is not txroom's."""
        app = application()
        server = Server()
        server.addApplication(app, path="/ws")
        net.servers.append(server)
        server.startService()
        port = await serverFromString(reactor(), description).listen(Site(make(server)))
        endings.append(port.stopListening)
        return Place(server, app, port.getHost())

    async def site() -> Place:
        return await foreign(underSite)

    async def siteTLS() -> Place:
        cert, key = certificate
        place = await foreign(underSite, f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={cert}")
        place.tls = CertificateOptions(verify=False)
        return place

    async def siteUnix() -> Place:
        return await foreign(underSite, f"unix:{tmp_path / 'site'}")

    async def siteHaproxy() -> Place:
        place = await foreign(underSite, "haproxy:tcp:0:interface=127.0.0.1")
        place.before = PROXY
        return place

    async def klein() -> Place:
        return await foreign(underKlein)

    async def wsgi() -> Place:
        pool = ThreadPool(0, 2)
        pool.start()
        endings.append(pool.stop)
        return await foreign(lambda server: BesideWSGI(server, pool))

    async def byHand() -> Place:
        return await foreign(lambda server: ByHand(server, 0))

    async def byHandLater() -> Place:
        return await foreign(lambda server: ByHand(server, 0.05))

    async def samePath() -> Place:
        place = await own()
        place.server.addPage("/ws", Data(b"the page", "text/plain"))
        return place

    everywhere = dict(locals())

    async def mount(name: str) -> Place:
        place: Place = await everywhere[name]()
        return place

    yield mount
    for ending in endings:
        ending()


def underSite(server: Server) -> IResource:
    root = Resource()
    root.putChild(b"", Data(b"the root", "text/plain"))
    root.putChild(b"ws", server.resource())
    root.putChild(b"autobahn", server.resource())
    return root


def underKlein(server: Server) -> IResource:
    app = Klein()

    @app.route("/")
    def index(request: Request) -> str:
        return "the root"

    @app.route("/ws")
    @app.route("/autobahn")
    def sockets(request: Request) -> IResource:
        return server.resource()

    resource: IResource = app.resource()
    return resource


class BesideWSGI(Resource):
    """WebSockets are served here, everything else by a WSGI application."""

    def __init__(self, server: Server, pool: ThreadPool) -> None:
        super().__init__()
        self._wsgi = WSGIResource(reactor(), pool, self.serve)
        self.putChild(b"ws", server.resource())
        self.putChild(b"autobahn", server.resource())

    def getChild(self, path: bytes, request: Any) -> IResource:
        request.prepath.pop()
        request.postpath.insert(0, path)
        return self._wsgi

    @staticmethod
    def serve(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"the root"]


class ByHand(Resource):
    """A resource that calls `handleUpgrade` at once or after asynchronous work."""

    isLeaf = True

    def __init__(self, server: Server, delay: float) -> None:
        super().__init__()
        self._server = server
        self._delay = delay

    def render_GET(self, request: Request) -> Any:
        if not self._server.shouldHandle(request):
            return b"the root"
        if self._delay:
            reactor().callLater(self._delay, self._upgrade, request)
        else:
            self._upgrade(request)
        return NOT_DONE_YET

    def _upgrade(self, request: Request) -> None:
        self._server.handleUpgrade(request).addBoth(self.told)

    @staticmethod
    def told(outcome: Any) -> None:
        """The outcome of `handleUpgrade`."""


OWN = ["own", "unix", "tls", "haproxy", "haproxyUnix", "samePath"]
FOREIGN = ["site", "siteTLS", "siteUnix", "siteHaproxy", "klein", "wsgi", "byHand", "byHandLater"]
everywhere = pytest.mark.parametrize("name", OWN + FOREIGN)


# -- the trials


@everywhere
async def test_echo(net: Net, places: Any, name: str) -> None:
    """Text and binary are echoed, pings are answered, and the closing handshake completes."""
    place = await places(name)
    probe = await place.open(net)
    for payload in (b"", b"hello", b"a" * 200, b"b" * 70_000):
        probe.send(frame(TEXT, payload), frame(2, payload))
        assert await probe.frame() == Frame(TEXT, payload)
        assert await probe.frame() == Frame(2, payload)
    probe.send(frame(PING, b"p"))
    assert await probe.frame() == Frame(PONG, b"p")
    probe.send(close(3000, b"bye"))
    assert (await probe.closed()).code == 3000
    assert await place.application.ended() == (3000, "bye")


class AutobahnEcho(WebSocketServerProtocol):
    """An echo as users of Autobahn write it."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


@everywhere
async def test_autobahn(net: Net, places: Any, name: str) -> None:
    """A factory of Autobahn's works beside an application."""
    place = await places(name)
    factory = WebSocketServerFactory()
    factory.protocol = AutobahnEcho
    factory.setProtocolOptions(maxMessagePayloadSize=1 << 20)
    place.server.addFactory("/autobahn", factory)
    probe = await place.ask(net, head("/autobahn"), text("early"))
    await probe.upgraded()
    assert (await probe.frame()).payload == b"early"
    probe.send(frame(2, b"b" * 70_000))
    assert await probe.frame() == Frame(2, b"b" * 70_000)
    probe.send(close(3000, b"bye"))
    assert (await probe.closed()).code == 1000  # Autobahn answers so, unless told to echo the code
    await until(lambda: not place.server.connections)


@everywhere
@pytest.mark.parametrize("size", [10, 5_000, 15_000])
async def test_early(net: Net, places: Any, name: str, size: int) -> None:
    """Frames in the segment of the request are handled once and in order."""
    place = await places(name)
    early = [text(f"{number}" + "x" * size) for number in range(3 if size > 1000 else 50)]
    if size == 15_000:
        early = early[:1]
    probe = await place.open(net, *early)
    probe.send(text("then"))
    for number in range(len(early)):
        assert (await probe.frame()).payload == f"{number}".encode() + b"x" * size
    assert (await probe.frame()).payload == b"then"


@everywhere
async def test_pressure(net: Net, places: Any, name: str) -> None:
    """If a client stops reading: BACKPRESSURE, a bounded queue, then one `onDrain`, and nothing is lost."""
    place = await places(name)
    probe = await place.open(net)
    connection: Connection = place.application.met[0]
    drains: list[Connection] = []
    connection.onDrain = drains.append
    probe.stall()
    sent = 0
    status = SendStatus.SENT
    for _ in range(1000):
        status = connection.send(b"m" * 32_768)
        if status is SendStatus.DROPPED:
            break
        sent += 1
        if sent % 8 == 0:
            await sleep(0)
    assert status is SendStatus.DROPPED
    assert 0 < connection.bufferedAmount <= place.server.options.maxBackpressure + 100
    assert drains == []
    probe.unstall()
    for _ in range(sent):
        assert len((await probe.frame()).payload) == 32_768
    await until(lambda: drains == [connection])
    assert connection.bufferedAmount == 0
    await connection.whenSent()
    assert connection.send(b"again") is SendStatus.SENT
    assert (await probe.frame()).payload == b"again"
    await sleep(0.02)
    assert drains == [connection]


@everywhere
async def test_severalParts(net: Net, places: Any, name: str) -> None:
    """What a handler sends in one turn arrives in the order in which it was sent, large messages too."""
    place = await places(name)
    talker, hearer = await place.open(net), await place.open(net)
    application = place.application
    sizes = [*range(100), 100_000, *range(100)]

    def sendAll(connection: Connection, _: Any) -> None:
        for index, size in enumerate(sizes):
            application.broadcast(f"{index}:" + "b" * size)
            connection.send(f"{index}:" + "s" * size)
        connection.ping(b"between")
        connection.send("last")

    application.met[0].onMessage = sendAll
    talker.send(text("go"))
    for index, size in enumerate(sizes):
        assert (await hearer.frame()).payload == f"{index}:".encode() + b"b" * size
        for letter in (b"b", b"s"):
            assert (await talker.frame()).payload == f"{index}:".encode() + letter * size
    assert await talker.frame() == Frame(PING, b"between")
    assert (await talker.frame()).payload == b"last"


@everywhere
async def test_partsUnderPressure(net: Net, places: Any, name: str) -> None:
    """A client stops reading: many small messages fill a bounded queue, and other clients don't notice."""
    place = await places(name)
    slow, other = await place.open(net), await place.open(net)
    connection: Connection = place.application.met[0]
    slow.stall()
    sent, statuses = 0, set()
    while SendStatus.DROPPED not in statuses:
        for _ in range(100):
            status = connection.send(f"{sent:8}" + "m" * 1000)
            statuses.add(status)
            if status is SendStatus.DROPPED:
                break
            sent += 1
        other.send(text(str(sent)))
        assert (await other.frame()).payload == str(sent).encode()
    assert statuses == {SendStatus.SENT, SendStatus.BACKPRESSURE, SendStatus.DROPPED}
    assert connection.bufferedAmount <= place.server.options.maxBackpressure
    slow.unstall()
    for index in range(sent):
        assert (await slow.frame()).payload[:8] == f"{index:8}".encode()
    await connection.whenSent()
    assert connection.bufferedAmount == 0


@everywhere
async def test_partsBeforeEnd(net: Net, places: Any, name: str) -> None:
    """Messages of the turn in which a connection is closed, or fails, arrive before its Close frame."""
    place = await places(name)

    def closes(connection: Connection, _: Any) -> None:
        for index in range(50):
            connection.send(str(index))
        connection.close(3001)
        assert connection.send("late") is SendStatus.CLOSED

    def fails(connection: Connection, _: Any) -> None:
        for index in range(50):
            connection.send(str(index))
        raise ZeroDivisionError

    for hook, code in ((closes, 3001), (fails, 1011)):
        probe = await place.open(net)
        place.application.met[-1].onMessage = hook
        probe.send(text("go"))
        for index in range(50):
            assert (await probe.frame()).payload == str(index).encode()
        end = await probe.frame()
        assert (end.opcode, end.code) == (CLOSE, code)
        probe.send(close(code))
        await probe.end()
    net.flush(ZeroDivisionError)


@everywhere
async def test_fairness(net: Net, places: Any, name: str) -> None:
    """A client that sends without end, and gets several messages for each, doesn't hold up the others."""
    place = await places(name)
    busy, other = await place.open(net), await place.open(net)
    events = place.application.events

    def answer(connection: Connection, message: Any) -> None:
        events.append(("message", message))
        for _ in range(4):
            connection.send(message)

    for connection in place.application.met:
        connection.onMessage = answer
    busy.discards = True
    await busy.dribble(text("busy") * 20_000, 1 << 20)
    other.send(text("other"))
    for _ in range(4):
        assert (await other.frame()).payload == b"other"
    assert events.count(("message", "busy")) < 20_000
    await until(lambda: events.count(("message", "busy")) == 20_000)


@everywhere
async def test_closeUnderPressure(net: Net, places: Any, name: str) -> None:
    """The Close frame follows the queued data, also if the client closes first."""
    place = await places(name)
    for isOurs in (True, False):
        probe = await place.open(net)
        connection: Connection = place.application.met[-1]
        probe.stall()
        while connection.send(b"m" * 65_536) is not SendStatus.DROPPED:
            await sleep(0)
        if isOurs:
            connection.close(3001)
        probe.send(close(3001))
        await sleep(0.02)
        probe.unstall()
        assert (await probe.closed()).code == 3001
    assert (await place.application.ended(2))[0] == 3001


@everywhere
async def test_neverReads(net: Net, places: Any, name: str) -> None:
    """A client that is closed and never reads is dropped."""
    place = await places(name)
    probe = await place.open(net)
    connection: Connection = place.application.met[0]
    probe.stall()
    while connection.send(b"m" * 65_536) is not SendStatus.DROPPED:
        await sleep(0)
    connection.close()
    assert (await place.application.ended())[0] == 1006


@everywhere
async def test_pause(net: Net, places: Any, name: str) -> None:
    """`pause` stops reading, so that the client cannot send any more; after `resume` nothing is lost."""
    place = await places(name)
    probe = await place.open(net)
    connection: Connection = place.application.met[0]
    connection.onMessage = lambda _, message: place.application.events.append(("message", message))
    connection.pause()
    await sleep(0.01)
    payload = b"m" * 60_000
    probe.send(frame(2, payload) * 200)
    await sleep(0.1)
    assert place.application.messages == []
    connection.resume()
    await until(lambda: len(place.application.messages) == 200)
    assert set(place.application.messages) == {payload}


@everywhere
async def test_leaves(net: Net, places: Any, name: str) -> None:
    """A client that disappears, or sends RST, is told once with 1006."""
    place = await places(name)
    for count, how in enumerate(("loseConnection", "abortConnection")):
        probe = await place.open(net)
        getattr(probe.transport, how)()
        assert (await place.application.ended(count + 1))[0] == 1006


@everywhere
async def test_refused(net: Net, places: Any, name: str) -> None:
    """A refusal is one complete response, and the connection is closed."""
    place = await places(name)
    told: list[Any] = []
    place.server.onClientError = lambda error, handshake: told.append((error.status, error.reason))
    probe = await place.ask(net, head(place.target, "X-Refuse: yes"), text("early"))
    assert (await probe.refusal()).status == 401
    probe = await place.ask(net, head(place.target, protocolVersion="8"))
    answer = await probe.refusal()
    assert (answer.status, answer.headers["sec-websocket-version"]) == (426, "13")
    assert told == [(401, "denied"), (426, "version")]
    assert place.application.events == []


@everywhere
async def test_page(net: Net, places: Any, name: str) -> None:
    """A plain request beside the sockets gets the page, or 426; HEAD has no body, POST is refused."""
    place = await places(name)
    where = {"own": "/ws", "samePath": "/ws"}.get(name, "/ws" if name in OWN else "/")
    for method in ("GET", "HEAD", "POST"):
        probe = await place.ask(net, get(where, "Content-Length: 0", "Connection: close", method=method))
        answer = await probe.answer(hasBody=method != "HEAD")
        if name in OWN and name != "samePath":
            assert answer.status == 426
        elif method == "POST":
            assert answer.status in (200, 405)
        else:
            assert answer.status == 200
            page = b"the page" if name == "samePath" else b"the root"
            assert answer.body == (b"" if method == "HEAD" else page)
        assert await probe.end() == b""


@pytest.mark.parametrize("isPipelined", [False, True])
async def test_onePage(net: Net, places: Any, isPipelined: bool) -> None:
    """A connection to txroom's own listener serves one page; what follows is not parsed as a request."""
    place = await places("samePath")
    probe = await place.ask(net, get("/ws"), head("/ws") if isPipelined else b"")
    answer = await probe.answer()
    assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"the page", "close")
    assert await probe.end() == b""
    assert place.application.events == []


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("isPipelined", [False, True])
async def test_keepAlive(net: Net, places: Any, name: str, isPipelined: bool) -> None:
    """Under a Site, a connection can serve a page and then upgrade, with early frames."""
    place = await places(name)
    upgrade = head(place.target) + text("early")
    probe = await place.ask(net, get("/") * 2 + (upgrade if isPipelined else b""))
    for _ in range(2):
        assert (await probe.answer()).status == 200
    if not isPipelined:
        probe.send(upgrade)
    await probe.upgraded()
    assert (await probe.frame()).payload == b"early"
    probe.send(close())
    assert (await probe.closed()).code == 1000


@everywhere
async def test_handshake(net: Net, places: Any, name: str) -> None:
    """The handshake has the address of the peer, whether TLS was used, and what the client asked for."""
    place = await places(name)
    place.target = "/ws?a=b"
    await place.open(net)
    handshake: Handshake = place.application.met[0].handshake
    assert handshake.target == "/ws?a=b"
    assert handshake.query["a"] == "b"
    assert handshake.secure is (place.tls is not None)
    isProxied = bool(place.before)
    isUnix = name in ("unix", "siteUnix")
    assert handshake.peer == ("203.0.113.9" if isProxied else "" if isUnix else "127.0.0.1")


@pytest.mark.parametrize("name", FOREIGN)
async def test_foreignRefusals(net: Net, places: Any, name: str) -> None:
    """Under a foreign Site too, HTTP/1.0, a body and a second Host are refused, with one response each."""
    place = await places(name)
    target = "/ws"
    for request, status in (
        (head(target, version="HTTP/1.0"), 505),
        (head(target, "Content-Length: 5") + b"hello", 400),
        (head(target, "Host: other.test"), 400),
        (head(target, "Origin: http://evil.test"), 403),
        (head(target, "Origin: http://a.test", "Origin: http://b.test"), 400),
        (head(target, key="abc"), 400),
    ):
        probe = await place.ask(net, request)
        answer = await probe.answer()
        assert answer.status == status, request
        assert await probe.end() == b"", request
    assert place.application.events == []


@pytest.mark.parametrize("name", ["byHand", "byHandLater"])
async def test_byHandOutcome(net: Net, places: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The Deferred of `handleUpgrade` fires with the Connection, or fails with the `UpgradeError` after the
    response.
    """
    place = await places(name)
    outcomes: list[Any] = []
    monkeypatch.setattr(ByHand, "told", staticmethod(outcomes.append))
    await place.open(net)
    await until(lambda: len(outcomes) == 1)
    assert outcomes[0] is place.application.met[0]
    probe = await place.ask(net, head(place.target, "X-Refuse: yes"))
    await probe.refusal()
    assert outcomes[1].check(UpgradeError)
    assert outcomes[1].value.status == 401


async def test_byHandGone(net: Net, places: Any) -> None:
    """If the client leaves during the asynchronous work, no connection is opened and nothing raises."""
    place = await places("byHandLater")
    probe = await place.ask(net, head(place.target))
    await sleep(0.01)
    probe.reset()
    await sleep(0.2)
    assert place.application.events == []


async def test_siteTimeout(net: Net, places: Any) -> None:
    """The idle timeout of a Site does not end a WebSocket."""
    app = application()
    server = Server()
    server.addApplication(app)
    net.servers.append(server)
    server.startService()
    port = reactor().listenTCP(0, Site(server.resource(), timeout=1), interface="127.0.0.1")
    try:
        probe = await net.open(port.getHost())
        await sleep(1.5)
        probe.send(text("still here"))
        assert (await probe.frame()).payload == b"still here"
    finally:
        await port.stopListening()


async def test_ownPages(net: Net) -> None:
    """txroom's own listener serves pages: at their path, below it, health, and slow bodies."""

    class Poster(Resource):
        isLeaf = True

        def render_POST(self, request: Any) -> bytes:
            body: bytes = request.content.read()
            return body[::-1]

    server = Server(ServerOptions(handshakeTimeout=1.0))
    server.addApplication(Echo(), path="/ws")
    home = Data(b"home", "text/plain")
    home.isLeaf = True
    server.addPage("/", home)
    server.addPage("/post", Poster())
    tree = Resource()
    tree.putChild(b"leaf", Data(b"leaf", "text/plain"))
    server.addPage("/tree", tree)
    server.addHealthPage()
    await net.start(server)
    for request, status, body in (
        (get("/"), 200, b"home"),
        (get("/?query"), 200, b"home"),
        (get("/post", "Content-Length: 5", method="POST") + b"hello", 200, b"olleh"),
        (get("/tree/leaf"), 200, b"leaf"),
        (get("/tree/none"), 404, None),
        (get("/none"), 404, b"Not Found"),
        (get("/ws"), 426, b"A WebSocket is served at this path: connect with a WebSocket client.\n"),
    ):
        answer = await (await net.ask(server, request)).answer()
        assert answer.status == status, request
        assert body is None or answer.body == body
    answer = await (await net.ask(server, get("/healthz"))).answer()
    assert json.loads(answer.body) == {"status": "ok"}
    probe = await net.ask(server, get("/healthz", method="HEAD"))
    same = await probe.answer(hasBody=False)
    await until(lambda: probe.ended, "not closed")
    assert same.headers["content-length"] == str(len(answer.body))
    assert not probe.data
    probe = await net.connect(server)
    await probe.dribble(get("/post", "Content-Length: 5", method="POST"), 7)
    await sleep(1.2)
    probe.send(b"hello")
    assert (await probe.answer()).body == b"olleh"


async def test_pageThatPends(net: Net) -> None:
    """A page that is not ready yet delays no socket, and a client may leave it."""
    pending: list[Request] = []

    class Later(Resource):
        isLeaf = True

        def render_GET(self, request: Request) -> int:
            pending.append(request)
            return NOT_DONE_YET

    server = Server()
    server.addApplication(Echo(), path="/ws")
    server.addPage("/later", Later())
    await net.start(server)
    probe = await net.ask(server, get("/later"))
    gone = await net.ask(server, get("/later"))
    other = await net.open(server, "/ws")
    other.send(text("quick"))
    assert (await other.frame()).payload == b"quick"
    await until(lambda: len(pending) == 2)
    left = pending[1].notifyFinish()
    gone.reset()
    with pytest.raises(ConnectionLost):
        await left
    pending[0].write(b"done")
    pending[0].finish()
    answer = await probe.answer()
    assert (answer.status, answer.body) == (200, b"done")


# -- TLS


async def test_row29_tls(net: Net, places: Any) -> None:
    """TLS below 1.2 and plain text are refused."""
    place = await places("tls")
    for method in (SSL.TLS1_VERSION, SSL.TLS1_1_VERSION):
        old = CertificateOptions(verify=False)
        context = old.getContext()
        context.set_min_proto_version(SSL.TLS1_VERSION)
        context.set_max_proto_version(method)
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
        probe = await net.connect(place.address, tls=old)
        probe.send(head(place.target))
        assert await probe.end() == b""
    probe = await net.ask(place.address, head(place.target))
    assert b" 101 " not in await probe.end()
    assert place.application.events == []


@pytest.mark.parametrize("start", [b"", bytes.fromhex("1603010100")], ids=["silent", "half a ClientHello"])
async def test_row29_stalled(net: Net, certificate: tuple[Path, Path], start: bytes) -> None:
    """A stalled TLS handshake is dropped at `handshakeTimeout`."""
    cert, key = certificate
    where = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={cert}"
    server = await net.serve(where=where, handshakeTimeout=0.4)
    begun = reactor().seconds()
    probe = await net.ask(server, start)
    await probe.end()
    assert reactor().seconds() - begun < SOON
