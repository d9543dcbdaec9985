"""How a transport is handed on, and closed without losing what was written last."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from tests.case import HarnessTestCase
from txroom.testing import RawClient
from txroom.wire.transports import closeGently, takeOver


class Noting(Protocol):
    """Notes what comes."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        self.seen.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.seen.append("lost")


class ClosingTests(HarnessTestCase):
    """A connection, and what becomes of it."""

    def open(self, wrap: Any = lambda factory: factory, **more: Any) -> RawClient:
        self.first: Noting

        def make() -> Noting:
            self.first = Noting()
            return self.first

        self.harness = self.serve()
        return self.harness.raw(to=wrap(Factory.forProtocol(make)), **more)

    def test_takeOver(self) -> None:
        """What comes and the end go to the new protocol, over plain and wrapped transports."""
        for wrap, tls in (
            (lambda factory: factory, False),
            (WrappingFactory, False),
            (WrappingFactory, True),
        ):
            client = self.open(wrap, tls=tls)
            client.send(b"a")
            second = Noting()
            transport: Any = self.first.transport
            takeOver(transport, second)
            self.assertEqual((second.transport, second.connected), (transport, 1))
            self.assertEqual(isinstance(transport, ProtocolWrapper), wrap is WrappingFactory)
            client.send(b"b")
            client.drop()
            self.assertEqual((self.first.seen, second.seen), ([b"a"], [b"b", "lost"]))

    def test_gently(self) -> None:
        """All that was written arrives, then the end; unread bytes make it no reset."""
        client = self.open()
        self.first.transport.pauseProducing()  # type: ignore[union-attr]
        client.stall()
        self.first.transport.write(b"x" * 300_000)  # type: ignore[union-attr]
        closeGently(self.first.transport)
        client.send(b"unread")
        client.unstall()
        self.assertEqual((len(client.output), client.isClosed), (300_000, True))

    def test_gentlyTLS(self) -> None:
        """TLS says goodbye itself."""
        client = self.open(tls=True)
        self.first.transport.write(b"x" * 300_000)  # type: ignore[union-attr]
        closeGently(self.first.transport)
        self.harness.flush()
        self.assertEqual((len(client.output), client.isClosed, self.first.seen), (300_000, True, ["lost"]))
