"""
A thread that watches the reactor's thread, and logs what it is doing if it is blocked.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback

from twisted.logger import Logger

#: The seconds between two checks.
LOOK = 0.25


class Watchdog(threading.Thread):
    """
    Logs the stack of the thread that created it if `beat` is not called for `limit` seconds. It does so once,
    until `beat` is called again.

    The reactor's own thread can't do this: it notices only afterwards that it was blocked.
    """

    _log = Logger()

    def __init__(self, limit: float) -> None:
        super().__init__(name="txroom watchdog", daemon=True)
        self._limit = limit
        self._watched = threading.get_ident()
        self._stopped = threading.Event()
        self._last = time.monotonic()
        self._isStalled = False
        #: The stack that was logged last.
        self._stack = ""

    def beat(self) -> None:
        """Tell the watchdog that the reactor is running."""
        self._last = time.monotonic()
        self._isStalled = False

    def takeStack(self) -> str:
        """Return the stack that was logged during the last stall, and forget it; empty: there is none."""
        stack, self._stack = self._stack, ""
        return stack

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        self.beat()
        while not self._stopped.wait(LOOK):
            silence = time.monotonic() - self._last
            if silence > self._limit and not self._isStalled:
                self._isStalled = True
                self._report(silence)

    def _report(self, silence: float) -> None:
        frame = sys._current_frames().get(self._watched)
        stack = self._stack = "".join(traceback.format_stack(frame)).rstrip() if frame else "(gone)"
        self._log.warn(
            "the reactor has been blocked for {silence:.1f} s; its thread is at:\n{stack}",
            silence=silence,
            stack=stack,
        )
