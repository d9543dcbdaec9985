"""
Asynchronous results of hooks: Deferreds, coroutines and Futures, their cancellation and their errors.
"""

from __future__ import annotations

from asyncio import CancelledError as FutureCancelled
from asyncio import Future
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from types import CoroutineType
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from .twistedinternet import dropCanceller

_log = Logger()


def cancelHook(waited: Deferred[Any]) -> None:
    """
    Cancel a Deferred that a hook waits for. A user has made it, so its canceller may raise.

    An exception from the canceller is logged, and the Deferred still fails with `CancelledError`, so that
    callers that wait for it continue. A result that it gets later is dropped.
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

    When a coroutine is cancelled, it fails while running frames of Twisted's refer to its failure.
    """
    clearTraceback(failure.value)
    failure.cleanFailure()


_ASYNC = (Deferred, CoroutineType, Future)
#: The types of most results that are not: `isinstance` takes long for `Deferred`, which is an abstract class.
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


def runUntilWaiting(coroutine: Coroutine[Deferred[Any], Any, Any]) -> Deferred[Any] | None:
    """
    Run a coroutine until it waits for a Deferred.

    This is faster than `Deferred.fromCoroutine` for a coroutine that rarely waits: it makes a Deferred only
    if there is something to wait for. As there, the coroutine runs in a copy of the current context.

    Returns:
        A Deferred of the coroutine's result, or `None` if the coroutine has returned.

    Raises:
        BaseException: What the coroutine raises before it waits.
    """
    context = copy_context()
    try:
        waited = context.run(coroutine.send, None)
    except StopIteration:
        return None
    return context.run(Deferred.fromCoroutine, _rest(coroutine, waited))


def _rest(
    coroutine: Coroutine[Deferred[Any], Any, Any], waited: Deferred[Any]
) -> Generator[Deferred[Any], Any, Any]:
    """Run a coroutine to its end that was started, and waits for `waited`."""
    try:
        while True:
            step: Callable[[Any], Deferred[Any]]
            try:
                result = yield waited
                step = coroutine.send
            except GeneratorExit:  # nothing refers to the Deferred any more
                coroutine.close()
                raise
            except BaseException as error:
                result, step = error, coroutine.throw
            # Outside of `except`, or the coroutine would see the error as one that is being handled.
            try:
                waited = step(result)
            finally:
                del step, result  # or the error and this frame would refer to each other
    except StopIteration as end:
        return end.value
