"""
The order in which a client's user is called: after a change of state, never in the middle of one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


class CallQueue:
    """
    Calls the user's code when the state of a client is consistent, and in order.

    Whoever changes the state does so within `with queue:`. Functions that are posted meanwhile (events, and
    Deferreds that fire) are called when the outermost of these blocks ends.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self._depth = 0
        self._posted: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *error: object) -> None:
        try:
            if self._depth == 1:
                self._drain()
        finally:
            self._depth -= 1

    def post(self, function: Callable[..., Any], *args: Any) -> None:
        """Call it when the state is consistent."""
        with self:
            self._posted.append((function, args))

    def later(self, delay: float, function: Callable[..., Any], *args: Any) -> IDelayedCall:
        """Call it after `delay` seconds, within a `with` block of this queue."""

        todo = [(function, args)]

        def call() -> None:
            # Not kept by the delayed call, which whoever holds its timer would form a cycle with.
            function, args = todo.pop()
            with self:
                function(*args)

        return self.clock.callLater(delay, call)

    def _drain(self) -> None:
        while self._posted:
            function, args = self._posted.popleft()
            try:
                function(*args)
            except Exception:
                self._log.failure("the client failed")


def stop(timer: IDelayedCall | None) -> None:
    """Cancel a delayed call, if there is one and it is still to come."""
    if timer is not None and timer.active():
        timer.cancel()
