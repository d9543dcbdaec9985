"""
`Workers`: a service that serves with several processes.

The process of this service, the parent, opens the sockets, and serves nothing itself. Its workers inherit the
sockets, and accept connections from the queues that they share.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...core.options import ServerOptions
from ...service.unixsocket import chownSocket
from ..adminsettings import AdminSettings
from ..firstprocess import leaveFirst
from ..gctuning import THRESHOLD
from ..loading import inOneLine
from ..logs import filterLog, reopenLogs
from ..settings import DEFAULT_PORT, Settings
from ..signals import ProcessSignals
from ..starting import Unusable, exitBecause, startOrExit
from .answering import Answering
from .child import WorkerProcess, WorkerSide
from .notifying import Notifier, Status
from .owner import Owner, idsOf, nameOf
from .pipe import Ask, Group, Ready, ReloadCertificates, Renewed, Start
from .processors import usableProcessors
from .sockets import SharedSockets, areLeft
from .spawning import keptAfter, socketsFor, spawn
from .storechoice import checkStore, makeStore
from .storeprocess import environmentOf
from .summing import summed
from .supervisor import Supervisor
from .watching import Watching

if TYPE_CHECKING:
    from .store import Fsync, Store


class Workers(Service):
    """
    Serves an application with several processes on one machine, which share the sockets and the rooms (like
    Colyseus's `ClusterServer`).

    It opens the sockets, starts the workers, starts those again that end, and stops all of them with itself.
    It handles SIGHUP, and a second SIGTERM or SIGINT, of its process. Use one such service in a process, for
    example in a ``.tac`` file::

        workers = Workers("chat:makeServer", redis="redis://localhost")
        workers.listen("tcp:8080")
        workers.fork(4)
        workers.setServiceParent(application)

    Args:
        app: What the workers serve, as for ``twistd txroom --app``: "module:attribute". Each worker imports
            the module. `None`: the demo.
        appDir: The directory in which the module is looked for first. The default is the working directory.
        options: Options of the server, by their names in `ServerOptions`. They override those of the app. The
            workers divide `maxConnections` among them; limits per client address apply to each worker.
        redis: The URL of the Redis through which the workers share their rooms; see `RedisEngine`.
        redisPrefix: What the names of keys in Redis begin with; "txr" by default.
        redisDurable: Whether Redis never loses what it has confirmed; see `RedisEngine`.
        redisRestored: Whether Redis was started with an older copy of its data; see `RedisEngine`.
        stateDir: The directory of a store of its own, a Redis or Valkey, in which rooms survive the end of
            all processes. Without `stateDir` and `redis`, there is a store whose data ends with this service.
        fsync: When the data of that store reaches the disk: "no" (when the operating system writes it) or
            "always" (before it is confirmed).
        http: Whether pages are served too.
        accessLog: Whether page requests and upgrades are logged.
        logLevel: The lowest level that the workers log: "debug", "info", "warn", "error" or "critical"; by
            default "info".
        gcThreshold: The argument of `relaxCollector` in each worker; 0 leaves the collector unchanged.
        user: The name of the user that twistd changes to (``--uid``), or the ids of the user and the group.
            Give it if that user can't make `stateDir`, which is made before the change then. The files of the
            store and UNIX sockets belong to that user.
        reactor: The reactor. The default is the global reactor.

    Raises:
        OptionError: An option is unknown or has a wrong value.
        ValueError: `app` is not of the form "module:attribute", there is no such `user`, or `redis`,
            `stateDir` and `fsync` don't fit together.
    """

    _log = Logger()

    #: The lowest level of the log of this process, if it has to be filtered here; see `filterLog`.
    logFilter: Any = None
    #: Whether the rooms live in the memory of one worker, so that they end at a reload.
    isInMemory = False

    def __init__(
        self,
        app: str | None = None,
        *,
        appDir: str | None = None,
        options: Mapping[str, Any] | None = None,
        redis: str | None = None,
        redisPrefix: str | None = None,
        redisDurable: bool = False,
        redisRestored: bool = False,
        stateDir: str | None = None,
        fsync: Fsync = "no",
        http: bool = True,
        accessLog: bool = False,
        logLevel: str | None = None,
        gcThreshold: int = THRESHOLD,
        user: str | tuple[int, int] | None = None,
        reactor: Any = None,
    ) -> None:
        if app is not None and not all(app.partition(":")):
            raise ValueError(f"app={app!r}: must be 'module:attribute'")
        ServerOptions().override(options or {})
        checkStore(redis, stateDir, fsync)
        self._stateDir = None if stateDir is None else os.path.abspath(stateDir)
        self._fsync = fsync
        #: The ids of the user and group that this process will change to, and that own its files.
        self.user = idsOf(user) if isinstance(user, str) else user
        #: The user and group with which the sockets were opened.
        self._opener: Owner | None = None
        self._store: Store | None = None
        self._watching: Watching | None = None
        #: What the workers serve, for programs that launch this service.
        self.settings = Settings(
            app=app,
            appDir=os.path.abspath(appDir or "."),
            http=http,
            logLevel=logLevel,
            accessLog=accessLog,
            redis=redis,
            redisPrefix=redisPrefix,
            redisDurable=redisDurable,
            redisRestored=redisRestored,
            gcThreshold=gcThreshold,
            options=dict(options or {}),
        )
        self._reactor = reactor if reactor is not None else _globalReactor()
        self._count: int | None = None
        self._wheres: list[int | str] = []
        #: Those of them that are for operators and back ends.
        self._admins: set[int | str] = set()
        self._listeners = SharedSockets(self._reactor, partial(areLeft, self._stateDir))
        self._signals = ProcessSignals(self._reactor, self.stopNow, self._hangUp)
        self._supervisor: Supervisor | None = None
        self._answering = Answering(lambda: self._supervisor, self.reload)
        #: What the next worker serves.
        self._started = self.settings
        self._served: list[str] = []
        self._notifier = Notifier(os.environ)
        self._status = Status(self._notifier)
        #: Whether a worker has served since the start.
        self._isReady = False

    # -- before the start

    def listen(self, where: int | str) -> None:
        """
        Listen on an endpoint; may be called several times. Without a call, it is port 8080.

        Args:
            where: A port number, which is opened on IPv4 and IPv6, or a description as for `Server.listen`.

        Raises:
            TypeError: `where` is neither; endpoint objects can't be passed on to other processes.
            ValueError: The description is wrong.
        """
        if isinstance(where, bool) or not isinstance(where, int | str):
            raise TypeError(f"where={where!r}: must be a port number or a description, such as 'tcp:8080'")
        self._listeners.backlog = ServerOptions().override(self.settings.options).backlog
        self._listeners.add(where)
        self._wheres.append(where)

    def addAdmins(self, admin: AdminSettings) -> None:
        """Let the workers listen for operators and back ends too; for programs that launch this service."""
        for where in admin.wheres:
            self.listen(where)
            self._admins.add(where)
        self.settings = replace(self.settings, admin=admin)

    def fork(self, workers: int | None = None) -> Workers:
        """
        Set the number of workers (like Colyseus's `fork`). They are started with this service.

        Args:
            workers: The number. The default is the number of processors that this process may use.

        Returns:
            This service.

        Raises:
            ValueError: The number is less than 1.
        """
        if workers is not None and (not isinstance(workers, int) or workers < 1):
            raise ValueError(f"workers={workers!r}: must be a whole number, 1 or more")
        self._count = workers
        return self

    @property
    def count(self) -> int:
        """The number of workers that there should be."""
        return self._count or usableProcessors()

    # -- the service

    def privilegedStartService(self) -> None:
        """Open the sockets. Afterwards twistd gives up its privileges."""
        leaveFirst()
        super().privilegedStartService()
        if self.settings.logsJSON:
            from ..jsonlog import logAsJSON  # not at load: it would cost the parent memory

            logAsJSON()
        if self.logFilter is not None:
            self._answering.logFilter = filterLog(self.logFilter)
        self._opener = Owner.of(None, None)
        startOrExit(self._log, self._reactor, self._open)
        if self.user is not None:
            for port in self._listeners.ports:
                chownSocket(port, *self.user)
            startOrExit(self._log, self._reactor, self._prepareStore)

    def _prepareStore(self) -> None:
        """
        Make the directories of the store. It belongs to the user that runs this process in the end, so this
        happens after the change to that user if it isn't known before. Does nothing the second time.
        """
        if self.settings.redis is None and self._store is None and not self.isInMemory:
            user, group = self.user or (None, None)
            self._store = makeStore(self._reactor, self._stateDir, self._fsync, user, group)
            self._store.onFailed = self._storeFailed
            self._store.onRenewed = self._storeRenewed
            self._store.prepare()

    def _open(self) -> None:
        if self._admins.issuperset(self._wheres):
            self.listen(DEFAULT_PORT)
        self._listeners.open()

    def startService(self) -> None:
        """Start the store, if there is one, and the workers."""
        super().startService()
        startOrExit(self._log, self._reactor, self._open)
        if self.user is not None or self._opener not in (None, Owner.of(None, None)):
            startOrExit(self._log, self._reactor, self._checkCertificates)
        startOrExit(self._log, self._reactor, self._prepareStore)
        self._signals.handleHangUp()
        self._reactor.callWhenRunning(self._signals.handleStops)
        if self._store is None:
            self._startWorkers(self.settings)
        else:
            self._reactor.callWhenRunning(self._startStore)

    def _checkCertificates(self) -> None:
        """Read the certificates again, without the privileges that this process had, as the workers will."""
        try:
            self._listeners.reload()
        except Exception as error:
            if self._store is not None:
                self._store.stop()  # it removes what it has prepared
            user = nameOf(os.geteuid())
            raise Unusable(f"the certificates can't be read as {user}: {inOneLine(error)}") from None

    def _startStore(self) -> None:
        if self.running and self._store is not None:
            self._store.start().addCallbacks(self._storeStarted, self._storeNotStarted)

    def _storeStarted(self, url: str) -> None:
        assert self._store is not None
        if self.running:
            self._startWorkers(replace(self.settings, redis=url, redisRun=self._store.run))

    def _storeNotStarted(self, failure: Failure) -> None:
        if self.running:
            self._storeFailed(failure.value)

    def _storeFailed(self, error: Any) -> None:
        self._log.error("{why}", why=str(error))
        exitBecause(self._reactor, str(error))

    def _storeRenewed(self, run: str) -> None:
        """Tell all workers, also those that start or stop, before they can reach the store again."""
        self._started = replace(self._started, redisRun=run)
        if self._supervisor is not None:
            for worker in self._supervisor.workers:
                worker.send(Renewed(run))

    def _startWatcher(self) -> None:
        """Start a watcher, because there is no store that does it."""
        self._watching = Watching(self._reactor, Owner.of(None, None), environmentOf(os.environ), ())
        self._watching.start()

    def _startWorkers(self, settings: Settings) -> None:
        if self._store is None:
            startOrExit(self._log, self._reactor, self._startWatcher)
        else:
            self._watching = self._store.watching
        self._started = settings
        self._isReady = False
        self._supervisor = Supervisor(
            self._reactor, self.count, self._spawn, self, atOnce=max(1, usableProcessors() // 2)
        )
        self._supervisor.mayLoseRooms = self.isInMemory
        self._supervisor.start()
        # Not for those that replace the first workers: Redis was only started once with an older copy.
        self._started = replace(settings, redisRestored=False)
        if self.count > 1:
            self._log.info(
                "starting {count} workers; limits per client address apply to each of them, and "
                "maxConnections is divided among them",
                count=self.count,
            )

    def _spawn(self, slot: int, side: WorkerSide) -> WorkerProcess:
        ports: list[Any] = self._listeners.ports
        assert self._watching is not None and self._supervisor is not None
        kept = (self._watching.descriptor,) if self._store is None else self._store.descriptors
        start = Start(
            slot,
            self.count,
            self._answering.leveled(self._started),
            socketsFor(self._wheres),
            keptAfter(len(ports), len(kept)),
            type(self._reactor).__module__,
            self._answering.seed,
            self._answering.endedSessions.all,
            len(self._supervisor.serving) + 1,
        )
        worker = WorkerProcess(start, self._reactor, side)
        spawn(self._reactor, worker, [*(port.fileno() for port in ports), *kept])
        assert worker.pid is not None
        self._watching.watchWorker(worker.pid)
        return worker

    def stopService(self) -> Deferred[None]:
        """
        Stop all workers at the same time, each within its `shutdownTimeout`; then stop the store, and close
        the sockets.
        """
        super().stopService()
        self._notifier.stopping()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._supervisor is not None:
            await self._supervisor.stop()
        if self._store is not None:
            store, self._store = self._store, None
            await store.stop()
        elif self._watching is not None:
            await self._watching.stop()
        self._watching = None
        await self._listeners.close()

    def stopNow(self) -> None:
        """Let the workers skip the waits of their shutdown. A second signal does this."""
        if self._supervisor is not None:
            self._supervisor.stopNow()

    def reload(self) -> None:
        """
        Let all workers reload their certificates, and then replace them by new ones, which import the app
        again. SIGHUP does this, and reopens log files.

        The old workers give their rooms to the new ones, so that clients don't notice. If a new worker can't
        start or can't open a room, the old ones go on. The workers stay if their rooms are in their memory.
        """
        if self._supervisor is not None:
            self._notifier.reloading()
            self._supervisor.tell(ReloadCertificates())
            self._supervisor.reload().addCallback(self._status.reloaded)

    def _hangUp(self) -> None:
        reopenLogs(self._log)
        self.reload()

    # -- what the workers report

    def stats(self) -> dict[str, Any]:
        """
        Return the sums of the counters of all workers that run, by the names in `Stats`. They may be a second
        old.
        """
        workers = [] if self._supervisor is None else self._supervisor.workers
        return summed(worker.report.stats for worker in workers)

    def ready(self, message: Ready) -> None:
        """A worker serves; see `SupervisorSide`."""
        if not self._isReady:
            self._isReady = True
            self._notifier.ready()
        if message.served != self._served:
            self._served = message.served
            for line in message.served:
                self._log.info("{line}", line=line)

    def reported(self) -> None:
        """
        A worker has reported something; see `SupervisorSide`.

        When all workers have closed their sockets, nobody would accept the connections that are still queued.
        """
        workers = [] if self._supervisor is None else self._supervisor.workers
        if not self.running and all(worker.isDeaf for worker in workers):
            self._listeners.close()

    def asked(self, worker: WorkerProcess, ask: Ask) -> None:
        """A worker asks for something; see `SupervisorSide`."""
        self._answering.asked(worker, ask)

    def ended(self, worker: WorkerProcess) -> None:
        """A worker has ended; see `SupervisorSide`."""
        assert self._watching is not None and worker.pid is not None
        self._watching.forgetWorker(worker.pid)
        self.reported()

    def regrouped(self, group: Group) -> None:
        """The workers have changed; see `SupervisorSide`."""
        self._status.regrouped(group)

    def reloading(self, what: str) -> None:
        """What a reload does now; see `SupervisorSide`."""
        self._status.reloading(what)

    def failed(self, worker: WorkerProcess) -> None:
        """No worker could start; see `SupervisorSide`."""
        lines = "\n".join(worker.output.last)
        exitBecause(self._reactor, f"no worker could start; the last lines of worker {worker.slot}:\n{lines}")


def _globalReactor() -> Any:
    from twisted.internet import reactor

    return reactor
