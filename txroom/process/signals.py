"""
The signals of a process that serves.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


class ProcessSignals:
    """
    Handles signals. The first SIGTERM or SIGINT goes to Twisted, and the second calls `stopNow`. SIGHUP calls
    `hangUp`.

    Args:
        reactor: The reactor, in which the functions are called.
        stopNow: Stops at once.
        hangUp: Called after one or more SIGHUP.
    """

    def __init__(self, reactor: Any, stopNow: Callable[[], None], hangUp: Callable[[], None]) -> None:
        self._reactor = reactor
        self._stopNow = stopNow
        self._hangUp = hangUp
        self._isStopping = False
        self._isStoppingNow = False
        self._isHangingUp = False

    def handleHangUp(self) -> None:
        """Handle SIGHUP, which would otherwise end the process."""
        signal.signal(signal.SIGHUP, self._onHangUp)

    def handleStops(self) -> None:
        """
        Put the handlers of SIGTERM and SIGINT in front of Twisted's, which exist once the reactor is running.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            if callable(previous):
                signal.signal(number, self._stopHandler(previous))

    def _stopHandler(
        self, first: Callable[[int, FrameType | None], Any]
    ) -> Callable[[int, FrameType | None], None]:
        # Only the first two signals do something: a handler may be interrupted by the next signal, and many
        # handlers that interrupt each other exceed Python's recursion limit.
        def handle(number: int, frame: FrameType | None) -> None:
            if not self._isStopping:
                self._isStopping = True
                first(number, frame)
            elif not self._isStoppingNow:
                self._isStoppingNow = True
                self._reactor.callFromThread(self._stopNow)

        return handle

    def _onHangUp(self, number: int, frame: FrameType | None) -> None:
        if not self._isHangingUp:
            self._isHangingUp = True
            self._reactor.callFromThread(self._hungUp)

    def _hungUp(self) -> None:
        self._isHangingUp = False
        self._hangUp()
