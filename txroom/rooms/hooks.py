"""
Running what users wrote: with a time limit, and so that nothing they do reaches anything else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from types import CoroutineType, GeneratorType
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.awaitables import cancelHook, clearFailure, clearTraceback, isAsync, toDeferred
from ..core.codes import ErrorCode
from ..protocol.errors import RoomError

#: The host whose hook or handler runs; a coroutine of theirs keeps it to its end.
inside: ContextVar[object] = ContextVar("inside", default=None)


class HookTimeout(RoomError):
    """A hook or a handler took longer than `handlerTimeout`; it was cancelled."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.TIMEOUT, "took too long")


class Escaped(Exception):
    """A hook or a handler raised what is no `Exception`, such as `SystemExit`."""


def tamed(failure: Failure) -> Failure:
    """The same, as an `Exception`."""
    if isinstance(failure.value, Exception):
        return failure
    escaped = Escaped(repr(failure.value))
    escaped.__cause__ = failure.value
    return Failure(escaped, Escaped, failure.getTracebackObject())


def breakOff(waited: Deferred[Any], error: Exception) -> None:
    """Fail what somebody waits for."""
    waited.errback(error)
    clearTraceback(error)


def apart(work: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """Run a coroutine: as `Deferred.fromCoroutine`, but if it fails nothing leads back to it."""
    result: Deferred[Any] = Deferred(lambda _: running.cancel())

    def failed(failure: Failure) -> None:
        clearTraceback(failure.value)
        result.errback(failure.value)

    running = Deferred.fromCoroutine(work)
    running.addCallbacks(result.callback, failed)
    return result


def call(clock: IReactorTime, seconds: float, hook: Callable[..., Any], *args: Any) -> Deferred[Any]:
    """
    Call a hook; its result, whether it comes at once or later.

    Fails with what the hook raised, or with `HookTimeout` when `seconds` are over, whether the hook heeds
    its cancellation or not.
    """
    try:
        result = hook(*args)
    except BaseException:
        return fail(tamed(Failure()))
    if not isAsync(result):
        return succeed(result)
    return within(clock, seconds, toDeferred(result))


def within(clock: IReactorTime, seconds: float, waited: Deferred[Any]) -> Deferred[Any]:
    """The result of `waited`, or `HookTimeout`; it is cancelled then."""
    waited = _untied(waited.addErrback(tamed))
    if waited.called and not waited.paused:
        return waited
    outcome: Deferred[Any] = Deferred(lambda _: cancelHook(waited))

    isLate = False

    def finish(result: Any) -> None:
        if timer.active():
            timer.cancel()
        if not isLate and not outcome.called:
            outcome.callback(result)
        elif isinstance(result, Failure):
            clearFailure(result)

    def giveUp() -> None:
        nonlocal isLate
        isLate = True
        cancelHook(waited)  # before anything else begins
        if not outcome.called:
            outcome.errback(HookTimeout())

    timer = clock.callLater(seconds, giveUp)
    waited.addBoth(finish)
    return outcome


def waitsFor(step: object, awaited: Deferred[Any]) -> bool:
    """Whether a coroutine, by way of those it awaits, waits for that Deferred; or is that itself."""
    while isinstance(step, CoroutineType | GeneratorType):
        if isinstance(step, CoroutineType):
            step = step.cr_await
        elif step.gi_frame is not None and step.gi_frame.f_locals.get("self") is awaited:
            return True  # a Deferred is awaited by a generator of its own, `Deferred.__await__`
        else:
            step = step.gi_yieldfrom
    return step is awaited


class Later:
    """What is to be done in the next turn of the reactor, one thing after another."""

    __slots__ = ("_call", "_clock", "_jobs")

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._jobs: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._call: IDelayedCall | None = None

    def post(self, job: Callable[..., Any], *args: Any) -> None:
        """Do `job` after all that was posted before, when what goes on now is over."""
        self._jobs.append((job, args))
        if self._call is None:
            self._call = self._clock.callLater(0, self._due)

    def flush(self) -> None:
        """Do all of it now."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()
        while self._jobs:
            job, args = self._jobs.popleft()
            try:
                job(*args)
            except BaseException:  # such as SystemExit, which must not hold up what was posted after
                self._log.failure("what was posted raised")

    def _due(self) -> None:
        self._call = None
        self.flush()


def _untied(waited: Deferred[Any]) -> Deferred[Any]:
    """
    The same; one that has failed is another, to which its failure doesn't lead.

    Whoever awaits a Deferred leaves its failure in it, and the traceback of that of a coroutine leads back.
    """
    if not isinstance(getattr(waited, "result", None), Failure):
        return waited
    failed: Deferred[Any] = Deferred()
    waited.addErrback(failed.errback)
    return failed
