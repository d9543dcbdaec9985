"""Tests for the private directory of the store's socket."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txroom.process.workers.owner import Owner
from txroom.process.workers.runtimedir import LONGEST, RuntimeDirectory, runtimeParents
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
            "no private directory can be made for the store's socket (/nowhere: No such file or directory; "
            f"{long}: its path is too long for a UNIX socket)",
        )

    def test_locked(self) -> None:
        """It is locked, so that programs that remove old files leave it alone."""
        made = RuntimeDirectory.make([Path("/tmp")], US)
        self.addCleanup(made.remove)
        descriptor = os.open(made.path, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        self.assertRaises(BlockingIOError, fcntl.flock, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_parents(self) -> None:
        """The directories of this process's user are not used for another one."""
        environ = {"TMPDIR": "/mine", "XDG_RUNTIME_DIR": "/run/user/0", "RUNTIME_DIRECTORY": "/run/a:/b"}
        first, last = ["/tmp", "/var/tmp"], ["/run", "/dev/shm", "/state"]
        ours = [str(path) for path in runtimeParents(environ, US, Path("/state"))]
        self.assertEqual(ours, ["/mine", *first, "/run/a", "/run/user/0", *last])
        other = Owner(os.geteuid() + 1, 0)
        theirs = [str(path) for path in runtimeParents(environ, other, Path("/state"))]
        self.assertEqual(theirs, first + last)
