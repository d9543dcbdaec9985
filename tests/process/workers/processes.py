"""A reactor whose processes only exist in memory."""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure


class MemoryProcess:
    """The transport of a process that does nothing by itself."""

    def __init__(self, protocol: Any, pid: int, args: list[str], **given: Any) -> None:
        self.protocol = protocol
        self.pid = pid
        self.args = args
        self.given = given
        self.written = b""
        self.signals: list[str] = []
        self.isRunning = True
        self.hasOutput = False

    @property
    def isToEnd(self) -> bool:
        """Whether it was told to end."""
        return self.isRunning and (bool(self.signals) or b"done" in self.written)

    def write(self, data: bytes) -> None:
        self.written += data

    def signalProcess(self, name: str) -> None:
        if not self.isRunning:
            raise ProcessExitedAlready
        self.signals.append(name)

    def loseConnection(self) -> None:
        """Close the pipes."""
        if self.hasOutput and not self.isRunning:
            self.hasOutput = False
            self.protocol.processEnded(self._reason)

    def prints(self, *lines: str) -> None:
        """The program prints lines."""
        self.protocol.childDataReceived(1, "".join(f"{line}\n" for line in lines).encode())

    def end(self, status: int = 0, signal: int | None = None, hasOutput: bool = False) -> None:
        """The process ends. `hasOutput`: a child process of it keeps the pipes."""
        kind = ProcessTerminated if status or signal else ProcessDone
        self._reason = Failure(kind(status, signal, 0) if kind is ProcessTerminated else kind(0))
        self.isRunning = False
        self.hasOutput = hasOutput
        self.protocol.processExited(self._reason)
        if not hasOutput:
            self.protocol.processEnded(self._reason)

    def kill(self) -> None:
        """The process is killed."""
        self.end(signal=signal.SIGKILL)


class ProcessReactor(Clock):
    """A clock that starts processes in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[MemoryProcess] = []
        #: Raised by the next start.
        self.error: OSError | None = None

    def spawnProcess(
        self, protocol: ProcessProtocol, executable: str, args: list[str], **given: Any
    ) -> MemoryProcess:
        error, self.error = self.error, None
        if error is not None:
            raise error
        process = MemoryProcess(protocol, 1000 + len(self.processes), args, **given)
        self.processes.append(process)
        protocol.makeConnection(process)
        return process
