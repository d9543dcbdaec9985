"""
Times the handlers of rooms, for metrics.

A handler that is timed is called by a function that reads the clock twice. A server without metrics calls the
handlers themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from copy import copy
from functools import wraps
from types import CoroutineType
from typing import Any, Protocol, TypeVar

from ...core.awaitables import isAsync, toDeferred
from ...core.meters import Histogram
from ..api.client import Client
from ..api.handlers import Handler
from ..api.room import Room
from ..meters import RoomMeters

#: The type under which `onMessage` is counted, whatever the types of its messages are.
OTHER = "other"

Result = TypeVar("Result")


class Fallback(Protocol):
    """What takes the messages without a handler; a `Room` itself, if it isn't timed."""

    def onMessage(self, client: Client, type: str, data: Any) -> Any: ...


def handlersFor(
    meters: RoomMeters, name: str, handlers: Mapping[str, Handler], seconds: Callable[[], float]
) -> Mapping[str, Handler]:
    """
    Return the handlers for a new room: timed ones if `meters.isTiming`.

    Args:
        meters: The counters of the application.
        name: The name under which the room is registered.
        handlers: The handlers of its class, by the type of message.
        seconds: Returns the time.
    """
    if not meters.isTiming:
        return handlers
    known = meters.timed.get(name)
    if known is None:
        known = {type: _timed(each, meters.timeOf(name, type), seconds) for type, each in handlers.items()}
        meters.timed[name] = known
    return known


def fallbackFor(meters: RoomMeters, name: str, room: Room, seconds: Callable[[], float]) -> Fallback | None:
    """Return what takes the messages of a room without a handler; `None` if its class has no `onMessage`."""
    if type(room).onMessage is Room.onMessage:
        return None
    return TimedFallback(room, meters.timeOf(name, OTHER), seconds) if meters.isTiming else room


class TimedFallback:
    """Calls `onMessage` of a room, and times it."""

    __slots__ = ("_histogram", "_room", "_seconds")

    def __init__(self, room: Room, histogram: Histogram, seconds: Callable[[], float]) -> None:
        self._room = room
        self._histogram = histogram
        self._seconds = seconds

    def onMessage(self, client: Client, type: str, data: Any) -> Any:
        """See `Room.onMessage`."""
        call: Callable[..., Any] = timedCall(self._room.onMessage, self._histogram, self._seconds)
        return call(client, type, data)


def _timed(handler: Handler, histogram: Histogram, seconds: Callable[[], float]) -> Handler:
    timed = copy(handler)
    timed.function = timedCall(handler.function, histogram, seconds)
    return timed


def timedCall(
    function: Callable[..., Any], histogram: Histogram, seconds: Callable[[], float]
) -> Callable[..., Any]:
    """
    Return a function that does the same, and counts how long that takes; if it is asynchronous, until its
    result is there.
    """
    observe, counts, shortest = histogram.observe, histogram.counts, histogram.bounds[0]

    @wraps(function)
    def timed(*args: Any) -> Any:
        began = seconds()
        try:
            result = function(*args)
        except BaseException:
            observe(seconds() - began)
            raise
        if result is None or not isAsync(result):
            took = seconds() - began
            if took <= shortest:  # as `observe`, without a call: most handlers are done at once
                counts[0] += 1
                if took > 0.0:
                    histogram.sum += took
            else:
                observe(took)
        elif type(result) is CoroutineType:
            return _finish(result, lambda: observe(seconds() - began))
        else:

            def done(value: Result) -> Result:
                observe(seconds() - began)
                return value

            return toDeferred(result).addBoth(done)
        return result

    return timed


async def _finish(coroutine: Coroutine[Any, Any, Result], done: Callable[[], object]) -> Result:
    try:
        return await coroutine
    finally:
        done()
