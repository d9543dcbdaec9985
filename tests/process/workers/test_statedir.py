"""Tests for the directory with the store's data."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txroom.process.workers import statedir
from txroom.process.workers.owner import Owner, nameOf
from txroom.process.workers.statedir import StateDirectory, holderOf
from txroom.process.workers.storeerror import StoreError
from txroom.process.workers.storeprogram import Version

US = Owner.of(None, None)


class StateDirectoryTestCase(SynchronousTestCase):
    """Tests with a directory."""

    def setUp(self) -> None:
        self.parent = Path(self.mktemp()).absolute()
        self.parent.mkdir()
        self.path = self.parent / "state"

    def make(self, owner: Owner = US) -> StateDirectory:
        return StateDirectory(self.path, owner)

    def refusal(self, owner: Owner = US) -> str:
        """Why it can't be prepared."""
        with self.assertRaises(StoreError) as caught:
            self.make(owner).prepare()
        return str(caught.exception)


class HolderTests(StateDirectoryTestCase):
    """The process that has locked the directory."""

    def test_unknown(self) -> None:
        """It is another process if the system doesn't say which, or has locked it in another container."""
        descriptor = os.open(self.parent, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        status = self.parent.stat()
        device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
        locks = self.parent / "locks"
        self.patch(statedir, "LOCKS", locks)
        self.assertEqual(holderOf(descriptor), "another process")
        place = f"{device}:{status.st_ino} 0 EOF"
        locks.write_text(f"1: POSIX ADVISORY WRITE 7 {place}\n2: FLOCK ADVISORY WRITE 0 {place}\n")
        self.assertEqual(holderOf(descriptor), "another process")
        locks.write_text(f"1: FLOCK ADVISORY WRITE 8 00:00:1 0 EOF\n2: FLOCK ADVISORY WRITE 7 {place}\n")
        self.assertEqual(holderOf(descriptor), "process 7")


class PrepareTests(StateDirectoryTestCase):
    """Making and checking the directory."""

    def test_modes(self) -> None:
        """Nobody else can enter it, whatever the umask is."""
        self.addCleanup(os.umask, os.umask(0))
        self.make().prepare()
        for path in (self.path, self.path / "store"):
            self.assertEqual(path.stat().st_mode & 0o777, 0o700)

    def test_existing(self) -> None:
        """A directory of the user keeps its mode; that of the store is closed."""
        (self.path / "store").mkdir(parents=True)
        self.path.chmod(0o755)
        (self.path / "store").chmod(0o755)
        self.make().prepare()
        modes = [path.stat().st_mode & 0o777 for path in (self.path, self.path / "store")]
        self.assertEqual(modes, [0o755, 0o700])

    def test_relative(self) -> None:
        """A relative path is that of the directory in which the process was started."""
        self.path = Path(os.path.relpath(self.path))
        self.assertTrue(self.make().path.is_absolute())

    def test_parent(self) -> None:
        """Directories above it are not made, since its name may be misspelt."""
        self.path = self.parent / "misspelt" / "state"
        self.assertEqual(self.refusal(), f"state directory {self.path}: must be in a directory that exists")

    def test_file(self) -> None:
        """It can't be a file."""
        self.path.touch()
        self.assertEqual(self.refusal(), f"state directory {self.path}: must be a directory")

    def test_otherUser(self) -> None:
        """It can't be another user's."""
        self.make().prepare()
        other = Owner(os.geteuid() + 1, os.getegid())
        self.assertEqual(
            self.refusal(other),
            f"state directory {self.path}/store: must be owned by {other}, not by {US}",
        )

    def test_link(self) -> None:
        """
        The directory of the store can't be a link, since the user of the store, who may not be the one who
        prepares it, could lead that one to other directories.
        """
        elsewhere = self.parent / "elsewhere"
        elsewhere.mkdir(mode=0o755)
        self.path.mkdir()
        (self.path / "store").symlink_to(elsewhere)
        expected = f"state directory {self.path}/store: must be a directory, not a link"
        self.assertEqual(self.refusal(), expected)
        self.assertEqual(elsewhere.stat().st_mode & 0o777, 0o755)

    def test_linkMeanwhile(self) -> None:
        """No link that the user of the store puts in the place of a new file is followed."""
        data = self.make()
        data.prepare()
        other = self.parent / "other"
        other.write_text("other")
        (data.path / "run.new").symlink_to(other)
        run = data.run(True)
        self.assertEqual((other.read_text(), (data.path / "run").read_text()), ("other", run))

    def test_readOnly(self) -> None:
        """It can't be on a file system that is mounted read-only, whether it exists or not."""

        def mkdir(path: Path, mode: int = 0o777) -> None:
            raise OSError(errno.EROFS, "Read-only file system", str(path))

        with self.subTest("new"):
            patch = self.patch(Path, "mkdir", mkdir)
            expected = f"state directory {self.path}: must be writable: Read-only file system"
            self.assertEqual(self.refusal(), expected)
            patch.restore()
        self.make().prepare()
        self.patch(os, "access", lambda path, mode: False)
        self.assertEqual(self.refusal(), f"state directory {self.path}/store: must be writable")

    def test_owner(self) -> None:
        """If the store runs as another user, new directories are given to that user. No link is followed."""
        given: list[tuple[Path, int, int, bool]] = []

        def chown(path: Path, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
            given.append((path, uid, gid, follow_symlinks))

        self.patch(os, "chown", chown)
        other = Owner(os.geteuid() + 1, 7)
        self.assertIn("must be owned by", self.refusal(other))  # since this chown does nothing
        self.assertEqual(
            given, [(self.path, other.uid, 7, False), (self.path / "store", other.uid, 7, False)]
        )


class IdentityTests(StateDirectoryTestCase):
    """What is known of the data."""

    def setUp(self) -> None:
        super().setUp()
        self.state = self.make()
        self.state.prepare()

    def test_synced(self) -> None:
        """The identity is on the disk before the store is started."""
        synced: list[str] = []

        def fsync(descriptor: int) -> None:
            synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)

        self.patch(os, "fsync", fsync)
        run = self.state.run(isSynced=True)
        self.assertEqual(synced, ["run.new", "store"])
        self.assertEqual((self.path / "store" / "run").read_text(), run)
        del synced[:]
        self.state.forget()
        self.assertEqual((synced, (self.path / "store" / "run").exists()), (["store"], False))

    def test_copied(self) -> None:
        """
        A copy has another identity, also if its file ``run`` was left in place; but only once. One without
        that file is no news.
        """
        run = self.state.run(isSynced=True)
        self.state.stamp()
        self.assertEqual((self.make().run(isSynced=True), self.state.isCopy), (run, False))
        before = self.path.rename(self.parent / "before")
        shutil.copytree(before, self.path)
        copied = self.make()
        other = copied.run(isSynced=True)
        copied.stamp()
        self.assertNotEqual(other, run)
        self.assertTrue(copied.isCopy)
        again = self.make()
        self.assertEqual((again.run(isSynced=True), again.isCopy), (other, False))
        (self.path / "store" / "original").unlink()
        again.forget()
        self.assertNotIn(again.run(isSynced=True), (run, other))
        self.assertFalse(again.isCopy)

    def test_noBootId(self) -> None:
        """Where the machine's run has no id, each start has another identity."""
        self.patch(statedir, "BOOT_ID", self.path / "missing")
        self.assertNotEqual(self.state.run(isSynced=False), self.state.run(isSynced=False))

    def test_program(self) -> None:
        """The program that has written the data is remembered."""
        self.assertIsNone(self.state.program)
        for version in (Version("Redis", (7, 0)), Version("Valkey", (9, 1))):
            self.state.program = version
            self.assertEqual(self.make().program, version)

    def test_unreadable(self) -> None:
        """A file that doesn't name a program counts as none."""
        (self.path / "store" / "program").write_text("else")
        self.assertIsNone(self.state.program)


class CheckTests(StateDirectoryTestCase):
    """The check before each start of the program."""

    def test_unfinished(self) -> None:
        """What is left of unfinished snapshots is removed, and nothing else."""
        state = self.make()
        state.prepare()
        state.run(isSynced=True)
        state.files.mkdir()
        for file in (state.path / "temp-rewriteaof-bg-7.aof", state.files / "appendonly.aof.1.incr.aof"):
            file.touch()
        state.check()
        names = sorted(path.name for path in state.path.rglob("*"))
        self.assertEqual(names, ["appendonly.aof.1.incr.aof", "appendonlydir", "run"])

    def test_manifest(self) -> None:
        """The list of files must be there once there was data."""
        state = self.make()
        state.prepare()
        state.check()
        state.program = Version("Redis", (7, 0))
        with self.assertRaises(StoreError) as caught:
            state.check()
        self.assertIn("appendonly.aof.manifest is damaged or missing", str(caught.exception))
        state.files.mkdir()
        (state.files / "appendonly.aof.manifest").touch()
        state.check()


class OwnerTests(SynchronousTestCase):
    """The user of the store."""

    def test_us(self) -> None:
        """A child process is this user's without being told."""
        self.assertEqual((US.isThisProcess, US.ids), (True, (None, None)))
        other = Owner(os.geteuid() + 1, 5)
        self.assertEqual((other.isThisProcess, other.ids), (False, (os.geteuid() + 1, 5)))

    def test_name(self) -> None:
        """A user without a name has an id."""
        self.assertEqual(nameOf(987654), "uid 987654")
        self.assertEqual(nameOf(0), "root")
