"""
One run of the store's program, from its start to its end.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from .owner import Owner
from .storelog import StoreLog

#: Runs a program in a session of its own, which signals to the parent's terminal or group do not reach. Its
#: output is lost if the parent does not read it, and it does not wait for that.
_SETSID = (
    "import os, sys; os.setsid(); os.dup2(1, 2); os.set_blocking(1, False); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
#: The variables of the environment that the programs may need. No others are handed on: those of systemd, for
#: example, are for the parent only.
_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
#: How many seconds the program may take to end before it is killed.
STOP = 10.0
#: After how many seconds without an answer that is logged.
NOTICE = 5.0
#: How many seconds after the end of the program its output is waited for. A child process of it may still
#: have the pipe.
OUTPUT = 0.5


def environmentOf(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that the store and the watcher get."""
    return {name: environ[name] for name in _VARIABLES if name in environ}


def argumentsOf(program: str, data: Path, socket: Path, fsync: str) -> list[str]:
    """Return the command line of the program, with its configuration."""
    # fmt: off
    return [
        program,
        "--port", "0",
        "--unixsocket", str(socket),
        "--unixsocketperm", "700",
        "--dir", str(data),
        "--save", "",
        "--appendonly", "yes",
        "--appendfsync", fsync,
        "--aof-load-truncated", "yes",
        "--maxmemory-policy", "noeviction",
        "--client-output-buffer-limit", "pubsub", "64mb", "16mb", "30",
    ]
    # fmt: on


class Client(Protocol):
    """The part of `RedisClient` that waits for an answer."""

    def start(self) -> Deferred[None]: ...
    def stop(self) -> Deferred[None]: ...


class ProcessSide(Protocol):
    """What a run reports to."""

    def answered(self) -> None:
        """The program answers for the first time."""

    def unwritten(self) -> None:
        """The program could not write something that it has confirmed."""

    def ended(self, why: str) -> None:
        """The program has ended."""


class StoreProcess(ProcessProtocol):
    """
    One run; see the module.

    Args:
        reactor: The reactor.
        client: A client of the program, which isn't started.
        side: What the run reports to.
    """

    transport: Any

    def __init__(self, reactor: Any, client: Client, side: ProcessSide) -> None:
        self._reactor = reactor
        self._client = client
        self._side = side
        self._calls: list[IDelayedCall] = []
        self.log = StoreLog(side.unwritten)

    def start(self, args: list[str], environment: dict[str, str], owner: Owner, locks: Sequence[int]) -> None:
        """
        Start the program.

        Args:
            args: Its command line.
            environment: Its environment.
            owner: Who it runs as.
            locks: The descriptors of locks that it keeps.

        Raises:
            OSError: There can't be another process.
        """
        uid, gid = owner.ids
        nowhere = os.open(os.devnull, os.O_RDWR)
        try:
            self._reactor.spawnProcess(
                self,
                sys.executable,
                [sys.executable, "-I", "-S", "-c", _SETSID, *args],
                env=environment,
                uid=uid,
                gid=gid,
                childFDs={0: nowhere, 1: "r", 2: "r", **dict(enumerate(locks, 3))},
            )
        finally:
            os.close(nowhere)
        self._notice = self._reactor.callLater(NOTICE, self.log.slow)
        self._calls.append(self._notice)
        self._client.start().addCallbacks(self._answered, lambda failure: None)

    @property
    def id(self) -> int:
        """The id of the process."""
        pid: int = self.transport.pid
        return pid

    def _answered(self, result: object) -> None:
        self._client.stop()
        if self._notice.active():
            self._notice.cancel()
        self.log.up()
        self._side.answered()

    def outReceived(self, data: bytes) -> None:
        """The program has printed something."""
        self.log.received(data)

    # The program has no standard error: this is why it could not be run.
    errReceived = outReceived

    def processExited(self, reason: Failure) -> None:
        """The program has ended, but its output may not have been read."""
        self._calls.append(self._reactor.callLater(OUTPUT, self.transport.loseConnection))

    def processEnded(self, reason: Failure) -> None:
        """The program has ended."""
        for call in self._calls:
            if call.active():
                call.cancel()
        self._client.stop()
        self._side.ended(whyOf(reason.value))

    def stop(self) -> None:
        """End the program, so that it writes what it has to its files."""
        self._client.stop()
        self.log.stopping()
        self._signal("TERM")
        self._calls.append(self._reactor.callLater(STOP, self._signal, "KILL"))

    def _signal(self, name: str) -> None:
        try:
            self.transport.signalProcess(name)
        except ProcessExitedAlready:
            pass


def whyOf(error: Any) -> str:
    """Describe the end of a process in a few words."""
    if error.signal is not None:
        return f"it was ended by {signal.Signals(error.signal).name}"
    return f"it has ended with status {error.exitCode}"
