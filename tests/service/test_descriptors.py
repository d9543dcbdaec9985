"""How many connections the limit on open files allows."""

from __future__ import annotations

import resource
from typing import Any

from twisted.internet import tcp
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.case import HarnessTestCase, Recorder
from txroom import Server, ServerOptions
from txroom.service import server
from txroom.service.descriptors import connectionsOf, openFiles, socketsOf
from txroom.testing import MemoryReactor


class LimitTests(SynchronousTestCase):
    """What is left for clients."""

    def test_shares(self) -> None:
        """A tenth is spared, half of it for clients that have no WebSocket; within bounds."""
        expected = {1: (1, 1), 64: (40, 16), 256: (232, 208), 1024: (973, 922), 65536: (65036, 64536)}
        self.assertEqual({limit: (socketsOf(limit), connectionsOf(limit)) for limit in expected}, expected)

    def test_openFiles(self) -> None:
        """The limit is that of now; there may be none."""
        limits = [(512, 1024), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)]
        self.patch(resource, "getrlimit", lambda which: limits.pop(0))
        self.assertEqual([openFiles(), openFiles()], [512, None])


class ServerTests(HarnessTestCase):
    """A server that has few descriptors."""

    def listen(self, served: Server, limit: int | None) -> list[str]:
        """What is said when it listens at a real port, with such a limit."""
        self.patch(server, "openFiles", lambda: limit)
        port: Any = tcp.Port(0, Factory(), reactor=MemoryReactor())
        with capturedLogs() as events:
            served._listening(port)
            served._listening(port)
        return [formatEvent(event) for event in events]

    def test_full(self) -> None:
        """By default more connections than that allows are answered with 503; pages are served."""
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
        """Whoever doesn't finish a handshake gives way in time to who comes, also below its own limit."""
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
        """Nor do those that were refused, and hold on to their sockets, take what others need."""
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
        """What was asked for counts; that there aren't enough descriptors for it is said once."""
        few = Server(ServerOptions(maxConnections=1000), clock=MemoryReactor())
        (line,) = self.listen(few, 1024)
        expected = "maxConnections=1000, but the limit on open files (1024) allows 922: raise it"
        self.assertTrue(line.startswith(expected), line)
        enough = Server(ServerOptions(maxConnections=900), clock=MemoryReactor())
        self.assertEqual(self.listen(enough, 1024), [])
        self.assertEqual(self.listen(Server(clock=MemoryReactor()), None), [])

    def test_inMemory(self) -> None:
        """Connections in memory need no descriptors."""
        self.patch(server, "openFiles", lambda: 1)
        harness = self.serve(Recorder())
        self.assertEqual(harness.server._gateway.admission.mostConnections, 0)
