"""
Tests for the private names of twisted.internet and twisted.protocols.
"""

from __future__ import annotations

import socket
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    SSL4ServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
    serverFromString,
    wrapServerTLS,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, capturedLogs
from twisted.protocols.haproxy import proxyEndpoint
from twisted.trial.unittest import SynchronousTestCase

from txroom.core import twistedinternet
from txroom.core.twistedinternet import HAProxyProtocolWrapper, HAProxyWrappingFactory
from txroom.testing import MemoryReactor


class DeferredTests(SynchronousTestCase):
    """Deferreds with a bad canceller."""

    def test_dropCanceller(self) -> None:
        """`cancel` does not call it, and a later result is dropped."""
        called: list[Any] = []
        waited: Deferred[int] = Deferred(called.append)
        twistedinternet.dropCanceller(waited)
        waited.cancel()
        self.failureResultOf(waited, CancelledError)
        waited.callback(1)
        self.assertEqual(called, [])


class Reserve:
    """The spare descriptor, which may be missing."""

    def __init__(self, isThere: bool) -> None:
        self.isThere = isThere
        self.reserved = 0

    def available(self) -> bool:
        return self.isThere

    def reserve(self) -> None:
        self.reserved += 1


class PortTests(SynchronousTestCase):
    """Ports that can't accept."""

    def test_observeAccepting(self) -> None:
        """The port's events go to the observer, with the same namespace, and not to the log."""
        seen: list[LogEvent] = []
        ports: list[Any] = [tcp.Port(0, Factory(), reactor=MemoryReactor()) for _ in range(2)]
        twistedinternet.observeAccepting(ports[0], cast(ILogObserver, seen.append))
        with capturedLogs() as logged:
            for port in ports:
                port._logger.info("it can't accept")
        names = [[event["log_namespace"] for event in events] for events in (seen, logged)]
        self.assertEqual(names, [["twisted.internet.tcp.Port"]] * 2)

    def test_reserveDescriptor(self) -> None:
        """The spare descriptor is opened if it is missing."""
        for isThere in (True, False):
            reserve = Reserve(isThere)
            self.patch(tcp, "_reservedFD", reserve)
            twistedinternet.reserveDescriptor()
            self.assertEqual(reserve.reserved, not isThere)


class EndpointTests(SynchronousTestCase):
    """The parts of Twisted's endpoints."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactor()

    def test_argumentsOf(self) -> None:
        """Positional and named fields, with escapes."""
        given, named = twistedinternet.argumentsOf(r"tls:a\:b:8443:backlog=9")
        self.assertEqual((given, named), (["tls", "a:b", "8443"], {"backlog": "9"}))

    def test_belowProxy(self) -> None:
        """ "haproxy:" endpoints of any origin have an inner endpoint, others have none."""
        inner = TCP4ServerEndpoint(self.reactor, 8080)
        self.assertIs(twistedinternet.belowProxy(proxyEndpoint(inner)), inner)
        described = twistedinternet.belowProxy(serverFromString(self.reactor, "haproxy:tcp:8080"))
        self.assertIsInstance(described, TCP4ServerEndpoint)
        self.assertIsNone(twistedinternet.belowProxy(inner))
        other: Any = proxyEndpoint(inner)
        other._wrapperFactory = Factory
        self.assertIsNone(twistedinternet.belowProxy(other))

    def test_belowTLS(self) -> None:
        """Both kinds of TLS are split; endpoints without TLS and subclasses are not."""
        creator: Any = CertificateOptions()
        inner = TCP6ServerEndpoint(self.reactor, 8080)
        wrapped = wrapServerTLS(creator, inner)
        self.assertEqual(twistedinternet.belowTLS(self.reactor, wrapped), (inner, creator))
        self.assertEqual(twistedinternet.belowTLS(self.reactor, inner), (inner, None))
        ssl = SSL4ServerEndpoint(self.reactor, 8080, creator, 7, "127.0.0.1")
        bottom, found = twistedinternet.belowTLS(self.reactor, ssl)
        self.assertIs(found, creator)
        self.assertIs(type(bottom), TCP4ServerEndpoint)
        self.assertEqual(twistedinternet.bindingOf(bottom), (8080, 7, "127.0.0.1"))

        class Own(SSL4ServerEndpoint):
            """A user's own endpoint."""

        own = Own(self.reactor, 8080, creator)
        self.assertEqual(twistedinternet.belowTLS(self.reactor, own), (own, None))

    def test_isUsed(self) -> None:
        """True after it has listened."""
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            self.patch(self.reactor, "adoptStreamPort", lambda *args: None)
            endpoint = AdoptedStreamServerEndpoint(self.reactor, listening.detach(), socket.AF_INET)
        self.assertFalse(twistedinternet.isUsed(endpoint))
        self.successResultOf(endpoint.listen(Factory()))
        self.assertTrue(twistedinternet.isUsed(endpoint))

    def test_lockedPath(self) -> None:
        """The path of an endpoint that wants a lock."""
        for wantPID, path in ((True, "chat.sock"), (False, None)):
            endpoint = UNIXServerEndpoint(self.reactor, "chat.sock", wantPID=wantPID)
            self.assertEqual(twistedinternet.lockedPath(endpoint), path)

    def test_socketsHandedDown(self) -> None:
        """This process has inherited none."""
        self.assertEqual(twistedinternet.socketsHandedDown().inheritedDescriptors(), [])


class ProxyTests(SynchronousTestCase):
    """PROXY headers."""

    def connection(self) -> HAProxyProtocolWrapper:
        factory = HAProxyWrappingFactory(Factory.forProtocol(Protocol))
        wrapper: Any = factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 4321))
        wrapper.makeConnection(StringTransport())
        connection: HAProxyProtocolWrapper = wrapper
        return connection

    def test_header(self) -> None:
        """A received header, and one that is accepted in its place."""
        comes, taken = both = self.connection(), self.connection()
        self.assertEqual([twistedinternet.hasProxyInfo(each) for each in both], [False, False])
        header = twistedinternet.PROXY_V1_START + b" TCP4 203.0.113.9 192.0.2.1 4321 443"
        comes.dataReceived(header + twistedinternet.PROXY_V1_END)
        twistedinternet.acceptProxyHeader(taken, b"PROXY UNKNOWN")
        self.assertEqual([twistedinternet.hasProxyInfo(each) for each in both], [True, True])
