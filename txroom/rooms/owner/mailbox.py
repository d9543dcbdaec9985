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

from ...core.awaitables import cancelHook

#: A job of a mailbox.
Job = Callable[..., Deferred[Any] | None]


class Mailbox:
    """
    Runs the jobs of one member in the order in which they were posted, never two at a time.

    A `Job` is a function that doesn't raise. It returns `None` when it is done, or a Deferred that the next
    job waits for.
    """

    __slots__ = ("_jobs", "_running", "isBusy")

    _log = Logger()

    def __init__(self) -> None:
        #: The queued jobs. The queue is made when it is needed; most members never need it.
        self._jobs: deque[tuple[Job, tuple[Any, ...]]] | None = None
        #: What the next job waits for.
        self._running: Deferred[Any] | None = None
        #: Whether a job is running, so that a job that is posted now is queued.
        self.isBusy = False

    def __len__(self) -> int:
        return len(self._jobs or ())

    def post(self, job: Job, *args: Any) -> None:
        """Run `job` after all jobs that were posted before; at once if there are none."""
        if not self.isBusy:
            self.isBusy = True
            self.begun(self._begin(job, args))
        elif self._jobs is None:
            self._jobs = deque([(job, args)])
        else:
            self._jobs.append((job, args))

    def begun(self, waited: Deferred[Any] | None) -> None:
        """
        Take the result of a job that the caller has begun itself, without `post`.

        The caller may do so if `isBusy` is false, and sets `isBusy` before it begins the job. Called for
        every message.
        """
        if waited is not None and (waited.paused or not waited.called):
            self._running = waited
            waited.addBoth(self._next)
        elif self._jobs:
            self._next()
        else:
            self.isBusy = False

    def clear(self) -> list[tuple[Job, tuple[Any, ...]]]:
        """Drop all jobs that have not begun. Returns them, with their arguments."""
        jobs, self._jobs = self._jobs, None
        return list(jobs or ())

    def whenIdle(self) -> Deferred[None]:
        """
        Return a Deferred that fires when the jobs that were posted before have ended. It doesn't fire if jobs
        are dropped.
        """
        idle: Deferred[None] = Deferred()
        self.post(idle.callback, None)
        return idle

    def cancel(self) -> None:
        """Drop all jobs that have not begun, and cancel what the running one waits for."""
        self.clear()
        running, self._running = self._running, None
        if running is not None:
            cancelHook(running)

    def _begin(self, job: Job, args: tuple[Any, ...]) -> Deferred[Any] | None:
        try:
            return job(*args)
        except BaseException:
            self._log.failure("a job of a mailbox raised")
            return None

    def _next(self, result: object = None) -> None:
        isCancelled, self._running = self._running is None, None
        if isinstance(result, Failure) and not isCancelled:
            self._log.failure("a job of a mailbox failed", result)
        while self._jobs:
            job, args = self._jobs.popleft()
            waited = self._begin(job, args)
            if waited is not None and (waited.paused or not waited.called):
                self._running = waited
                waited.addBoth(self._next)
                return
        self._jobs = None
        self.isBusy = False
