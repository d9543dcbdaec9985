"""
The send buffer of a connection: its size, and the time when it is empty, for each type of transport.

Twisted only tells a producer to pause at 64 KiB and to resume at 0, but a room server has to know the size.
So this module reads the private buffers of Twisted's transports, and registers a producer to learn when they
are empty. Of other transports it only knows whether they are full.

The private names of Twisted are used here and not in `core.twistedinternet`, because the size is needed for
each message, and one more call would be too slow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.tcp import Connection as SocketTransport
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from ..core.twistedinternet import HAProxyProtocolWrapper
from .deadlines import BYTES_PER_SECOND
from .tcpinfo import sendQueue


def outgoing(transport: Any) -> Outgoing:
    """Make the object that writes to `transport` and knows the size of its send buffer."""
    transport = withoutProxy(transport)
    if isinstance(transport, SocketTransport) and not transport.TLS:  # `startTLS` sets `TLS`
        return SocketOutgoing(transport)
    bottom = transport
    while isinstance(bottom, ProtocolWrapper):
        bottom = bottom.transport
    if isinstance(bottom, FileDescriptor):
        if isinstance(transport, TLSMemoryBIOProtocol):
            return TLSOutgoing(transport, bottom)
        return BufferedOutgoing(transport, bottom)
    return OpaqueOutgoing(transport)


def withoutProxy(transport: Any) -> Any:
    """Get the transport below Twisted's wrappers for the PROXY protocol, which have done their job."""
    while isinstance(transport, HAProxyProtocolWrapper):
        transport = transport.transport
    return transport


def unsent(transport: Any) -> int:
    """Get the number of bytes in the send buffer of the socket of `transport`; 0 if it is not known."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return _waitingIn(transport) if isinstance(transport, FileDescriptor) else 0


def _waitingIn(socket: FileDescriptor) -> int:
    return len(socket.dataBuffer) - socket.offset + socket._tempDataLen


@implementer(IPullProducer)
class BufferedOutgoing:
    """
    A transport on top of a socket whose send buffer is accessible.

    `notifyWhenEmpty` registers it as a pull producer of the socket. Twisted asks such a producer for more
    data when everything is written.
    """

    __slots__ = ("_onEmpty", "_socket", "_transport", "total")

    #: Whether the send buffer may contain bytes; if it is `False`, `amount` is 0.
    mayWait = True

    def __init__(self, transport: Any, socket: FileDescriptor) -> None:
        self._transport = transport
        self._socket = socket
        self._onEmpty: Callable[[], None] | None = None
        #: The number of bytes given to Twisted; those that the operating system accepted at once may be
        #: missing.
        self.total = 0

    def amount(self) -> int:
        """Get the number of bytes that the operating system has not accepted yet."""
        socket = self._socket  # like `_waitingIn`, without the cost of a call
        return len(socket.dataBuffer) - socket.offset + socket._tempDataLen

    def progress(self) -> tuple[int, int]:
        """
        Get the number of bytes that the peer has not acknowledged, and the number that it has acknowledged,
        as far as they are known.
        """
        amount = self.amount()
        queue = sendQueue(self._socket)
        if queue is None:
            return amount, self.total - amount
        waiting, delivered = queue
        return amount + (waiting if waiting >= BYTES_PER_SECOND else 0), delivered

    def isBlocked(self) -> bool:
        """Check whether the operating system refused to accept more bytes."""
        socket = self._socket
        return socket.offset < len(socket.dataBuffer)

    def write(self, data: bytes) -> int:
        """Send or queue `data`. Returns the number of bytes that the operating system has not accepted."""
        self.total += len(data)
        self._transport.write(data)
        return self.amount()

    def writeLong(self, header: bytes, payload: bytes) -> int:
        """Like `write`, for a header and a long payload, which is not copied if the transport allows that."""
        return self.write(header + payload)

    def notifyWhenEmpty(self, onEmpty: Callable[[], None]) -> None:
        """
        Call `onEmpty` once, when the send buffer is empty; it must not be empty now. It replaces that of an
        earlier call.
        """
        if self._onEmpty is not None:
            self._onEmpty = onEmpty
        elif self._socket.producer is None:
            self._socket.registerProducer(self, False)
            self._onEmpty = onEmpty

    def forget(self) -> None:
        """Undo `notifyWhenEmpty`."""
        if self._onEmpty is None:
            return
        self._onEmpty = None
        socket = self._socket
        socket.unregisterProducer()
        if socket.connected and socket._writeDisconnecting and not socket._writeDisconnected:
            socket.startWriting()  # Twisted continues a full close by itself, but not a half-close

    def end(self) -> None:
        """Prepare for the close of the transport, which follows when the queued bytes are written."""

    def resumeProducing(self) -> None:
        onEmpty = self._onEmpty
        if onEmpty is not None and not self.amount():
            self.forget()
            onEmpty()

    def stopProducing(self) -> None:
        self._onEmpty = None


class SocketOutgoing(BufferedOutgoing):
    """
    A TCP or UNIX socket without TLS: `write` sends immediately and not in the next turn of the reactor.

    Nothing else writes to the socket, so the send buffer stays empty while the operating system accepts all
    bytes.
    """

    __slots__ = ("_systemSocket", "mayWait")

    def __init__(self, transport: SocketTransport) -> None:
        super().__init__(transport, transport)
        # An attribute of its own, so that a broadcast accesses less memory; a closed socket raises.
        self._systemSocket = transport.socket
        self.mayWait = True

    def amount(self) -> int:
        waiting = super().amount()
        self.mayWait = waiting > 0
        return waiting

    def isBlocked(self) -> bool:
        return self.amount() > 0

    def write(self, data: bytes) -> int:
        if not (self.mayWait and self.amount()):
            try:
                sent = self._systemSocket.send(data)
            except OSError:
                sent = 0  # full or lost: the reactor notices a lost connection at its own write
            if sent == len(data):
                return 0
            data = data[sent:]
        return super().write(data)

    def writeLong(self, header: bytes, payload: bytes) -> int:
        transport = self._transport  # it has no socket if the connection is lost
        if transport.connected and not (self.mayWait and self.amount()):
            try:
                sent = transport.socket.sendmsg([header, payload])
            except OSError:
                sent = 0
            header, payload = header[sent:], payload[max(0, sent - len(header)) :]
        for part in (header, payload):
            if part:
                super().write(part)
        return self.amount()


class TLSOutgoing(BufferedOutgoing):
    """
    TLS; the send buffer includes the bytes to be encrypted and those of the socket.

    Twisted collects the bytes that are written in a turn of the reactor, encrypts and queues them, and writes
    them when the socket is ready. This class encrypts and sends immediately if the send buffer is empty.
    """

    __slots__ = ("mayWait",)

    def __init__(self, transport: Any, socket: FileDescriptor) -> None:
        super().__init__(transport, socket)
        self.mayWait = True
        if isinstance(socket, SocketTransport) and transport.transport is socket:
            transport.transport = EagerTransport(socket)

    @property
    def _aggregator(self) -> Any:
        """The object in which Twisted collects the small writes of a turn, or `None`."""
        return getattr(self._transport, "_aggregator", None)

    def amount(self) -> int:
        waiting = super().amount() + sum(map(len, self._transport._appSendBuffer))
        aggregator = self._aggregator
        if aggregator is not None:
            waiting += sum(map(len, getattr(aggregator, "_buffer", ())))
        self.mayWait = waiting > 0
        return waiting

    def isBlocked(self) -> bool:
        return self.amount() > 0

    def write(self, data: bytes) -> int:
        self.total += len(data)
        if self.mayWait and self.amount():
            self._transport.write(data)
        else:
            TLSMemoryBIOProtocol.write(self._transport, data)  # without collecting
        return self.amount()

    def notifyWhenEmpty(self, onEmpty: Callable[[], None]) -> None:
        super().notifyWhenEmpty(onEmpty)
        if not self._socket.disconnected:
            self._socket.startWriting()  # the socket may be empty while there are collected bytes

    def resumeProducing(self) -> None:
        # Otherwise the collected bytes would be written without a notification when the buffer is empty.
        aggregator = self._aggregator
        if self._onEmpty is not None and aggregator is not None:
            aggregator.flush()
        super().resumeProducing()


class EagerTransport:
    """The transport below TLS: that of the socket, but what TLS writes is sent immediately."""

    def __init__(self, transport: SocketTransport) -> None:
        self._transport = transport
        self.write = SocketOutgoing(transport).write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@implementer(IPushProducer)
class OpaqueOutgoing:
    """A transport whose send buffer is not accessible: while it is full, its size is taken to be `FULL`."""

    __slots__ = ("_armed", "_onEmpty", "_transport", "_waiting", "total")

    mayWait = True
    #: The assumed size of the send buffer after Twisted has called `pauseProducing`.
    FULL = 64 * 1024 + 1

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._onEmpty: Callable[[], None] | None = None
        self._waiting = 0
        self.total = 0
        self._armed = True
        transport.registerProducer(self, True)

    def amount(self) -> int:
        return self._waiting

    def progress(self) -> tuple[int, int]:
        return self._waiting, self.total - self._waiting

    def isBlocked(self) -> bool:
        return self._waiting > 0

    def write(self, data: bytes) -> int:
        self.total += len(data)
        if self._waiting:
            self._waiting += len(data)
        self._transport.write(data)
        return self._waiting

    def writeLong(self, header: bytes, payload: bytes) -> int:
        return self.write(header + payload)

    def notifyWhenEmpty(self, onEmpty: Callable[[], None]) -> None:
        """Call `onEmpty` once, when the transport asks for more data."""
        self._onEmpty = onEmpty

    def forget(self) -> None:
        if self._armed:
            self._armed = False
            self._transport.unregisterProducer()

    def end(self) -> None:
        self.forget()  # a transport does not close before its producer is unregistered

    def pauseProducing(self) -> None:
        self._waiting = self._waiting or self.FULL

    def resumeProducing(self) -> None:
        if self._waiting:
            self._waiting = 0
            onEmpty, self._onEmpty = self._onEmpty, None
            if onEmpty is not None:
                onEmpty()

    def stopProducing(self) -> None:
        self._armed = False


Outgoing = BufferedOutgoing | OpaqueOutgoing
