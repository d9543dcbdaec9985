"""
The listeners of a server: its endpoints and their ports.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, DeferredList, fail, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure

from ..core.interfaces import ServerEndpoint
from ..core.origin import isLoopback
from ..core.twistedinternet import HAProxyWrappingFactory
from .endpoints import LayeredEndpoint, PortEndpoint, endpointFrom, layeredFrom

#: Descriptions of endpoints that take a backlog. Twisted's own default is 50.
_TAKES_BACKLOG = re.compile(r"(haproxy:)*(tcp|tcp6|ssl|tls|unix):")

ListenTarget = str | int | IStreamServerEndpoint | ServerEndpoint


class Listener:
    """
    One endpoint, and the Deferred of its port.

    Args:
        endpoint: The endpoint.
        reload: Reloads the certificates; `None` for an endpoint without TLS of its own.
    """

    _log = Logger()

    def __init__(self, endpoint: IStreamServerEndpoint, reload: Callable[[], None] | None) -> None:
        self.endpoint = endpoint
        #: Reloads the certificates; `None` for an endpoint without TLS of its own.
        self.reload = reload
        self._waiting: Deferred[IListeningPort] | None = Deferred()
        #: Fires with the port at the first start.
        self.started: Deferred[IListeningPort] = self._waiting

    def listen(self, factory: IProtocolFactory, onPort: Callable[[IListeningPort], None]) -> None:
        """Listen. An immediate failure of the endpoint is raised; a later one is logged."""
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
                self._log.failure("could not listen on {endpoint}", failure, endpoint=self.endpoint)
            self.failed(failure)

        maybeDeferred(self.endpoint.listen, factory).addCallbacks(listening, failed)
        isStarting = False
        if problems:
            problems[0].raiseException()

    def failed(self, failure: Failure) -> None:
        """Fail the Deferred of the port: the server can't listen. The failure is raised or logged too."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.addErrback(lambda _: None)
            waiting.errback(failure)


class Listeners:
    """
    All listeners of a server.

    Args:
        reactor: The reactor.
        factory: The factory for the protocols of all connections.
        backlog: The option `backlog`.
    """

    _log = Logger()

    def __init__(self, reactor: Any, factory: IProtocolFactory, backlog: int) -> None:
        self._reactor = reactor
        self._factory = factory
        #: The backlog of ports that are given by number, and of descriptions that do not give one.
        self.backlog = backlog
        self._listeners: list[Listener] = []
        #: Whether the listeners listen, or have begun to.
        self.isOpen = False
        #: The ports that listen.
        self.ports: list[IListeningPort] = []
        #: Whether at least one port listens, and all of them only for clients on the same machine: on
        #: loopback addresses, without the PROXY protocol. UNIX sockets are not considered.
        self.isLocal = False
        #: Called with each port that begins to listen.
        self.onPort: Callable[[IListeningPort], None] = lambda port: None

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, where: ListenTarget) -> Deferred[IListeningPort]:
        """
        Add an endpoint. It listens at once if the others do.

        Returns:
            A Deferred that fires with the port.
        """
        listener = self._listener(where)
        if self.isOpen:
            try:
                listener.listen(self._factory, self._opened)
            except Exception:
                return fail()
        self._listeners.append(listener)
        return listener.started

    def open(self) -> None:
        """Listen on all endpoints. If one fails, raise its exception and listen on none."""
        if self.isOpen:
            return
        self.isOpen = True
        try:
            for listener in self._listeners:
                self.openOne(listener)
        except Exception:
            self.close()
            raise

    def openOne(self, listener: Listener) -> None:
        """Listen on one endpoint. A failure is raised."""
        listener.listen(self._factory, self._opened)

    def failed(self, failure: Failure) -> None:
        """Fail the Deferreds of all ports, because the server can't start."""
        for listener in self._listeners:
            listener.failed(failure)

    def close(self) -> Deferred[Any]:
        """Stop listening."""
        self.isOpen = False
        self.isLocal = False
        ports, self.ports = self.ports, []
        return DeferredList([maybeDeferred(port.stopListening).addErrback(self._notClosed) for port in ports])

    def pause(self) -> None:
        """Accept no connections for now. Other processes may accept those of the same sockets."""
        for port in self.ports:
            if isinstance(port, FileDescriptor):
                port.stopReading()

    def resume(self) -> None:
        """Accept connections again."""
        for port in self.ports:
            if isinstance(port, FileDescriptor):
                port.startReading()

    def _notClosed(self, failure: Failure) -> None:
        """
        Log that a port could not be closed.

        An `OSError` is only a warning: it is not a bug if the file of a UNIX socket may not be removed.
        """
        if failure.check(OSError):
            self._log.warn("a listener could not be closed: {why}", why=str(failure.value))
        else:
            self._log.failure("a listener could not be closed", failure)

    def reload(self) -> bool:
        """
        Reload the certificates, for new connections.

        Certificates that cannot be read stay in force. The first error is raised after all were tried.

        Returns:
            Whether there are any certificates to reload.
        """
        problems: list[Exception] = []
        isReloaded = False
        for listener in self._listeners:
            if listener.reload is not None:
                isReloaded = True
                try:
                    listener.reload()
                except Exception as error:
                    problems.append(error)
        if problems:
            raise problems[0]
        return isReloaded

    def _opened(self, port: IListeningPort) -> None:
        if not self.isOpen:  # the endpoint was slow, and the server has stopped meanwhile
            maybeDeferred(port.stopListening)
            return
        self.ports.append(port)
        internet = [each for each in self.ports if not isinstance(each.getHost(), UNIXAddress)]
        self.isLocal = bool(internet) and all(map(_isLocal, internet))
        self.onPort(port)

    def _listener(self, where: ListenTarget) -> Listener:
        endpoint = self._endpoint(where)
        return Listener(endpoint, endpoint.reload)

    def _endpoint(self, where: ListenTarget) -> LayeredEndpoint:
        if isinstance(where, int):
            port = PortEndpoint(self._reactor, where, lambda: self.backlog)
            return LayeredEndpoint(self._reactor, port)
        if isinstance(where, LayeredEndpoint):
            return where
        if not isinstance(where, str):
            return layeredFrom(self._reactor, where)
        takesBacklog = _TAKES_BACKLOG.match(where) and "backlog=" not in where
        return endpointFrom(self._reactor, where, f":backlog={self.backlog}" if takesBacklog else "")


def _isLocal(port: IListeningPort) -> bool:
    factory = getattr(port, "factory", None)
    while isinstance(factory, WrappingFactory):
        if isinstance(factory, HAProxyWrappingFactory):
            return False
        factory = factory.wrappedFactory
    return isLoopback(getattr(port.getHost(), "host", ""))
