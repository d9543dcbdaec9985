"""
The applications of a server: where each is served, and what it is given of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twisted.application.service import IServiceCollection, Service
from twisted.internet.interfaces import IProtocolFactory, IReactorTime

from ..core.application import Application
from ..core.interfaces import ProtocolFactory
from ..core.options import ServerOptions
from ..engine.memory import MemoryEngine
from ..http.protocolfactories import FactoryApplication, ProtocolApplication
from ..rooms.api.room import Room
from ..rooms.application import RoomApplication
from .pages import Pages
from .routing import Routes, checkRoute
from .shutdown import ShutdownStep

#: Seconds that an application is given to stop, even when the deadline of the stop has passed.
LAST_HOOKS_TIMEOUT = 1.0


class Applications:
    """What a server serves at its `routes`, and what is upgraded by hand; all of it stops with the server."""

    def __init__(self, options: ServerOptions, clock: IReactorTime, pages: Pages) -> None:
        #: Of the server.
        self.options = options
        self._pages = pages
        self.routes = Routes()
        self._clock = clock
        self._adopted: list[Application] = []
        self._isDebugging = False

    def add(self, application: Application, host: str | None, path: str | None) -> None:
        """Serve one more; see `Server.addApplication`."""
        checkApplication(application)
        checkRoute(host, path)
        self.options.override(application.overrides)
        paths = application.routesFor(path)
        self._pages.addAll(paths[0], application.pages)
        self.adopt(application)
        application.warnOfHooks()
        for each in paths:
            self.routes.add(application, host, each)

    def addFactory(
        self,
        server: IServiceCollection,
        path: str | None,
        factory: IProtocolFactory | ProtocolFactory,
        host: str | None,
        hooksAndOptions: Mapping[str, Any],
    ) -> Application:
        """Serve a factory, and start it with the server; see `Server.addFactory`."""
        application = self._made(factory, hooksAndOptions)
        self.add(application, host, path)
        FactoryStarter(application.start).setServiceParent(server)
        return application

    @staticmethod
    def _made(factory: Any, hooksAndOptions: Mapping[str, Any]) -> FactoryApplication:
        """The application of a factory; Autobahn is imported only for one of its own."""
        if any(each.__module__.startswith("autobahn.") for each in type(factory).__mro__):
            from ..http.autobahn import AutobahnApplication

            return AutobahnApplication(factory, **hooksAndOptions)
        return ProtocolApplication(factory, **hooksAndOptions)

    def adopt(self, application: Application) -> None:
        """Give an application what it needs of the server; it is stopped with it."""
        if application not in self._adopted:
            self._adopted.append(application)
        application.setDebug(self._isDebugging)
        if isinstance(application, RoomApplication):
            options = self.options.override(application.overrides)
            application.begin(MemoryEngine(application), self._clock, options.highWaterMark)

    @property
    def rooms(self) -> RoomApplication:
        """The first `RoomApplication`; if there is none yet, one is made and served."""
        for served in self.routes.applications:
            if isinstance(served, RoomApplication):
                return served
        application = RoomApplication()
        self.add(application, None, None)
        return application

    def setDebug(self, isOn: bool) -> None:
        """See `Server.setDebug`."""
        self._isDebugging = isOn
        for application in self._adopted:
            application.setDebug(isOn)

    def overrideOptions(self, options: ServerOptions, changes: Mapping[str, Any]) -> None:
        """The server has new `options`: what was changed, no application served so far overrides any more."""
        self.options = options
        for application in self.routes.applications:
            overrides = application.overrides.items()
            application.overrides = {name: value for name, value in overrides if name not in changes}

    def shutdownSteps(self) -> Iterator[ShutdownStep]:
        """Let them end, when their connections are gone."""
        for application in self._adopted:
            yield ShutdownStep(application.stop, lambda: "rooms to end", LAST_HOOKS_TIMEOUT)


class FactoryStarter(Service):
    """Starts something with the service that it is in."""

    def __init__(self, start: Callable[[], None]) -> None:
        self._start = start

    def startService(self) -> None:
        super().startService()
        self._start()


def checkApplication(application: object) -> None:
    """Raise `TypeError` for what can't be served, with what was meant."""
    if isinstance(application, Application):
        if not hasattr(application, "overrides"):
            raise TypeError(f"{type(application).__name__}.__init__ must call super().__init__()")
        return
    kind = application if isinstance(application, type) else type(application)
    if issubclass(kind, Room):
        raise TypeError(f"{kind.__name__} is a Room: server.register('name', {kind.__name__})")
    if issubclass(kind, Application):
        raise TypeError(f"{kind.__name__} is a class: an instance is served, {kind.__name__}()")
    raise TypeError(f"an Application is served, not {application!r}")
