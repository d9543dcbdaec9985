"""
A Twisted service that listens, and that stops step by step within a deadline: the base class of `Server`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.options import ServerOptions
from ..rooms.contract.ports import EngineService, NoTakers
from .enginestart import EngineStart
from .health import HealthPage, StallDetector
from .hooks import callHook
from .listening import Listeners, ListenTarget
from .openfiles import watchAccepting
from .shutdown import ShutdownSequence, ShutdownStep, callbackStep

#: The seconds for the services inside a server to stop, after everything else has stopped.
LAST_SERVICES_TIMEOUT = 1.0


class ListeningService(MultiService):
    """
    A service that opens its listeners when it starts, and stops step by step within `shutdownTimeout`.

    Args:
        options: The options.
        reactor: The reactor.
        factory: The factory for the protocols of all connections.
        engine: The engine, which is started before the listeners are opened.
    """

    _log = Logger()

    onListening: Callable[[IListeningPort], Any] | None = None
    onClose: Callable[[], Any] | None = None
    #: Called if the engine can't start or can't go on, when the server has logged that and is stopping.
    onEngineFailed: Callable[[Failure], Any] | None = None

    def __init__(
        self, options: ServerOptions, reactor: Any, factory: IProtocolFactory, engine: EngineService
    ) -> None:
        super().__init__()
        self.options = options
        self._reactor = reactor
        self.clock: IReactorTime = reactor
        self.stallDetector = StallDetector(self.clock)
        self._listeners = Listeners(reactor, factory, options.backlog)
        self._listeners.onPort = self._listening
        #: The engine that the rooms of the server live in.
        self.engine = engine
        self._engineStart = self._startOf(engine)
        self._hasEngineFailed = False
        #: Further fields of the health page, for programs that launch a server.
        self.healthNote: Mapping[str, Any] = {}
        #: Called when the server has closed its listeners, since it is stopping.
        self.onDeaf: Callable[[], None] = lambda: None
        self._shutdowns: list[Callable[[], Any]] = []
        self._stop = ShutdownSequence(
            self.clock, self._stopSteps, self._stopped, "Server.stopNow() skips the wait"
        )
        self._isStopped = False
        #: Whether its rooms are being given to other nodes, or have been.
        self._hasLeft = False
        #: Whether it accepts no clients until `stay`; see `drain`.
        self._isDrained = False

    def _startOf(self, engine: EngineService) -> EngineStart:
        return EngineStart(engine, self.clock, lambda: self._listeners.open(), self._engineFailed)

    def useEngine(self, engine: EngineService) -> None:
        """Replace the engine. Raises `RuntimeError` if the server has been started."""
        if self._engineStart.isBegun or self.running:
            raise RuntimeError("the engine can only be changed before the server starts")
        self.engine = engine
        self._engineStart = self._startOf(engine)

    # -- for subclasses

    @property
    def _isUnused(self) -> bool:
        """Whether no connection was ever opened."""
        raise NotImplementedError

    def _closingSteps(self) -> Iterator[ShutdownStep]:
        """Yield the steps of a shutdown that follow the closing of the listeners."""
        raise NotImplementedError

    def _engineFailed(self, failure: Failure) -> None:
        """Called if the engine can't start or can't go on, or the ports can't be opened then: stop."""
        self._log.critical("the server can't run: {why}", why=failure.getErrorMessage(), failure=failure)
        self._hasEngineFailed = True
        self._listeners.failed(failure)
        if self.running:
            self.stopService()
        if self.onEngineFailed is not None:
            self.onEngineFailed(failure)
        else:
            self._log.error(
                "this server stops, and its process goes on without it: "
                "set Server.onEngineFailed to a function that ends the process"
            )

    def _problem(self) -> str | None:
        """Return what is wrong with the engine, for the health page; `None`: nothing."""
        return "the server can't run: see its log" if self._hasEngineFailed else self.engine.health()

    def healthPage(self) -> HealthPage:
        """Make a page that says how this server is."""
        return HealthPage(
            lambda: self.isDraining and not self._hasEngineFailed,
            self.stallDetector,
            self._problem,
            lambda: self.healthNote,
        )

    # -- listening

    def listen(self, where: ListenTarget) -> Deferred[IListeningPort]:
        """
        Listen on an endpoint.

        The server listens when it starts, or at once if it is running, and again at each later start. A port
        that is taken makes the start fail.

        Args:
            where: An endpoint, a description of one such as "tcp:8080" or "unix:/run/chat", or a port number.
                A number listens on IPv4 and IPv6, or on IPv4 alone if the kernel has no IPv6.

        Returns:
            A Deferred that fires with the port.

        Raises:
            ValueError: The description is wrong.
        """
        return self._listeners.add(where)

    def reloadCertificates(self) -> bool:
        """
        Reload the certificates of "ssl:" and "tls:" listeners, for new connections.

        Certificates that cannot be read stay in force. The first error is raised after all were tried.

        Returns:
            Whether there are any certificates to reload.
        """
        return self._listeners.reload()

    def whenListening(self, call: Callable[[], None]) -> None:
        """Call a function once when the engine has started and the listeners have been opened, or now."""
        self._engineStart.whenStarted(call)

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
        Return the address of the first port: an `IPv4Address`, `IPv6Address` or `UNIXAddress`; `None` if
        there is none.
        """
        ports = self._listeners.ports
        return ports[0].getHost() if ports else None

    def _listening(self, port: IListeningPort) -> None:
        """Called with each port that begins to listen."""
        watchAccepting(port, self.clock, lambda: self._hasLeft)
        callHook(self._log, self.onListening, port)

    # -- the service

    @property
    def isDraining(self) -> bool:
        """
        Whether the server is stopping or has stopped, or was drained. New upgrades are then refused with 503.
        """
        return self._stop.isRunning or self._isStopped or self._isDrained

    def drain(self) -> Deferred[int]:
        """
        Accept no more clients, and give all rooms to the other nodes of the cluster, if there are any.

        From now on upgrades and requests for the health page get 503, so that load balancers send clients
        elsewhere. Clients keep their connections, and their rooms, wherever these are. `stay` undoes it.
        Nodes that are drained or stop get no rooms. If there are no others, the rooms stay here.

        Returns:
            A Deferred of the number of rooms that were given away; 0 if the server was drained before. It
            fails with `HandoverFailed` if another node can't be reached or can't open a room. This server
            then serves as before.
        """
        if self._isDrained:
            return succeed(0)
        self._isDrained = True
        nodes = [node.id for node in self.engine.nodes()[1:] if not node.isLeaving]
        return self.engine.leave(nodes).addErrback(self._notDrained) if nodes else succeed(0)

    def _notDrained(self, failure: Failure) -> Any:
        error = failure.value
        return error.given if isinstance(error, NoTakers) else self._notLeft(failure)

    def leave(self, nodes: Sequence[str]) -> Deferred[int]:
        """
        Give all rooms to other nodes of the cluster, so that this server can stop without clients noticing.

        From now on this server accepts no connections, and opens no rooms: clients that ask for a new room
        wait. Its clients keep their connections, and resume in their rooms. A later `stopService` tells them
        to connect to other nodes at once, with 4100 for clients of rooms, and otherwise with 1012.

        Args:
            nodes: The ids of the nodes (`ClusterNodeInfo.id`) that get the rooms, which are spread over them.

        Returns:
            A Deferred of the number of rooms that were given away. It fails with `HandoverFailed` if one of
            the nodes can't be reached or can't open a room. This server then serves as before, and has that
            room again; rooms that were given away already stay where they are.

        Raises:
            TypeError: `nodes` is a string.
            ValueError: `nodes` is empty, or has this server's own node.
            RuntimeError: The server is leaving or has left already, or isn't running.
        """
        self._checkLeaving(nodes)
        self._hasLeft = True
        self._listeners.pause()
        return self.engine.leave(list(nodes)).addErrback(self._notLeft)

    def _checkLeaving(self, nodes: Sequence[str]) -> None:
        if isinstance(nodes, str):
            raise TypeError(f"nodes={nodes!r}: must be a sequence of ids")
        if not nodes or set(nodes) & {node.id for node in self.engine.nodes()[:1]}:
            raise ValueError(f"nodes={nodes!r}: must be ids of other nodes")
        if self._hasLeft or not self.running:
            raise RuntimeError("the server has left already" if self._hasLeft else "the server isn't running")

    def _notLeft(self, failure: Failure) -> Failure:
        self.stay()
        return failure

    def stay(self) -> None:
        """
        Serve as before `leave` or `drain`: accept connections and open rooms. Rooms that were given away stay
        where they are.
        """
        if self._isDrained:
            self._isDrained = False
            self.engine.stay()
        if self._hasLeft:
            self._hasLeft = False
            self._listeners.resume()
            self.engine.stay()

    def onShutdown(self, callback: Callable[[], Any]) -> None:
        """
        Call a function first when the server stops (like Colyseus's `onShutdown`).

        Several callbacks run in the order in which they were added. The server waits for each one, if it is
        asynchronous, within `shutdownTimeout`.

        Raises:
            TypeError: `callback` is not callable.
        """
        if not callable(callback):
            raise TypeError(f"callback={callback!r}: must be callable; give the function itself, without ()")
        self._shutdowns.append(callback)

    def privilegedStartService(self) -> None:
        """
        Start the engine and open the listeners. Afterwards twistd gives up its privileges.

        An engine that needs the network can't have started before. The listeners are then opened later.
        """
        super().privilegedStartService()
        self._engineStart.begin()

    def startService(self) -> None:
        """Start serving. If the server is stopping, it starts when it has stopped."""
        if self._stop.isRunning:
            self._stop.startAfterwards(self.startService)
            return
        self._isStopped = self._hasLeft = self._isDrained = self._hasEngineFailed = False
        super().startService()
        self._engineStart.begin()
        self.stallDetector.start()

    def stopService(self) -> Deferred[None]:
        """
        Stop within `shutdownTimeout`.

        For `drainDelay` seconds, and while the `onShutdown` callbacks run, new upgrades and requests for the
        health page get 503. Then the listeners are closed, and all connections are closed: with 1001, in
        rooms with 4100; after `leave` with 1012 in place of 1001. Those that are still open at the deadline
        are dropped. Nothing is done, and no callback is called, if the server has already stopped, or if it
        was never started and never had a connection.

        Returns:
            A Deferred that fires when every connection is closed.
        """
        if self._isAtRest and not self._stop.isRunning:
            return succeed(None)
        return self._stop.run(self.options.shutdownTimeout)

    @property
    def _isAtRest(self) -> bool:
        isNew = not self._isStopped and self._isUnused and not self._engineStart.isBegun
        return not self.running and not self._listeners.isOpen and (self._isStopped or isNew)

    def close(self) -> Deferred[None]:
        """
        Stop this server alone: remove it from its parent service, if any, and stop it (like ws's `close`).
        """
        if self.parent is not None:
            return maybeDeferred(self.disownServiceParent)
        return self.stopService() if self.running else succeed(None)

    def stopNow(self) -> None:
        """
        Skip the waits of the current shutdown, or of the next one. A second signal does this.

        Connections are dropped; `onShutdown` callbacks and hooks that still run are cancelled.
        """
        self._stop.skipWaits()

    def setStopHint(self, stopHint: str) -> None:
        """
        Set the text that the log adds when a shutdown takes long, which says how to end it.

        For programs that launch a server.
        """
        self._stop.stopHint = stopHint

    def _stopSteps(self) -> Iterator[ShutdownStep]:
        """Yield the steps of a shutdown, in their order."""
        if self.options.drainDelay:
            yield ShutdownStep(
                lambda: deferLater(self._reactor, self.options.drainDelay),
                lambda: "load balancers to notice (drainDelay)",
            )
        yield from map(callbackStep, self._shutdowns)
        yield ShutdownStep(self._listeners.close, lambda: "ports to close")
        self.onDeaf()
        yield from self._closingSteps()
        yield ShutdownStep(self._engineStart.stop, lambda: "the engine to stop", LAST_SERVICES_TIMEOUT)
        self.stallDetector.stop()
        stop = partial(MultiService.stopService, self)
        yield ShutdownStep(stop, lambda: "services in this one", LAST_SERVICES_TIMEOUT)

    def _stopped(self) -> None:
        """Called after the last step of a shutdown."""
        self._isStopped = True
        callHook(self._log, self.onClose)
