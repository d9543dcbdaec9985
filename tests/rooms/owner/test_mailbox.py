"""The mailbox of a member."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from txroom.rooms.owner.mailbox import Mailbox


class MailboxTests(SynchronousTestCase):
    """One job after another."""

    def setUp(self) -> None:
        self.mailbox = Mailbox()
        self.done: list[int] = []

    def test_order(self) -> None:
        """At once if there is nothing before it, else when what was posted before is done."""
        gate: Deferred[None] = Deferred()
        self.mailbox.post(self.done.append, 1)
        self.assertEqual((self.done, self.mailbox.isBusy), ([1], False))
        self.mailbox.post(lambda: gate)
        for number in (2, 3):
            self.mailbox.post(self.done.append, number)
        self.assertEqual((self.done, len(self.mailbox), self.mailbox.isBusy), ([1], 2, True))
        gate.callback(None)
        self.assertEqual((self.done, len(self.mailbox), self.mailbox.isBusy), ([1, 2, 3], 0, False))

    def test_within(self) -> None:
        """What a job posts comes after it."""

        def job() -> None:
            self.mailbox.post(self.done.append, 2)
            self.done.append(1)

        self.mailbox.post(job)
        self.assertEqual(self.done, [1, 2])

    def test_clear(self) -> None:
        """What has not begun is forgotten; what runs goes on, and what comes then waits for it."""
        gate: Deferred[None] = Deferred()
        self.mailbox.post(lambda: gate)
        self.mailbox.post(self.done.append, 1)
        self.mailbox.clear()
        self.mailbox.post(self.done.append, 2)
        self.assertEqual(self.done, [])
        gate.callback(None)
        self.assertEqual(self.done, [2])

    def test_errors(self) -> None:
        """A job that raises or fails is logged, and the next one comes."""
        self.mailbox.post(lambda: fail(ValueError()))
        waiting: Deferred[None] = Deferred()
        self.mailbox.post(lambda: waiting)
        self.mailbox.post(lambda: 1 / 0)  # type: ignore[arg-type,return-value]
        self.mailbox.post(self.done.append, 1)
        waiting.errback(KeyError())
        self.assertEqual(self.done, [1])
        self.assertEqual(len(self.flushLoggedErrors(ValueError, KeyError, ZeroDivisionError)), 3)

    def test_cancel(self) -> None:
        """What runs is cancelled without a log, and what has not begun is forgotten; then it is idle."""
        cancelled: list[Deferred[None]] = []
        self.mailbox.post(lambda: Deferred(cancelled.append))
        self.mailbox.post(self.done.append, 1)
        self.mailbox.cancel()
        self.assertEqual((len(cancelled), self.done, self.mailbox.isBusy), (1, [], False))
        self.mailbox.cancel()
        self.mailbox.post(self.done.append, 2)
        self.assertEqual((len(cancelled), self.done), (1, [2]))

    def test_idle(self) -> None:
        """It tells when the jobs have ended that were posted before."""
        self.successResultOf(self.mailbox.whenIdle())
        gate: Deferred[None] = Deferred()
        self.mailbox.post(lambda: gate)
        idle = self.mailbox.whenIdle()
        self.assertNoResult(idle)
        gate.callback(None)
        self.successResultOf(idle)
