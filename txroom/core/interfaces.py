"""
The shapes of what Twisted describes by zope interfaces.

Type checkers that don't know zope.interface (pyright, and mypy without its plugin) would else refuse an
ordinary endpoint, resource or factory where its interface is asked for.
"""

from __future__ import annotations

from typing import Any, Protocol


class Connects(Protocol):
    """As an `IStreamClientEndpoint`."""

    def connect(self, protocolFactory: Any, /) -> Any:
        """Connect."""


class Listens(Protocol):
    """As an `IStreamServerEndpoint`."""

    def listen(self, protocolFactory: Any, /) -> Any:
        """Listen."""


class Renders(Protocol):
    """As an `IResource`."""

    def render(self, request: Any, /) -> Any:
        """Render."""


class BuildsProtocols(Protocol):
    """As an `IProtocolFactory`."""

    def buildProtocol(self, addr: Any, /) -> Any:
        """Make a protocol."""
