"""
The queue of calls to the user's code: they are made after a change of state, never during one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


class CallQueue:
    """
    Calls the user's code in order, and only when the client's state is consistent.

    Code that changes the state runs within `with queue:`. Functions that are posted meanwhile (listeners of
    events, callbacks of Deferreds) are called when the outermost of these blocks ends.
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
        """Call `function(*args)` when the outermost `with` block ends, or at once if there is none."""
        with self:
            self._posted.append((function, args))

    def later(self, delay: float, function: Callable[..., Any], *args: Any) -> IDelayedCall:
        """Call `function(*args)` after `delay` seconds, within a `with` block of this queue."""

        todo = [(function, args)]

        def call() -> None:
            # After the call, the delayed call must not refer to the function: an object that keeps its timer
            # would be part of a reference cycle.
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
                self._log.failure("A function that the client called raised an exception")


def stop(timer: IDelayedCall | None) -> None:
    """Cancel a delayed call, if there is one and it has not been called yet."""
    if timer is not None and timer.active():
        timer.cancel()
