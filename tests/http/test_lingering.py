"""
Tests for the lingering close.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol

from tests.case import HarnessTestCase
from txroom.http.lingering import LINGERING_TIMEOUT, LingeringConnection
from txroom.testing import RawClient
from txroom.wire.timerwheel import TimerWheel
from txroom.wire.transports import takeOver


class Noting(Protocol):
    """A peer that records what it receives."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def dataReceived(self, data: bytes) -> None:
        self.seen.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.seen.append("lost")


class LingerTests(HarnessTestCase):
    """`LingeringConnection`."""

    def open(self, **more: Any) -> RawClient:
        self.first: Noting

        def make() -> Noting:
            self.first = Noting()
            return self.first

        self.harness = self.serve()
        return self.harness.raw(to=Factory.forProtocol(make), **more)

    def linger(self, **more: Any) -> RawClient:
        client = self.open(**more)
        wheel = TimerWheel(self.harness.clock)
        self.protocol = LingeringConnection(wheel, self.harness.clock.seconds())
        takeOver(self.first.transport, self.protocol)
        return client

    def wheels(self) -> int:
        return sum("TimerWheel" in str(call) for call in self.harness.clock.getDelayedCalls())

    def test_linger(self) -> None:
        """What the peer sends is discarded until the peer closes."""
        client = self.linger()
        client.send(b"x" * 1000)
        self.assertEqual((self.first.seen, self.wheels()), ([], 1))
        client.finish()
        self.assertEqual((client.isClosed, self.wheels()), (True, 0))

    def test_lingerEnds(self) -> None:
        """The connection is aborted after the timeout."""
        client = self.linger()
        self.harness.advance(LINGERING_TIMEOUT - 0.1)
        self.assertFalse(client.isClosed)
        self.harness.advance(0.3)
        self.assertEqual((client.isClosed, self.wheels()), (True, 0))

    def test_lingerGone(self) -> None:
        """A deadline after the end does nothing."""
        client = self.linger()
        client.drop()
        self.protocol.due(0.0)
        self.assertTrue(client.isClosed)
