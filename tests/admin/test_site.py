"""Tests for the connections of the admin listener, and their limits."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.web.resource import Resource

from tests.admin.case import TOKEN, AdminCase, answerOf, request
from txroom.admin import site
from txroom.wire.deadlines import BYTES_PER_SECOND

ROOMS = "/api/v1/rooms"


def chunked(*chunks: bytes) -> bytes:
    """A request to create a room, whose body comes in chunks."""
    head = request("POST", ROOMS, Transfer_Encoding="chunked", Content_Type="application/json")
    return head + b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (*chunks, b""))


class BodyTests(AdminCase):
    """The size of a body."""

    def test_announced(self) -> None:
        """A body that is announced as too long is refused before it comes, and nothing of it is read."""
        self.start()
        head = request("POST", ROOMS, Content_Length=str(site.MOST_BODY + 1), Content_Type="application/json")
        client = self.connect(head)
        answer = answerOf(client.output)
        self.assertEqual((answer.status, answer.headers["connection"]), (413, "close"))
        self.assertEqual(answer.json["title"], HTTPStatus.REQUEST_ENTITY_TOO_LARGE.phrase)
        client.send(b"x" * 100_000 + request("POST", ROOMS, {"name": "chat"}))
        self.assertEqual(len(client.output.split(b"HTTP/1.1 ")), 2)
        self.harness.advance(site.LINGER + 0.1)
        self.assertTrue(client.isClosed)
        self.assertFalse(self.harness.server.rooms.rooms)

    def test_chunked(self) -> None:
        """A body of unknown length is refused when it has become too long."""
        self.start()
        client = self.connect(chunked(*[b" " * 10_000] * 6))
        self.harness.advance(0.1)
        self.assertEqual(answerOf(client.output).status, 400)
        client = self.connect(chunked(*[b" " * 10_000] * 7) + request("POST", ROOMS, {"name": "chat"}))
        self.assertEqual(answerOf(client.output).status, 413)
        self.assertEqual(len(client.output.split(b"HTTP/1.1 ")), 2)
        self.harness.advance(site.LINGER + 0.1)
        self.assertTrue(client.isClosed)
        self.assertFalse(self.harness.server.rooms.rooms)

    def test_largest(self) -> None:
        """A body of just the size is read."""
        self.start()
        body = b'{"name": "chat"}'
        answer = self.ask("POST", ROOMS, body + b" " * (site.MOST_BODY - len(body)))
        self.assertEqual(answer.status, 201)


class Transport(StringTransport):
    """A transport that stays open until it is aborted."""

    isAborted = False

    def abortConnection(self) -> None:
        self.isAborted = True


class SiteCase(AdminCase):
    """The site of the listener."""

    def factory(self) -> Any:
        (port,) = self.harness.server.adminPorts
        listening: Any = port
        return listening.factory

    def channel(self, data: bytes) -> tuple[Any, Transport]:
        """A connection with such a client."""
        peer = IPv4Address("TCP", "127.0.0.1", 1)
        channel = self.factory().buildProtocol(peer)
        transport = Transport(IPv4Address("TCP", "127.0.0.1", 9000), peer)
        channel.makeConnection(transport)
        channel.dataReceived(data)
        return channel, transport


class CloseTests(SiteCase):
    """Clients that don't close their side, as TLS asks for, or don't read."""

    def test_aborted(self) -> None:
        """They are cut off, whatever the reason to close."""
        self.start()
        for data in (
            request("GET", ROOMS, token=None),
            request("GET", ROOMS, token="x"),
            request("POST", ROOMS, Content_Length=str(site.MOST_BODY + 1), Content_Type="application/json"),
            request("GET", ROOMS, Connection="close"),
            b"x\r\n\r\n",
        ):
            channel, transport = self.channel(data)
            self.assertIn(b"HTTP/1.1 ", transport.value())
            self.harness.advance(site.LINGER)
            self.assertEqual((transport.disconnecting, transport.isAborted), (True, False), data)
            self.harness.advance(site.CLOSING)
            self.assertTrue(transport.isAborted, data)
            channel.connectionLost()

    def test_stopped(self) -> None:
        """They don't outlive the listener for long."""
        self.start()
        channel, transport = self.channel(request("GET", ROOMS))
        self.assertFalse(transport.disconnecting)
        self.harness.server.stopService()
        self.assertTrue(transport.disconnecting)
        self.harness.advance(site.CLOSING)
        self.assertTrue(transport.isAborted)
        channel.connectionLost()

    def test_closed(self) -> None:
        """Nothing is left to do for a connection that has closed."""
        self.start()
        channel, transport = self.channel(request("GET", ROOMS, token=None))
        channel.connectionLost()
        self.harness.advance(site.CLOSING)
        self.assertFalse(transport.isAborted)

    def test_slow(self) -> None:
        """A slow client gets all of its answer; one that reads nothing more is cut off."""
        self.patch(site, "CLOSING", 1.0)
        self.start()
        for _ in range(60):
            self.ask("POST", ROOMS, {"name": "chat"})
        wanted = request("GET", f"{ROOMS}?limit=1000", Connection="close")
        for isSlow in (True, False):
            client = self.connect()
            client.stall()
            client.send(wanted)
            for _ in range(2):
                client.unstall(BYTES_PER_SECOND if isSlow else 1)
                self.harness.advance(site.CLOSING)
                self.assertEqual(client.isClosed, not isSlow)
            if isSlow:
                client.unstall()
                self.harness.advance(0.1)
                self.assertEqual(len(answerOf(client.output).json["rooms"]), 60)


class ConnectionTests(SiteCase):
    """Connections."""

    def test_persistent(self) -> None:
        """A connection serves one request after another, also those that came at once."""
        self.start()
        client = self.connect(request("GET", ROOMS) * 3)
        self.assertEqual(client.output.count(b"HTTP/1.1 200 OK"), 3)
        client.take()
        client.send(request("GET", ROOMS))
        self.assertEqual(client.take().count(b"HTTP/1.1 200 OK"), 1)

    def test_slow(self) -> None:
        """A request that isn't complete in time is dropped, however steadily it comes."""
        self.start()
        client = self.connect(b"GET / HTTP/1.1\r\n")
        for _ in range(int(site.TIMEOUT) + 1):
            client.send(b"X: y\r\n")
            self.harness.advance(1.0)
        self.assertTrue(client.isClosed)

    def test_idle(self) -> None:
        """An idle connection is closed, also between requests."""
        self.start()
        with capturedLogs() as logged:
            for data in (b"", request("GET", ROOMS)):
                client = self.connect(data)
                self.harness.advance(site.TIMEOUT - 1.0)
                self.assertFalse(client.isClosed)
                self.harness.advance(2.0)
                self.assertTrue(client.isClosed)
        self.assertEqual([each["log_level"].name for each in logged], ["debug", "debug"])

    def test_count(self) -> None:
        """There are so many connections at a time."""
        self.patch(site, "MOST_CONNECTIONS", 2)
        self.start()
        clients = [self.connect() for _ in range(3)]
        self.assertEqual([client.isClosed for client in clients], [False, False, True])
        clients[0].drop()
        self.assertFalse(self.connect().isClosed)

    def test_address(self) -> None:
        """One address can't have all connections; for a UNIX socket there are no addresses."""
        self.patch(site, "MOST_OF_ADDRESS", 2)
        self.start()
        clients = [self.connect() for _ in range(3)]
        self.assertEqual([client.isClosed for client in clients], [False, False, True])
        self.assertFalse(self.connect(peer="127.0.0.2").isClosed)
        for _ in range(3):
            clients[0].drop()
            clients[0] = self.connect()
            self.assertFalse(clients[0].isClosed)
        self.assertTrue(self.connect().isClosed)
        peer = IPv4Address("TCP", "127.0.0.1", 1)
        self.assertIsNotNone(self.factory().buildProtocol(peer))  # TLS needs a protocol in any case
        factory = site.AdminSite(Resource(), Clock())
        for _ in range(3):
            channel = factory.buildProtocol(UNIXAddress(b"/nowhere"))
            self.assertIsInstance(channel, site.AdminChannel)

    def test_garbage(self) -> None:
        """What isn't HTTP is refused."""
        self.start()
        for data in (b"\x16\x03\x01\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nx\r\n\r\n"):
            client = self.connect(data)
            self.assertTrue(client.output.startswith(b"HTTP/1.1 400 "), data)
            self.assertTrue(client.isClosed)
        for data in (b"X: y\r\n" * 5_000, b"x" * 20_000 + b"\r\n"):
            client = self.connect(b"GET / HTTP/1.1\r\n" + data)
            self.assertTrue(client.isClosed)

    def test_smuggled(self) -> None:
        """A request whose end isn't clear is refused, and nothing after it is read, also what comes later."""
        self.start()
        hidden = request("POST", ROOMS, {"name": "chat"})
        head = request("GET", ROOMS).removesuffix(b"\r\n")
        length = b"Content-Length: %d\r\n" % len(hidden)
        for fields in (
            length + b"Content-Length: 0\r\n",
            length + b"Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\n" + length,
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: gzip, chunked\r\n",
            b"Transfer-Encoding: \x0bchunked\r\n",
            b"Transfer-Encoding : chunked\r\n",
            b"Content-Length: +0\r\n",
            b"Content-Length: 0, 0\r\n",
            b"Content-Length: 0x0\r\n",
            b"Content-Length:\r\n",
            b"X: a\nContent-Length: 0\r\n",
            b"X: a\x00\r\n",
            b"no header\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n1\r\n12\r\n",
        ):
            channel, transport = self.channel(head + fields + b"\r\n" + hidden)
            self.assertTrue(transport.value().startswith(b"HTTP/1.1 400 "), fields)
            for _ in range(3):
                channel.dataReceived(hidden)
            self.assertEqual(transport.value().count(b"HTTP/1.1 "), 1, fields)
            self.assertTrue(transport.disconnecting)
            channel.connectionLost()
        self.assertFalse(self.harness.server.rooms.rooms)

    def test_last(self) -> None:
        """After a request that ends the connection, no other one is carried out."""
        self.start()
        hidden = request("POST", ROOMS, {"name": "chat"})
        for last in (
            request("GET", ROOMS, Connection="close"),
            request("GET", ROOMS, token=None),
            request("GET", ROOMS).replace(b"HTTP/1.1", b"HTTP/1.0"),
        ):
            channel, transport = self.channel(last + hidden)
            channel.dataReceived(hidden)
            self.assertEqual(transport.value().count(b"HTTP/1."), 1, last)
            channel.connectionLost()
        self.assertFalse(self.harness.server.rooms.rooms)

    def test_stop(self) -> None:
        """When the server stops, the port and idle connections are closed."""
        harness = self.start()
        client = self.connect(request("GET", ROOMS))
        harness.server.stopService()
        harness.advance(1.0)
        self.assertTrue(client.isClosed)
        self.assertEqual(harness.server.adminPorts, [])
        harness.start()
        self.assertEqual(answerOf(self.send("GET", ROOMS, token=TOKEN).output).status, 200)

    def test_leave(self) -> None:
        """A server that leaves closes connections after their answers, and accepts no new ones."""
        harness = self.start()
        client = self.connect(request("GET", ROOMS))
        (admin,) = harness.server._admins
        admin.pause()
        harness.flush()
        self.assertTrue(client.isClosed)
