"""Tests for the parent's side of the watcher, with processes in memory."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from tests.process.workers.processes import ProcessReactor
from txroom.process.workers import watcher
from txroom.process.workers.owner import Owner
from txroom.process.workers.watching import STORE, WORKERS, Watching


class WatchingTests(SynchronousTestCase):
    """The process of the watcher."""

    def setUp(self) -> None:
        self.reactor = ProcessReactor()
        self.watching = Watching(self.reactor, Owner.of(None, None), {"PATH": "/bin"}, [Path("/tmp/x")])
        self.isStopped = False

    def tearDown(self) -> None:
        if not self.isStopped:
            stopped = fired(self.watching.stop())
            for process in self.reactor.processes:
                if process.isToEnd:
                    process.end()
            self.assertEqual(stopped, [None])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_arguments(self) -> None:
        """It ends the store within 15 seconds, and removes directories."""
        self.watching.start()
        (process,) = self.reactor.processes
        at = process.args.index(watcher.__file__)
        self.assertEqual(process.args[at + 1 :], [str(WORKERS), str(STORE), "/tmp/x"])
        self.assertLessEqual(WORKERS + STORE, 15)

    def test_pipe(self) -> None:
        """It has the end of the pipe for reading only, so that it sees the end of the others."""
        self.watching.start()
        (process,) = self.reactor.processes
        read = process.given["childFDs"][watcher.LIFE]
        os.write(self.watching.descriptor, b"x")
        self.assertEqual(os.read(read, 1), b"x")
        self.assertFalse(os.get_inheritable(self.watching.descriptor))

    def test_hangs(self) -> None:
        """If it does not end, it is killed."""
        self.watching.start()
        stopped = fired(self.watching.stop())
        self.isStopped = True
        (process,) = self.reactor.processes
        self.assertEqual((process.written, process.signals), (b"0\ndone\n", []))
        self.reactor.advance(5)
        self.assertEqual(process.signals, ["KILL"])
        process.kill()
        self.assertEqual(stopped, [None])

    def test_told(self) -> None:
        """It knows the store and the workers, also if it was started again."""
        self.watching.start()
        self.watching.watchStore(7)
        self.watching.watchWorker(8)
        self.watching.watchWorker(9)
        self.watching.forgetWorker(8)
        first = self.reactor.processes[0]
        self.assertEqual(first.written, b"0\n7\n+8\n+9\n-8\n")
        first.kill()
        self.watching.watchWorker(10)
        self.watching.forgetWorker(9)
        self.reactor.advance(1)
        self.assertEqual(self.reactor.processes[1].written, b"7\n+10\n")

    def test_noProcess(self) -> None:
        """If it can't be started again now, it is tried again."""
        self.watching.start()
        self.reactor.processes[0].kill()
        self.reactor.error = OSError(11, "Resource temporarily unavailable")
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.processes), 1)
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.processes), 2)

    def test_stopMeanwhile(self) -> None:
        """It can be stopped while it waits for its next start."""
        self.watching.start()
        self.reactor.processes[0].kill()
        self.assertEqual(fired(self.watching.stop()), [None])
        self.isStopped = True
