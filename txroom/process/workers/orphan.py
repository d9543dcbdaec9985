"""
The end of a worker whose parent was killed.

The end of the pipe from the parent tells it. The worker stops then, and gives up its waits after `HURRY`
seconds. If it does not get that far, because its reactor is blocked for example, a thread kills it.
"""

from __future__ import annotations

import select
import signal
import threading
import time
from collections.abc import Callable

#: How many seconds after the end of the parent the shutdown waits for nothing any more, and how many seconds
#: after it the process is killed. The rooms are handed over in between, before the watcher ends the store.
HURRY, KILL = 4.0, 11.0


class OrphanThread(threading.Thread):
    """
    A thread that kills this process `KILL` seconds after its parent, unless it has ended by then.

    Args:
        descriptor: The end of a pipe whose other end only the parent has.
        sleep: Waits for so many seconds.
        kill: Sends a signal to this process.
    """

    def __init__(
        self,
        descriptor: int,
        sleep: Callable[[float], object] = time.sleep,
        kill: Callable[[int], object] = signal.raise_signal,
    ) -> None:
        super().__init__(name="txroom orphan", daemon=True)
        self._end = select.poll()
        self._end.register(descriptor, 0)  # the end of the pipe is always reported, and data is not
        self._sleep = sleep
        self._kill = kill

    def run(self) -> None:
        """Wait, and kill the process."""
        self._end.poll()
        self._sleep(KILL)
        self._kill(signal.SIGKILL)
