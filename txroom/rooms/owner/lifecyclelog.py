"""
The log of what happens to rooms: when they begin and end, and who joins, is away, comes back and leaves.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ...core.tokenbucket import TokenBucket
from .member import Member

_log = Logger(namespace="txroom.rooms")

#: Lines a second, and at once; what is more is counted.
RATE = 50.0
BURST = 500.0
#: Characters of a text of somebody else's that are shown.
SHOWN = 64


class Named(Protocol):
    """A room, as far as a line tells of it."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


class LifecycleLog:
    """
    Writes a line for each event, at level info, in the namespace "txroom.rooms".

    A line is the event (create, join, drop, resume, leave, dispose) and what it is of, as
    `leave room=x7Qd name='chat' member=Zb3k user='ada' reason='kicked'`. What does not apply is left out. The
    event of twisted.logger has `life`, `room`, `name`, `member`, `user` and `reason`.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._bucket = TokenBucket(RATE, BURST, clock.seconds())
        self._untold = 0

    def tell(self, life: str, room: Named, member: Member | None = None, reason: str = "") -> None:
        """Something has happened to a room, or to a member of one."""
        if not self._bucket.take(self._clock.seconds()):
            self._untold += 1
            return
        self.flush()
        what = {"room": room.id, "name": room.name}
        text = "{life} room={room} name={name!r}"
        if member is not None:
            what["member"] = member.id
            text += " member={member}"
            if member.userId != member.id:
                what["user"] = member.userId[:SHOWN]
                text += " user={user!r}"
        if reason:
            what["reason"] = reason[:SHOWN]
            text += " reason={reason!r}"
        _log.info(text, life=life, **what)

    def flush(self) -> None:
        """Tell how much was not told, if anything."""
        untold, self._untold = self._untold, 0
        if untold:
            _log.info(
                "{untold} more events of rooms: no more than {rate} a second are logged",
                untold=untold,
                rate=round(RATE),
            )
