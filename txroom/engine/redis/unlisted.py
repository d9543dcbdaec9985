"""
Rooms in Redis that no listing names.

Adoption goes by the listings. If Redis loses its data, the owner of a room writes the room again, and then
its listing. If the owner dies in between, the room is in Redis, and no listing names it. So that such a room
doesn't wait until somebody asks for it, the names of all keys are read when this node has started, and when
another node is gone. Each command (SCAN) returns some of them, so that no client of Redis waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from .answers import Answer, answerOf
from .keys import Keys
from .resp import Commands
from .waiting import Waits

#: How many keys Redis looks at in one command, about, and the seconds between two commands.
KEYS_AT_ONCE, INTERVAL = 1000, 0.1


class UnlistedRooms:
    """
    Finds the rooms that no listing names.

    Args:
        waits: The waits of this node.
        redis: The connection.
        keys: The names of keys.
        isKnown: Returns whether a room is at this node, or is listed.
    """

    _log = Logger()

    def __init__(self, waits: Waits, redis: Commands, keys: Keys, isKnown: Callable[[str], bool]) -> None:
        self._waits = waits
        self._redis = redis
        self._keys = keys
        self._isKnown = isKnown
        self._found: dict[str, None] = {}
        #: Whether the keys have to be read, or read again; and whether that has begun.
        self._isDue = self._isReading = False
        #: Called when rooms have been found.
        self.onFound: Callable[[], None] = lambda: None

    @property
    def rooms(self) -> list[str]:
        """The rooms that were found, and are still not known."""
        self._found = {room: None for room in self._found if not self._isKnown(room)}
        return list(self._found)

    def forget(self, room: str) -> None:
        """A room that was found has a node, or has ended."""
        self._found.pop(room, None)

    def read(self) -> None:
        """Read the names of all keys: now, and once more if that has begun already."""
        self._isDue = True
        self.goOn()

    def goOn(self) -> None:
        """Go on with what was to be read, if Redis could not be reached."""
        if self._isDue and not self._isReading and not self._waits.isStopped:
            self._isReading = True
            Deferred.fromCoroutine(self._read())

    async def _read(self) -> None:
        try:
            while self._isDue and not self._waits.isStopped:
                self._isDue = False
                await self._readAll()
        except Exception as error:
            self._isDue = answerOf(error) in (Answer.LOST, Answer.AGAIN)
            if not self._isDue:
                self._log.error("rooms without a listing can't be looked for: {error}", error=error)
        finally:
            self._isReading = False

    async def _readAll(self) -> None:
        cursor: Any = 0
        options = ("MATCH", self._keys.rooms, "COUNT", KEYS_AT_ONCE, "TYPE", "hash")
        while not self._waits.isStopped:
            cursor, keys = await self._redis.ask("SCAN", cursor, *options)
            found = [room for room in map(self._keys.roomOf, keys) if not self._isKnown(room)]
            if found:
                self._found.update(dict.fromkeys(found))
                self.onFound()
            if int(cursor) == 0:
                return
            await self._waits.pause(INTERVAL)
