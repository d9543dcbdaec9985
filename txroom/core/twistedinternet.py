"""
Private names of twisted.internet and twisted.protocols that txroom needs.

Names that begin with an underscore, and modules whose names do, are used only here, so that this is the one
place to check when a release of Twisted changes them. The modules `http.twistedweb` and
`process.twistedlogger` do the same for twisted.web and twisted.logger.

Two modules are exceptions, because a function here would cost one more call each time: `wire.sendbuffer`
looks at a transport's buffer for every message, and `process.leanepoll` is the loop of a reactor, which runs
for every read. tests/test_twisted.py lists all five modules and the names that they use.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    SSL4ServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
    _parse,
    _SystemdParser,
    _WrapperServerEndpoint,
)
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import ILogObserver, Logger
from twisted.protocols._sni import TLSServerEndpoint
from twisted.protocols.haproxy._info import ProxyInfo
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper, HAProxyWrappingFactory
from twisted.python.failure import Failure
from twisted.python.systemd import ListenFDs

__all__ = [
    "PROXY_V1_END",
    "PROXY_V1_START",
    "PROXY_V2_START",
    "Binding",
    "HAProxyProtocolWrapper",
    "HAProxyWrappingFactory",
    "acceptProxyHeader",
    "adoptUNIXPort",
    "argumentsOf",
    "belowProxy",
    "belowTLS",
    "bindingOf",
    "dropCanceller",
    "hasProxyInfo",
    "isUsed",
    "lockedPath",
    "observeAccepting",
    "reserveDescriptor",
    "socketsHandedDown",
]


# -- Deferreds


def dropCanceller(waited: Deferred[Any]) -> None:
    """Remove the canceller of a Deferred, so that `cancel` makes it fail, and it drops a later result."""
    waited._canceller = None


# -- ports that listen


def observeAccepting(port: tcp.Port, observer: ILogObserver) -> None:
    """Send the log events of a TCP port to `observer` instead of the log."""
    port._logger = Logger(namespace=port._logger.namespace, observer=observer)


def reserveDescriptor() -> None:
    """
    Restore the spare descriptor, which Twisted uses to accept and close a connection when no other is left.
    """
    if not tcp._reservedFD.available():
        tcp._reservedFD.reserve()


class InheritedUNIXPort(unix.Port):
    """
    A listening UNIX socket that another process has opened, and that others may have too.

    Twisted's own port would give the socket's file another mode, and at its end remove the file and shut the
    socket down in all processes.
    """

    _shouldShutdown = False
    factory: Any
    fileno: Any

    def startListening(self) -> None:
        """Accept connections."""
        opened: Any = self._preexistingSocket
        self._preexistingSocket = None
        self.factory.doStart()
        self.socket = opened
        self.fileno = opened.fileno
        self.connected = True
        self.numberAccepts = 100
        self.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """Close this process's descriptor."""
        tcp.Port.connectionLost(self, reason)


def adoptUNIXPort(reactor: Any, descriptor: int, factory: IProtocolFactory) -> IListeningPort:
    """Listen on a copy of the descriptor of a UNIX socket, which must not block."""
    port = InheritedUNIXPort._fromListeningDescriptor(reactor, descriptor, factory)
    port.startListening()
    listening: IListeningPort = port
    return listening


# -- endpoints


class Binding(NamedTuple):
    """What a TCP endpoint binds to."""

    port: int
    backlog: int
    interface: str


def argumentsOf(description: str) -> tuple[list[str], dict[str, str]]:
    """Return the positional fields of an endpoint's description, the kind first, and the named ones."""
    given, named = _parse(description)
    return given, named


def belowProxy(endpoint: object) -> Any:
    """Return the inner endpoint of a "haproxy:" endpoint; `None` for another endpoint."""
    if isinstance(endpoint, _WrapperServerEndpoint) and endpoint._wrapperFactory is HAProxyWrappingFactory:
        return endpoint._wrappedEndpoint
    return None


def belowTLS(reactor: Any, endpoint: object) -> tuple[Any, Any]:
    """
    Return the inner endpoint of a "tls:" or "ssl:" endpoint, and the object that makes its TLS connections.

    That object is a connection creator or a context factory. For an endpoint without TLS, return the endpoint
    itself and `None`.
    """
    if type(endpoint) is SSL4ServerEndpoint:
        return TCP4ServerEndpoint(reactor, *bindingOf(endpoint)), endpoint._sslContextFactory
    if type(endpoint) is TLSServerEndpoint:
        return endpoint.endpoint, endpoint.connectionCreator
    return endpoint, None


def bindingOf(endpoint: TCP6ServerEndpoint | SSL4ServerEndpoint) -> Binding:
    """Return the port, backlog and interface of an endpoint."""
    return Binding(endpoint._port, endpoint._backlog, endpoint._interface)


def isUsed(endpoint: AdoptedStreamServerEndpoint) -> bool:
    """Return whether the endpoint of an inherited socket has listened, and has thereby closed the socket."""
    return bool(endpoint._used)


def lockedPath(endpoint: UNIXServerEndpoint) -> str | None:
    """Return the path of a UNIX socket for which Twisted keeps a lock file; `None` if it keeps none."""
    return os.fspath(endpoint._address) if endpoint._wantPID else None


def socketsHandedDown() -> ListenFDs:
    """
    Return the inherited sockets that Twisted found in the environment, where systemd describes them.

    Twisted looks there when its endpoints are imported, and removes the variables.
    """
    return _SystemdParser._sddaemon


# -- the PROXY protocol

#: How a header of version 1 begins and ends, and how one of version 2 begins.
PROXY_V1_START, PROXY_V1_END, PROXY_V2_START = V1Parser.PROXYSTR, V1Parser.NEWLINE, V2Parser.PREFIX


def acceptProxyHeader(connection: HAProxyProtocolWrapper, header: bytes) -> None:
    """Accept a PROXY header without addresses. What follows it goes to the protocol above."""
    connection._proxyInfo = ProxyInfo(header, None, None)


def hasProxyInfo(connection: HAProxyProtocolWrapper) -> bool:
    """Return whether a connection's PROXY header has been received."""
    return connection._proxyInfo is not None
