"""A clock for tests with many delayed calls."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from operator import attrgetter

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

_timeOf = attrgetter("time")


class SortedClock(Clock):
    """
    A `Clock` that keeps its calls sorted, and so needs not sort them again for each of them.

    Its calls can be cancelled, but not be moved to another time by `reset` or `delay`.
    """

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        calls = self.calls
        call = DelayedCall(self.rightNow + delay, callable, args, kw, calls.remove, _cantMove, self.seconds)
        insort(calls, call, key=_timeOf)
        return call

    def advance(self, amount: float) -> None:
        self.rightNow += amount
        calls = self.calls
        while calls and calls[0].time <= self.rightNow:
            call = calls.pop(0)
            call.called = 1
            call.func(*call.args, **call.kw)


def _cantMove(call: DelayedCall) -> None:
    raise NotImplementedError("calls of a SortedClock can't be moved")
