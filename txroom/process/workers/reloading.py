"""
A rolling reload: all workers are replaced by new ones, which import the app again, and clients don't notice.

::

    starting --all new workers serve--> leaving --all old workers have given their rooms away--> over
    starting --one of them ends, or READY_TIMEOUT is over--> given up
    leaving --a new worker can't open a room--> given up

A process that starts uses as much of a processor as it can get. So the new workers start a few at a time, and
leave processors to the old ones.

If it is given up, or an unexpected error occurs, the old workers stay, and the new ones give back the rooms
that they have got, and stop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from twisted.internet.defer import DeferredList, FirstError, TimeoutError, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from .child import WorkerProcess, WorkerState
from .pipe import Left, Stay

#: The most seconds until a new worker serves.
READY_TIMEOUT = 30.0
#: The most seconds for which an old worker may give its rooms away. Then it is killed, and others take over
#: its rooms.
LEAVE_TIMEOUT = 120.0


class Generations(Protocol):
    """The workers, as a reload replaces them."""

    @property
    def count(self) -> int:
        """How many workers there should be."""
        ...

    @property
    def isStopping(self) -> bool:
        """Whether all workers are being stopped."""
        ...

    @property
    def serving(self) -> list[WorkerProcess]:
        """The workers that serve and are not stopping."""
        ...

    def succeed(self) -> Iterator[WorkerProcess]:
        """Start successors of all workers, one at each step. Raises `GivenUp` if one can't be started."""
        ...

    def succeeded(self) -> None:
        """The successors take the places of the workers."""

    def notSucceeded(self) -> None:
        """The workers keep their places."""


class GivenUp(Exception):
    """The reload is given up; the text says why."""


class Reload:
    """
    One rolling reload.

    Args:
        clock: The clock.
        generations: The workers.
        atOnce: How many workers start at a time.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, generations: Generations, atOnce: int) -> None:
        self._clock = clock
        self._generations = generations
        self._atOnce = atOnce

    async def run(self) -> bool:
        """Replace all workers. Returns whether they were replaced."""
        new: list[WorkerProcess] = []
        try:
            begun = self._clock.seconds()
            count = self._generations.count
            self._log.info(
                "reload: starting {what}", what="a new worker" if count == 1 else f"{count} new workers"
            )
            await self._start(new)
            old = self._others(new)  # also those that have begun to serve meanwhile
            rooms = await self._move(old, new)
        except Exception as error:
            if not isinstance(error, GivenUp):
                self._log.failure("the reload has failed")
            if not self._generations.isStopping:
                self._log.error("the reload is given up, and the old workers go on: {why}", why=str(error))
                await self._giveUp(new)
            return False
        self._generations.succeeded()
        for worker in old:
            worker.replaced()
        self._log.info(
            "reload: the new {who}; rooms that have moved: {rooms}",
            who="worker serves" if count == 1 else "workers serve",
            rooms=rooms,
        )
        ended = DeferredList([worker.whenEnded() for worker in old])
        ended.addCallback(lambda _: self._done(self._clock.seconds() - begun))
        return True

    def _done(self, seconds: float) -> None:
        """The old workers have ended."""
        if not self._generations.isStopping:
            self._log.info("reload: done in {seconds:.0f} s", seconds=seconds)

    def _others(self, new: Sequence[WorkerProcess]) -> list[WorkerProcess]:
        """The old workers that serve."""
        return [worker for worker in self._generations.serving if worker not in new]

    async def _start(self, new: list[WorkerProcess]) -> None:
        starting: list[WorkerProcess] = []
        for worker in self._generations.succeed():
            new.append(worker)
            starting.append(worker)
            if len(starting) == self._atOnce:
                await self._serve(starting)
                starting.clear()
        await self._serve(starting)
        for worker in new:
            if worker.state is not WorkerState.READY:
                raise GivenUp(f"a new worker {worker.ending}")

    async def _serve(self, new: Sequence[WorkerProcess]) -> None:
        """Wait until these workers serve."""
        ready = gatherResults([worker.whenReady() for worker in new], consumeErrors=True)
        try:
            await ready.addTimeout(READY_TIMEOUT, self._clock)
        except FirstError as error:
            raise GivenUp(f"a new worker {error.subFailure.value}") from None
        except TimeoutError:
            raise GivenUp(f"a new worker does not serve after {READY_TIMEOUT:g} s") from None

    async def _move(self, old: Sequence[WorkerProcess], new: Sequence[WorkerProcess]) -> int:
        """Let one old worker after another give its rooms to the new ones; return the number of rooms."""
        rooms = 0
        for worker in old:
            given = await self._leave(worker, new)
            if given.problem or self._generations.isStopping:
                raise GivenUp(self._explained(given.problem, new))
            rooms += given.rooms
        return rooms

    def _explained(self, problem: str, new: Sequence[WorkerProcess]) -> str:
        """Return why an old worker can't leave, with what a new one has logged of the room."""
        failures = (worker.output.failureIn(problem.split()) for worker in new)
        return ": ".join(filter(None, (problem, next(filter(None, failures), ""))))

    async def _leave(self, worker: WorkerProcess, others: Sequence[WorkerProcess]) -> Left:
        """
        Let a worker give its rooms to others. It is killed if it doesn't answer. Rooms in its memory can't be
        given away.
        """
        if worker.node is None:
            return Left()
        left = worker.leave([each.node for each in others if each.node is not None])
        try:
            return await left.addTimeout(LEAVE_TIMEOUT, self._clock)
        except TimeoutError:
            self._log.error(
                "worker {slot} (process {pid}) does not give its rooms away, and is killed",
                slot=worker.slot,
                pid=worker.pid,
            )
            worker.kill()
            return Left()

    async def _giveUp(self, new: Sequence[WorkerProcess]) -> None:
        """Let the old workers stay, and the new ones give their rooms back."""
        self._generations.notSucceeded()
        staying = self._others(new)
        for worker in staying:
            worker.send(Stay())
        for worker in new:
            try:
                await self._leave(worker, staying)
            except Exception:
                self._log.failure("worker {slot} could not give its rooms back", slot=worker.slot)
            worker.stop()
