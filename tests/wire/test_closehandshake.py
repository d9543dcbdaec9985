"""How long a connection that is being closed may take."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.wire.closehandshake import CHECKS, MAX_EARNED, CloseHandshake
from txroom.wire.deadlines import BYTES_PER_SECOND, NEVER


def lost(since: float) -> float:
    """A process that never stands still."""
    return 0.0


class ClosingTests(SynchronousTestCase):
    """`closeTimeout` seconds, counted from 100; the peer had taken 1000 bytes by then."""

    def setUp(self) -> None:
        self.closing = CloseHandshake(10, now=100, taken=1000)

    def test_silent(self) -> None:
        """A peer from which nothing comes, and which takes nothing, has its seconds and no more."""
        for now in (100, 105, 110):
            self.assertEqual(self.closing.deadline(1000, 0, now, lost), 110)

    def test_moves(self) -> None:
        """What it takes or sends earns it time, as long as that goes on."""
        self.assertEqual(self.closing.deadline(1000 + 5 * BYTES_PER_SECOND, 0, 104, lost), 114)
        self.assertEqual(self.closing.deadline(1000 + 90 * BYTES_PER_SECOND, 0, 113, lost), 123)
        self.assertEqual(self.closing.deadline(1000 + 90 * BYTES_PER_SECOND, 0, 120, lost), 123)
        self.assertEqual(self.closing.deadline(1000, BYTES_PER_SECOND, 100, lost), 110)

    def test_bounded(self) -> None:
        """Of what it sends so much counts; of what it takes all."""
        most = MAX_EARNED // BYTES_PER_SECOND
        now = 100.0
        for received in range(0, 4 * MAX_EARNED, MAX_EARNED // 8):
            now += 9
            deadline = self.closing.deadline(1000, received, now, lost)
        self.assertEqual(deadline, 110 + most)

    def test_standstill(self) -> None:
        """Nobody is late for what the process slept through."""
        self.assertEqual(self.closing.deadline(1000, 0, 105, lambda since: 7.0), 117)

    def test_none(self) -> None:
        """`closeTimeout=0`: no deadline, and nothing to look at."""
        closing = CloseHandshake(0, now=100, taken=0)
        deadline = closing.deadline(0, 0, 1e6, lost)
        self.assertEqual((deadline, closing.nextDeadline(deadline, 1e6)), (NEVER, NEVER))

    def test_next(self) -> None:
        """It is looked at a few times, so that it is seen what moves."""
        self.assertEqual(self.closing.nextDeadline(110, 100), 100 + 10 / CHECKS)
        self.assertEqual(self.closing.nextDeadline(110, 109), 110)

    def test_first(self) -> None:
        """The first reason counts."""
        self.assertEqual((self.closing.code, self.closing.reason), (None, ""))
        self.closing.end(1002, "bad")
        self.closing.end(1000, "")
        self.assertEqual((self.closing.code, self.closing.reason), (1002, "bad"))
