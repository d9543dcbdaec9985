"""
What an Autobahn protocol has as its transport.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from zope.interface import directlyProvides, providedBy

from ..wire.context import WireContext
from ..wire.sendbuffer import withoutProxy

#: A producer of the protocol's is to pause when so many bytes wait; Twisted's own limit.
HIGH_WATER_MARK = 64 * 1024


class TransportOwner(Protocol):
    """The wire of the connection, as the transport knows it."""

    context: WireContext

    @property
    def isOver(self) -> bool:
        """Whether nothing more is sent."""
        ...

    @property
    def bufferedAmount(self) -> int:
        """Bytes that wait to be taken by the operating system."""
        ...

    def write(self, data: bytes) -> None:
        """The protocol writes."""
        ...

    def finish(self, isAbort: bool) -> None:
        """The protocol drops its connection."""
        ...

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def tellSent(self) -> None:
        """Call `AutobahnTransport.resume` when all is sent; something waits."""
        ...


class AutobahnTransport:
    """
    The transport of an Autobahn protocol: the client's, but for what is written, read and ended.

    Args:
        wire: The wire of the connection.
        transport: The client's.
    """

    def __init__(self, wire: TransportOwner, transport: Any) -> None:
        self._wire = wire
        self._transport = transport
        self._isStreaming = True
        self._isProducing = False
        #: Whoever produces what the protocol writes, if anybody was registered.
        self.producer: Any = None
        directlyProvides(self, providedBy(transport))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:
        """That of the client's transport: Autobahn asks whether it is Twisted's own for TLS."""
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
        """Twisted's contract, of which the client's own transport knows nothing: we have its place there."""
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
        """So many bytes wait: let the producer wait if they are too many; whether there is one that does."""
        if self.producer is None or waiting <= HIGH_WATER_MARK:
            return False
        if self._isStreaming:
            self.producer.pauseProducing()
        return True

    def resume(self) -> None:
        """All is sent: let the producer produce."""
        producer, wire = self.producer, self._wire
        if producer is None or wire.isOver:
            return
        self._isProducing = False
        producer.resumeProducing()
        if self._isStreaming or not self._isProducing:
            return  # one that pulls goes on as long as something comes of it
        if wire.bufferedAmount:
            wire.tellSent()
        else:
            wire.context.clock.callLater(0, self.resume)

    def lost(self) -> None:
        """The connection is gone."""
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
