"""
The places of the workers.
"""

from __future__ import annotations

import attrs
from twisted.internet.interfaces import IDelayedCall

from .backoff import Backoff
from .child import WorkerProcess


@attrs.define(eq=False)
class Slot:
    """The place of one worker. It has a number, from 1, that its successors have too."""

    number: int
    backoff: Backoff = attrs.field(factory=Backoff)
    worker: WorkerProcess | None = None
    #: The process that is to take the place of `worker`, during a reload.
    successor: WorkerProcess | None = None
    #: The call that starts the next process.
    starting: IDelayedCall | None = None
    #: Whether a process of it has ended.
    hasFailed: bool = False

    def succeed(self, successor: WorkerProcess) -> None:
        """A process is to take the place of the worker, which is an old one from now on, in the log too."""
        self.successor = successor
        if self.worker is not None:
            self.worker.output.mark = "old"

    def succeeded(self) -> None:
        """The successor takes the place."""
        self.worker, self.successor = self.successor, None

    def notSucceeded(self) -> None:
        """The worker keeps its place, and the successor, if there is one, is to stop."""
        if self.successor is not None:
            self.successor.output.mark = "given up"
        if self.worker is not None:
            self.worker.output.mark = ""
        self.successor = None
