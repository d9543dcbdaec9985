"""
What twisted.internet and twisted.protocols keep to themselves, though txroom needs it.

Each function says what is asked of Twisted. Names that begin with an underscore, and modules whose names do,
are used here and nowhere else, so that one place is to be looked at when a release of Twisted changes them.
The modules `http.twistedweb` and `process.twistedlogger` do the same for twisted.web and twisted.logger.

Two modules are exceptions. `wire.sendbuffer` asks a transport's buffer with every message, and
`process.leanepoll` is a reactor's loop, which runs with every read: a function here would cost both of them
one more call each time. tests/test_twisted.py names all five modules, and the names that they use.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from twisted.internet import tcp
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
from twisted.logger import ILogObserver, Logger
from twisted.protocols._sni import TLSServerEndpoint
from twisted.protocols.haproxy._info import ProxyInfo
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper, HAProxyWrappingFactory
from twisted.python.systemd import ListenFDs

__all__ = [
    "PROXY_V1_END",
    "PROXY_V1_START",
    "PROXY_V2_START",
    "Binding",
    "HAProxyProtocolWrapper",
    "HAProxyWrappingFactory",
    "acceptProxyHeader",
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
    """Let the next `cancel` of a Deferred fail it without its canceller, and let it drop a later result."""
    waited._canceller = None


# -- ports that listen


def observeAccepting(port: tcp.Port, observer: ILogObserver) -> None:
    """Tell `observer`, in place of the log, what a TCP port has to say when it can't accept."""
    port._logger = Logger(namespace=port._logger.namespace, observer=observer)


def reserveDescriptor() -> None:
    """Open the spare descriptor that Twisted gives up to close whoever comes when no other is left."""
    if not tcp._reservedFD.available():
        tcp._reservedFD.reserve()


# -- endpoints


class Binding(NamedTuple):
    """What a TCP endpoint binds."""

    port: int
    backlog: int
    interface: str


def argumentsOf(description: str) -> tuple[list[str], dict[str, str]]:
    """The fields of an endpoint's description: those by position, the kind first, and those by name."""
    given, named = _parse(description)
    return given, named


def belowProxy(endpoint: object) -> Any:
    """The inner endpoint of a "haproxy:" endpoint; `None` if it is another kind."""
    if isinstance(endpoint, _WrapperServerEndpoint) and endpoint._wrapperFactory is HAProxyWrappingFactory:
        return endpoint._wrappedEndpoint
    return None


def belowTLS(reactor: Any, endpoint: object) -> tuple[Any, Any]:
    """
    The inner endpoint of a "tls:" or an "ssl:" endpoint, and what it takes TLS connections from.

    Of an endpoint without TLS it is the endpoint itself, and `None`.
    """
    if type(endpoint) is SSL4ServerEndpoint:
        return TCP4ServerEndpoint(reactor, *bindingOf(endpoint)), endpoint._sslContextFactory
    if type(endpoint) is TLSServerEndpoint:
        return endpoint.endpoint, endpoint.connectionCreator
    return endpoint, None


def bindingOf(endpoint: TCP6ServerEndpoint | SSL4ServerEndpoint) -> Binding:
    """The port, the backlog and the interface of an endpoint."""
    return Binding(endpoint._port, endpoint._backlog, endpoint._interface)


def isUsed(endpoint: AdoptedStreamServerEndpoint) -> bool:
    """Whether an endpoint of a socket that was handed down has listened, and closed it thereby."""
    return bool(endpoint._used)


def lockedPath(endpoint: UNIXServerEndpoint) -> str | None:
    """The path of a UNIX socket that Twisted keeps a lock beside; `None` if it shall keep none."""
    return os.fspath(endpoint._address) if endpoint._wantPID else None


def socketsHandedDown() -> ListenFDs:
    """
    The sockets that Twisted found in the environment of this process, as systemd hands them down.

    It looked when its endpoints were imported, and removed the variables.
    """
    return _SystemdParser._sddaemon


# -- the PROXY protocol

#: How a line of version 1 begins and ends, and how a header of version 2 begins.
PROXY_V1_START, PROXY_V1_END, PROXY_V2_START = V1Parser.PROXYSTR, V1Parser.NEWLINE, V2Parser.PREFIX


def acceptProxyHeader(connection: HAProxyProtocolWrapper, header: bytes) -> None:
    """Take a header without addresses for the connection's: what comes next is for the protocol above."""
    connection._proxyInfo = ProxyInfo(header, None, None)


def hasProxyInfo(connection: HAProxyProtocolWrapper) -> bool:
    """Whether the header of a connection has come."""
    return connection._proxyInfo is not None
