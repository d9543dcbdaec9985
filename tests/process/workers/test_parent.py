"""
Tests for `Workers`.
"""

from __future__ import annotations

import io
import signal
import sys
from typing import Any

from twisted.application.service import IService
from twisted.internet.error import CannotListenError
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.process.workers.fakeprocesses import WorkersReactor
from txroom import OptionError
from txroom.process import Workers
from txroom.process.logs import LogFiles
from txroom.process.starting import StartError
from txroom.process.workers import parent
from txroom.process.workers.pipe import Deaf, Report, SharedSocket, Start


class WorkersTests(SynchronousTestCase):
    """`Workers`."""

    def setUp(self) -> None:
        self.reactor = WorkersReactor()
        self.handlers: dict[int, Any] = {}
        self.first: list[int] = []
        self.patch(signal, "getsignal", lambda number: lambda number, frame: self.first.append(number))
        self.patch(signal, "signal", self.handlers.__setitem__)

    def make(self, *args: Any, count: int = 2, **more: Any) -> Workers:
        return Workers(*args, reactor=self.reactor, **more).fork(count)

    def start(self, workers: Workers | None = None, serve: bool = True) -> Workers:
        workers = workers or self.make()
        workers.privilegedStartService()
        workers.startService()
        for hook, args, more in self.reactor.whenRunningHooks:
            hook(*args, **more)
        for process in self.reactor.processes if serve else ():
            process.serve("listening: here", "rooms: chat")
        return workers

    def starts(self) -> list[Start]:
        """The first messages of the workers."""
        return [process.received[0] for process in self.reactor.processes]  # type: ignore[misc]

    # -- sockets

    def test_service(self) -> None:
        """It is a service of Twisted."""
        self.assertTrue(IService.providedBy(self.make()))

    def test_default(self) -> None:
        """Without `listen` it is port 8080, on IPv4 and IPv6."""
        self.start()
        self.assertEqual([port.getHost().port for port in self.reactor.ports], [8080])  # type: ignore[attr-defined]
        self.assertEqual(self.starts()[0].sockets, [SharedSocket(8080, 5)])

    def test_sockets(self) -> None:
        """Each socket is opened once, before the workers start, and nothing is accepted in the parent."""
        workers = self.make()
        workers.listen("tcp:81")
        workers.listen("haproxy:unix:/run/chat")
        workers.privilegedStartService()
        self.assertEqual((len(self.reactor.ports), self.reactor.processes), (2, []))
        self.start(workers)
        self.assertEqual(len(self.reactor.ports), 2)
        self.assertEqual([port.isReading for port in self.reactor.ports], [False] * 2)  # type: ignore[attr-defined]
        for start, spawned in zip(self.starts(), self.reactor.spawned, strict=True):
            self.assertEqual(
                start.sockets, [SharedSocket("tcp:81", 5), SharedSocket("haproxy:unix:/run/chat", 6)]
            )
            self.assertEqual((spawned["childFDs"][5], spawned["childFDs"][6]), (50, 51))

    def test_backlog(self) -> None:
        """The option `backlog` applies to the sockets of the parent."""
        self.start(self.make(options={"backlog": 7}))
        self.assertEqual([server[2] for server in self.reactor.tcpServers], [7])

    def test_wrongPlace(self) -> None:
        """A place that can't be passed on is refused at once."""
        workers = self.make()
        for where in (object(), True, None):
            self.assertRaises(TypeError, workers.listen, where)
        self.assertRaises(ValueError, workers.listen, "nonsense:")

    def test_busy(self) -> None:
        """A port that is taken is an error of one line, and no worker is started."""
        printed = io.StringIO()
        self.patch(sys, "__stderr__", printed)

        def listen(*args: Any, **more: Any) -> None:
            raise CannotListenError("", 8080, OSError(98, "Address already in use"))

        self.patch(self.reactor, "listenTCP", listen)
        self.assertRaises(StartError, self.make().privilegedStartService)
        self.assertIn("Address already in use", printed.getvalue())
        self.assertEqual(self.reactor.processes, [])

    def test_owner(self) -> None:
        """The later user of the process becomes the owner of UNIX sockets."""
        given: list[Any] = []
        self.patch(parent, "chownSocket", lambda port, *user: given.append(user))
        workers = self.make()
        workers.socketOwner = (65534, 7)
        workers.privilegedStartService()
        self.assertEqual(given, [(65534, 7)])

    def test_level(self) -> None:
        """The log is filtered if twistd doesn't do it."""
        levels: list[Any] = []
        self.patch(parent, "filterLog", levels.append)
        self.make().privilegedStartService()
        workers = self.make()
        workers.logFilter = "warn"
        workers.listen(81)
        workers.privilegedStartService()
        self.assertEqual(levels, ["warn"])

    # -- what the workers get

    def test_settings(self) -> None:
        """The workers get what was asked for, by their pipe."""
        self.start(
            self.make(
                "chat:app",
                appDir="/srv",
                redis="redis://h",
                options={"maxPayload": 5},
                logLevel="warn",
                count=3,
            )
        )
        first, *_ = starts = self.starts()
        self.assertEqual([(start.slot, start.count) for start in starts], [(1, 3), (2, 3), (3, 3)])
        settings = first.settings
        self.assertEqual((settings.app, settings.appDir, settings.redis), ("chat:app", "/srv", "redis://h"))
        self.assertEqual((settings.options, settings.logLevel), ({"maxPayload": 5}, "warn"))
        self.assertEqual(first.reactor, WorkersReactor.__module__)

    def test_wrong(self) -> None:
        """Wrong arguments are errors at once."""
        self.assertRaises(ValueError, Workers, "chat")
        self.assertRaises(OptionError, Workers, "chat:app", options={"maxPayload": -1})
        for count in (0, -1, 1.5):
            self.assertRaises(ValueError, self.make, count=count)

    def test_count(self) -> None:
        """By default there is a worker for each processor."""
        self.patch(parent, "usableProcessors", lambda: 6)
        self.assertEqual(Workers(reactor=self.reactor).count, 6)
        self.assertEqual(Workers(reactor=self.reactor).fork().count, 6)
        self.assertEqual(Workers(reactor=self.reactor).fork(3).count, 3)

    # -- while they run

    def test_announced(self) -> None:
        """What is served is logged once, when the first worker serves."""
        with capturedLogs() as events:
            self.start()
        lines = [formatEvent(event) for event in events]
        self.assertEqual(lines[-2:], ["listening: here", "rooms: chat"])
        self.assertIn("starting 2 workers; limits per client address apply to each of them", lines[0])

    def test_single(self) -> None:
        """With one worker there is nothing to say about limits."""
        with capturedLogs() as events:
            self.start(self.make(count=1), serve=False)
        self.assertEqual(events, [])

    def test_stats(self) -> None:
        """The counters are summed over the workers."""
        workers = self.make()
        self.assertEqual(workers.stats(), {})
        self.start(workers)
        for process in self.reactor.processes:
            process.send(Report("ok", {"total": process.pid}))
        self.assertEqual(workers.stats(), {"total": 100 + 101})

    def test_hangUp(self) -> None:
        """SIGHUP lets all workers reload their certificates, replaces them, and reopens log files."""
        self.start()
        self.patch(LogFiles, "reopen", lambda files: ["chat.log: gone"])
        with capturedLogs() as events:
            self.handlers[signal.SIGHUP](signal.SIGHUP, None)
            self.reactor.flush()
        self.assertEqual(
            [process.names[-1] for process in self.reactor.processes],
            ["ReloadCertificates", "ReloadCertificates", "Start", "Start"],
        )
        self.assertIn("chat.log: gone", formatEvent(events[0]))

    def test_failed(self) -> None:
        """If no worker can start, the process ends with status 1 and the last lines of one."""
        printed = io.StringIO()
        self.patch(sys, "__stderr__", printed)
        self.start(serve=False)
        first, second = self.reactor.processes
        first.end(status=1)
        second.output("txroom: --app chat:app: there is no module 'chat'\n")
        error = self.assertRaises(StartError, second.end, status=1)
        self.assertEqual(error.code, 1)
        self.assertEqual(
            printed.getvalue(),
            "txroom: no worker could start; the last lines of worker 2:\n"
            "txroom: --app chat:app: there is no module 'chat'\n",
        )

    # -- the stop

    def test_stop(self) -> None:
        """All workers stop at once; then the sockets are closed."""
        workers = self.start()
        stopped = workers.stopService()
        self.assertEqual([process.names[-1] for process in self.reactor.processes], ["Stop"] * 2)
        self.assertNoResult(stopped)
        self.assertEqual(len(self.reactor.ports), 1)
        for process in self.reactor.processes:
            process.end()
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.ports, [])

    def test_deaf(self) -> None:
        """When the last worker has closed its sockets, clients that would wait for nobody are refused."""
        workers = self.start()
        first, second = self.reactor.processes
        stopped = workers.stopService()
        first.send(Deaf())
        self.assertEqual(len(self.reactor.ports), 1)
        second.end()
        self.assertEqual((self.reactor.ports, workers.running), ([], 0))
        self.assertNoResult(stopped)
        first.end()
        self.successResultOf(stopped)

    def test_secondSignal(self) -> None:
        """The first signal goes to Twisted; the second lets the workers skip their waits."""
        workers = self.start()
        self.handlers[signal.SIGTERM](signal.SIGTERM, None)
        self.assertEqual(self.first, [signal.SIGTERM])
        workers.stopService()
        self.handlers[signal.SIGINT](signal.SIGINT, None)
        self.reactor.flush()
        self.assertEqual([process.names[-1] for process in self.reactor.processes], ["StopNow"] * 2)

    def test_again(self) -> None:
        """The service can be started again."""
        workers = self.start()
        stopped = workers.stopService()
        for process in self.reactor.processes:
            process.end()
        self.successResultOf(stopped)
        self.start(workers, serve=False)
        self.assertEqual((len(self.reactor.processes), len(self.reactor.ports)), (4, 1))

    def test_neverStarted(self) -> None:
        """A service that was not started stops at once."""
        self.successResultOf(self.make().stopService())
        self.make().stopNow()
        self.make().reload()
