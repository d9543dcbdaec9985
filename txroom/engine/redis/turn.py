"""
Turns: what a node writes and sends during one turn of the reactor leaves at the end of the turn, together.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


class Turn:
    """
    Calls functions at the end of each turn in which there was something to send.

    The reactor calls it when it has delivered the events of one poll, so that all that these events have
    caused leaves together.

    Args:
        clock: The reactor.
        flushes: The functions, in the order in which they are called.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, *flushes: Callable[[], None]) -> None:
        self._clock = clock
        self._flushes = flushes
        self._call: IDelayedCall | None = None

    def wake(self) -> None:
        """There is something to send at the end of this turn. Called for every message."""
        if self._call is None:
            self._call = self._clock.callLater(0, self._end)

    def flush(self) -> None:
        """Send what there is now."""
        for flush in self._flushes:
            try:
                flush()
            except Exception:
                self._log.failure("what was sent in a turn of the reactor could not be flushed")

    def stop(self) -> None:
        """Send nothing more by itself."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _end(self) -> None:
        self._call = None
        self.flush()
