"""
Tests for the PROXY protocol at the start of a connection.
"""

from __future__ import annotations

from tests.case import HarnessTestCase, Recorder
from txroom import Server
from txroom.testing import MemoryReactor, RoomHarness, upgradeRequest


class ProxiedTests(HarnessTestCase):
    """A server behind HAProxy."""

    V2 = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"

    def start(self) -> RoomHarness:
        self.app = Recorder()

        def make(clock: MemoryReactor) -> Server:
            server = Server(clock=clock)
            server.addApplication(self.app)
            server.listen("haproxy:tcp:8080")
            return server

        return self.serve(make)

    def peer(self) -> tuple[str, int | None]:
        handshake = self.app.connection.handshake
        return handshake.peer, handshake.peerPort

    def test_v1(self) -> None:
        """Version 1, a line of text."""
        harness = self.start()
        client = harness.raw(b"PROXY TCP4 203.0.113.9 192.0.2.1 4321 443\r\n" + upgradeRequest())
        assert client.response is not None
        self.assertEqual((client.response.status, self.peer()), (101, ("203.0.113.9", 4321)))

    def test_v2(self) -> None:
        """Version 2, binary, cut into pieces."""
        addresses = (
            bytes((203, 0, 113, 9, 192, 0, 2, 1)) + (4321).to_bytes(2, "big") + (443).to_bytes(2, "big")
        )
        header = self.V2 + b"\x21\x11" + len(addresses).to_bytes(2, "big") + addresses
        harness = self.start()
        client = harness.raw()
        for byte in header:
            client.send(bytes([byte]))
        client.send(upgradeRequest())
        assert client.response is not None
        self.assertEqual((client.response.status, self.peer()), (101, ("203.0.113.9", 4321)))

    def test_long(self) -> None:
        """A header that announces too many bytes is refused before they arrive."""
        for length, isClosed in ((4096, False), (4097, True), (65535, True)):
            client = self.start().raw(self.V2 + b"\x21\x11" + length.to_bytes(2, "big"))
            self.assertEqual((client.output, client.isClosed), (b"", isClosed))

    def test_works(self) -> None:
        """Messages go both ways, a close works, and nothing is left."""
        harness = self.start()
        client = harness.raw(b"PROXY TCP4 203.0.113.9 192.0.2.1 4321 443\r\n" + upgradeRequest())
        client.take()
        self.app.connection.send("x")
        harness.flush()
        self.assertEqual(client.take(), b"\x81\x01x")
        self.app.connection.close()
        harness.flush()
        self.assertEqual(client.take(), b"\x88\x02\x03\xe8")

    def test_absent(self) -> None:
        """A request without the header is refused."""
        client = self.start().raw(upgradeRequest())
        self.assertEqual((client.output, client.isClosed), (b"", True))

    def test_cutAnywhere(self) -> None:
        """Version 1 in two segments, wherever it is cut, with the request directly behind it."""
        data = b"PROXY TCP6 2001:db8::9 2001:db8::1 4321 443\r\n" + upgradeRequest()
        for at in range(1, 60):
            harness = self.start()
            client = harness.raw(data[:at])
            client.send(data[at:])
            assert client.response is not None, at
            self.assertEqual((client.response.status, self.peer()), (101, ("2001:db8::9", 4321)))

    def test_unknown(self) -> None:
        """For the proxy's own requests, the address is the proxy's."""
        for line in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"):
            harness = self.start()
            client = harness.raw(line + upgradeRequest())
            assert client.response is not None
            self.assertEqual((client.response.status, self.peer()[0]), (101, "203.0.113.9"))

    def test_unknownEndless(self) -> None:
        """A line without an end is not kept for ever."""
        client = self.start().raw(b"PROXY UNKNOWN " + b"x" * 200)
        self.assertTrue(client.isClosed)

    def test_local(self) -> None:
        """With LOCAL of version 2, the address is the proxy's."""
        harness = self.start()
        client = harness.raw(self.V2 + b"\x20\x00\x00\x00" + upgradeRequest())
        assert client.response is not None
        self.assertEqual((client.response.status, self.peer()[0]), (101, "203.0.113.9"))

    def test_nonsense(self) -> None:
        """Bytes that can't become a header end the connection, also in small pieces."""
        for data in (b"GET / HTTP/1.1\r\n", b"PROXY TCP9 a b c d\r\n", b"\r\n\r\nnonsense nonsense"):
            client = self.start().raw()
            for at in range(len(data)):
                client.send(data[at : at + 1])
            self.assertEqual((client.output, client.isClosed), (b"", True), data)
