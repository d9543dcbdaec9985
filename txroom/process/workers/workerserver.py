"""
The server of a worker, and what its parent tells it.
"""

from __future__ import annotations

import gc
import math
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import attrs
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall
from twisted.logger import LogLevel, globalLogBeginner
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from zope.interface import implementer

from ...admin.endedsessions import EndedSessions
from ...engine.memory import ONLY_NODE
from ...server import Server
from ...service.endpoints import inheritedEndpoint
from ...service.workerplace import WorkerPlace
from ..adminsettings import addAdmins
from ..jsonlog import fieldsOf
from ..launcher import LaunchedServer
from ..monotonic import useMonotonicClock
from ..serving import listenOn, serverFor
from .managing import ParentManager
from .orphan import HURRY, OrphanThread
from .output import RecordObserver
from .outputpipe import useOutputPipes
from .pipe import (
    FROM_PARENT,
    TO_PARENT,
    Answer,
    Deaf,
    Down,
    Gone,
    Group,
    Joining,
    Leave,
    Left,
    Message,
    Messages,
    Ready,
    ReloadCertificates,
    Renewed,
    Report,
    SessionEnded,
    Start,
    Stay,
    Stop,
    StopNow,
    encode,
)

#: The seconds between two reports, if something has changed.
REPORT = 1.0
#: Each of so many is sent although nothing has changed, so that the parent knows that this worker goes on.
UNCHANGED = 2


def serve(start: Start, messages: Messages[Down], more: Iterable[Down]) -> None:
    """
    Run the reactor until the worker has stopped.

    Args:
        start: What to serve.
        messages: Reads the messages of the parent.
        more: Messages that came together with `start`.
    """
    from twisted.internet import reactor

    OrphanThread(FROM_PARENT).start()
    anyReactor: Any = reactor
    useMonotonicClock(reactor)
    observer = RecordObserver(useOutputPipes(reactor).write, fieldsOf)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    try:
        server = makeWorkerServer(start, reactor)
    except UsageError as error:
        raise SystemExit(f"txroom: {error}") from None
    gc.enable()  # see `worker.main`
    pipe = ParentPipe(messages)
    service = WorkerServer(start, server, reactor, pipe.send)
    pipe.onMessage, pipe.onLost = service.received, service.orphaned
    service.mayReport = lambda: not pipe.isFull
    service.privilegedStartService()
    service.startService()
    anyReactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    makePipe: Any = StandardIO  # whose annotations are those of Windows too
    makePipe(pipe, FROM_PARENT, TO_PARENT, reactor)
    for message in more:
        anyReactor.callWhenRunning(service.received, message)
    anyReactor.run()


def makeWorkerServer(start: Start, reactor: Any) -> Server:
    """Make the server of a worker. Raises `UsageError`."""
    sys.path.insert(0, start.settings.appDir)
    server = serverFor(start.settings, reactor)
    if server.hasListeners:
        raise UsageError(
            f"--app {start.settings.app}: with --workers it must not listen by itself; use --listen or --port"
        )
    if server.hasAdmins:
        raise UsageError(f"--app {start.settings.app}: with --workers it must not call addAdmin; use --admin")
    divideConnections(server, start.count)
    server.worker = WorkerPlace(start.slot, os.getppid(), start.seed)
    server.endedSessions = EndedSessions(known=start.ended)
    admin = start.settings.admin
    sockets = [each for each in start.sockets if each.where not in admin.wheres]
    listenOn(server, [inheritedEndpoint(reactor, each.where, each.descriptor) for each in sockets])
    addAdmins(server, admin, {str(each.where): each.descriptor for each in start.sockets})
    return server


def divideConnections(server: Server, count: int) -> None:
    """Let a server, and each of its applications, have its share of `maxConnections`."""
    overrides = [(application, application.overrides) for application in server.applications]
    if server.options.maxConnections:
        server.overrideOptions({"maxConnections": math.ceil(server.options.maxConnections / count)})
    for application, given in overrides:
        if given.get("maxConnections"):
            share = math.ceil(given["maxConnections"] / count)
            application.overrides = {**given, "maxConnections": share}


@implementer(IPushProducer)
class ParentPipe(Protocol):
    """
    The pipe to the parent.

    Args:
        messages: Reads the messages.
    """

    transport: Any

    def __init__(self, messages: Messages[Down]) -> None:
        self._messages = messages
        #: Whether the parent has not read what was sent, of which there is much.
        self.isFull = False
        #: Called with each message, and at the end of the pipe, because the parent is gone.
        self.onMessage: Callable[[Down], None]
        self.onLost: Callable[[], None]

    def send(self, message: Message) -> None:
        """Send a message to the parent."""
        self.transport.write(encode(message))

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """The parent stands still; see `IPushProducer`."""
        self.isFull = True

    def resumeProducing(self) -> None:
        """The parent has read everything."""
        self.isFull = False

    def stopProducing(self) -> None:
        """The pipe is closed."""

    def dataReceived(self, data: bytes) -> None:
        for message in self._messages.feed(data):
            self.onMessage(message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.onLost()


class WorkerServer(LaunchedServer):
    """
    The server of a worker.

    Args:
        start: What it serves.
        server: The server.
        reactor: The reactor.
        send: Sends a message to the parent.
    """

    def __init__(self, start: Start, server: Server, reactor: Any, send: Callable[[Message], None]) -> None:
        settings = start.settings
        level = LogLevel.levelWithName(settings.logLevel or "info")
        super().__init__(server, reactor, level, settings.gcThreshold)
        self._send = send
        #: Returns whether the parent reads what it is sent. It gets no reports while it does not.
        self.mayReport: Callable[[], bool] = lambda: True
        self._health = server.healthPage()
        self._reported: Report | None = None
        #: How many were not sent since then.
        self._unsent = 0
        self._reports = LoopingCall(self._report)
        self._reports.clock = reactor
        server.onDeaf = lambda: send(Deaf())
        self._manager = ParentManager(send, reactor)
        server.operations.manager = self._manager
        server.endedSessions.tell = self._manager.endSession
        self._grouped(Group(start.count, start.running))

    def _announce(self) -> None:
        node = next((each.id for each in self.server.engine.nodes()), ONLY_NODE)
        if node != ONLY_NODE:
            self._send(Joining(node))
        super()._announce()

    def _announced(self, lines: list[str]) -> None:
        self._send(Ready(self.server.options.shutdownTimeout, lines))
        self._reports.start(REPORT)

    def _report(self) -> None:
        if not self.mayReport():
            return
        report = Report(self._health.report()["status"], attrs.asdict(self.server.stats()))
        self._unsent += 1
        if report != self._reported or self._unsent >= UNCHANGED:
            self._reported, self._unsent = report, 0
            self._send(report)

    def _stopped(self, result: Any) -> Any:
        if self._reports.running:
            self._report()
            self._reports.stop()
        return super()._stopped(result)

    # -- the parent's messages

    def received(self, message: Down) -> None:
        """Do what the parent says."""
        if isinstance(message, Stop) and message.seconds:
            maybeDeferred(self.server.sendAway, message.seconds).addBoth(lambda _: self.stop())
        elif isinstance(message, Stop):
            self.stop()
        elif isinstance(message, StopNow):
            self.server.stopNow()
            self.stop()
        elif isinstance(message, ReloadCertificates):
            self.reloadCertificates()
        elif isinstance(message, Leave):
            maybeDeferred(self.server.leave, message.nodes).addCallbacks(self._left, self._notLeft)
        elif isinstance(message, Stay):
            self.server.stay()
        elif isinstance(message, Renewed):
            engine: Any = self.server.engine  # of the parent's store
            engine.dataRenewed(message.run)
        elif isinstance(message, Gone):
            for node in message.nodes:
                self.server.engine.nodeEnded(node)
        elif isinstance(message, SessionEnded):
            self.server.endedSessions.add(message.session)
        elif isinstance(message, Group):
            self._grouped(message)
        elif isinstance(message, Answer):
            self._manager.answered(message)

    def orphaned(self) -> None:
        """Stop, because the parent is gone, and wait for at most `HURRY` seconds; see `orphan`."""
        self._reactor.callLater(HURRY, self.server.stopNow)
        self.stop()

    def stop(self) -> None:
        """Stop, because the parent says so or is gone."""
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            pass  # it is stopping already

    def _left(self, rooms: int) -> None:
        self._send(Left(rooms))

    def _notLeft(self, failure: Failure) -> None:
        self._send(Left(problem=failure.getErrorMessage()))

    def _grouped(self, group: Group) -> None:
        note = {
            "status": "ok" if group.isWell else "degraded",
            "workers": group.workers,
            "running": group.running,
        }
        self.server.healthNote = {**note, "troubled": group.troubled} if group.troubled else note
