"""
How a parent finds out that it was given a copy of its state directory.

An older copy lacks messages that clients have received, and the rooms would use their offsets again. So the
parent writes a file from time to time that says in which inode it is, and when it was written. A copy of the
file is in another inode, or was written at another time than it says. The time is that of the last change of
the content: changes of the owner or the mode don't count.

A copy is not found out if it has the same inodes and times: a snapshot of a whole file system that is put
back, hard links, or files that are overwritten in place and then given their former times.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from .owner import Owner

NAME = "original"
#: How often the file is written, in seconds: a program that only copies files with other times finds another
#: one. By how many seconds the times may differ, since the system may end between two steps.
INTERVAL, TOLERANCE = 10.0, 15.0


class Original:
    """
    The file.

    Args:
        directory: The directory that it is in.
        owner: Who it belongs to.
    """

    def __init__(self, directory: Path, owner: Owner) -> None:
        self._file = directory / NAME
        self._owner = owner

    @property
    def isIntact(self) -> bool:
        """Whether the file is there, and no copy."""
        try:
            status = self._file.lstat()
            inode, written = self._file.read_text("ascii").split()
            return int(inode) == status.st_ino and abs(float(written) - status.st_mtime) <= TOLERANCE
        except (OSError, ValueError):
            return False

    def write(self, isSynced: bool) -> None:
        """
        Write the file again, in place.

        Args:
            isSynced: Whether it is on the disk afterwards.

        Raises:
            OSError: It can't be written.
        """
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            now = time.time()
            os.pwrite(descriptor, b"%20d %20.3f\n" % (os.fstat(descriptor).st_ino, now), 0)
            os.utime(descriptor, (now, now))  # the clock of the file system may be another one
            if isSynced:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._owner.take(self._file)
