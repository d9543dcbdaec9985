"""
Tests for the settings of the garbage collector.
"""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase

from txroom.process.gctuning import THRESHOLD, relaxCollector


class CollectorTests(SynchronousTestCase):
    def test_relax(self) -> None:
        """The collector runs less often, and skips existing objects; both can be undone."""
        before = gc.get_threshold()
        frozen = gc.get_freeze_count()
        undo = relaxCollector()
        try:
            self.assertEqual(gc.get_threshold()[0], THRESHOLD)
            self.assertGreater(gc.get_freeze_count(), frozen + 10_000)
        finally:
            undo()
        self.assertEqual((gc.get_threshold(), gc.get_freeze_count()), (before, 0))

    def test_collects(self) -> None:
        """New cycles are still collected."""

        class Node:
            def __init__(self) -> None:
                self.me = self

        undo = relaxCollector(100)
        try:
            for _ in range(1000):
                Node()
            left = sum(isinstance(each, Node) for each in gc.get_objects())
        finally:
            undo()
        self.assertLess(left, 1000)
