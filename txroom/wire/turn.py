"""
One write for each connection and turn of the reactor.

A message is not written when it is sent: `Sender` keeps it as a part, and `Turn` knows the connections that
have parts. They are written

- at the end of the read during which they were sent, if it is one connection that has some;
- else at the end of the turn, when the reactor has delivered the events of one poll (see `afterEvents`);
- before that if the turn takes `LONGEST` seconds or has `MOST_PARTS` parts.

A connection alone has its parts written earlier if they have `Sender.joinLimit` bytes, or if it is closed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

#: Seconds after which the parts of a turn are written, though it isn't over.
LONGEST = 0.005
#: How many parts all connections together have at most.
MOST_PARTS = 16_384
#: After how many parts the time is looked at.
CHECKED_PARTS = 64


Parts = bytes | list[bytes] | None


class Writer(Protocol):
    """The send buffer of a connection."""

    def write(self, data: bytes) -> int:
        """Send or queue `data`."""
        ...


class TurnPort(Protocol):
    """What `Turn` needs of the `Sender` of a connection."""

    #: What was sent and isn't written yet: nothing, one part, or several.
    parts: Parts

    @property
    def out(self) -> Writer | None:
        """What they are written to; there is one while there are parts."""
        ...

    def terminate(self) -> None:
        """Drop the TCP connection."""
        ...


class Turn:
    """
    The connections of one server that have parts to be written in this turn of the reactor.

    Args:
        clock: The time, and the reactor whose turns they are.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._seconds: Callable[[], float] = clock.seconds
        self._callAfterEvents = afterEvents(clock)
        #: The clock for delayed calls that send: what they send is written at their end.
        self.clock: IReactorTime = TurnClock(clock, self)
        #: Those that have parts; one whose parts were written on its own may be here still.
        self.pending: list[TurnPort] = []
        #: When the first of them got a part, or the read began during which it did.
        self.since = 0.0
        #: Whether a read is delivered, or a delayed call of `clock` runs; its end sees to the parts.
        self.isActive = False
        #: How many parts may come before `check` is to be called.
        self.room = CHECKED_PARTS
        self._partCount = 0
        self._isScheduled = False
        self._isFlushing = False

    def begin(self) -> None:
        """The first connection was added to `pending` while `isActive` is unset."""
        self.since = self._seconds()
        self._schedule()

    def beginRead(self, now: float) -> None:
        """Bytes of a connection have come while there are parts of others."""
        if now - self.since >= LONGEST:
            self.flush()
            self.since = self._seconds()

    def endRead(self) -> None:
        """The messages that came are delivered: write the parts there are, now or at the end of the turn."""
        pending = self.pending
        if len(pending) > 1 or self._isScheduled:
            self._schedule()
            return
        sender = pending.pop()
        parts, sender.parts = sender.parts, None
        if parts is None:
            return
        try:
            sender.out.write(parts if isinstance(parts, bytes) else b"".join(parts))  # type: ignore[union-attr]
        except Exception:
            self._failed(sender)

    def run(self, function: Callable[..., object], *args: object, **keywords: object) -> None:
        """Call a function, and write the parts that come of it."""
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
        """Write all parts if there are too many, or if the turn takes too long."""
        self._partCount += CHECKED_PARTS - self.room
        self.room = CHECKED_PARTS
        if self._partCount >= MOST_PARTS or self._seconds() - self.since >= LONGEST:
            self.flush()
            self.since = self._seconds()

    def flush(self) -> None:
        """Write all parts; also those that are sent meanwhile, by what is told of a write."""
        if self._isFlushing or not self.pending:
            return
        self._isFlushing = True
        try:
            while self.pending:
                pending, self.pending = self.pending, []
                self._write(pending)
        finally:
            self._isFlushing = False
            self._partCount = 0
            self.room = CHECKED_PARTS

    def _write(self, pending: list[TurnPort]) -> None:
        joined: Parts = None
        data = b""
        for sender in pending:
            parts = sender.parts
            if parts is None:
                continue
            sender.parts = None
            if isinstance(parts, bytes):
                data = parts
            # The members of a room get the same frames mostly, which are joined once for all of them.
            elif parts != joined:
                data = b"".join(parts)
            joined = parts
            try:
                sender.out.write(data)  # type: ignore[union-attr]
            except Exception:
                self._failed(sender)

    def _failed(self, sender: TurnPort) -> None:
        self._log.failure("a connection could not be written to")
        sender.terminate()

    def _schedule(self) -> None:
        if not self._isScheduled:
            self._isScheduled = True
            self._callAfterEvents(self._end)

    def _end(self) -> None:
        self._isScheduled = False
        self.flush()


@implementer(IReactorTime)
class TurnClock:
    """The clock of a `Turn`; after each delayed call the parts are written."""

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
    How to have a function called when the reactor has delivered the events of a poll, before the next poll.

    - A reactor that has a method `callAfterEvents`, such as `txroom.process.leanepoll`, does just that.
    - asyncio calls the function before it delivers what its next poll finds.
    - Twisted's other reactors, and `task.Clock`, call it as a delayed call of 0 seconds. If it was a delayed
      call that sent something, they may deliver what has come meanwhile before that; they don't wait for it.
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
    except RuntimeError:  # the reactor doesn't run yet
        clock.callLater(0, function)
    else:
        loop.call_soon(function)
