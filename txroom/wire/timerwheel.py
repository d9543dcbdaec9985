"""
One timer for all connections of a server.

All deadlines of connections and handshakes are on this wheel, so that thousands of connections need one
`DelayedCall`, and none if there are no deadlines.
"""

from __future__ import annotations

from collections import deque
from math import floor
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from .deadlines import NEVER

#: The number of seconds between two ticks; a deadline is noticed at the first tick after it.
TICK = 0.1
#: The delayed call runs this fraction of a tick after the tick begins, because rounding could otherwise make
#: it run before.
_AFTER = 0.01
#: A call that is late by more than this many seconds is repeated after the sockets have been read once.
LATE = TICK
#: If a call is late by this many seconds, the process was stopped.
STANDSTILL = 1.0
#: The number of stops that are remembered.
_REMEMBERED = 64


class TimerTask(Protocol):
    """An object with a deadline, like Netty's `TimerTask`; the wheel keeps its `slot` there."""

    slot: int | None

    def due(self, now: float) -> None:
        """
        Called after the deadline. The object is not on the wheel any more, and may be scheduled again.

        It may be called although another object has cancelled it during the same tick, so it has to check its
        own state.
        """


class _Slot(set[TimerTask]):
    """The objects that are due in one tick, and its number, which all of them share to save memory."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class TimerWheel:
    """A timer wheel; the cost of `schedule` and `cancel` does not depend on the number of objects."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._slots: dict[int, _Slot] = {}
        self._next = 0
        self._call: IDelayedCall | None = None
        self._expected = 0.0
        #: When the process was stopped: start and end.
        self._standstills: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)

    def lostSince(self, since: float) -> float:
        """
        Get the number of seconds since `since` for which the process was blocked or stopped.

        A deadline that started at `since` is extended by that time, because nothing was read during it.
        """
        if not self._standstills:
            return 0.0
        return sum(max(0.0, end - max(start, since)) for start, end in self._standstills)

    def schedule(self, item: TimerTask, when: float) -> None:
        """Call `item.due` when the clock has passed `when`; this replaces an earlier deadline of `item`."""
        slot = floor(when / TICK) + 1
        if item.slot is not None:
            if item.slot == slot:
                return
            self._remove(item)
        if self._call is None:
            now = self._clock.seconds()
            self._next = floor(now / TICK) + 1
            self._wait(now, self._next)
        slot = max(slot, self._next)
        items = self._slots.get(slot)
        if items is None:
            items = self._slots[slot] = _Slot(slot)
        item.slot = items.number
        items.add(item)

    def cancel(self, item: TimerTask) -> None:
        """Remove `item`, if it is on the wheel."""
        if item.slot is not None:
            self._remove(item)
        self._rest()

    def _remove(self, item: TimerTask) -> None:
        slot = item.slot
        assert slot is not None
        item.slot = None
        items = self._slots[slot]
        items.discard(item)
        if not items:
            del self._slots[slot]

    def _wait(self, now: float, slot: int) -> None:
        delay = max(0.0, (slot + _AFTER) * TICK - now)
        self._expected = now + delay
        self._call = self._clock.callLater(delay, self._look)

    def _look(self) -> None:
        now = self._clock.seconds()
        late = now - self._expected
        if late > LATE:
            # The reactor runs delayed calls before it reads, and the sockets may contain answers in time.
            if late >= STANDSTILL:
                self._standstills.append((self._expected, now))
            self._expected = NEVER
            self._call = self._clock.callLater(0, self._look)
            return
        last = floor(now / TICK)
        self._wait(now, last + 1)
        while self._next <= last:
            # The slot is removed first, because an object may be scheduled again for the same slot.
            items = self._slots.pop(self._next, None)
            self._next += 1
            for item in items or ():
                item.slot = None
            for item in items or ():
                if item.slot is None:
                    self._tell(item, now)
        self._rest()

    def _tell(self, item: TimerTask, now: float) -> None:
        try:
            item.due(now)
        except Exception:
            self._log.failure("checking the deadline of {item} raised", item=item)

    def _rest(self) -> None:
        if not self._slots and self._call is not None:
            self._call.cancel()
            self._call = None
