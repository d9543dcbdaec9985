"""
The limit on open files: how many connections it allows, and what is done when no descriptor is left.

Without a descriptor for one more connection Twisted closes it at once, with three lines in the log, and if
it can't even do that, it tries again in every turn of the reactor. Here one line a minute says it, and a port
that can't accept at all pauses for a while.
"""

from __future__ import annotations

import resource
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, LogEvent, Logger
from zope.interface import implementer

from ..core.twistedinternet import observeAccepting, reserveDescriptor
from ..http.admission import Admission

#: Descriptors that are kept for the rest of the process: listeners, log, threads, what applications open.
MIN_SPARE, MAX_SPARE = 24, 500
#: Seconds between two lines about one port.
LOG_INTERVAL = 60.0
#: Seconds for which a port that can't accept at all doesn't try to.
PAUSE = 1.0


def openFiles() -> int | None:
    """The limit on open files (``ulimit -n``, ``LimitNOFILE``); `None` if there is none."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def socketsOf(limit: int) -> int:
    """The most sockets of clients, whatever they are for: a twentieth of the limit stays for the rest."""
    return max(1, limit - _clamped(limit))


def connectionsOf(limit: int) -> int:
    """The most WebSockets: another twentieth stays for handshakes, pages and refusals."""
    return max(1, limit - 2 * _clamped(limit))


def _clamped(limit: int) -> int:
    return min(max(limit // 20, MIN_SPARE), MAX_SPARE)


def limitConnections(admission: Admission, wanted: int, limit: int | None, log: Logger) -> None:
    """
    Accept no more connections than a `limit` on open files allows; `None` is no limit.

    `log` tells, once, that there can't be as many WebSockets as are `wanted` by the option `maxConnections`.
    """
    if limit is None:
        return
    most = connectionsOf(limit)
    if wanted > most != admission.mostConnections:
        log.warn(
            "maxConnections={wanted}, but the limit on open files ({limit}) allows {most}: raise it "
            "(ulimit -n, LimitNOFILE)",
            wanted=wanted,
            limit=limit,
            most=most,
        )
    admission.mostConnections, admission.mostSockets = most, socketsOf(limit)


def watchAccepting(port: Any, clock: IReactorTime) -> None:
    """Let `AcceptErrors` observe what a TCP port of Twisted's logs; other ports have no such errors."""
    if isinstance(port, tcp.Port):
        observeAccepting(port, AcceptErrors(port, clock))


@implementer(ILogObserver)
class AcceptErrors:
    """Observes the log of one port: an event for each attempt to accept that fails."""

    _log = Logger()

    def __init__(self, port: Any, clock: IReactorTime) -> None:
        self._port = port
        self._clock = clock
        self._nextLine = 0.0
        self._closed = 0

    def __call__(self, event: LogEvent) -> None:
        if "address" in event:
            self._closed += 1
        error = event.get("acceptError")
        if error in ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"):
            self._pause()
        elif "address" not in event:
            return  # before and after the connections that were closed; or a client that left at once
        now = self._clock.seconds()
        if now < self._nextLine:
            return
        self._nextLine = now + LOG_INTERVAL
        self._log.warn(
            "no file descriptors are left for new connections ({error}), {closed} were closed at once: "
            "raise the limit (ulimit -n, LimitNOFILE), or lower maxConnections",
            error=error or "EMFILE",
            closed=self._closed,
        )
        self._closed = 0

    def _pause(self) -> None:
        """Accept nobody for a while; then with the spare descriptor that Twisted keeps for this moment."""
        if self._port.connected and not self._port.disconnecting:
            self._port.stopReading()
            self._clock.callLater(PAUSE, self._resume)

    def _resume(self) -> None:
        if self._port.connected and not self._port.disconnecting:
            reserveDescriptor()
            self._port.startReading()
