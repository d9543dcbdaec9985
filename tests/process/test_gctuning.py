"""
Tests for the settings of the garbage collector and of the allocator.
"""

from __future__ import annotations

import ctypes
import gc
import platform
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from txroom.process.gctuning import THRESHOLD, keepFreedMemory, relaxCollector


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


class AllocatorTests(SynchronousTestCase):
    def test_set(self) -> None:
        """Both thresholds of glibc are set, unless it refuses."""
        calls: list[tuple[int, int]] = []

        def mallopt(parameter: int, value: int) -> int:
            calls.append((parameter, value))
            return int(value < 1000)

        self.patch(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
        self.assertEqual([keepFreedMemory(100), keepFreedMemory(1000)], [True, False])
        self.assertEqual(calls, [(-1, 100), (-3, 100), (-1, 1000)])

    def test_other(self) -> None:
        """Other C libraries have no such settings."""
        self.patch(ctypes, "CDLL", lambda name: SimpleNamespace())
        self.assertFalse(keepFreedMemory())

    def test_real(self) -> None:
        """The C library of this process accepts the default."""
        self.assertEqual(keepFreedMemory(), platform.libc_ver()[0] == "glibc")
