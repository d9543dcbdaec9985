"""
A room's own time: delayed and repeated calls that end with the room.

A timer waits until it is due, is then called, and goes on if its function is asynchronous::

    WAITING --due--> CALLED --returned--> DONE, or WAITING again if it repeats
                        |                       ^
                        +-- is asynchronous --> RUNNING --ended--> the same

It may be cancelled in any of these (`cancel`), and is stopped when the room begins to end (`stop`): then it
is DONE at once, but what runs goes on until `cancelRunning`. The clock has the timers that are not DONE. A
function that cancels its own timer and goes on is RUNNING all the same, so that its failure is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ...core.awaitables import cancelHook, clearFailure, clearTraceback, isAsync, toDeferred
from ...core.codes import ErrorCode
from ...core.validation import isAmount
from ...protocol.errors import RoomError
from ..hooks import asException, failWaiter

#: A repeated call that raises so many times in a row costs the room.
MAX_FAILURES = 10


def _nothing(*args: object) -> None:
    """What a timer calls that is DONE."""


class Timer:
    """A call to come; `cancel` it when it isn't wanted any more."""

    def __init__(self, clock: RoomClock, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._clock = clock
        self._function = function
        self._args = args
        self._call: IDelayedCall | None = None
        self._interval: float | None = None
        self._due = 0.0
        self._failures = 0
        self._running: Deferred[Any] | None = None

    @property
    def isActive(self) -> bool:
        """Whether it will be called."""
        return self._call is not None or (self._running is not None and self._interval is not None)

    @property
    def isRunning(self) -> bool:
        """Whether its function goes on, asynchronously."""
        return self._running is not None

    def cancel(self) -> None:
        """Don't call any more, and cancel what is running; more than once does nothing."""
        self.stop()
        self.cancelRunning()

    def stop(self) -> None:
        """Don't call any more."""
        self._done()
        self._interval = None
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _done(self) -> None:
        """It is DONE: whoever still has this timer doesn't keep alive what it called."""
        self._clock.forget(self)
        self._function, self._args = _nothing, ()

    def cancelRunning(self) -> None:
        """Cancel what is running."""
        running, self._running = self._running, None
        if running is not None:
            cancelHook(running)

    def schedule(self, seconds: float, interval: float | None) -> Timer:
        """Call in `seconds`, and then, with an `interval`, again and again."""
        self._interval = interval
        self._due = self._clock.seconds() + seconds
        self._call = self._clock.reactor.callLater(seconds, self._fire)
        return self

    def _fire(self) -> None:
        self._call = None
        try:
            result = self._function(*self._args)
        except BaseException:
            self._ended(asException(Failure()))
            return
        if isAsync(result):
            self._running = running = toDeferred(result)
            if not self._clock.keep(self):
                cancelHook(running)
            running.addBoth(self._ended)
        else:
            self._ended(None)

    def _ended(self, result: object) -> None:
        self._running = None
        isTold = self._clock.has(self)
        if isinstance(result, Failure):
            if isTold:
                clearTraceback(result.value)
            else:
                clearFailure(result)
        if not isTold:
            return
        if isinstance(result, Failure):
            self._failures += 1
            self._clock.failed(result, getattr(self._function, "__name__", ""), self._failures)
        else:
            self._failures = 0
        if not self._clock.has(self):
            return
        if self._interval is None:
            self._done()
            return
        # On the grid of its interval; ticks that came too late are left out.
        now = self._clock.seconds()
        self._due += self._interval
        if self._due < now:
            self._due += ((now - self._due) // self._interval + 1) * self._interval
        self._call = self._clock.reactor.callLater(max(0.0, self._due - now), self._fire)


class RoomClock:
    """
    The time of one room (`room.clock`): nothing is called after the room has ended.

    What raises is reported as any handler's error and, if it repeats, goes on; ten times in a row close
    the room. Asynchronous functions are waited for before the next call.
    """

    def __init__(
        self, reactor: IReactorTime, onFailure: Callable[[Failure, str], None], onGiveUp: Callable[[], None]
    ) -> None:
        self.reactor = reactor
        self._onFailure = onFailure
        self._onGiveUp = onGiveUp
        #: The timers that are not DONE, and who sleeps, in the order in which they began: so is the order in
        #: which they are told that the room ends.
        self._timers: dict[Timer, None] = {}
        self._sleepers: dict[Deferred[None], None] = {}
        #: Those that ran when the clock was stopped.
        self._running: list[Timer] = []
        self._isStopped = False

    def seconds(self) -> float:
        """The time now, in seconds of the server's clock."""
        return self.reactor.seconds()

    def callLater(self, seconds: float, function: Callable[..., Any], *args: Any) -> Timer:
        """
        Call `function(*args)` in so many seconds.

        Raises:
            ValueError: The seconds are no number, 0 or more.
            TypeError: The function can't be called.
        """
        return self._start(seconds, None, function, args)

    def every(self, seconds: float, function: Callable[..., Any], *args: Any) -> Timer:
        """
        Call `function(*args)` every so many seconds, first when they are over.

        Raises:
            ValueError: The seconds are no number, more than 0.
            TypeError: The function can't be called.
        """
        if not isAmount(seconds) or not seconds:
            raise ValueError(f"seconds={seconds!r}: must be a number of seconds, more than 0")
        return self._start(seconds, seconds, function, args)

    def sleep(self, seconds: float) -> Deferred[None]:
        """
        Fires in so many seconds; to be awaited.

        Fails with `RoomError` (`roomGone`) when the room begins to end, so that nothing hangs until
        `handlerTimeout`, and at once after that.
        """
        if self._isStopped:
            return fail(RoomError(ErrorCode.ROOM_GONE))
        slept: Deferred[None] = Deferred(lambda _: timer.cancel())
        timer = self.callLater(seconds, slept.callback, None)
        self._sleepers[slept] = None

        def forget(result: Any) -> Any:
            self._sleepers.pop(slept, None)
            return result

        return slept.addBoth(forget)

    def _start(
        self, seconds: float, interval: float | None, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> Timer:
        if not isAmount(seconds):
            raise ValueError(f"seconds={seconds!r}: must be a number of seconds, 0 or more")
        if not callable(function):
            raise TypeError(f"function={function!r}: must be a function, without (): every(1, self.step)")
        timer = Timer(self, function, args)
        if not self._isStopped:
            self._timers[timer] = None
            timer.schedule(seconds, interval)
        return timer

    def stop(self) -> None:
        """The room is ending: nothing is called any more. What runs goes on until `cancelRunning`."""
        self._isStopped = True
        self._running += [timer for timer in self._timers if timer.isRunning]
        for timer in list(self._timers):
            timer.stop()

    def cancelRunning(self) -> None:
        """Cancel what runs still, and who sleeps."""
        running, self._running = self._running, []
        for timer in running:
            timer.cancelRunning()
        for slept in list(self._sleepers):
            if not slept.called:
                failWaiter(slept, RoomError(ErrorCode.ROOM_GONE))

    def close(self) -> None:
        """The room has ended: forget whom to tell."""
        self._onFailure = self._onGiveUp = _nothing

    def has(self, timer: Timer) -> bool:
        """Whether a timer is not DONE."""
        return timer in self._timers

    def keep(self, timer: Timer) -> bool:
        """A timer is RUNNING, though its function may have cancelled it; `False` if the room is ending."""
        if not self._isStopped:
            self._timers[timer] = None
        return not self._isStopped

    def forget(self, timer: Timer) -> None:
        """A timer is DONE."""
        self._timers.pop(timer, None)

    def failed(self, failure: Failure, name: str, inARow: int) -> None:
        """A timer's function, of that name, raised."""
        self._onFailure(failure, name)
        if inARow >= MAX_FAILURES:
            self._onGiveUp()
