"""
Running what users wrote: with a time limit, and so that nothing they do reaches anything else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..codes import ErrorCode
from ..connection import isAsync, toDeferred
from .errors import RoomError


class HookTimeout(RoomError):
    """A hook or a handler took longer than `handlerTimeout`; it was cancelled."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.TIMEOUT, "took too long")


def call(clock: IReactorTime, seconds: float, hook: Callable[..., Any], *args: Any) -> Deferred[Any]:
    """
    Call a hook; its result, whether it comes at once or later.

    Fails with what the hook raised, or with `HookTimeout` when `seconds` are over, whether the hook heeds
    its cancellation or not.
    """
    try:
        result = hook(*args)
    except Exception:
        return fail(Failure())
    if not isAsync(result):
        return succeed(result)
    return within(clock, seconds, toDeferred(result))


def within(clock: IReactorTime, seconds: float, waited: Deferred[Any]) -> Deferred[Any]:
    """The result of `waited`, or `HookTimeout`; it is cancelled then."""
    if waited.called and not waited.paused:
        return waited
    outcome: Deferred[Any] = Deferred(lambda _: waited.cancel())

    isLate = False

    def finish(result: Any) -> None:
        if timer.active():
            timer.cancel()
        if not isLate and not outcome.called:
            outcome.callback(result)

    def giveUp() -> None:
        nonlocal isLate
        isLate = True
        waited.cancel()  # before anything else begins
        if not outcome.called:
            outcome.errback(HookTimeout())

    timer = clock.callLater(seconds, giveUp)
    waited.addBoth(finish)
    return outcome


class Mailbox:
    """
    What is to be done for one client, one thing after another.

    A job is a function that doesn't raise, and returns `None`, or a Deferred that the next job waits for.
    """

    __slots__ = ("_isRunning", "_jobs")

    _log = Logger()

    def __init__(self) -> None:
        self._jobs: deque[tuple[Callable[..., Deferred[Any] | None], tuple[Any, ...]]] = deque()
        self._isRunning = False

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def isIdle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self._isRunning

    def post(self, job: Callable[..., Deferred[Any] | None], *args: Any) -> None:
        """Do `job` after all that was posted before; at once if there is nothing."""
        self._jobs.append((job, args))
        if not self._isRunning:
            self._isRunning = True
            self._run()

    def clear(self) -> None:
        """Forget what has not begun."""
        self._jobs.clear()

    def _run(self, result: object = None) -> None:
        if isinstance(result, Failure):
            self._log.failure("a job of a mailbox failed", result)
        while self._jobs:
            job, args = self._jobs.popleft()
            try:
                waited = job(*args)
            except Exception:
                self._log.failure("a job of a mailbox raised")
                continue
            if waited is not None and not (waited.called and not waited.paused):
                waited.addBoth(self._run)
                return
        self._isRunning = False
