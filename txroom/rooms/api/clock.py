"""
The clock of one room: it makes delayed and repeated calls, and stops them when the room ends.

A room uses `RoomClock` (`Room.clock`). Its host uses `RoomTimers`, which keeps the timers and stops them.
A timer goes through these states::

    WAITING --due--> CALLED --returned--> DONE, or WAITING again if it repeats
                        |
                        +-- is asynchronous --> RUNNING --ended--> DONE or WAITING

A timer can be cancelled in each of these states (`Timer.cancel`). When the room begins to end, its timers are
stopped (`RoomTimers.stop`): they are DONE at once, but a function that is running asynchronously goes on
until `RoomTimers.cancelRunning`. `RoomTimers` keeps the timers that are not DONE. If a function cancels its
own timer and then returns a Deferred or a coroutine, the timer still goes to RUNNING, so that an error of the
function is reported.
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

#: A timer that repeats closes the room after this many errors in a row.
MAX_FAILURES = 10


def _nothing(*args: object) -> None:
    """Do nothing. This replaces the function of a timer that is DONE."""


class Timer:
    """A call that `RoomClock.callLater` or `RoomClock.every` has scheduled."""

    def __init__(self, timers: RoomTimers, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._timers = timers
        self._function = function
        self._args = args
        self._call: IDelayedCall | None = None
        self._interval: float | None = None
        self._due = 0.0
        self._failures = 0
        self._running: Deferred[Any] | None = None
        #: When the function was called that is running.
        self._since = 0.0

    @property
    def isActive(self) -> bool:
        """Whether the function will be called, or called again."""
        return self._call is not None or (self._running is not None and self._interval is not None)

    @property
    def isRunning(self) -> bool:
        """Whether the function has returned a Deferred or a coroutine that has not finished."""
        return self._running is not None

    def cancel(self) -> None:
        """
        Do not call the function any more, and cancel what it has returned if that has not finished.

        It does no harm to cancel a timer twice, or after it has run.
        """
        self._stop()
        self._cancelRunning()

    # -- for RoomTimers, which is in this module

    def _stop(self) -> None:
        """Do not call the function any more."""
        self._done()
        self._interval = None
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _done(self) -> None:
        """
        Go to DONE, and drop the function, so that it can be freed even if a user still holds the timer.
        """
        self._timers.forget(self)
        self._function, self._args = _nothing, ()

    def _cancelRunning(self) -> None:
        """Cancel what the function has returned, if that has not finished."""
        running, self._running = self._running, None
        if running is not None:
            cancelHook(running)

    def _schedule(self, seconds: float, interval: float | None) -> None:
        """Call the function after a delay and then, if there is an `interval`, after each interval."""
        self._interval = interval
        self._due = self._timers.reactor.seconds() + seconds
        self._call = self._timers.reactor.callLater(seconds, self._fire)

    def _fire(self) -> None:
        self._call = None
        self._timers.called()
        try:
            result = self._function(*self._args)
        except BaseException:
            self._ended(asException(Failure()))
            return
        if isAsync(result):
            self._running = running = toDeferred(result)
            self._since = self._timers.reactor.seconds()
            if not self._timers.keep(self):
                cancelHook(running)
            running.addBoth(self._ended)
        else:
            self._ended(None)

    def _ended(self, result: object) -> None:
        self._running = None
        isReported = self._timers.has(self)
        if isinstance(result, Failure):
            if isReported:
                clearTraceback(result.value)
            else:
                clearFailure(result)
        if not isReported:
            return
        if isinstance(result, Failure):
            self._failures += 1
            self._timers.failed(result, getattr(self._function, "__name__", ""), self._failures)
        else:
            self._failures = 0
        if not self._timers.has(self):
            return
        if self._interval is None:
            self._done()
            return
        # The calls are due at multiples of the interval. Calls that would be late are left out.
        now = self._timers.reactor.seconds()
        self._due += self._interval
        if self._due < now:
            self._due += ((now - self._due) // self._interval + 1) * self._interval
        self._call = self._timers.reactor.callLater(max(0.0, self._due - now), self._fire)


class RoomTimers:
    """
    All timers of one room, and the coroutines that sleep.

    The owner of the room has this object. The room itself has a `RoomClock`.

    Args:
        reactor: The server's clock.
        onFailure: Called with each error of a function, and the name of the function.
        onGiveUp: Called when a function has failed `MAX_FAILURES` times in a row.
        onCall: Called before each function.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        onFailure: Callable[[Failure, str], object],
        onGiveUp: Callable[[], None],
        onCall: Callable[[], None] = _nothing,
    ) -> None:
        self.reactor = reactor
        self._onFailure = onFailure
        self._onGiveUp = onGiveUp
        self._onCall = onCall
        #: The timers that are not DONE, and the Deferreds of `RoomClock.sleep` that have not fired, in the
        #: order in which they began. When the room ends, the timers are stopped and the Deferreds fail in
        #: this order.
        self._timers: dict[Timer, None] = {}
        self._sleepers: dict[Deferred[None], None] = {}
        #: The timers that were RUNNING when the room began to end.
        self._running: list[Timer] = []
        self.isStopped = False

    def start(
        self, seconds: float, interval: float | None, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> Timer:
        """
        Schedule a call and return its timer.

        In a room that is ending nothing is scheduled, and the timer is DONE.

        Raises what `RoomClock.callLater` raises.
        """
        if not isAmount(seconds):
            raise ValueError(f"seconds={seconds!r}: must be a number of seconds, 0 or more")
        if not callable(function):
            raise TypeError(
                f"function={function!r}: must be a function; pass it without (): every(1, self.step)"
            )
        timer = Timer(self, function, args)
        if not self.isStopped:
            self._timers[timer] = None
            timer._schedule(seconds, interval)
        return timer

    def sleep(self, seconds: float) -> Deferred[None]:
        """See `RoomClock.sleep`."""
        if self.isStopped:
            return fail(RoomError(ErrorCode.ROOM_GONE))
        slept: Deferred[None] = Deferred(lambda _: timer.cancel())
        timer = self.start(seconds, None, slept.callback, (None,))
        self._sleepers[slept] = None

        def forget(result: Any) -> Any:
            self._sleepers.pop(slept, None)
            return result

        return slept.addBoth(forget)

    # -- the end of the room

    def stop(self) -> None:
        """
        Call nothing any more, because the room begins to end. Functions that are running go on until
        `cancelRunning`.
        """
        self.isStopped = True
        self._running += [timer for timer in self._timers if timer.isRunning]
        for timer in list(self._timers):
            timer._stop()

    def cancelRunning(self) -> None:
        """Cancel the functions that are still running, and let `RoomClock.sleep` fail."""
        running, self._running = self._running, []
        for timer in running:
            timer._cancelRunning()
        for slept in list(self._sleepers):
            if not slept.called:
                failWaiter(slept, RoomError(ErrorCode.ROOM_GONE))

    def close(self) -> None:
        """Report no errors any more, because the room has ended."""
        self._onFailure = self._onGiveUp = self._onCall = _nothing

    @property
    def running(self) -> list[tuple[str, float]]:
        """The names of the functions that are running, and when each was called."""
        timers = [timer for timer in self._timers if timer.isRunning]
        return [(getattr(timer._function, "__name__", ""), timer._since) for timer in timers]

    # -- for timers

    def called(self) -> None:
        """A timer is about to call its function."""
        self._onCall()

    def has(self, timer: Timer) -> bool:
        """Return whether a timer is not DONE."""
        return timer in self._timers

    def keep(self, timer: Timer) -> bool:
        """
        Keep a timer that goes to RUNNING, even if its function has cancelled it.

        Returns:
            `False` if the room is ending; the caller must then cancel the function.
        """
        if not self.isStopped:
            self._timers[timer] = None
        return not self.isStopped

    def forget(self, timer: Timer) -> None:
        """Drop a timer that goes to DONE."""
        self._timers.pop(timer, None)

    def failed(self, failure: Failure, name: str, inARow: int) -> None:
        """Report the error of a timer's function, which has failed `inARow` times in a row."""
        self._onFailure(failure, name)
        if inARow >= MAX_FAILURES:
            self._onGiveUp()


class RoomClock:
    """
    The clock of one room, as `Room.clock`: it makes calls later, until the room ends.

    If a function fails, the error is logged and passed to `Room.onRoomError`, like the error of a message
    handler. A repeating timer continues, but after ten errors in a row the room is closed. If a function
    returns a Deferred or a coroutine, the timer waits for it before it calls the function again. When the
    room begins to end, no more functions are called. Directly after that, those that are still running are
    cancelled.
    """

    def __init__(self, timers: RoomTimers) -> None:
        self._timers = timers

    @property
    def reactor(self) -> IReactorTime:
        """The server's clock, for Twisted's own functions. What they schedule does not end with the room."""
        return self._timers.reactor

    def seconds(self) -> float:
        """Return the time of the server's clock, in seconds."""
        return self._timers.reactor.seconds()

    def callLater(self, seconds: float, function: Callable[..., Any], *args: Any) -> Timer:
        """
        Call `function(*args)` once.

        Args:
            seconds: The delay in seconds, 0 or more.
            function: A function or method, which may be asynchronous.
            args: The arguments of the call.

        Returns:
            A `Timer`, with which the call can be cancelled.

        Raises:
            ValueError: The delay is not a number, or is less than 0.
            TypeError: `function` is not callable.
        """
        return self._timers.start(seconds, None, function, args)

    def every(self, seconds: float, function: Callable[..., Any], *args: Any) -> Timer:
        """
        Call `function(*args)` again and again, for the first time after one interval.

        The calls are due at multiples of the interval, counted from now. If the server is late, or a function
        takes longer than the interval, the calls in between are left out.

        Args:
            seconds: The interval in seconds, more than 0.
            function: A function or method, which may be asynchronous.
            args: The arguments of each call.

        Returns:
            A `Timer`, with which the calls can be cancelled.

        Raises:
            ValueError: The interval is not a number, or is 0 or less.
            TypeError: `function` is not callable.
        """
        if not isAmount(seconds) or not seconds:
            raise ValueError(f"seconds={seconds!r}: must be a number of seconds, more than 0")
        return self._timers.start(seconds, seconds, function, args)

    def sleep(self, seconds: float) -> Deferred[None]:
        """
        Wait in an asynchronous hook or handler: `await self.clock.sleep(2)`.

        Args:
            seconds: How long to wait, in seconds, 0 or more.

        Returns:
            A Deferred that fires after that time. If the room begins to end during the wait, it fails with
            `RoomError` (`roomGone`), so that no hook waits longer than the room lasts. If the room is already
            ending, it fails immediately.

        Raises:
            ValueError: `seconds` is not a number, or is less than 0.
        """
        return self._timers.sleep(seconds)
