"""
The server: a Twisted service with a registry of applications and connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial, wraps
from typing import Any, ParamSpec

from twisted.application.service import MultiService
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.tcp import Port
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import Request

from ..core.application import Application, broadcast
from ..core.awaitables import isAsync, toDeferred
from ..core.codes import CloseCode, SendStatus
from ..core.connection import Connection
from ..core.handshake import Handshake, UpgradeError
from ..core.hooks import HOOKS as APPLICATION_HOOKS
from ..core.interfaces import WebResource
from ..core.message import Data, Prepared
from ..core.options import OPTIONS, ServerOptions
from ..core.refusallog import RefusalLog, shown
from ..core.validation import (
    checkAssigned,
    checkText,
    definedBelow,
    isCount,
    meantName,
    misspeltHooks,
    warnOfClass,
)
from ..engine.memory import MemoryEngine
from ..http.factory import WireFactory
from ..http.request import isUpgrade
from ..http.resource import ServerResource, headersOf, upgrade
from ..rooms.api.room import Room
from ..rooms.application import RoomApplication
from ..rooms.edge.dialect import isForRooms
from ..rooms.registration import Registration
from .accepting import watchAccepting
from .accesslog import AccessLog, PageSite
from .assets import Asset
from .connections import Roster, Stats
from .descriptors import connectionsOf, openFiles, socketsOf
from .health import HealthPage, StallWatch
from .listening import Listeners, Where
from .routing import Route, Routes, checkApplication, checkPage, checkRoute
from .shutdown import Patience, Stop

#: The hooks of a server.
HOOKS = frozenset({"onConnection", "onListening", "onClose", "onClientError", "responseHeaders"})
#: Seconds for the last `onDisconnect` hooks, after the connections were dropped.
LAST_HOOKS = 1.0

#: Longest body of a request for a page that looks at none; twisted.web takes forms apart in any case.
NO_FORM = 1024

Given = ParamSpec("Given")


def _refusingOptions(make: Callable[Given, None]) -> Callable[Given, None]:
    """Make `Server` say where options belong that are given as its own keywords."""

    @wraps(make)
    def checkAndMake(*args: Given.args, **given: Given.kwargs) -> None:
        for name in given:
            if meantName(name, OPTIONS):
                raise TypeError(f"{name} is given in the options: Server(ServerOptions({name}=...))")
        make(*args, **given)

    return checkAndMake


class Server(MultiService):
    """
    A WebSocket server to compose into Twisted services.

    `options` hold for all applications that don't override them; `clock` is the reactor (default: the
    global one). Hooks that may be assigned, each called with what
    is named: `onConnection(connection)`, `onListening(port)`, `onClose()`, `onClientError(error,
    handshake)` for every upgrade that failed (the handshake is `None` if the request was not sound),
    `responseHeaders(handshake)` for headers on every 101 answer.

    Source: seeds 000 (Colyseus `Server`), 001 (ws `WebSocketServer`), 002 (Cocos), 004 (TeaJS).
    """

    _log = Logger()

    onConnection: Callable[[Connection], Any] | None = None
    onListening: Callable[[IListeningPort], Any] | None = None
    onClose: Callable[[], Any] | None = None
    onClientError: Callable[[UpgradeError, Handshake | None], Any] | None = None
    responseHeaders: Callable[[Handshake], Any] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        checkAssigned(self, name, value, HOOKS, lambda hook: getattr(self, hook) is not None)
        if name in APPLICATION_HOOKS and name not in HOOKS and callable(value):
            raise TypeError(
                f"Server.{name} is never called: it is a hook of applications, Application({name}=...)"
            )
        super().__setattr__(name, value)

    @_refusingOptions
    def __init__(self, options: ServerOptions | None = None, clock: Any = None) -> None:
        super().__init__()
        self._warnOfHooks()
        if not isinstance(options, ServerOptions | None):
            raise TypeError(f"options={options!r}: must be ServerOptions(maxPayload=..., ...)")
        self.options = options or ServerOptions()
        self.options.checkTogether()
        self._reactor = clock if clock is not None else _globalReactor()
        self.clock: IReactorTime = self._reactor
        self._wire = WireFactory(self, self.options, self.clock)
        self._listeners = Listeners(self._reactor, self._wire, self.options.backlog)
        self._listeners.onPort = self._listening
        self._routes = Routes()
        self._refusals = RefusalLog("upgrade", self._log, self.clock)
        #: What it has served, added or not, and stops.
        self._adopted: list[Application] = []
        self._roster = Roster(self._wire, self.clock)
        self._shutdowns: list[Callable[[], Any]] = []
        self._stop = Stop(self.clock, self._stopInSteps, self._stopped, "Server.stopNow() ends it")
        self._isStopped = False
        #: Whether it is to start when the stop that goes on is over.
        self._isToRestart = False
        self._accesses = AccessLog()
        self.watch = StallWatch(self.clock)

    def _warnOfHooks(self) -> None:
        """Warn of methods of a subclass that look like hooks, of the server or of applications."""
        own = type(self)
        said = misspeltHooks(own, Server, HOOKS, lambda name: getattr(own, name) is not None)
        for owner, name, value in definedBelow(own, Server):
            if name in APPLICATION_HOOKS and name not in HOOKS and callable(value):
                said.append(f"{owner}.{name} is never called: it is a hook of applications")
        warnOfClass(own, said)

    # -- what it serves

    def addApplication(
        self, application: Application, host: str | None = None, path: str | None = None
    ) -> Application:
        """
        Serve `application` at a host and path; it is returned.

        The first registration that matches a request wins. `None` is any; a host is compared without
        regard to case and, if it has no port, matches any; a path is exact, or with `"/*"` at its end
        everything below. A `RoomApplication` is served at a path and below at once, by default at "/rooms".
        Raises `TypeError` for what is no application, host or path, `ValueError` for a path that doesn't
        begin with "/", or has a "*" elsewhere.
        """
        checkApplication(application)
        checkRoute(host, path)
        self.options.override(application.overrides)
        routes = application.routesFor(path)
        self._adopt(application)
        application.warnOfHooks()
        for each in routes:
            self._routes.add(application, host, each)
        return application

    def register(self, name: str, roomClass: type[Room], **options: Any) -> Registration:
        """
        Serve rooms of `roomClass` under a name; see `RoomApplication.register`.

        They are those of `rooms`.
        """
        return self.rooms.register(name, roomClass, **options)

    @property
    def rooms(self) -> RoomApplication:
        """
        The `RoomApplication` that `register` uses: to query and make rooms, to reserve seats.

        It is the first that was added; if there is none yet, one is made and added at "/rooms" and below.
        """
        for served in self._routes.applications:
            if isinstance(served, RoomApplication):
                return served
        application = RoomApplication()
        self.addApplication(application)
        return application

    def _adopt(self, application: Application) -> None:
        """Give an application what it needs of the server; it is stopped with it."""
        if application not in self._adopted:
            self._adopted.append(application)
        application.setDebug(self._wire.isTracing)
        if isinstance(application, RoomApplication):
            options = self.options.override(application.overrides)
            application.begin(MemoryEngine(application), self.clock, options.highWaterMark)

    def addPage(self, path: str, page: IResource | WebResource, maxBody: int | None = None) -> None:
        """
        Serve a twisted.web resource beside the sockets, also at a path that upgrades.

        A leaf is found at exactly `path`; any other resource with its children below it. On our own listeners
        a request has at most `maxBody` bytes of body (0: any number; default: the option `maxPageBody`), else
        it gets 413; twisted.web keeps up to 100 kB of it in memory, and more in a file.

        Raises `TypeError` for what is no resource, `ValueError` for what is no path or a wrong `maxBody`.
        """
        checkPage(path, page)
        if maxBody is not None and not isCount(maxBody):
            raise ValueError(f"maxBody={maxBody!r}: must be a whole number of bytes, 0 or more")
        resource: Any = page
        self._wire.pages[path] = resource
        self._wire.pageBodies.pop(path, None)
        if maxBody is not None:
            self._wire.pageBodies[path] = maxBody
        if self._wire.site is None:
            self._wire.site = PageSite(self.resource(), self._reactor, self._wire, self._accesses)

    def removePages(self) -> None:
        """Serve no pages, only sockets."""
        self._wire.pages.clear()
        self._wire.site = None

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
        self.addPage(path, HealthPage(lambda: self.isDraining, self.watch), maxBody=NO_FORM)

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
        self._wire.setOptions(self.options)
        self._listeners.backlog = self.options.backlog
        for application in self._routes.applications:
            overrides = application.overrides.items()
            application.overrides = {name: value for name, value in overrides if name not in changes}

    def resource(self) -> IResource:
        """This server's sockets and pages as a resource: for a `Site`, a Klein route, a WSGI root."""
        resource: IResource = ServerResource(self._wire)
        return resource

    def shouldHandle(self, request: Request) -> bool:
        """Whether a request of twisted.web is for a WebSocket of one of our applications (seed 001)."""
        handshake = Handshake(
            target=request.uri.decode("latin-1"),
            headers=headersOf(request),
            secure=bool(request.isSecure()),
        )
        return isUpgrade(handshake.headers) and self.applicationFor(handshake) is not None

    def handleUpgrade(self, request: Request, application: Application | None = None) -> Deferred[Connection]:
        """
        Upgrade a request of twisted.web by hand (seed 001); return `NOT_DONE_YET` from its `render`.

        Without `application` it is looked up by host and path. Fires with the Connection just before its
        `onConnect`, or fails with `UpgradeError`, after the client has been answered.
        """
        if application is not None:
            self._adopt(application)
        outcome: Deferred[Connection] = Deferred()
        body = upgrade(self._wire, request, application, outcome)
        self.clock.callLater(0, _calm, outcome)
        if isinstance(body, bytes):
            request.write(body)
            request.finish()
        return outcome

    def applicationFor(self, handshake: Handshake) -> Application | None:
        """
        The application registered for the host and path of a request.

        A client that offers nothing but the room protocol isn't one for a plain application without a
        `chooseProtocol` of its own, if there are rooms at another path: it has asked for a wrong one.
        """
        found = self._routes.applicationFor(handshake)
        if found is None or not found.isPlain or found.hook("chooseProtocol") is not None:
            return found
        isLost = self.tellerFor(handshake) is not None and isForRooms(handshake.protocols)
        return None if isLost else found

    def tellerFor(self, handshake: Handshake) -> Application | None:
        """The rooms of a host, which tell a client that it has asked for a wrong path."""
        return next((each for each in self._routes.ofHost(handshake) if not each.isPlain), None)

    @property
    def routes(self) -> list[Route]:
        """Which application serves which host and path, in the order in which they are tried."""
        return list(self._routes)

    @property
    def pages(self) -> list[str]:
        """The paths of the pages."""
        return list(self._wire.pages)

    @property
    def applications(self) -> list[Application]:
        """What was added, each once."""
        return self._routes.applications

    # -- its connections

    @property
    def connections(self) -> list[Connection]:
        """The open connections; empty with `clientTracking` off."""
        return self._roster.connections if self.options.clientTracking else []

    def connection(self, id: str) -> Connection | None:
        """The open connection with that id; `None` if there is none."""
        checkText("id", id)
        return self._roster.get(id)

    def send(self, id: str, data: Data) -> SendStatus:
        """Send to a connection by id; `CLOSED` if there is none (seed 004). `TypeError` for what is no id."""
        checkText("id", id)
        connection = self._roster.get(id)
        return SendStatus.CLOSED if connection is None else connection.send(data)

    def disconnect(self, id: str, code: int | None = CloseCode.NORMAL, reason: str = "") -> None:
        """Close a connection by id; an unknown id is ignored (seed 004). `TypeError` for what is no id."""
        checkText("id", id)
        connection = self._roster.get(id)
        if connection is not None:
            connection.close(code, reason)

    def broadcast(self, data: Data | Prepared, exclude: Connection | Iterable[Connection] = ()) -> None:
        """Send one message to all connections of plain applications, framed once, except `exclude`."""
        plain = [one for one in self._roster.connections if one.application.isPlain]
        broadcast(plain, data, exclude)

    def stats(self) -> Stats:
        """The counters."""
        return self._roster.stats()

    def setDebug(self, isOn: bool) -> None:
        """
        Log every event of every connection, at level debug (seed 004); what `--log-level debug` does.

        For a developer's own server: clients that ask for a room of an unknown name are told the names that
        are registered. Raises `TypeError` unless it is `True` or `False`.
        """
        if not isinstance(isOn, bool):
            raise TypeError(f"isOn={isOn!r}: must be True or False")
        self._wire.isTracing = isOn
        for application in self._adopted:
            application.setDebug(isOn)

    def setAccessLog(self, isOn: bool) -> None:
        """Log each request for a page, and each upgrade, at level info."""
        self._accesses.isOn = isOn

    # -- the wire wing's `Owner`

    @property
    def isLocal(self) -> bool:
        """Whether it listens, and only on loopback addresses (UNIX sockets aside)."""
        return self._listeners.isLocal

    def opened(self, connection: Connection, options: ServerOptions) -> None:
        """The 101 answer of a connection is written."""
        self._roster.opened(connection)
        connection.application._opened(connection, options.clientTracking)
        self._accesses.upgrade(connection.handshake, 101)
        if self._wire.isTracing:
            self._log.debug(
                "{id} connect {path} from {peer}",
                id=connection.id,
                path=connection.handshake.path,
                peer=connection.handshake.peer,
            )
        connection.opened(self.onConnection)

    def closed(self, connection: Connection) -> None:
        """The TCP connection of an opened connection is gone."""
        self._roster.closed(connection)
        connection.application._closed(connection)

    def finished(self) -> None:
        """The last hook of a connection is over."""
        self._roster.finished()

    def refused(self, error: UpgradeError, handshake: Handshake | None) -> None:
        """An upgrade failed."""
        self._roster.refused(error.reason)
        if error.status:
            asked = "a request that can't be read" if handshake is None else shown(handshake.path)
            peer = "" if handshake is None else shown(handshake.peer)
            self._refusals.note(f"{error.status} {shown(error.reason)}", asked, peer)
        if handshake is not None and error.status:
            self._accesses.upgrade(handshake, error.status)
        if self._wire.isTracing:
            self._log.debug("upgrade refused: {error}", error=error)
        self._tell(self.onClientError, error, handshake)

    def _tell(self, hook: Callable[..., Any] | None, *args: Any) -> None:
        if hook is None:
            return
        maybeDeferred(_called, partial(hook, *args)).addErrback(
            lambda failure: self._log.failure("a hook of the server raised", failure)
        )

    # -- listening

    def listen(self, where: Where) -> Deferred[IListeningPort]:
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
        """
        Where the first listener listens: an `IPv4Address`, `IPv6Address` or `UNIXAddress`; `None` if none
        does (seed 001).
        """
        ports = self._listeners.ports
        return ports[0].getHost() if ports else None

    def _listening(self, port: IListeningPort) -> None:
        watchAccepting(port, self.clock)
        if isinstance(port, Port):
            self._heedOpenFiles(openFiles())
        self._tell(self.onListening, port)

    def _heedOpenFiles(self, limit: int | None) -> None:
        """Connections need file descriptors, of which there may be so many."""
        if limit is None:
            return
        wire, most = self._wire, connectionsOf(limit)
        if self.options.maxConnections > most != wire.mostConnections:
            self._log.warn(
                "maxConnections={wanted}, but the limit on open files ({limit}) allows {most}: raise it "
                "(ulimit -n, LimitNOFILE)",
                wanted=self.options.maxConnections,
                limit=limit,
                most=most,
            )
        wire.mostConnections, wire.mostSockets = most, socketsOf(limit)

    # -- the service

    @property
    def isDraining(self) -> bool:
        """Whether the server is stopping, or has stopped: new upgrades are answered with 503."""
        return self._stop.isRunning or self._isStopped

    def onShutdown(self, callback: Callable[[], Any]) -> None:
        """
        Call `callback` first thing when the server stops; several run in order, awaited (seed 000).

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
            if not self._isToRestart:
                self._isToRestart = True
                self._stop.whenOver().addCallback(self._restart)
            return
        self._isStopped = False
        super().startService()
        self._listeners.open()
        self.watch.start()

    def _restart(self, _: None) -> None:
        """The stop during which a start was asked for is over."""
        if not self._isToRestart:  # another stop was asked for after that
            return
        self._isToRestart = False
        try:
            self.startService()
        except Exception:
            self._log.failure("the server could not start again")

    def stopService(self) -> Deferred[None]:
        """
        Stop within `shutdownTimeout`; fires when every connection is gone.

        New upgrades get 503, and so does who asks for the health page, for `drainDelay` and while the
        `onShutdown` callbacks run; then the listeners close, the connections are closed with 1001, and those
        that stay until the deadline are dropped. A server that has stopped, or has never served anybody, has
        nothing to do: no callback runs.
        """
        self._isToRestart = False
        if self._isAtRest and not self._stop.isRunning:
            return succeed(None)
        return self._stop.run(self.options.shutdownTimeout)

    @property
    def _isAtRest(self) -> bool:
        isNew = not self._isStopped and self.stats().total == 0
        return not self.running and not self._listeners.isOpen and (self._isStopped or isNew)

    def close(self) -> Deferred[None]:
        """Stop this server alone: leave the parent service, if any, and stop (seeds 001, 002)."""
        if self.parent is not None:
            return maybeDeferred(self.disownServiceParent)
        return self.stopService() if self.running else succeed(None)

    def dropAll(self) -> None:
        """Drop every connection, and cancel every hook that still runs."""
        self._roster.dropAll()
        self._wire.dropStrangers()

    def stopNow(self) -> None:
        """
        Make the stop that goes on, or else the next one, wait for nothing; what a second signal does.

        Connections are dropped, and `onShutdown` callbacks and hooks that still run are cancelled.
        """
        self._stop.hurry()

    def tellWayOut(self, wayOut: str) -> None:
        """How people can make a stop end; the log says it when one takes long. For whoever launches it."""
        self._stop.wayOut = wayOut

    async def _stopInSteps(self, patience: Patience) -> None:
        if self.options.drainDelay:
            delay: Deferred[None] = deferLater(self._reactor, self.options.drainDelay)
            await patience.awaitFor(delay, lambda: "balancers to notice (drainDelay)")
        for callback in self._shutdowns:
            await patience.awaitFor(maybeDeferred(_called, callback), partial(_describe, callback))
        await patience.awaitFor(self._listeners.close(), lambda: "ports to close")
        await patience.awaitFor(maybeDeferred(self._wire.drain), lambda: "handshakes")
        await patience.awaitFor(Deferred.fromCoroutine(self._roster.closeAll()), self._roster.describe)
        await patience.awaitFor(maybeDeferred(self.dropAll), lambda: "connections")
        patience.extend(LAST_HOOKS)
        await patience.awaitFor(self._roster.whenEmpty(), self._roster.describe)
        for application in self._adopted:
            patience.extend(LAST_HOOKS)
            await patience.awaitFor(maybeDeferred(application.stop), lambda: "rooms to end")
        self.watch.stop()
        patience.extend(LAST_HOOKS)
        await patience.awaitFor(MultiService.stopService(self), lambda: "services in this one")

    def _stopped(self) -> None:
        self._refusals.sumUp()
        self._isStopped = True
        self._tell(self.onClose)


def _calm(outcome: Deferred[Any]) -> None:
    """A refusal that nobody asked about is no error: the client has its answer."""
    if isinstance(getattr(outcome, "result", None), Failure):
        outcome.addErrback(lambda _: None)


def _describe(callback: Callable[[], Any]) -> str:
    return f"the onShutdown callback {getattr(callback, '__qualname__', repr(callback))}"


def _called(callback: Callable[[], Any]) -> Any:
    result = callback()
    return toDeferred(result) if isAsync(result) else result


def _globalReactor() -> Any:
    from twisted.internet import reactor

    return reactor
