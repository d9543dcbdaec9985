"""Tests for the file that shows that a state directory is no copy."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txroom.process.workers.original import NAME, TOLERANCE, Original
from txroom.process.workers.owner import Owner

US = Owner.of(None, None)


class OriginalTests(SynchronousTestCase):
    """`Original`."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.file = self.directory / NAME
        self.original = Original(self.directory, US)
        self.original.write(isSynced=True)

    def later(self, seconds: float = 2 * TOLERANCE) -> None:
        """Some time after the file was written."""
        inode, written = self.file.read_text().split()
        then = float(written) - seconds
        self.file.write_text(f"{inode} {then}\n")
        os.utime(self.file, (then, then))

    def test_intact(self) -> None:
        """It stays what it is, also when it is written again, moved, or given to somebody."""
        self.later()
        self.assertTrue(self.original.isIntact)
        self.original.write(isSynced=False)
        self.assertTrue(self.original.isIntact)
        self.later()
        moved = self.directory.rename(f"{self.directory}-moved")
        (moved / NAME).chmod(0o640)
        self.assertTrue(Original(moved, US).isIntact)

    def test_copies(self) -> None:
        """Copies are found out, with their times (as of rsync and tar) or without."""
        self.later()
        kept = self.directory / "copy"
        for copy in (shutil.copy2, shutil.copyfile):
            copy(self.file, kept)
            inode = self.file.stat().st_ino
            kept.rename(self.file)
            self.assertNotEqual(self.file.stat().st_ino, inode)
            self.assertFalse(self.original.isIntact)
            self.original.write(isSynced=False)
            self.later()

    def test_overwritten(self) -> None:
        """A copy that is written over the file is found out if the file has a new time."""
        self.later()
        self.file.write_bytes(self.file.read_bytes())
        self.assertFalse(self.original.isIntact)

    def test_interrupted(self) -> None:
        """If the system ends while it is written, it may have the former content or time."""
        _, written = self.file.read_text().split()
        os.utime(self.file, (float(written) - TOLERANCE + 1,) * 2)
        self.assertTrue(self.original.isIntact)

    def test_unreadable(self) -> None:
        """What is no such file proves nothing, and no link is followed."""
        for content in (b"", b"x", b"1 2 3", b"\xff"):
            self.file.write_bytes(content)
            self.assertFalse(self.original.isIntact)
        self.file.unlink()
        self.assertFalse(self.original.isIntact)
        self.file.symlink_to("elsewhere")
        self.assertFalse(self.original.isIntact)
        self.assertRaises(OSError, self.original.write, False)
        self.assertFalse((self.directory / "elsewhere").exists())
