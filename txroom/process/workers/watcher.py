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


def waitForWorkers(seconds: float) -> None:
    """Wait until no worker is left."""
    select.select([LIFE], [], [], seconds)  # nobody writes, so only the end of the pipe can be read


def end(process: int, seconds: float) -> None:
    """End the store with SIGTERM, so that it writes what it has to its files, and later with SIGKILL."""
    deadline = time.monotonic() + seconds
    try:
        os.kill(process, signal.SIGTERM)
        while time.monotonic() < deadline:
            time.sleep(0.02)
            os.kill(process, 0)
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass


def main(workers: str, store: str, *directories: str) -> None:
    """Do what the module says."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    process = followParent()
    if process is None:
        return
    waitForWorkers(float(workers))
    if process:
        end(process, float(store))
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
