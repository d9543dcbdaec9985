"""
Tests for the start of worker processes.
"""

from __future__ import annotations

import os
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.process.workers.fakeprocesses import WorkersReactor, startOf
from tests.process.workers.test_child import Side
from txroom.process.workers.child import WorkerProcess
from txroom.process.workers.pipe import SharedSocket
from txroom.process.workers.spawning import environmentOf, keptAfter, socketsFor, spawn


class SpawningTests(SynchronousTestCase):
    """`spawn` and its parts."""

    def test_environment(self) -> None:
        """Variables that are about the parent, and the URL of Redis, are not inherited."""
        parent = {
            "PATH": "/bin",
            "NOTIFY_SOCKET": "/run/systemd/notify",
            "LISTEN_FDS": "1",
            "LISTEN_PID": "2",
            "LISTEN_FDNAMES": "chat",
            "WATCHDOG_USEC": "1",
            "TXROOM_REDIS_URL": "redis://:secret@host",
        }
        self.assertEqual(environmentOf(3, parent), {"PATH": "/bin", "TXROOM_WORKER": "3"})

    def test_process(self) -> None:
        """It runs this Python, with pipes and the sockets, and nothing secret in its arguments."""
        self.patch(os, "environ", {"A": "b"})
        reactor = WorkersReactor()
        spawn(reactor, WorkerProcess(startOf(7), reactor, Side()), [40, 41])
        (spawned,) = reactor.spawned
        self.assertEqual(spawned["executable"], sys.executable)
        self.assertEqual(spawned["args"][0::3], [sys.executable, "txroom-worker-7"])
        self.assertEqual(spawned["env"], {"A": "b", "TXROOM_WORKER": "7"})
        descriptors = spawned["childFDs"]
        self.assertIsInstance(descriptors.pop(0), int)
        self.assertEqual(descriptors, {1: "r", 2: "r", 3: "w", 4: "r", 5: 40, 6: 41})
        self.assertEqual(socketsFor([8080, "unix:/a"]), [SharedSocket(8080, 5), SharedSocket("unix:/a", 6)])
        self.assertEqual(keptAfter(2, 2), [7, 8])
