"""
Calls users' hooks with a time limit, and isolates their errors from everything else.
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

from ..core.awaitables import (
    cancelHook,
    clearFailure,
    clearTraceback,
    isAsync,
    runUntilWaiting,
    toDeferred,
)
from ..core.codes import ErrorCode
from ..protocol.errors import RoomError

#: The most characters of an error's text that clients are told while debugging is on.
SHOWN_ERROR = 500

#: The owner of the room whose hook or handler runs. Coroutines and `inlineCallbacks` generators that a hook
#: starts keep it until they end.
currentOwner: ContextVar[object] = ContextVar("currentOwner", default=None)


class HookTimeout(RoomError):
    """A hook or a handler took longer than `handlerTimeout`; it was cancelled."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.TIMEOUT, "took too long")


class Escaped(Exception):
    """A hook or a handler raised a `BaseException` that is not an `Exception`, such as `SystemExit`."""


def asException(failure: Failure) -> Failure:
    """Return the failure itself, or a failure with `Escaped` if its error is not an `Exception`."""
    if isinstance(failure.value, Exception):
        return failure
    escaped = Escaped(repr(failure.value))
    escaped.__cause__ = failure.value
    return Failure(escaped, Escaped, failure.getTracebackObject())


def describeError(what: str, error: BaseException | None) -> str:
    """Return what clients are told of an error while debugging is on: which hook or handler has raised it."""
    return f"{what} raised {type(error).__name__}: {error}"[:SHOWN_ERROR]


def notCreated(why: str) -> RoomError:
    """Return the error for a room that can't be created; `why` is "" unless debugging is on."""
    return RoomError(ErrorCode.INTERNAL, why or "the room can't be created")


def failWaiter(waiter: Deferred[Any], error: Exception) -> None:
    """Fail a Deferred, and then drop the error's tracebacks."""
    waiter.errback(error)
    clearTraceback(error)


def runCoroutine(work: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """
    Run a coroutine, as `Deferred.fromCoroutine` does.

    A failure doesn't refer to frames, so that everything is freed without the garbage collector.
    """
    result: Deferred[Any] = Deferred(lambda _: running.cancel())

    def failed(failure: Failure) -> None:
        clearTraceback(failure.value)
        result.errback(failure.value)

    running = Deferred.fromCoroutine(work)
    running.addCallbacks(result.callback, failed)
    return result


def call(clock: IReactorTime, seconds: float, hook: Callable[..., Any], *args: Any) -> Deferred[Any]:
    """
    Call `hook(*args)`.

    Args:
        clock: The server's clock.
        seconds: The most seconds that the hook may take; it is cancelled then.
        hook: The hook.
        args: Its arguments.

    Returns:
        A Deferred of its result. It fails with the error of the hook, or with `HookTimeout` when the time is
        over, even if the hook goes on after it was cancelled.
    """
    try:
        result = hook(*args)
        if type(result) is CoroutineType:
            result = runUntilWaiting(result)
    except BaseException:
        return fail(asException(Failure()))
    if not isAsync(result):
        return succeed(result)
    return withTimeout(clock, seconds, toDeferred(result))


def withTimeout(clock: IReactorTime, seconds: float, waited: Deferred[Any]) -> Deferred[Any]:
    """
    Return a Deferred with the result of `waited`; after `seconds` cancel that, and fail with `HookTimeout`.
    """
    waited = _withoutFailure(waited.addErrback(asException))
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

    def timeOut() -> None:
        nonlocal isLate
        isLate = True
        cancelHook(waited)  # before anything else begins
        if not outcome.called:
            outcome.errback(HookTimeout())

    timer = clock.callLater(seconds, timeOut)
    waited.addBoth(finish)
    return outcome


def waitsFor(step: object, awaited: Deferred[Any]) -> bool:
    """Return whether `step` is a Deferred, or a coroutine that waits for it, directly or through others."""
    while isinstance(step, CoroutineType | GeneratorType):
        if isinstance(step, CoroutineType):
            step = step.cr_await
        elif step.gi_frame is not None and step.gi_frame.f_locals.get("self") is awaited:
            return True  # the generator of `Deferred.__await__`
        else:
            step = step.gi_yieldfrom
    return step is awaited


class PostQueue:
    """Jobs that run in the next turn of the reactor, one after another."""

    __slots__ = ("_call", "_clock", "_jobs")

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._jobs: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._call: IDelayedCall | None = None

    def post(self, job: Callable[..., Any], *args: Any) -> None:
        """Run `job` in the next turn, after all jobs that were posted before."""
        self._jobs.append((job, args))
        if self._call is None:
            self._call = self._clock.callLater(0, self._due)

    def flush(self) -> None:
        """Run all posted jobs now."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()
        while self._jobs:
            job, args = self._jobs.popleft()
            try:
                job(*args)
            except BaseException:  # also SystemExit: later jobs must run
                self._log.failure("a posted job raised")

    def _due(self) -> None:
        self._call = None
        self.flush()


def _withoutFailure(waited: Deferred[Any]) -> Deferred[Any]:
    """
    Return a Deferred with the same result; if that is a failure, another Deferred, which nobody awaited.

    A Deferred that is awaited keeps its failure, and the traceback of a coroutine's failure refers to the
    frame that has the Deferred: a reference cycle.
    """
    if not isinstance(getattr(waited, "result", None), Failure):
        return waited
    failed: Deferred[Any] = Deferred()
    waited.addErrback(failed.errback)
    return failed
