"""
Tests for the first protocol of a connection to the server's own listeners.
"""

from __future__ import annotations

from tests.case import HarnessTestCase, Recorder
from txroom.testing.network import MemorySocket


class ChannelTests(HarnessTestCase):
    """Request heads over the wire."""

    def test_answers(self) -> None:
        """Each refused request gets one HTTP answer, and the connection ends."""
        harness = self.serve(Recorder())
        for request, status in (
            (b"GET / HTTP/1.1\r\nX\x00: a\r\n\r\n", 400),
            (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n", 414),
            (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
            (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", 505),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426),
        ):
            client = harness.raw(request)
            response = client.response
            assert response is not None
            self.assertEqual(response.status, status)
            self.assertEqual(response.headers["content-length"], str(len(response.body)))
            self.assertIn("close", response.headers["connection"])
            self.assertEqual(client.output.count(b"HTTP/1.1"), 1)
            client.finish()
            self.assertTrue(client.isClosed)

    def test_linger(self) -> None:
        """A client that goes on sending loses the connection after a while, but gets the answer."""
        harness = self.serve(Recorder())
        client = harness.raw(b"GET / HTTP/1.1\r\nX\x00: a\r\n\r\n")
        for _ in range(100):
            client.send(b"x" * 1000)
        self.assertIsNotNone(client.response)
        harness.advance(2.2)
        self.assertTrue(client.isClosed)
        self.assertEqual(harness.clock.getDelayedCalls()[1:], [], "only the stall watch is left")

    def test_deadline(self) -> None:
        """A head that takes too long gets 408, whether it comes one byte at a time or not at all."""
        app = Recorder()
        harness = self.serve(app, handshakeTimeout=5)
        silent = harness.raw()
        slow = harness.raw(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(9):
            slow.send(b"a")
            harness.advance(0.5)
        self.assertEqual((silent.response, slow.response), (None, None))
        harness.advance(0.7)
        for client in (silent, slow):
            assert client.response is not None
            self.assertEqual(client.response.status, 408)
        self.assertEqual(harness.server.stats().rejected, {"timeout": 2})

    def test_noDeadline(self) -> None:
        """`handshakeTimeout=0`: a head may take any time."""
        harness = self.serve(Recorder(), handshakeTimeout=0)
        client = harness.raw(b"GET / HT")
        harness.advance(3600)
        self.assertFalse(client.isClosed)

    def test_pending(self) -> None:
        """With too many pending handshakes, the oldest is refused."""
        harness = self.serve(Recorder(), maxPendingHandshakes=3)
        clients = [harness.raw(b"GET") for _ in range(5)]
        statuses = [client.response and client.response.status for client in clients]
        self.assertEqual(statuses, [503, 503, None, None, None])
        self.assertTrue(harness.connect().isOpen)

    def test_pendingUnlimited(self) -> None:
        """`maxPendingHandshakes=0`: no limit."""
        harness = self.serve(Recorder(), maxPendingHandshakes=0)
        clients = [harness.raw(b"GET") for _ in range(50)]
        self.assertEqual([client.response for client in clients], [None] * 50)

    def test_tls(self) -> None:
        """A refusal arrives completely over TLS, too."""
        harness = self.serve(Recorder())
        client = harness.raw(b"nonsense\r\n\r\n", tls=True)
        assert client.response is not None
        self.assertEqual((client.response.status, client.response.body), (400, b"Bad Request"))

    def test_noDelay(self) -> None:
        """`noDelay` is set on TCP sockets if the option is on."""
        seen: list[tuple[int, int]] = []
        self.patch(
            MemorySocket, "setsockopt", lambda self, level, option, value: seen.append((level, option))
        )
        self.serve(Recorder(), noDelay=False).raw().drop()
        self.assertEqual([pair for pair in seen if pair == (6, 1)], [])
        self.serve(Recorder(), noDelay=True).raw()
        self.assertEqual([pair for pair in seen if pair == (6, 1)], [(6, 1)])
