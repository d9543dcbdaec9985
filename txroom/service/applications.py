"""
The applications of a server: which are served where, and what they get from the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twisted.application.service import IServiceCollection, Service
from twisted.internet.interfaces import IProtocolFactory, IReactorTime

from ..core.application import Application
from ..core.interfaces import ProtocolFactory
from ..core.options import ServerOptions
from ..http.gateway import Gateway
from ..http.protocolfactories import FactoryApplication, ProtocolApplication
from ..protocol.limits import MAX_OPTIONS
from ..rooms.api.room import Room
from ..rooms.application import RoomApplication
from ..rooms.contract.ports import EngineService
from ..rooms.edge.users import EdgeUsers
from .cluster import Cluster
from .doorkeeper import Doorkeeper
from .nodecalls import NodeFunctions
from .pages import Pages
from .routing import Routes, checkRoute
from .shutdown import ShutdownStep

#: The seconds that an application gets for its `stop` even when the deadline of the shutdown has passed.
LAST_HOOKS_TIMEOUT = 1.0
#: The seconds that the engine gets to hand over the rooms, even when that deadline has passed.
HAND_OVER_TIMEOUT = 3.0


class Applications:
    """
    The applications that a server serves, by its `routes` or by `handleUpgrade`. They stop with the server.

    Args:
        options: The server's options.
        clock: The server's clock.
        pages: The server's pages.
        engine: The engine for the rooms of all applications.
        users: The users of the server.
        functions: What the servers that share rooms may ask one another.
    """

    def __init__(
        self,
        options: ServerOptions,
        clock: IReactorTime,
        pages: Pages,
        engine: EngineService,
        users: EdgeUsers,
        functions: NodeFunctions,
    ) -> None:
        #: The server's options.
        self.options = options
        self._engine = engine
        self._pages = pages
        self._users = users
        self.routes = Routes()
        self._clock = clock
        self._adopted: list[Application] = []
        self._tellsErrors = self._isTiming = False
        #: The applications with rooms in the engine, and their keys.
        self._keys: dict[RoomApplication, str] = {}
        self.cluster = Cluster(lambda: self._engine, lambda: list(self._keys), clock, functions)

    def add(self, application: Application, host: str | None, path: str | None) -> None:
        """Serve an application; see `Server.addApplication`."""
        checkApplication(application)
        checkRoute(host, path)
        self.options.override(application.overrides)
        paths = application.routesFor(path)
        pages = self._pages.placed(paths[0], application.pages)
        self.adopt(application)
        application.warnOfHooks()
        for pagePath, page in pages.items():
            self._pages.add(pagePath, page, None)
        for each in paths:
            self.routes.add(application, host, each)

    def addColyseus(
        self, path: str, host: str | None, gateway: Gateway, hooksAndOptions: Mapping[str, Any]
    ) -> Application:
        """Serve clients of Colyseus in the rooms; see `Server.addColyseus`."""
        from ..compat.colyseus.application import ColyseusApplication
        from ..compat.colyseus.matchmaking import Matchmaking

        checkRoute(host, path)
        if path.endswith("/*"):
            raise ValueError(f"path={path!r}: must be the endpoint of the clients, such as '/'")
        rooms = self.rooms
        application = ColyseusApplication(rooms, path, **hooksAndOptions)
        self.options.override(application.overrides)
        place = f"{application.path}/matchmake"
        page = Matchmaking(place, Doorkeeper(gateway, application), lambda: rooms.services, application.seats)
        self._pages.placed(None, {place: page})
        self.adopt(application)
        self._pages.add(place, page, MAX_OPTIONS)
        for each in application.routesFor(path):
            self.routes.add(application, host, each, isLast=True)
        return application

    def addFactory(
        self,
        server: IServiceCollection,
        path: str | None,
        factory: IProtocolFactory | ProtocolFactory,
        host: str | None,
        hooksAndOptions: Mapping[str, Any],
    ) -> Application:
        """Serve a protocol factory, and start it with the server; see `Server.addFactory`."""
        application = self._made(factory, hooksAndOptions)
        self.add(application, host, path)
        FactoryStarter(application.start).setServiceParent(server)
        return application

    @staticmethod
    def _made(factory: Any, hooksAndOptions: Mapping[str, Any]) -> FactoryApplication:
        """
        Make the application of a factory. Autobahn is imported only if the factory is one of Autobahn's.
        """
        if any(each.__module__.startswith("autobahn.") for each in type(factory).__mro__):
            from ..http.autobahn import AutobahnApplication

            return AutobahnApplication(factory, **hooksAndOptions)
        return ProtocolApplication(factory, **hooksAndOptions)

    def adopt(self, application: Application) -> None:
        """Give an application what it needs from the server, and stop it with the server."""
        application.tellErrors(self._tellsErrors)
        if application in self._adopted:
            return
        if isinstance(application, RoomApplication):
            if self._isTiming:
                application.meters.startTiming()
            if not application.isBegun:
                self._begin(application)
        self._adopted.append(application)

    def _begin(self, application: RoomApplication) -> None:
        options = self.options.override(application.overrides)
        key = self._keys[application] = self._keys.get(application) or self._keyOf(application)
        application.users = self._users
        application.begin(self._engine.rooms(key, application), self._clock, options.highWaterMark)

    def useEngine(self, engine: EngineService) -> None:
        """Let the rooms of all applications live in another engine; see `Server.useEngine`."""
        self._engine = engine
        for application in self._keys:
            if application.rooms:
                raise RuntimeError("the engine can only be changed while there are no rooms")
            self._begin(application)

    def _keyOf(self, application: RoomApplication) -> str:
        """
        Return the key of an application's rooms: its path.

        Of several applications at one path, for several hosts, all but the first get a number. It is the same
        in all processes that add them in the same order.
        """
        before = sum(each.path == application.path for each in self._keys)
        return application.path if not before else f"{application.path}#{before}"

    @property
    def rooms(self) -> RoomApplication:
        """The first `RoomApplication`. If there is none, one is made and served."""
        for served in self.routes.applications:
            if isinstance(served, RoomApplication):
                return served
        application = RoomApplication()
        self.add(application, None, None)
        return application

    @property
    def ofRooms(self) -> list[RoomApplication]:
        """All applications with rooms."""
        return [each for each in self._adopted if isinstance(each, RoomApplication)]

    def tellErrors(self, isOn: bool) -> None:
        """See `Server.tellErrors`."""
        self._tellsErrors = isOn
        for application in self._adopted:
            application.tellErrors(isOn)

    def startTiming(self) -> None:
        """See `Meters.startTiming`."""
        self._isTiming = True
        for application in self.ofRooms:
            application.meters.startTiming()

    def overrideOptions(self, options: ServerOptions, changes: Mapping[str, Any]) -> None:
        """Take the server's new `options`. Applications that override one of the `changes` no longer do."""
        self.options = options
        for application in self.routes.applications:
            overrides = application.overrides.items()
            application.overrides = {name: value for name, value in overrides if name not in changes}

    def shutdownSteps(self) -> Iterator[ShutdownStep]:
        """
        Yield the steps that give the rooms to other nodes and stop the applications, after the connections
        have been closed.
        """
        yield ShutdownStep(self._engine.handOver, lambda: "rooms to be handed over", HAND_OVER_TIMEOUT)
        for application in self._adopted:
            yield ShutdownStep(application.stop, lambda: "rooms to end", LAST_HOOKS_TIMEOUT)


class FactoryStarter(Service):
    """Calls a function when the service that contains it starts."""

    def __init__(self, start: Callable[[], None]) -> None:
        self._start = start

    def startService(self) -> None:
        super().startService()
        self._start()


def checkApplication(application: object) -> None:
    """Raise `TypeError` for an object that is not an application, and suggest what was probably meant."""
    if isinstance(application, Application):
        if not hasattr(application, "overrides"):
            raise TypeError(f"{type(application).__name__}.__init__ must call super().__init__(...)")
        return
    kind = application if isinstance(application, type) else type(application)
    if issubclass(kind, Room):
        raise TypeError(f"{kind.__name__} is a Room: use server.register('name', {kind.__name__})")
    if issubclass(kind, Application):
        raise TypeError(f"{kind.__name__} is a class: give an instance, {kind.__name__}()")
    raise TypeError(f"application={application!r}: must be an Application")
