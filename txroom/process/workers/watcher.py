"""
The program that ends what is left after the parent process was killed: workers that hang, and the store.

It runs as a process of its own, with nothing but Python's standard library. Standard input is a pipe whose
other end only the parent has. ``+7`` means that the process 7 is a worker, and ``-7`` that it has ended.
``7`` means that it is the store, and ``0`` that there is none. ``done`` means that the parent needs the
watcher no longer. Descriptor 3 is a pipe whose other end the parent and all workers have.

    python -I -S watcher.py WORKERS STORE [DIRECTORY...]

WORKERS is how many seconds the workers may take to end after the parent; then they are killed. STORE is how
many seconds the store may take then. The directories are removed in the end.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterable

PARENT, LIFE = 0, 3


class Process:
    """
    A process that gets signals.

    On Linux it is found by a descriptor, so that another process that gets its id later is not taken for it.

    Args:
        id: The id of the process.
    """

    def __init__(self, id: int) -> None:
        self._id = id
        self._descriptor = -1
        try:
            self._descriptor = os.pidfd_open(id)
        except ProcessLookupError:
            self._id = 0  # it has ended already
        except (AttributeError, OSError):
            pass  # this system has no such descriptors

    def send(self, number: int) -> None:
        """Send a signal; 0 only tests whether the process is there. Raises `ProcessLookupError`."""
        if self._descriptor >= 0:
            signal.pidfd_send_signal(self._descriptor, number)
        elif self._id:
            os.kill(self._id, number)
        else:
            raise ProcessLookupError

    def close(self) -> None:
        """Forget it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)


class Followed:
    """The processes that the parent has named."""

    def __init__(self) -> None:
        #: Whether the parent needs the watcher.
        self.isNeeded = True
        self.store: Process | None = None
        #: The workers, by the ids of their processes.
        self.workers: dict[int, Process] = {}

    def read(self) -> None:
        """Read what the parent writes, until it has died or needs the watcher no longer."""
        rest = b""
        while self.isNeeded and (data := os.read(PARENT, 4096)):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._line(line)

    def _line(self, line: bytes) -> None:
        if line == b"done":
            self.isNeeded = False
        elif line.startswith(b"+"):
            self.workers[int(line)] = Process(int(line))
        elif line.startswith(b"-"):
            self.workers.pop(-int(line)).close()
        else:
            if self.store is not None:
                self.store.close()
            self.store = Process(int(line)) if line != b"0" else None


def endWorkers(workers: Iterable[Process], seconds: float) -> None:
    """Wait until no worker is left, and kill those that are left in the end."""
    ended, _, _ = select.select([LIFE], [], [], seconds)  # nobody writes, so only the end can be read
    for worker in () if ended else workers:
        try:
            worker.send(signal.SIGKILL)  # also ends a process that was stopped by a signal
        except ProcessLookupError:
            pass


def end(process: Process, seconds: float) -> None:
    """End the store with SIGTERM, so that it writes what it has to its files, and later with SIGKILL."""
    deadline = time.monotonic() + seconds
    try:
        process.send(signal.SIGTERM)
        while time.monotonic() < deadline:
            time.sleep(0.02)
            process.send(0)
        process.send(signal.SIGKILL)
    except ProcessLookupError:
        pass


def main(workers: str, store: str, *directories: str) -> None:
    """Do what the module says."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    followed = Followed()
    followed.read()
    if not followed.isNeeded:
        return
    endWorkers(followed.workers.values(), float(workers))
    if followed.store is not None:
        end(followed.store, float(store))
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
