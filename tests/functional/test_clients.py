"""
Real clients: npm's ws, Python's websockets, and Autobahn's.

Each of them echoes messages of mixed sizes up to 16 MiB with each kind of compression, sends and answers
pings, and closes from both ends. The echo stops reading on BACKPRESSURE until it has drained.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.threads import deferToThread

from tests.functional.support import Echo, Net, environment, reactor, within
from tests.requires import CLIENTS, requiresNode
from txroom import Application, Connection, Server, ServerOptions

MIB = 2**20
SIZES = (0, 1, 125, 126, 1000, 65_535, 65_536, 300_000, 16 * MIB)
CLOSE_CODES = (1000, 1001, 1011, 1012, 1013, 1014, 3000, 4999)
compressions = pytest.mark.parametrize("compression", ["disabled", "shared", "dedicated"])


class Closer(Application):
    """Closes with the code that the query has."""

    def onConnect(self, connection: Connection) -> None:
        code = int(connection.handshake.query["code"])
        connection.close(code, f"code {code}")


class Pinger(Application):
    """Sends a ping, and reports the pong."""

    def onConnect(self, connection: Connection) -> None:
        connection.ping("marco")

    def onPong(self, connection: Connection, payload: bytes) -> None:
        connection.send(payload.decode())


class ChoosyEcho(Echo):
    """An echo with several sub-protocols, which prefers its own order."""

    def chooseProtocol(self, offered: list[str], handshake: Any) -> str | None:
        return next((name for name in ("chat.v1", "chat.v2") if name in offered), None)


async def serve(net: Net, compression: Any) -> tuple[Server, Echo]:
    """The server that the clients expect."""
    server = Server(ServerOptions(compression=compression, maxPayload=64 * MIB, threshold=100))
    echo = ChoosyEcho()
    server.addApplication(echo, path="/echo")
    server.addApplication(Closer(), path="/close")
    server.addApplication(Pinger(), path="/ping")
    return await net.start(server), echo


def url(server: Server) -> str:
    return f"ws://127.0.0.1:{server.address().port}"


async def run(*command: str) -> dict[str, Any]:
    """The report of a client in another process."""
    done = await deferToThread(
        subprocess.run,
        command,
        cwd=CLIENTS,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def isAgreed(extensions: str, compression: str) -> bool:
    """Whether the extensions match a kind of compression."""
    if compression == "disabled":
        return extensions == ""
    shared = "server_no_context_takeover" in extensions
    return "permessage-deflate" in extensions and shared is (compression == "shared")


@compressions
async def test_ws(net: Net, compression: str) -> None:
    """npm's ws."""
    node = requiresNode()
    server, echo = await serve(net, compression)
    report = await run(node, "ws.mjs", url(server), compression, *map(str, SIZES))
    assert report["protocol"] == "chat.v1"
    assert (compression in ("shared", "dedicated")) is ("permessage-deflate" in report["extensions"])
    assert report["pong"] == "are you there"
    assert report["closedByUs"] == [3001, ""]
    assert report["closedEmpty"] == [1005, ""]
    assert report["closedByServer"] == [[code, f"code {code}"] for code in CLOSE_CODES]
    assert "404" in report["refused"]
    assert (report["ping"], report["ponged"]) == ("marco", "marco")
    await echo.ended(2)
    assert echo.disconnects == [(3001, "bye from ws"), (1005, "")]


@compressions
async def test_websockets(net: Net, compression: str) -> None:
    """Python's websockets."""
    server, echo = await serve(net, compression)
    report = await run(sys.executable, "websockets_client.py", url(server), compression, *map(str, SIZES))
    assert report["protocol"] == "chat.v1"
    assert isAgreed(report["extensions"], compression)
    assert report["pong"] == "are you there"
    assert report["closedByUs"] == [3001, ""]
    assert report["closedByServer"] == [[code, f"code {code}"] for code in CLOSE_CODES]
    assert (report["refused"], report["ponged"]) == (404, "marco")
    await echo.ended()
    assert echo.disconnects == [(3001, "bye from websockets")]


class AutobahnClient(WebSocketClientProtocol):
    """Autobahn's client, with Deferreds instead of callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: Deferred[Any] = Deferred()
        self.closed: Deferred[Any] = Deferred()
        self.waiting: list[Deferred[Any]] = []
        self.ready: list[str | bytes] = []
        self.pongs: list[bytes] = []

    def onOpen(self) -> None:
        self.opened.callback(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        message = payload if isBinary else payload.decode()
        if self.waiting:
            self.waiting.pop(0).callback(message)
        else:
            self.ready.append(message)

    def onPong(self, payload: bytes) -> None:
        self.pongs.append(payload)

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        self.closed.callback((wasClean, code, reason))

    def message(self) -> Deferred[Any]:
        """The next message."""
        waiting: Deferred[Any] = Deferred()
        if self.ready:
            waiting.callback(self.ready.pop(0))
        else:
            self.waiting.append(waiting)
        return waiting


async def autobahn(server: Server, path: str, compression: str, protocols: list[str]) -> AutobahnClient:
    """A connected Autobahn client."""
    factory = WebSocketClientFactory(url(server) + path, protocols=protocols)
    factory.protocol = AutobahnClient
    factory.setProtocolOptions(failByDrop=False, closeHandshakeTimeout=0, openHandshakeTimeout=0)
    if compression != "disabled":
        factory.setProtocolOptions(
            perMessageCompressionOffers=[PerMessageDeflateOffer()],
            perMessageCompressionAccept=lambda response: (
                PerMessageDeflateResponseAccept(response)
                if isinstance(response, PerMessageDeflateResponse)
                else None
            ),
        )
    address = server.address()
    client: Any = await TCP4ClientEndpoint(reactor(), "127.0.0.1", address.port).connect(factory)
    opened: AutobahnClient = await within(client.opened, "not opened")
    return opened


@compressions
async def test_autobahn(net: Net, compression: str) -> None:
    """Autobahn's client."""
    server, echo = await serve(net, compression)
    client = await autobahn(server, "/echo", compression, ["unknown", "chat.v2", "chat.v1"])
    assert client.websocket_protocol_in_use == "chat.v1"
    assert bool(client.websocket_extensions_in_use) is (compression != "disabled")
    for size in SIZES:
        for message in ("é" * (size // 2), bytes(number % 251 for number in range(997)) * (size // 997)):
            isText = isinstance(message, str)
            client.sendMessage(message.encode() if isinstance(message, str) else message, not isText)
            assert await within(client.message(), f"size {size}") == message
    many = [f"message {number} " + "x" * number for number in range(500)]
    for one in many:
        client.sendMessage(one.encode())
    assert [await within(client.message()) for _ in many] == many
    client.sendMessage(b"in fragments" * 100, fragmentSize=7)
    assert await within(client.message()) == "in fragments" * 100
    client.sendPing(b"are you there")
    client.sendMessage(b"end")
    await within(client.message())
    assert client.pongs == [b"are you there"]
    client.sendClose(3001, "bye from Autobahn")
    assert await within(client.closed) == (True, 3001, None)
    assert await echo.ended() == (3001, "bye from Autobahn")
    for code in CLOSE_CODES:
        closing = await autobahn(server, f"/close?code={code}", compression, [])
        wasClean, told, reason = await within(closing.closed)
        if code < 1012 or code >= 3000:  # Autobahn doesn't know the three between
            assert (wasClean, told, reason) == (True, code, f"code {code}")
    pinged = await autobahn(server, "/ping", compression, [])
    assert await within(pinged.message()) == "marco"
    pinged.dropConnection(abort=True)
    await within(pinged.closed)
