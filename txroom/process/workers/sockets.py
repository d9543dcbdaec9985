"""
The listening sockets that the workers share.

The workers of a parent that was killed have its sockets until they have ended. The next parent may be started
before that, so it waits for them. A socket that something else has is an error at once.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from ...http.names import LOG_PREFIX
from ...service.listening import Listener, Listeners
from ..loading import inOneLine
from .spawning import NAME

#: How often a socket is tried again, and after how many seconds: for 15 seconds in all. The watcher kills
#: workers that hang 12 seconds after their parent.
TRIES, LOOK = 150, 0.1
PROCESSES = Path("/proc")
_ARGUMENT = b"\0" + NAME.encode("ascii")


class SharedSockets(Listeners):
    """
    The sockets, which the parent opens, and from which it accepts nothing.

    Args:
        reactor: The reactor.
        areLeft: Returns whether processes that a killed parent has left may have its sockets.
        sleep: Waits for so many seconds. The reactor does not run yet then.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, areLeft: Callable[[], bool], sleep: Callable[[float], object] = time.sleep
    ) -> None:
        super().__init__(reactor, _Nothing(), 0)
        self.onPort = _acceptNothing
        self._areLeft = areLeft
        self._sleep = sleep
        self._tries = TRIES

    def openOne(self, listener: Listener) -> None:
        """Listen on one endpoint, and wait for it if a killed parent may have left it."""
        while True:
            try:
                super().openOne(listener)
                return
            except CannotListenError as error:
                if self._reactor.running or not self._tries or not isTaken(error) or not self._areLeft():
                    raise
                self._wait(error)

    def _wait(self, error: CannotListenError) -> None:
        if self._tries == TRIES:
            self._log.warn(
                "{why}; it is tried again for {seconds:g} s, as workers of a killed parent may have it",
                why=inOneLine(error),
                seconds=TRIES * LOOK,
            )
        self._tries -= 1
        self._sleep(LOOK)


def isTaken(error: CannotListenError) -> bool:
    """Return whether a socket could not be opened because there is one already."""
    why = error.socketError
    return isinstance(why, str) or getattr(why, "errno", None) == errno.EADDRINUSE  # a text: it is locked


def areLeft(stateDir: str | None) -> bool:
    """
    Return whether there may be processes of a killed parent.

    Args:
        stateDir: The state directory, which they have locked then. Without one, any worker may be theirs.
    """
    if stateDir is None:
        return hasWorkers()
    from .statedir import isInUse  # not at load: it would cost the parent memory

    return isInUse(Path(stateDir))


def hasWorkers(processes: Path = PROCESSES) -> bool:
    """Return whether this machine has any workers, also where that can't be found out."""
    if not (processes / "self" / "cmdline").exists():
        return True
    return any(_ARGUMENT in _read(each) for each in processes.glob("[0-9]*/cmdline"))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # the process has ended
        return b""


class _Nothing(Factory):
    """The factory of ports whose connections others accept."""

    noisy = False

    def logPrefix(self) -> str:
        return LOG_PREFIX


def _acceptNothing(port: IListeningPort) -> None:
    """Leave the connections of a port to the workers."""
    anyPort: Any = port
    anyPort.stopReading()
