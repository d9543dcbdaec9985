"""
The server: a Twisted service with a registry of applications and connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Never

from twisted.application.service import MultiService
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IReactorTime
from twisted.internet.task import deferLater
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
from ..http.factory import ChannelFactory
from ..http.gateway import Gateway
from ..http.resource import ServerResource, handshakeIfUpgrade, upgradeRequest
from ..rooms.api.room import Room
from ..rooms.application import RoomApplication
from ..rooms.registration import Registration
from .accesslog import AccessLog
from .applications import Applications
from .assets import Asset
from .connections import Connections, Stats
from .health import HealthPage, StallDetector
from .hooks import callHook, checkHook, refuseKeywords, warnOfHooks
from .listening import Listeners, ListenTarget
from .openfiles import limitConnections, openFiles, watchAccepting
from .pages import NO_FORM, Pages
from .routing import Route
from .shutdown import ShutdownSequence, ShutdownStep, callbackStep

#: Seconds for the services in a server, when all else has stopped.
LAST_SERVICES_TIMEOUT = 1.0


class Server(MultiService):
    """
    A WebSocket server to compose into Twisted services.

    Hooks may be assigned to it or defined in a subclass: `onConnection(connection)`, `onListening(port)`,
    `onClose()`, `onClientError(error, handshake)` for every upgrade that failed (the handshake is `None` if
    the request was not sound), `responseHeaders(handshake)` for headers on every 101 answer.

    Args:
        options: They hold for all applications that don't override them; all of them are given in here.
        clock: The reactor; by default the global one.

    Like Colyseus's `Server`, ws's `WebSocketServer`, and the servers of Cocos Creator and TeaJS.
    """

    _log = Logger()

    onConnection: Callable[[Connection], Any] | None = None
    onListening: Callable[[IListeningPort], Any] | None = None
    onClose: Callable[[], Any] | None = None
    onClientError: Callable[[UpgradeError, Handshake | None], Any] | None = None
    responseHeaders: Callable[[Handshake], Any] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        checkHook(self, name, value)
        super().__setattr__(name, value)

    def __init__(self, options: ServerOptions | None = None, clock: Any = None, **misplaced: Never) -> None:
        refuseKeywords(misplaced)
        super().__init__()
        warnOfHooks(type(self), Server)
        if not isinstance(options, ServerOptions | None):
            raise TypeError(f"options={options!r}: must be ServerOptions(maxPayload=..., ...)")
        self.options = options or ServerOptions()
        self.options.checkTogether()
        self._reactor = clock if clock is not None else _globalReactor()
        self.clock: IReactorTime = self._reactor
        self._gateway = gateway = Gateway(self, self.options, self.clock)
        self._factory = ChannelFactory(gateway)
        self._listeners = Listeners(self._reactor, self._factory, self.options.backlog)
        self._listeners.onPort = self._listening
        self._accesses = AccessLog()
        self._connections = Connections(gateway.context, gateway.admission, self.clock, self._accesses)
        self._pages = Pages(gateway, self._reactor, self._accesses, self.resource)
        self._applications = Applications(self.options, self.clock, self._pages)
        self._routes = self._applications.routes
        self._shutdowns: list[Callable[[], Any]] = []
        self._stop = ShutdownSequence(self.clock, self._stopSteps, self._stopped, "Server.stopNow() ends it")
        self._isStopped = False
        self.stallDetector = StallDetector(self.clock)

    # -- what it serves

    def addApplication(
        self, application: Application, host: str | None = None, path: str | None = None
    ) -> Application:
        """
        Serve `application` at a host and path; it is returned.

        The first registration that matches a request wins. `None` is any; a host is compared without
        regard to case and, if it has no port, matches any; a path is exact, or with `"/*"` at its end
        everything below. A `RoomApplication` is served at a path and below at once, by default at "/rooms".
        With it come its pages (`Application.pages`).
        Raises `TypeError` for what is no application, host or path, `ValueError` for a path that doesn't
        begin with "/", or has a "*" elsewhere.
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
        Serve the protocols of an Autobahn `WebSocketServerFactory`, as they are, at a path and host.

        Our checks, limits and deadlines come first, and hold; then Autobahn's handshake decides. The hooks
        and options are those of `AutobahnApplication`, which is returned; path and host are as for
        `addApplication`. Factories of other protocols that speak upgrades themselves get a
        `ProtocolApplication`. The factory is started and stopped with the server. Raises `TypeError` for no
        factory, and for what the factory decides, such as `maxPayload` and `chooseProtocol`.
        """
        return self._applications.addFactory(self, path, factory, host, hooksAndOptions)

    def register(self, name: str, roomClass: type[Room], **options: Any) -> Registration:
        """Serve rooms of `roomClass` under a name, as one of `rooms`; see `RoomApplication.register`."""
        return self.rooms.register(name, roomClass, **options)

    @property
    def rooms(self) -> RoomApplication:
        """
        The `RoomApplication` that `register` uses: to query and make rooms, to reserve seats.

        It is the first that was added; if there is none yet, one is made and added at "/rooms" and below.
        """
        return self._applications.rooms

    def addPage(self, path: str, page: IResource | WebResource, maxBody: int | None = None) -> None:
        """
        Serve a twisted.web resource beside the sockets, also at a path that upgrades.

        A leaf is found at exactly `path`; any other resource with its children below it. On our own listeners
        a request has at most `maxBody` bytes of body (0: any number; default: the option `maxPageBody`), else
        it gets 413; twisted.web keeps up to 100 kB of it in memory, and more in a file.

        Raises `TypeError` for what is no resource, `ValueError` for what is no path or a wrong `maxBody`.
        """
        self._pages.add(path, page, maxBody)

    def removePages(self) -> None:
        """Serve no pages, only sockets."""
        self._pages.clear()

    def addClientScript(self, path: str = "/txroom.js") -> None:
        """
        Serve the client for browsers: the JavaScript module ``txroom.js`` that comes with the package.

        A page of the same server loads it by ``import { Client } from "/txroom.js"``, and any other by its
        whole URL: it is the same for everybody. Browsers keep it, and ask each time whether it has changed
        (ETag). Raises `ValueError` for a path that does not begin with "/".
        """
        self.addPage(path, Asset("txroom.js", {"Access-Control-Allow-Origin": "*"}), maxBody=NO_FORM)

    def addHealthPage(self, path: str = "/healthz") -> None:
        """Serve `HealthPage` of this server."""
        self.addPage(path, HealthPage(lambda: self.isDraining, self.stallDetector), maxBody=NO_FORM)

    def overrideOptions(self, changes: Mapping[str, Any]) -> None:
        """
        Lay `changes` over the options, and over what the applications added so far override themselves.

        For whoever launches a server that others made, before it starts. Raises `OptionError` for a wrong
        option, `RuntimeError` if the server runs.
        """
        if self.running:
            raise RuntimeError("the server runs: its options can't change any more")
        options = self.options.override(changes)
        options.checkTogether()
        self.options = options
        self._gateway.setOptions(self.options)
        self._listeners.backlog = self.options.backlog
        self._applications.overrideOptions(options, changes)

    def resource(self) -> IResource:
        """This server's sockets and pages as a resource: for a `Site`, a Klein route, a WSGI root."""
        resource: IResource = ServerResource(self._gateway)
        return resource

    def factory(self) -> IProtocolFactory:
        """This server as the factory of an endpoint that somebody else listens on; see `resource`."""
        return self._factory

    def shouldHandle(self, request: Request) -> bool:
        """Whether a request of twisted.web is for a WebSocket of one of our applications (like ws's)."""
        handshake = handshakeIfUpgrade(request)
        return handshake is not None and self.applicationFor(handshake) is not None

    def handleUpgrade(self, request: Request, application: Application | None = None) -> Deferred[Connection]:
        """
        Upgrade a request of twisted.web, like ws's `handleUpgrade`; return `NOT_DONE_YET` from its `render`.

        Without `application` it is looked up by host and path. Fires with the Connection just before its
        `onConnect`, or fails with `UpgradeError`, after the client has been answered.
        """
        if application is not None:
            self._applications.adopt(application)
        return upgradeRequest(self._gateway, request, application)

    def applicationFor(self, handshake: Handshake) -> Application | None:
        """The application registered for the host and path of a request."""
        return self._routes.applicationFor(handshake)

    def refuserFor(self, handshake: Handshake) -> Application | None:
        """The rooms of a host, which tell a client that it has asked for a wrong path."""
        return self._routes.refuserFor(handshake)

    @property
    def routes(self) -> list[Route]:
        """Which application serves which host and path, in the order in which they are tried."""
        return list(self._routes)

    @property
    def pages(self) -> list[str]:
        """The paths of the pages."""
        return self._pages.paths

    @property
    def applications(self) -> list[Application]:
        """What was added, each once."""
        return self._routes.applications

    # -- its connections

    @property
    def connections(self) -> list[Connection]:
        """The open connections; empty with `clientTracking` off."""
        return self._connections.all if self.options.clientTracking else []

    def connection(self, id: str) -> Connection | None:
        """The open connection with that id; `None` if there is none."""
        return self._connections.get(id)

    def send(self, id: str, data: Data) -> SendStatus:
        """Send to a connection by id, like TeaJS; `CLOSED` if there is none. `TypeError` if it is no id."""
        return self._connections.send(id, data)

    def disconnect(self, id: str, code: int | None = CloseCode.NORMAL, reason: str = "") -> None:
        """Close a connection by id, like TeaJS; an unknown one is ignored. `TypeError` if it is no id."""
        self._connections.disconnect(id, code, reason)

    def broadcast(self, data: Data | Prepared, exclude: Connection | Iterable[Connection] = ()) -> None:
        """Send one message to all connections of plain applications, framed once, except `exclude`."""
        self._connections.broadcast(data, exclude)

    def stats(self) -> Stats:
        """The counters."""
        return self._connections.stats()

    def setDebug(self, isOn: bool) -> None:
        """
        Log every event of every connection, at level debug (like TeaJS's); what `--log-level debug` does.

        For a developer's own server: clients that ask for a room of an unknown name are told the names that
        are registered. Raises `TypeError` unless it is `True` or `False`.
        """
        if not isinstance(isOn, bool):
            raise TypeError(f"isOn={isOn!r}: must be True or False")
        self._gateway.context.isTracing = isOn
        self._applications.setDebug(isOn)

    def setAccessLog(self, isOn: bool) -> None:
        """Log each request for a page, and each upgrade, at level info."""
        self._accesses.isOn = isOn

    # -- what http asks of it, and tells it (`GatewayServer`)

    @property
    def isLocal(self) -> bool:
        """Whether it listens, and only on loopback addresses (UNIX sockets aside)."""
        return self._listeners.isLocal

    def opened(self, connection: Connection, options: ServerOptions) -> None:
        """The 101 answer of a connection is written."""
        self._connections.opened(connection, options.clientTracking)
        connection.opened(self.onConnection)

    def closed(self, connection: Connection) -> None:
        """The TCP connection of an opened connection is gone."""
        self._connections.closed(connection)

    def finished(self) -> None:
        """The last hook of a connection is over."""
        self._connections.finished()

    def refused(self, error: UpgradeError, handshake: Handshake | None) -> None:
        """An upgrade failed."""
        self._connections.refused(error, handshake)
        callHook(self._log, self.onClientError, error, handshake)

    # -- listening

    def listen(self, where: ListenTarget) -> Deferred[IListeningPort]:
        """
        Listen on an endpoint, a description of one ("tcp:8080", "unix:/run/chat"), or a port number.

        A number listens on IPv4 and IPv6, on IPv4 alone where the kernel has no IPv6. It happens when the
        service starts, at once if it runs, and again at each start. Fires with the port. A port that is taken
        makes the start itself fail.
        """
        return self._listeners.add(where)

    def reloadCertificates(self) -> bool:
        """
        Read the certificates of "ssl:" and "tls:" listeners again, for new connections.

        Returns whether there are any. If some can't be read, those in force stay, and the first error is
        raised when all have been tried.
        """
        return self._listeners.reload()

    @property
    def ports(self) -> list[IListeningPort]:
        """The ports that listen."""
        return list(self._listeners.ports)

    @property
    def hasListeners(self) -> bool:
        """Whether `listen` was called."""
        return len(self._listeners) > 0

    def address(self) -> IPv4Address | IPv6Address | Any:
        """Where the first port listens, an `IPv4Address`, `IPv6Address` or `UNIXAddress`; `None`: nowhere."""
        ports = self._listeners.ports
        return ports[0].getHost() if ports else None

    def _listening(self, port: IListeningPort) -> None:
        watchAccepting(port, self.clock)
        if isinstance(port, Port):
            limitConnections(self._gateway.admission, self.options.maxConnections, openFiles(), self._log)
        callHook(self._log, self.onListening, port)

    # -- the service

    @property
    def isDraining(self) -> bool:
        """Whether the server is stopping, or has stopped: new upgrades are answered with 503."""
        return self._stop.isRunning or self._isStopped

    def onShutdown(self, callback: Callable[[], Any]) -> None:
        """
        Call `callback` first thing when the server stops; several run in order, awaited (like Colyseus's).

        Raises `TypeError` for what can't be called.
        """
        if not callable(callback):
            raise TypeError(f"callback={callback!r}: must be a function, without ()")
        self._shutdowns.append(callback)

    def privilegedStartService(self) -> None:
        """Bind the listeners; twistd gives up its privileges after that."""
        super().privilegedStartService()
        self._listeners.open()

    def startService(self) -> None:
        """Serve; a start during a stop waits for its end."""
        if self._stop.isRunning:
            self._stop.startAfterwards(self.startService)
            return
        self._isStopped = False
        super().startService()
        self._listeners.open()
        self.stallDetector.start()

    def stopService(self) -> Deferred[None]:
        """
        Stop within `shutdownTimeout`; fires when every connection is gone.

        New upgrades get 503, and so does who asks for the health page, for `drainDelay` and while the
        `onShutdown` callbacks run; then the listeners close, the connections are closed with 1001, and those
        that stay until the deadline are dropped. A server that has stopped, or has never served anybody, has
        nothing to do: no callback runs.
        """
        if self._isAtRest and not self._stop.isRunning:
            return succeed(None)
        return self._stop.run(self.options.shutdownTimeout)

    @property
    def _isAtRest(self) -> bool:
        isNew = not self._isStopped and self.stats().total == 0
        return not self.running and not self._listeners.isOpen and (self._isStopped or isNew)

    def close(self) -> Deferred[None]:
        """Stop this server alone: leave the parent service, if any, and stop (like ws's `close`)."""
        if self.parent is not None:
            return maybeDeferred(self.disownServiceParent)
        return self.stopService() if self.running else succeed(None)

    def dropAll(self) -> None:
        """Drop every connection, and cancel every hook that still runs."""
        self._connections.dropAll()

    def stopNow(self) -> None:
        """
        Make the stop that goes on, or else the next one, wait for nothing; what a second signal does.

        Connections are dropped, and `onShutdown` callbacks and hooks that still run are cancelled.
        """
        self._stop.skipWaits()

    def setStopHint(self, stopHint: str) -> None:
        """How people can make a stop end; the log says it when one takes long. For whoever launches it."""
        self._stop.stopHint = stopHint

    def _stopSteps(self) -> Iterator[ShutdownStep]:
        """What a stop does, in this order."""
        if self.options.drainDelay:
            yield ShutdownStep(
                lambda: deferLater(self._reactor, self.options.drainDelay),
                lambda: "balancers to notice (drainDelay)",
            )
        yield from map(callbackStep, self._shutdowns)
        yield ShutdownStep(self._listeners.close, lambda: "ports to close")
        yield from self._connections.shutdownSteps()
        yield from self._applications.shutdownSteps()
        self.stallDetector.stop()
        stop = partial(MultiService.stopService, self)
        yield ShutdownStep(stop, lambda: "services in this one", LAST_SERVICES_TIMEOUT)

    def _stopped(self) -> None:
        self._connections.sumUpRefusals()
        self._isStopped = True
        callHook(self._log, self.onClose)


def _globalReactor() -> Any:
    from twisted.internet import reactor

    return reactor
