"""
Logs the life of rooms: when they are created and disposed, when they come to this process and go to others,
and when clients join, drop, resume and leave.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from ...core.codes import CloseCode
from ...core.tokenbucket import TokenBucket
from ..meters import RoomMeters
from .member import Member

_log = Logger(namespace="txroom.rooms")

#: The most lines per second, and at once. Further events are counted and not logged.
RATE = 50.0
BURST = 500.0
#: The most characters of a client's text in a line.
SHOWN = 64
#: The events of rooms that are lost to this process, and the reasons, by the codes for their clients.
_LOSSES = {
    CloseCode.ROOM_MOVED: ("move", "another node has it"),
    CloseCode.ENGINE_UNAVAILABLE: ("lose", "Redis can't be reached"),
    CloseCode.STATE_LOST: ("lose", "its state is lost"),
}


def lossOf(code: int, reason: str) -> tuple[str, str]:
    """Return the event of a room that is lost, and the reason; if that is empty, what the code says."""
    event, usual = _LOSSES.get(CloseCode(code), ("lose", ""))
    return event, reason or usual


class Named(Protocol):
    """The part of a room that a line shows."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


class LifecycleLog:
    """
    Writes a line for each event, at level info unless `level` is set, in the namespace "txroom.rooms".

    A line has the event (create, adopt, refound, move, lose, dispose; join, drop, resume, leave) and its
    subject, as in `leave room=x7Qd name='chat' member=Zb3k user='ada' reason='kicked'`. Fields that don't
    apply are left out. The event of `twisted.logger` has the keys `life`, `room`, `name`, `node`, `member`,
    `user`, `connection` and `reason`.

    Args:
        clock: The clock.
        node: Returns the id of the node of this process, for the events of rooms; empty: there are no others.
        meters: Counts all events, those too that are not logged.
    """

    def __init__(
        self, clock: IReactorTime, node: Callable[[], str] = lambda: "", meters: RoomMeters | None = None
    ) -> None:
        self._clock = clock
        self._node = node
        self._lives = (RoomMeters() if meters is None else meters).lives
        self._bucket = TokenBucket(RATE, BURST, clock.seconds())
        self._untold = 0
        #: The level of all lines.
        self.level = LogLevel.info

    def tell(self, life: str, room: Named, member: Member | None = None, reason: str = "") -> None:
        """Log an event of a room, or of one of its members."""
        self._lives[life] += 1
        if not self._bucket.take(self._clock.seconds()):
            self._untold += 1
            return
        self.flush()
        what = {"room": room.id, "name": room.name}
        text = "{life} room={room} name={name!r}"
        if member is None:
            node = self._node()
            if node:
                what["node"] = node
                text += " node={node}"
        else:
            what["member"] = member.id
            if member.session:
                what["connection"] = member.session
            text += " member={member}"
            if member.userId != member.id:
                what["user"] = member.userId[:SHOWN]
                text += " user={user!r}"
        if reason:
            what["reason"] = reason[:SHOWN]
            text += " reason={reason!r}"
        _log.emit(self.level, text, life=life, **what)

    def flush(self) -> None:
        """Log how many events were not logged, if any."""
        untold, self._untold = self._untold, 0
        if untold:
            _log.emit(
                self.level,
                "{untold} more events of rooms: no more than {rate} a second are logged",
                untold=untold,
                rate=round(RATE),
            )
