"""Tests for the end of a worker whose parent was killed."""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txroom.process.workers.orphan import HURRY, KILL, OrphanThread
from txroom.process.workers.watching import WORKERS
from txroom.service.applications import HAND_OVER_TIMEOUT


class OrphanThreadTests(SynchronousTestCase):
    """`OrphanThread`."""

    def setUp(self) -> None:
        self.read, self.write = os.pipe()
        self.addCleanup(os.close, self.read)
        self.done: list[Any] = []
        self.thread = OrphanThread(self.read, self.done.append, self.done.append)

    def test_end(self) -> None:
        """It kills the process some time after the parent, also if what the parent has sent was not read."""
        os.write(self.write, b"unread")
        os.close(self.write)
        self.thread.run()
        self.assertEqual(self.done, [KILL, signal.SIGKILL])

    def test_data(self) -> None:
        """Messages of the parent are not its end, and the thread doesn't read them."""
        os.write(self.write, b"unread")
        self.assertEqual(self.thread._end.poll(0), [])
        self.assertEqual(os.read(self.read, 10), b"unread")
        os.close(self.write)

    def test_times(self) -> None:
        """There is time to hand rooms over, and the worker is killed before its store."""
        self.assertGreater(KILL, HURRY + HAND_OVER_TIMEOUT + 3)
        self.assertLess(KILL, WORKERS)
        self.assertTrue(self.thread.daemon)
        os.close(self.write)
