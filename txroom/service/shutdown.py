"""
Waiting that ends: a stop takes its time, but never longer than it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.awaitables import cancelHook

#: Seconds after which the log says what a stop waits for.
NOTICE = 1.0


class Stop:
    """
    The stop of a service: it runs once at a time, and whoever asks meanwhile waits for its end.

    `steps` is what there is to do; `onOver` is called when it is done, before anybody is told. `wayOut`
    tells people how they could `hurry` it.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        steps: Callable[[Patience], Coroutine[Any, Any, None]],
        onOver: Callable[[], None],
        wayOut: str,
    ) -> None:
        self._clock = clock
        self._steps = steps
        self._onOver = onOver
        self.wayOut = wayOut
        self._patience: Patience | None = None
        self._isHurried = False
        self._waiting: list[Deferred[None]] = []

    @property
    def isRunning(self) -> bool:
        """Whether it goes on."""
        return self._patience is not None

    def run(self, seconds: float) -> Deferred[None]:
        """Stop, if that isn't going on, and wait at most so many `seconds`; fires when it is over."""
        over = self.whenOver()
        if self._patience is None:
            self._patience = Patience(self._clock, 0.0 if self._isHurried else seconds, self.wayOut)
            Deferred.fromCoroutine(self._steps(self._patience)).addErrback(
                lambda failure: self._log.failure("stopping failed", failure)
            ).addCallback(self._over)
        return over

    def whenOver(self) -> Deferred[None]:
        """Fires when the stop that goes on, or else the next one, is over."""
        over: Deferred[None] = Deferred()
        self._waiting.append(over)
        return over

    def hurry(self) -> None:
        """Make the stop that goes on, or else the next one, wait for nothing."""
        self._isHurried = True
        if self._patience is not None:
            self._patience.end()

    def _over(self, _: object) -> None:
        self._patience = None
        self._isHurried = False
        self._onOver()
        waiting, self._waiting = self._waiting, []
        for over in waiting:
            over.callback(None)


class Patience:
    """
    Waits for one thing after another, for all of them together at most so many `seconds`.

    What isn't done by then is cancelled, and whether it heeds that or not, the wait is over. The first thing
    that takes long is named in the log, with the `wayOut`.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, seconds: float, wayOut: str) -> None:
        self._clock = clock
        self._deadline = clock.seconds() + seconds
        self._wayOut = wayOut
        self._isNoticed = False
        self._giveUp: Callable[[], None] | None = None

    def extend(self, seconds: float) -> None:
        """Wait for what follows at least so many seconds from now."""
        self._deadline = max(self._deadline, self._clock.seconds() + seconds)

    def end(self) -> None:
        """Wait no longer, neither for what is waited for now nor for what follows."""
        self._deadline = self._clock.seconds()
        giveUp, self._giveUp = self._giveUp, None
        if giveUp is not None:
            giveUp()

    async def awaitFor(self, waited: Deferred[Any], what: Callable[[], str]) -> None:
        """Wait for `waited`, which is `what`; its errors are logged."""
        over: Deferred[None] = Deferred()
        isGivenUp = False

        def finish(result: object) -> None:
            if isGivenUp:
                return
            self._giveUp = None
            if isinstance(result, Failure):
                self._log.failure("while stopping", result)
            over.callback(None)

        def giveUp() -> None:
            nonlocal isGivenUp
            isGivenUp = True
            self._giveUp = None
            cancelHook(waited)
            over.callback(None)

        calls = [self._clock.callLater(self._left, giveUp)]
        if self._left > NOTICE and not self._isNoticed:
            calls.append(self._clock.callLater(NOTICE, self._notice, what))
        self._giveUp = giveUp
        waited.addBoth(finish)
        await over
        for call in calls:
            if call.active():
                call.cancel()

    @property
    def _left(self) -> float:
        return max(0.0, self._deadline - self._clock.seconds())

    def _notice(self, what: Callable[[], str]) -> None:
        self._isNoticed = True
        self._log.info(
            "stopping: waiting for {what}, {left:.0f} s at most; {wayOut}",
            what=what(),
            left=self._left,
            wayOut=self._wayOut,
        )


async def inTurns(
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
