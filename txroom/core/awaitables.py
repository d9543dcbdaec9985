"""
What hooks return and isn't there yet, how it is given up, and how its errors are forgotten.
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

_log = Logger()


def giveUp(waited: Deferred[Any]) -> None:
    """
    Cancel a Deferred that somebody else has made, whatever its canceller does.

    One that raises is logged, and the Deferred fails with `CancelledError` all the same: who waits for it
    goes on, and what it is given later is dropped.
    """
    while waited.called and isinstance(waited.result, Deferred):
        waited = waited.result  # which it waits for
    try:
        waited.cancel()
    except Exception:
        _log.failure("the canceller of a Deferred raised")
        if not waited.called:
            waited._canceller = None
            waited.cancel()


def forgetWay(error: BaseException | None) -> None:
    """
    Forget by which way an error has come, when it has been dealt with.

    One that has left a coroutine refers to a frame of Twisted's that refers to the error, and to frames that
    refer to rooms or connections: nothing of it would be freed without the collector. A `Failure` has its
    own traceback.
    """
    seen: set[int] = set()
    errors = [error]
    while errors:
        error = errors.pop()
        if error is not None and id(error) not in seen:
            seen.add(id(error))
            error.__traceback__ = None
            errors += error.__cause__, error.__context__


def forget(failure: Failure) -> None:
    """
    Forget by which way a failure has come that nobody is told of.

    A coroutine that is cancelled fails while Twisted's frames that are under way refer to its failure.
    """
    forgetWay(failure.value)
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
