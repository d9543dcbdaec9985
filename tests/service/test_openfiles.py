"""
Tests for the limit on open files, and for ports that can't accept.
"""

from __future__ import annotations

import errno
import resource
from typing import Any

from twisted.internet import tcp
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.case import HarnessTestCase, Recorder
from txroom import Server, ServerOptions
from txroom.service import connectionservice
from txroom.service.openfiles import LOG_INTERVAL, PAUSE, connectionsOf, openFiles, socketsOf, watchAccepting
from txroom.testing import MemoryReactor


class LimitTests(SynchronousTestCase):
    """How many descriptors clients get."""

    def test_shares(self) -> None:
        """A tenth is reserved, within bounds, half of it for clients without a WebSocket."""
        expected = {1: (1, 1), 64: (40, 16), 256: (232, 208), 1024: (973, 922), 65536: (65036, 64536)}
        self.assertEqual({limit: (socketsOf(limit), connectionsOf(limit)) for limit in expected}, expected)

    def test_openFiles(self) -> None:
        """The current limit is returned, or `None`."""
        limits = [(512, 1024), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)]
        self.patch(resource, "getrlimit", lambda which: limits.pop(0))
        self.assertEqual([openFiles(), openFiles()], [512, None])


class ServerTests(HarnessTestCase):
    """A server with few descriptors."""

    def listen(self, served: Server, limit: int | None) -> list[str]:
        """Listen at a real port with that limit, and return the log."""
        self.patch(connectionservice, "openFiles", lambda: limit)
        port: Any = tcp.Port(0, Factory(), reactor=MemoryReactor())
        with capturedLogs() as events:
            served._listening(port)
            served._listening(port)
        return [formatEvent(event) for event in events]

    def test_full(self) -> None:
        """By default, connections beyond the limit get 503; pages are still served."""
        harness = self.serve(Recorder())
        harness.server.addHealthPage()
        self.assertEqual(self.listen(harness.server, 55), [])
        clients = [harness.connect() for _ in range(8)]
        statuses = [client.response.status for client in clients if client.response is not None]
        self.assertEqual(statuses, [101] * 7 + [503])
        page = harness.raw(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").response
        assert page is not None
        self.assertEqual(page.status, 200)
        clients[0].close()
        harness.flush()
        again = harness.connect().response
        assert again is not None
        self.assertEqual(again.status, 101)

    def test_handshakes(self) -> None:
        """Pending handshakes are evicted near the limit on open files, too."""
        harness = self.serve(Recorder())
        self.listen(harness.server, 55)
        idle = [harness.raw() for _ in range(31)]
        self.assertEqual([client.take() for client in idle], [b""] * 31)
        response = harness.connect().response
        assert response is not None
        self.assertEqual(response.status, 101)
        self.assertEqual([bool(client.take()) for client in idle], [True] + [False] * 30)
        harness.advance(10)

    def test_refused(self) -> None:
        """Refused clients that keep their sockets open are dropped near the limit."""
        harness = self.serve(Recorder())
        self.listen(harness.server, 55)
        admission = harness.server._gateway.admission
        for _ in range(40):
            client = harness.raw()
            client.stall()  # so that it doesn't see that the server has closed
            client.send(b"\0")
            self.assertLessEqual(len(admission.pending) + len(admission.lingering), 31)
        idle = [harness.raw() for _ in range(31)]
        self.assertEqual((len(admission.pending), len(admission.lingering)), (31, 0))
        self.assertEqual([client.take() for client in idle], [b""] * 31)
        harness.advance(10)

    def test_given(self) -> None:
        """`maxConnections` applies; if there aren't enough descriptors for it, that is logged once."""
        few = Server(ServerOptions(maxConnections=1000), clock=MemoryReactor())
        (line,) = self.listen(few, 1024)
        expected = (
            "maxConnections=1000, but the limit on open files (1024) allows only 922 connections: raise "
        )
        self.assertTrue(line.startswith(expected), line)
        enough = Server(ServerOptions(maxConnections=900), clock=MemoryReactor())
        self.assertEqual(self.listen(enough, 1024), [])
        self.assertEqual(self.listen(Server(clock=MemoryReactor()), None), [])

    def test_inMemory(self) -> None:
        """Connections in memory need no descriptors."""
        self.patch(connectionservice, "openFiles", lambda: 1)
        harness = self.serve(Recorder())
        self.assertEqual(harness.server._gateway.admission.mostConnections, 0)


class Taken:
    """An accepted connection, to be closed."""

    def close(self) -> None:
        """Does nothing."""


class Waiting:
    """A listening socket with waiting clients, and the results of accepting them."""

    def __init__(self) -> None:
        self.outcomes: list[Any] = []

    def accept(self) -> Any:
        outcome = self.outcomes.pop(0) if self.outcomes else errno.EAGAIN
        if isinstance(outcome, int):
            raise OSError(outcome, "")
        return outcome


class Reserve:
    """Twisted's spare descriptor."""

    def __init__(self, isThere: bool) -> None:
        self._isThere = isThere
        self.reserved = 0

    def available(self) -> bool:
        return self._isThere

    def reserve(self) -> None:
        self.reserved += 1

    def __enter__(self) -> None:
        """Give it up."""

    def __exit__(self, *exception: object) -> None:
        """Restore it."""


class AcceptingTests(SynchronousTestCase):
    """A port that can't accept."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.port: Any = tcp.Port(0, Factory(), reactor=self.reactor)
        self.port.socket = Waiting()
        self.port.connected = True
        self.port.startReading()
        self.isPaused = False
        watchAccepting(self.port, self.reactor, lambda: self.isPaused)

    def reserve(self, isThere: bool) -> Reserve:
        reserve = Reserve(isThere)
        self.patch(tcp, "_reservedFD", reserve)
        return reserve

    def read(self, *outcomes: Any) -> list[str]:
        """Return what is logged when clients are waiting."""
        self.port.socket.outcomes = list(outcomes)
        self.port.numberAccepts = 100
        with capturedLogs() as events:
            self.port.doRead()
        return [formatEvent(event) for event in events]

    def test_full(self) -> None:
        """
        Twisted closes waiting clients; one line reports all of them, and the next line comes a minute later.
        """
        self.reserve(True)
        client = (Taken(), ("192.0.2.1", 9))
        said = self.read(errno.EMFILE, client, client)
        self.assertEqual(len(said), 1)
        self.assertIn("no file descriptor was left for new connections (EMFILE); 1 were closed", said[0])
        for _ in range(100):
            self.assertEqual(self.read(errno.EMFILE, client, client), [])
        self.reactor.rightNow += LOG_INTERVAL
        (line,) = self.read(errno.EMFILE, client)
        self.assertIn(" 202 were closed at once", line)
        self.assertEqual(self.read(errno.EMFILE, client), [])
        self.assertIn(self.port, self.reactor.readers)

    def test_helpless(self) -> None:
        """If Twisted can't even do that, the port pauses instead of trying in each turn of the reactor."""
        for error, name in ((errno.EMFILE, "EMFILE"), (errno.ENFILE, "ENFILE"), (errno.ENOMEM, "ENOMEM")):
            reserve = self.reserve(False)
            (line,) = self.read(error)
            self.assertIn(f"({name})", line)
            self.assertNotIn(self.port, self.reactor.readers)
            self.reactor.rightNow += PAUSE  # the sockets of this reactor are others
            (call,) = self.reactor.calls
            call.func()
            call.cancel()
            self.assertIn(self.port, self.reactor.readers)
            self.assertEqual(reserve.reserved, 1)
            self.reactor.rightNow += LOG_INTERVAL

    def test_stopped(self) -> None:
        """A port that is closed meanwhile is not resumed."""
        self.reserve(False)
        self.read(errno.EMFILE)
        self.port.connected = False
        (call,) = self.reactor.calls
        call.func()
        call.cancel()
        self.assertNotIn(self.port, self.reactor.readers)

    def test_paused(self) -> None:
        """A port that is paused meanwhile because its server has left is not resumed."""
        reserve = self.reserve(False)
        self.read(errno.EMFILE)
        self.isPaused = True
        (call,) = self.reactor.calls
        call.func()
        call.cancel()
        self.assertNotIn(self.port, self.reactor.readers)
        self.assertEqual(reserve.reserved, 1)

    def test_others(self) -> None:
        """A client that left before it was accepted is not reported; other ports are not observed."""
        self.assertEqual(self.read(errno.ECONNABORTED), [])
        self.assertIn(self.port, self.reactor.readers)
        watchAccepting(object(), self.reactor, lambda: False)
