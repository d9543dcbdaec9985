"""
Tests for the factory of the server's own listeners.
"""

from __future__ import annotations

from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txroom import Server
from txroom.http.channel import Channel
from txroom.http.factory import ChannelFactory
from txroom.http.names import ALPN


class ChannelFactoryTests(SynchronousTestCase):
    """`ChannelFactory`."""

    def test_plain(self) -> None:
        """It makes a `Channel` for each connection, and offers HTTP/1.1 over TLS."""
        factory = Server(clock=Clock())._factory
        verifyObject(IProtocolNegotiationFactory, factory)
        self.assertEqual(ChannelFactory.__bases__, (Factory,))
        first, second = factory.buildProtocol(None), factory.buildProtocol(None)
        self.assertEqual((type(first), type(second)), (Channel, Channel))
        self.assertIsNot(first, second)
        self.assertEqual(factory.acceptableProtocols(), [ALPN])
        self.assertEqual((factory.logPrefix(), factory.noisy), ("txroom", False))
