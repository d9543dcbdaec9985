"""
The parent's side of the watcher: it keeps the process of `watcher` running and tells it of the others.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from . import watcher
from .owner import Owner

#: How many seconds pass before a watcher that has died is started again, and how many one may take to end.
AGAIN, STOP = 1.0, 5.0
#: How many seconds workers may take to end after a parent that was killed before they are killed too, and
#: then the store.
WORKERS, STORE = 12.0, 3.0


class Watching(ProcessProtocol):
    """
    The watcher of the workers and the store, if there is one.

    Args:
        reactor: The reactor.
        owner: Who they run as.
        environment: The environment of the process.
        directories: What the watcher removes in the end.
    """

    _log = Logger()
    transport: Any

    def __init__(
        self, reactor: Any, owner: Owner, environment: dict[str, str], directories: Sequence[Path]
    ) -> None:
        self._reactor = reactor
        self._owner = owner
        self._environment = environment
        self._directories = [str(each) for each in directories]
        #: The end of a pipe that the parent and all workers have, so that the watcher sees their end.
        self._read, self.descriptor = os.pipe()
        self._store = 0
        self._workers: set[int] = set()
        self._isRunning = False
        #: The next start, or at the end the time at which it is killed.
        self._call: IDelayedCall | None = None
        self._stopping: Deferred[None] | None = None

    def start(self) -> None:
        """Start it."""
        uid, gid = self._owner.ids
        times = str(WORKERS), str(STORE)
        args = [sys.executable, "-I", "-S", watcher.__file__, *times, *self._directories]
        nowhere = os.open(os.devnull, os.O_RDWR)
        try:
            self._reactor.spawnProcess(
                self,
                args[0],
                args,
                env=self._environment,
                uid=uid,
                gid=gid,
                childFDs={watcher.PARENT: "w", 1: nowhere, 2: nowhere, watcher.LIFE: self._read},
            )
        finally:
            os.close(nowhere)

    def _restart(self) -> None:
        try:
            self.start()
        except OSError as error:  # there can't be another process now
            self._over(error)

    def connectionMade(self) -> None:
        """It has been started."""
        self._isRunning = True
        self._tell(f"{self._store}")
        for process in self._workers:
            self._tell(f"+{process}")

    def watchStore(self, process: int) -> None:
        """From now on the store is the process with this id; 0: there is none."""
        self._store = process
        self._tell(f"{process}")

    def watchWorker(self, process: int) -> None:
        """The process with this id is a worker."""
        self._workers.add(process)
        self._tell(f"+{process}")

    def forgetWorker(self, process: int) -> None:
        """That worker has ended."""
        self._workers.remove(process)
        self._tell(f"-{process}")

    def _tell(self, word: str) -> None:
        if self._isRunning:
            self.transport.write(f"{word}\n".encode("ascii"))

    def processEnded(self, reason: Failure) -> None:
        """It has ended."""
        self._isRunning = False
        if self._stopping is not None:
            self._stopped()
            return
        self._over(reason.value)

    def _over(self, why: object) -> None:
        self._log.warn("the watcher has ended ({why}), it is started again", why=why)
        self._call = self._reactor.callLater(AGAIN, self._restart)

    def stop(self) -> Deferred[None]:
        """
        End it.

        Returns:
            A Deferred that fires when it has ended.
        """
        stopping = self._stopping = Deferred()
        self._cancel()
        if self._isRunning:
            self._tell("done")
            self._call = self._reactor.callLater(STOP, self.transport.signalProcess, "KILL")
        else:
            self._stopped()
        return stopping

    def _cancel(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _stopped(self) -> None:
        self._cancel()
        os.close(self._read)
        os.close(self.descriptor)
        assert self._stopping is not None
        self._stopping.callback(None)
