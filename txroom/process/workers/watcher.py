"""
The program that ends the store after the parent process was killed.

It runs as a process of its own, with nothing but Python's standard library. Standard input is a pipe whose
other end only the parent has. Each line names the process of the store, or 0 if there is none; ``done`` means
that the parent needs the watcher no longer. Descriptor 3 is a pipe whose other end the parent and all workers
have.

    python -I -S watcher.py WORKERS STORE [DIRECTORY...]

WORKERS is how many seconds the workers may take to end after the parent, and STORE how many the store may
take then. The directories are removed in the end.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time

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


def followParent() -> tuple[bool, Process | None]:
    """
    Read what the parent writes.

    Returns:
        Whether the watcher is needed, because the parent has died, and the process of the store.
    """
    rest = b""
    process: Process | None = None
    while data := os.read(PARENT, 4096):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line == b"done":
                return False, None
            if process is not None:
                process.close()
            process = Process(int(line)) if line != b"0" else None
    return True, process


def waitForWorkers(seconds: float) -> None:
    """Wait until no worker is left."""
    select.select([LIFE], [], [], seconds)  # nobody writes, so only the end of the pipe can be read


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
    isNeeded, process = followParent()
    if not isNeeded:
        return
    waitForWorkers(float(workers))
    if process is not None:
        end(process, float(store))
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
