"""How long a peer may take: seconds, and one more for each 4 KiB."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.wire.deadlines import BYTES_PER_SECOND, NEVER, dueBy


class PaceTests(SynchronousTestCase):
    """`dueBy`."""

    def test_nothing(self) -> None:
        """A peer that sends nothing has its seconds."""
        self.assertEqual(dueBy(100.0, 30.0, 0), 130.0)
        self.assertEqual(dueBy(100.0, 30.0, BYTES_PER_SECOND - 1), 130.0)

    def test_each(self) -> None:
        """Each 4 KiB are worth a second."""
        self.assertEqual(BYTES_PER_SECOND, 4096)
        self.assertEqual(dueBy(100.0, 30.0, BYTES_PER_SECOND), 131.0)
        self.assertEqual(dueBy(100.0, 0.5, 10 * BYTES_PER_SECOND + 1), 110.5)

    def test_off(self) -> None:
        """0 seconds: no deadline, whatever has come."""
        self.assertEqual(dueBy(100.0, 0.0, 0), NEVER)
        self.assertEqual(dueBy(100.0, 0.0, 1 << 30), NEVER)

    def test_bound(self) -> None:
        """A byte at a time holds 1 MiB for minutes, not for a year; a link of 25 kB/s gets 900 kB through."""
        size = 1 << 20
        late = next(sent for sent in range(size) if sent * 29.0 >= dueBy(0.0, 30.0, sent))
        self.assertLess(late, 3)
        self.assertLessEqual(dueBy(0.0, 30.0, size), 30.0 + 256.0)
        self.assertTrue(all(sent / 25_000 < dueBy(0.0, 30.0, sent) for sent in range(0, 900_000, 1000)))
