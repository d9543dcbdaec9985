"""
`Server`: the Twisted service that everything else belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Never

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.web.resource import IResource
from twisted.web.server import Request

from .admin.operated import OperatedService
from .core.application import Application
from .core.connection import Connection
from .core.handshake import Handshake
from .core.interfaces import ProtocolFactory, WebResource
from .core.options import ServerOptions
from .engine.memory import MemoryEngine
from .http.gateway import Gateway
from .http.resource import ServerResource, handshakeIfUpgrade, upgradeRequest
from .rooms.api.room import Room
from .rooms.application import RoomApplication
from .rooms.contract.ports import EngineService
from .rooms.registration import Registration
from .service.applications import Applications
from .service.assets import Asset
from .service.cluster import Cluster
from .service.enginestart import checkEngine
from .service.hooks import checkHook, refuseKeywords, warnOfHooks
from .service.meters import Meters
from .service.operating.operations import Operations
from .service.pages import SMALL_BODY, Pages
from .service.routing import Route
from .service.shutdown import ShutdownStep


class Server(OperatedService):
    """
    A WebSocket server, as a Twisted service that can be composed with others.

    Hooks may be assigned to it, or defined in a subclass:

    - `onConnection(connection)`: a WebSocket was opened.
    - `onListening(port)`: a listener was opened.
    - `onClose()`: the server has stopped.
    - `onClientError(error, handshake)`: an upgrade failed. `error` is an `UpgradeError`; `handshake` is
      `None` if the request could not be read.
    - `responseHeaders(handshake)`: returns headers for the 101 answers to accepted clients.
    - `userId(user)`: returns the id of a user, for notifications.

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

    responseHeaders: Callable[[Handshake], Any] | None = None
    #: What this server has done and has now, for metrics.
    meters: Meters

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
        gateway = Gateway(self, options, reactor)
        super().__init__(options, reactor, gateway, MemoryEngine() if engine is None else engine)
        warnOfHooks(type(self), Server)
        self._isDebugging = False
        self._pages = Pages(gateway, reactor, self._accesses, self.resource)
        self._applications = Applications(
            options,
            gateway.context.clock,
            self._pages,
            self.engine,
            self._edgeUsers,
            self._nodeFunctions,
        )
        self._routes = self._applications.routes
        self.meters = Meters(
            self._connections,
            gateway.context,
            lambda: self._applications.ofRooms,
            lambda: self.engine.meters,
            self._applications.startTiming,
        )
        #: What operators see of it and do with it, on all nodes; the calls of the admin listener use it.
        self.operations = Operations(self, self._connections)

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

    def addColyseus(self, path: str = "/", host: str | None = None, **hooksAndOptions: Any) -> Application:
        """
        Serve the clients of Colyseus, versions 0.16 to 0.18, in the rooms of the application `rooms`.

        They join the same rooms as txroom's own clients. Their matchmaking is the page "/matchmake" below the
        path; their connections have paths below "/txroom", and at the path itself clients measure the
        latency. All other applications come first, also those that are added later.

        Args:
            path: The path that clients have as their endpoint: "/" for `new Client("wss://example.org")`.
            host: The host, as for `addApplication`; the page is served for every host.
            hooksAndOptions: Hooks and options, as for `Application`. By default they are those of the rooms.

        Returns:
            The application that serves the clients.

        Raises:
            TypeError: An argument has a wrong type.
            ValueError: The host or path is wrong, or another page is served at the path of the matchmaking.
        """
        return self._applications.addColyseus(path, host, self._gateway, hooksAndOptions)

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

    def setDebug(self, isOn: bool) -> None:
        """
        Switch the log of every event of every connection on or off, at level debug (like TeaJS's `setDebug`).

        ``--log-level debug`` switches it on. The default is off.

        Raises:
            TypeError: `isOn` is neither `True` nor `False`.
        """
        self._isDebugging = _checkedSwitch(isOn)
        self._trace()

    def tellErrors(self, isOn: bool) -> None:
        """
        Tell clients more about errors, or not; ``--dev`` switches it on.

        While it is on, the error `internal` tells clients which hook or handler has raised what, and the
        error for an unknown room tells them the names of registered rooms. These texts may be secret, so this
        is for developers. The default is off.

        Raises:
            TypeError: `isOn` is neither `True` nor `False`.
        """
        self._applications.tellErrors(_checkedSwitch(isOn))

    def showMessages(self, characters: int) -> None:
        """
        Log the beginning of each message that a client sends, at level info; ``--dev`` switches it on.

        Messages may be secret, so this is for developers.

        Args:
            characters: How much of a message is logged. The default is 0: none of it.
        """
        self._gateway.context.shownOfMessages = characters
        self._trace()

    def _trace(self) -> None:
        context = self._gateway.context
        context.isTracing = self._isDebugging or context.shownOfMessages > 0

    # -- overrides of the base classes

    def useEngine(self, engine: EngineService) -> None:
        """Replace the engine before the server starts; for programs that launch a server of somebody else."""
        super().useEngine(engine)
        self._applications.useEngine(engine)

    def _closingSteps(self) -> Iterator[ShutdownStep]:
        self.operations.simulations.stop()
        yield from self._connections.shutdownSteps(self._hasLeft, self.options.shutdownTimeout)
        yield from self._applications.shutdownSteps()

    def _stopped(self) -> None:
        self.operations.simulations.stop()  # if it was stopped without the steps
        super()._stopped()


def _checkedSwitch(isOn: bool) -> bool:
    if not isinstance(isOn, bool):
        raise TypeError(f"isOn={isOn!r}: must be True or False")
    return isOn


def _globalReactor() -> Any:
    from twisted.internet import reactor

    return reactor
