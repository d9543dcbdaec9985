"""
The sessions of browsers that have ended before their time, because their operators have logged out.

All workers accept the sessions of all, so each tells the others, and a new one asks them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ..protocol.errors import RoomError
from ..service.cluster import Cluster
from .secrets import Role
from .session import Session

#: The most sessions that are remembered for each role. With more, all sessions of the role that began before
#: end.
MOST = 10_000

_END, _ALL = "txroom.endSession", "txroom.endedSessions"


class EndedSessions:
    """
    Remembers which sessions have ended, each until it would have ended by itself.

    Args:
        cluster: The cluster.
        clock: The clock.
    """

    def __init__(self, cluster: Cluster, clock: IReactorTime) -> None:
        self._cluster = cluster
        self._clock = clock
        self._ended: dict[Role, dict[str, int]] = {role: {} for role in Role}
        #: All sessions of a role that had begun by this time have ended, in seconds of the clock.
        self._since: dict[Role, int] = dict.fromkeys(Role, -1)
        self._hasAsked = False
        #: Called when a session has ended; it may be called twice.
        self.onEnd: list[Callable[[Session], object]] = []

    def begin(self) -> None:
        """Answer other workers."""
        self._cluster.answerNode(_END, lambda data: self._take([data]))
        self._cluster.answerNode(_ALL, lambda _: self._all())

    def isEnded(self, session: Session) -> bool:
        """Return whether a session has ended. The first time, the other workers are asked for theirs."""
        if not self._hasAsked:
            self._hasAsked = True
            self._cluster.askNodes(_ALL).addCallbacks(self._told, _unknown)
        return session.begunAt <= self._since[session.role] or session.id in self._ended[session.role]

    def end(self, session: Session) -> Deferred[Any]:
        """End a session, here at once, and at all other workers as soon as they know it."""
        self._add(session)
        return self._cluster.askNodes(_END, _plain(session)).addErrback(_unknown)

    def _told(self, answers: Any) -> None:
        for each in answers.done.values():
            self._take(each)

    def _take(self, data: list[tuple[str, str, int]]) -> None:
        for role, id, until in data:
            self._add(Session(Role[role.upper()], id, until))

    def _add(self, session: Session) -> None:
        ended, now = self._ended[session.role], self._clock.seconds()
        if session.until <= now or session.id in ended:
            return
        ended[session.id] = session.until
        if len(ended) > MOST:
            self._forgetSome(session.role, now)
        for tell in self.onEnd:
            tell(session)

    def _forgetSome(self, role: Role, now: float) -> None:
        ended = {id: until for id, until in self._ended[role].items() if until > now}
        if len(ended) > MOST:
            self._since[role], ended = int(now), {}
        self._ended[role] = ended

    def _all(self) -> list[tuple[str, str, int]]:
        """Return those of this process, as plain data."""
        return [(str(role), id, until) for role, ended in self._ended.items() for id, until in ended.items()]


def _plain(session: Session) -> tuple[str, str, int]:
    return str(session.role), session.id, session.until


def _unknown(failure: Failure) -> None:
    """Other workers can't be asked; this one goes on without."""
    failure.trap(RoomError)
