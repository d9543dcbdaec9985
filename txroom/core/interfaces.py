"""
Twisted's interfaces as Protocols, for the annotations of public methods.

A type checker without a plugin for zope.interface (pyright, and mypy by default) would refuse an ordinary
endpoint, resource or factory where an annotation names Twisted's interface alone.
"""

from __future__ import annotations

from typing import Any, Protocol


class ClientEndpoint(Protocol):
    """As Twisted's `IStreamClientEndpoint`."""

    def connect(self, protocolFactory: Any, /) -> Any:
        """Connect."""


class ServerEndpoint(Protocol):
    """As Twisted's `IStreamServerEndpoint`."""

    def listen(self, protocolFactory: Any, /) -> Any:
        """Listen."""


class WebResource(Protocol):
    """As twisted.web's `IResource`."""

    def render(self, request: Any, /) -> Any:
        """Render."""


class ProtocolFactory(Protocol):
    """As Twisted's `IProtocolFactory`."""

    def buildProtocol(self, addr: Any, /) -> Any:
        """Make a protocol."""
