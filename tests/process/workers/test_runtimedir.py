"""Tests for the private directory of the store's socket."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txroom.process.workers.owner import Owner
from txroom.process.workers.runtimedir import (
    LONGEST,
    PREFIX,
    SOCKET,
    STALE,
    USED,
    RuntimeDirectory,
    endAbandoned,
    runtimeParents,
    staleDirectories,
)
from txroom.process.workers.storeerror import StoreError

US = Owner.of(None, None)


class RuntimeDirectoryTests(SynchronousTestCase):
    """Where the socket is."""

    def test_make(self) -> None:
        """It is new, and only its owner can enter it."""
        self.addCleanup(os.umask, os.umask(0))
        first, second = (RuntimeDirectory.make([Path("/tmp")], US) for _ in range(2))
        self.assertNotEqual(first.path, second.path)
        self.assertEqual(first.path.stat().st_mode & 0o777, 0o700)
        for each in (first, second):
            each.socket.touch()
            each.remove()
            self.assertFalse(each.path.exists())

    def test_next(self) -> None:
        """A directory that doesn't exist or is too long is left out."""
        long = Path(self.mktemp()).absolute() / ("x" * LONGEST)
        long.mkdir(parents=True)
        made = RuntimeDirectory.make([Path("/nowhere"), long, Path("/tmp")], US)
        self.addCleanup(made.remove)
        self.assertEqual((made.path.parent, list(long.iterdir())), (Path("/tmp"), []))

    def test_none(self) -> None:
        """If there is no place for it, the error has all reasons."""
        long = Path(self.mktemp()).absolute() / ("x" * LONGEST)
        long.mkdir(parents=True)
        with self.assertRaises(StoreError) as caught:
            RuntimeDirectory.make([Path("/nowhere"), long], US)
        self.assertEqual(
            str(caught.exception),
            "one of these must be writable, for the store's socket: /nowhere (No such file or directory), "
            f"{long} (its path is too long for a UNIX socket)",
        )

    def test_locked(self) -> None:
        """It is locked, so that programs that remove old files leave it alone."""
        made = RuntimeDirectory.make([Path("/tmp")], US)
        self.addCleanup(made.remove)
        descriptor = os.open(made.path, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        self.assertRaises(BlockingIOError, fcntl.flock, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def left(self, parent: Path, name: str, age: float = 2 * STALE) -> Path:
        """A directory that a process has left behind so many seconds ago."""
        path = parent / name
        path.mkdir(0o700)
        (path / SOCKET).touch()
        then = time.time() - age
        os.utime(path, (then, then))
        return path

    def test_stale(self) -> None:
        """What killed processes of the same user have left is removed when the next directory is made."""
        parent = Path(tempfile.mkdtemp(dir="/tmp"))
        self.addCleanup(shutil.rmtree, parent)
        stale = self.left(parent, f"{PREFIX}stale")
        used = self.left(parent, f"{PREFIX}used")
        lock = os.open(used, os.O_RDONLY)
        self.addCleanup(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        new = self.left(parent, f"{PREFIX}new", STALE / 2)
        other = self.left(parent, "txroom-other")
        elsewhere = self.left(parent, "elsewhere")
        link = parent / f"{PREFIX}link"
        link.symlink_to(elsewhere)
        (parent / f"{PREFIX}file").touch()
        made = RuntimeDirectory.make([parent], US)
        left = {used, new, other, elsewhere, link, parent / f"{PREFIX}file", made.path}
        self.assertEqual(set(parent.iterdir()), left)
        self.assertFalse(stale.exists())
        self.assertTrue((elsewhere / SOCKET).exists())
        made.remove()

    def test_staleOfOthers(self) -> None:
        """What other users have left is left alone."""
        parent = Path(tempfile.mkdtemp(dir="/tmp"))
        self.addCleanup(shutil.rmtree, parent)
        self.left(parent, f"{PREFIX}theirs")
        self.assertEqual(list(staleDirectories(parent, Owner(os.geteuid() + 1, 0))), [])

    def test_abandoned(self) -> None:
        """A store is ended that has locked its directory, if no parent and no worker has locked the file."""
        made, lock = self.abandoned()
        parent = made.path.parent
        with socket.socket(socket.AF_UNIX) as store:
            store.bind(os.fspath(made.socket))
            store.listen()
            self.assertEqual(endAbandoned([parent], US), [], "it is used")
            worker = os.dup(made.used)
            os.close(made.used)
            self.assertEqual(endAbandoned([parent], US), [], "a worker uses it")
            os.close(worker)
            self.assertEqual(endAbandoned([parent], Owner(os.geteuid() + 1, 0)), [])
            self.assertEqual(endAbandoned([Path("/nowhere"), parent], US), [made.path])
            connection, _ = store.accept()
            with connection:
                self.assertEqual(connection.recv(100), b"SHUTDOWN\r\n")
        self.assertEqual(endAbandoned([parent], US), [], "nobody listens")
        os.close(lock)
        self.assertEqual(endAbandoned([parent], US), [], "the store has ended")
        (made.path / USED).unlink()
        self.assertEqual(endAbandoned([parent], US), [])

    def abandoned(self) -> tuple[RuntimeDirectory, int]:
        """A directory, and the descriptor with which a store has locked it."""
        parent = Path(tempfile.mkdtemp(dir="/tmp"))
        self.addCleanup(shutil.rmtree, parent)
        made = RuntimeDirectory.make([parent], US)
        lock = os.dup(made.lock)
        os.close(made.lock)
        return made, lock

    def test_parents(self) -> None:
        """The directories of this process's user are not used for another one."""
        environ = {"TMPDIR": "/mine", "XDG_RUNTIME_DIR": "/run/user/0", "RUNTIME_DIRECTORY": "/run/a:/b"}
        first, last = ["/tmp", "/var/tmp"], ["/run", "/dev/shm", "/state"]
        ours = [str(path) for path in runtimeParents(environ, US, Path("/state"))]
        self.assertEqual(ours, ["/mine", *first, "/run/a", "/run/user/0", *last])
        other = Owner(os.geteuid() + 1, 0)
        theirs = [str(path) for path in runtimeParents(environ, other, Path("/state"))]
        self.assertEqual(theirs, first + last)
