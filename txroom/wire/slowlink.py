"""
A simulated slow link, so that developers and operators see what a bad network does to an app.

`SlowLink` stands between a connection and its transport only as long as it is needed: the transport delivers
to it instead of to the `Receiver`, and the `Sender` writes to its `SlowOutgoing`. What passes is delayed in
both directions and keeps its order, since TCP keeps it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, ILoggingContext, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..core.link import Link
from .context import WireContext
from .receiver import Receiver
from .sendbuffer import BufferedOutgoing, OpaqueOutgoing
from .transports import closeGently, takeOver

#: The bytes that may be on the link in each direction. What is sent beyond that waits for the peer, as if the
#: operating system had not accepted it; what arrives beyond that is not read yet.
IN_FLIGHT = 256 * 1024
#: The shortest time after which TCP sends a lost part again (Linux's `TCP_RTO_MIN`), and how often a part may
#: be lost in a row. The time doubles each time (RFC 6298 §5.5).
RETRANSMISSION, MOST_LOSSES = 0.2, 6
#: Calls that come this much too early, because of rounding, are in time.
_ROUNDING = 1e-6


class SlowWire(Protocol):
    """What a `SlowLink` needs of the `WireProtocol`."""

    context: WireContext
    receiver: Receiver
    out: BufferedOutgoing | OpaqueOutgoing | SlowOutgoing | None

    def takesSent(self) -> Callable[[], None] | None:
        """Return what is to be called when the send buffer is empty; `None`: nothing waits for that."""
        ...


class Direction:
    """
    The parts that are on their way in one direction.

    Args:
        clock: The clock.
        deliver: Takes a part that has arrived.
        random: Returns a random number from 0 to 1.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, deliver: Callable[[bytes], object], random: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._deliver = deliver
        self._random = random
        self.link = Link()
        #: The number of bytes on their way.
        self.size = 0
        #: Whether nothing is delivered for now.
        self.isPaused = False
        self._parts: deque[tuple[float, bytes]] = deque()
        self._last = 0.0
        self._timer: IDelayedCall | None = None

    def add(self, data: bytes) -> None:
        """Let a part begin its way; it arrives after all parts before it."""
        self._last = max(self._last, self._clock.seconds() + self._delay())
        self._parts.append((self._last, data))
        self.size += len(data)
        self._schedule()

    def _delay(self) -> float:
        link, random = self.link, self._random
        seconds = link.latency / 2 + (random() * link.jitter if link.jitter else 0.0)
        if link.loss:
            again = link.latency + RETRANSMISSION
            for _ in range(MOST_LOSSES):
                if random() >= link.loss:
                    break
                seconds += again
                again *= 2
        return seconds

    def hurry(self) -> None:
        """Let everything that is on its way arrive in the next turn of the reactor."""
        now = self._last = self._clock.seconds()
        self._parts = deque((now, data) for _, data in self._parts)
        self.cancel()
        self._schedule()

    def pause(self, isPaused: bool) -> None:
        """Deliver nothing for now, or go on in the next turn of the reactor."""
        self.isPaused = isPaused
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is None and self._parts and not self.isPaused:
            wait = max(0.0, self._parts[0][0] - self._clock.seconds())
            self._timer = self._clock.callLater(wait, self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        until = self._clock.seconds() + _ROUNDING
        try:
            while self._parts and not self.isPaused and self._parts[0][0] <= until:
                self._next()
        finally:
            self._schedule()

    def flush(self) -> None:
        """Deliver everything now."""
        while self._parts:
            self._next()

    def _next(self) -> None:
        _, data = self._parts.popleft()
        self.size -= len(data)
        self._deliver(data)

    def cancel(self) -> None:
        """Stop the timer."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def clear(self) -> None:
        """Lose everything that is on its way."""
        self.cancel()
        self._parts.clear()
        self.size = 0


@implementer(ILoggingContext)
class SlowLink:
    """
    The link of one connection: the protocol of its transport, and the transport of its `Receiver`.

    Args:
        wire: The connection, which is not closed.
        onEnd: Called once, when the link has ended or the connection is lost.
        random: Returns a random number from 0 to 1.
    """

    _log = Logger()

    def __init__(
        self,
        wire: SlowWire,
        below: BufferedOutgoing | OpaqueOutgoing,
        onEnd: Callable[[], object],
        random: Callable[[], float],
    ) -> None:
        self._wire = wire
        self._receiver = wire.receiver
        self.transport: Any = wire.receiver.transport
        self._onEnd: Callable[[], object] | None = onEnd
        clock = wire.context.clock
        self._incoming = Direction(clock, self._arrived, random)
        self._outgoing = Direction(clock, self._left, random)
        self._isEnding = self._isClosing = False
        self._isReading = True
        self.out = SlowOutgoing(below, self._outgoing, self)

    # -- begin and end

    def begin(self, link: Link) -> None:
        """Take the places of the transport's protocol, the receiver's transport and the wire's output."""
        self.change(link)
        receiver, wire = self._receiver, self._wire
        self._isReading = receiver.isReading
        self._incoming.isPaused = not receiver.isReading
        takeOver(self.transport, self)
        receiver.transport = self
        wire.out = self.out
        onSent = wire.takesSent()
        if onSent is not None:
            self.out.notifyWhenEmpty(onSent)

    def change(self, link: Link) -> None:
        """Be another link from now on."""
        self._isEnding = False
        self._incoming.link = self._outgoing.link = link

    @property
    def isEnding(self) -> bool:
        """Whether it ends when nothing is on its way any more."""
        return self._isEnding

    def end(self) -> None:
        """Let what is on its way arrive, and then leave."""
        self.change(Link())
        self._isEnding = True
        self._incoming.hurry()
        self._outgoing.hurry()
        self._wire.context.clock.callLater(0, self._endIfEmpty)

    def _endIfEmpty(self) -> None:
        if not self._isEnding or self._incoming.size or self._outgoing.size or self._onEnd is None:
            return
        receiver, wire = self._receiver, self._wire
        takeOver(self.transport, receiver)
        if receiver.isReading is not self._isReading:
            self.transport.resumeProducing()
        wire.out = self.out.below
        self._hasEnded()

    def _hasEnded(self) -> None:
        onEnd, self._onEnd = self._onEnd, None
        if onEnd is not None:
            onEnd()

    # -- what arrives; called by the transport

    def logPrefix(self) -> str:
        """Return the name for Twisted's log."""
        return self._receiver.logPrefix()

    def dataReceived(self, data: bytes) -> None:
        """Let bytes of the client begin their way."""
        self._incoming.add(data)
        self._read()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Deliver what is on its way, since it arrived before the connection was lost."""
        self._incoming.flush()
        self.clear()
        self._receiver.connectionLost(reason)
        self._hasEnded()

    def _arrived(self, data: bytes) -> None:
        try:
            self._receiver.dataReceived(data)
        except Exception:
            self._log.failure("reading from a connection raised; it is dropped")
            self.abortConnection()
        else:
            self._read()
            self._endIfEmpty()

    def _read(self) -> None:
        """Read from the transport unless the receiver is paused or too much is on its way."""
        reads = not self._incoming.isPaused and self._incoming.size < IN_FLIGHT
        if reads is self._isReading or self._onEnd is None:
            return
        self._isReading = reads
        if reads:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    # -- the transport of the receiver

    def pauseProducing(self) -> None:
        """Deliver nothing to the receiver."""
        self._incoming.pause(True)
        self._read()

    def resumeProducing(self) -> None:
        """Deliver to the receiver again."""
        self._incoming.pause(False)
        self._read()

    def loseConnection(self) -> None:
        """Close the transport gently when everything that is on its way out has left."""
        self._isClosing = True
        self._left(b"")

    def abortConnection(self) -> None:
        """Drop the transport, and what is on its way."""
        self.clear()
        self.transport.abortConnection()

    def clear(self) -> None:
        """Lose everything that is on its way."""
        self._incoming.clear()
        self._outgoing.clear()

    # -- what leaves

    def _left(self, data: bytes) -> None:
        """Write bytes that have passed the link."""
        below = self.out.below
        try:
            if data:
                below.write(data)
        except Exception:
            self._log.failure("writing to a connection raised; it is dropped")
            self.abortConnection()
            return
        if self._isClosing and not self._outgoing.size:
            self._isClosing = False
            below.end()
            closeGently(self.transport)
        self.out.check()
        self._endIfEmpty()


class SlowOutgoing:
    """
    The send buffer of a connection with a slow link.

    Up to `IN_FLIGHT` bytes on the link count as accepted by the operating system, which would have accepted
    them on a real one. `progress` knows that the peer has not got them.

    Args:
        below: The send buffer of the transport.
        direction: What is on its way.
        link: The link.
    """

    #: Whether the send buffer may contain bytes.
    mayWait = True

    def __init__(
        self, below: BufferedOutgoing | OpaqueOutgoing, direction: Direction, link: SlowLink
    ) -> None:
        self.below = below
        self.link = link
        self._direction = direction
        self._onEmpty: Callable[[], None] | None = None

    def amount(self) -> int:
        """Get the number of bytes that wait, besides those on the link."""
        return max(0, self._direction.size - IN_FLIGHT) + self.below.amount()

    def progress(self) -> tuple[int, int]:
        """Get the number of bytes that the peer has not acknowledged, and the number that it has."""
        waiting, delivered = self.below.progress()
        return waiting + self._direction.size, delivered

    def isBlocked(self) -> bool:
        """Check whether bytes wait."""
        return self.amount() > 0

    def write(self, data: bytes) -> int:
        """Send or queue `data`. Returns the number of bytes that wait."""
        if self.link.isEnding and not self._direction.size:
            return self.below.write(data)
        self._direction.add(data)
        return self.amount()

    def writeLong(self, header: bytes, payload: bytes) -> int:
        """Like `write`, for a header and a long payload."""
        return self.write(header + payload)

    def notifyWhenEmpty(self, onEmpty: Callable[[], None]) -> None:
        """Call `onEmpty` once, when no bytes wait; some must wait now."""
        self._onEmpty = onEmpty
        if self._direction.size <= IN_FLIGHT and self.below.amount():
            self.below.notifyWhenEmpty(self.check)

    def check(self) -> None:
        """Tell those who wait for the send buffer to be empty, if it is."""
        onEmpty = self._onEmpty
        if onEmpty is None or self._direction.size > IN_FLIGHT:
            return
        if self.below.amount():
            self.below.notifyWhenEmpty(self.check)
        else:
            self._onEmpty = None
            onEmpty()

    def forget(self) -> None:
        """Undo `notifyWhenEmpty`."""
        self._onEmpty = None
        self.below.forget()

    def end(self) -> None:
        """Do nothing yet: the transport is closed when everything has left; see `SlowLink.loseConnection`."""
