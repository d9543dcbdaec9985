"""
Waits that end with their node: pauses, deadlines, and requests for one room, one after another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from ...rooms.contract.asks import unanswered


class Waits:
    """
    The waits of one node.

    Args:
        clock: The clock.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: dict[object, tuple[IDelayedCall, Callable[[], None]]] = {}
        #: Whether the node has stopped, so that nothing is waited for any more.
        self.isStopped = False

    def seconds(self) -> float:
        """Return the time of the clock."""
        return self._clock.seconds()

    def stop(self) -> None:
        """End all waits, and each later one at once."""
        self.isStopped = True
        calls, self._calls = self._calls, {}
        for delayed, call in calls.values():
            if delayed.active():  # the end of one wait may have ended another
                delayed.cancel()
                call()

    def pause(self, seconds: float) -> Deferred[None]:
        """Return a Deferred that fires after so many seconds."""
        over: Deferred[None] = Deferred()
        self._later(seconds, lambda: over.callback(None))
        return over

    def either(self, waited: Deferred[Any], seconds: float) -> Deferred[None]:
        """Return a Deferred that fires when `waited` has, or after so many seconds."""
        outcome: Deferred[None] = Deferred()

        def over() -> None:
            if not outcome.called:
                outcome.callback(None)

        cancel = self._later(seconds, over)

        def fired(result: Any) -> Any:
            cancel()
            over()
            return result

        waited.addBoth(fired)
        return outcome

    def within(self, seconds: float, asked: Deferred[Any]) -> Deferred[Any]:
        """Return a Deferred with the same result; it fails with `unanswered` after so many seconds."""
        if asked.called and not asked.paused:
            return asked
        outcome: Deferred[Any] = Deferred()

        def late() -> None:
            if not outcome.called:
                outcome.errback(unanswered(True))

        cancel = self._later(seconds, late)

        def finish(result: Any) -> None:
            cancel()
            if outcome.called:
                return
            if isinstance(result, Failure):
                outcome.errback(result)
            else:
                outcome.callback(result)

        asked.addBoth(finish)
        return outcome

    def _later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call a function later, or when the waits end. Returns a function that cancels that."""
        if self.isStopped:
            seconds = 0.0

        # `run` must not know the delayed call, which keeps it: only the collector would free the two.
        key = object()

        def run() -> None:
            self._calls.pop(key, None)
            call()

        def cancel() -> None:
            self._calls.pop(key, None)
            if delayed.active():
                delayed.cancel()

        delayed = self._clock.callLater(seconds, run)
        if not self.isStopped:
            self._calls[key] = (delayed, call)
        return cancel


#: Passes a request on. The result has the Deferred of the room's answer, in a list: nothing waits for it.
Pass = Callable[[], Awaitable[list[Deferred[Any]]]]


class InOrder:
    """
    The requests that wait, by the ids of their rooms.

    The requests of a client must reach a room in their order. It may take several steps to find out where the
    room is, so a later request waits until each earlier one has been passed on to the room. Nothing waits for
    the room's answers.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[tuple[Pass, Deferred[Any]]]] = {}

    def isWaiting(self, room: str) -> bool:
        """Return whether a request for that room has not been passed on yet."""
        return room in self._waiting

    def add(self, room: str, passOn: Pass) -> Deferred[Any]:
        """
        Pass a request on after the earlier ones.

        Returns:
            A Deferred of the room's answer.
        """
        outcome: Deferred[Any] = Deferred()
        queue = self._waiting.get(room)
        if queue is not None:
            queue.append((passOn, outcome))
            return outcome
        queue = self._waiting[room] = deque([(passOn, outcome)])
        Deferred.fromCoroutine(self._work(room, queue))
        return outcome

    async def _work(self, room: str, queue: deque[tuple[Pass, Deferred[Any]]]) -> None:
        while queue:
            passOn, outcome = queue[0]
            try:
                (asked,) = await passOn()
            except Exception:
                self._passedOn(room, queue)
                outcome.errback(Failure())
            else:
                self._passedOn(room, queue)
                asked.addCallbacks(outcome.callback, outcome.errback)

    def _passedOn(self, room: str, queue: deque[tuple[Pass, Deferred[Any]]]) -> None:
        queue.popleft()
        if not queue:
            del self._waiting[room]
