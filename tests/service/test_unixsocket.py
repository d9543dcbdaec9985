"""
Tests for UNIX sockets in the file system.
"""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from pathlib import Path

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from txroom import Server
from txroom.service import unixsocket
from txroom.service.endpoints import endpointFrom
from txroom.service.unixsocket import SocketError, chownSocket, removeStaleLock
from txroom.testing import MemoryReactor
from txroom.testing.network import MemoryPort

NOBODY = 65534


class LockTests(SynchronousTestCase):
    """Sockets and locks of killed processes."""

    def setUp(self) -> None:
        # Not in trial's directory, because the path of a socket has at most 108 bytes.

        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name, "socket")
        self.lock = Path(directory.name, "socket.lock")

    def leave(self, process: int) -> None:
        """Leave a socket and a lock as a killed process with that id does."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path))
        self.lock.symlink_to(str(process))

    @property
    def left(self) -> list[bool]:
        return [os.path.lexists(self.path), os.path.lexists(self.lock)]

    def test_ownNumber(self) -> None:
        """A lock with the own process id is stale if nobody listens, with the socket or without it."""
        self.leave(os.getpid())
        removeStaleLock(str(self.path))
        self.assertEqual(self.left, [False, False])
        self.lock.symlink_to(str(os.getpid()))
        removeStaleLock(str(self.path))
        self.assertEqual(self.left, [False, False])

    def test_anothersNumber(self) -> None:
        """A lock with the id of another running process is stale, too, but only if the socket exists."""
        self.leave(1)
        removeStaleLock(str(self.path))
        self.assertEqual(self.left, [False, False])
        self.lock.symlink_to("1")
        removeStaleLock(str(self.path))
        self.assertEqual(self.left, [False, True])

    def test_held(self) -> None:
        """While a process listens, this one or another, the lock stays."""
        for process in (os.getpid(), 1):
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(self.path))
                listener.listen()
                self.lock.symlink_to(str(process))
                removeStaleLock(str(self.path))
                self.assertEqual(self.left, [True, True])
            self.path.unlink()
            self.lock.unlink()

    def test_together(self) -> None:
        """Of several processes that find the same stale lock, one removes it, and not that of another."""
        for other in ("1", None):
            self.leave(os.getpid())

            def refuse(path: str, other: str | None = other) -> int:
                self.lock.unlink()  # as another, faster process does
                if other is not None:
                    self.lock.symlink_to(other)
                return errno.ECONNREFUSED

            self.patch(unixsocket, "connectError", refuse)
            removeStaleLock(str(self.path))
            self.assertEqual(self.left, [True, other is not None])
            self.assertEqual(len(list(self.path.parent.glob("*.lock.*"))), 0)
            self.path.unlink()
            if other is not None:
                self.assertEqual(os.readlink(self.lock), other)
                self.lock.unlink()

    def test_otherFiles(self) -> None:
        """A file that is not a socket is not removed; without a lock nothing happens."""
        self.path.write_text("precious")
        self.lock.symlink_to(str(os.getpid()))
        removeStaleLock(str(self.path))
        self.assertEqual(self.left, [True, True])
        self.lock.unlink()
        removeStaleLock(str(self.path))
        removeStaleLock("\0abstract")
        self.assertEqual(self.path.read_text(), "precious")

    def test_endpoint(self) -> None:
        """This is done for each "unix:" listener with a lock, at each start."""
        for description in (f"unix:{self.path}", f"haproxy:unix:{self.path}"):
            reactor = MemoryReactor()
            server = Server(clock=reactor)
            server.listen(description)
            for _ in range(2):
                self.leave(os.getpid())
                server.startService()
                self.assertEqual(self.left, [False, False])
                stopping = server.stopService()
                reactor.advance(1)
                self.successResultOf(stopping)
        self.leave(os.getpid())
        server = Server(clock=MemoryReactor())
        server.listen(f"unix:{self.path}:lockfile=0")
        server.startService()
        self.addCleanup(server.stopService)
        self.assertEqual(self.left, [True, True])


class ErrorTests(SynchronousTestCase):
    """Sockets that can't be opened, with Twisted's reactor."""

    def why(self, path: str, more: str = "") -> str:
        """The text of the error, without its beginning."""
        from twisted.internet import reactor

        listening = endpointFrom(reactor, f"unix:{path}{more}").listen(Factory())
        text = str(self.failureResultOf(listening, SocketError).value)
        beginning = f"UNIX socket {path}: "
        self.assertTrue(text.startswith(beginning), text)
        return text.removeprefix(beginning)

    def test_texts(self) -> None:
        """The text says what is wrong, and what to do, with a lock and without one."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = f"{directory.name}/socket"
        missing = f"{directory.name}/missing/socket"
        for more in ("", ":lockfile=0"):
            self.assertEqual(self.why(missing, more), "must be in a directory that exists")
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen()
                inUse = "another process listens there; stop it, or choose another path"
                self.assertEqual(self.why(path, more), inUse)
            os.unlink(path)
            Path(path).write_text("precious")
            taken = f"is taken; if no process uses it, remove it and {path}.lock"
            self.assertEqual(self.why(path, more), taken)
            os.unlink(path)
        self.assertEqual(self.why(f"{directory.name}/{'x' * 120}", ":lockfile=0"), "AF_UNIX path too long")

    def test_denied(self) -> None:
        """Nor is a directory of use in which the process can't make files."""
        for number in (errno.EACCES, errno.EPERM, errno.EROFS):
            text = str(SocketError("/run/socket", OSError(number, "no")))
            why = "must be in a directory that this process may write to"
            self.assertEqual(text, f"UNIX socket /run/socket: {why}")


class OwnerTests(SynchronousTestCase):
    """Ownership of sockets."""

    def test_given(self) -> None:
        """The socket and its lock get the new owner; the lock itself, not what it points to."""
        given: list[tuple[str, int, int, bool]] = []

        def chown(path: str, user: int, group: int, *, follow_symlinks: bool) -> None:
            if path.endswith("2.lock"):
                raise FileNotFoundError(path)
            given.append((path, user, group, follow_symlinks))

        self.patch(os, "chown", chown)
        for address in (UNIXAddress("/run/1"), UNIXAddress("/run/2"), IPv4Address("TCP", "0.0.0.0", 80)):
            chownSocket(
                MemoryPort(MemoryReactor(), address, Server(clock=MemoryReactor())._factory), NOBODY, 7
            )
        expected = ["/run/1", "/run/1.lock", "/run/2"]
        self.assertEqual(given, [(path, NOBODY, 7, False) for path in expected])
