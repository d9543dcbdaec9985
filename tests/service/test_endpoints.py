"""
Tests for the endpoints behind `Server.listen`.
"""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError
from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from txroom import Server
from txroom.service.endpoints import endpointFrom
from txroom.testing import MemoryReactor


class WithoutIPv6(MemoryReactor):
    """A reactor on a kernel without IPv6, which reports that by one of several errors."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if ":" in interface:
            raise self._error
        return super().listenTCP(port, factory, backlog, interface)


class PortTests(SynchronousTestCase):
    """A TCP port on IPv4 and IPv6."""

    ERRORS = (
        CannotListenError(
            "::", 8080, OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        ),
        CannotListenError("::", 8080, OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")),
        CannotListenError("::", 8080, socket.gaierror(socket.EAI_FAMILY, "ai_family not supported")),
        OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol"),
    )

    def test_fallback(self) -> None:
        """Without IPv6 in the kernel, port numbers and "tls:" without an interface listen on IPv4."""
        directory = self.mktemp()

        Path(directory).mkdir()
        Authority(Path(directory)).issue(Path(directory) / "both.pem", "localhost")
        for error in self.ERRORS:
            for where in (8080, f"tls:{directory}:8080", f"haproxy:tls:{directory}:8080"):
                server = Server(clock=WithoutIPv6(error))
                server.listen(where)
                server.startService()
                self.addCleanup(server.stopService)
                self.assertEqual(server.address(), IPv4Address("TCP", "0.0.0.0", 8080), (error, where))

    def test_both(self) -> None:
        """With IPv6 they listen on both."""
        server = Server(clock=MemoryReactor())
        server.listen(8080)
        server.startService()
        self.addCleanup(server.stopService)
        self.assertEqual(server.address(), IPv6Address("TCP", "::", 8080))

    def test_otherErrors(self) -> None:
        """Other errors, and endpoints with an explicit address, do not fall back."""
        taken = CannotListenError("::", 8080, OSError(errno.EADDRINUSE, "Address already in use"))
        server = Server(clock=WithoutIPv6(taken))
        server.listen(8080)
        self.assertRaises(CannotListenError, server.startService)
        server = Server(clock=WithoutIPv6(self.ERRORS[0]))
        server.listen("tcp6:8080:interface=\\:\\:1")
        self.assertRaises(CannotListenError, server.startService)


class DescriptionTests(SynchronousTestCase):
    """Descriptions of endpoints."""

    def test_layers(self) -> None:
        """Prefixes become layers, and an error names the whole description."""
        for description, why in {
            "haproxy:": "haproxy:: Unknown endpoint type: ''",
            "haproxy:tcp:x": "haproxy:tcp:x: 'x' is not a number",
            "haproxy:systemd:domain=INET": "haproxy:systemd:domain=INET: must have either index=... ",
            "tls:": "tls:: the directory of the certificates is missing",
            "tls:/nowhere:443:backlog=x": "'x' is not a number",
            "tls:/nowhere:443:0:::1": "too many arguments",
        }.items():
            with self.assertRaises((ValueError, OSError)) as caught:
                endpointFrom(MemoryReactor(), description)
            self.assertIn(why, str(caught.exception))

    def test_backlog(self) -> None:
        """The server's backlog also applies to "tls:" and "haproxy:" listeners."""
        reactor = MemoryReactor()
        server = Server(clock=reactor)
        server.listen("haproxy:tcp:8080")
        server.startService()
        self.addCleanup(server.stopService)
        self.assertEqual(reactor.tcpServers[0][2], 511)
