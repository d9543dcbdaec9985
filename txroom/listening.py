"""
Where a server listens: its endpoints, their ports, and the certificates of those with TLS.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred, DeferredList, fail, maybeDeferred
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP6ServerEndpoint,
    serverFromString,
)
from twisted.internet.interfaces import (
    IListeningPort,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.protocols._sni import SNIConnectionCreator, TLSServerEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from .wire.proxied import wrapPatiently

#: Endpoint descriptions that may say how many connections the kernel queues; Twisted's own default is 50.
_TAKES_BACKLOG = re.compile(r"(haproxy:)*(tcp|tcp6|ssl|tls|unix):")

#: What Twisted says of a description, and how it is put to somebody who has not read Twisted.
_READABLE = (
    (re.compile(r"invalid literal for int\(\) with base 10: (.*)"), r"\1 is not a number"),
    (re.compile(r".*missing \d+ required positional arguments?: '(.*)'"), r"\1 is missing"),
    (re.compile(r".*unexpected keyword argument '(.*)'"), r"there is no argument \1"),
    (re.compile(r".*multiple values for argument '(.*)'"), r"argument \1 is given twice"),
    (re.compile(r".*takes .* positional arguments? but .*"), "too many arguments"),
)

Where = str | int | IStreamServerEndpoint


def endpointFrom(reactor: Any, description: str, more: str = "") -> IStreamServerEndpoint:
    """The endpoint of a description and `more`; what is wrong with that is a `ValueError` that names it."""
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description + more)
    except (TypeError, ValueError) as error:
        why = str(error)
        for pattern, replacement in _READABLE:
            why = pattern.sub(replacement, why)
        raise ValueError(f"{description}: {why}") from None
    return endpoint


class Listener:
    """One endpoint, and who waits for it to listen."""

    _log = Logger()

    def __init__(self, endpoint: IStreamServerEndpoint, reload: Callable[[], None] | None) -> None:
        self.endpoint = endpoint
        #: Reads the certificates again; `None` for an endpoint without TLS of its own.
        self.reload = reload
        self._waiting: Deferred[IListeningPort] | None = Deferred()
        #: Fires with the port at the first start.
        self.started: Deferred[IListeningPort] = self._waiting

    def listen(self, factory: IProtocolFactory, onPort: Callable[[IListeningPort], None]) -> None:
        """Listen. Raises what the endpoint fails with at once; a later failure is logged."""
        problems: list[Failure] = []
        isStarting = True

        def listening(port: IListeningPort) -> None:
            onPort(port)
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                waiting.callback(port)

        def failed(failure: Failure) -> None:
            if isStarting:
                problems.append(failure)
            else:
                self._log.failure("can't listen on {endpoint}", failure, endpoint=self.endpoint)
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                waiting.addErrback(lambda _: None)  # it is raised, or logged, here
                waiting.errback(failure)

        maybeDeferred(self.endpoint.listen, factory).addCallbacks(listening, failed)
        isStarting = False
        if problems:
            problems[0].raiseException()


class Listeners:
    """All endpoints of a server."""

    def __init__(self, reactor: Any, factory: IProtocolFactory, backlog: int) -> None:
        self._reactor = reactor
        self._factory = factory
        #: Of the listeners that are given by number.
        self.backlog = backlog
        self._listeners: list[Listener] = []
        self._isOpen = False
        #: The ports that listen.
        self.ports: list[IListeningPort] = []
        #: Told of each port.
        self.onPort: Callable[[IListeningPort], None] = lambda port: None

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, where: Where) -> Deferred[IListeningPort]:
        """One more endpoint; it listens at once if the others do."""
        listener = self._listener(where)
        if self._isOpen:
            try:
                listener.listen(self._factory, self._opened)
            except Exception:
                return fail()
        self._listeners.append(listener)
        return listener.started

    def open(self) -> None:
        """Listen on all, or raise and listen on none."""
        if self._isOpen:
            return
        self._isOpen = True
        try:
            for listener in self._listeners:
                listener.listen(self._factory, self._opened)
        except Exception:
            self.close()
            raise

    def close(self) -> Deferred[Any]:
        """Listen no more."""
        self._isOpen = False
        ports, self.ports = self.ports, []
        return DeferredList([maybeDeferred(port.stopListening) for port in ports])

    def reload(self) -> None:
        """
        Read the certificates again, for new connections.

        Those that can't be read stay as they are; the first error is raised when all have been tried.
        """
        problems: list[Exception] = []
        for listener in self._listeners:
            if listener.reload is not None:
                try:
                    listener.reload()
                except Exception as error:
                    problems.append(error)
        if problems:
            raise problems[0]

    def _opened(self, port: IListeningPort) -> None:
        if not self._isOpen:  # an endpoint that took its time
            maybeDeferred(port.stopListening)
            return
        self.ports.append(port)
        self.onPort(port)

    def _listener(self, where: Where) -> Listener:
        if isinstance(where, int):
            return Listener(PortEndpoint(self, self._reactor, where), None)
        if not isinstance(where, str):
            return Listener(where, None)
        takesBacklog = _TAKES_BACKLOG.match(where) and "backlog=" not in where
        backlog = f":backlog={self.backlog}" if takesBacklog else ""
        endpoint = endpointFrom(self._reactor, where, backlog)
        wrapPatiently(endpoint)
        return Listener(endpoint, _reloadable(endpoint, self._reactor, where + backlog))


@implementer(IStreamServerEndpoint)
class PortEndpoint:
    """A TCP port on IPv4 and IPv6; the backlog is that of the listeners when it is opened."""

    def __init__(self, listeners: Listeners, reactor: Any, port: int) -> None:
        self._listeners = listeners
        self._reactor = reactor
        self._port = port

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        endpoint = TCP6ServerEndpoint(self._reactor, self._port, self._listeners.backlog)
        listening: Deferred[IListeningPort] = endpoint.listen(factory)
        return listening


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """Where a TLS listener takes its connections from; can be read again while it listens."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read
        self._current = read()

    def reload(self) -> None:
        """Read again; if that raises, what was read before stays in force."""
        self._current = self._read()

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        creator = self._current
        if hasattr(creator, "serverConnectionForTLS"):
            connection: SSL.Connection = creator.serverConnectionForTLS(protocol)
            return connection
        return SSL.Connection(creator.getContext(), None)


def _reloadable(endpoint: Any, reactor: Any, description: str) -> Callable[[], None] | None:
    """Put `Certificates` into a TLS endpoint; how to read them again."""
    place = _tlsPlace(endpoint)
    if place is None:
        return None

    def read() -> Any:
        fresh = _tlsPlace(serverFromString(reactor, description))
        assert fresh is not None
        creator = getattr(*fresh)
        _contextOf(creator).set_options(SSL.OP_NO_RENEGOTIATION)  # not possible once it is in use
        return creator

    certificates = Certificates(read)
    setattr(*place, certificates)
    return certificates.reload


def _contextOf(creator: Any) -> SSL.Context:
    """The context that connections begin with; making it is what finds a key that doesn't fit."""
    if not isinstance(creator, SNIConnectionCreator):
        context: SSL.Context = creator.getContext()
        return context
    if creator._contextLookup(None) is None:
        raise ValueError("no certificate for a domain, with its key, is there")
    return creator.defaultContext


def _tlsPlace(endpoint: Any) -> tuple[Any, str] | None:
    """Where an endpoint, or the one it wraps, keeps its source of TLS connections."""
    while hasattr(endpoint, "_wrappedEndpoint"):  # haproxy:
        endpoint = endpoint._wrappedEndpoint
    if isinstance(endpoint, SSL4ServerEndpoint):
        return endpoint, "_sslContextFactory"
    if isinstance(endpoint, TLSServerEndpoint):
        return endpoint, "connectionCreator"
    return None
