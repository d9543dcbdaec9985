"""
Twisted's interfaces as Protocols, for the annotations of public methods.

A type checker without a plugin for zope.interface (pyright, and mypy by default) rejects an ordinary
endpoint, resource or factory if an annotation only names Twisted's interface.
"""

from __future__ import annotations

from typing import Any, Protocol


class ClientEndpoint(Protocol):
    """Like Twisted's `IStreamClientEndpoint`."""

    def connect(self, protocolFactory: Any, /) -> Any:
        """Connect."""


class ServerEndpoint(Protocol):
    """Like Twisted's `IStreamServerEndpoint`."""

    def listen(self, protocolFactory: Any, /) -> Any:
        """Listen."""


class WebResource(Protocol):
    """Like twisted.web's `IResource`."""

    def render(self, request: Any, /) -> Any:
        """Render."""


class ProtocolFactory(Protocol):
    """Like Twisted's `IProtocolFactory`."""

    def buildProtocol(self, addr: Any, /) -> Any:
        """Make a protocol."""
