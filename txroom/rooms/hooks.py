"""
How hooks are called: with a time limit, and so that nothing that users wrote reaches anything else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from types import CoroutineType, GeneratorType
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.awaitables import cancelHook, clearFailure, clearTraceback, isAsync, toDeferred
from ..core.codes import ErrorCode
from ..protocol.errors import RoomError

#: The owner of the room whose hook or handler runs; a coroutine of theirs has it to its end.
currentOwner: ContextVar[object] = ContextVar("currentOwner", default=None)


class HookTimeout(RoomError):
    """A hook or a handler took longer than `handlerTimeout`; it was cancelled."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.TIMEOUT, "took too long")


class Escaped(Exception):
    """A hook or a handler raised what is no `Exception`, such as `SystemExit`."""


def asException(failure: Failure) -> Failure:
    """The same failure; one of what is no `Exception`, such as `SystemExit`, is one of `Escaped`."""
    if isinstance(failure.value, Exception):
        return failure
    escaped = Escaped(repr(failure.value))
    escaped.__cause__ = failure.value
    return Failure(escaped, Escaped, failure.getTracebackObject())


def failWaiter(waiter: Deferred[Any], error: Exception) -> None:
    """Tell whoever waits for `waiter` that it fails, and let the error refer to nothing after that."""
    waiter.errback(error)
    clearTraceback(error)


def runCoroutine(work: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """
    Run a coroutine, as `Deferred.fromCoroutine` does.

    If it fails the failure doesn't refer to its frames, so that all of it is freed without the collector.
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
        seconds: How long the hook may take; it is cancelled then.
        hook: What is called.
        args: With what.

    Returns:
        A Deferred of its result, whether that comes at once or later. It fails with what the hook raised, or
        with `HookTimeout` when the time is over, whether the hook heeds its cancellation or not.
    """
    try:
        result = hook(*args)
        if type(result) is CoroutineType:
            result = begin(result)
    except BaseException:
        return fail(asException(Failure()))
    if not isAsync(result):
        return succeed(result)
    return withTimeout(clock, seconds, toDeferred(result))


def begin(coroutine: CoroutineType[Any, Any, Any]) -> Any:
    """
    Run the coroutine of a hook until it waits for something.

    Most have nothing to wait for, and cost no Deferred.

    Returns:
        What the coroutine returned, if it is over; else a Deferred, as that of `Deferred.fromCoroutine`.
    """
    context = copy_context()  # its own: what it sets there nobody else sees
    try:
        awaited = context.run(coroutine.send, None)
    except StopIteration as over:
        return over.value
    return Deferred.fromCoroutine(_continued(coroutine, awaited, context))


def _continued(
    coroutine: CoroutineType[Any, Any, Any], awaited: Any, context: Context
) -> Generator[Any, Any, Any]:
    """The rest of a coroutine that waits for `awaited`; as `yield from`, but in the context it began in."""
    while True:
        step: Callable[[Any], Any]
        try:
            result = yield awaited
            step = coroutine.send
        except BaseException as error:
            result, step = error, coroutine.throw
        try:
            awaited = context.run(step, result)
        except StopIteration as over:
            return over.value
        finally:
            del step, result  # an error refers to this frame


def withTimeout(clock: IReactorTime, seconds: float, waited: Deferred[Any]) -> Deferred[Any]:
    """The result of `waited`, or `HookTimeout` when so many seconds are over; it is cancelled then."""
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
    """Whether a coroutine, by way of those it awaits, waits for that Deferred; or is that itself."""
    while isinstance(step, CoroutineType | GeneratorType):
        if isinstance(step, CoroutineType):
            step = step.cr_await
        elif step.gi_frame is not None and step.gi_frame.f_locals.get("self") is awaited:
            return True  # a Deferred is awaited by a generator of its own, `Deferred.__await__`
        else:
            step = step.gi_yieldfrom
    return step is awaited


class PostQueue:
    """What is to be done in the next turn of the reactor, one job after another."""

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


def _withoutFailure(waited: Deferred[Any]) -> Deferred[Any]:
    """
    A Deferred with the same result; if that is a failure it is another Deferred, which nobody awaited.

    Whoever awaits a Deferred leaves its failure in it, and the traceback of a coroutine's failure refers to
    the frame that has the Deferred: a circle.
    """
    if not isinstance(getattr(waited, "result", None), Failure):
        return waited
    failed: Deferred[Any] = Deferred()
    waited.addErrback(failed.errback)
    return failed
