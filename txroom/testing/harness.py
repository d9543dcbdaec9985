"""
The real server in memory, and what is checked when it stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Self
from warnings import catch_warnings, simplefilter

from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
)
from autobahn.websocket.types import ConnectingRequest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from ..application import Application
from ..connection import Connection
from ..options import ServerOptions
from ..server import Server
from .clients import Client, ClientProtocol, End, RawClient, RawProtocol, clientFactory
from .network import PORT, MemoryReactor


class RoomHarness:
    """
    A server that runs in memory.

    `serves` is an `Application`, several of them by path, or a function that is given a clock and makes
    a `Server` with it. The options of the server are given as keywords, unless the function made it.
    If it doesn't listen anywhere by itself, it does at port 8080. `clock` is the `MemoryReactor` to run
    on: pass that of another harness to have both in one process.
    """

    def __init__(
        self,
        serves: Application | Mapping[str, Application] | Callable[[MemoryReactor], Server] | None = None,
        *,
        clock: MemoryReactor | None = None,
        **options: Any,
    ) -> None:
        #: The clock of the server; `clock.seconds()` is the time.
        self.clock = clock or MemoryReactor()
        self._ends: list[End] = []
        #: The server under test.
        self.server = self._makeServer(serves, options)
        if not self.server.hasListeners:
            self.server.listen(f"tcp:{PORT}")
        self.start()

    def _makeServer(self, serves: Any, options: dict[str, Any]) -> Server:
        if callable(serves):
            if options:
                raise TypeError("options can't be given to a server that is made already")
            made: Server = serves(self.clock)
            return made
        server = Server(ServerOptions(**options), clock=self.clock)
        if isinstance(serves, Mapping):
            for path, application in serves.items():
                server.addApplication(application, path=path)
        elif serves is not None:
            server.addApplication(serves)
        return server

    # -- the server

    def start(self) -> None:
        """Start the server; again, after it was stopped. A harness that is made is started."""
        self.server.privilegedStartService()
        self.server.startService()
        self.flush()

    def stop(self) -> None:
        """
        Stop the server, let as much time pass as that takes, hang up what is left of the clients, `check`.

        Meant for `addCleanup`; a harness is also a context manager that ends with this.
        """
        if self.server.running:
            stopped: list[object] = []
            stopping: Deferred[None] = self.server.stopService()
            stopping.addBoth(stopped.append)
            limit = self.clock.seconds() + self.server.options.shutdownTimeout + 2.0
            while not stopped and self.clock.seconds() < limit:
                self.advance(0.05)
            if not stopped:
                raise AssertionError("the server doesn't stop")
            if isinstance(stopped[0], Failure):
                stopped[0].raiseException()
        for end in self._ends:
            end.drop()
        # What is refused or cancelled now may take the time of one more deadline.
        self.advance(3.0)
        self.check()

    def check(self) -> None:
        """Raise `AssertionError` if a connection, a port or a `DelayedCall` is left; after `stop`."""
        left = [
            *(f"connection {connection!r}" for connection in self.server.connections),
            *(f"transport {transport!r}" for transport in self.clock.readers | self.clock.writers),
            *(f"port {port.getHost()}" for port in self.clock.ports),
            *(f"delayed call {call}" for call in self.clock.getDelayedCalls()),
        ]
        if left:
            raise AssertionError("left over: " + "; ".join(left))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            self.stop()

    # -- time

    def flush(self) -> None:
        """Let everything happen that needs no time."""
        self.clock.flush()

    def advance(self, seconds: float) -> None:
        """Let time pass; every delayed call runs at its own time."""
        self.clock.advance(seconds)

    # -- clients

    def connect(
        self,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        protocols: Iterable[str] = (),
        *,
        peer: str = "203.0.113.9",
        host: str = "localhost",
        origin: str | None = None,
        tls: bool = False,
        compression: bool = False,
        to: IProtocolFactory | None = None,
    ) -> Client:
        """
        A WebSocket client that has asked for `path`, and had its answer if no hook keeps it waiting.

        `peer` is its address ("" comes over a UNIX socket), `host` the name in its Host header,
        `compression` offers permessage-deflate (other offers go into `headers`), `tls` speaks TLS. `to`
        is what it connects to in place of the server's first port, say a `Site`.
        """
        client = Client(self.clock)
        name, _, port = host.partition(":")
        request = ConnectingRequest(
            host=name,
            port=int(port or PORT),
            resource=path,
            headers=dict(headers or {}),
            origin=origin,
            protocols=list(protocols),
        )
        offers = [PerMessageDeflateOffer()] if compression else []
        factory = clientFactory(self.clock, lambda: ClientProtocol(client, request), request, offers)
        self._connect(client, factory, peer, tls, to)
        return client

    def raw(
        self,
        data: bytes = b"",
        *,
        peer: str = "203.0.113.9",
        tls: bool = False,
        to: IProtocolFactory | None = None,
    ) -> RawClient:
        """A client without a protocol of its own, that has sent `data`; the rest as for `connect`."""
        client = RawClient(self.clock)
        self._connect(client, Factory.forProtocol(lambda: RawProtocol(client)), peer, tls, to)
        if data:
            client.send(data)
        return client

    def connectionOf(self, client: Client) -> Connection:
        """The server's side of a client that is open."""
        key = client.protocol.websocket_key.decode()
        for connection in self.server.connections:
            if connection.handshake.headers.get("sec-websocket-key") == key:
                return connection
        raise LookupError("the client has no open connection")

    def _connect(self, end: Any, factory: Any, peer: str, tls: bool, to: IProtocolFactory | None) -> None:
        host: IAddress = IPv4Address("TCP", "192.0.2.1", PORT)
        if to is None:
            if not self.clock.ports:
                raise ConnectionRefusedError("nobody listens")
            to, host = self.clock.ports[0].factory, self.clock.ports[0].getHost()
        if tls:
            to = TLSMemoryBIOFactory(serverContext(), False, to, self.clock)
            factory = TLSMemoryBIOFactory(clientContext(), True, factory, self.clock)
        end._socket = self.clock.connect(to, factory, host, _address(peer, 49152 + len(self._ends)))
        self._ends.append(end)
        self.flush()


def _address(peer: str, port: int) -> IAddress:
    if not peer:
        return UNIXAddress(None)
    if ":" in peer:
        return IPv6Address("TCP", peer, port)
    return IPv4Address("TCP", peer, port)


@cache
def serverContext() -> Any:
    """A certificate for "localhost" that nobody vouches for, made once."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from OpenSSL.crypto import X509, PKey
    from twisted.internet.ssl import CertificateOptions

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    options = CertificateOptions(PKey.from_cryptography_key(key), X509.from_cryptography(certificate))
    with catch_warnings():
        # Twisted takes them in this form, pyOpenSSL would rather have the other.
        simplefilter("ignore", DeprecationWarning)
        options.getContext()
    return options


@cache
def clientContext() -> Any:
    from twisted.internet.ssl import CertificateOptions

    return CertificateOptions()
