"""Tests for the program that ends the store after the parent process was killed."""

from __future__ import annotations

import errno
import os
import signal

from twisted.trial.unittest import SynchronousTestCase

from txroom.process.workers import watcher
from txroom.process.workers.watcher import Followed, Process, end, endWorkers

GONE = ProcessLookupError(errno.ESRCH, "No such process")


class WatcherTestCase(SynchronousTestCase):
    """Tests with processes that only exist here."""

    def setUp(self) -> None:
        #: The processes that exist, and the signals that were sent.
        self.there = {7}
        self.sent: list[tuple[str, int, int]] = []
        self.opened: dict[int, int] = {}
        self.patch(os, "pidfd_open", self.open)
        self.patch(signal, "pidfd_send_signal", self.sendTo)
        self.patch(os, "kill", self.kill)

    def open(self, process: int) -> int:
        if process not in self.there:
            raise GONE
        descriptor = os.open(os.devnull, os.O_RDONLY)
        self.opened[descriptor] = process
        return descriptor

    def sendTo(self, descriptor: int, number: int) -> None:
        if self.opened[descriptor] not in self.there:
            raise GONE
        self.sent.append(("descriptor", self.opened[descriptor], number))

    def kill(self, process: int, number: int) -> None:
        self.sent.append(("id", process, number))


class ProcessTests(WatcherTestCase):
    """`Process`, and its end."""

    def test_end(self) -> None:
        """It gets SIGTERM, and SIGKILL at the end of its time."""
        process = Process(7)
        self.addCleanup(process.close)
        end(process, 0.0)
        self.assertEqual(self.sent, [("descriptor", 7, signal.SIGTERM), ("descriptor", 7, signal.SIGKILL)])

    def test_reused(self) -> None:
        """When it has ended, another process that has its id gets no signal."""
        process = Process(7)
        self.addCleanup(process.close)
        self.there.clear()
        end(process, 1.0)
        self.assertEqual(self.sent, [])

    def test_ended(self) -> None:
        """A process that has ended before it was found gets no signal."""
        end(Process(8), 1.0)
        self.assertEqual(self.sent, [])

    def test_noDescriptors(self) -> None:
        """Without descriptors of processes, the id is used."""

        def open(process: int) -> int:
            raise OSError(errno.ENOSYS, "Function not implemented")

        self.patch(os, "pidfd_open", open)
        process = Process(7)
        process.send(0)
        process.close()
        self.assertEqual(self.sent, [("id", 7, 0)])


class FollowedTests(WatcherTestCase):
    """`Followed`."""

    def follow(self, data: bytes) -> Followed:
        """Read this, and then the end of the pipe."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        os.write(write, data)
        os.close(write)
        self.patch(watcher, "PARENT", read)
        followed = Followed()
        followed.read()
        return followed

    def test_died(self) -> None:
        """At the end of the pipe, the last process that was named is the store."""
        self.there.add(9)
        followed = self.follow(b"0\n7\n0\n9\n")
        assert followed.store is not None
        followed.store.send(signal.SIGTERM)
        self.assertEqual((followed.isNeeded, self.sent), (True, [("descriptor", 9, signal.SIGTERM)]))
        followed.store.close()

    def test_none(self) -> None:
        """There may be no store at that time."""
        followed = self.follow(b"7\n0\n")
        self.assertEqual((followed.isNeeded, followed.store), (True, None))
        (former,) = self.opened
        self.assertRaises(OSError, os.fstat, former)  # its descriptor is closed

    def test_workers(self) -> None:
        """Workers come and go."""
        self.there |= {8, 9}
        followed = self.follow(b"0\n+7\n+8\n+9\n-7\n")
        self.assertEqual(list(followed.workers), [8, 9])
        closed = [process for descriptor, process in self.opened.items() if not isOpen(descriptor)]
        self.assertEqual(closed, [7])

    def test_done(self) -> None:
        """The parent may need the watcher no longer."""
        self.assertFalse(self.follow(b"0\ndone\n").isNeeded)


def isOpen(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


class EndWorkersTests(WatcherTestCase):
    """`endWorkers`, without a wait."""

    def setUp(self) -> None:
        super().setUp()
        read, self.pipe = os.pipe()
        self.addCleanup(os.close, read)
        self.patch(watcher, "LIFE", read)

    def test_left(self) -> None:
        """A worker that is left at the end of the time is killed; one that has ended gets no signal."""
        self.there.add(8)
        workers = [Process(7), Process(8)]
        self.there.remove(7)
        endWorkers(workers, 0.0)
        self.assertEqual(self.sent, [("descriptor", 8, signal.SIGKILL)])
        os.close(self.pipe)

    def test_none(self) -> None:
        """If all have ended, none is killed, although another process may have the id of one."""
        os.close(self.pipe)
        endWorkers([Process(7)], 0.0)
        self.assertEqual(self.sent, [])
