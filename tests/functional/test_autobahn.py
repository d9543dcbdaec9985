"""Autobahn's protocols over real sockets, with Autobahn's own clients, behind nginx, and under twistd."""

from __future__ import annotations

import hashlib
import ssl
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from autobahn.twisted.wamp import ApplicationSession
from autobahn.twisted.websocket import (
    WampWebSocketClientFactory,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.wamp.types import ComponentConfig
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from websockets.sync.client import connect

from tests.functional.launched import PATIENCE, freePort, launched
from tests.functional.proxies import nginx
from tests.functional.support import CLOSE, ROOT, Net, frame, head, reactor, sleep, text, until, within
from tests.functional.test_proxies import TWISTD, Place, nginxRecipe
from tests.requires import requires
from txroom import Server, ServerOptions

#: An unmodified Autobahn project; only its last line, `reactor.listenTCP(9000, factory)`, was removed.
PROJECT = """
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.logger import Logger


class Echo(WebSocketServerProtocol):
    _log = Logger()

    def onConnect(self, request):
        self._log.info("asked by {peer}", peer=request.peer)

    def onMessage(self, payload, isBinary):
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean, code, reason):
        self._log.info("closed {clean} {code}", clean=wasClean, code=code)


factory = WebSocketServerFactory("ws://127.0.0.1:9000")
factory.protocol = Echo
"""
#: The same project beside a room.
BESIDE = """
from project import factory
from txroom import Room, Server


def makeServer():
    server = Server()
    server.addFactory("/ws", factory)
    server.register("chat", Room)
    return server
"""


class Echo(WebSocketServerProtocol):
    def onConnect(self, request: Any) -> None:
        self.factory.requests.append(request)

    def onOpen(self) -> None:
        self.factory.opened.append(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.factory.closed.append((wasClean, code))


class FrameHash(Echo):
    """Autobahn's example of its API for frames: each frame is answered with its hash."""

    def onMessageFrame(self, payload: Any) -> None:
        digest = hashlib.sha256(b"".join(payload)).hexdigest()
        self.sendMessage(digest.encode())

    def onMessageEnd(self) -> None:
        """Do nothing, since no payload was kept."""


class StreamingHash(Echo):
    """
    Autobahn's example of its API for streams: every 1000 bytes are answered with a hash, and nothing is
    kept.
    """

    def onOpen(self) -> None:
        super().onOpen()
        self.sha256 = hashlib.sha256()
        self.received = 0

    def onMessageBegin(self, isBinary: bool) -> None:
        super().onMessageBegin(isBinary)
        self.beginMessage(isBinary=False)

    def onMessageFrameData(self, payload: bytes) -> None:
        self.received += len(payload)
        self.sha256.update(payload)

    def onMessageFrameEnd(self) -> None:
        digest = self.sha256.hexdigest().encode()
        self.beginMessageFrame(len(digest))
        self.sendMessageFrameData(digest[:10])
        self.sendMessageFrameData(digest[10:])

    def onMessageEnd(self) -> None:
        self.endMessage()


class Factory(WebSocketServerFactory):
    protocol: Any = Echo

    def __init__(self, protocol: Any = Echo) -> None:
        super().__init__()
        self.protocol = protocol
        self.requests: list[Any] = []
        self.opened: list[Any] = []
        self.closed: list[Any] = []


async def serve(net: Net, protocol: Any = Echo, **options: Any) -> tuple[Server, Factory]:
    server, factory = Server(ServerOptions(**options)), Factory(protocol)
    server.addFactory("/ws", factory)
    return await net.start(server), factory


async def test_echo(net: Net) -> None:
    """Short and long messages, early messages, and a close."""
    server, factory = await serve(net)
    probe = await net.open(server, "/ws", early=text("early"))
    assert (await probe.frame()).payload == b"early"
    probe.send(frame(2, b"x" * 300_000))
    found = await probe.frame()
    assert (found.opcode, len(found.payload)) == (2, 300_000)
    probe.send(frame(CLOSE, b"\x0f\xa0bye"))
    await probe.closed()
    await until(lambda: factory.closed == [(True, 4000)])


async def test_hostile(net: Net) -> None:
    """Heads that Autobahn would read differently, or not at all, are answered as by txroom."""
    server, factory = await serve(net)
    probe = await net.connect(server)
    probe.send(head("/ws", "User-Agent: a\xc3\x85X-User: admin").replace("Å".encode(), b"\xc3\x85"))
    await probe.upgraded()
    assert "x-user" not in factory.requests[0].headers
    for data, status in (
        (head("/ws").replace(b"\r\n", b"\n"), 400),
        (head("/ws", "X-A: \x0b"), 400),
        (head("/ws", "Host: b"), 400),
        (head("/ws?" + "x" * 9000), 414),
        (head("/ws", "X-A: " + "x" * 20_000), 431),
    ):
        assert (await net.refused(server, data)).status == status
    assert len(factory.requests) == 1


async def test_frames(net: Net) -> None:
    """Fragments are passed to the API for frames."""
    server, _ = await serve(net, FrameHash)
    probe = await net.open(server, "/ws")
    probe.send(frame(2, b"one", fin=False), frame(0, b"two", fin=False), frame(0, b"three"))
    for part in (b"one", b"two", b"three"):
        assert (await probe.frame()).payload == hashlib.sha256(part).hexdigest().encode()


async def test_streams(net: Net) -> None:
    """Streams work in both directions; what the server sends meanwhile waits for the end of its stream."""
    server, _ = await serve(net, StreamingHash)
    probe = await net.open(server, "/ws")
    probe.send(frame(2, b"a" * 100_000, fin=False))
    first = await probe.frame()
    assert (first.opcode, first.payload) == (1, hashlib.sha256(b"a" * 100_000).hexdigest().encode())
    (connection,) = server.connections
    connection.send("between")
    probe.send(frame(0, b"b"))
    payloads = [(await probe.frame()).payload for _ in range(3)]
    assert payloads == [hashlib.sha256(b"a" * 100_000 + b"b").hexdigest().encode(), b"", b"between"]


async def test_slow(net: Net) -> None:
    """A client that does not read is closed with 1013, and dropped in time."""
    server, factory = await serve(net, maxBackpressure=500_000, closeTimeout=1)
    probe = await net.open(server, "/ws")
    probe.stall()
    await until(lambda: factory.opened)
    (own,) = factory.opened
    while own.state == own.STATE_OPEN:
        own.sendMessage(b"x" * 50_000, True)
        await sleep(0)
        assert own.connection.bufferedAmount < 2_000_000
    assert own.localCloseCode == 1013
    await until(lambda: factory.closed == [(False, 1006)])


async def test_shutdown(net: Net) -> None:
    """All connections are closed with 1001 in time, whether their clients read or not."""
    server, factory = await serve(net, shutdownTimeout=1)
    probe, mute = await net.open(server, "/ws"), await net.open(server, "/ws")
    stopping = server.stopService()
    found = await probe.frame()
    assert (found.opcode, found.payload[:2]) == (CLOSE, (1001).to_bytes(2, "big"))
    probe.send(frame(CLOSE, found.payload))
    await within(stopping)
    await mute.end()
    assert sorted(factory.closed) == [(False, 1006), (True, 1001)]


async def test_wamp(net: Net) -> None:
    """RPC and PubSub work between WAMP sessions, and from a session to a room."""
    spec = spec_from_file_location("wamp_example", ROOT / "docs" / "examples" / "wamp.py")
    assert spec is not None and spec.loader is not None
    module: ModuleType = module_from_spec(spec)
    spec.loader.exec_module(module)
    server = await net.start(module.makeServer())

    async def session() -> Any:
        joined: Deferred[Any] = Deferred()

        class Session(ApplicationSession):
            def onJoin(self, details: Any) -> None:
                joined.callback(self)

        url = f"ws://127.0.0.1:{server.address().port}/wamp"
        factory = WampWebSocketClientFactory(lambda: Session(ComponentConfig("realm1")), url=url)
        await TCP4ClientEndpoint(reactor(), "127.0.0.1", server.address().port).connect(factory)
        return await within(joined)

    one, two = await session(), await session()
    heard: list[Any] = []
    await within(one.subscribe(heard.append, "news"))
    await within(one.register(lambda a, b: a + b, "add"))
    assert await within(two.call("add", 2, 3)) == 5
    rooms = await net.open(server, "/rooms/news")
    await rooms.frame()
    two.publish("news", "hello")
    await until(lambda: heard == ["hello"])
    while b'"headline","hello"' not in (await rooms.frame()).payload:
        pass
    for each in (one, two):
        each.leave()
    await until(lambda: len(server.connections) == 1)


async def test_factory(net: Net) -> None:
    """The whole server is a factory that can listen at any port."""
    server, _ = await serve(net)
    port = reactor().listenTCP(0, server.factory(), interface="127.0.0.1")
    try:
        probe = await net.open(port.getHost(), "/ws")
        probe.send(text("x"))
        assert (await probe.frame()).payload == b"x"
        probe.reset()
    finally:
        await port.stopListening()


def test_project(tmp_path: Path) -> None:
    """An Autobahn project runs under twistd with `--app module:factory`."""
    (tmp_path / "project.py").write_text(PROJECT)
    with launched(TWISTD, "--app", "project:factory", cwd=tmp_path) as process:
        process.ready()
        with process.connect("/anywhere") as client:
            client.send("hello")
            assert client.recv(timeout=PATIENCE) == "hello"
        process.wrote("closed True 1000")
        assert process.get("/healthz")[0] == 200
        with process.connect("/") as client:
            process.signal(15)
            process.wrote("closed True 1001")
        process.wait()
        assert "Traceback" not in process.output, process.output


def test_nginx(tmp_path: Path) -> None:
    """Behind nginx with TLS, beside a room, the protocol sees the client's address."""
    requires("nginx")
    place, port = Place(tmp_path), freePort()
    (tmp_path / "project.py").write_text(PROJECT)
    (tmp_path / "beside.py").write_text(BESIDE)
    listen = f"tcp:{port}:interface=127.0.0.1"
    trusting = ssl.create_default_context(cafile=str(place.authority.file))
    options = ("--app", "beside:makeServer", "--listen", listen, "--trusted-proxy", "127.0.0.1")
    with (
        launched(TWISTD, *options, cwd=tmp_path, port=port) as process,
        nginx(nginxRecipe(place, f"127.0.0.1:{port}"), [place.port], tmp_path),
    ):
        process.ready()
        url = f"wss://localhost:{place.port}"
        with connect(f"{url}/ws", ssl=trusting) as client:
            client.send("x" * 100_000)
            assert client.recv(timeout=PATIENCE) == "x" * 100_000
        process.wrote("asked by 127.0.0.1")
        with connect(f"{url}/rooms/chat", ssl=trusting) as client:
            assert '"chat"' in str(client.recv(timeout=PATIENCE))
        assert "Traceback" not in process.output, process.output
