"""
Tests for a server that runs as a process of its own.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import CannotListenError
from twisted.logger import LogEvent, Logger, LogLevel, LogLevelFilterPredicate, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from txroom import Server
from txroom.engine.memory import MemoryEngine
from txroom.process import launcher
from txroom.process.launcher import LaunchedServer
from txroom.process.logs import LogFiles
from txroom.process.starting import StartError
from txroom.testing import MemoryReactor


class SignallingReactor(MemoryReactor):
    """A reactor in memory for calls from signal handlers."""

    def callFromThread(self, function: Callable[..., Any], *args: Any, **more: Any) -> None:
        self.callLater(0, function, *args, **more)


class LaunchedServerTests(SynchronousTestCase):
    """`LaunchedServer`."""

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
        """The garbage collector is relaxed while the service runs."""
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
        """Return which signals are handled when an event is logged."""
        handled[formatEvent(event)] = set(self.handlers)

    def test_announced(self) -> None:
        """When the log says that the server listens, all signals are handled; SIGHUP already before."""
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

    def test_stopHint(self) -> None:
        """When the log says what the server waits for, it also says how to skip the wait."""
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
        """Two signals in one turn count as two, although the server has not begun to stop."""
        self.start()
        self.server.onShutdown(Deferred)
        for _ in range(2):
            self.handlers[signal.SIGTERM](signal.SIGTERM, None)
        self.reactor.flush()
        stopping = self.service.stopService()
        self.reactor.flush()
        self.successResultOf(stopping)

    def test_moreSignals(self) -> None:
        """Signals after the second do nothing."""
        self.start()
        calls: list[Any] = []
        self.patch(self.reactor, "callFromThread", calls.append)
        for _ in range(5):
            self.handlers[signal.SIGTERM](signal.SIGTERM, None)
        self.assertEqual(calls, [self.server.stopNow])

    def test_hangUp(self) -> None:
        """SIGHUP reloads certificates, once for several signals in a turn; errors are only logged."""
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
        """The log says what SIGHUP has done, and why a log file could not be reopened."""
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
                "the certificates were reloaded",
            ],
        )

    def test_user(self) -> None:
        """The later user of the process becomes the owner of UNIX sockets."""
        given: list[Any] = []
        self.patch(launcher, "chownSocket", lambda port, user, group: given.append((port, user, group)))
        self.service.privilegedStartService()
        self.assertEqual(given, [])
        self.service = LaunchedServer(self.server, self.reactor, user=(65534, 7))
        self.start()
        self.assertEqual(given, [(self.server.ports[0], 65534, 7)])

    def test_watchdog(self) -> None:
        """The watchdog runs with the service, and gets a beat at each check."""
        self.start()
        watchdog = self.service._watchdog
        assert watchdog is not None
        self.assertTrue(watchdog.is_alive())
        self.assertEqual(self.server.stallDetector.onCheck, watchdog.beat)
        self.assertEqual(self.server.stallDetector.takeStack, watchdog.takeStack)
        self.stop()
        self.assertFalse(watchdog.is_alive())

    def test_busy(self) -> None:
        """A port that is taken is an error of one line."""
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
        """One line is printed and logged without a traceback; other errors keep their traceback."""
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

    def failingEngine(self, starting: Deferred[None]) -> io.StringIO:
        """Launch a server whose engine starts, or doesn't, with that result. Returns what is printed."""

        class Engine(MemoryEngine):
            def start(self, clock: Any, failed: Any) -> Deferred[None]:
                return starting

        self.server = Server(clock=self.reactor, engine=Engine())
        self.service = LaunchedServer(self.server, self.reactor)
        printed = io.StringIO()
        self.patch(sys, "__stderr__", printed)
        return printed

    def test_engine(self) -> None:
        """An engine that can't start is an error of one line."""
        printed = self.failingEngine(fail(OSError("no such file")))
        error = self.assertRaises(StartError, self.service.privilegedStartService)
        self.assertEqual((str(error), printed.getvalue()), ("no such file", "txroom: no such file\n"))
        self.flushLoggedErrors(OSError)

    def test_engineLater(self) -> None:
        """An engine that turns out later not to start ends the process with one line and status 1."""
        starting: Deferred[None] = Deferred()
        printed = self.failingEngine(starting)
        stopped: list[None] = []
        atExit: list[Any] = []
        ended: list[int] = []
        self.patch(self.reactor, "stop", lambda: stopped.append(None))
        self.patch(self.reactor, "running", True)
        self.patch(atexit, "register", atExit.append)
        self.patch(os, "_exit", ended.append)
        self.service.privilegedStartService()
        starting.errback(OSError("no such host"))
        self.flushLoggedErrors(OSError)
        self.assertEqual((printed.getvalue(), stopped), ("txroom: no such host\n", [None]))
        atExit[0]()
        self.assertEqual(ended, [1])

    def test_otherErrors(self) -> None:
        """An error in a user's own service keeps its traceback."""

        def fail() -> None:
            raise ZeroDivisionError

        self.patch(self.server, "privilegedStartService", fail)
        self.assertRaises(ZeroDivisionError, self.service.privilegedStartService)

    def test_once(self) -> None:
        """The log is filtered at the start, once. Its level can be changed; with debug, events are logged."""
        levels: list[Any] = []
        predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)

        def filterLog(level: Any) -> LogLevelFilterPredicate:
            levels.append(level)
            return predicate

        self.patch(launcher, "filterLog", filterLog)
        reactor = MemoryReactor()
        service = LaunchedServer(Server(clock=reactor), reactor, LogLevel.warn)
        service.privilegedStartService()
        service.privilegedStartService()
        self.assertEqual(levels, [LogLevel.warn])
        for level, isTracing in (("debug", True), ("error", False)):
            service.server.operations.logLevels.set(level)
            self.assertEqual(predicate.logLevelForNamespace("x").name, level)
            self.assertEqual(service.server._gateway.context.isTracing, isTracing)
