"""
Tests for the watcher of source files.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from txroom.process import sources
from txroom.process.sources import INTERVAL, SourceWatcher, sourcesIn


class SourceWatcherTests(SynchronousTestCase):
    """`SourceWatcher`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.directory = Path(self.mktemp())
        self.write("game.py", "1")
        self.told: list[list[str]] = []
        self.watcher = SourceWatcher(str(self.directory), self.told.append, self.clock)
        self.watcher.startService()

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def test_changed(self) -> None:
        """A changed, an added and a removed file are told when all is quiet for an interval."""
        self.clock.pump([INTERVAL] * 4)
        self.assertEqual(self.told, [])
        self.write("game.py", "22")
        self.clock.advance(INTERVAL)
        self.write("rooms/chat.py", "3")
        self.clock.advance(INTERVAL)
        self.assertEqual(self.told, [])
        self.clock.advance(INTERVAL)
        self.assertEqual(self.told, [["game.py", "rooms/chat.py"]])
        (self.directory / "rooms/chat.py").unlink()
        self.clock.pump([INTERVAL] * 4)
        self.assertEqual(self.told[1:], [["rooms/chat.py"]])

    def test_sameSize(self) -> None:
        """A file whose size has stayed is told too."""
        before = (self.directory / "game.py").stat().st_mtime_ns
        os.utime(self.directory / "game.py", ns=(before, before + 1))
        self.clock.pump([INTERVAL] * 2)
        self.assertEqual(self.told, [["game.py"]])

    def test_changedBack(self) -> None:
        """What is as before again is not told."""
        path = self.directory / "new.py"
        path.touch()
        self.clock.advance(INTERVAL)
        path.unlink()
        self.clock.pump([INTERVAL] * 3)
        self.assertEqual(self.told, [])

    def test_stopped(self) -> None:
        """Nothing is left after the stop."""
        self.watcher.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_foreign(self) -> None:
        """Other files, hidden directories, and code of others are not watched."""
        for name in (
            "readme.txt", ".git/hook.py", "venv/pyvenv.cfg", "venv/lib/thing.py", "node_modules/gyp/g.py",
            "__pycache__/game.py", "lib/site-packages/one.py", "lib/mine.py",
        ):  # fmt: skip
            self.write(name, "")
        found = [os.path.relpath(path, self.directory) for path in sourcesIn(str(self.directory))]
        self.assertEqual(found, ["game.py", "lib/mine.py"])

    def test_virtualEnvironment(self) -> None:
        """A directory that is a virtual environment itself is watched, since it was asked for."""
        self.write("pyvenv.cfg", "")
        self.assertEqual(len(list(sourcesIn(str(self.directory)))), 1)

    def test_vanished(self) -> None:
        """A file that vanishes between being found and being looked at is as if removed."""
        (self.directory / "broken.py").symlink_to("nowhere")
        self.clock.pump([INTERVAL] * 3)
        self.assertEqual(self.told, [])

    def test_many(self) -> None:
        """The number of files is limited, which is logged."""
        self.patch(sources, "MOST_FILES", 3)
        for number in range(4):
            self.write(f"many/{number}.py", "")
        watcher = SourceWatcher(str(self.directory), self.told.append, self.clock)
        with capturedLogs() as events:
            watcher.startService()
        self.assertIn("more Python files than the 3", formatEvent(events[0]))
        self.assertEqual(len(watcher._told), 3)
