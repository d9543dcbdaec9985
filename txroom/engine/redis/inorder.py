"""
Requests that concern the same room, one after another.

The requests of a client must reach a room in their order. It may take several steps to find out where the
room is, so a later request waits until each earlier one has been passed on to the room. Nothing waits for the
room's answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

#: Passes a request on. The result has the Deferred of the room's answer, in a list: nothing waits for it.
Pass = Callable[[], Awaitable[list[Deferred[Any]]]]


class InOrder:
    """The requests that wait, by the ids of their rooms."""

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
                queue.popleft()
                self._ended(room, queue)
                outcome.errback(Failure())
            else:
                queue.popleft()
                self._ended(room, queue)
                asked.addCallbacks(outcome.callback, outcome.errback)

    def _ended(self, room: str, queue: deque[tuple[Pass, Deferred[Any]]]) -> None:
        if not queue:
            del self._waiting[room]


async def pause(clock: IReactorTime, seconds: float) -> None:
    """Wait."""
    waiter: Deferred[None] = Deferred()
    clock.callLater(seconds, waiter.callback, None)
    await waiter
