"""
A server's connections as its users and its gateway see them: a base class of `Server`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.tcp import Port
from twisted.logger import Logger

from ..core.codes import CloseCode, SendStatus
from ..core.connection import Connection
from ..core.handshake import Handshake, UpgradeError
from ..core.message import Data, Prepared
from ..core.options import ServerOptions
from ..core.validation import isAmount
from ..http.factory import ChannelFactory
from ..http.gateway import Gateway
from ..rooms.contract.ports import EngineService
from .accesslog import AccessLog
from .connections import Connections, Stats
from .hooks import callHook
from .listeningservice import ListeningService
from .openfiles import limitConnections, openFiles


class ConnectionService(ListeningService):
    """
    A service with WebSocket connections, which can be found, counted and closed by their ids.

    Args:
        options: The options.
        reactor: The reactor.
        gateway: What opens its connections; it calls the methods at the end.
        engine: The engine, which is started before the listeners are opened.
    """

    _log = Logger()

    onConnection: Callable[[Connection], Any] | None = None
    onClientError: Callable[[UpgradeError, Handshake | None], Any] | None = None

    def __init__(self, options: ServerOptions, reactor: Any, gateway: Gateway, engine: EngineService) -> None:
        self._gateway = gateway
        self._factory = ChannelFactory(gateway)
        super().__init__(options, reactor, self._factory, engine)
        self._accesses = AccessLog()
        self._connections = Connections(gateway.context, gateway.admission, self.clock, self._accesses)

    @property
    def connections(self) -> list[Connection]:
        """The open connections. Empty if the option `clientTracking` is off."""
        return self._connections.all if self.options.clientTracking else []

    def connection(self, id: str) -> Connection | None:
        """Return the open connection with that id, or `None`. Raises `TypeError` if `id` is not a string."""
        return self._connections.get(id)

    def send(self, id: str, data: Data) -> SendStatus:
        """
        Send a message to a connection by its id, like TeaJS's `send`.

        Args:
            id: The `Connection.id`.
            data: The message, as for `Connection.send`.

        Returns:
            `SendStatus.CLOSED` if there is no such connection, otherwise the result of `Connection.send`.

        Raises:
            TypeError: `id` is not a string.
        """
        return self._connections.send(id, data)

    def disconnect(self, id: str, code: int | None = CloseCode.NORMAL, reason: str = "") -> None:
        """
        Close a connection by its id, like TeaJS's `disconnect`. Does nothing if there is no such connection.

        Args:
            id: The `Connection.id`.
            code: The close code, as for `Connection.close`.
            reason: The reason, as for `Connection.close`.

        Raises:
            TypeError: `id` is not a string.
        """
        self._connections.disconnect(id, code, reason)

    def broadcast(self, data: Data | Prepared, exclude: Connection | Iterable[Connection] = ()) -> None:
        """
        Send a message to all connections of applications without rooms.

        The message is framed once for all of them.

        Args:
            data: The message.
            exclude: One connection or several that do not get it.
        """
        self._connections.broadcast(data, exclude)

    def stats(self) -> Stats:
        """Return the counters."""
        return self._connections.stats()

    def setAccessLog(self, isOn: bool) -> None:
        """Switch the access log on or off: a line at level info for each page request and each upgrade."""
        self._accesses.isOn = isOn

    def sendAway(self, seconds: float = 30.0) -> Deferred[None]:
        """
        Close all connections after `leave`, so that the clients connect to other processes.

        Only a few clients are away at a time, and the next ones follow when those have resumed in their
        rooms. A client that is joining a room keeps its connection until it has joined, for ten seconds at
        most. `stopService` closes what is left.

        Args:
            seconds: The most seconds until all connections but those are closed, however slowly the clients
                come back.

        Returns:
            A Deferred that fires when the connections are closed, and the clients are back.

        Raises:
            RuntimeError: The server has not left.
            ValueError: `seconds` is negative or not a finite number.
        """
        if not isAmount(seconds):
            raise ValueError(f"seconds={seconds!r}: must be a number of seconds, 0 or more")
        if not self._hasLeft:
            raise RuntimeError("the server has not left; call `leave` first")
        return Deferred.fromCoroutine(self._connections.sendAway(seconds))

    # -- called by the gateway

    @property
    def isLocal(self) -> bool:
        """Whether it listens, and only on loopback, without the PROXY protocol; UNIX sockets do not count."""
        return self._listeners.isLocal

    def opened(self, connection: Connection, options: ServerOptions) -> None:
        """Called by the gateway when the 101 answer of a connection is written."""
        self._connections.opened(connection, options.clientTracking)
        connection.opened(self.onConnection)

    def closed(self, connection: Connection) -> None:
        """Called by the gateway when the TCP connection of a WebSocket is closed."""
        self._connections.closed(connection)

    def finished(self) -> None:
        """Called by the gateway when the last hook of a connection has ended."""
        self._connections.finished()

    def refused(self, error: UpgradeError, handshake: Handshake | None) -> None:
        """Called by the gateway when an upgrade has failed."""
        self._connections.refused(error, handshake)
        callHook(self._log, self.onClientError, error, handshake)

    # -- overrides of ListeningService

    def dropAll(self) -> None:
        """Drop every connection, and cancel every running hook."""
        self._connections.dropAll()

    @property
    def _isUnused(self) -> bool:
        return self.stats().total == 0

    def _listening(self, port: IListeningPort) -> None:
        if isinstance(port, Port):
            limitConnections(self._gateway.admission, self.options.maxConnections, openFiles(), self._log)
        super()._listening(port)

    def _stopped(self) -> None:
        self._connections.sumUpRefusals()
        super()._stopped()
