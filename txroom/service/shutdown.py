"""
The stop of a server: one step after another, within a deadline that somebody may cut short.

A `ShutdownSequence` is idle or runs: `run` begins it, and after its last step it is idle again. While it
runs, `run` and `whenFinished` wait for its end, `skipWaits` lets its remaining steps wait for nothing, and
`startAfterwards` asks for a start that follows it, unless another `run` takes that back.
`Server` says which steps there are, and in which order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.awaitables import cancelHook
from .hooks import resultOf

#: Seconds after which the log says what a stop waits for.
NOTICE = 1.0


@attrs.frozen
class ShutdownStep:
    """One of the things that are done, one after another, when a server stops."""

    #: Begins it, and returns a Deferred, a coroutine or a Future if it isn't done at once.
    begin: Callable[[], Any]
    #: What the log says that is waited for.
    describe: Callable[[], str]
    #: Seconds that the step is given even when the deadline of the stop has passed.
    minimumSeconds: float = 0.0


class ShutdownSequence:
    """
    The stop of a service: it runs once at a time, and whoever asks meanwhile waits for its end.

    Args:
        clock: What the deadline is measured with.
        steps: Gives the steps, one by one as they are reached.
        onFinished: Is called when they are done, before anybody is told.
        stopHint: Tells the readers of the log how they could `skipWaits` it.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        steps: Callable[[], Iterable[ShutdownStep]],
        onFinished: Callable[[], None],
        stopHint: str,
    ) -> None:
        self._clock = clock
        self._steps = steps
        self._onFinished = onFinished
        self.stopHint = stopHint
        self._running: Deadline | None = None
        self._isSkippingWaits = False
        self._waiting: list[Deferred[None]] = []
        self._start: Callable[[], None] | None = None

    @property
    def isRunning(self) -> bool:
        """Whether it goes on."""
        return self._running is not None

    def run(self, seconds: float) -> Deferred[None]:
        """Stop, if that isn't going on, and wait at most so many `seconds`; fires when it is over."""
        self._start = None
        over = self.whenFinished()
        if self._running is None:
            self._running = Deadline(self._clock, 0.0 if self._isSkippingWaits else seconds, self.stopHint)
            Deferred.fromCoroutine(self._run(self._running)).addErrback(
                lambda failure: self._log.failure("stopping failed", failure)
            ).addCallback(self._finish)
        return over

    def whenFinished(self) -> Deferred[None]:
        """Fires when the stop that goes on, or else the next one, is over."""
        over: Deferred[None] = Deferred()
        self._waiting.append(over)
        return over

    def startAfterwards(self, start: Callable[[], None]) -> None:
        """Call `start` when the stop that goes on is over, unless another one is asked for until then."""
        if self._start is None:
            self._start = start
            self.whenFinished().addCallback(self._startAgain)

    def skipWaits(self) -> None:
        """Make the stop that goes on, or else the next one, wait for nothing."""
        self._isSkippingWaits = True
        if self._running is not None:
            self._running.expire()

    async def _run(self, deadline: Deadline) -> None:
        for step in self._steps():
            if step.minimumSeconds:
                deadline.extend(step.minimumSeconds)
            await deadline.waitFor(maybeDeferred(resultOf, step.begin), step.describe)

    def _finish(self, _: object) -> None:
        self._running = None
        self._isSkippingWaits = False
        self._onFinished()
        waiting, self._waiting = self._waiting, []
        for over in waiting:
            over.callback(None)

    def _startAgain(self, _: object) -> None:
        start, self._start = self._start, None
        if start is not None:
            try:
                start()
            except Exception:
                self._log.failure("the server could not start again")


def callbackStep(callback: Callable[[], Any]) -> ShutdownStep:
    """The step that calls a user's `callback`."""
    return ShutdownStep(
        callback, lambda: f"the onShutdown callback {getattr(callback, '__qualname__', repr(callback))}"
    )


class Deadline:
    """
    Waits for one thing after another, for all of them together at most so many `seconds`.

    What isn't done by then is cancelled, and whether it heeds that or not, the wait is over. The first thing
    that takes long is named in the log, with the `stopHint`.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, seconds: float, stopHint: str) -> None:
        self._clock = clock
        self._deadline = clock.seconds() + seconds
        self._wayOut = stopHint
        self._isNoticed = False
        #: Ends the wait that goes on.
        self._endWait: Callable[[], None] | None = None

    def extend(self, seconds: float) -> None:
        """Wait for what follows at least so many seconds from now."""
        self._deadline = max(self._deadline, self._clock.seconds() + seconds)

    def expire(self) -> None:
        """Wait no longer, neither for what is waited for now nor for what follows."""
        self._deadline = self._clock.seconds()
        if self._endWait is not None:
            self._endWait()

    async def waitFor(self, waited: Deferred[Any], describe: Callable[[], str]) -> None:
        """Wait for `waited`, which the log `describe`s as this; its errors are logged."""
        over: Deferred[None] = Deferred()
        isCancelled = False

        def finish(result: object) -> None:
            if isCancelled:
                return
            self._endWait = None
            if isinstance(result, Failure):
                self._log.failure("while stopping", result)
            over.callback(None)

        def cancel() -> None:
            nonlocal isCancelled
            isCancelled = True
            self._endWait = None
            cancelHook(waited)
            over.callback(None)

        calls = [self._clock.callLater(self._left, cancel)]
        if self._left > NOTICE and not self._isNoticed:
            calls.append(self._clock.callLater(NOTICE, self._notice, describe))
        self._endWait = cancel
        waited.addBoth(finish)
        await over
        for call in calls:
            if call.active():
                call.cancel()

    @property
    def _left(self) -> float:
        return max(0.0, self._deadline - self._clock.seconds())

    def _notice(self, describe: Callable[[], str]) -> None:
        self._isNoticed = True
        self._log.info(
            "stopping: waiting for {what}, {left:.0f} s at most; {stopHint}",
            what=describe(),
            left=self._left,
            stopHint=self._wayOut,
        )


async def inBatches(
    clock: IReactorTime, items: list[Any], size: int, pause: float, do: Callable[[Any], None]
) -> None:
    """Call `do` with each item, `size` of them at once, with `pause` seconds between."""
    for start in range(0, len(items), size):
        if start:
            rest: Deferred[None] = Deferred()
            clock.callLater(pause, rest.callback, None)
            await rest
        for item in items[start : start + size]:
            do(item)
