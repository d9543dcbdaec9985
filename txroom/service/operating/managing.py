"""
Draining, reloading and the log level: what a server does by itself, and what the program that runs it does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from ...core.codes import ErrorCode
from ...protocol.errors import SEE_LOG, RoomError
from .shownworker import ShownWorker


class Manager(Protocol):
    """What runs a server; the methods return Deferreds that fail with `RoomError`."""

    def drain(self) -> Deferred[None]:
        """Begin to drain this server; see `Server.drain`. A worker is replaced by a new process."""
        ...

    def reload(self) -> Deferred[None]:
        """Begin to reload, as SIGHUP does."""
        ...

    def workers(self) -> Deferred[list[ShownWorker]]:
        """Return the workers of this machine; none if there are no workers."""
        ...

    def setLogLevel(self, level: str) -> Deferred[None]:
        """Set the lowest level that is logged."""
        ...


class ManagedServer(Protocol):
    """The server as its manager sees it."""

    def drain(self) -> Deferred[int]: ...
    def reloadCertificates(self) -> bool: ...


class OwnManager:
    """
    The manager of a server that no other process manages.

    Args:
        server: The server.
    """

    _log = Logger()

    def __init__(self, server: ManagedServer) -> None:
        self._server = server
        #: Reloads; a program that runs the server may do more than this.
        self.onReload: Callable[[], Any] = server.reloadCertificates

    def drain(self) -> Deferred[None]:
        """Begin to drain; an error is only logged, since it may come late."""
        self._server.drain().addErrback(
            lambda failure: self._log.failure("the server could not be drained, and goes on", failure)
        )
        return succeed(None)

    def reload(self) -> Deferred[None]:
        """Reload at once."""
        try:
            self.onReload()
        except Exception:
            self._log.failure("the server could not be reloaded")
            raise RoomError(ErrorCode.UNAVAILABLE, SEE_LOG) from None
        return succeed(None)

    def workers(self) -> Deferred[list[ShownWorker]]:
        """Return none."""
        return succeed([])

    def setLogLevel(self, level: str) -> Deferred[None]:
        """Do nothing more than `LogLevels` does."""
        return succeed(None)


class LogLevels:
    """The lowest level that this process logs. The program that runs the server sets `change`."""

    def __init__(self) -> None:
        #: The level; empty: it is not known.
        self.level = ""
        #: Changes the level; `None`: this process does not filter its log.
        self.change: Callable[[str], None] | None = None

    def set(self, level: str) -> None:
        """Set the level. Raises `RoomError` (``unavailable``) if this process does not filter its log."""
        if self.change is None:
            text = "the program that runs this server does not let txroom filter its log"
            raise RoomError(ErrorCode.UNAVAILABLE, text)
        self.change(level)
        self.level = level
