"""
Ports that can't accept: what Twisted says each time is said once a minute, and nobody tries without pause.

Without a descriptor for one more connection Twisted writes three lines for each that it closes at once, and
if it couldn't even do that, it tries again in every turn of the reactor.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IReactorTime
from twisted.logger import LogEvent, Logger

#: Seconds between two lines about one port.
SILENCE = 60.0
#: Seconds for which a port isn't listened to that can't accept at all.
REST = 1.0


def watchAccepting(port: Any, clock: IReactorTime) -> None:
    """Let a port of Twisted's complain to `Complaints`; others have nothing to say."""
    if isinstance(port, tcp.Port):
        complaints: Any = Complaints(port, clock)
        port._logger = Logger(namespace=port._logger.namespace, observer=complaints)


class Complaints:
    """Observes what a port says while it accepts: an event for each attempt that fails."""

    _log = Logger()

    def __init__(self, port: Any, clock: IReactorTime) -> None:
        self._port = port
        self._clock = clock
        self._silentUntil = 0.0
        self._closed = 0

    def __call__(self, event: LogEvent) -> None:
        if "address" in event:
            self._closed += 1
        error = event.get("acceptError")
        if error in ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"):
            self._rest()
        elif "address" not in event:
            return  # before and after the connections that were closed; or a client that left at once
        now = self._clock.seconds()
        if now < self._silentUntil:
            return
        self._silentUntil = now + SILENCE
        self._log.warn(
            "no file descriptors are left for new connections ({error}), {closed} were closed at once: "
            "raise the limit (ulimit -n, LimitNOFILE), or lower maxConnections",
            error=error or "EMFILE",
            closed=self._closed,
        )
        self._closed = 0

    def _rest(self) -> None:
        """Nothing can be done for who waits: try again later, with what Twisted keeps for this moment."""
        if self._port.connected and not self._port.disconnecting:
            self._port.stopReading()
            self._clock.callLater(REST, self._tryAgain)

    def _tryAgain(self) -> None:
        if self._port.connected and not self._port.disconnecting:
            if not tcp._reservedFD.available():
                tcp._reservedFD.reserve()
            self._port.startReading()
