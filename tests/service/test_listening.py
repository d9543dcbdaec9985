"""
Tests for the listeners of a server.
"""

from __future__ import annotations

import errno
import gc
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import RaisingMemoryReactor
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.case import fired
from txroom.service.listening import Listeners
from txroom.testing import MemoryReactor
from txroom.testing.network import MemoryPort


@implementer(IStreamServerEndpoint)
class Endpoint:
    """An endpoint that listens when the test says so."""

    def __init__(self) -> None:
        self.waiting: Deferred[Any] = Deferred()

    def listen(self, protocolFactory: Any) -> Deferred[Any]:
        self.waiting = Deferred()
        return self.waiting


class ListenersTests(SynchronousTestCase):
    """`Listeners`."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.listeners = Listeners(self.reactor, Factory(), 7)
        self.told: list[Any] = []
        self.listeners.onPort = self.told.append

    def test_number(self) -> None:
        """A port number listens on IPv4 and IPv6, with the option's backlog."""
        self.listeners.add(8080)
        self.listeners.open()
        ((port, _, backlog, interface),) = self.reactor.tcpServers
        self.assertEqual((port, backlog, interface), (8080, 7, "::"))
        self.assertEqual(self.listeners.ports[0].getHost(), IPv6Address("TCP", "::", 8080))

    def test_pause(self) -> None:
        """Ports that are files of the reactor accept nothing for a while."""
        calls: list[str] = []

        class Port(FileDescriptor):
            def stopReading(self) -> None:
                calls.append("stop")

            def startReading(self) -> None:
                calls.append("start")

        other: Any = object()
        port: Any = Port()
        self.listeners.ports += [port, other]
        self.listeners.pause()
        self.listeners.resume()
        self.assertEqual(calls, ["stop", "start"])

    def test_backlogLater(self) -> None:
        """The backlog is read when the port is opened."""
        self.listeners.add(8080)
        self.listeners.backlog = 9
        self.listeners.open()
        self.assertEqual(self.reactor.tcpServers[0][2], 9)

    def test_string(self) -> None:
        """A description's own arguments are kept."""
        self.listeners.add("tcp:8080:backlog=3:interface=127.0.0.1")
        self.listeners.open()
        ((port, _, backlog, interface),) = self.reactor.tcpServers
        self.assertEqual((port, backlog, interface), (8080, 3, "127.0.0.1"))

    def test_endpoint(self) -> None:
        """An endpoint object is used as it is."""
        self.listeners.add(TCP4ServerEndpoint(self.reactor, 8080, backlog=2))
        self.listeners.open()
        self.assertEqual(self.reactor.tcpServers[0][2], 2)

    def test_wrong(self) -> None:
        """A wrong endpoint is an error when it is added."""
        self.assertRaises(ValueError, self.listeners.add, "nonsense:1")
        self.assertEqual(len(self.listeners), 0)

    def test_told(self) -> None:
        """`onPort` is called for each port, in order."""
        self.listeners.add(8080)
        self.listeners.add("unix:/nowhere")
        self.listeners.open()
        self.assertEqual(self.told, self.listeners.ports)
        self.assertEqual(len(self.told), 2)

    def test_twice(self) -> None:
        """Opening open listeners does nothing; the privileged start and the start both open them."""
        self.listeners.add(8080)
        self.listeners.open()
        self.listeners.open()
        self.assertEqual(len(self.told), 1)

    def test_again(self) -> None:
        """Closed listeners can be opened again at the same places; the Deferred fires once."""
        listening = fired(self.listeners.add(8080))
        self.listeners.open()
        first = self.listeners.ports
        self.successResultOf(self.listeners.close())
        self.assertEqual((self.reactor.ports, self.listeners.ports), ([], []))
        self.listeners.open()
        self.assertEqual((len(self.told), listening), (2, first))

    def test_allOrNone(self) -> None:
        """If one fails, none listens, and the error is raised."""
        self.reactor.listenTCP(8081, Factory())
        listening = [fired(self.listeners.add(port)) for port in (8080, 8081)]
        self.assertRaises(CannotListenError, self.listeners.open)
        self.assertEqual(len(self.reactor.ports), 1)
        self.assertEqual([type(result) for (result,) in listening], [MemoryPort, Failure])

    def test_afterFailure(self) -> None:
        """After a failure they can be opened again."""
        other = self.reactor.listenTCP(8080, Factory())
        self.listeners.add(8080)
        self.assertRaises(CannotListenError, self.listeners.open)
        other.stopListening()
        self.listeners.open()
        self.assertEqual(len(self.reactor.ports), 1)

    def test_raising(self) -> None:
        """Any exception of the reactor is raised."""
        reactor: Any = RaisingMemoryReactor(listenException=ZeroDivisionError())
        listeners = Listeners(reactor, Factory(), 7)
        listeners.add(serverFromString(reactor, "tcp:1"))
        self.assertRaises(ZeroDivisionError, listeners.open)

    def test_later(self) -> None:
        """An endpoint may be asynchronous."""
        endpoint = Endpoint()
        listening = fired(self.listeners.add(endpoint))
        self.listeners.open()
        self.assertEqual((listening, self.told), ([], []))
        port = self.reactor.listenTCP(8080, Factory())
        endpoint.waiting.callback(port)
        self.assertEqual((listening, self.told, self.listeners.ports), ([port], [port], [port]))

    def test_laterFailure(self) -> None:
        """A later failure is logged, and the Deferred fails."""
        endpoint = Endpoint()
        listening = fired(self.listeners.add(endpoint))
        self.listeners.open()
        endpoint.waiting.errback(ZeroDivisionError())
        self.assertEqual([type(failure.value) for failure in listening], [ZeroDivisionError])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stopFails(self) -> None:
        """If one port can't be closed, the others are closed all the same."""
        self.listeners.add(8080)
        self.listeners.add(8081)
        self.listeners.open()
        self.patch(self.listeners.ports[0], "stopListening", lambda: 1 / 0)
        self.successResultOf(self.listeners.close())
        gc.collect()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([port.getHost().port for port in self.reactor.ports], [8080])  # type: ignore[attr-defined]

    def test_notRemoved(self) -> None:
        """A socket file that can't be removed is one line in the log."""

        def stopListening() -> None:
            raise PermissionError(errno.EACCES, "Permission denied", "/run/chat")

        self.listeners.add("unix:/run/chat")
        self.listeners.open()
        self.patch(self.listeners.ports[0], "stopListening", stopListening)
        with capturedLogs() as events:
            self.successResultOf(self.listeners.close())
        expected = "a listener could not be closed: [Errno 13] Permission denied: '/run/chat'"
        self.assertEqual([formatEvent(event) for event in events], [expected])
