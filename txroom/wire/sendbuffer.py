"""
The send buffer of a connection: how many bytes wait in it, and when it is empty, on every kind of transport.

Twisted tells a producer to pause at 64 KiB and to resume at 0, and nothing in between; a room server
must know the amount. So this module looks into the buffers of Twisted's transports, and has itself told when
they are empty. Of other transports it learns only when they are full and when they are empty.

Twisted's private names for those buffers are used here, not in `core.twistedinternet`: each message asks how
much waits, and would pay for one more call.
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
    """What measures and writes to the send buffer of `transport`."""
    transport = withoutProxy(transport)
    if isinstance(transport, SocketTransport) and not transport.TLS:  # which `startTLS` sets
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
    """The transport below Twisted's layers for the PROXY protocol, which have nothing to do any more."""
    while isinstance(transport, HAProxyProtocolWrapper):
        transport = transport.transport
    return transport


def unsent(transport: Any) -> int:
    """Bytes that wait in the socket below `transport`; 0 if that can't be seen."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return _waitingIn(transport) if isinstance(transport, FileDescriptor) else 0


def _waitingIn(socket: FileDescriptor) -> int:
    return len(socket.dataBuffer) - socket.offset + socket._tempDataLen


@implementer(IPullProducer)
class BufferedOutgoing:
    """
    A transport that ends in a socket whose buffer can be seen.

    `notifyWhenEmpty` registers it as the socket's pull producer: Twisted asks such a producer for more
    whenever everything has been written.
    """

    __slots__ = ("_onEmpty", "_socket", "_transport", "total")

    #: Whether anything may wait; if not, `amount` is 0.
    mayWait = True

    def __init__(self, transport: Any, socket: FileDescriptor) -> None:
        self._transport = transport
        self._socket = socket
        self._onEmpty: Callable[[], None] | None = None
        #: Bytes given to Twisted so far; what the operating system took at once needn't be counted.
        self.total = 0

    def amount(self) -> int:
        """Bytes that the operating system hasn't taken yet."""
        socket = self._socket  # as `_waitingIn`, without the call: each message asks
        return len(socket.dataBuffer) - socket.offset + socket._tempDataLen

    def progress(self) -> tuple[int, int]:
        """Bytes that the peer has yet to take, and those it has taken, as far as that can be seen."""
        amount = self.amount()
        queue = sendQueue(self._socket)
        if queue is None:
            return amount, self.total - amount
        waiting, delivered = queue
        return amount + (waiting if waiting >= BYTES_PER_SECOND else 0), delivered

    def isBlocked(self) -> bool:
        """Whether the operating system refused to take more."""
        socket = self._socket
        return socket.offset < len(socket.dataBuffer)

    def write(self, data: bytes) -> int:
        """Send or queue `data`; returns how many bytes wait after that."""
        self.total += len(data)
        self._transport.write(data)
        return self.amount()

    def writeLong(self, header: bytes, payload: bytes) -> int:
        """As `write`, of two parts; doesn't copy the long one if the transport can do without that."""
        return self.write(header + payload)

    def notifyWhenEmpty(self, onEmpty: Callable[[], None]) -> None:
        """Call `onEmpty` once, when all has been written; it must not be empty now."""
        if self._onEmpty is None and self._socket.producer is None:
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
            socket.startWriting()  # the half-close waited for us; Twisted goes on by itself with a full one

    def end(self) -> None:
        """The transport is about to be closed, after what waits is written."""

    def resumeProducing(self) -> None:
        onEmpty = self._onEmpty
        if onEmpty is not None and not self.amount():
            self.forget()
            onEmpty()

    def stopProducing(self) -> None:
        self._onEmpty = None


class SocketOutgoing(BufferedOutgoing):
    """
    A plain TCP or UNIX socket: `write` sends what it can at once, and not in the next turn of the reactor.

    Nobody else writes to it: once the operating system has taken all there was, nothing waits.
    """

    __slots__ = ("_systemSocket", "mayWait")

    def __init__(self, transport: SocketTransport) -> None:
        super().__init__(transport, transport)
        # Kept, so that a broadcast touches less memory; one that is closed raises.
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
                sent = 0  # full, or lost: the reactor finds out which at its own write
            if sent == len(data):
                return 0
            data = data[sent:]
        return super().write(data)

    def writeLong(self, header: bytes, payload: bytes) -> int:
        transport = self._transport  # of which a lost connection takes the socket
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
    TLS: what waits for encryption and what waits in the socket below.

    Twisted collects what is written in a turn of the reactor, encrypts it, queues it, and writes it when the
    socket is ready. While nothing waits, this class encrypts and sends at once.
    """

    __slots__ = ("mayWait",)

    def __init__(self, transport: Any, socket: FileDescriptor) -> None:
        super().__init__(transport, socket)
        self.mayWait = True
        if isinstance(socket, SocketTransport) and transport.transport is socket:
            transport.transport = EagerTransport(socket)

    @property
    def _aggregator(self) -> Any:
        """Where Twisted collects small writes for a turn, another one when it ends; `None` if it doesn't."""
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
            TLSMemoryBIOProtocol.write(self._transport, data)  # around the collecting
        return self.amount()

    def notifyWhenEmpty(self, onEmpty: Callable[[], None]) -> None:
        super().notifyWhenEmpty(onEmpty)
        if not self._socket.disconnected:
            self._socket.startWriting()  # it may be empty already, while something is being collected

    def resumeProducing(self) -> None:
        # What was collected would be sent past the socket's buffer, and nobody told when that is empty.
        aggregator = self._aggregator
        if self._onEmpty is not None and aggregator is not None:
            aggregator.flush()
        super().resumeProducing()


class EagerTransport:
    """A socket's transport, to which TLS writes: it sends what it can at once."""

    def __init__(self, transport: SocketTransport) -> None:
        self._transport = transport
        self.write = SocketOutgoing(transport).write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@implementer(IPushProducer)
class OpaqueOutgoing:
    """A transport whose buffer can't be seen: while Twisted says that it is full, `FULL` bytes wait."""

    __slots__ = ("_armed", "_onEmpty", "_transport", "_waiting", "total")

    mayWait = True
    #: How many bytes are taken to wait when Twisted calls `pauseProducing`.
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
        """Call `onEmpty` once, when the transport asks for more."""
        self._onEmpty = onEmpty

    def forget(self) -> None:
        if self._armed:
            self._armed = False
            self._transport.unregisterProducer()

    def end(self) -> None:
        self.forget()  # a transport that is to be closed waits for its producer

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
