"""
Tests for the log lines about what a server serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.static import Data

from txroom import Application, Handshake, Room, RoomApplication, Server
from txroom.http.proxyprotocol import ProxiedFactory
from txroom.process.announcing import NAMED, describePort, describeServed
from txroom.testing import MemoryReactor


@attrs.frozen
class FakePort:
    """A listening port."""

    address: Any
    factory: Any = None

    def getHost(self) -> Any:
        return self.address


class WhereTests(SynchronousTestCase):
    """The URLs of a server."""

    def test_urls(self) -> None:
        """Addresses become URLs."""
        tls = TLSMemoryBIOFactory.__new__(TLSMemoryBIOFactory)
        cases: Sequence[tuple[FakePort, str]] = [
            (FakePort(IPv4Address("TCP", "0.0.0.0", 80)), "http://localhost:80/ and ws://localhost:80/"),
            (FakePort(IPv6Address("TCP", "::", 80)), "http://localhost:80/ and ws://localhost:80/"),
            (FakePort(IPv6Address("TCP", "::1", 80)), "http://[::1]:80/ and ws://[::1]:80/"),
            (
                FakePort(IPv4Address("TCP", "192.0.2.1", 443), tls),
                "https://192.0.2.1:443/ and wss://192.0.2.1:443/",
            ),
            (
                FakePort(IPv4Address("TCP", "192.0.2.1", 443), ProxiedFactory(tls)),
                "https://192.0.2.1:443/ and wss://192.0.2.1:443/",
            ),
            (FakePort(UNIXAddress("/run/chat")), "unix:/run/chat"),
        ]
        for port, expected in cases:
            self.assertEqual(describePort(port), expected)  # type: ignore[arg-type]


class Chat(Application):
    """A plain application."""


class ServedTests(SynchronousTestCase):
    """What is served."""

    def lines(self, server: Server, *listeners: Any) -> list[str]:
        for where in listeners:
            server.listen(where)
        server.startService()
        self.addCleanup(server.stopService)
        return list(describeServed(server))

    def server(self) -> Server:
        return Server(clock=MemoryReactor())

    def test_rooms(self) -> None:
        """Rooms are listed by name, wherever they are served."""
        server = self.server()
        server.register("chat", Room)
        server.register("tic tac toe", Room)
        other = RoomApplication()
        other.register("mole", Room)
        server.addApplication(other, host="games.example", path="/play")
        top = RoomApplication()
        top.register("lobby", Room)
        server.addApplication(top, host="lobby.example:90", path="/")
        self.assertEqual(
            self.lines(server, "tcp:8080:interface=127.0.0.1"),
            [
                "rooms: chat at ws://127.0.0.1:8080/rooms/chat, "
                "tic tac toe at ws://127.0.0.1:8080/rooms/tic%20tac%20toe, "
                "mole at ws://games.example:8080/play/mole, lobby at ws://lobby.example:90/lobby"
            ],
        )

    def test_roomsOfOtherPaths(self) -> None:
        """Where a subclass reads something else from its paths, only the path above them is told."""

        class Documents(RoomApplication):
            def roomNameOf(self, handshake: Handshake) -> str | None:
                return "document"

        documents = Documents(path="/yjs")
        documents.register("document", Room)
        server = self.server()
        server.addApplication(documents)
        self.assertEqual(self.lines(server, 80), ["rooms: document below ws://localhost:80/yjs/"])

    def test_others(self) -> None:
        """Plain applications are listed by class, and pages by URL."""
        server = self.server()
        server.addApplication(Chat(), path="/chat")
        server.addApplication(Chat(), host="a.example", path="/below/*")
        server.addApplication(Application())
        server.addPage("/", Data(b"", "text/html"))
        server.addHealthPage()
        self.assertEqual(
            self.lines(server, 80),
            [
                "sockets: Chat at ws://localhost:80/chat, Chat at ws://a.example:80/below/*, "
                "Application at ws://localhost:80/*",
                "pages: http://localhost:80/, http://localhost:80/healthz",
            ],
        )

    def test_withoutPort(self) -> None:
        """Without a TCP port, paths are listed; if nothing is served, nothing is."""
        for listeners in ([], ["unix:/run/chat"]):
            server = self.server()
            self.assertEqual(list(describeServed(server)), [])
            server.register("chat", Room)
            server.addApplication(Chat(), host="a.example", path="/chat")
            server.addHealthPage()
            self.assertEqual(
                self.lines(server, *listeners),
                ["rooms: chat at /rooms/chat", "sockets: Chat at a.example/chat", "pages: /healthz"],
            )

    def test_many(self) -> None:
        """A line has a limited number of names."""
        server = self.server()
        for number in range(NAMED + 3):
            server.register(f"room{number}", Room)
        (line,) = self.lines(server)
        self.assertEqual(line.count(" at /rooms/"), NAMED)
        self.assertTrue(line.endswith("room19 and 3 more"), line)
