"""
The supervisor of the workers: it starts them, starts those again that have ended, and stops them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from .backoff import Backoff
from .child import WorkerProcess, WorkerSide, WorkerState
from .pipe import Down, Gone, Group, Ready
from .reloading import GivenUp, Reload

#: For how many seconds new workers are told of a node that has ended. Its lease has expired by then.
REMEMBERED = 15.0


class SupervisorSide(Protocol):
    """What the supervisor reports to."""

    def ready(self, message: Ready) -> None:
        """A worker serves."""

    def reported(self) -> None:
        """A worker has reported something, or has ended."""

    def failed(self, worker: WorkerProcess) -> None:
        """No worker has ever served, and each has ended; `worker` is the last one."""


@attrs.define(eq=False)
class Slot:
    """The place of one worker. It has a number, from 1, that its successors have too."""

    number: int
    backoff: Backoff = attrs.field(factory=Backoff)
    worker: WorkerProcess | None = None
    #: The process that is to take the place of `worker`, during a reload.
    successor: WorkerProcess | None = None
    #: The call that starts the next process.
    starting: IDelayedCall | None = None
    #: Whether a process of it has ended.
    hasFailed: bool = False


class Supervisor:
    """
    Keeps `count` workers running.

    It is idle until `start`, then it runs, and from `stop` on it stops; a supervisor is started once.

    Args:
        clock: The clock.
        count: The number of workers.
        spawn: Starts a process in a slot. It reports to the second argument.
        side: What the supervisor reports to.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        count: int,
        spawn: Callable[[int, WorkerSide], WorkerProcess],
        side: SupervisorSide,
    ) -> None:
        self._clock = clock
        self._spawn = spawn
        self._side = side
        self.slots = [Slot(number) for number in range(1, count + 1)]
        #: All processes that have not ended, in the order of their starts.
        self.workers: list[WorkerProcess] = []
        #: The nodes that have ended, and when.
        self._gone: dict[str, float] = {}
        self._group: Group | None = None
        self._hasServed = False
        #: The last worker to end of those that could all not start.
        self._hopeless: WorkerProcess | None = None
        #: Whether it stops, or has stopped.
        self.isStopping = False
        self._isReloading = False
        #: The calls of `reload` that wait for the next reload.
        self._reloads: list[Deferred[bool]] = []
        self._stopped: list[Deferred[None]] = []

    def start(self) -> None:
        """Start all workers."""
        for slot in self.slots:
            self._start(slot)

    def stop(self) -> Deferred[None]:
        """Stop all workers at the same time. The Deferred fires when all have ended."""
        self.isStopping = True
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
            slot.worker = self._spawned(slot)
        except OSError as error:  # too many processes or descriptors, or too little memory
            delay = slot.backoff.delay(0.0)
            slot.starting = self._clock.callLater(delay, self._start, slot)
            self._log.error(
                "worker {slot} can't be started: {why}; it is tried again in {delay:g} s",
                slot=slot.number,
                why=str(error),
                delay=delay,
            )

    def _spawned(self, slot: Slot) -> WorkerProcess:
        worker = self._spawn(slot.number, self)
        self.workers.append(worker)
        return worker

    def ready(self, worker: WorkerProcess, message: Ready) -> None:
        """A worker serves; see `WorkerSide`."""
        self._hasServed = True
        self._forget()
        if self._gone:
            worker.send(Gone(list(self._gone)))
        self._group = None  # it does not know it
        self._regroup()
        self._side.ready(message)

    def reported(self, worker: WorkerProcess) -> None:
        """A worker has a new report; see `WorkerSide`."""
        self._side.reported()

    def _regroup(self) -> None:
        group = Group(len(self.slots), len(self.serving))
        if group != self._group:
            self._group = group
            self.tell(group)

    # -- reloads

    def reload(self) -> Deferred[bool]:
        """
        Replace all workers by new ones; see `reloading`. Does nothing if the rooms of the workers live in
        their memory. During a reload, it begins another one afterwards, because the app may have changed.

        Returns:
            A Deferred of whether the reload was not given up.
        """
        reloaded: Deferred[bool] = Deferred()
        self._reloads.append(reloaded)
        if self._isReloading:
            self._log.info("reload: it begins when the current one has ended")
        else:
            self._isReloading = True
            Deferred.fromCoroutine(self._reloadAll())
        return reloaded

    async def _reloadAll(self) -> None:
        """Reload until nobody has asked for it during the last reload."""
        while self._reloads:
            reloads, self._reloads = self._reloads, []
            serving, isDone = self.serving, True
            if serving and all(worker.node for worker in serving) and not self.isStopping:
                try:
                    isDone = await Reload(self._clock, self).run()
                except Exception:
                    self._log.failure("the reload has failed")
                    isDone = False
            for reloaded in reloads:
                reloaded.callback(isDone)
        self._isReloading = False

    def succeed(self) -> list[WorkerProcess]:
        """Start a successor of each worker; see `Generations`."""
        started: list[WorkerProcess] = []
        try:
            for slot in self.slots:
                if slot.starting is not None:
                    slot.starting.cancel()
                    slot.starting = None
                slot.successor = self._spawned(slot)
                started.append(slot.successor)
        except OSError as error:
            for worker in started:
                worker.stop()
            raise GivenUp(f"a new worker can't be started: {error}") from error
        for slot in self.slots:
            if slot.worker is not None and slot.worker.state is WorkerState.STARTING:
                slot.worker.stop()  # it imports the old code, and has no rooms yet
        return started

    def succeeded(self) -> None:
        """The successors take the places of the workers; see `Generations`."""
        for slot in self.slots:
            slot.worker, slot.successor = slot.successor, None
            self._mend(slot)

    def notSucceeded(self) -> None:
        """The workers keep their places; see `Generations`."""
        for slot in self.slots:
            slot.successor = None
            self._mend(slot)

    def _mend(self, slot: Slot) -> None:
        """Start the worker of a slot again, if it has ended during a reload."""
        if slot.worker not in self.workers and not self.isStopping:
            self._start(slot)

    # -- ends

    def exited(self, worker: WorkerProcess, why: str) -> None:
        """A worker has ended: its node is gone; see `WorkerSide`."""
        self.workers.remove(worker)
        if worker.node is not None:
            self._forget()
            self._gone[worker.node] = self._clock.seconds()
            self.tell(Gone([worker.node]))
        self._regroup()
        slot = self.slots[worker.slot - 1]
        if self.isStopping or worker not in (slot.worker, slot.successor):
            self._log.debug("worker {slot} (process {pid}) {why}", slot=worker.slot, pid=worker.pid, why=why)
        elif slot.successor is not None:
            self._warn(worker, why)
        else:
            self._endedByItself(worker, why)
        self._side.reported()
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
        if worker is self._hopeless:
            self._side.failed(worker)

    def _finish(self) -> None:
        stopped, self._stopped = self._stopped, []
        for each in stopped:
            each.callback(None)

    def _forget(self) -> None:
        now = self._clock.seconds()
        self._gone = {node: since for node, since in self._gone.items() if now - since < REMEMBERED}


def summed(reports: Iterable[dict[str, object]]) -> dict[str, object]:
    """Return the sums of the counters of several workers; counters by name are added by name."""
    total: dict[str, object] = {}
    for report in reports:
        for name, value in report.items():
            total[name] = _added(total.get(name), value)
    return total


def _added(before: object, value: object) -> object:
    if isinstance(value, dict):
        return summed([before if isinstance(before, dict) else {}, value])
    assert isinstance(value, int)
    return value + (before if isinstance(before, int) else 0)
