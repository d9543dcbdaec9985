"""
How a TCP connection is let go without losing the last words.

Closing a socket that holds unread bytes resets the connection, and the reset may overtake what was
written last. So the sending side is closed first, and what still comes is read and thrown away until
the peer has closed too or a deadline is over.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import Protocol
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper
from twisted.protocols.policies import ProtocolWrapper

from .sweep import Sweep

#: Seconds for which a refused client's bytes are thrown away.
LINGER = 2.0


def takeOver(transport: Any, protocol: Protocol) -> None:
    """Let `transport` deliver to `protocol` from now on."""
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    protocol.transport = transport
    protocol.connected = 1


def closeGently(transport: Any) -> None:
    """Send what is queued, then say that no more comes; TLS has words of its own for that."""
    while isinstance(transport, HAProxyProtocolWrapper):
        transport = transport.transport
    if isinstance(transport, FileDescriptor):
        transport.loseWriteConnection()
    else:
        transport.loseConnection()


class Linger(Protocol):
    """Reads and throws away until the peer closes, or for `LINGER` seconds."""

    slot: int | None = None
    transport: Any

    def __init__(self, sweep: Sweep, now: float) -> None:
        self._sweep = sweep
        sweep.schedule(self, now + LINGER)

    def dataReceived(self, data: bytes) -> None:
        pass

    def due(self, now: float) -> None:
        if self.transport is not None:
            self.transport.abortConnection()

    def connectionLost(self, reason: object = None) -> None:
        self._sweep.cancel(self)
        self.transport = None
