"""
`Server`: the Twisted service that everything else belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Never

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.tcp import Port
from twisted.logger import Logger
from twisted.web.resource import IResource
from twisted.web.server import Request

from ..core.application import Application
from ..core.codes import CloseCode, SendStatus
from ..core.connection import Connection
from ..core.handshake import Handshake, UpgradeError
from ..core.interfaces import ProtocolFactory, WebResource
from ..core.message import Data, Prepared
from ..core.options import ServerOptions
from ..engine.memory import MemoryEngine
from ..http.factory import ChannelFactory
from ..http.gateway import Gateway
from ..http.resource import ServerResource, handshakeIfUpgrade, upgradeRequest
from ..rooms.api.room import Room
from ..rooms.application import RoomApplication
from ..rooms.contract.ports import EngineService
from ..rooms.registration import Registration
from .accesslog import AccessLog
from .applications import Applications
from .assets import Asset
from .cluster import Cluster
from .connections import Connections, Stats
from .enginestart import checkEngine
from .hooks import callHook, checkHook, refuseKeywords, warnOfHooks
from .listeningservice import ListeningService
from .openfiles import limitConnections, openFiles
from .pages import SMALL_BODY, Pages
from .routing import Route
from .shutdown import ShutdownStep


class Server(ListeningService):
    """
    A WebSocket server, as a Twisted service that can be composed with others.

    Hooks may be assigned to it, or defined in a subclass:

    - `onConnection(connection)`: a WebSocket was opened.
    - `onListening(port)`: a listener was opened.
    - `onClose()`: the server has stopped.
    - `onClientError(error, handshake)`: an upgrade failed. `error` is an `UpgradeError`; `handshake` is
      `None` if the request could not be read.
    - `responseHeaders(handshake)`: returns headers for the 101 answers to accepted clients.

    It corresponds to Colyseus's `Server`, ws's `WebSocketServer`, and the servers of Cocos Creator and TeaJS.

    Args:
        options: The options of all applications, unless an application overrides them. The default is
            `ServerOptions()`.
        clock: The reactor. The default is the global reactor; tests pass a clock that they advance.
        engine: Where rooms live. With the default, a `MemoryEngine`, they live in this process, and this
            server alone has them. With a `RedisEngine`, several servers share their rooms.

    Raises:
        TypeError: `options` is not a `ServerOptions`, `engine` is not an engine, or another keyword is given.
        OptionError: Two options contradict each other.
    """

    _log = Logger()

    onConnection: Callable[[Connection], Any] | None = None
    onClientError: Callable[[UpgradeError, Handshake | None], Any] | None = None
    responseHeaders: Callable[[Handshake], Any] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        checkHook(self, name, value)
        super().__setattr__(name, value)

    def __init__(
        self,
        options: ServerOptions | None = None,
        clock: Any = None,
        engine: EngineService | None = None,
        **misplaced: Never,
    ) -> None:
        refuseKeywords(misplaced)
        checkEngine(engine)
        if not isinstance(options, ServerOptions | None):
            raise TypeError(
                f"options={options!r}: must be a ServerOptions, such as ServerOptions(maxPayload=4096)"
            )
        options = options or ServerOptions()
        options.checkTogether()
        reactor = clock if clock is not None else _globalReactor()
        self._gateway = gateway = Gateway(self, options, reactor)
        self._factory = ChannelFactory(gateway)
        super().__init__(options, reactor, self._factory, MemoryEngine() if engine is None else engine)
        warnOfHooks(type(self), Server)
        self._accesses = AccessLog()
        self._connections = Connections(gateway.context, gateway.admission, self.clock, self._accesses)
        self._pages = Pages(gateway, reactor, self._accesses, self.resource)
        self._applications = Applications(options, gateway.context.clock, self._pages, self.engine)
        self._routes = self._applications.routes

    # -- applications, rooms and pages

    def addApplication(
        self, application: Application, host: str | None = None, path: str | None = None
    ) -> Application:
        """
        Serve an application at a host and path.

        The first registration that matches a request is used, and the application's `Application.pages` are
        served too. If there are rooms, a client that offers only sub-protocols of rooms is told that its path
        is unknown when it asks for a plain application without a `chooseProtocol` hook.

        Args:
            application: The application.
            host: The host, compared without regard to case. Without a port it matches any port; `None`
                matches any host.
            path: An exact path, or a prefix that ends with ``"/*"`` and matches everything below it; `None`
                matches any path. For a `RoomApplication`, "/play" means "/play" and ``"/play/*"``, and
                `None` means its own path, by default "/rooms".

        Returns:
            The application.

        Raises:
            TypeError: An argument or a page has a wrong type.
            ValueError: The host or path is wrong, or its rooms or pages can't be served there.
        """
        self._applications.add(application, host, path)
        return application

    def addFactory(
        self,
        path: str | None,
        factory: IProtocolFactory | ProtocolFactory,
        host: str | None = None,
        **hooksAndOptions: Any,
    ) -> Application:
        """
        Serve the protocols of an Autobahn `WebSocketServerFactory` unchanged.

        The server's checks, limits and deadlines apply first; then the protocol's `onConnect` decides. Any
        other factory is served too, by a `ProtocolApplication`; its protocols must answer upgrades
        themselves. The factory is started and stopped with the server.

        Args:
            path: The path, as for `addApplication`.
            factory: The factory.
            host: The host, as for `addApplication`.
            hooksAndOptions: Hooks and options, as for `AutobahnApplication` or `ProtocolApplication`.

        Returns:
            The application that serves the factory.

        Raises:
            TypeError: `factory` is not a factory, or a hook or option is given that the factory decides, such
                as `maxPayload` or `chooseProtocol`.
        """
        return self._applications.addFactory(self, path, factory, host, hooksAndOptions)

    def register(self, name: str, roomClass: type[Room], **options: Any) -> Registration:
        """Serve rooms of a class under a name, on the application `rooms`; see `RoomApplication.register`."""
        return self.rooms.register(name, roomClass, **options)

    @property
    def rooms(self) -> RoomApplication:
        """
        The `RoomApplication` that `register` uses: the first one added, or else a new one at "/rooms".

        With it you query and create rooms, and reserve seats.
        """
        return self._applications.rooms

    @property
    def cluster(self) -> Cluster:
        """All servers that share the rooms of this one, with their rooms and members."""
        return self._applications.cluster

    def addPage(self, path: str, page: IResource | WebResource, maxBody: int | None = None) -> None:
        """
        Serve a twisted.web resource beside the WebSockets. It may have the same path as a WebSocket.

        Args:
            path: The path. A leaf is served at exactly this path; any other resource serves everything below
                it too.
            page: The resource.
            maxBody: The maximum size of a request body on the server's own listeners, in bytes; 0 means no
                limit. A longer body gets 413. The default is the option `maxPageBody`. twisted.web keeps up
                to 100 kB of a body in memory, and a longer body in a file.

        Raises:
            TypeError: `page` is not a resource, or `path` is not a string.
            ValueError: `path` or `maxBody` is wrong.
        """
        self._pages.add(path, page, maxBody)

    def removePages(self) -> None:
        """Remove all pages, and serve only WebSockets."""
        self._pages.clear()

    def addClientScript(self, path: str = "/txroom.js") -> None:
        """
        Serve the browser client, the JavaScript module ``txroom.js`` that comes with the package.

        A page of the same server loads it by ``import { Client } from "/txroom.js"``, and any other page by
        its full URL, because CORS is allowed for every origin. Browsers cache it, and ask each time whether
        it has changed (ETag).

        Args:
            path: The path.

        Raises:
            ValueError: The path does not begin with "/".
        """
        self.addPage(path, Asset("txroom.js", {"Access-Control-Allow-Origin": "*"}), maxBody=SMALL_BODY)

    def addHealthPage(self, path: str = "/healthz") -> None:
        """Serve a `HealthPage` of this server."""
        self.addPage(path, self.healthPage(), maxBody=SMALL_BODY)

    def overrideOptions(self, changes: Mapping[str, Any]) -> None:
        """
        Replace options of the server. The new values also apply to applications that were added before, even
        if they override the same options.

        For programs that launch a server which somebody else has made, such as `twistd txroom`. Call it
        before the server starts.

        Args:
            changes: The new values by the names of the options.

        Raises:
            OptionError: An option is unknown or has a wrong value.
            RuntimeError: The server is running.
        """
        if self.running:
            raise RuntimeError("the server is running: its options can only be changed before it starts")
        options = self.options.override(changes)
        options.checkTogether()
        self.options = options
        self._gateway.setOptions(self.options)
        self._listeners.backlog = self.options.backlog
        self._applications.overrideOptions(options, changes)

    def resource(self) -> IResource:
        """
        Return the server's WebSockets and pages as a twisted.web resource, for a `Site`, or for a place in
        the resource tree of twisted.web or Klein.
        """
        resource: IResource = ServerResource(self._gateway)
        return resource

    def factory(self) -> IProtocolFactory:
        """Return the server as a protocol factory; only needed to call `listen` on an endpoint yourself."""
        return self._factory

    def shouldHandle(self, request: Request) -> bool:
        """Return whether a request is for a WebSocket of an application (like ws's `shouldHandle`)."""
        handshake = handshakeIfUpgrade(request)
        return handshake is not None and self.applicationFor(handshake) is not None

    def handleUpgrade(self, request: Request, application: Application | None = None) -> Deferred[Connection]:
        """
        Upgrade a twisted.web request by hand, like ws's `handleUpgrade`.

        Call it in a resource's `render`, and return `NOT_DONE_YET` from there.

        Args:
            request: The request.
            application: The application that serves the connection. By default the one that is registered for
                its host and path.

        Returns:
            A Deferred that fires with the `Connection` just before its `onConnect` is called. If the upgrade
            fails, the client is answered, and the Deferred fails with `UpgradeError`.

        Raises:
            TypeError: The application is a `ProtocolApplication`, whose protocols answer the upgrade
                themselves.
        """
        if application is not None:
            self._applications.adopt(application)
        return upgradeRequest(self._gateway, request, application)

    def applicationFor(self, handshake: Handshake) -> Application | None:
        """Return the application that is registered for the host and path of a request, or `None`."""
        return self._routes.applicationFor(handshake)

    def refuserFor(self, handshake: Handshake) -> Application | None:
        """Return the room application that tells clients of this host that a path is unknown, or `None`."""
        return self._routes.refuserFor(handshake)

    @property
    def routes(self) -> list[Route]:
        """The hosts and paths at which applications are served, in the order in which they are tried."""
        return list(self._routes)

    @property
    def pages(self) -> list[str]:
        """The paths of the pages."""
        return self._pages.paths

    @property
    def applications(self) -> list[Application]:
        """All applications that were added, each once."""
        return self._routes.applications

    # -- connections

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

    def setDebug(self, isOn: bool) -> None:
        """
        Switch debugging on or off (like TeaJS's `setDebug`); ``--log-level debug`` switches it on.

        It logs every event of every connection at level debug. Use it only on your own machine: while it is
        on, the error for an unknown room tells clients the names of registered rooms.

        Raises:
            TypeError: `isOn` is neither `True` nor `False`.
        """
        if not isinstance(isOn, bool):
            raise TypeError(f"isOn={isOn!r}: must be True or False")
        self._gateway.context.isTracing = isOn
        self._applications.setDebug(isOn)

    def setAccessLog(self, isOn: bool) -> None:
        """Switch the access log on or off: a line at level info for each page request and each upgrade."""
        self._accesses.isOn = isOn

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

    def useEngine(self, engine: EngineService) -> None:
        """Replace the engine before the server starts; for programs that launch a server of somebody else."""
        super().useEngine(engine)
        self._applications.useEngine(engine)

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

    def _closingSteps(self) -> Iterator[ShutdownStep]:
        yield from self._connections.shutdownSteps(self._hasLeft)
        yield from self._applications.shutdownSteps()

    def _stopped(self) -> None:
        self._connections.sumUpRefusals()
        super()._stopped()


def _globalReactor() -> Any:
    from twisted.internet import reactor

    return reactor
