"""
Where a server listens: its endpoints, and their ports.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

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

#: Endpoint descriptions that may say how many connections the kernel queues; Twisted's own default is 50.
_TAKES_BACKLOG = re.compile(r"(haproxy:)*(tcp|tcp6|ssl|tls|unix):")

ListenTarget = str | int | IStreamServerEndpoint | ServerEndpoint


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

    _log = Logger()

    def __init__(self, reactor: Any, factory: IProtocolFactory, backlog: int) -> None:
        self._reactor = reactor
        self._factory = factory
        #: Of the listeners that are given by number.
        self.backlog = backlog
        self._listeners: list[Listener] = []
        #: Whether it listens, or has begun to.
        self.isOpen = False
        #: The ports that listen.
        self.ports: list[IListeningPort] = []
        #: Whether some port listens, and all of them only for this machine's own clients: on loopback
        #: addresses, without a proxy that speaks the PROXY protocol. UNIX sockets don't count.
        self.isLocal = False
        #: Told of each port.
        self.onPort: Callable[[IListeningPort], None] = lambda port: None

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, where: ListenTarget) -> Deferred[IListeningPort]:
        """One more endpoint; it listens at once if the others do."""
        listener = self._listener(where)
        if self.isOpen:
            try:
                listener.listen(self._factory, self._opened)
            except Exception:
                return fail()
        self._listeners.append(listener)
        return listener.started

    def open(self) -> None:
        """Listen on all, or raise and listen on none."""
        if self.isOpen:
            return
        self.isOpen = True
        try:
            for listener in self._listeners:
                listener.listen(self._factory, self._opened)
        except Exception:
            self.close()
            raise

    def close(self) -> Deferred[Any]:
        """Listen no more."""
        self.isOpen = False
        self.isLocal = False
        ports, self.ports = self.ports, []
        return DeferredList([maybeDeferred(port.stopListening).addErrback(self._notClosed) for port in ports])

    def _notClosed(self, failure: Failure) -> None:
        """A port isn't closed as it should be; that somebody else's socket can't be removed is no mistake."""
        if failure.check(OSError):
            self._log.warn("a listener could not be closed: {why}", why=str(failure.value))
        else:
            self._log.failure("a listener could not be closed", failure)

    def reload(self) -> bool:
        """
        Read the certificates again, for new connections; whether there are any.

        Those that can't be read stay as they are; the first error is raised when all have been tried.
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
        if not self.isOpen:  # an endpoint that took its time
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
