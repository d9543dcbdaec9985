"""
Workers that are silent, because they hang.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .child import WorkerProcess

#: The seconds between two looks at the workers.
LOOK = 1.0


class Liveness:
    """
    Looks for workers that have stalled.

    It counts its looks rather than seconds. So if the parent itself stood still, that is one look, and the
    workers are not blamed for it: what they have sent meanwhile is read before the next one.

    Args:
        clock: The clock.
        serving: Returns the workers that serve.
        onStalled: Called if some of them have stalled since the last look.
    """

    def __init__(
        self,
        clock: IReactorTime,
        serving: Callable[[], Iterable[WorkerProcess]],
        onStalled: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._serving = serving
        self._onStalled = onStalled
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Look at them from now on."""
        self._call = self._clock.callLater(LOOK, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self.start()
        stalled = [worker for worker in self._serving() if worker.missed()]
        if stalled:
            self._onStalled()
