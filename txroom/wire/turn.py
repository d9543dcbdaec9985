"""
Frames that are sent on one connection during one turn of the reactor are joined and written together.

`Sender` does not write a frame when it is sent. It keeps the bytes of the frame, called a part, and `Turn`
has a list of the connections that have parts. `Turn` writes the parts

- at the end of the read during which they were sent, if only one connection has parts;
- otherwise at the end of the turn, when the reactor has delivered the events of one poll (see `afterEvents`);
- earlier, if the connections have `MOST_PARTS` parts, or if the turn takes too long: `LONGEST` seconds, or
  `PATIENCE` times as long as the last write took, up to `LONGEST_OF_ALL`. A write to a big room takes so long
  that a process which wrote after each few messages would do nothing else.

`Sender` itself writes the parts of its connection when they have `joinLimit` bytes, or when it is closed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ..core.meters import Histogram

#: The number of seconds after which parts are written before the turn ends, if writes are short.
LONGEST = 0.005
#: How many times as long as the last write a turn may take, and how many seconds at most.
PATIENCE, LONGEST_OF_ALL = 3, 0.05
#: The largest number of parts of all connections together.
MOST_PARTS = 16_384
#: The number of parts after which the clock is read.
CHECKED_PARTS = 16

#: The upper bounds of the classes in which writes are counted, by their parts. The class of a number is one
#: less than the length of its binary form, which is the quickest to find.
PART_BOUNDS = tuple((1 << bits) - 1 for bits in range(1, MOST_PARTS.bit_length()))

#: The parts of one connection: none, one or several.
Parts = bytes | list[bytes] | None


class Writer(Protocol):
    """The send buffer of a connection."""

    def write(self, data: bytes) -> int:
        """Send or queue `data`. Returns the number of bytes that the operating system has not accepted."""
        ...


class TurnPort(Protocol):
    """What `Turn` needs of the `Sender` of a connection."""

    #: The frames that were sent and are not written yet.
    parts: Parts

    @property
    def out(self) -> Writer | None:
        """The send buffer that the parts are written to; not `None` while there are parts."""
        ...

    def terminate(self) -> None:
        """Drop the TCP connection."""
        ...


class Turn:
    """
    The connections of one server that have parts to write in this turn of the reactor.

    Args:
        clock: The reactor of the server.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._seconds: Callable[[], float] = clock.seconds
        self._callAfterEvents = afterEvents(clock)
        #: A clock that writes the parts at the end of each of its delayed calls.
        self.clock: IReactorTime = TurnClock(clock, self)
        #: The connections that have parts, and connections whose parts were already written by `Sender`.
        self.pending: list[TurnPort] = []
        #: When the first part was sent, or when the read or delayed call began that sent it.
        self.since = 0.0
        #: Whether a read or a delayed call of `clock` is in progress, at whose end `endRead` or `flush` is
        #: called.
        self.isActive = False
        #: The number of parts until `check` is called.
        self.partsUntilCheck = CHECKED_PARTS
        #: The writes at the end of a read or of a turn: those of one part, and of several; see `writes`.
        self._singles = 0
        self._joins = Histogram(PART_BOUNDS)
        self._partCount = 0
        #: The number of seconds after which this turn takes too long.
        self._longest = LONGEST
        self._isScheduled = False
        self._isFlushing = False

    @property
    def writes(self) -> Histogram:
        """The number of parts of each write at the end of a read or of a turn."""
        writes = Histogram(PART_BOUNDS)
        writes.add(self._joins)
        writes.counts[0] += self._singles
        writes.sum += self._singles
        return writes

    def begin(self) -> None:
        """
        Schedule a write.

        Called when the first connection was added to `pending` while `isActive` is `False`.
        """
        self.since = self._seconds()
        self._schedule()

    def beginRead(self, now: float) -> None:
        """
        Write the parts if the turn takes too long.

        Called when bytes have arrived while `pending` is not empty.
        """
        if now - self.since >= self._longest:
            self.flush()
            self.since = self._seconds()

    def endRead(self) -> None:
        """
        Write the parts, or schedule that for the end of the turn.

        Called when all messages of a read are delivered.
        """
        pending = self.pending
        if len(pending) > 1 or self._isScheduled:
            self._schedule()
            return
        sender = pending.pop()
        parts, sender.parts = sender.parts, None
        if parts is None:
            return
        if isinstance(parts, bytes):
            data = parts
            self._singles += 1
        else:
            data = b"".join(parts)
            self._joins.counts[len(parts).bit_length() - 1] += 1
            self._joins.sum += len(parts)
        try:
            sender.out.write(data)  # type: ignore[union-attr]
        except Exception:
            self._failed(sender)

    def run(self, function: Callable[..., object], *args: object, **keywords: object) -> None:
        """Call a function, then write all parts."""
        isOuter = not self.isActive
        self.isActive = True
        if not self.pending:
            self.since = self._seconds()
        try:
            function(*args, **keywords)
        finally:
            if isOuter:
                self.isActive = False
                self.flush()

    def check(self) -> None:
        """Write all parts if there are too many or if the turn takes too long."""
        self._partCount += CHECKED_PARTS - self.partsUntilCheck
        self.partsUntilCheck = CHECKED_PARTS
        if self._partCount >= MOST_PARTS or self._seconds() - self.since >= self._longest:
            self.flush()
            self.since = self._seconds()

    def flush(self) -> None:
        """Write all parts, also parts that are added during a write."""
        if self._isFlushing or not self.pending:
            return
        self._isFlushing = True
        started = self._seconds()
        try:
            while self.pending:
                pending, self.pending = self.pending, []
                self._write(pending)
        finally:
            took = self._seconds() - started
            self._longest = min(max(LONGEST, PATIENCE * took), LONGEST_OF_ALL)
            self._isFlushing = False
            self._partCount = 0
            self.partsUntilCheck = CHECKED_PARTS

    def _write(self, pending: list[TurnPort]) -> None:
        joined: Parts = None
        data = b""
        singles = 0
        joins = self._joins
        senders = iter(pending)
        try:
            for sender in senders:
                parts = sender.parts
                if parts is None:
                    continue
                sender.parts = None
                try:
                    if isinstance(parts, bytes):
                        data = parts
                        singles += 1
                    else:
                        # The members of a room mostly get the same frames: the last join is used again.
                        if parts != joined:
                            data = b"".join(parts)
                        joins.counts[len(parts).bit_length() - 1] += 1
                        joins.sum += len(parts)
                    joined = parts
                    sender.out.write(data)  # type: ignore[union-attr]
                except Exception:
                    self._failed(sender)
        finally:
            self._singles += singles
            # After an exception that is not caught here, such as KeyboardInterrupt, the others come later.
            later = list(senders)
            if later:
                self.pending[:0] = later
                self._schedule()

    def _failed(self, sender: TurnPort) -> None:
        self._log.failure("writing to a connection raised; it is dropped")
        try:
            sender.terminate()
        except Exception:
            self._log.failure("dropping the connection raised as well")

    def _schedule(self) -> None:
        if not self._isScheduled:
            self._isScheduled = True
            self._callAfterEvents(self._end)

    def _end(self) -> None:
        self._isScheduled = False
        self.flush()


@implementer(IReactorTime)
class TurnClock:
    """The clock of a `Turn`, which writes all parts at the end of each delayed call."""

    def __init__(self, clock: IReactorTime, turn: Turn) -> None:
        self.seconds: Callable[[], float] = clock.seconds
        self._clock = clock
        self._turn = turn

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        return self._clock.callLater(delay, self._turn.run, callable, *args, **kw)

    def getDelayedCalls(self) -> Any:
        return self._clock.getDelayedCalls()


def afterEvents(clock: Any) -> Callable[[Callable[[], None]], object]:
    """
    Find the way to call a function after a reactor has delivered the events of one poll.

    - A reactor with a method `callAfterEvents`, such as `txroom.process.leanepoll`, is asked to do it.
    - asyncio calls the function before it delivers the events of its next poll.
    - Twisted's other reactors and `task.Clock` run the function as a delayed call of 0 seconds. If another
      delayed call schedules it, it runs after the next poll; that poll returns at once.

    Args:
        clock: The reactor.

    Returns:
        A function that schedules the call of its argument.
    """
    own: Callable[[Callable[[], None]], object] | None = getattr(clock, "callAfterEvents", None)
    if own is not None:
        return own
    module = sys.modules.get("twisted.internet.asyncioreactor")
    if module is not None and isinstance(clock, module.AsyncioSelectorReactor):
        return lambda function: _callSoon(clock, function)
    return lambda function: clock.callLater(0, function)


def _callSoon(clock: Any, function: Callable[[], None]) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # the reactor is not running yet
        clock.callLater(0, function)
    else:
        loop.call_soon(function)
