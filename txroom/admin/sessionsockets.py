"""
The WebSockets of operators, which end together with the sessions of their browsers.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..core.codes import CloseCode, ReadyState
from ..core.connection import Connection
from .endedsessions import EndedSessions
from .session import SECONDS, Session

#: How often the ends of sessions are looked for, in seconds.
LOOK = 60.0


class SessionSockets:
    """
    Closes the sockets of a session when its operator logs out, and each socket after 12 hours at most.

    Args:
        ended: The sessions that have ended, and the time of day.
        clock: The clock.
    """

    def __init__(self, ended: EndedSessions, clock: IReactorTime) -> None:
        self._clock = clock
        self._sockets: dict[Connection, tuple[str, float]] = {}
        self._timer: IDelayedCall | None = None
        ended.onEnd.append(self._end)
        self._ended = ended

    def __len__(self) -> int:
        return len(self._sockets)

    def add(self, connection: Connection, session: Session | None) -> None:
        """Close a connection with its session; without one, after as long as a session lasts."""
        if session is not None and self._ended.isEnded(session):
            connection.close(CloseCode.UNAUTHORIZED, "logged out")
            return
        until = self._ended.wallClock() + SECONDS if session is None else session.until
        self._sockets[connection] = ("" if session is None else session.id), until
        if self._timer is None:
            self._timer = self._clock.callLater(LOOK, self._look)

    def _end(self, session: Session) -> None:
        for connection, (id, _) in list(self._sockets.items()):
            if id == session.id:
                del self._sockets[connection]
                connection.close(CloseCode.UNAUTHORIZED, "logged out")

    def _look(self) -> None:
        self._timer = None
        now = self._ended.wallClock()
        for connection, (_, until) in list(self._sockets.items()):
            if connection.readyState is not ReadyState.OPEN:
                del self._sockets[connection]
            elif now >= until:
                del self._sockets[connection]
                connection.close(CloseCode.GOING_AWAY, "lifetime over")
        if self._sockets:
            self._timer = self._clock.callLater(LOOK, self._look)

    def stop(self) -> None:
        """Forget all sockets, because the listener stops."""
        self._sockets.clear()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
