"""
The endpoints behind `Server.listen`: made from a port, a description or an endpoint of the user's.

An endpoint that Twisted makes from a description is taken apart and put together again, so that a PROXY
header comes before TLS, certificates can be reloaded, a port falls back to IPv4 if there is no IPv6, and a
socket can be listened on again after a stop.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
    serverFromString,
)
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from ..core.origin import isLoopback
from ..core.twistedinternet import argumentsOf, belowProxy, belowTLS, bindingOf, isUsed
from ..http.proxyprotocol import ProxiedFactory
from .socketactivation import InheritedEndpoint, familyOf, inheritedSocket, socketsOfProcess
from .tls import Certificates, certificatesIn
from .unixsocket import UNIXSocketEndpoint

_PROXIED = "haproxy:"
_INHERITED = "systemd:"

#: The kinds of endpoints that are ports, and those of them with TLS.
_TCP, _TLS = frozenset({"tcp", "tcp6"}), frozenset({"ssl", "tls"})

#: Twisted's messages about a wrong description, and clearer ones.
_READABLE = (
    (re.compile(r"invalid literal for int\(\) with base 10: (.*)"), r"\1 is not a number"),
    (re.compile(r".*missing \d+ required positional arguments?: '(.*)'"), r"\1 is missing"),
    (re.compile(r".*unexpected keyword argument '([^']*)'.*"), r"unknown argument \1"),
    (re.compile(r".*multiple values for argument '(.*)'"), r"argument \1 is given twice"),
    (re.compile(r".*takes .* positional arguments? but .*"), "too many arguments"),
)

#: The errors of a kernel that has no IPv6.
_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL, errno.EINVAL})
ANY_IPV4, ANY_IPV6 = "0.0.0.0", "::"


@implementer(IStreamServerEndpoint)
class LayeredEndpoint:
    """
    A listening socket with optional layers above it: a PROXY header, then TLS.

    Args:
        reactor: The reactor.
        bottom: The endpoint of the socket.
        creator: The `IOpenSSLServerConnectionCreator` for TLS, if any.
        isProxied: Whether connections begin with a PROXY header.
    """

    def __init__(self, reactor: Any, bottom: Any, creator: Any = None, isProxied: bool = False) -> None:
        self._reactor = reactor
        self._bottom = bottom
        self._creator = creator
        self._isProxied = isProxied

    @property
    def reload(self) -> Callable[[], None] | None:
        """A function that reloads the certificates, or `None` if there are none that can be reloaded."""
        return self._creator.reload if isinstance(self._creator, Certificates) else None

    def onSocket(self, descriptor: int) -> LayeredEndpoint:
        """Return an endpoint with these layers above a listening socket that is open already."""
        socket = InheritedEndpoint(self._reactor, descriptor, familyOf(descriptor))
        return LayeredEndpoint(self._reactor, socket, self._creator, self._isProxied)

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """Listen, and put these layers below the protocols of the factory."""
        if self._creator is not None:
            protocolFactory = TLSMemoryBIOFactory(self._creator, False, protocolFactory, self._reactor)
        if self._isProxied:
            protocolFactory = ProxiedFactory(protocolFactory)
        listening: Deferred[IListeningPort] = self._bottom.listen(protocolFactory)
        return listening


@implementer(IStreamServerEndpoint)
class PortEndpoint:
    """A TCP port on IPv4 and IPv6, or on IPv4 alone if the kernel has no IPv6."""

    def __init__(self, reactor: Any, port: int, backlog: Callable[[], int]) -> None:
        self._reactor = reactor
        self._port = port
        #: Returns the backlog; called each time that the port is opened.
        self._backlog = backlog

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen. Fails as Twisted's endpoints do."""
        listening: Deferred[IListeningPort] = TCP6ServerEndpoint(
            self._reactor, self._port, self._backlog(), ANY_IPV6
        ).listen(protocolFactory)
        return listening.addErrback(self._withoutIPv6, protocolFactory)

    def _withoutIPv6(self, failure: Failure, factory: IProtocolFactory) -> Any:
        if not _saysNoIPv6(failure.value):
            return failure
        return TCP4ServerEndpoint(self._reactor, self._port, self._backlog(), ANY_IPV4).listen(factory)


def _saysNoIPv6(error: BaseException | None) -> bool:
    if isinstance(error, CannotListenError):
        error = error.socketError
    return isinstance(error, socket.gaierror) or (isinstance(error, OSError) and error.errno in _NO_IPV6)


def inheritedEndpoint(reactor: Any, where: int | str, descriptor: int) -> LayeredEndpoint:
    """
    Return the endpoint of a port or a description whose socket another process has opened.

    Args:
        reactor: The reactor.
        where: The port or the description.
        descriptor: The descriptor of the socket in this process.

    Raises:
        ValueError: The description is wrong, or its certificates can't be read.
    """
    if isinstance(where, int) or where.rpartition(_PROXIED)[2].startswith(_INHERITED):
        isProxied = isinstance(where, str) and where.startswith(_PROXIED)
        return LayeredEndpoint(reactor, None, isProxied=isProxied).onSocket(descriptor)
    return endpointFrom(reactor, where).onSocket(descriptor)


def isOnLoopback(description: str) -> bool:
    """
    Return whether only programs on this machine can reach the endpoint of a description: a UNIX socket, or a
    port of a loopback address.
    """
    (kind, *given), named = argumentsOf(description.rpartition(_PROXIED)[2])
    if kind == "unix":
        return True
    interface = given[1] if kind in _TCP and len(given) > 1 else ""
    return kind in _TCP | _TLS and isLoopback(named.get("interface", interface))


def endpointFrom(reactor: Any, description: str, more: str = "") -> LayeredEndpoint:
    """
    Return the endpoint of a description.

    Args:
        reactor: The reactor.
        description: A description, as for Twisted's `serverFromString`.
        more: Arguments to add to the description.

    Raises:
        ValueError: The description is wrong. The text names it and says why.
    """
    inner = description
    while inner.startswith(_PROXIED):
        inner = inner.removeprefix(_PROXIED)
    try:
        return _layered(reactor, inner + more, isProxied=inner != description)
    except (TypeError, ValueError) as error:
        why = str(error)
        for pattern, replacement in _READABLE:
            why = pattern.sub(replacement, why)
        raise ValueError(f"{description}: {why}") from None


def _layered(reactor: Any, description: str, isProxied: bool) -> LayeredEndpoint:
    kind = description.partition(":")[0]
    if kind in _OWN:
        given, named = argumentsOf(description)
        return LayeredEndpoint(reactor, *_OWN[kind](reactor, *given[1:], **named), isProxied)
    bottom, creator = _splitTLS(reactor, serverFromString(reactor, description))
    if creator is not None:
        creator = Certificates(lambda: _splitTLS(reactor, serverFromString(reactor, description))[1])
    return LayeredEndpoint(reactor, bottom, creator, isProxied)


def _tls(
    reactor: Any, path: str, port: str = "443", backlog: str = "50", interface: str = ANY_IPV6
) -> tuple[Any, Certificates]:
    """
    Make the endpoint of a "tls:" description. The arguments are Twisted's; the certificates are found by
    txroom.
    """
    if not path:
        raise ValueError("the directory of the certificates is missing")
    bottom = TCP6ServerEndpoint(reactor, int(port), int(backlog), interface)
    return _improved(reactor, bottom), Certificates(lambda: certificatesIn(path))


def _systemd(
    reactor: Any, domain: str, index: str | None = None, name: str | None = None
) -> tuple[Any, None]:
    """Make the endpoint of a "systemd:" description. The arguments are Twisted's."""
    return inheritedSocket(reactor, socketsOfProcess(), domain, index, name), None


#: The kinds of descriptions that txroom handles itself. Each function returns the endpoint of the socket and
#: the `IOpenSSLServerConnectionCreator` for TLS, or `None`.
_OWN: dict[str, Callable[..., tuple[Any, Any]]] = {"tls": _tls, "systemd": _systemd}


def layeredFrom(reactor: Any, endpoint: Any) -> LayeredEndpoint:
    """Put the layers of a user's endpoint in the usual order. Its certificates cannot be reloaded."""
    inner = belowProxy(endpoint)
    if inner is not None:
        return LayeredEndpoint(reactor, *_splitTLS(reactor, inner), isProxied=True)
    return LayeredEndpoint(reactor, *_splitTLS(reactor, endpoint))


def _splitTLS(reactor: Any, endpoint: Any) -> tuple[Any, Any]:
    """
    Split an endpoint of Twisted's into the endpoint of its socket and the object that makes its TLS
    connections.
    """
    bottom, creator = belowTLS(reactor, endpoint)
    return _improved(reactor, bottom), creator


def _improved(reactor: Any, endpoint: Any) -> Any:
    """Return txroom's own endpoint in place of an endpoint of Twisted's that does less."""
    if type(endpoint) is AdoptedStreamServerEndpoint and not isUsed(endpoint):
        return InheritedEndpoint.of(endpoint)
    if type(endpoint) is UNIXServerEndpoint:
        return UNIXSocketEndpoint(endpoint)
    if type(endpoint) is TCP6ServerEndpoint:
        port, backlog, interface = bindingOf(endpoint)
        if interface == ANY_IPV6:
            return PortEndpoint(reactor, port, lambda: backlog)
    return endpoint
