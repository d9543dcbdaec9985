"""
The private directory of the store's UNIX socket.

Only a user who can enter the directory can connect, so the store needs no password. The path of a socket may
have about 100 bytes, which is less than many state directories have, so this directory is somewhere else.

The parent and the store lock the directory. The parent removes it in the end, or the watcher if the parent
was killed. If both were killed, the store still runs. So the parent and the workers, but not the store, lock
a file in it too: a later parent of the same user that can lock the file knows that nobody uses the store, and
ends it. The next one removes the directory.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import mkdtemp

from .owner import Owner
from .storeerror import StoreError

#: The most bytes of a path. Linux allows 107, and macOS 103.
LONGEST = 100
SOCKET = "store.sock"
#: The file that those have locked who use the store.
USED = "used"
#: How many seconds a store that is told to end may take to accept a connection.
CONNECT = 1.0
#: How the names of these directories begin.
PREFIX = "txroom-store-"
#: How old a directory is, in seconds, that may have been left behind. A new one may not have been locked yet.
STALE = 60.0


def runtimeParents(environ: Mapping[str, str], owner: Owner, last: Path | None) -> list[Path]:
    """
    Return the directories in which a private directory may be made, the best one first.

    Args:
        environ: The environment. Its directories are those of the user who runs this process, so they are
            left out if the store runs as somebody else. Those for runtime files, of systemd and of the user's
            session, come late because they are in memory, and the latter is removed when the user logs out.
        owner: Who the store runs as.
        last: A directory to use if there is no other one.
    """
    isSame = owner.isThisProcess
    names = (
        environ.get("TMPDIR") if isSame else None,
        "/tmp",
        "/var/tmp",
        environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] if isSame else None,
        environ.get("XDG_RUNTIME_DIR") if isSame else None,
        "/run",
        "/dev/shm",
        last,
    )
    return [Path(name).absolute() for name in names if name]


class RuntimeDirectory:
    """
    A new directory that only its owner can enter.

    Args:
        path: The directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: The descriptor that holds the lock. Programs that remove old files from /tmp leave a locked
        #: directory alone.
        self.lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        #: The descriptor of the locked file, for the workers.
        self.used = os.open(path / USED, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self.used, fcntl.LOCK_EX)

    @property
    def socket(self) -> Path:
        """The path of the store's socket."""
        return self.path / SOCKET

    @classmethod
    def make(cls, parents: Iterable[Path], owner: Owner) -> RuntimeDirectory:
        """
        Make one in the first of these directories in which that is possible, and remove what processes of the
        same owner have left there.

        Raises:
            StoreError: It isn't possible in any of them.
        """
        problems = []
        for parent in parents:
            for stale in staleDirectories(parent, owner):
                shutil.rmtree(stale, ignore_errors=True)
            try:
                path = Path(mkdtemp(prefix=PREFIX, dir=parent))
            except OSError as error:
                problems.append(f"{parent} ({error.strerror})")
                continue
            if len(os.fsencode(path / SOCKET)) > LONGEST:
                path.rmdir()
                problems.append(f"{parent} (its path is too long for a UNIX socket)")
                continue
            made = cls(path)
            owner.take(path / USED)
            owner.take(path)
            return made
        raise StoreError(f"one of these must be writable, for the store's socket: {', '.join(problems)}")

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.used)
        os.close(self.lock)


def staleDirectories(parent: Path, owner: Owner) -> Iterator[Path]:
    """Yield the directories that an owner has left in `parent`, because all processes that had them died."""
    for path, descriptor in _directories(parent, owner):
        if time.time() - os.fstat(descriptor).st_mtime >= STALE and _lock(descriptor):
            yield path


def endAbandoned(parents: Iterable[Path], owner: Owner) -> list[Path]:
    """
    Let the stores of an owner end that still run though all processes that used them have died. Does nothing
    if the owner is not the user of this process, since they could let it connect to something else.

    Args:
        parents: Where the directories of the stores may be.
        owner: Who they run as.

    Returns:
        The directories of these stores, which end soon.
    """
    ended = []
    for parent in parents if owner.isThisProcess else ():
        for path, descriptor in _directories(parent, owner):
            if _isUnused(path) and not _lock(descriptor) and _shutDown(path / SOCKET):
                ended.append(path)
    return ended


def _directories(parent: Path, owner: Owner) -> Iterator[tuple[Path, int]]:
    """Yield the directories of an owner's stores in `parent`, with descriptors that are closed afterwards."""
    try:
        with os.scandir(parent) as entries:
            found = [Path(entry.path) for entry in entries if entry.name.startswith(PREFIX)]
    except OSError:
        return
    for path in found:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # somebody else's, or it is gone
            continue
        try:
            if os.fstat(descriptor).st_uid == owner.uid:
                yield path, descriptor
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a file or a directory, and return whether nobody else had locked it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _isUnused(path: Path) -> bool:
    """Return whether those have died who used the store of a directory."""
    try:
        descriptor = os.open(path / USED, os.O_WRONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return _lock(descriptor)
    finally:
        os.close(descriptor)


def _shutDown(path: Path) -> bool:
    """Send ``SHUTDOWN`` to the store with that socket; return whether it could be sent."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(CONNECT)
            client.connect(os.fspath(path))
            client.sendall(b"SHUTDOWN\r\n")
    except OSError:
        return False
    return True
