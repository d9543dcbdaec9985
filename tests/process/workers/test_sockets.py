"""
Tests for the listening sockets of the parent.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.process.workers.fakeprocesses import WorkersReactor
from txroom.process.workers.sockets import LOOK, TRIES, SharedSockets, areLeft, hasWorkers
from txroom.service.unixsocket import SocketError


class SharedSocketsTests(SynchronousTestCase):
    """`SharedSockets`."""

    def setUp(self) -> None:
        self.reactor = WorkersReactor()
        self.slept: list[float] = []
        #: The error of the port, and how often it is raised.
        self.error: Exception = CannotListenError("", 82, OSError(errno.EADDRINUSE, "Address already in use"))
        self.failures = 0
        self.isLeft = True
        self.sockets = SharedSockets(self.reactor, lambda: self.isLeft, self.sleep)
        listen = self.reactor.listenTCP

        def listenTCP(port: int, *args: Any, **more: Any) -> Any:
            if port == 82 and self.failures:
                self.failures -= 1
                raise self.error
            return listen(port, *args, **more)

        self.patch(self.reactor, "listenTCP", listenTCP)
        for where in ("tcp:81", "tcp:82"):
            self.sockets.add(where)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    @property
    def open(self) -> list[int]:
        """The ports that are open."""
        return [port.getHost().port for port in self.sockets.ports]  # type: ignore[attr-defined]

    def test_left(self) -> None:
        """
        A port that workers of a killed parent have is waited for, and the log says so once. Those that are
        open already stay so.
        """
        self.failures = 3
        with capturedLogs() as events:
            self.sockets.open()
        self.assertEqual((self.open, self.slept), ([81, 82], [LOOK] * 3))
        why = "Couldn't listen on any:82: [Errno 98] Address already in use."
        (line,) = map(formatEvent, events)
        self.assertIn(f"{why}; it is tried again for 15 s", line)
        self.assertEqual(len(self.reactor.tcpServers), 2)

    def test_unix(self) -> None:
        """So is a UNIX socket, if another process listens there or has its lock."""
        for error in (OSError(errno.EADDRINUSE, "Address already in use"), "Cannot acquire lock"):
            self.setUp()
            self.error, self.failures = SocketError("/nowhere/socket", error), 1
            self.sockets.open()
            self.assertEqual((self.open, self.slept), ([81, 82], [LOOK]))

    def test_tooLong(self) -> None:
        """They have ended after 15 seconds, so the port is no longer waited for then."""
        self.failures = 1000
        self.assertRaises(CannotListenError, self.sockets.open)
        self.assertEqual((self.open, len(self.slept)), ([], TRIES))

    def test_other(self) -> None:
        """If nothing is left of another parent, or no longer, a program has the port: an error at once."""
        self.failures = 1000
        self.isLeft = False
        self.assertRaises(CannotListenError, self.sockets.open)
        self.assertEqual(self.slept, [])
        self.isLeft = True

        def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            self.isLeft = len(self.slept) < 5

        self.patch(self.sockets, "_sleep", sleep)
        self.assertRaises(CannotListenError, self.sockets.open)
        self.assertEqual(len(self.slept), 5)

    def test_otherError(self) -> None:
        """A port that this process may not open is an error at once."""
        self.failures = 1
        self.error = CannotListenError("", 82, OSError(errno.EACCES, "Permission denied"))
        self.assertRaises(CannotListenError, self.sockets.open)
        self.assertEqual(self.slept, [])

    def test_running(self) -> None:
        """If the reactor runs, it can't wait."""
        self.failures = 1
        self.patch(self.reactor, "running", True)
        self.assertRaises(CannotListenError, self.sockets.open)
        self.assertEqual(self.slept, [])


class AreLeftTests(SynchronousTestCase):
    """`areLeft`."""

    def test_stateDirectory(self) -> None:
        """With a state directory, processes are left if it is locked."""
        state = Path(self.mktemp()).absolute()
        self.assertFalse(areLeft(str(state)))
        (state / "store").mkdir(parents=True)
        self.assertFalse(areLeft(str(state)))
        self.assertFalse(areLeft(str(state)))  # it has not kept a lock
        descriptor = os.open(state / "store", os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self.assertTrue(areLeft(str(state)))

    def test_workers(self) -> None:
        """Without a state directory, they may be any workers on this machine."""
        processes = Path(self.mktemp()).absolute()
        for name, line in (("self", b"test\0"), ("7", b"vi\0docs/txroom-worker-7\0"), ("8", b"")):
            (processes / name).mkdir(parents=True)
            (processes / name / "cmdline").write_bytes(line)
        (processes / "9" / "cmdline").mkdir(parents=True)  # can't be read
        self.assertFalse(hasWorkers(processes))
        (processes / "8" / "cmdline").write_bytes(b"python\0-c\0import os\0txroom-worker-12\0")
        self.assertTrue(hasWorkers(processes))
        self.assertIn(areLeft(None), (True, False))

    def test_noProcesses(self) -> None:
        """If the system does not tell which processes there are, there may be workers."""
        self.assertTrue(hasWorkers(Path(self.mktemp())))
