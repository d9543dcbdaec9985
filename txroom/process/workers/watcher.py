"""
The program that ends the store after the parent process was killed.

It runs as a process of its own, with nothing but Python's standard library. Standard input is a pipe whose
other end only the parent has. Each line names the process of the store, or 0 if there is none; ``done`` means
that the parent needs the watcher no longer. Descriptor 3 is a pipe whose other end the parent and all workers
have.

    python -I -S watcher.py [directory to remove]
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time

#: How many seconds workers may take to end after the parent, and then the store.
WORKERS, STORE = 12.0, 3.0
PARENT, LIFE = 0, 3


def followParent() -> int | None:
    """
    Read what the parent writes.

    Returns:
        The process of the store when the parent has died, or `None` if the watcher is not needed any more.
    """
    rest, process = b"", 0
    while data := os.read(PARENT, 4096):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line == b"done":
                return None
            process = int(line)
    return process


def waitForWorkers() -> None:
    """Wait until no worker is left, but not for ever."""
    select.select([LIFE], [], [], WORKERS)  # nobody writes, so only the end of the pipe can be read


def isAlive(process: int) -> bool:
    """Return whether a process exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def end(process: int) -> None:
    """End the store, so that it writes what it has to its files."""
    deadline = time.monotonic() + STORE
    try:
        os.kill(process, signal.SIGTERM)
        while isAlive(process) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass


def main(directories: list[str]) -> None:
    """Do what the module says."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    process = followParent()
    if process is None:
        return
    waitForWorkers()
    if process:
        end(process)
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
