"""
The transport that an Autobahn protocol gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from zope.interface import directlyProvides, providedBy

from ..wire.context import WireContext
from ..wire.sendbuffer import withoutProxy

#: Pause the protocol's producer when more bytes than this are buffered. Twisted has the same limit.
HIGH_WATER_MARK = 64 * 1024


class TransportOwner(Protocol):
    """The wire of the connection, as the transport sees it."""

    context: WireContext

    @property
    def isOver(self) -> bool:
        """Whether nothing more can be sent."""
        ...

    @property
    def bufferedAmount(self) -> int:
        """The number of bytes that the operating system has not taken yet."""
        ...

    def write(self, data: bytes) -> None:
        """Send data that the protocol writes."""
        ...

    def finish(self, isAbort: bool) -> None:
        """Close the connection for the protocol, at once if `isAbort` is true."""
        ...

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def tellSent(self) -> None:
        """Call `AutobahnTransport.resume` when all buffered bytes are sent. Some are buffered now."""
        ...


class AutobahnTransport:
    """
    The transport of an Autobahn protocol: the client's, except that writing, reading and closing go to the
    wire.

    Args:
        wire: The wire of the connection.
        transport: The client's transport.
    """

    def __init__(self, wire: TransportOwner, transport: Any) -> None:
        self._wire = wire
        self._transport = transport
        self._isStreaming = True
        self._isProducing = False
        #: The producer that the protocol has registered, if any.
        self.producer: Any = None
        directlyProvides(self, providedBy(transport))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:
        """
        The class of the client's transport, because Autobahn checks whether that is Twisted's TLS transport.
        """
        return type(withoutProxy(self._transport))

    def write(self, data: bytes) -> None:
        self._isProducing = True
        self._wire.write(data)

    def writeSequence(self, parts: Sequence[bytes]) -> None:
        self.write(b"".join(parts))

    def loseConnection(self, *args: Any) -> None:
        self._wire.finish(isAbort=False)

    def loseWriteConnection(self) -> None:
        self._wire.finish(isAbort=False)

    def abortConnection(self) -> None:
        self._wire.finish(isAbort=True)

    def pauseProducing(self) -> None:
        self._wire.pause()

    def resumeProducing(self) -> None:
        self._wire.resume()

    def stopProducing(self) -> None:
        self.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Register a producer, as Twisted's `IConsumer` defines it.

        The client's own transport must not know this producer, because the wire is registered there.
        """
        if self.producer is not None:
            raise RuntimeError(
                f"cannot register {producer!r}, because {self.producer!r} was never unregistered"
            )
        self.producer = producer
        self._isStreaming = streaming
        if self._wire.isOver:
            self.lost()
        elif not streaming:
            self.resume()

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducerIfFull(self, waiting: int) -> bool:
        """
        Pause the producer if too many bytes are buffered.

        Args:
            waiting: The number of buffered bytes.

        Returns:
            Whether a producer is waiting for the buffer to empty.
        """
        if self.producer is None or waiting <= HIGH_WATER_MARK:
            return False
        if self._isStreaming:
            self.producer.pauseProducing()
        return True

    def resume(self) -> None:
        """Let the producer go on, because all buffered bytes are sent."""
        producer, wire = self.producer, self._wire
        if producer is None or wire.isOver:
            return
        self._isProducing = False
        producer.resumeProducing()
        if self._isStreaming or not self._isProducing:
            return  # a pull producer is asked again as long as it writes something
        if wire.bufferedAmount:
            wire.tellSent()
        else:
            wire.context.clock.callLater(0, self.resume)

    def lost(self) -> None:
        """Stop the producer, because the connection is closed."""
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
