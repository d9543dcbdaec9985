"""
Tests that a mounted Autobahn protocol behaves as one without txroom.
"""

from __future__ import annotations

import random
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.case import BINARY, CLOSE, PING, PONG, TEXT, HarnessTestCase
from txroom.testing import clientFrame, upgradeRequest

SCHEDULES = 150
LIMIT = 500
#: Frames that a client may send; the last one of each kind breaks a rule.
CHOICES: tuple[Any, ...] = (
    *[lambda chance: clientFrame(chance.choice([TEXT, BINARY]), chance.choice([b"", b"a", b"x" * 400]))] * 5,
    lambda chance: clientFrame(TEXT, "é" * 20),
    lambda chance: clientFrame(TEXT, b"ab", fin=False) + clientFrame(PING, b"p") + clientFrame(0, b"cd"),
    lambda chance: clientFrame(TEXT, b"ab", fin=False) + clientFrame(0, b"cd", fin=chance.random() < 0.5),
    lambda chance: clientFrame(PING, b"pp"),
    lambda chance: clientFrame(PONG, b"qq"),
    lambda chance: clientFrame(CLOSE, chance.choice([b"", b"\x03\xe8", b"\x0f\xa0bye", b"\x00\x01"])),
    lambda chance: clientFrame(TEXT, b"close"),
    lambda chance: clientFrame(TEXT, b"\xff\xfe"),
    lambda chance: clientFrame(BINARY, b"y" * (LIMIT + 1)),
    lambda chance: clientFrame(chance.choice([3, 11]), b"z"),
    lambda chance: chance.randbytes(chance.randrange(1, 12)),
)


class Noting(WebSocketServerProtocol):
    """A protocol that records its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def onOpen(self) -> None:
        self.events.append("open")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.events.append((payload, isBinary))
        if payload == b"close":
            self.sendClose(3000, "x")
        elif self.state == self.STATE_OPEN:
            self.sendMessage(payload, isBinary)

    def onPing(self, payload: bytes) -> None:
        self.events.append(("ping", payload))
        super().onPing(payload)

    def onPong(self, payload: bytes) -> None:
        self.events.append(("pong", payload))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.events.append(("close", wasClean, code))


class NotingFactory(WebSocketServerFactory):
    protocol = Noting

    def __init__(self, failByDrop: bool) -> None:
        super().__init__(reactor=object())
        self.made: list[Any] = []
        self.setProtocolOptions(
            failByDrop=failByDrop,
            maxMessagePayloadSize=LIMIT,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
        )

    def buildProtocol(self, addr: Any) -> Any:
        self.made.append(super().buildProtocol(addr))
        return self.made[-1]


class BareTransport(StringTransport):
    """The transport that Autobahn needs."""

    def unregisterProducer(self) -> None: ...
    def abortConnection(self) -> None:
        self.disconnecting = True


class DifferentialTests(HarnessTestCase):
    """Random frames, valid and invalid, in random pieces."""

    def test_same(self) -> None:
        """Both get the same events and send the same bytes."""
        for seed in range(SCHEDULES):
            chance = random.Random(seed)
            failByDrop = chance.random() < 0.5
            data = b"".join(chance.choice(CHOICES)(chance) for _ in range(chance.randrange(1, 8)))
            cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(4)))
            pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
            self.assertEqual(self.mounted(failByDrop, pieces), self.bare(failByDrop, pieces), seed)

    def bare(self, failByDrop: bool, pieces: list[bytes]) -> tuple[list[Any], bytes]:
        protocol = NotingFactory(failByDrop).buildProtocol(None)
        transport = BareTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(upgradeRequest("/ws"))
        transport.clear()
        for piece in pieces:
            if not transport.disconnecting:
                protocol.dataReceived(piece)
        protocol.connectionLost(Failure(ConnectionDone()))
        return protocol.events, transport.value()

    def mounted(self, failByDrop: bool, pieces: list[bytes]) -> tuple[list[Any], bytes]:
        factory = NotingFactory(failByDrop)
        harness = self.serve({"/ws": factory}, pingInterval=0)
        client = harness.raw(upgradeRequest("/ws"))
        client.take()
        for piece in pieces:
            if not client.isClosed:
                client.send(piece)
        client.drop()
        harness.flush()
        self.assertEqual(factory.countConnections, 0)
        return factory.made[0].events, client.output
