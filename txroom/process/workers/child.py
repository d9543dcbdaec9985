"""
A worker process, as its parent sees it.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from .output import WorkerOutput
from .pipe import (
    FROM_PARENT,
    TO_PARENT,
    Ask,
    Deaf,
    Down,
    Joining,
    Leave,
    Left,
    Messages,
    Ready,
    Report,
    Start,
    Stop,
    StopNow,
    Up,
    encode,
)

#: How long a worker that is not ready may take to stop, in seconds.
STOP_TIMEOUT = 10.0
#: For how many seconds a worker that is replaced may send its clients away, and those that are joining.
SEND_AWAY, JOINING = 60.0, 15.0
#: After how many seconds more a worker that does not stop is killed.
KILL_AFTER = 5.0
#: For how many seconds the output of a worker that has ended is read, if another process still has it.
LAST_OUTPUT = 1.0
#: After how many looks at a worker that has said nothing meanwhile it has stalled; see `liveness`.
SILENT = 7


class WorkerState(Enum):
    """
    The states of a worker.

    =========  ========================  =========
    state      event                     next
    =========  ========================  =========
    STARTING   it serves (`Ready`)       READY
    STARTING   `stop`                    STOPPING
    READY      `stop`, `replaced`        STOPPING
    any        the process has ended     ENDED
    =========  ========================  =========
    """

    STARTING = auto()
    READY = auto()
    STOPPING = auto()
    ENDED = auto()


class NotReady(Exception):
    """A worker stops or has ended, and does not serve; the text is its `ending`."""


class WorkerSide(Protocol):
    """What a worker process reports to."""

    def joining(self, worker: WorkerProcess) -> None:
        """The worker becomes a node of the cluster."""

    def ready(self, worker: WorkerProcess, message: Ready) -> None:
        """The worker serves."""

    def reported(self, worker: WorkerProcess) -> None:
        """The worker has a new `report`, or is deaf."""

    def asked(self, worker: WorkerProcess, ask: Ask) -> None:
        """The worker asks for something."""

    def exited(self, worker: WorkerProcess, why: str) -> None:
        """The process has ended; `why` says how, for the log. Its output may not be complete yet."""

    def closed(self, worker: WorkerProcess) -> None:
        """The process has ended, and its output is complete."""


class WorkerProcess(ProcessProtocol):
    """
    One worker process.

    Args:
        start: What it has to serve.
        clock: The clock.
        side: What it reports to.
    """

    _log = Logger()
    transport: Any

    def __init__(self, start: Start, clock: IReactorTime, side: WorkerSide) -> None:
        self.slot = start.slot
        self.state = WorkerState.STARTING
        self.output = WorkerOutput(start.slot)
        #: The id of its node of the cluster, from when it becomes one.
        self.node: str | None = None
        self.report = Report("starting", {})
        #: How often it was looked at since its last message.
        self._silence = 0
        #: Whether it has closed its listening sockets.
        self.isDeaf = False
        self.pid: int | None = None
        self._start = start
        self._clock = clock
        self._side = side
        self._messages: Messages[Up] = Messages(Up)
        self._stopTimeout = STOP_TIMEOUT
        self._readyAt: float | None = None
        self._waiting: list[Deferred[None]] = []
        self._ending: list[Deferred[None]] = []
        self._leaving: Deferred[Left] | None = None
        #: Whether it stops because it is replaced, and sends its clients away.
        self.isReplaced = False
        self._timer: IDelayedCall | None = None
        #: How the process has ended, for the log.
        self._end = "stops"

    @property
    def ending(self) -> str:
        """Why it doesn't serve any more, for the log: how the process has ended, and its last problem."""
        return ": ".join(filter(None, (self._end, self.output.problem)))

    @property
    def served(self) -> float:
        """For how many seconds it has served."""
        return 0.0 if self._readyAt is None else self._clock.seconds() - self._readyAt

    @property
    def status(self) -> str:
        """How it is: what it has reported, or "stalled" if it serves but says nothing any more."""
        return (
            "stalled" if self.state is WorkerState.READY and self._silence >= SILENT else self.report.status
        )

    def missed(self) -> bool:
        """Somebody has looked at it. Return whether it has just stalled."""
        self._silence += 1
        if self._silence != SILENT:
            return False
        self._log.warn(
            "worker {slot} (process {pid}) hangs: it says nothing any more, and its clients get no answers",
            slot=self.slot,
            pid=self.pid,
        )
        return True

    def _heard(self) -> None:
        if self._silence >= SILENT:
            self._log.info("worker {slot} (process {pid}) goes on", slot=self.slot, pid=self.pid)
        self._silence = 0

    def whenReady(self) -> Deferred[None]:
        """
        Return a Deferred that fires when it serves. It fails with `NotReady` if it stops, or has ended and
        its output is complete.
        """
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if self.state is not WorkerState.STARTING:
            self._tellWaiting()
        return waiter

    def whenEnded(self) -> Deferred[None]:
        """Return a Deferred that fires when the process has ended, or at once if it has."""
        if self.state is WorkerState.ENDED:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._ending.append(waiter)
        return waiter

    def _tellWaiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if self.state is WorkerState.READY:
                waiter.callback(None)
            else:
                waiter.errback(NotReady(self.ending))

    # -- to the worker

    def leave(self, nodes: list[str]) -> Deferred[Left]:
        """
        Let it give all its rooms to these nodes.

        Returns:
            A Deferred of its answer. If it doesn't serve, or ends meanwhile, it has left.
        """
        if self.state is not WorkerState.READY:
            return succeed(Left())
        self._leaving = Deferred()
        self.send(Leave(nodes))
        return self._leaving

    def _left(self, message: Left) -> None:
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving.callback(message)

    def send(self, message: Down) -> None:
        """Send a message. Does nothing if the worker has closed its end of the pipe."""
        try:
            self.transport.writeToChild(FROM_PARENT, encode(message))
        except KeyError:
            pass

    def stop(self) -> None:
        """Stop it, as at the first SIGTERM. It is killed if it takes too long."""
        if self.state in (WorkerState.STARTING, WorkerState.READY) or self.isReplaced:
            self.isReplaced = False
            self._stop(0.0)

    def replaced(self) -> None:
        """Stop it, since others have its rooms: it first sends its clients to them, a few at a time."""
        if self.state is WorkerState.READY:
            self.isReplaced = True
            self._stop(SEND_AWAY)

    def _stop(self, seconds: float) -> None:
        self.state = WorkerState.STOPPING
        self.send(Stop(seconds))
        self._killIn((seconds and seconds + JOINING) + self._stopTimeout + KILL_AFTER)
        self._tellWaiting()

    def stopNow(self) -> None:
        """Stop it at once, as at the second SIGTERM."""
        if self.state is not WorkerState.ENDED:
            self.isReplaced = False
            self.state = WorkerState.STOPPING
            self.send(StopNow())
            self._killIn(KILL_AFTER)
            self._tellWaiting()

    def kill(self) -> None:
        """End the process."""
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass

    def _killIn(self, seconds: float) -> None:
        self._cancelTimer()
        self._timer = self._clock.callLater(seconds, self._takesTooLong)

    def _takesTooLong(self) -> None:
        self._timer = None
        self._log.warn("worker {slot} does not stop, and is killed", slot=self.slot)
        self.kill()

    def _cancelTimer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- from the worker

    def connectionMade(self) -> None:
        self.pid = self.transport.pid
        self.send(self._start)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD != TO_PARENT:
            self.output.received(childFD, data)
            return
        try:
            messages = self._messages.feed(data)
        except msgspec.DecodeError as error:
            self._log.error(
                "worker {slot} sent a message that can't be read, and is killed: {why}; "
                "if txroom was updated, restart the whole service",
                slot=self.slot,
                why=str(error),
            )
            self.kill()
            return
        for message in messages:
            self._received(message)

    def _received(self, message: Up) -> None:
        self._heard()
        if isinstance(message, Joining):
            self.node = message.node
            self._side.joining(self)
            return
        if isinstance(message, Ready):
            self._stopTimeout = message.shutdownTimeout
            if self.state is WorkerState.STARTING:
                self.state = WorkerState.READY
                self._readyAt = self._clock.seconds()
                self._side.ready(self, message)
                self._tellWaiting()
            return
        if isinstance(message, Left):
            self._left(message)
            return
        if isinstance(message, Ask):
            self._side.asked(self, message)
            return
        if isinstance(message, Report):
            self.report = message
        elif isinstance(message, Deaf):
            self.isDeaf = True
        self._side.reported(self)

    def processExited(self, reason: Failure) -> None:
        self.state = WorkerState.ENDED
        self.isReplaced = False
        self._cancelTimer()
        self._timer = self._clock.callLater(LAST_OUTPUT, self._noMoreOutput)
        self._end = describeEnd(reason.value)
        self._side.exited(self, self._end)
        self._left(Left())
        ending, self._ending = self._ending, []
        for waiter in ending:
            waiter.callback(None)

    def _noMoreOutput(self) -> None:
        self._timer = None
        self.transport.loseConnection()

    def processEnded(self, reason: Failure) -> None:
        self._cancelTimer()
        self.output.ended()
        self._tellWaiting()
        self._side.closed(self)


def describeEnd(error: Any) -> str:
    """Return how a process has ended, for the log."""
    if isinstance(error, ProcessTerminated) and error.signal is not None:
        return f"was ended by signal {error.signal}"
    if isinstance(error, ProcessDone | ProcessTerminated):
        return f"has ended with status {error.exitCode or 0}"
    return f"has ended: {error}"
