"""
A thread that looks on while the reactor stalls, and logs what the main thread is busy with.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback

from twisted.logger import Logger

#: Seconds between two looks.
LOOK = 0.25


class Watchdog(threading.Thread):
    """
    Logs the stack of the thread that made it, once for each time that no `beat` came for `limit` seconds.

    Nothing in the reactor's own thread can do this: there a stall shows only when it is over.
    """

    _log = Logger()

    def __init__(self, limit: float) -> None:
        super().__init__(name="txroom watchdog", daemon=True)
        self._limit = limit
        self._watched = threading.get_ident()
        self._stopped = threading.Event()
        self._last = time.monotonic()
        self._isStalled = False

    def beat(self) -> None:
        """The reactor turns."""
        self._last = time.monotonic()
        self._isStalled = False

    def stop(self) -> None:
        """Watch no longer."""
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
        self._log.warn(
            "the reactor has not turned for {silence:.1f} s; its thread is here:\n{stack}",
            silence=silence,
            stack="".join(traceback.format_stack(frame)).rstrip() if frame else "(gone)",
        )
