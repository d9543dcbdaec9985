"""Excerpts of texts and lists."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.protocol.excerpts import fitting, shortened


class ExcerptTests(SynchronousTestCase):
    """What is left of what is too long."""

    def test_shortened(self) -> None:
        """A text has so many bytes, whole characters, and none that can't be sent."""
        self.assertEqual([shortened(text, 4) for text in ("abc", "abcde", "aäöü", "ab\ud800")], [
            "abc", "abcd", "aä", "ab?",
        ])  # fmt: skip

    def test_fitting(self) -> None:
        """A list has so many bytes when it is encoded, in order, and one element at least."""
        texts = ["x" * size for size in (3, 4, 0, 30)]  # each is one byte longer
        for size, count in ((0, 1), (4, 1), (8, 1), (9, 2), (10, 3), (40, 3), (41, 4), (99, 4)):
            self.assertEqual(fitting(texts, size), texts[:count], size)
        self.assertEqual(fitting([], 5), [])

    def test_lazy(self) -> None:
        """What follows isn't made."""
        made = iter(range(9))
        self.assertEqual(fitting(made, 2), [0, 1])
        self.assertEqual(next(made), 3)
