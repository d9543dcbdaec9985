"""
The factory of our own listeners.
"""

from __future__ import annotations

from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from zope.interface import implementer

from .channel import LOG_PREFIX, Channel
from .gateway import Gateway

#: What is spoken over TLS, by its name in ALPN.
ALPN = b"http/1.1"


@implementer(IProtocolNegotiationFactory)
class ChannelFactory(Factory):
    """Makes a `Channel` for each connection of our own listeners."""

    noisy = False

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def logPrefix(self) -> str:
        """What Twisted calls it in its log."""
        return LOG_PREFIX

    def acceptableProtocols(self) -> list[bytes]:
        """What a TLS endpoint of Twisted's, which somebody made himself, may agree on with clients."""
        return [ALPN]

    def buildProtocol(self, addr: IAddress | None) -> Channel:
        return Channel(self._gateway)
