"""
A server that runs as a process of its own: start, signals and log lines.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..service.health import INTERVAL, STALL
from ..service.server import Server
from ..service.unixsocket import chownSocket
from .announcing import describePort, describeServed
from .exitstatus import exitWithError
from .gctuning import keepFreedMemory, relaxCollector
from .loading import inOneLine
from .logs import LogFiles, filterLog
from .watchdog import Watchdog


class StartError(SystemExit, Exception):
    """
    The reason why the service can't start, in one line.

    Because it is an `Exception`, twistd removes its pid file and informs the parent process of a daemon.
    Because it is a `SystemExit`, it then ends the process with status 1, and the interpreter prints no
    traceback.
    """

    # twistd sends the parent process of a daemon this name and the message, cut to 100 characters.
    __module__ = "txroom"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.code = 1


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
        self._gcThreshold = gcThreshold
        self._restoreCollector: Callable[[], None] | None = None
        self.server = server
        self._reactor = reactor
        self._level = level
        self._user = user
        self._watchdog: Watchdog | None = None
        self._isStopping = False
        self._isStoppingNow = False
        self._isReloading = False
        server.setStopHint("a second signal skips the wait")
        server.onEngineFailed = self._engineFailed
        server.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Open the listeners, while twistd has its privileges."""
        if self._level is not None:
            filterLog(self._level)
            self._level = None
        self._begin(super().privilegedStartService)
        if self._user is not None:
            for port in self.server.ports:
                chownSocket(port, *self._user)

    def startService(self) -> None:
        """Start serving."""
        self._begin(super().startService)
        self._watchdog = Watchdog(INTERVAL + STALL)
        self._watchdog.start()
        self.server.stallDetector.onCheck = self._watchdog.beat
        keepFreedMemory()
        if self._gcThreshold:
            self._restoreCollector = relaxCollector(self._gcThreshold)
        signal.signal(signal.SIGHUP, self._hangUp)
        self._reactor.callWhenRunning(self._announce)

    def _begin(self, start: Callable[[], None]) -> None:
        """
        Call `start`. If a port can't be opened, end the process with one line, on the terminal and in the
        log.
        """
        try:
            start()
        except (CannotListenError, OSError, OverflowError) as error:
            why = inOneLine(error)
            self._log.error("{why}", why=why)
            print(f"txroom: {why}", file=sys.__stderr__)
            raise StartError(why) from None

    def _engineFailed(self, failure: Failure) -> None:
        """End the process with status 1, because the engine can't run. The server has logged why."""
        why = failure.getErrorMessage()
        print(f"txroom: {why}", file=sys.__stderr__)
        if not self._reactor.running:
            raise StartError(why)
        exitWithError()
        self._reactor.stop()

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
        Log what is served where. The signal handlers come first, because readers of the log may send signals
        at once.
        """
        self._handleSignals()
        self.server.whenListening(self._describe)

    def _describe(self) -> None:
        for port in self.server.ports:
            self._log.info("listening: {where}", where=describePort(port))
        for line in describeServed(self.server):
            self._log.info("{line}", line=line)

    def _handleSignals(self) -> None:
        """Put the signal handlers in front of Twisted's, which exist now that the reactor is running."""
        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            if callable(previous):
                signal.signal(number, self._stopHandler(previous))

    def _stopHandler(
        self, first: Callable[[int, FrameType | None], Any]
    ) -> Callable[[int, FrameType | None], None]:
        # Only the first two signals do something: a handler may be interrupted by the next signal, and many
        # handlers that interrupt each other exceed Python's recursion limit.
        def handle(number: int, frame: FrameType | None) -> None:
            if not self._isStopping:
                self._isStopping = True
                first(number, frame)
            elif not self._isStoppingNow:
                self._isStoppingNow = True
                self._reactor.callFromThread(self.server.stopNow)

        return handle

    def _hangUp(self, number: int, frame: FrameType | None) -> None:
        if not self._isReloading:
            self._isReloading = True
            self._reactor.callFromThread(self._reload)

    def _reload(self) -> None:
        self._isReloading = False
        for problem in LogFiles().reopen():
            self._log.error(
                "a log file could not be reopened, the old one is kept: {problem}", problem=problem
            )
        try:
            isReloaded = self.server.reloadCertificates()
        except Exception as error:
            self._log.error(
                "the certificates could not be reloaded, the old ones stay in force: {why}",
                why=inOneLine(error),
            )
        else:
            what = "the certificates were reloaded" if isReloaded else "there are no certificates to reload"
            self._log.info("SIGHUP: {what}", what=what)
