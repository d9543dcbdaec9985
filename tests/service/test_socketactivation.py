"""
Tests for inherited sockets.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, _SystemdParser
from twisted.internet.interfaces import IReactorSocket
from twisted.python.systemd import ListenFDs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txroom import Server
from txroom.service import socketactivation
from txroom.service.socketactivation import InheritedEndpoint, inheritedSocket, socketsOfProcess, unnamed
from txroom.testing import MemoryReactor


@implementer(IReactorSocket)
class AdoptingReactor(MemoryReactor):
    """A reactor that adopts listening sockets, each by a copy of its descriptor, as Twisted's do."""

    def __init__(self) -> None:
        super().__init__()
        self.adopted: list[tuple[int, int]] = []

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> Any:
        os.close(os.dup(descriptor))  # raises if it was closed
        self.adopted.append((descriptor, family))
        return self.listenTCP(0, factory)


class InheritedUNIXTests(SynchronousTestCase):
    """Listening on an inherited UNIX socket."""

    def test_shared(self) -> None:
        """
        The file of the socket keeps its mode, and is not removed, and other processes can go on listening;
        with Twisted's own port nothing of this is true.
        """
        path = os.path.join(tempfile.mkdtemp(), "socket")
        self.addCleanup(shutil.rmtree, os.path.dirname(path))
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path)
            opened.listen(5)
            os.chmod(path, 0o600)
            reactor = MemoryReactor()
            server = Server(clock=reactor)
            server.listen(InheritedEndpoint(reactor, opened.fileno(), socket.AF_UNIX))
            server.startService()
            (port,) = server.ports
            self.assertEqual(list(reactor.readers), [port])
            self.assertEqual(port.getHost(), UNIXAddress(path))
            stopped = server.stopService()
            reactor.flush()
            self.successResultOf(stopped)
            self.assertEqual(reactor.readers, {})
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)


class InheritedTests(SynchronousTestCase):
    """Listening on inherited sockets."""

    def setUp(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.socket.close)
        self.reactor = AdoptingReactor()
        self.sockets = ListenFDs([self.socket.fileno()], ("chat",))

    def serve(self, endpoint: Any) -> Server:
        server = Server(clock=self.reactor)
        server.listen(endpoint)
        return server

    def test_again(self) -> None:
        """A server can be stopped and started again, also on an endpoint of Twisted's."""
        descriptor = self.socket.fileno()
        for endpoint in (
            AdoptedStreamServerEndpoint(self.reactor, descriptor, socket.AF_INET),
            inheritedSocket(self.reactor, self.sockets, "INET", "0"),
            inheritedSocket(self.reactor, self.sockets, "INET", name="chat"),
        ):
            self.reactor.adopted.clear()
            server = self.serve(endpoint)
            for count in range(1, 4):
                server.startService()
                self.assertEqual(self.reactor.adopted, [(descriptor, socket.AF_INET)] * count)
                self.assertIsNotNone(server.address())
                stopping = server.stopService()
                self.reactor.advance(1)
                self.successResultOf(stopping)
        self.assertFalse(os.get_blocking(descriptor))

    def test_used(self) -> None:
        """An endpoint of Twisted's that has listened before is not replaced."""
        endpoint = AdoptedStreamServerEndpoint(self.reactor, os.dup(self.socket.fileno()), socket.AF_INET)
        self.successResultOf(endpoint.listen(Server(clock=self.reactor)._factory))
        with self.assertRaises(Exception) as caught:
            self.serve(endpoint).startService()
        self.assertEqual(type(caught.exception).__name__, "AlreadyListened")

    def test_wrong(self) -> None:
        """Each error says what was inherited."""
        two = ListenFDs([self.socket.fileno()] * 2, ("chat", "admin"))
        nameless = ListenFDs([self.socket.fileno()])
        cases: list[tuple[ListenFDs, dict[str, str], str]] = [
            (ListenFDs([]), {"index": "0"}, "no socket was inherited"),
            (self.sockets, {"index": "1"}, "index=1: 1 socket was inherited, counted from 0"),
            (two, {"index": "2"}, "index=2: 2 sockets were inherited, counted from 0"),
            (two, {"index": "-1"}, "index=-1: must be a whole number, 0 or more"),
            (two, {"index": "x"}, "index=x: must be a whole number, 0 or more"),
            (two, {"name": "web"}, "name=web: .*; the names are chat, admin"),
            (nameless, {"name": "web"}, "name=web: .*; LISTEN_FDNAMES has no names; use index"),
            (two, {}, "must have either index=... or name=..."),
            (two, {"index": "0", "name": "chat"}, "must have either index=... or name=..."),
            (two, {"domain": "TCP", "index": "0"}, "domain=TCP: must be INET, INET6, UNIX"),
            (two, {"domain": "INET6", "index": "0"}, "domain=INET6: .* has the domain INET$"),
        ]
        for sockets, given, why in cases:
            with self.assertRaisesRegex(ValueError, why):
                inheritedSocket(self.reactor, sockets, **{"domain": "INET", **given})


class ProcessTests(SynchronousTestCase):
    """The sockets that a process has inherited."""

    def test_unnamed(self) -> None:
        """Sockets need no names; those of another process are ignored."""
        self.assertEqual(unnamed({"LISTEN_PID": "7", "LISTEN_FDS": "2"}, 7).inheritedDescriptors(), [3, 4])
        for environment in (
            {},
            {"LISTEN_PID": "8", "LISTEN_FDS": "2"},
            {"LISTEN_PID": "7"},
            {"LISTEN_PID": "7", "LISTEN_FDS": "two"},
            {"LISTEN_PID": "7", "LISTEN_FDS": "-1"},
        ):
            self.assertEqual(unnamed(environment, 7).inheritedDescriptors(), [])

    def test_process(self) -> None:
        """
        They are those that Twisted found, or those in the environment: at the start, unless a variable is
        another one now.
        """
        self.assertEqual(socketsOfProcess().inheritedDescriptors(), [])
        start = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        self.patch(socketactivation, "environmentAtStart", lambda: start)
        self.assertEqual(socketsOfProcess().inheritedDescriptors(), [3])
        self.patch(os, "environ", {"LISTEN_PID": "0"})
        self.assertEqual(socketsOfProcess().inheritedDescriptors(), [])
        found = ListenFDs([5], ("chat",))
        self.patch(_SystemdParser, "_sddaemon", found)
        self.assertIs(socketsOfProcess(), found)
