"""
Tests for the server for developers.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from tests.process.test_tap import parse
from tests.process.workers.fakeprocesses import WorkersReactor
from txroom.process import development, tap
from txroom.process.development import Development, hasStore, localOnly
from txroom.process.serving import serverFor
from txroom.process.settings import Settings
from txroom.process.sources import INTERVAL
from txroom.testing import MemoryReactor


class LocalTests(SynchronousTestCase):
    """Where it may listen."""

    def test_port(self) -> None:
        """A port is opened on 127.0.0.1."""
        self.assertEqual(localOnly(81), "tcp:81:interface=127.0.0.1")

    def test_local(self) -> None:
        """Loopback addresses and UNIX sockets stay as they are."""
        for where in (
            "unix:/run/chat", "tcp:81:interface=127.0.0.1", "tcp:81:127.0.0.1", r"tcp6:81:interface=\:\:1",
            "ssl:81:interface=127.0.0.1:privateKey=k", "tls:/c:81:interface=127.0.0.1",
            "haproxy:tcp:81:interface=127.0.0.1",
        ):  # fmt: skip
            self.assertEqual(localOnly(where), where)

    def test_public(self) -> None:
        """Everything that others can reach is refused."""
        for where in (
            "tcp:81", "tcp:81:interface=0.0.0.0", "tcp:81:10.0.0.1", "tcp6:81", "ssl:81:privateKey=k",
            "tls:/c:81", "systemd:domain=INET:index=0", "haproxy:tcp:81", "tcp:81:interface=localhost.evil",
        ):  # fmt: skip
            error = self.assertRaises(ValueError, localOnly, where)
            self.assertIn(f"{where}: with --dev it must be a unix: socket", str(error))


class DevelopmentTests(SynchronousTestCase):
    """`Development`, as the command line makes it."""

    def setUp(self) -> None:
        self.reactor = WorkersReactor()
        self.patch(os, "environ", {})
        self.patch(sys, "path", list(sys.path))
        self.patch(development, "hasStore", lambda: False)
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        (self.directory / "game.py").write_text("")

    def make(self, *args: str, filtered: Any = None) -> Development:
        config = parse("--dev", "--app", "game:app", "--app-dir", str(self.directory), *args)
        return tap.makeDevelopment(config, self.reactor, filtered)

    def test_settings(self) -> None:
        """There is one worker, which serves developers on this machine."""
        made = self.make("--port", "81", "--listen", "unix:/run/chat", filtered=LogLevel.info)
        workers = made._workers
        self.assertEqual((workers.count, workers.isInMemory, workers.logFilter), (1, True, LogLevel.info))
        self.assertTrue(workers.settings.isDevelopment)
        self.assertEqual(workers._wheres, ["tcp:81:interface=127.0.0.1", "unix:/run/chat"])
        self.assertEqual(self.make()._workers._wheres, ["tcp:8080:interface=127.0.0.1"])

    def test_store(self) -> None:
        """Rooms survive a change if there is a store, or a Redis."""
        self.assertFalse(self.make("--redis", "redis://h")._workers.isInMemory)
        self.patch(development, "hasStore", lambda: True)
        self.assertFalse(self.make()._workers.isInMemory)

    def test_hasStore(self) -> None:
        """Without a program for it, or a client, there is no store."""
        self.patch(development, "installedPrograms", lambda path: iter([]))
        self.assertFalse(hasStore())
        self.patch(development, "installedPrograms", lambda path: iter(["/usr/bin/redis-server"]))
        self.assertTrue(hasStore())
        self.patch(development, "find_spec", lambda name: None)
        self.assertFalse(hasStore())

    def test_refused(self) -> None:
        """Options that contradict it are errors of one line."""
        error = self.assertRaises(UsageError, self.make, "--workers", "2")
        self.assertIn("--dev: has one worker", str(error))
        error = self.assertRaises(UsageError, self.make, "--listen", "tcp:81")
        self.assertIn("--listen tcp:81: with --dev", str(error))

    def test_changed(self) -> None:
        """A change replaces the worker by one with the new code, which begins without rooms."""
        made = self.make()
        made.privilegedStartService()
        with capturedLogs() as events:
            made.startService()
        self.addCleanup(made.stopService)
        self.assertIn("rooms end when the code is loaded again", formatEvent(events[0]))
        first = self.reactor.processes[0]
        first.serve(node=None)
        (self.directory / "game.py").write_text("changed")
        with capturedLogs() as events:
            self.reactor.pump([INTERVAL] * 3)
        self.assertEqual(formatEvent(events[0]), "changed: game.py; the code is loaded again")
        second = self.reactor.processes[1]
        self.assertNotIn("Stop", first.names)
        second.serve(node=None)
        self.assertEqual(first.names[-1], "Stop")
        for number in range(4):
            (self.directory / f"more{number}.py").touch()
        with capturedLogs() as events:
            self.reactor.pump([INTERVAL] * 3)
        self.assertIn("changed: more0.py, more1.py, more2.py and 1 more; ", formatEvent(events[0]))


class ServedTests(SynchronousTestCase):
    """What a worker does for developers."""

    def test_server(self) -> None:
        """Its server logs the beginnings of messages, and tells clients the texts of errors."""
        for isDevelopment in (False, True):
            server = serverFor(Settings(isDevelopment=isDevelopment), MemoryReactor())
            context: Any = server._gateway.context
            self.assertEqual(context.isTracing, isDevelopment)
            self.assertEqual(context.shownOfMessages, 200 if isDevelopment else 0)
            error = server.rooms.createRoom("caht")
            self.assertEqual("'chat'" in self.failureResultOf(error).value.message, isDevelopment)
