"""
The directory with the store's data.

::

    STATE_DIR/store/            only the owner can enter it; locked while something uses it
        appendonlydir/          the data
        run                     the identity of the data
        original                shows that the directory is no copy
        program                 which program has written the data, such as "Redis 7.0"
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from .original import Original
from .owner import Owner, nameOf
from .storeerror import DamagedError, StoreError
from .storeprogram import Version

#: How many seconds to wait for the processes that use the directory, and how often to look.
PATIENCE, LOOK = 10.0, 0.1
#: The file that names those with the data.
MANIFEST = "appendonly.aof.manifest"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: The locks of all processes, on Linux.
LOCKS = Path("/proc/locks")


class StateDirectory:
    """
    The data of one store.

    Args:
        path: The state directory. It is made if it doesn't exist.
        owner: Who the store runs as.
    """

    _log = Logger()

    def __init__(self, path: Path, owner: Owner) -> None:
        self.root = path.absolute()
        self.path = self.root / "store"
        self._owner = owner
        self._original = Original(self.path, owner)
        self._isSynced = False
        #: Whether the directory was a copy when the store was last started, so that the data may be old.
        self.isCopy = False
        #: The descriptor that holds the lock; -1 without a lock.
        self.descriptor = -1

    @property
    def files(self) -> Path:
        """Where the store has its files."""
        return self.path / "appendonlydir"

    def prepare(self) -> None:
        """
        Make the directories, and check them.

        Raises:
            StoreError: They can't be used.
        """
        try:
            self._make(self.root)
            self._make(self.path)
            self._protect()
        except OSError as error:
            raise self._wrong(f"must be writable: {error.strerror}", error.filename) from None
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise self._wrong("must be writable", self.path)

    def _make(self, path: Path) -> None:
        try:
            path.mkdir(0o700)
        except FileExistsError:
            if not path.is_dir():
                raise self._wrong("must be a directory", path) from None
        except FileNotFoundError:
            raise self._wrong("must be in a directory that exists", path) from None
        else:
            self._owner.take(path)

    def _protect(self) -> None:
        """
        Let nobody but the owner enter the directory of the store. A descriptor of it is used because the
        owner may put a link in its place meanwhile.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except NotADirectoryError:
            raise self._wrong("must be a directory, not a link", self.path) from None
        try:
            owner = os.fstat(descriptor).st_uid
            if owner != self._owner.uid:
                raise self._wrong(f"must be owned by {self._owner}, not by {nameOf(owner)}", self.path)
            os.fchmod(descriptor, 0o700)
        finally:
            os.close(descriptor)

    def _wrong(self, why: str, path: Path | str | None = None) -> StoreError:
        return StoreError(f"state directory {path or self.root}: {why}")

    async def lock(self, clock: IReactorTime, onBusy: Callable[[], object] = lambda: None) -> None:
        """
        Lock the directory; the lock ends with the last process that has inherited `descriptor`.

        Args:
            clock: The clock.
            onBusy: Called each time that another process has the lock.

        Raises:
            StoreError: Another process has locked it for `PATIENCE` seconds.
        """
        deadline = clock.seconds() + PATIENCE
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        isTold = False
        try:
            while not self._isLocked(descriptor):
                if not isTold:
                    isTold = True
                    self._tellHolder(descriptor)
                if clock.seconds() >= deadline:
                    raise self._wrong("must not be in use by another txroom")
                onBusy()
                await deferLater(clock, LOOK)
        except BaseException:
            os.close(descriptor)
            raise
        self.descriptor = descriptor

    def _tellHolder(self, descriptor: int) -> None:
        self._log.warn(
            "state directory {path}: it is in use by {who}; it is tried again for {seconds:g} s",
            path=self.root,
            who=holderOf(descriptor),
            seconds=PATIENCE,
        )

    def _isLocked(self, descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise self._wrong(f"must be on a file system with locks: {error.strerror}") from None
        return True

    def close(self) -> None:
        """Give up the lock, unless other processes have inherited it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def check(self) -> None:
        """
        Check that the list of files is there if there was data, since the store would begin anew without it.
        Remove what is left of snapshots that a killed store was writing.

        Raises:
            DamagedError: It is not there.
        """
        for unfinished in self.path.glob("temp-*"):
            unfinished.unlink(missing_ok=True)
        if self.program is not None and not (self.files / MANIFEST).exists():
            raise self.damaged(MANIFEST)

    def damaged(self, name: str, repair: Callable[[Path], str] | None = None) -> DamagedError:
        """
        Return the error for a file that is damaged or missing.

        Args:
            name: Its name.
            repair: Returns the command that repairs a file.
        """
        file = self.files / name
        if repair is not None and name.endswith(".incr.aof") and file.exists():
            advice = f"make a copy of it, and then run: {repair(file)}"
        else:
            advice = f"restore {self.files} from a backup, or remove {self.path} to begin without data"
        return DamagedError(f"{file} is damaged or missing, so the store does not start; {advice}")

    # -- the identity of the data

    def run(self, isSynced: bool) -> str:
        """
        Return the identity of the data. As long as it stays, nothing that the store has confirmed is lost.
        The data of a copy gets another one.

        It is called before the store is started, with the lock. Call `stamp` afterwards.

        Args:
            isSynced: Whether the store writes to the disk before it replies. Otherwise the operating system
                has what is not yet on the disk, so the identity ends with the system's present run.
        """
        scope = "disk" if isSynced else bootId()
        file = self.path / "run"
        run = file.read_text("utf-8") if file.exists() else ""
        self.isCopy = bool(run) and not self._original.isIntact
        if self.isCopy or not run.startswith(f"{scope}:"):
            run = f"{scope}:{secrets.token_hex(16)}"
            self._write(file, run)
        self._isSynced = isSynced
        return run

    def stamp(self) -> None:
        """
        Note that the directory is no copy. Call it after `run`, and then every `original.INTERVAL` seconds.
        If that fails, only copies are harder to notice, or the next start takes this directory for one.

        Raises:
            OSError: It can't be written.
        """
        self._original.write(self._isSynced)

    def forget(self) -> None:
        """The data may lack something that the store has confirmed: the next identity is another one."""
        (self.path / "run").unlink(missing_ok=True)
        self._sync(self.path)

    @property
    def program(self) -> Version | None:
        """Which program has written the data; `None`: none, or it isn't known."""
        try:
            return Version.read((self.path / "program").read_text("utf-8"))
        except FileNotFoundError:
            return None

    @program.setter
    def program(self, version: Version) -> None:
        if version != self.program:
            self._write(self.path / "program", str(version))

    def _write(self, file: Path, text: str) -> None:
        new = file.with_name(f"{file.name}.new")
        new.unlink(missing_ok=True)
        with new.open("x", encoding="utf-8") as out:  # follows no link
            out.write(text)
        self._owner.take(new)
        self._sync(new)
        new.replace(file)
        self._sync(self.path)

    @staticmethod
    def _sync(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def isInUse(stateDir: Path) -> bool:
    """Return whether a process has locked a state directory, as far as this process can find out."""
    try:
        descriptor = os.open(stateDir / "store", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)  # and not a file system without locks
    finally:
        os.close(descriptor)
    return False


def holderOf(descriptor: int) -> str:
    """Return who has locked a directory, for the log: the process, as far as that can be found out."""
    status = os.fstat(descriptor)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    try:
        locks = [line.split() for line in LOCKS.read_text("ascii").splitlines()]
    except OSError:
        locks = []
    for words in locks:
        if "FLOCK" in words[:2] and words[-3] == f"{device}:{status.st_ino}" and int(words[-4]) > 0:
            return f"process {words[-4]}"
    return "another process"


def bootId() -> str:
    """Return the id of the operating system's present run; where it has none, a new one."""
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:
        return secrets.token_hex(16)
