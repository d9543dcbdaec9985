"""
The user that the store runs as.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import attrs


@attrs.frozen
class Owner:
    """
    A user and a group.

    Args:
        uid: The id of the user.
        gid: The id of the group.
    """

    uid: int
    gid: int

    @classmethod
    def of(cls, uid: int | None, gid: int | None) -> Owner:
        """Return the owner with these ids; `None` stands for those of this process."""
        return cls(os.geteuid() if uid is None else uid, os.getegid() if gid is None else gid)

    @property
    def isThisProcess(self) -> bool:
        """Whether this process runs as that user."""
        return self.uid == os.geteuid()

    @property
    def ids(self) -> tuple[int | None, int | None]:
        """The ids for `IReactorProcess.spawnProcess`; `None` if a child process has them without that."""
        return (None, None) if self.isThisProcess and self.gid == os.getegid() else (self.uid, self.gid)

    def take(self, path: Path) -> None:
        """
        Make a new file or directory theirs. If they have put a link in its place, the link becomes theirs,
        and not what it leads to.
        """
        if self.ids != (None, None):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def __str__(self) -> str:
        return nameOf(self.uid)


def idsOf(user: str) -> tuple[int, int] | None:
    """
    Return the ids of a user and its group; `None`: it is the user of this process.

    Raises:
        ValueError: There is no such user.
    """
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise ValueError(f"user={user!r}: there is no such user") from None
    return None if found.pw_uid == os.geteuid() else (found.pw_uid, found.pw_gid)


def nameOf(uid: int) -> str:
    """Return the name of a user, or the id if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
