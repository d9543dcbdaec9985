"""
The supervisor of the workers: it starts them, starts those again that have ended, and stops them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from twisted.internet.defer import Deferred, DeferredList, TimeoutError, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .backoff import Backoff
from .child import WorkerProcess, WorkerSide, WorkerState
from .liveness import Liveness
from .pipe import Ask, Down, Gone, Group, Ready
from .reloading import READY_TIMEOUT, GivenUp, Reload
from .slot import Slot

#: For how many seconds new workers are told of a node that has ended. Its lease has expired by then.
REMEMBERED = 15.0
#: The statuses of workers that are well. The first report comes just after the start.
WELL = ("starting", "ok")


class SupervisorSide(Protocol):
    """What the supervisor reports to."""

    def ready(self, message: Ready) -> None:
        """A worker serves."""

    def reported(self) -> None:
        """A worker has reported something."""

    def asked(self, worker: WorkerProcess, ask: Ask) -> None:
        """A worker asks for something."""

    def ended(self, worker: WorkerProcess) -> None:
        """A worker has ended."""

    def regrouped(self, group: Group) -> None:
        """The number of workers that serve, or their health, has changed."""

    def reloading(self, what: str) -> None:
        """What a reload does now, as a part of a sentence; empty: there is none."""

    def failed(self, worker: WorkerProcess) -> None:
        """No worker has ever served, and each has ended; `worker` is the last one."""


class Supervisor:
    """
    Keeps `count` workers running.

    It is idle until `start`, then it runs, and from `stop` on it stops; a supervisor is started once.

    Args:
        clock: The clock.
        count: The number of workers.
        spawn: Starts a process in a slot. It reports to the second argument.
        side: What the supervisor reports to.
        atOnce: How many new workers start at a time during a reload; `None`: all.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        count: int,
        spawn: Callable[[int, WorkerSide], WorkerProcess],
        side: SupervisorSide,
        atOnce: int | None = None,
    ) -> None:
        self._clock = clock
        self.count = count
        self._atOnce = atOnce or count
        self._spawn = spawn
        self._side = side
        self.slots = [Slot(number) for number in range(1, count + 1)]
        #: All processes that have not ended, in the order of their starts.
        self.workers: list[WorkerProcess] = []
        #: Those that have ended while they were spawned, until that is seen to.
        self._early: set[WorkerProcess] = set()
        #: The nodes that have ended, and when.
        self._gone: dict[str, float] = {}
        self._group: Group | None = None
        self._liveness = Liveness(clock, lambda: self.serving, self._regroup)
        self._hasServed = False
        #: The last worker to end of those that could all not start.
        self._hopeless: WorkerProcess | None = None
        #: Whether it stops, or has stopped.
        self.isStopping = False
        self._isReloading = False
        #: Whether a reload replaces workers too whose rooms live in their memory, and end with them.
        self.mayLoseRooms = False
        #: The calls of `reload` that wait for the next reload.
        self._reloads: list[Deferred[bool]] = []
        #: The workers that are to be replaced.
        self._replaced: list[WorkerProcess] = []
        self._stopped: list[Deferred[None]] = []

    def start(self) -> None:
        """Start all workers."""
        self._liveness.start()
        for slot in self.slots:
            self._start(slot)

    def stop(self) -> Deferred[None]:
        """Stop all workers at the same time. The Deferred fires when all have ended."""
        self.isStopping = True
        self._liveness.stop()
        for slot in self.slots:
            if slot.starting is not None:
                slot.starting.cancel()
                slot.starting = None
        for worker in self.workers:
            worker.stop()
        if not self.workers:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        return stopped

    def stopNow(self) -> None:
        """Let no worker wait for anything any more when it stops."""
        for worker in self.workers:
            worker.stopNow()

    def tell(self, message: Down) -> None:
        """Send a message to all workers that serve."""
        for worker in self.serving:
            worker.send(message)

    @property
    def serving(self) -> list[WorkerProcess]:
        """The workers that serve and are not stopping."""
        return [worker for worker in self.workers if worker.state is WorkerState.READY]

    # -- starts

    def _start(self, slot: Slot) -> None:
        slot.starting = None
        try:
            slot.worker = self.spawned(slot)
        except OSError as error:  # too many processes or descriptors, or too little memory
            delay = slot.backoff.delay(0.0)
            slot.starting = self._clock.callLater(delay, self._start, slot)
            self._log.error(
                "worker {slot} can't be started: {why}; it is tried again in {delay:g} s",
                slot=slot.number,
                why=str(error),
                delay=delay,
            )

    def spawned(self, slot: Slot) -> WorkerProcess:
        """Start a process in a slot. Raises `OSError`."""
        worker = self._spawn(slot.number, self)
        self.workers.append(worker)
        return worker

    def joining(self, worker: WorkerProcess) -> None:
        """A worker becomes a node, which has to know those that have ended; see `WorkerSide`."""
        self._forget()
        if self._gone:
            worker.send(Gone(list(self._gone)))

    def ready(self, worker: WorkerProcess, message: Ready) -> None:
        """A worker serves; see `WorkerSide`."""
        self._hasServed = True
        self._group = None  # it does not know it
        self._regroup()
        self._side.ready(message)

    def reported(self, worker: WorkerProcess) -> None:
        """A worker has a new report; see `WorkerSide`."""
        self._regroup()
        self._side.reported()

    def asked(self, worker: WorkerProcess, ask: Ask) -> None:
        """A worker asks for something; see `WorkerSide`."""
        self._side.asked(worker, ask)

    def _regroup(self) -> None:
        statuses = Counter(worker.status for worker in self.serving)
        troubled = {status: count for status, count in statuses.items() if status not in WELL}
        group = Group(len(self.slots), len(self.serving), troubled)
        if group != self._group:
            self._group = group
            self.tell(group)
            self._side.regrouped(group)

    # -- reloads

    def reload(self) -> Deferred[bool]:
        """
        Replace all workers by new ones; see `reloading`. Does nothing if the rooms of the workers live in
        their memory, unless `mayLoseRooms`. During a reload, it begins another one afterwards, because the
        app may have changed. If no worker serves, those that wait for their next start are started at once.

        Returns:
            A Deferred of whether the reload was not given up.
        """
        reloaded: Deferred[bool] = Deferred()
        self._reloads.append(reloaded)
        if self._isReloading and len(self._reloads) == 1:
            self._log.info("reload: it begins when the current one has ended")
            self._side.reloading("a reload runs, and the next one waits for its end")
        self._beginReload()
        return reloaded

    def replace(self, worker: WorkerProcess) -> str:
        """
        Begin to replace one worker by a new process, which gets its rooms; after a reload that is running.

        Returns:
            Why that can't be; empty: it has begun.
        """
        slot = self.slots[worker.slot - 1]
        if self.isStopping or worker is not slot.worker or worker not in self.serving:
            return "the worker is being stopped or replaced"
        if worker.node is None:
            return "the rooms of the workers live in their memory, and would end"
        if worker not in self._replaced:
            self._replaced.append(worker)
        self._beginReload()
        return ""

    def _beginReload(self) -> None:
        if not self._isReloading:
            self._isReloading = True
            Deferred.fromCoroutine(self._reloadAll()).addErrback(self._reloadFailed)

    async def _reloadAll(self) -> None:
        """Reload until nobody has asked for it during the last reload."""
        while self._reloads or self._replaced:
            await self._replacedEnd()
            self._side.reloading("a reload runs")
            if not self._reloads:
                await self._replace(self._replaced.pop(0))
                continue
            reloads, self._reloads = self._reloads, []
            isDone = False
            try:
                isDone = await self._replaceAll()
            finally:
                for reloaded in reloads:
                    reloaded.callback(isDone)
        self._isReloading = False
        self._side.reloading("")

    def _reloadFailed(self, failure: Failure) -> None:
        """A fault has ended the reload, and what waited for its end; the next one can begin."""
        self._log.failure("the reload has failed", failure)
        self._isReloading = False
        self._replaced.clear()
        reloads, self._reloads = self._reloads, []
        for reloaded in reloads:
            reloaded.callback(False)
        self._side.reloading("")

    async def _replacedEnd(self) -> None:
        """Wait for the workers that the reload before has replaced: they still have clients."""
        replaced = [worker for worker in self.workers if worker.isReplaced]
        if replaced:
            who = (
                "the replaced worker has" if len(replaced) == 1 else f"{len(replaced)} replaced workers have"
            )
            what = f"until {who} sent the clients away and ended"
            self._log.info("reload: it waits {what}", what=what)
            self._side.reloading(f"a reload waits {what}")
            await DeferredList([worker.whenEnded() for worker in replaced])

    async def _replaceAll(self) -> bool:
        """Replace all workers, or start those that wait for it. Returns whether that was not given up."""
        if not self.serving:
            await self._started()
        serving = self.serving
        if not serving:
            self._startWaiting()
        elif (self.mayLoseRooms or all(worker.node for worker in serving)) and not self.isStopping:
            return await Reload(self._clock, self, self._atOnce).run()
        return True

    async def _replace(self, worker: WorkerProcess) -> None:
        """Replace a worker, unless that has been done meanwhile."""
        slot = self.slots[worker.slot - 1]
        one = OneWorker(self, slot)
        if worker in one.serving and not self.isStopping:
            await Reload(self._clock, one, 1).run()

    async def _started(self) -> None:
        """Wait for the workers that start, because they may have imported what has changed since."""
        starting = [worker.whenReady() for worker in self.workers if worker.state is WorkerState.STARTING]
        waited = DeferredList(starting, consumeErrors=True).addTimeout(READY_TIMEOUT, self._clock)
        await waited.addErrback(lambda failure: failure.trap(TimeoutError))

    def _startWaiting(self) -> None:
        """Start the workers that wait for it, because what has ended them may be mended."""
        for slot in self.slots:
            if slot.starting is not None:
                slot.starting.cancel()
                slot.backoff = Backoff()
                self._start(slot)

    def succeed(self) -> Iterator[WorkerProcess]:
        """Start a successor of each worker; see `Generations`."""
        for slot in self.slots:
            if slot.starting is not None:
                slot.starting.cancel()
                slot.starting = None
            try:
                successor = self.spawned(slot)
            except OSError as error:
                raise GivenUp(f"a new worker can't be started: {error}") from error
            slot.succeed(successor)
            if slot.worker is not None and slot.worker.state is WorkerState.STARTING:
                slot.worker.stop()  # it imports the old code, and has no rooms yet
            yield successor

    def succeeded(self) -> None:
        """The successors take the places of the workers; see `Generations`."""
        for slot in self.slots:
            slot.succeeded()
            self.mend(slot)

    def notSucceeded(self) -> None:
        """The workers keep their places; see `Generations`."""
        for slot in self.slots:
            slot.notSucceeded()
            self.mend(slot)

    def mend(self, slot: Slot) -> None:
        """Start the worker of a slot again, if it has ended during a reload."""
        if slot.worker not in self.workers and slot.starting is None and not self.isStopping:
            self._start(slot)

    # -- ends

    def exited(self, worker: WorkerProcess, why: str) -> None:
        """A worker has ended; see `WorkerSide`."""
        if worker in self.workers:
            self._exited(worker, why)
        else:
            self._early.add(worker)
            self._clock.callLater(0, self._exited, worker, why)

    def _exited(self, worker: WorkerProcess, why: str) -> None:
        """The node of the worker is gone, and its slot needs another one."""
        self.workers.remove(worker)
        self._early.discard(worker)
        if worker.node is not None:
            self._forget()
            self._gone[worker.node] = self._clock.seconds()
            for each in self.workers:
                if each.node is not None:
                    each.send(Gone([worker.node]))
        self._regroup()
        slot = self.slots[worker.slot - 1]
        if self.isStopping or worker not in (slot.worker, slot.successor):
            self._log.debug("worker {slot} (process {pid}) {why}", slot=worker.slot, pid=worker.pid, why=why)
        elif slot.successor is not None:
            self._warn(worker, why)
        else:
            self._endedByItself(worker, why)
        self._side.ended(worker)
        if self.isStopping and not self.workers:
            self._finish()

    def _endedByItself(self, worker: WorkerProcess, why: str) -> None:
        slot = self.slots[worker.slot - 1]
        slot.hasFailed = True
        if not self._hasServed and all(each.hasFailed for each in self.slots):
            self._hopeless = worker
            self._warn(worker, why)
            self.stop()
        else:
            delay = slot.backoff.delay(worker.served)
            slot.starting = self._clock.callLater(delay, self._start, slot)
            self._warn(worker, f"{why}; it is started again in {delay:g} s")

    def _warn(self, worker: WorkerProcess, why: str) -> None:
        self._log.warn("worker {slot} (process {pid}) {why}", slot=worker.slot, pid=worker.pid, why=why)

    def closed(self, worker: WorkerProcess) -> None:
        """All output of a worker that has ended was read; see `WorkerSide`."""
        if worker in self._early:
            self._clock.callLater(0, self.closed, worker)
        elif worker is self._hopeless:
            self._side.failed(worker)

    def _finish(self) -> None:
        stopped, self._stopped = self._stopped, []
        for each in stopped:
            each.callback(None)

    def _forget(self) -> None:
        now = self._clock.seconds()
        self._gone = {node: since for node, since in self._gone.items() if now - since < REMEMBERED}


class OneWorker:
    """
    The worker of one slot, as it is replaced alone; its `Generations`.

    Args:
        supervisor: The supervisor.
        slot: The slot.
    """

    def __init__(self, supervisor: Supervisor, slot: Slot) -> None:
        self._supervisor = supervisor
        self._slot = slot

    @property
    def count(self) -> int:
        """One."""
        return 1

    @property
    def isStopping(self) -> bool:
        """Whether all workers are being stopped."""
        return self._supervisor.isStopping

    @property
    def serving(self) -> list[WorkerProcess]:
        """The worker, if it serves."""
        return [each for each in self._supervisor.serving if each is self._slot.worker]

    def succeed(self) -> Iterator[WorkerProcess]:
        """Start its successor. Raises `GivenUp`."""
        try:
            successor = self._supervisor.spawned(self._slot)
        except OSError as error:
            raise GivenUp(f"a new worker can't be started: {error}") from error
        self._slot.succeed(successor)
        yield successor

    def succeeded(self) -> None:
        """The successor takes its place."""
        self._slot.succeeded()
        self._supervisor.mend(self._slot)

    def notSucceeded(self) -> None:
        """The worker keeps its place."""
        self._slot.notSucceeded()
        self._supervisor.mend(self._slot)
