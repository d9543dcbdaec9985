"""
The private directory of the store's UNIX socket.

Only a user who can enter the directory can connect, so the store needs no password. The path of a socket may
have about 100 bytes, which is less than many state directories have, so this directory is somewhere else.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import mkdtemp

from .owner import Owner
from .storeerror import StoreError

#: The most bytes of a path. Linux allows 107, and macOS 103.
LONGEST = 100
SOCKET = "store.sock"


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
        # Programs that remove old files from /tmp leave a locked directory alone.
        self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    @property
    def socket(self) -> Path:
        """The path of the store's socket."""
        return self.path / SOCKET

    @classmethod
    def make(cls, parents: Iterable[Path], owner: Owner) -> RuntimeDirectory:
        """
        Make one in the first of these directories in which that is possible.

        Raises:
            StoreError: It isn't possible in any of them.
        """
        problems = []
        for parent in parents:
            try:
                path = Path(mkdtemp(prefix="txroom-", dir=parent))
            except OSError as error:
                problems.append(f"{parent}: {error.strerror}")
                continue
            if len(os.fsencode(path / SOCKET)) > LONGEST:
                path.rmdir()
                problems.append(f"{parent}: its path is too long for a UNIX socket")
                continue
            owner.take(path)
            return cls(path)
        raise StoreError(f"no private directory can be made for the store's socket ({'; '.join(problems)})")

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
