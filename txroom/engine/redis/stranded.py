"""
Stranded rooms: those that this node can't open, although no other node has them.

Their `load` raises, their data can't be read, their name isn't registered here, or their owners have died too
often. Such a room stays
in Redis as it is. This node leaves it alone for a while, and then tries again; the pause grows with each
failure. Other nodes may open the room meanwhile, so each node has a list of its own. Since when no node could
open a room is in Redis, so that the room can be deleted after `orphanSeconds`. That time begins again if no
node has failed to open the room for longer than all pauses are: then the room has been open in between.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ...rooms.contract.nodes import StrandedRoom
from .ending import ENDED, KEYED_MILLISECONDS
from .keys import Keys
from .resp import Commands, ignored
from .scripts import Scripts

#: The pause after the first failure, in seconds. Each is twice as long as the one before, up to `LONGEST`.
SHORTEST, LONGEST = 5.0, 300.0
#: Why a room is stranded that nobody may have for a while.
DIED = "its owners have died too often"


@attrs.define
class _Failures:
    """What this node knows of a room that it could not open."""

    application: str
    name: str
    why: str
    count: int = 0
    #: Until when this node leaves it alone, by its clock.
    until: float = 0.0
    #: Since when no node could open it, as Redis has answered after the last failure here.
    since: float | None = None


class StrandedRooms:
    """
    The rooms that this node could not open.

    Args:
        clock: The clock.
        redis: The connection.
        scripts: The scripts.
        keys: The names of keys.
        orphanSeconds: After how many seconds a room is deleted that no node can open; 0: never.
        now: Returns the time by Redis's clock, in seconds; `None`: it isn't known.
    """

    def __init__(
        self,
        clock: IReactorTime,
        redis: Commands,
        scripts: Scripts,
        keys: Keys,
        orphanSeconds: float,
        now: Callable[[], float | None],
    ) -> None:
        self._clock = clock
        self._redis = redis
        self._scripts = scripts
        self._keys = keys
        self._orphanSeconds = orphanSeconds
        self._now = now
        self._rooms: dict[str, _Failures] = {}
        #: Called with a room that could not be opened.
        self.onFailed: Callable[[str], None] = lambda room: None

    def isHeldBack(self, room: str) -> bool:
        """Return whether this node must not try to open a room now."""
        known = self._rooms.get(room)
        return known is not None and known.until > self._clock.seconds()

    def failed(self, room: str, application: str, name: str, why: str, isLost: bool = False) -> bool:
        """
        A room could not be opened here: leave it alone for a while.

        Args:
            room: The room's id.
            application: Its application.
            name: Its name.
            why: Why it could not be opened.
            isLost: Whether this node had lost it by then. Another node may have opened it, so Redis isn't
                told.

        Returns:
            Whether that is news.
        """
        known = self._note(room, application, name, why)
        known.until = self._clock.seconds() + min(SHORTEST * 2.0**known.count, LONGEST)
        known.count += 1
        known.since = None
        if not isLost:
            keys = (self._keys.room(room).fields,)
            self._redis.send(partial(_remember, known), *self._scripts.command("strand", keys, ()))
        self.onFailed(room)
        return known.count == 1

    def quarantined(self, room: str, application: str, name: str, seconds: float) -> bool:
        """
        The owners of a room have died too often, so Redis lets nobody have it for so many seconds. Returns
        whether that is news.
        """
        before = self._rooms.get(room)
        isNews = before is None or before.why != DIED
        known = self._note(room, application, name, DIED)
        known.until = self._clock.seconds() + seconds
        self.onFailed(room)
        return isNews

    def _note(self, room: str, application: str, name: str, why: str) -> _Failures:
        known = self._rooms.setdefault(room, _Failures(application, name, why))
        known.why = why
        return known

    def opened(self, room: str) -> None:
        """A room that no node had is open here."""
        self._rooms.pop(room, None)
        # If that is lost, the time that is left over doesn't count later; see `mayEnd`.
        self._redis.send(ignored, "HDEL", self._keys.room(room).fields, "stranded", "tried")

    def mayEnd(self, room: str, since: float | None) -> bool:
        """
        Return whether to delete a room: no node could open it for too long, and this one has tried too.

        The time in Redis may be left over from an earlier failure. It counts if Redis has answered with the
        same time after the last failure here.

        Args:
            room: The room's id.
            since: When it was stranded, in seconds of Redis's clock; `None`: it wasn't.
        """
        now = self._now()
        known = self._rooms.get(room)
        if since is None or now is None or known is None or since != known.since or not self._orphanSeconds:
            return False
        return now - since >= self._orphanSeconds

    def delete(self, room: str, token: str) -> Deferred[Any]:
        """
        Delete a room, even if its data can't be read.

        Args:
            room: The room's id.
            token: The token that its last owner had. If another node has claimed the room since, it stays.

        Returns:
            A Deferred that fires when it is deleted. It fails if it isn't, or if that isn't known.
        """
        # Whether a request with a key has created it is not known, so its grave is one for such rooms.
        grave = (token, KEYED_MILLISECONDS, ENDED)
        return self._scripts.ask(self._redis, "release", self._keys.room(room), grave)

    def ended(self, room: str) -> None:
        """A room doesn't exist any more."""
        self._rooms.pop(room, None)

    def sweep(self) -> None:
        """Forget the rooms that were not tried again: they have ended, or another node has them."""
        now = self._clock.seconds()
        for room, known in list(self._rooms.items()):
            if now - known.until > LONGEST:
                del self._rooms[room]

    def list(self, isElsewhere: Callable[[str], bool]) -> list[StrandedRoom]:
        """Return the stranded rooms; `isElsewhere` returns whether another node has a room."""
        now = self._clock.seconds()
        return [
            StrandedRoom(room, known.name, known.application, known.why, max(0.0, known.until - now))
            for room, known in self._rooms.items()
            if not isElsewhere(room)
        ]


def _remember(known: _Failures, reply: Any) -> None:
    """
    Note since when a room is stranded. If Redis doesn't remember it now, it does after the next attempt.
    """
    if isinstance(reply, int) and reply:
        known.since = reply / 1000
