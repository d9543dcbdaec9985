"""
Tests for the sums of counters.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.process.workers.pipe import Report
from txroom.process.workers.summing import summed


class SummedTests(SynchronousTestCase):
    """`summed`."""

    def test_sums(self) -> None:
        """Numbers are added, those by reason for each reason."""
        first = Report("ok", {"total": 2, "rejected": {"origin": 1}}).stats
        second = {"total": 3, "rejected": {"origin": 1, "path": 4}}
        self.assertEqual(summed([first, {}, second]), {"total": 5, "rejected": {"origin": 2, "path": 4}})
        self.assertEqual(summed([]), {})
