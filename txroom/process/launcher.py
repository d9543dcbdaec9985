"""
A server in a process of its own: how it starts, what signals do, and what the log says of it.
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

from ..service.health import INTERVAL, STALL
from ..service.server import Server
from ..service.unixsocket import chownSocket
from .announcing import describePort, describeServed
from .gctuning import relaxCollector
from .loading import inOneLine
from .logs import LogFiles, filterLog
from .watchdog import Watchdog


class StartError(SystemExit, Exception):
    """
    Why the service can't start, in one line.

    As an `Exception` it makes twistd remove its pid file, and tell the parent of a daemon; as a `SystemExit`
    it then ends the process with status 1, and the interpreter prints no traceback.
    """

    # Of what twistd tells the parent of a daemon, this name comes first, and 100 characters are left of it.
    __module__ = "txroom"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.code = 1


class LaunchedServer(MultiService):
    """
    A server that has a process to itself, with what such a process does at signals, for its log and memory.

    The first SIGTERM or SIGINT stops it within its deadline, the second one at once; SIGHUP reads
    certificates again, and opens the files of the log again.

    Args:
        server: What is launched.
        reactor: The reactor that runs it.
        level: Filters the log for a launcher that can't do that itself.
        gcThreshold: For `relaxCollector`; 0 leaves the garbage collector alone.
        user: The ids of the user and the group that get the UNIX sockets.
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
        self._isReloading = False
        server.setStopHint("a second signal ends it")
        server.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Bind the listeners, while twistd still may."""
        if self._level is not None:
            filterLog(self._level)
            self._level = None
        self._begin(super().privilegedStartService)
        if self._user is not None:
            for port in self.server.ports:
                chownSocket(port, *self._user)

    def startService(self) -> None:
        """Serve."""
        self._begin(super().startService)
        self._watchdog = Watchdog(INTERVAL + STALL)
        self._watchdog.start()
        self.server.stallDetector.onCheck = self._watchdog.beat
        if self._gcThreshold:
            self._restoreCollector = relaxCollector(self._gcThreshold)
        signal.signal(signal.SIGHUP, self._hangUp)
        self._reactor.callWhenRunning(self._announce)

    def _begin(self, start: Callable[[], None]) -> None:
        """Start; a port that can't be had ends the process with one line, on the terminal and in the log."""
        try:
            start()
        except (CannotListenError, OSError, OverflowError) as error:
            why = inOneLine(error)
            self._log.error("{why}", why=why)
            print(f"txroom: {why}", file=sys.__stderr__)
            raise StartError(why) from None

    def stopService(self) -> Deferred[Any]:
        """Drain and stop, see `Server.stopService`."""
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
        """Say what is served where; whoever reads that may send a signal at once."""
        self._handleSignals()
        for port in self.server.ports:
            self._log.info("listening: {where}", where=describePort(port))
        for line in describeServed(self.server):
            self._log.info("{line}", line=line)

    def _handleSignals(self) -> None:
        """Put our handlers in front of Twisted's, which are there now that the reactor runs."""
        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            if callable(previous):
                signal.signal(number, self._stopHandler(previous))

    def _stopHandler(
        self, first: Callable[[int, FrameType | None], Any]
    ) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            if self._isStopping:
                self._reactor.callFromThread(self.server.stopNow)
            else:
                self._isStopping = True
                first(number, frame)

        return handle

    def _hangUp(self, number: int, frame: FrameType | None) -> None:
        if not self._isReloading:
            self._isReloading = True
            self._reactor.callFromThread(self._reload)

    def _reload(self) -> None:
        self._isReloading = False
        for problem in LogFiles().reopen():
            self._log.error("the log could not be opened again: {problem}", problem=problem)
        try:
            isReloaded = self.server.reloadCertificates()
        except Exception as error:
            self._log.error(
                "the certificates were not reloaded, those in force stay: {why}", why=inOneLine(error)
            )
        else:
            what = "the certificates were reloaded" if isReloaded else "there are no certificates to reload"
            self._log.info("SIGHUP: {what}", what=what)
