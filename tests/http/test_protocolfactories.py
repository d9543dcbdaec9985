"""
Tests for factories of protocols that answer upgrades themselves.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.case import HarnessTestCase
from txroom import Server, ServerOptions
from txroom.http.protocolfactories import ProtocolApplication
from txroom.testing import RawClient, upgradeRequest

ANSWER = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


class Speaking(Protocol):
    """A protocol that answers a request and echoes what follows."""

    transport: Any

    def connectionMade(self) -> None:
        self.factory.made.append(self)
        self.lost = 0
        self.head = b""

    def dataReceived(self, data: bytes) -> None:
        if b"boom" in data:
            raise ZeroDivisionError
        if not self.factory.isMute:
            head, end, rest = data.rpartition(b"\r\n\r\n")
            self.head += head + end
            self.transport.write((ANSWER if end else b"") + rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost += 1


class Speakers(Factory):
    """A Twisted factory."""

    protocol = Speaking
    isMute = False

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.events: list[str] = []

    def startFactory(self) -> None:
        self.events.append("start")

    def stopFactory(self) -> None:
        self.events.append("stop")


class ProtocolTests(HarnessTestCase):
    """Their connections are counted, have a deadline, and are dropped with the server."""

    def start(self, hooks: Any = None, **options: Any) -> None:
        self.factory = Speakers()

        def makeServer(clock: Any) -> Server:
            server = Server(ServerOptions(**options), clock=clock)
            self.app = server.addFactory("/own", self.factory, **(hooks or {}))
            return server

        self.harness = self.serve(makeServer)

    def ask(self, rest: bytes = b"", **more: Any) -> RawClient:
        return self.harness.raw(upgradeRequest("/own", more.pop("headers", ())) + rest, **more)

    def assertCounts(self, expected: int) -> None:
        admission = self.harness.server._gateway.admission
        self.assertEqual(admission.perApplication.total(), expected)
        self.assertEqual(admission.perAddress.total(), expected)

    def test_speaks(self) -> None:
        """The protocol gets the request as txroom has read it, and the bytes behind it."""
        self.start()
        client = self.ask(b"early", headers={"X-A": "a\x85b", "X-Forwarded-For": "1.2.3.4"})
        client.send(b"late")
        self.assertEqual(client.output, ANSWER + b"earlylate")
        (own,) = self.factory.made
        self.assertTrue(own.head.startswith(b"GET /own HTTP/1.1\r\n"))
        self.assertIn(b"\r\nx-a: a?b\r\n", own.head)
        self.assertNotIn(b"1.2.3.4", own.head)
        self.assertEqual(own.transport.getPeer().host, "203.0.113.9")
        self.assertEqual(self.harness.server.connections, [])
        self.assertCounts(1)
        client.drop()
        self.assertEqual(own.lost, 1)
        self.assertCounts(0)

    def test_checked(self) -> None:
        """txroom's checks come first."""
        self.start(
            {"verifyClient": lambda handshake: handshake.headers.get("x-key") == "k"}, maxConnections=1
        )
        statuses = [self.ask(headers=headers) for headers in ({}, {"X-Key": "k"}, {"X-Key": "k"})]
        found = [each.response.status if each.response else None for each in statuses]
        self.assertEqual(found, [401, 101, 503])
        self.assertEqual(len(self.factory.made), 1)

    def test_mute(self) -> None:
        """A protocol that does not answer is dropped at the deadline; one that has answered stays."""
        self.start(handshakeTimeout=5)
        speaking = self.ask()
        self.factory.isMute = True
        mute = self.ask()
        self.harness.advance(4.8)
        self.assertFalse(mute.isClosed)
        self.harness.advance(0.4)
        self.assertEqual((mute.isClosed, speaking.isClosed), (True, False))
        self.harness.advance(1000)
        self.assertFalse(speaking.isClosed)
        self.assertCounts(1)

    def test_stuck(self) -> None:
        """
        A connection that the protocol closes, and whose client reads nothing, is dropped after
        `closeTimeout`.
        """
        self.start(closeTimeout=5)
        client = self.ask()
        client.stall()
        self.factory.made[0].transport.write(b"x" * 100_000)
        self.factory.made[0].transport.loseConnection()
        self.harness.advance(4.8)
        self.assertEqual(self.factory.made[0].lost, 0)
        self.harness.advance(0.4)
        self.assertEqual(self.factory.made[0].lost, 1)

    def test_raises(self) -> None:
        """If the protocol raises, its connection is dropped, and the exception is logged."""
        self.start()
        client = self.ask(b"boom")
        self.assertTrue(client.isClosed)
        self.assertRaised(ZeroDivisionError)
        self.assertCounts(0)

    def test_stop(self) -> None:
        """At a shutdown the connection is dropped at the deadline, and the factory is stopped."""
        self.start(shutdownTimeout=3)
        client = self.ask()
        self.harness.stop()
        self.assertTrue(client.isClosed)
        self.assertEqual((self.factory.made[0].lost, self.factory.events), (1, ["start", "stop"]))

    def test_mistakes(self) -> None:
        """Options for messages are refused."""
        for name in ("onMessage", "maxPayload", "pingInterval"):
            with self.assertRaisesRegex(TypeError, f"{name} has no effect on the protocols of Speakers"):
                ProtocolApplication(Speakers(), **{name: None})

    def test_byHand(self) -> None:
        """`handleUpgrade` refuses it, because there is no Connection."""
        self.start()
        server, application = self.harness.server, ProtocolApplication(Speakers())
        error = self.assertRaises(TypeError, server.handleUpgrade, None, application)
        self.assertIn("so there is no Connection", str(error))
