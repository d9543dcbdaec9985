"""
Passing a transport to another protocol, and closing it without losing the last bytes.

Closing a socket with unread bytes resets the connection, and the peer may receive the reset before the bytes
that were written last. So the sending side is closed first.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import BaseProtocol
from twisted.protocols.policies import ProtocolWrapper

from .sendbuffer import withoutProxy


class TransportProtocol(Protocol):
    """The protocol that a transport delivers to."""

    transport: Any


def takeOver(transport: Any, protocol: TransportProtocol) -> None:
    """Make `transport` deliver to `protocol`, without calling its `makeConnection`."""
    if isinstance(transport, ProtocolWrapper):
        wrapper: Any = transport
        wrapper.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    protocol.transport = transport
    if isinstance(protocol, BaseProtocol):
        protocol.connected = 1


def closeGently(transport: Any) -> None:
    """Send the queued bytes, then close the sending side; over TLS, with its close_notify alert."""
    transport = withoutProxy(transport)
    if isinstance(transport, FileDescriptor):
        transport.loseWriteConnection()
    else:
        transport.loseConnection()
