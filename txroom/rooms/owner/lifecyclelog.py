"""
Logs the life of rooms: when they are created and disposed, and when clients join, drop, resume and leave.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ...core.tokenbucket import TokenBucket
from .member import Member

_log = Logger(namespace="txroom.rooms")

#: The most lines per second, and at once. Further events are counted and not logged.
RATE = 50.0
BURST = 500.0
#: The most characters of a client's text in a line.
SHOWN = 64


class Named(Protocol):
    """The part of a room that a line shows."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


class LifecycleLog:
    """
    Writes a line for each event, at level info, in the namespace "txroom.rooms".

    A line has the event (create, join, drop, resume, leave, dispose) and its subject, as in `leave room=x7Qd
    name='chat' member=Zb3k user='ada' reason='kicked'`. Fields that don't apply are left out. The event of
    `twisted.logger` has the keys `life`, `room`, `name`, `member`, `user` and `reason`.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._bucket = TokenBucket(RATE, BURST, clock.seconds())
        self._untold = 0

    def tell(self, life: str, room: Named, member: Member | None = None, reason: str = "") -> None:
        """Log an event of a room, or of one of its members."""
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
        """Log how many events were not logged, if any."""
        untold, self._untold = self._untold, 0
        if untold:
            _log.info(
                "{untold} more events of rooms: no more than {rate} a second are logged",
                untold=untold,
                rate=round(RATE),
            )
