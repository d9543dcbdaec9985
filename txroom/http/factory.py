"""
The protocol factory of the server's own listeners.
"""

from __future__ import annotations

from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from zope.interface import implementer

from .channel import LOG_PREFIX, Channel
from .gateway import Gateway

#: The ALPN name of the protocol that is spoken over TLS.
ALPN = b"http/1.1"


@implementer(IProtocolNegotiationFactory)
class ChannelFactory(Factory):
    """Makes a `Channel` for each connection to the server's own listeners."""

    noisy = False

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def logPrefix(self) -> str:
        """Return the name of this factory in Twisted's log."""
        return LOG_PREFIX

    def acceptableProtocols(self) -> list[bytes]:
        """Return the ALPN protocols that a TLS endpoint made by the user may agree on with clients."""
        return [ALPN]

    def buildProtocol(self, addr: IAddress | None) -> Channel:
        return Channel(self._gateway)
