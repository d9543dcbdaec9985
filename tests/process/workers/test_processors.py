"""
Tests for the number of processors.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txroom.process.workers.processors import usableProcessors


class ProcessorsTests(SynchronousTestCase):
    """`usableProcessors`."""

    def setUp(self) -> None:
        self.quota = Path(self.mktemp())
        self.patch(os, "sched_getaffinity", lambda process: set(range(8)))
        self.patch(os, "cpu_count", lambda: 64)

    def count(self, quota: str | None = None) -> int:
        if quota is not None:
            self.quota.write_text(quota)
        return usableProcessors(self.quota)

    def test_affinity(self) -> None:
        """Processors that the process may not use don't count."""
        self.assertEqual(self.count(), 8)

    def test_container(self) -> None:
        """The limit of a container counts, rounded up; without one it has no effect."""
        self.assertEqual(self.count("200000 100000\n"), 2)
        self.assertEqual(self.count("150000 100000\n"), 2)
        self.assertEqual(self.count("1000 100000\n"), 1)
        self.assertEqual(self.count("max 100000\n"), 8)
        self.assertEqual(self.count("?"), 8)

    def test_noAffinity(self) -> None:
        """Without affinity, all processors count."""

        def missing(process: int) -> set[int]:
            raise AttributeError

        self.patch(os, "sched_getaffinity", missing)
        self.assertEqual(self.count(), 64)
