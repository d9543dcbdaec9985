"""
Handing a transport from one protocol to the next, and closing it without losing what was written last.

Closing a socket that holds unread bytes resets the connection, and the reset may overtake what was
written last. So the sending side is closed first.
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
    """Let `transport` deliver to `protocol` from now on, without calling its `makeConnection`."""
    if isinstance(transport, ProtocolWrapper):
        wrapper: Any = transport
        wrapper.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    protocol.transport = transport
    if isinstance(protocol, BaseProtocol):
        protocol.connected = 1


def closeGently(transport: Any) -> None:
    """Send what is queued, then say that no more comes; TLS has words of its own for that."""
    transport = withoutProxy(transport)
    if isinstance(transport, FileDescriptor):
        transport.loseWriteConnection()
    else:
        transport.loseConnection()
