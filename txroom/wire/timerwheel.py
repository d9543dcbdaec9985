"""
One timer for all connections of a server.

Every deadline of a connection or of a handshake (heartbeat, idle, lifetime, assembly, close) lies on
this wheel, so that thousands of connections cost one `DelayedCall`, and none while there are none.
"""

from __future__ import annotations

from collections import deque
from math import floor
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from .deadlines import NEVER

#: Seconds between two looks; a deadline is met at the first look after it.
TICK = 0.1
#: The part of a tick by which a look comes after its beginning, so that no rounding makes it early.
_AFTER = 0.01
#: A look that is late by more seconds than that is put off until the sockets have been read once.
LATE = TICK
#: A look that is late by so many seconds means that the process stood still; of the last ones so many count.
STANDSTILL = 1.0
_REMEMBERED = 64


class TimerTask(Protocol):
    """An object with a deadline, like Netty's `TimerTask`; the wheel keeps its `slot` there."""

    slot: int | None

    def due(self, now: float) -> None:
        """
        The deadline has passed; the item is off the wheel, and may `schedule` itself again.

        It may come although another item of the same look has cancelled it: look at your own state.
        """


class _Slot(set[TimerTask]):
    """What is due in one tick, and its number, one object for all items: each would take 32 bytes."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class TimerWheel:
    """A timer wheel: `schedule` and `cancel` cost the same however many are on it."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._slots: dict[int, _Slot] = {}
        self._next = 0
        self._call: IDelayedCall | None = None
        self._expected = 0.0
        #: When the process stood still: from, to.
        self._standstills: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)

    def lostSince(self, since: float) -> float:
        """
        Seconds since then for which the process stood still, blocked or stopped.

        Nobody is late for what was not read meanwhile; a deadline that began then is later by so much.
        """
        if not self._standstills:
            return 0.0
        return sum(max(0.0, end - max(start, since)) for start, end in self._standstills)

    def schedule(self, item: TimerTask, when: float) -> None:
        """Call `item.due` once `when` has passed on the clock; an earlier `schedule` of it is void."""
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
        """Forget `item`; harmless if it isn't on the wheel."""
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
            # A reactor runs what is due before it reads: what saves a connection may lie in its socket.
            if late >= STANDSTILL:
                self._standstills.append((self._expected, now))
            self._expected = NEVER
            self._call = self._clock.callLater(0, self._look)
            return
        last = floor(now / TICK)
        self._wait(now, last + 1)
        while self._next <= last:
            # A slot is taken off whole: one due now may schedule another in the same slot.
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
            self._log.failure("a deadline of {item} raised", item=item)

    def _rest(self) -> None:
        if not self._slots and self._call is not None:
            self._call.cancel()
            self._call = None
