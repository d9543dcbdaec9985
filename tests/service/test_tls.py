"""
Tests for TLS on the server's own listeners: certificates, ALPN, and the PROXY header before TLS.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint, wrapServerTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.haproxy import proxyEndpoint
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from tests.case import Recorder
from txroom import Server
from txroom.service.tls import Certificates, NamedCertificates, certificatesIn
from txroom.testing import MemoryReactor, upgradeRequest
from txroom.testing.tls import serverContext

HEADER = b"PROXY TCP4 203.0.113.9 192.0.2.1 4321 443\r\n"


class Client(Protocol):
    """A TLS client that records how its connection ended."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.reason: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Any = None) -> None:
        self.reason = reason.value


class Announcing(ProtocolWrapper):
    """A client that sends a PROXY header first."""

    def makeConnection(self, transport: Any) -> None:
        transport.write(HEADER)
        super().makeConnection(transport)


class NegotiationTests(SynchronousTestCase):
    """ALPN and the PROXY header, over connections in memory."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.app = Recorder()
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.file = self.directory / "both.pem"
        self.authority = Authority(self.directory)
        self.authority.issue(self.file, "localhost")

    def start(self, where: Any) -> None:
        server = Server(clock=self.reactor)
        server.addApplication(self.app)
        server.listen(where)
        server.startService()
        self.addCleanup(self.reactor.advance, 1)
        self.addCleanup(server.stopNow)
        self.addCleanup(server.stopService)

    def connect(self, offered: Sequence[bytes] | None, isAnnounced: bool = False) -> Client:
        client = Client()
        options = CertificateOptions(acceptableProtocols=offered)
        factory: Any = TLSMemoryBIOFactory(options, True, Factory.forProtocol(lambda: client), self.reactor)
        if isAnnounced:
            factory = WrappingFactory(factory)
            factory.protocol = Announcing
        here, there = IPv4Address("TCP", "192.0.2.9", 99), IPv4Address("TCP", "192.0.2.1", 443)
        self.reactor.connect(self.reactor.ports[0].factory, factory, there, here)
        self.reactor.flush()
        return client

    @property
    def kinds(self) -> list[Any]:
        """Yield a listener of each kind with TLS."""
        own = SSL4ServerEndpoint(self.reactor, 443, serverContext())
        wrapped = wrapServerTLS(serverContext(), TCP4ServerEndpoint(self.reactor, 443))
        return [f"ssl:443:privateKey={self.file}", f"tls:{self.directory}:443", own, wrapped]

    def test_agreed(self) -> None:
        """Clients that offer HTTP/1.1 get it; clients that offer nothing are served, too."""
        for where in self.kinds:
            self.start(where)
            for offered in ([b"h2", b"http/1.1"], [b"http/1.1"], None):
                client = self.connect(offered)
                client.transport.write(upgradeRequest())
                self.reactor.flush()
                self.assertIn(b" 101 Switching", client.data, (where, offered))
                self.assertEqual(client.transport.negotiatedProtocol, offered and b"http/1.1")
            self.doCleanups()

    def test_none(self) -> None:
        """A client without a common protocol gets an alert; nothing is logged or left."""
        for where in self.kinds[:2]:
            self.start(where)
            client = self.connect([b"h2"])
            self.assertIn("no application protocol", str(client.reason), where)
            self.assertEqual(self.reactor.readers, {})
            self.doCleanups()

    def test_old(self) -> None:
        """HTTP/1.0 is served without an agreed protocol, because twisted.web has no name for it."""
        self.start(self.kinds[0])
        client = self.connect([b"http/1.0"])
        client.transport.write(b"GET / HTTP/1.0\r\n\r\n")
        self.reactor.flush()
        self.assertIsNone(client.transport.negotiatedProtocol)
        self.assertIn(b"HTTP/1.1 505 ", client.data)

    def test_proxied(self) -> None:
        """The PROXY header comes before TLS, for any kind of endpoint."""
        descriptions = [f"haproxy:{where}" for where in self.kinds[:2]]
        for where in (*descriptions, *map(proxyEndpoint, self.kinds[2:])):
            self.start(where)
            client = self.connect([b"h2", b"http/1.1"], isAnnounced=True)
            client.transport.write(upgradeRequest())
            self.reactor.flush()
            self.assertIn(b" 101 Switching", client.data, where)
            handshake = self.app.connection.handshake
            self.assertEqual((handshake.peer, handshake.secure), ("203.0.113.9", True))
            self.doCleanups()

    def test_unannounced(self) -> None:
        """Without the header the connection is dropped."""
        self.start(f"haproxy:ssl:443:privateKey={self.file}")
        client = self.connect(None)
        self.assertIsNotNone(client.reason)
        self.assertEqual(self.reactor.readers, {})


class Asking:
    """A TLS connection whose client asks for a server name."""

    def __init__(self, name: bytes | None) -> None:
        self._name = name
        self.context: Any = None

    def get_servername(self) -> bytes | None:
        return self._name

    def set_context(self, context: Any) -> None:
        self.context = context


class NamesTests(SynchronousTestCase):
    """Certificates by server name."""

    def chosen(self, certificates: NamedCertificates, name: bytes | None) -> Any:
        asking: Any = Asking(name)
        certificates._choose(asking)
        return asking.context

    def test_chosen(self) -> None:
        """The certificate for the name or its wildcard is used, and otherwise the first."""
        first, exact, wild = (SSL.Context(SSL.TLS_SERVER_METHOD) for _ in range(3))
        named = [([], first), (["A.example", "b.example"], exact), (["*.b.example", "b.example"], wild)]
        certificates = NamedCertificates(named)
        self.assertEqual(certificates.contexts, [first, exact, wild])
        for name in (b"a.example", b"A.Example", b"b.example"):
            self.assertIs(self.chosen(certificates, name), exact)
        for name in (b"x.b.example", b"Y.B.example", b"\xff.b.example"):
            self.assertIs(self.chosen(certificates, name), wild)
        for other in (b"x.y.b.example", b"c.example", b"example", b"", None, b"caf\xc3\xa9.example", b"\xff"):
            self.assertIsNone(self.chosen(certificates, other), other)

    def test_nothing(self) -> None:
        """Without any certificate there is an error."""
        with self.assertRaisesRegex(ValueError, "no certificate with its key"):
            NamedCertificates([])


class DirectoryTests(SynchronousTestCase):
    """A directory of certificates."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        (self.directory / "below").mkdir(parents=True)
        self.authority = Authority(self.directory / "below")

    def read(self) -> dict[bytes, int]:
        """Return the serial numbers of the certificates by name."""
        found = certificatesIn(str(self.directory))
        serial = {name: SSL.Connection(context).get_certificate() for name, context in found._byName.items()}
        return {name: shown.get_serial_number() for name, shown in serial.items() if shown is not None}

    def test_found(self) -> None:
        """
        Each certificate is found with its key, in any files and beside others, also one of an authority.
        """
        one = self.authority.issue(self.directory / "one.pem", "a.example", "*.a.example")
        two = self.authority.issue(self.directory / "below" / "two.pem", "b.example", "192.0.2.1")
        parts = (self.directory / "below" / "two.pem").read_bytes().partition(b"-----BEGIN CERT")
        (self.directory / "below" / "two.pem").write_bytes(parts[1] + parts[2])
        (self.directory / "key.pem").write_bytes(parts[0])
        self.authority.issue(self.directory / "ignored.txt", "c.example")
        self.assertEqual(self.read(), {b"a.example": one, b"*.a.example": one, b"b.example": two})

    def test_newest(self) -> None:
        """Of two for the same name the one that became valid later is used, wherever it is."""
        for old, new in (("1.pem", "2.pem"), ("2.pem", "1.pem")):
            self.authority.issue(self.directory / old, "a.example", age=2)
            newest = self.authority.issue(self.directory / new, "a.example")
            self.assertEqual(self.read(), {b"a.example": newest})

    def test_addressOnly(self) -> None:
        """A certificate without a name serves clients that ask for none."""
        self.authority.issue(self.directory / "one.pem", "192.0.2.1")
        self.assertEqual(len(certificatesIn(str(self.directory)).contexts), 1)

    def test_wrong(self) -> None:
        """The error names a file that can't be read; a certificate without its key is not used."""
        self.assertRaises(ValueError, self.read)
        (self.directory / "bad.pem").write_bytes(
            b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----"
        )
        with self.assertRaisesRegex(ValueError, "bad.pem has a certificate or key that can't be read"):
            self.read()


class CertificatesTests(SynchronousTestCase):
    """Certificates that are reloaded while the server listens."""

    def test_reload(self) -> None:
        """New connections get the new certificate; if it can't be read, the old one stays in force."""
        contexts = [SSL.Context(SSL.TLS_SERVER_METHOD) for _ in range(2)]
        results: list[Any] = [*contexts, ZeroDivisionError()]

        class Creator:
            def __init__(self, context: Any) -> None:
                self.getContext = lambda: context

        def read() -> Any:
            result = results.pop(0)
            if isinstance(result, Exception):
                raise result
            return Creator(result)

        certificates = Certificates(read)
        self.assertIs(certificates.serverConnectionForTLS(None).get_context(), contexts[0])
        certificates.reload()
        self.assertIs(certificates.serverConnectionForTLS(None).get_context(), contexts[1])
        self.assertRaises(ZeroDivisionError, certificates.reload)
        self.assertIs(certificates.serverConnectionForTLS(None).get_context(), contexts[1])

    def test_endpoint(self) -> None:
        """Endpoints with TLS can be reloaded, also behind `haproxy:`."""
        directory = Path(self.mktemp())
        directory.mkdir()
        file = directory / "both.pem"
        authority = Authority(directory)
        for kind in (f"ssl:443:privateKey={file}", f"tls:{directory}:443"):
            for where in (kind, f"haproxy:{kind}"):
                authority.issue(file, "localhost")
                server = Server(clock=MemoryReactor())
                server.listen(where)
                server.listen(8080)
                server.reloadCertificates()
                file.write_bytes(b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----")
                with self.assertRaises(Exception) as caught:
                    server.reloadCertificates()
                self.assertNotIsInstance(caught.exception, AssertionError)
                authority.issue(file, "localhost")
                server.reloadCertificates()
