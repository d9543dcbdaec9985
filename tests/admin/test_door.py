"""Tests for where the admin listener may listen, and for its secrets."""

from __future__ import annotations

import os
import stat
from typing import Any

from twisted.internet import reactor as globalReactor
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from txroom import Server
from txroom.admin.door import Door
from txroom.admin.secrets import Role, Secrets
from txroom.testing import MemoryReactor

TOKEN = "m" * 32


class DoorTests(SynchronousTestCase):
    """Endpoints."""

    def problem(self, where: Any, hasSecret: bool = True) -> str:
        error = self.assertRaises(ValueError, Door, where, hasSecret)
        self.assertNotIn("\n", str(error))
        return str(error)

    def test_needsSecret(self) -> None:
        """Every TCP port needs a secret: on loopback, with TLS, and a number."""
        for where in (
            9000,
            "tcp:9000:interface=127.0.0.1",
            "tcp6:9000:interface=\\:\\:1",
            "ssl:9000",
            "tls:c:9",
        ):
            self.assertIn("needs a secret", self.problem(where, hasSecret=False))

    def test_needsTLS(self) -> None:
        """Without TLS only loopback addresses will do, not all addresses, a public one or a name."""
        for where in (
            "tcp:9000",
            "tcp6:9000",
            "tcp:9000:interface=0.0.0.0",
            "tcp:9000:10.0.0.1",
            "tcp:9000:interface=192.0.2.7",
            "tcp:9000:interface=localhost",
            "tcp6:9000:interface=\\:\\:",
        ):
            self.assertIn("needs TLS", self.problem(where))

    def test_kinds(self) -> None:
        """Kinds whose address or mode isn't known are refused."""
        for where in ("systemd:domain=INET:index=0", "haproxy:tcp:9000", "fd:3", "9000", ""):
            self.assertIn("can only be of the kinds", self.problem(where))
        self.assertRaises(TypeError, Door, True, True)
        self.assertRaises(TypeError, Door, None, True)

    def test_allowed(self) -> None:
        """What remains is allowed, and complete."""
        for where in ("tcp:9:interface=127.0.0.1", "tcp:9:127.0.0.9", "ssl:9:interface=10.0.0.1", "tls:c:9"):
            self.assertEqual(Door(where, True).where, where)
        self.assertEqual(Door(9000, True).where, "tcp:9000:interface=127.0.0.1")
        self.assertEqual(Door("unix:/a", False).where, "unix:/a:mode=600")
        for where in ("unix:/a:mode=600", "unix:/a:0600", "unix:address=/a:mode=600"):
            self.assertEqual(Door(where, False).where, where)

    def test_mode(self) -> None:
        """A socket that others can connect to is refused, and so is one without a mode."""
        for where in ("unix:/a:mode=666", "unix:/a:660", "unix:/a:mode=0601", "unix:/a:mode=0"):
            self.assertIn("must be 600", self.problem(where))
        self.assertIn("in the file system", self.problem("unix:\0a"))

    def test_socket(self) -> None:
        """The socket in the file system has that mode, whatever the umask."""
        path = self.mktemp()
        self.addCleanup(os.umask, os.umask(0))
        port = self.successResultOf(Door(f"unix:{path}", False).endpoint(globalReactor).listen(Factory()))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        port.stopListening()
        anyReactor: Any = globalReactor
        anyReactor.iterate()
        self.assertFalse(os.path.exists(path))

    def test_server(self) -> None:
        """A server refuses at once, before it starts."""
        server = Server(clock=MemoryReactor())
        self.assertRaises(ValueError, server.addAdmin, 9000)
        self.assertRaises(ValueError, server.addAdmin, "tcp:9000", token=TOKEN)
        self.assertRaises(TypeError, server.addAdmin, 9000, token=TOKEN, allowedHosts="a.example")
        self.assertEqual(server.adminPorts, [])
        server.addAdmin(9000, token=TOKEN)


class SecretsTests(SynchronousTestCase):
    """Secrets."""

    def test_roles(self) -> None:
        """Each secret has its role, and nothing else has one."""
        secrets = Secrets("m" * 32, "r" * 40)
        self.assertIs(secrets.roleOf(b"m" * 32), Role.MANAGE)
        self.assertIs(secrets.roleOf(b"r" * 40), Role.READ)
        for wrong in (b"", b"m" * 31, b"m" * 33, b"M" * 32, b"r" * 32, b"\xff" * 32):
            self.assertIsNone(secrets.roleOf(wrong))
        self.assertIsNone(Secrets().roleOf(b""))
        self.assertIsNone(Secrets(readToken="r" * 32).roleOf(b"m" * 32))

    def test_wrong(self) -> None:
        """A secret that is short, has other characters or both roles is refused, and not shown."""
        for token, readToken in (
            ("a" * 31, None),
            (None, "a" * 31),
            ("a" * 32, "a" * 32),
            ("a" * 32 + " ", None),
            ("a" * 32 + "\n", None),
            ("a" * 32 + "é", None),
            ("", None),
        ):
            error = self.assertRaises(ValueError, Secrets, token, readToken)
            self.assertNotIn("aaa", str(error))
        wrong: Any = b"m" * 32
        self.assertRaises(TypeError, Secrets, wrong)

    def test_hidden(self) -> None:
        """No text about the object shows a secret."""
        secrets = Secrets("m" * 32, "r" * 32)
        for text in (repr(secrets), str(secrets), f"{secrets}"):
            self.assertNotIn("mmm", text)
            self.assertNotIn("rrr", text)
