"""
The start of worker processes: their arguments, environment and descriptors.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .child import WorkerProcess
from .pipe import FROM_PARENT, TO_PARENT, SharedSocket

#: The program of a worker. It begins with a session of its own, so that only the parent gets the signals of
#: Ctrl-C and those to its group; the imports that follow take much longer.
PROGRAM = "import os; os.setsid(); from txroom.process.workers.worker import main; main()"
#: What the last word of the command line of a worker begins with.
NAME = "txroom-worker-"
#: The first descriptor of a worker for a listening socket, or for another descriptor that it inherits.
FIRST = max(FROM_PARENT, TO_PARENT) + 1
#: Variables that are about the parent only: systemd's, and those with secrets.
NOT_INHERITED = frozenset(
    {
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "NOTIFY_SOCKET",
        "TXROOM_ADMIN_READ_TOKEN",
        "TXROOM_ADMIN_TOKEN",
        "TXROOM_REDIS_URL",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    }
)


def environmentOf(slot: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a worker, made from that of the parent."""
    inherited = {name: value for name, value in environment.items() if name not in NOT_INHERITED}
    return {**inherited, "TXROOM_WORKER": str(slot)}


def socketsFor(wheres: Sequence[int | str]) -> list[SharedSocket]:
    """Return which descriptors the sockets of these endpoints have in a worker."""
    return [SharedSocket(where, FIRST + index) for index, where in enumerate(wheres)]


def keptAfter(sockets: int, kept: int) -> list[int]:
    """Return the other descriptors of a worker that inherits so many sockets, and so many others."""
    return list(range(FIRST + sockets, FIRST + sockets + kept))


def spawn(reactor: Any, worker: WorkerProcess, descriptors: Sequence[int]) -> None:
    """
    Start the process of a worker.

    Args:
        reactor: The reactor.
        worker: Its protocol.
        descriptors: The descriptors that it inherits: those of the listening sockets, and then others.
    """
    arguments = [sys.executable, "-c", PROGRAM, f"{NAME}{worker.slot}"]
    with open(os.devnull, "rb") as null:
        inherited: dict[int, Any] = {0: null.fileno(), 1: "r", 2: "r", FROM_PARENT: "w", TO_PARENT: "r"}
        inherited |= {FIRST + index: each for index, each in enumerate(descriptors)}
        reactor.spawnProcess(
            worker, sys.executable, arguments, environmentOf(worker.slot, os.environ), childFDs=inherited
        )
