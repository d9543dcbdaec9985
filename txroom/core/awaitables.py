"""
Results of hooks that come later: Deferreds, coroutines and Futures, their cancellation and their errors.
"""

from __future__ import annotations

from asyncio import CancelledError as FutureCancelled
from asyncio import Future
from collections.abc import Coroutine
from types import CoroutineType
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from .twistedinternet import dropCanceller

_log = Logger()


def cancelHook(waited: Deferred[Any]) -> None:
    """
    Cancel what a hook waits for: a Deferred that a user has made, whose canceller may raise.

    An error of the canceller is logged, and the Deferred fails with `CancelledError` all the same, so that
    whoever waits for it goes on. A result that it is given later is dropped.
    """
    while waited.called and isinstance(waited.result, Deferred):
        waited = waited.result  # which it waits for
    try:
        waited.cancel()
    except Exception:
        _log.failure("the canceller of a Deferred raised")
        if not waited.called:
            dropCanceller(waited)
            waited.cancel()


def clearTraceback(error: BaseException | None) -> None:
    """
    Drop the tracebacks of an error that has been dealt with, and of its causes.

    The traceback of an error that has left a coroutine refers to a frame of Twisted's that refers to the
    error again, and to frames that refer to rooms or connections: without this, only the garbage collector
    would free them. A `Failure` keeps a traceback of its own.
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
    Drop the tracebacks of a failure that nobody is told of, and the failure's own.

    A coroutine that is cancelled fails while frames of Twisted's that still run refer to its failure.
    """
    clearTraceback(failure.value)
    failure.cleanFailure()


_ASYNC = (Deferred, CoroutineType, Future)


def isAsync(result: object) -> bool:
    """Whether a hook's result is still to come: a `Deferred`, a coroutine, or a Future or Task of asyncio."""
    return isinstance(result, _ASYNC)


def toDeferred(result: Deferred[Any] | Coroutine[Any, Any, Any] | Future[Any]) -> Deferred[Any]:
    """The Deferred of what `isAsync` told to be one; what is cancelled fails with Twisted's error."""
    if isinstance(result, Deferred):
        return result
    if isinstance(result, Future):
        return Deferred.fromFuture(result).addErrback(_cancelled)
    return Deferred.fromCoroutine(result)


def _cancelled(failure: Failure) -> Failure:
    """That asyncio has cancelled something, in Twisted's words."""
    return Failure(CancelledError()) if failure.check(FutureCancelled) else failure
