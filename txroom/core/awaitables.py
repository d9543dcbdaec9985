"""
Asynchronous results of hooks: Deferreds, coroutines and Futures, their cancellation and their errors.
"""

from __future__ import annotations

from asyncio import CancelledError as FutureCancelled
from asyncio import Future
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from types import CoroutineType
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from .twistedinternet import dropCanceller

_log = Logger()


def firstFailure(failure: Failure) -> Failure:
    """Return the failure of the Deferred that has made `gatherResults` or a `DeferredList` fail."""
    error: Any = failure.value
    first: Failure = error.subFailure
    return first


def cancelHook(waited: Deferred[Any]) -> None:
    """
    Cancel the Deferred of a running hook, or the Deferred that it waits for.

    A user may have made that Deferred, so its canceller may raise. The exception is logged, and the Deferred
    still fails with `CancelledError`, so that callers that wait for it continue. A result that it gets later
    is dropped.
    """
    while waited.called and isinstance(waited.result, Deferred):
        waited = waited.result  # the Deferred that it waits for
    try:
        waited.cancel()
    except Exception:
        _log.failure("the canceller of a Deferred raised")
        if not waited.called:
            dropCanceller(waited)
            waited.cancel()


def clearTraceback(error: BaseException | None) -> None:
    """
    Drop the tracebacks of an exception that was handled, and those of its causes.

    The traceback of an exception that has left a coroutine refers to a frame of Twisted's that refers to the
    exception again, and to frames that refer to rooms or connections. Without this, only the garbage
    collector would free them. A `Failure` keeps a traceback of its own.
    """
    seen: set[int] = set()
    errors = [error]
    while errors:
        error = errors.pop()
        if error is not None and id(error) not in seen:
            seen.add(id(error))
            error.__traceback__ = None
            errors += error.__cause__, error.__context__


def clearFailure(failure: Failure) -> None:
    """
    Drop the tracebacks of a failure that is not reported, and the failure's own.

    The failure of a cancelled coroutine needs this: frames of Twisted's that are still running refer to the
    failure, and its traceback refers to these frames.
    """
    clearTraceback(failure.value)
    failure.cleanFailure()


_ASYNC = (Deferred, CoroutineType, Future)
#: The types of most results that are not asynchronous. They are looked up first, because `isinstance` is slow
#: for `Deferred`, whose metaclass is `ABCMeta`.
_PLAIN = frozenset({type(None), bool, int, float, str, dict, list})


def isAsync(result: object) -> bool:
    """Return whether a result is asynchronous: a `Deferred`, a coroutine, or an asyncio Future or Task."""
    return type(result) not in _PLAIN and isinstance(result, _ASYNC)


def toDeferred(result: Deferred[Any] | Coroutine[Any, Any, Any] | Future[Any]) -> Deferred[Any]:
    """
    Return the Deferred of an asynchronous result. Cancellation by asyncio becomes Twisted's `CancelledError`.
    """
    if isinstance(result, Deferred):
        return result
    if isinstance(result, Future):
        return Deferred.fromFuture(result).addErrback(_cancelled)
    return Deferred.fromCoroutine(result)


def _cancelled(failure: Failure) -> Failure:
    """Replace asyncio's `CancelledError` by Twisted's."""
    return Failure(CancelledError()) if failure.check(FutureCancelled) else failure


def runUntilWaiting(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """
    Run a coroutine until it has to wait.

    This is faster than `Deferred.fromCoroutine` for a coroutine that rarely waits: it makes a Deferred only
    if there is something to wait for. As there, the coroutine runs in a copy of the current context.

    Returns:
        The result of the coroutine if it has ended; else a Deferred of it.

    Raises:
        BaseException: What the coroutine raises before it waits.
    """
    context = copy_context()
    try:
        awaited = context.run(coroutine.send, None)
    except StopIteration as over:
        return over.value
    return Deferred.fromCoroutine(_continued(coroutine, awaited, context))


def begun(coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    """
    Run a coroutine, as `Deferred.fromCoroutine` does; this is faster for one that rarely waits.

    Returns:
        A Deferred of its result, which is not a Deferred.
    """
    try:
        result = runUntilWaiting(coroutine)
    except Exception:
        return fail()
    return result if isinstance(result, Deferred) else succeed(result)


def _continued(
    coroutine: Coroutine[Any, Any, Any], awaited: Any, context: Context
) -> Generator[Any, Any, Any]:
    """Continue a coroutine that waits for `awaited`, in the context in which it began."""
    while True:
        step: Callable[[Any], Any]
        try:
            result = yield awaited
            step = coroutine.send
        except GeneratorExit:  # nothing refers to the Deferred any more
            context.run(coroutine.close)
            raise
        except BaseException as error:
            result, step = error, coroutine.throw
        # Outside of `except`, or the coroutine would see the error as one that is being handled.
        try:
            awaited = context.run(step, result)
        except StopIteration as over:
            return over.value
        finally:
            del step, result  # or the error and this frame would refer to each other
