"""
The mailbox of a member: what its room is to do for it, one thing after another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

#: What a mailbox does.
Job = Callable[..., Deferred[Any] | None]


class Mailbox:
    """
    Does the jobs of one member in the order in which they were posted, never two at a time.

    A `Job` is a function that doesn't raise. It returns `None` if it is done, or a Deferred that the next job
    waits for.
    """

    __slots__ = ("_jobs", "isBusy")

    _log = Logger()

    def __init__(self) -> None:
        #: What waits; made when something does, since most never need it.
        self._jobs: deque[tuple[Job, tuple[Any, ...]]] | None = None
        #: Whether what is posted now has to wait.
        self.isBusy = False

    def __len__(self) -> int:
        return len(self._jobs or ())

    def post(self, job: Job, *args: Any) -> None:
        """Do `job` after all that was posted before; at once if there is nothing. Hot."""
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
        """Forget what has not begun."""
        self._jobs = None

    def _isDone(self, job: Job, args: tuple[Any, ...]) -> bool:
        """Begin a job; whether there is nothing to wait for."""
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
