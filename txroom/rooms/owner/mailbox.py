"""
The mailbox of a member: a queue of jobs that run one after another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

#: A job of a mailbox.
Job = Callable[..., Deferred[Any] | None]


class Mailbox:
    """
    Runs the jobs of one member in the order in which they were posted, never two at a time.

    A `Job` is a function that doesn't raise. It returns `None` when it is done, or a Deferred that the next
    job waits for.
    """

    __slots__ = ("_jobs", "isBusy")

    _log = Logger()

    def __init__(self) -> None:
        #: The queued jobs. The queue is made when it is needed; most members never need it.
        self._jobs: deque[tuple[Job, tuple[Any, ...]]] | None = None
        #: Whether a job is running, so that a job that is posted now is queued.
        self.isBusy = False

    def __len__(self) -> int:
        return len(self._jobs or ())

    def post(self, job: Job, *args: Any) -> None:
        """Run `job` after all jobs that were posted before; at once if there are none. Hot."""
        if not self.isBusy:
            self.isBusy = True
            if self._isDone(job, args):
                if self._jobs:
                    self._next()
                else:
                    self.isBusy = False
        elif self._jobs is None:
            self._jobs = deque([(job, args)])
        else:
            self._jobs.append((job, args))

    def clear(self) -> None:
        """Drop all jobs that have not begun."""
        self._jobs = None

    def _isDone(self, job: Job, args: tuple[Any, ...]) -> bool:
        """Begin a job; return whether it is done."""
        try:
            waited = job(*args)
        except BaseException:
            self._log.failure("a job of a mailbox raised")
            return True
        if waited is None or (waited.called and not waited.paused):
            return True
        waited.addBoth(self._next)
        return False

    def _next(self, result: object = None) -> None:
        if isinstance(result, Failure):
            self._log.failure("a job of a mailbox failed", result)
        while self._jobs:
            job, args = self._jobs.popleft()
            if not self._isDone(job, args):
                return
        self._jobs = None
        self.isBusy = False
