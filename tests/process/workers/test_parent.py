"""
Tests for `Workers`.
"""

from __future__ import annotations

import io
import os
import pwd
import signal
import sys
import time
from typing import Any

import msgspec
from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.process.workers.fakeprocesses import WorkersReactor
from txroom import OptionError
from txroom.admin.endedsessions import EndedSessions
from txroom.admin.secrets import Role
from txroom.admin.session import Session
from txroom.process import Workers, starting
from txroom.process.logs import LogFiles
from txroom.process.starting import StartError
from txroom.process.workers import parent
from txroom.process.workers.backoff import FIRST
from txroom.process.workers.notifying import Notifier
from txroom.process.workers.pipe import Ask, Deaf, Left, Renewed, Report, SessionEnded, SharedSocket, Start
from txroom.process.workers.storeerror import StoreError
from txroom.service.listening import Listeners


class FakeWatching:
    """A watcher of the store's."""

    def __init__(self) -> None:
        self.workers: set[int] = set()
        self.watchWorker = self.workers.add
        self.forgetWorker = self.workers.remove


class FakeStore:
    """A store that starts and stops when the test says so."""

    descriptors = (70, 71)
    run = "run-1"
    onFailed: Any = None
    onRenewed: Any = None

    def __init__(self, *args: Any) -> None:
        self.args = args
        self.watching = FakeWatching()
        self.starting: Deferred[str] = Deferred()
        self.stopping: Deferred[None] = Deferred()
        self.notes: list[str] = []
        self.error: StoreError | None = None

    def prepare(self) -> None:
        self.notes.append("prepare")
        if self.error is not None:
            raise self.error

    def start(self) -> Deferred[str]:
        self.notes.append("start")
        return self.starting

    def stop(self) -> Deferred[None]:
        self.notes.append("stop")
        return self.stopping


class WorkersTestCase(SynchronousTestCase):
    """Tests of `Workers`, in memory."""

    def setUp(self) -> None:
        self.reactor = WorkersReactor()
        self.handlers: dict[int, Any] = {}
        self.first: list[int] = []
        self.patch(signal, "getsignal", lambda number: lambda number, frame: self.first.append(number))
        self.patch(signal, "signal", self.handlers.__setitem__)

    def make(self, *args: Any, count: int = 2, **more: Any) -> Workers:
        if "stateDir" not in more:
            more.setdefault("redis", "redis://localhost")
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


class WorkersTests(WorkersTestCase):
    """`Workers`."""

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
        """The option `backlog` applies to the sockets of the parent, also to those given by descriptions."""
        self.start(self.make(options={"backlog": 7}))
        workers = self.make()
        workers.listen("tcp:81")
        workers.listen(82)
        self.start(workers)
        self.assertEqual([server[2] for server in self.reactor.tcpServers], [7, 511, 511])

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

        self.patch(parent, "areLeft", lambda stateDir: False)
        self.patch(self.reactor, "listenTCP", listen)
        self.assertRaises(StartError, self.make().privilegedStartService)
        self.assertIn("Address already in use", printed.getvalue())
        self.assertEqual(self.reactor.processes, [])

    def test_owner(self) -> None:
        """The later user of the process becomes the owner of UNIX sockets."""
        given: list[Any] = []
        self.patch(parent, "chownSocket", lambda port, *user: given.append(user))
        workers = self.make()
        workers.user = (65534, 7)
        workers.privilegedStartService()
        self.assertEqual(given, [(65534, 7)])

    def certificates(self, **more: Any) -> tuple[Workers, list[Listeners]]:
        """Workers whose certificates can't be read again, and each attempt to do so."""
        reads: list[Listeners] = []

        def reload(listeners: Listeners) -> bool:
            reads.append(listeners)
            raise PermissionError(13, "Permission denied", "/etc/chat/key.pem")

        self.patch(Listeners, "reload", reload)
        return self.make(**more), reads

    def test_unreadableKey(self) -> None:
        """
        A key that the later user of the process can't read is an error of one line, before any start. Nothing
        is left of the store.
        """
        store = FakeStore()
        self.patch(parent, "makeStore", lambda *args: store)
        printed = io.StringIO()
        self.patch(sys, "__stderr__", printed)
        self.patch(parent, "chownSocket", lambda port, *user: None)
        workers, _ = self.certificates(stateDir="/state")
        workers.user = (65534, 7)
        workers.privilegedStartService()
        self.patch(os, "geteuid", lambda: 4_000_000_123)
        error = self.assertRaises(StartError, workers.startService)
        why = "the certificates can't be read as uid 4000000123"
        line = f"txroom: {why}: [Errno 13] Permission denied: '/etc/chat/key.pem'\n"
        self.assertEqual((printed.getvalue(), error.code, self.reactor.processes), (line, 1, []))
        self.assertEqual(store.notes, ["prepare", "stop"])

    def test_unreadableKeyLater(self) -> None:
        """So is one if twistd changes the user, and this service was not told that it would."""
        self.patch(sys, "__stderr__", io.StringIO())
        workers, reads = self.certificates()
        workers.privilegedStartService()
        self.patch(os, "geteuid", lambda: 4_000_000_123)
        self.assertRaises(StartError, workers.startService)
        self.assertEqual((len(reads), self.reactor.processes), (1, []))

    def test_sameUser(self) -> None:
        """If the user stays, the certificates are read once, when the sockets are opened."""
        workers, reads = self.certificates()
        self.start(workers)
        self.assertEqual(reads, [])

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
        self.assertEqual(
            lines[0],
            "starting 2 workers; limits per client address apply to each of them, and maxConnections is "
            "divided among them",
        )

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
        self.patch(parent, "usableProcessors", lambda: 4)
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

    def test_hangUpFewProcessors(self) -> None:
        """The new workers that start together leave at least half of the processors to the old ones."""
        for processors, started in ((1, 1), (2, 1), (3, 1), (4, 2), (64, 2)):
            self.setUp()
            self.patch(parent, "usableProcessors", lambda processors=processors: processors)
            self.start()
            self.handlers[signal.SIGHUP](signal.SIGHUP, None)
            self.reactor.flush()
            self.assertEqual(len(self.reactor.processes), 2 + started, processors)

    def test_sessions(self) -> None:
        """
        Operators stay logged in, or out, when all workers are replaced, and are logged out at the next start.
        """
        workers = self.start()
        session = Session(Role.MANAGE, "a" * 32, int(time.time()) + 3600)
        one, two = self.reactor.processes
        one.send(Ask(1, "endSession", msgspec.json.encode(session).decode()))
        self.assertEqual((one.names[-1], two.received[-1]), ("Answer", SessionEnded(session)))
        workers.reload()
        for process in self.reactor.processes[2:]:
            process.serve()
        self.reactor.flush()
        starts = self.starts()
        self.assertEqual(len(starts), 4)
        self.assertEqual(
            [EndedSessions(known=start.ended).isEnded(session) for start in starts], [False] * 2 + [True] * 2
        )
        self.assertEqual([start.seed for start in starts], [starts[0].seed] * 4)
        again = self.make()
        again.listen("tcp:81")
        self.start(again, serve=False)
        self.assertGreaterEqual(len(starts[0].seed), 16)
        self.assertNotEqual(self.starts()[4].seed, starts[0].seed)

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

    def test_watched(self) -> None:
        """Without a store, a watcher of its own knows the workers and has a pipe that they inherit."""
        workers = self.start()
        (watcher,) = self.reactor.watchers
        self.reactor.processes[0].end(signal=9)
        self.reactor.advance(1)
        self.assertEqual(watcher.written, b"0\n+100\n+101\n-100\n+102\n")
        self.assertEqual(self.starts()[0].kept, [6])
        stopped = workers.stopService()
        for process in self.reactor.processes[1:]:
            self.assertTrue(watcher.isRunning)
            process.end()
        self.assertFalse(watcher.isRunning)
        self.successResultOf(stopped)

    def test_running(self) -> None:
        """A new worker knows how many serve, so that its health page says it at once."""
        self.start(self.make(count=3))
        self.reactor.processes[0].end(signal=9)
        self.reactor.advance(FIRST)
        self.assertEqual([start.running for start in self.starts()], [1, 1, 1, 3])

    def test_endsAtOnce(self) -> None:
        """A worker that ends while it is spawned is a worker for the watcher first, and has ended then."""
        self.start()
        spawnProcess = self.reactor.spawnProcess

        def spawn(*args: Any, **more: Any) -> Any:
            spawnProcess(*args, **more)
            self.reactor.processes[-1].end(signal=9)

        self.patch(self.reactor, "spawnProcess", spawn)
        self.reactor.processes[0].end(signal=9)
        self.reactor.advance(FIRST)
        self.assertEqual(self.reactor.watchers[0].written, b"0\n+100\n+101\n-100\n+102\n-102\n")
        self.reactor.advance(2 * FIRST)
        self.assertEqual(len(self.reactor.processes), 4)

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

    def test_notified(self) -> None:
        """
        The service manager is told when it serves, when it reloads and has done so or given up, and when it
        stops.
        """
        self.patch(parent, "usableProcessors", lambda: 4)
        notes: list[str] = []
        for name in ("ready", "reloading", "stopping", "status"):
            self.patch(
                Notifier,
                name,
                lambda notifier, *status, name=name: notes.append(" ".join((name, *status))),
            )
        workers = self.start()
        one, two = "status 1 of 2 workers serve", "status 2 of 2 workers serve"
        self.assertEqual(notes, [one, "ready", two])
        workers.reload()
        new = self.reactor.processes[2:]
        self.assertEqual((len(new), notes[3:]), (2, ["reloading", f"{two}; a reload runs"]))
        new[0].end(status=1)
        new[1].end(status=1)
        self.reactor.advance(1)
        givenUp = f"{two}; the last reload was given up, see the log"
        self.assertEqual(notes[5:], ["ready", givenUp])
        workers.reload()
        for process in self.reactor.processes[4:]:
            process.serve()
        for process in self.reactor.processes[:2]:
            process.send(Left())
        self.assertEqual((notes[7], notes[-2:]), ("reloading", ["ready", two]))
        workers.reload()
        waits = "a reload waits until 2 replaced workers have sent the clients away and ended"
        self.assertEqual(notes[-2:], ["reloading", f"{two}; {waits}"])
        workers.stopService()
        self.assertIn("stopping", notes)

    def test_neverStarted(self) -> None:
        """A service that was not started stops at once."""
        self.successResultOf(self.make().stopService())
        self.make().stopNow()
        self.make().reload()


class StoreTests(WorkersTestCase):
    """Workers with a store of their own."""

    def setUp(self) -> None:
        super().setUp()
        self.stores: list[FakeStore] = []
        self.error: StoreError | None = None
        self.patch(parent, "makeStore", self.makeStore)
        self.printed = io.StringIO()
        self.patch(sys, "__stderr__", self.printed)

    def makeStore(self, *args: Any) -> FakeStore:
        store = FakeStore(*args)
        store.error = self.error
        self.stores.append(store)
        return store

    def started(self) -> tuple[Workers, FakeStore]:
        workers = self.start(self.make(stateDir="/state", redisRestored=True))
        (store,) = self.stores
        store.starting.callback("unix:///store.sock")
        for process in self.reactor.processes:
            process.serve()
        return workers, store

    def test_started(self) -> None:
        """
        The store is prepared with the privileges of the process, and the workers start when it answers, with
        its URL, the identity of its data, and its descriptors.
        """
        workers = self.make(stateDir="/state", fsync="always")
        workers.user = (65534, 7)
        self.patch(parent, "chownSocket", lambda *args: None)
        workers.privilegedStartService()
        (store,) = self.stores
        self.assertEqual(store.args, (self.reactor, "/state", "always", 65534, 7))
        self.assertEqual(store.notes, ["prepare"])
        self.start(workers)
        self.assertEqual((len(self.stores), store.notes), (1, ["prepare", "start"]))
        self.assertEqual(self.reactor.processes, [])
        store.starting.callback("unix:///store.sock")
        first, _ = self.starts()
        self.assertEqual((first.settings.redis, first.settings.redisRun), ("unix:///store.sock", "run-1"))
        self.assertEqual(first.kept, [6, 7])
        descriptors = self.reactor.spawned[0]["childFDs"]
        self.assertEqual((descriptors[5], descriptors[6], descriptors[7]), (50, 70, 71))

    def test_given(self) -> None:
        """With another Redis there is no store."""
        self.start(self.make(redis="redis://h"))
        self.assertEqual(self.stores, [])

    def test_wrong(self) -> None:
        """Arguments that don't fit together are refused."""
        for more in ({"redis": "redis://h"}, {"fsync": "sometimes"}):
            self.assertRaises(ValueError, self.make, stateDir="/state", **more)
        self.assertRaises(ValueError, self.make, stateDir=None, fsync="always")

    def test_renewed(self) -> None:
        """If the store may have lost something, all workers, also later ones, get its new identity."""
        _, store = self.started()
        first, second = self.reactor.processes
        second.end(signal=9)
        self.reactor.advance(1)
        store.onRenewed("run-2")
        third = self.reactor.processes[2]
        self.assertEqual([each.received[-1] for each in (first, third)], [Renewed("run-2")] * 2)
        first.end(signal=9)
        self.reactor.advance(1)
        self.assertEqual([start.settings.redisRun for start in self.starts()], ["run-1"] * 3 + ["run-2"])

    def test_restored(self) -> None:
        """Only the first workers are told that Redis was started with an older copy of its data."""
        self.started()
        self.reactor.processes[0].end(signal=9)
        self.reactor.advance(1)
        self.assertEqual([start.settings.redisRestored for start in self.starts()], [True, True, False])

    def test_watched(self) -> None:
        """The watcher of the store knows the workers."""
        _, store = self.started()
        self.reactor.processes[0].end(signal=9)
        self.assertEqual((store.watching.workers, self.reactor.watchers), ({101}, []))

    def test_stop(self) -> None:
        """The store stops when all workers have ended, since they still write to it."""
        workers, store = self.started()
        stopped = workers.stopService()
        first, second = self.reactor.processes
        first.end()
        self.assertNotIn("stop", store.notes)
        second.end()
        self.assertEqual(store.notes[-1], "stop")
        self.assertNoResult(stopped)
        store.stopping.callback(None)
        self.successResultOf(stopped)

    def test_stopStarting(self) -> None:
        """The service can be stopped while the store starts; that is no failure."""
        workers = self.start(self.make(stateDir="/state"))
        (store,) = self.stores
        stopped = workers.stopService()
        store.starting.errback(StoreError("the store was stopped"))
        store.stopping.callback(None)
        self.successResultOf(stopped)
        self.assertEqual((self.printed.getvalue(), self.reactor.processes), ("", []))

    def test_again(self) -> None:
        """A service that is started again has a new store."""
        workers, store = self.started()
        stopped = workers.stopService()
        for process in self.reactor.processes:
            process.end()
        store.stopping.callback(None)
        self.successResultOf(stopped)
        self.start(workers, serve=False)
        self.assertEqual(len(self.stores), 2)

    def test_unusable(self) -> None:
        """A directory that can't be used is an error of one line, before anything is started."""
        self.error = StoreError("/state: is not yours")
        self.patch(parent, "chownSocket", lambda port, *user: None)
        for port, user in enumerate((None, (65534, 7)), 81):
            workers = self.make(stateDir="/state", user=user)
            workers.listen(port)
            self.assertRaises(StartError, self.start, workers)
        self.assertEqual(self.printed.getvalue(), "txroom: /state: is not yours\n" * 2)
        self.assertEqual(self.reactor.processes, [])

    def test_user(self) -> None:
        """
        If it is known who will run the process, the directories are made with the privileges of before.
        Otherwise they are made when the process has changed its user, since they would belong to the wrong
        one.
        """
        self.patch(parent, "chownSocket", lambda port, *user: None)
        for user, before in ((None, 0), ((65534, 7), 1)):
            self.setUp()
            workers = self.make(stateDir="/state", user=user)
            workers.privilegedStartService()
            self.assertEqual((len(self.reactor.ports), len(self.stores)), (1, before))
            self.start(workers, serve=False)
            self.assertEqual([store.notes for store in self.stores], [["prepare", "start"]])
            self.assertEqual(self.stores[0].args[3:], user or (None, None))

    def test_userByName(self) -> None:
        """The user can be given by name; nothing changes if that is the user already."""
        root = pwd.getpwuid(0)
        self.patch(os, "geteuid", lambda: 4_000_000_123)
        self.assertEqual(self.make(user=root.pw_name).user, (0, root.pw_gid))
        self.patch(os, "geteuid", lambda: 0)
        self.assertIsNone(self.make(user=root.pw_name).user)
        error = self.assertRaises(ValueError, self.make, user="no one")
        self.assertEqual(str(error), "user='no one': there is no such user")

    def test_failed(self) -> None:
        """A store that can't be started, at first or later, ends the process with status 1 and one line."""
        self.start(self.make(stateDir="/state"))
        stops: list[None] = []
        self.patch(self.reactor, "running", True)
        self.patch(self.reactor, "stop", lambda: stops.append(None))
        self.patch(starting, "exitWithError", lambda: None)
        self.stores[0].starting.errback(StoreError("it is corrupt"))
        self.assertEqual((self.printed.getvalue(), stops), ("txroom: it is corrupt\n", [None]))
        self.stores[0].onFailed(StoreError("it is gone"))
        self.assertEqual(len(stops), 2)
