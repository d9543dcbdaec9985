"""
Tests for `TokenBucket`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.core.tokenbucket import TokenBucket


class BucketTests(SynchronousTestCase):
    """`TokenBucket`."""

    def test_take(self) -> None:
        """First the whole burst can be taken, then as many tokens as were added."""
        bucket = TokenBucket(2.0, 3.0, 10.0)
        self.assertEqual([bucket.take(10.0) for _ in range(4)], [True, True, True, False])
        self.assertEqual([bucket.take(10.4), bucket.take(10.5), bucket.take(10.5)], [False, True, False])
        self.assertEqual(bucket.wait(1.0), 0.5)

    def test_unspent(self) -> None:
        """`unspent` changes nothing."""
        bucket = TokenBucket(2.0, 1.0, 0.0)
        self.assertTrue(bucket.take(0.0))
        self.assertEqual([bucket.unspent(0.5), bucket.unspent(5.0), bucket.unspent(-1.0)], [1.0, 10.0, 0.0])
        self.assertEqual([bucket.take(5.0), bucket.take(5.0)], [True, False])

    def test_change(self) -> None:
        """A new rate counts from now on; a smaller burst removes tokens, a larger one adds none."""
        bucket = TokenBucket(1.0, 4.0, 0.0)
        bucket.change(10.0, 2.0, 0.0)
        self.assertEqual([bucket.take(0.0) for _ in range(3)], [True, True, False])
        self.assertTrue(bucket.take(0.1))
        bucket.change(10.0, 8.0, 0.1)
        self.assertFalse(bucket.take(0.1))
        self.assertTrue(bucket.isFull(0.9))
