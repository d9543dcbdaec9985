"""
The parent's side of the watcher: it keeps the process of `watcher` running and tells it of the store.
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

#: How many seconds pass before a watcher that has died is started again.
AGAIN = 1.0


class Watching(ProcessProtocol):
    """
    The watcher of one store.

    Args:
        reactor: The reactor.
        owner: Who the store runs as.
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
        self._process = 0
        self._isRunning = False
        self._again: IDelayedCall | None = None
        self._stopping: Deferred[None] | None = None

    def start(self) -> None:
        """Start it."""
        self._again = None
        uid, gid = self._owner.ids
        args = [sys.executable, "-I", "-S", watcher.__file__, *self._directories]
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

    def connectionMade(self) -> None:
        """It has been started."""
        self._isRunning = True
        self.watch(self._process)

    def watch(self, process: int) -> None:
        """From now on the store is the process with this id; 0: there is none."""
        self._process = process
        self._tell(str(process))

    def _tell(self, word: str) -> None:
        if self._isRunning:
            self.transport.write(f"{word}\n".encode("ascii"))

    def processEnded(self, reason: Failure) -> None:
        """It has ended."""
        self._isRunning = False
        if self._stopping is not None:
            self._stopped()
            return
        self._log.warn("the watcher of the store has ended ({why}); starting it again", why=reason.value)
        self._again = self._reactor.callLater(AGAIN, self.start)

    def stop(self) -> Deferred[None]:
        """
        End it.

        Returns:
            A Deferred that fires when it has ended.
        """
        stopping = self._stopping = Deferred()
        if self._again is not None:
            self._again.cancel()
        if self._isRunning:
            self._tell("done")
        else:
            self._stopped()
        return stopping

    def _stopped(self) -> None:
        os.close(self._read)
        os.close(self.descriptor)
        assert self._stopping is not None
        self._stopping.callback(None)
