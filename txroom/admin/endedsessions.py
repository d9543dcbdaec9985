"""
The sessions of browsers that have ended before their time, because their operators have logged out.

Workers accept the sessions of all, so their parent has such a list too. A worker that ends a session tells
the parent, which tells the others, and each new worker gets the whole list when it starts. So the list lasts
as long as the parent, and so do the sessions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from .secrets import Role
from .session import Session

#: The most sessions that are remembered for each role. With more, all sessions of the role that began before
#: end.
MOST = 10_000


class Ends(Struct):
    """The sessions of a role that have ended."""

    role: Role
    #: When each would have ended by itself, in seconds since 1970, by its id.
    byId: dict[str, int] = {}
    #: All sessions that had begun by this time have ended too, in seconds since 1970.
    since: int = -1


class EndedSessions:
    """
    Remembers which sessions have ended, each until it would have ended by itself.

    Args:
        wallClock: Returns the time of day, in seconds since 1970. The ends of sessions are such times, since
            the clock of a reactor may count from anywhere.
        known: The sessions of which the parent knows that they have ended.
    """

    def __init__(self, wallClock: Callable[[], float] = time.time, known: Iterable[Ends] = ()) -> None:
        #: Returns the time of day, in seconds since 1970.
        self.wallClock = wallClock
        self._ends = {role: Ends(role) for role in Role} | {each.role: each for each in known}
        #: Called when a session has ended.
        self.onEnd: list[Callable[[Session], object]] = []
        #: Called when a session has ended here, to tell others. A worker tells its parent.
        self.tell: Callable[[Session], object] | None = None

    @property
    def all(self) -> list[Ends]:
        """All sessions that have ended."""
        return list(self._ends.values())

    def isEnded(self, session: Session) -> bool:
        """Return whether a session has ended before its time."""
        ends = self._ends[session.role]
        return session.begunAt <= ends.since or session.id in ends.byId

    def end(self, session: Session) -> None:
        """End a session, here at once, and at all other workers as soon as they know it."""
        self.add(session)
        if self.tell is not None:
            self.tell(session)

    def add(self, session: Session) -> None:
        """Remember a session that has ended, perhaps elsewhere."""
        ends, now = self._ends[session.role], self.wallClock()
        if session.until <= now or session.id in ends.byId:
            return
        ends.byId[session.id] = session.until
        if len(ends.byId) > MOST:
            _forgetSome(ends, now)
        for tell in self.onEnd:
            tell(session)


def _forgetSome(ends: Ends, now: float) -> None:
    ends.byId = {id: until for id, until in ends.byId.items() if until > now}
    if len(ends.byId) > MOST:
        ends.since, ends.byId = int(now), {}
