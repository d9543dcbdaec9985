"""
A server that runs as a process of its own: start, signals and log lines.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogLevelFilterPredicate
from twisted.python.failure import Failure

from ..server import Server
from ..service.health import INTERVAL, STALL
from ..service.operating.managing import OwnManager
from ..service.unixsocket import chownSocket
from .announcing import describeAdmin, describePort, describeServed
from .gctuning import keepFreedMemory, relaxCollector
from .jsonlog import logAsJSON
from .loading import inOneLine
from .logs import filterLog, reopenLogs, setLevel
from .signals import ProcessSignals
from .starting import exitBecause, startOrExit
from .watchdog import Watchdog


class LaunchedServer(MultiService):
    """
    A server with the signals, log files and memory settings of a process of its own.

    The first SIGTERM or SIGINT stops the server within `shutdownTimeout`, and the second stops it at once.
    SIGHUP reloads certificates and reopens log files.

    Args:
        server: The server.
        reactor: The reactor that runs it.
        level: The lowest level to log, if the launcher can't filter the log itself; otherwise `None`.
        gcThreshold: The argument of `relaxCollector`; 0 leaves the garbage collector unchanged.
        user: The ids of the user and group that become the owners of UNIX sockets.
    """

    _log = Logger()

    def __init__(
        self,
        server: Server,
        reactor: Any,
        level: Any = None,
        gcThreshold: int = 0,
        user: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        #: Whether the log is written as JSON.
        self.logsJSON = False
        self._gcThreshold = gcThreshold
        self._restoreCollector: Callable[[], None] | None = None
        self.server = server
        self._reactor = reactor
        self._level = level
        self._user = user
        self._watchdog: Watchdog | None = None
        self._signals = ProcessSignals(reactor, server.stopNow, self._hangUp)
        server.setStopHint("a second signal skips the wait")
        server.onEngineFailed = self._engineFailed
        manager = OwnManager(server)
        manager.onReload = self._hangUp
        server.operations.manager = manager
        server.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Open the listeners, while twistd has its privileges."""
        if self.logsJSON:
            logAsJSON()
        if self._level is not None:
            levels = self.server.operations.logLevels
            levels.level, levels.change = self._level.name, partial(self._setLevel, filterLog(self._level))
            self._level = None
        startOrExit(self._log, self._reactor, super().privilegedStartService)
        if self._user is not None:
            for port in [*self.server.ports, *self.server.adminPorts]:
                chownSocket(port, *self._user)

    def _setLevel(self, predicate: LogLevelFilterPredicate, level: str) -> None:
        """Change the level of the log. With "debug" every event of every connection is logged."""
        setLevel(predicate, level)
        self.server.setDebug(level == "debug")

    def startService(self) -> None:
        """Start serving."""
        startOrExit(self._log, self._reactor, super().startService)
        self._watchdog = Watchdog(INTERVAL + STALL)
        self._watchdog.start()
        self.server.stallDetector.onCheck = self._watchdog.beat
        self.server.stallDetector.takeStack = self._watchdog.takeStack
        keepFreedMemory()
        if self._gcThreshold:
            self._restoreCollector = relaxCollector(self._gcThreshold)
        self._signals.handleHangUp()
        self._reactor.callWhenRunning(self._announce)

    def _engineFailed(self, failure: Failure) -> None:
        """End the process with status 1, because the engine can't run. The server has logged why."""
        exitBecause(self._reactor, failure.getErrorMessage())

    def stopService(self) -> Deferred[Any]:
        """Stop the server; see `Server.stopService`."""
        stopping: Deferred[Any] = super().stopService()
        return stopping.addBoth(self._stopped)

    def _stopped(self, result: Any) -> Any:
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._restoreCollector is not None:
            self._restoreCollector()
            self._restoreCollector = None
        return result

    def _announce(self) -> None:
        """
        Announce what is served where. The signal handlers come first, because readers of the log may send
        signals at once.
        """
        self._signals.handleStops()
        self.server.whenListening(self._describe)

    def _describe(self) -> None:
        ports = [f"listening: {describePort(port)}" for port in self.server.ports]
        admins = [f"admin: {describeAdmin(port)}" for port in self.server.adminPorts]
        self._announced([*ports, *admins, *describeServed(self.server)])

    def _announced(self, lines: list[str]) -> None:
        """Log what is served where."""
        for line in lines:
            self._log.info("{line}", line=line)

    def _hangUp(self) -> None:
        reopenLogs(self._log)
        if self.reloadCertificates() is False:
            self._log.info("SIGHUP: there are no certificates to reload")

    def reloadCertificates(self) -> bool | None:
        """Reload the certificates, and log that. Returns whether there are any; `None`: it has failed."""
        try:
            isReloaded = self.server.reloadCertificates()
        except Exception as error:
            self._log.error(
                "the certificates could not be reloaded, the old ones stay in force: {why}",
                why=inOneLine(error),
            )
            return None
        if isReloaded:
            self._log.info("the certificates were reloaded")
        return isReloaded
