"""A server in a process of its own."""

from __future__ import annotations

import gc
import io
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import LogEvent, Logger, LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from txroom import Server
from txroom.process import launcher
from txroom.process.launcher import LaunchedServer, StartError
from txroom.process.logs import LogFiles
from txroom.testing import MemoryReactor


class SignallingReactor(MemoryReactor):
    """A reactor in memory that takes calls of signal handlers."""

    def callFromThread(self, function: Callable[..., Any], *args: Any, **more: Any) -> None:
        self.callLater(0, function, *args, **more)


class LaunchedServerTests(SynchronousTestCase):
    """The process around a server."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = SignallingReactor()
        self.server = Server(clock=self.reactor)
        self.server.listen("tcp:8080")
        self.service = LaunchedServer(self.server, self.reactor)
        self.handlers: dict[int, Any] = {}
        self.first: list[int] = []
        self.patch(signal, "getsignal", lambda number: lambda number, frame: self.first.append(number))
        self.patch(signal, "signal", self.handlers.__setitem__)

    def test_collector(self) -> None:
        """The garbage collector is relaxed as long as the service runs."""
        before = gc.get_threshold()
        self.service = LaunchedServer(self.server, self.reactor, gcThreshold=5000)
        self.start()
        self.assertEqual(gc.get_threshold()[0], 5000)
        self.stop()
        self.assertEqual((gc.get_threshold(), gc.get_freeze_count()), (before, 0))

    def start(self) -> None:
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.stop)
        for hook, args, more in self.reactor.whenRunningHooks:
            hook(*args, **more)

    def stop(self) -> None:
        if not self.service.running:
            return
        stopping = self.service.stopService()
        self.reactor.flush()
        self.successResultOf(stopping)

    def test_signals(self) -> None:
        """The first signal goes to Twisted, the second makes the server stop at once."""
        self.start()
        self.server.onShutdown(Deferred)
        self.handlers[signal.SIGTERM](signal.SIGTERM, None)
        self.assertEqual(self.first, [signal.SIGTERM])
        stopping = self.service.stopService()
        self.reactor.flush()
        self.assertNoResult(stopping)
        self.handlers[signal.SIGINT](signal.SIGINT, None)
        self.reactor.flush()
        self.successResultOf(stopping)
        self.assertEqual(self.first, [signal.SIGTERM])

    def note(self, handled: dict[str, set[int]], event: LogEvent) -> None:
        """Which signals are handled when something is logged."""
        handled[formatEvent(event)] = set(self.handlers)

    def test_announced(self) -> None:
        """Who reads that it listens may send any signal; SIGHUP, which Twisted leaves alone, even before."""
        handled: dict[str, set[int]] = {}
        with capturedLogs() as events:
            self.service.privilegedStartService()
            self.service.startService()
            self.addCleanup(self.stop)
            self.assertEqual(([*map(formatEvent, events)], set(self.handlers)), ([], {signal.SIGHUP}))
            observer: Any = partial(self.note, handled)
            self.service._log = Logger(observer=observer)
            for hook, args, more in self.reactor.whenRunningHooks:
                hook(*args, **more)
        (said,) = [line for line in handled if line.startswith("listening: ")]
        self.assertEqual(handled[said], {signal.SIGHUP, signal.SIGTERM, signal.SIGINT})

    def test_wayOut(self) -> None:
        """Who sees in the log what the server waits for reads there what to do."""
        self.start()
        self.server.onShutdown(Deferred)
        with capturedLogs() as events:
            self.handlers[signal.SIGTERM](signal.SIGTERM, None)
            self.service.stopService()
            self.reactor.advance(1)
        said = [formatEvent(event) for event in events]
        self.assertIn(
            "stopping: waiting for the onShutdown callback Deferred, 9 s at most; "
            "a second signal skips the wait",
            said,
        )
        self.server.stopNow()

    def test_secondAtOnce(self) -> None:
        """Two signals in one turn are two: the second came before the server began to stop."""
        self.start()
        self.server.onShutdown(Deferred)
        for _ in range(2):
            self.handlers[signal.SIGTERM](signal.SIGTERM, None)
        self.reactor.flush()
        stopping = self.service.stopService()
        self.reactor.flush()
        self.successResultOf(stopping)

    def test_hangUp(self) -> None:
        """SIGHUP reads certificates again, once for a burst of them; errors are logged and no more."""
        reloads: list[int] = []
        self.patch(self.server, "reloadCertificates", lambda: reloads.append(1))
        self.start()
        for _ in range(100):
            self.handlers[signal.SIGHUP](signal.SIGHUP, None)
        self.reactor.flush()
        self.assertEqual(reloads, [1])
        self.patch(self.server, "reloadCertificates", lambda: 1 / 0)
        self.handlers[signal.SIGHUP](signal.SIGHUP, None)
        self.reactor.flush()
        self.assertEqual(len(self.server.ports), 1)

    def test_hangUpSays(self) -> None:
        """What SIGHUP has done, also if that is nothing; and why a file of the log stays as it was."""
        self.start()
        problems: list[str] = []
        self.patch(LogFiles, "reopen", lambda files: problems)
        said = []
        for isReloaded in (False, True):
            self.patch(self.server, "reloadCertificates", lambda isReloaded=isReloaded: isReloaded)
            with capturedLogs() as events:
                self.handlers[signal.SIGHUP](signal.SIGHUP, None)
                self.reactor.flush()
            said += [formatEvent(event) for event in events]
            problems.append("/var/log/chat.log: Permission denied")
        self.assertEqual(
            said,
            [
                "SIGHUP: there are no certificates to reload",
                "a log file could not be reopened, the old one is kept: /var/log/chat.log: Permission denied",
                "SIGHUP: the certificates were reloaded",
            ],
        )

    def test_user(self) -> None:
        """Who the process will be gets the UNIX sockets, once they are bound."""
        given: list[Any] = []
        self.patch(launcher, "chownSocket", lambda port, user, group: given.append((port, user, group)))
        self.service.privilegedStartService()
        self.assertEqual(given, [])
        self.service = LaunchedServer(self.server, self.reactor, user=(65534, 7))
        self.start()
        self.assertEqual(given, [(self.server.ports[0], 65534, 7)])

    def test_watchdog(self) -> None:
        """The watchdog runs with the service, and is told of each turn."""
        self.start()
        watchdog = self.service._watchdog
        assert watchdog is not None
        self.assertTrue(watchdog.is_alive())
        self.assertEqual(self.server.stallDetector.onCheck, watchdog.beat)
        self.stop()
        self.assertFalse(watchdog.is_alive())

    def test_busy(self) -> None:
        """A port that can't be had is an error of one line."""
        for error in (
            CannotListenError("", 8080, OSError(98, "Address already in use")),
            OSError("no"),
            OverflowError("bind(): port must be 0-65535."),
        ):
            self.assertEqual(str(self.refused(error)), str(error))

    def refused(self, error: Exception) -> StartError:
        def listen(*args: Any, **more: Any) -> None:
            raise error

        self.patch(self.reactor, "listenTCP", listen)
        told = self.assertRaises(StartError, self.service.privilegedStartService)
        assert isinstance(told, StartError)
        return told

    def test_explained(self) -> None:
        """One line is printed and logged, the interpreter adds none; other errors keep their traceback."""
        printed = io.StringIO()
        self.patch(sys, "__stderr__", printed)
        self.patch(sys, "stderr", printed)
        with capturedLogs() as events:
            error = self.refused(OSError("busy"))
        self.assertEqual([formatEvent(event) for event in events], ["busy"])
        self.assertEqual(printed.getvalue(), "txroom: busy\n")
        self.assertIsInstance(error, SystemExit)
        self.assertEqual(error.code, 1)
        sys.excepthook(ValueError, ValueError("other"), None)
        self.assertEqual(printed.getvalue(), "txroom: busy\nValueError: other\n")

    def test_otherErrors(self) -> None:
        """An error in someone's own service is theirs, with its traceback."""

        def fail() -> None:
            raise ZeroDivisionError

        self.patch(self.server, "privilegedStartService", fail)
        self.assertRaises(ZeroDivisionError, self.service.privilegedStartService)

    def test_once(self) -> None:
        """It is laid over the log when the service starts, and once."""
        levels: list[Any] = []
        self.patch(launcher, "filterLog", levels.append)
        reactor = MemoryReactor()
        service = LaunchedServer(Server(clock=reactor), reactor, LogLevel.warn)
        service.privilegedStartService()
        service.privilegedStartService()
        self.assertEqual(levels, [LogLevel.warn])
