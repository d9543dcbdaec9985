"""
The limit on open files: how many connections it allows, and what happens when no descriptor is left.

Without a descriptor for a new connection, Twisted closes the connection at once and logs three lines. If it
cannot even do that, it tries again in every turn of the reactor. This module logs one line a minute instead,
and pauses a port that cannot accept at all.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, LogEvent, Logger
from zope.interface import implementer

from ..core.twistedinternet import observeAccepting, reserveDescriptor
from ..http.admission import Admission

#: The descriptors that are reserved for listeners, log files, threads and what applications open.
MIN_SPARE, MAX_SPARE = 24, 500
#: The seconds between two log lines about one port.
LOG_INTERVAL = 60.0
#: How long a port that cannot accept is paused, in seconds.
PAUSE = 1.0


def openFiles() -> int | None:
    """Return the limit on open files (``ulimit -n``, ``LimitNOFILE``), or `None` if there is none."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def socketsOf(limit: int) -> int:
    """
    Return the largest number of client sockets of any kind. About a twentieth of the limit is reserved for
    other files.
    """
    return max(1, limit - _clamped(limit))


def connectionsOf(limit: int) -> int:
    """
    Return the largest number of WebSockets. About another twentieth of the limit is reserved for handshakes,
    pages and refusals.
    """
    return max(1, limit - 2 * _clamped(limit))


def _clamped(limit: int) -> int:
    return min(max(limit // 20, MIN_SPARE), MAX_SPARE)


def limitConnections(admission: Admission, wanted: int, limit: int | None, log: Logger) -> None:
    """
    Accept no more connections than the limit on open files allows.

    Args:
        admission: Gets the limits.
        wanted: The option `maxConnections`. If the limit does not allow so many, a warning is logged once.
        limit: The limit on open files; `None` is no limit.
        log: The log for the warning.
    """
    if limit is None:
        return
    most = connectionsOf(limit)
    if wanted > most != admission.mostConnections:
        log.warn(
            "maxConnections={wanted}, but the limit on open files ({limit}) allows only {most} connections: "
            "raise the limit (ulimit -n, LimitNOFILE)",
            wanted=wanted,
            limit=limit,
            most=most,
        )
    admission.mostConnections, admission.mostSockets = most, socketsOf(limit)


def watchAccepting(port: Any, clock: IReactorTime, isPaused: Callable[[], bool]) -> None:
    """
    Handle the errors of a TCP port in accepting connections by `AcceptErrors`. Other ports have no such
    errors.
    """
    if isinstance(port, tcp.Port):
        observeAccepting(port, AcceptErrors(port, clock, isPaused))


@implementer(ILogObserver)
class AcceptErrors:
    """
    A log observer for one port, which gets an event for each failed attempt to accept a connection.

    Args:
        port: The port.
        clock: The clock.
        isPaused: Whether the port must not accept for another reason.
    """

    _log = Logger()

    def __init__(self, port: Any, clock: IReactorTime, isPaused: Callable[[], bool]) -> None:
        self._port = port
        self._clock = clock
        self._isPaused = isPaused
        self._nextLine = 0.0
        self._closed = 0

    def __call__(self, event: LogEvent) -> None:
        if "address" in event:
            self._closed += 1
        error = event.get("acceptError")
        if error in ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"):
            self._pause()
        elif "address" not in event:
            return  # a line before or after those about closed connections, or a client that left at once
        now = self._clock.seconds()
        if now < self._nextLine:
            return
        self._nextLine = now + LOG_INTERVAL
        self._log.warn(
            "no file descriptor was left for new connections ({error}); {closed} were closed at once: raise "
            "the limit (ulimit -n, LimitNOFILE), or lower maxConnections",
            error=error or "EMFILE",
            closed=self._closed,
        )
        self._closed = 0

    def _pause(self) -> None:
        """
        Stop accepting for a while, and then restore the spare descriptor that Twisted keeps for this case.
        """
        if self._port.connected and not self._port.disconnecting:
            self._port.stopReading()
            self._clock.callLater(PAUSE, self._resume)

    def _resume(self) -> None:
        if self._port.connected and not self._port.disconnecting:
            reserveDescriptor()
            if not self._isPaused():
                self._port.startReading()
