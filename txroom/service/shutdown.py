"""
The shutdown of a server: steps that run one after another, within a deadline that can be cut short.

A `ShutdownSequence` is idle or running. `run` begins it, and after its last step it is idle again. While it
is running, `run` and `whenFinished` wait for its end, `skipWaits` cancels the waits of the remaining steps,
and `startAfterwards` asks for a start after its end, which a later `run` cancels. `Server` defines the steps.
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

#: How long a shutdown waits before the log says for what, in seconds.
NOTICE = 1.0


@attrs.frozen
class ShutdownStep:
    """One step of a shutdown."""

    #: Begins the step. Returns a Deferred, a coroutine or a Future if the step is asynchronous.
    begin: Callable[[], Any]
    #: Returns a text for the log: what the shutdown is waiting for.
    describe: Callable[[], str]
    #: The seconds that the step gets even when the deadline of the shutdown has passed.
    minimumSeconds: float = 0.0


class ShutdownSequence:
    """
    The shutdown of a service. It runs once at a time; later callers wait for its end.

    Args:
        clock: The clock for the deadline.
        steps: Returns the steps. Each is made when its turn comes.
        onFinished: Called after the last step, before any waiting caller.
        stopHint: The text that the log adds if a step takes long: how to call `skipWaits`.
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
        """Whether it is running."""
        return self._running is not None

    def run(self, seconds: float) -> Deferred[None]:
        """
        Shut down, unless that is already going on.

        Args:
            seconds: The most time for all steps together.

        Returns:
            A Deferred that fires after the last step.
        """
        self._start = None
        over = self.whenFinished()
        if self._running is None:
            self._running = Deadline(self._clock, 0.0 if self._isSkippingWaits else seconds, self.stopHint)
            Deferred.fromCoroutine(self._run(self._running)).addErrback(
                lambda failure: self._log.failure("the shutdown failed", failure)
            ).addCallback(self._finish)
        return over

    def whenFinished(self) -> Deferred[None]:
        """Return a Deferred that fires at the end of the current shutdown, or of the next one."""
        over: Deferred[None] = Deferred()
        self._waiting.append(over)
        return over

    def startAfterwards(self, start: Callable[[], None]) -> None:
        """Call `start` at the end of the current shutdown, unless `run` is called before."""
        if self._start is None:
            self._start = start
            self.whenFinished().addCallback(self._startAgain)

    def skipWaits(self) -> None:
        """Skip the waits of the current shutdown, or of the next one."""
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
    """Return the step that calls a callback of `Server.onShutdown`."""
    return ShutdownStep(
        callback, lambda: f"the onShutdown callback {getattr(callback, '__qualname__', repr(callback))}"
    )


class Deadline:
    """
    Waits for one Deferred after another, and limits the time for all of them together.

    A Deferred that has not fired at the deadline is cancelled, and the wait ends even if it ignores that. The
    first long wait is logged, with the `stopHint`.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, seconds: float, stopHint: str) -> None:
        self._clock = clock
        self._deadline = clock.seconds() + seconds
        self._wayOut = stopHint
        self._isNoticed = False
        #: Ends the current wait.
        self._endWait: Callable[[], None] | None = None

    def extend(self, seconds: float) -> None:
        """Move the deadline so that at least `seconds` remain from now on."""
        self._deadline = max(self._deadline, self._clock.seconds() + seconds)

    def expire(self) -> None:
        """End the current wait, and do not wait for later Deferreds."""
        self._deadline = self._clock.seconds()
        if self._endWait is not None:
            self._endWait()

    async def waitFor(self, waited: Deferred[Any], describe: Callable[[], str]) -> None:
        """
        Wait for a Deferred. If it fails, log that.

        Args:
            waited: The Deferred.
            describe: Returns a text for the log that says what it is.
        """
        over: Deferred[None] = Deferred()
        isCancelled = False

        def finish(result: object) -> None:
            if isCancelled:
                return
            self._endWait = None
            if isinstance(result, Failure):
                self._log.failure("a step of the shutdown failed", result)
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
    clock: IReactorTime, items: list[Any], size: int, pause: float, do: Callable[[Any], object]
) -> None:
    """Call `do` with each item: `size` items at a time, with `pause` seconds between."""
    for start in range(0, len(items), size):
        if start:
            rest: Deferred[None] = Deferred()
            clock.callLater(pause, rest.callback, None)
            await rest
        for item in items[start : start + size]:
            do(item)
