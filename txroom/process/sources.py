"""
A service that watches the source files of an app, so that changed code is loaded at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

#: The seconds between two looks at the files.
INTERVAL = 0.3
#: The most files that are watched.
MOST_FILES = 5000

#: Directories that have the code of others.
_FOREIGN = frozenset({"__pycache__", "node_modules", "site-packages"})

#: What identifies the content of each file: when it was changed, in nanoseconds, and its size.
Snapshot = dict[str, tuple[int, int]]


class SourceWatcher(Service):
    """
    Looks at the Python files in and below a directory every `INTERVAL` seconds, and tells which have changed.

    Looking works on every file system, also on those of containers and networks, which tell programs of no
    changes. Several files that are saved one after the other are told together, when nothing has changed for
    one interval. Hidden directories, virtual environments and packages of npm are left out.

    Args:
        directory: The directory.
        changed: Called with the paths of the files that were changed, added or removed, relative to the
            directory, in alphabetical order.
        clock: The clock.
    """

    _log = Logger()

    def __init__(self, directory: str, changed: Callable[[list[str]], None], clock: IReactorTime) -> None:
        self._directory = directory
        self._changed = changed
        #: The files when `changed` was called, and at the last look.
        self._told: Snapshot = {}
        self._seen: Snapshot = {}
        self._looks: Any = LoopingCall(self._look)
        self._looks.clock = clock

    def startService(self) -> None:
        super().startService()
        self._told = self._seen = self._snapshot()
        if len(self._told) == MOST_FILES:
            self._log.warn(
                "{directory} has more Python files than the {count} that are watched; --app-dir can name "
                "another directory",
                directory=self._directory,
                count=MOST_FILES,
            )
        self._looks.start(INTERVAL, now=False)

    def stopService(self) -> Deferred[None] | None:
        self._looks.stop()
        stopped: Deferred[None] | None = super().stopService()
        return stopped

    def _look(self) -> None:
        seen = self._snapshot()
        if seen == self._seen and seen != self._told:
            changed = {path for path, _ in self._told.items() ^ seen.items()}
            self._told = seen
            self._changed(sorted(os.path.relpath(path, self._directory) for path in changed))
        self._seen = seen

    def _snapshot(self) -> Snapshot:
        found: Snapshot = {}
        for path in sourcesIn(self._directory):
            try:
                stat = os.stat(path)
            except OSError:
                continue  # an editor replaces it just now
            found[path] = stat.st_mtime_ns, stat.st_size
            if len(found) == MOST_FILES:
                break
        return found


def sourcesIn(directory: str) -> Iterator[str]:
    """Yield the paths of the Python files in and below a directory, except those of others."""
    for where, directories, files in os.walk(directory):
        if where != directory and "pyvenv.cfg" in files:
            directories.clear()
            continue
        directories[:] = sorted(
            each for each in directories if each not in _FOREIGN and not each.startswith(".")
        )
        yield from (os.path.join(where, each) for each in sorted(files) if each.endswith(".py"))
