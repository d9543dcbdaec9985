"""
The protocol factory of the server's own listeners.
"""

from __future__ import annotations

from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from zope.interface import implementer

from .channel import Channel
from .gateway import Gateway
from .names import ALPN, LOG_PREFIX


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
