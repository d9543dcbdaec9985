"""Tests for the options and secrets of the admin listener."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from tests.process.test_tap import TapTestCase, parse
from tests.service.test_socketactivation import AdoptingReactor
from txroom.process.adminsettings import AdminSettings, adminSettings
from txroom.process.settings import Settings
from txroom.process.tap import makeServer, makeWorkers
from txroom.process.workers.pipe import SharedSocket, Start
from txroom.process.workers.workerserver import makeWorkerServer
from txroom.testing import MemoryReactor

TOKEN, READ = "m" * 32, "r" * 32
WHERE = "tcp:9:interface=127.0.0.1"


class SettingsTests(TapTestCase):
    """From the options to the settings."""

    def settings(self, *arguments: str, **environment: str) -> AdminSettings:
        return adminSettings(parse(*arguments), environment)

    def secretFile(self, content: bytes) -> str:
        path: str = self.mktemp()
        Path(path).write_bytes(content)
        return path

    def test_off(self) -> None:
        """Without --admin there is no listener, and its options are mistakes; variables are not."""
        self.assertEqual(self.settings(TXROOM_ADMIN_TOKEN=TOKEN), AdminSettings())
        for option in ("admin-token-file", "admin-read-token-file", "admin-host"):
            self.assertRefused(f"--{option}: needs --admin", self.settings, f"--{option}", "x")

    def test_secrets(self) -> None:
        """Secrets come from files, and otherwise from the environment."""
        settings = self.settings("--admin", "9", TXROOM_ADMIN_TOKEN=TOKEN, TXROOM_ADMIN_READ_TOKEN=READ)
        self.assertEqual((settings.token, settings.readToken, settings.wheres), (TOKEN, READ, [WHERE]))
        files = (
            "--admin-token-file",
            self.secretFile(b"f" * 32 + b"\n"),
            "--admin-read-token-file",
            self.secretFile(b"g" * 32),
        )
        settings = self.settings("--admin", WHERE, *files, TXROOM_ADMIN_TOKEN=TOKEN)
        self.assertEqual((settings.token, settings.readToken), ("f" * 32, "g" * 32))
        settings = self.settings("--admin", "unix:/a", "--admin-host", "a.example", TXROOM_ADMIN_TOKEN="")
        self.assertEqual((settings.token, settings.wheres), (None, ["unix:/a:mode=600"]))
        self.assertEqual(settings.allowedHosts, ["a.example"])

    def test_wrong(self) -> None:
        """A wrong secret or endpoint is refused in one line, which doesn't show the secret."""
        token = "TXROOM_ADMIN_TOKEN or --admin-token-file"
        short = {"TXROOM_ADMIN_TOKEN": "sec"}
        at = ("--admin", "9")
        self.assertRefused(
            f"{token}: must have at least 32 characters; it has 3", lambda: self.settings(*at, **short)
        )
        self.assertRefused(
            f"{token}: must have at least 32 characters; it has 0",
            self.settings,
            *at,
            "--admin-token-file",
            self.secretFile(b"\n"),
        )
        missing = os.path.abspath(self.mktemp())
        self.assertRefused(
            f"the file {missing} with the secret can't be read: No such file or directory",
            self.settings,
            *at,
            "--admin-token-file",
            missing,
        )
        binary = os.path.abspath(self.secretFile(b"\xff" * 32))
        self.assertRefused(
            f"the file {binary} with the secret can't be read: is no text",
            self.settings,
            *at,
            "--admin-token-file",
            binary,
        )
        needed = f"a TCP port needs a secret ({token}), on a loopback address too; "
        needed += "only a unix: socket goes without"
        self.assertRefused(f"--admin 9: {needed}", self.settings, *at)

    def test_hidden(self) -> None:
        """No text about the settings of a process shows a secret."""
        settings = Settings(admin=AdminSettings(wheres=[WHERE], token=TOKEN, readToken=READ))
        for text in (repr(settings), str(settings)):
            self.assertIn(WHERE, text)
            self.assertNotIn("mmm", text)
            self.assertNotIn("rrr", text)


class ServerTests(TapTestCase):
    """From the settings to the listener."""

    def test_server(self) -> None:
        """The server listens there."""
        self.patch(os, "environ", {**os.environ, "TXROOM_ADMIN_TOKEN": TOKEN})
        server = makeServer(parse("--admin", "9"), MemoryReactor())
        server.startService()
        self.addCleanup(server.stopService)
        host: Any = server.adminPorts[0].getHost()
        self.assertEqual((host.host, host.port), ("127.0.0.1", 9))
        self.assertEqual(len(server.ports), 1)
        self.assertRefused(
            "--admin tcp:x:interface=127.0.0.1: 'x' is not a number",
            makeServer,
            parse("--admin", "tcp:x:interface=127.0.0.1"),
            MemoryReactor(),
        )

    def test_workers(self) -> None:
        """The parent opens the socket, besides the default port, and tells the workers what it is."""
        self.patch(os, "environ", {**os.environ, "TXROOM_ADMIN_TOKEN": TOKEN})
        workers = makeWorkers(parse("--workers", "2", "--admin", "9"), MemoryReactor(), None)
        workers._listeners.onPort = lambda port: None
        workers._open()
        hosts: list[Any] = [port.getHost() for port in workers._listeners.ports]
        self.assertEqual([(host.host, host.port) for host in hosts], [("127.0.0.1", 9), ("::", 8080)])
        self.assertEqual(workers.settings.admin.token, TOKEN)
        self.assertEqual(workers._wheres, [WHERE, 8080])

    def worker(self, **settings: Any) -> Any:
        opened = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(opened.close)
        self.reactor = AdoptingReactor()
        sockets = [SharedSocket(where, opened.fileno()) for where in (WHERE, 8080)]
        admin = AdminSettings(wheres=[WHERE], token=TOKEN)
        return makeWorkerServer(Start(1, 2, Settings(admin=admin, **settings), sockets, [], ""), self.reactor)

    def test_worker(self) -> None:
        """A worker serves the API on the inherited socket, and clients on the other."""
        server = self.worker()
        server.startService()
        self.addCleanup(server.stopService)
        self.assertEqual((len(server.adminPorts), len(server.ports)), (1, 1))
        self.assertEqual(len(self.reactor.adopted), 2)

    def test_ownAdmin(self) -> None:
        """An app that opens an admin listener itself can't be served by workers."""
        directory = self.module(
            f"""
            from txroom import Server

            def make():
                server = Server()
                server.addAdmin(9, token="{TOKEN}")
                return server
            """
        )
        self.assertRefused(
            "--app chat:make: with --workers it must not call addAdmin; use --admin",
            lambda: self.worker(app="chat:make", appDir=directory),
        )
