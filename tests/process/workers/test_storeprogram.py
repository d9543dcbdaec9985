"""Tests for finding the program of the store."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txroom.process.workers import storeprogram
from txroom.process.workers.storeerror import StoreError
from txroom.process.workers.storeprogram import Program, Version, findProgram, installedPrograms


def redis(*number: int) -> Version:
    return Version("Redis", (number[0], number[1]))


def valkey(*number: int) -> Version:
    return Version("Valkey", (number[0], number[1]))


class VersionTests(SynchronousTestCase):
    """Versions."""

    def test_read(self) -> None:
        """What the programs print."""
        for text, expected in (
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", redis(7, 0)),
            ("Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64", valkey(9, 1)),
            ("Redis 7.0", redis(7, 0)),
            ("usage: something else", None),
            ("", None),
        ):
            self.assertEqual(Version.read(text), expected)
        self.assertEqual(Version.read(str(valkey(8, 10))), valkey(8, 10))

    def test_reads(self) -> None:
        """Newer versions read the data of older ones; Redis and Valkey read what both have had."""
        for version, other, expected in (
            (redis(7, 0), redis(7, 0), True),
            (redis(7, 2), redis(7, 0), True),
            (redis(10, 0), redis(9, 9), True),
            (redis(7, 0), redis(7, 2), False),
            (valkey(8, 0), redis(7, 2), True),
            (valkey(9, 0), redis(7, 4), False),
            (redis(7, 2), valkey(8, 1), True),
            (redis(7, 0), valkey(7, 2), False),
            (redis(8, 0), valkey(9, 0), False),
            (valkey(8, 1), valkey(9, 0), False),
        ):
            self.assertEqual(version.reads(other), expected, f"{version} reads {other}")


class FindTests(SynchronousTestCase):
    """The choice of a program."""

    def find(self, written: Version | None, *versions: Version) -> str:
        """What is found, or why nothing is."""
        try:
            found = findProgram(
                written, [Program(f"/bin/{index}", each) for index, each in enumerate(versions)]
            )
        except StoreError as error:
            return str(error)
        return found.path

    def test_first(self) -> None:
        """The first one that can be used is taken."""
        self.assertEqual(self.find(None, redis(7, 0), valkey(9, 1)), "/bin/0")
        self.assertEqual(self.find(None, redis(6, 2), valkey(7, 2)), "/bin/1")
        self.assertEqual(self.find(valkey(9, 1), redis(7, 0), valkey(9, 1)), "/bin/1")

    def test_none(self) -> None:
        """Otherwise the error says what to install."""
        install = (
            "install redis-server (7.0 or newer) or valkey-server, or run: pip install 'txroom[workers]'"
        )
        self.assertEqual(self.find(None), f"workers need a store: {install}")
        self.assertEqual(self.find(None, redis(6, 2)), f"/bin/0 (Redis 6.2) is too old: {install}")
        self.assertEqual(
            self.find(redis(7, 2), redis(6, 2), redis(7, 0)),
            "/bin/0 (Redis 6.2) is too old; /bin/1 (Redis 7.0) can't read data that Redis 7.2 has written: "
            "install Redis 7.2 or newer",
        )

    def test_installed(self) -> None:
        """Programs on the PATH come first, then that of the package; what can't be run is left out."""
        path = Path(self.mktemp()).absolute()
        path.mkdir()
        for name in ("redis-server", "valkey-server"):
            (path / name).touch(0o755)
        self.patch(storeprogram, "find_spec", lambda name: None)
        printed = {str(path / "redis-server"): "broken", str(path / "valkey-server"): "Valkey server v=8.1.0"}
        found = installedPrograms(str(path), printed.__getitem__)
        self.assertEqual(list(found), [Program(str(path / "valkey-server"), valkey(8, 1))])
        self.assertEqual(list(installedPrograms("/nowhere", printed.__getitem__)), [])

    def test_broken(self) -> None:
        """A program that can't be run is left out."""
        path = Path(self.mktemp()).absolute()
        path.mkdir()
        (path / "redis-server").write_text("neither a script nor a binary")
        (path / "redis-server").chmod(0o755)
        self.patch(storeprogram, "find_spec", lambda name: None)
        self.assertEqual(list(installedPrograms(str(path))), [])

    def test_repair(self) -> None:
        """The checker beside the program is named, or else the program by the checker's name."""
        path = Path(self.mktemp()).absolute()
        path.mkdir()
        program = Program(str(path / "redis-server"), redis(7, 0))
        command = f"bash -c 'exec -a redis-check-aof {path}/redis-server --fix /x/y'"
        self.assertEqual(program.repair(Path("/x/y")), command)
        (path / "redis-check-aof").touch()
        self.assertEqual(program.repair(Path("/x/y")), f"{path}/redis-check-aof --fix /x/y")
