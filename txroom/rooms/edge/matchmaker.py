"""
The matchmaker: which room a client gets.

What it knows are listings, which may be out of date; the seat is taken by the room itself. When a room
refuses, the next one is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred

from ...core.awaitables import clearTraceback
from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ..contract.arrivals import Refused
from ..contract.listing import Listing, keyOf
from ..contract.ports import Engine, Link
from ..matching import wantedBy
from ..registration import Registration, Registrations

#: Rooms that are tried for one client.
TRIES = 5
#: The answers of a room after which another is looked for.
_NEXT = frozenset(
    {
        ErrorCode.FULL,
        ErrorCode.LOCKED,
        ErrorCode.FORBIDDEN,
        ErrorCode.NO_SUCH_ROOM,
        ErrorCode.ROOM_GONE,
    }
)

#: Takes a seat in a room, which was made for this or not.
Attach = Callable[[str, bool], Deferred[Link | Refused]]


class How(Enum):
    """What a client asks for."""

    JOIN_OR_CREATE = "joinOrCreate"
    JOIN = "join"
    CREATE = "create"


class Making:
    """
    A room that is being made, and those who wait for it.

    They are as many as it is expected to have seats for (0: any number), but for the one for whom it is made.
    """

    def __init__(self, seats: int) -> None:
        self._seats = seats
        self._waiters: list[Deferred[str | None]] = []

    @property
    def hasPlace(self) -> bool:
        """Whether one more may wait for it."""
        return not self._seats or len(self._waiters) + 1 < self._seats

    def wait(self) -> Deferred[str | None]:
        """Fires with the room once it is made, with `None` if it can't be."""
        waiter: Deferred[str | None] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def finished(self, room: str | None) -> None:
        """It is made, or can't be."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(room)


class Matchmaker:
    """Finds and makes rooms for the clients of one edge."""

    def __init__(self, engine: Engine, registrations: Registrations) -> None:
        self._engine = engine
        self._registrations = registrations
        #: Rooms that are being made, by what they are made for.
        self._making: dict[tuple[str, tuple[Any, ...]], list[Making]] = {}

    async def place(
        self,
        how: How,
        name: str,
        options: Mapping[str, Any],
        attach: Attach,
        mayCreate: Callable[[], None] = lambda: None,
    ) -> Link | Refused:
        """
        Give a client a seat in a room of that name.

        `mayCreate` is called before one is made for it, and raises `RoomError` if that may not be. Raises
        `RoomError` for an unknown name, too.
        """
        registration = self._registrations.find(name)
        if how is How.CREATE:
            if not registration.clientsMayCreate:
                return Refused(ErrorCode.FORBIDDEN)
            return await self._create(registration, options, attach, mayCreate)
        isMaker = how is How.JOIN_OR_CREATE and registration.clientsMayCreate
        refused = Refused(ErrorCode.NO_SUCH_ROOM, f"no room {name[:32]!r} that matches is open")
        tries = 0
        while tries < TRIES:
            for listing in await self.find(registration, options, TRIES - tries):
                tries += 1
                result = await attach(listing.room, False)
                if not isinstance(result, Refused) or result.code not in _NEXT:
                    return result
                refused = result
            if not isMaker:
                return refused
            making = self._placeIn(registration, options)
            if making is None:
                break
            # To wait is no try, since it comes to an end: those who wait go on in the order in which they
            # came, and each room that is made settles the first of them, for whom it was made.
            made = await making.wait()
            if made is None:
                break
            result = await attach(made, False)
            if not isinstance(result, Refused) or result.code not in _NEXT:
                return result
        return await self._create(registration, options, attach, mayCreate, mayBeJoined=True)

    async def find(
        self, registration: Registration, options: Mapping[str, Any], limit: int = TRIES
    ) -> list[Listing]:
        """The open rooms that match, the best first."""
        filters = registration.filtersOf(registration.optionsOf(options))
        return await self._engine.find(registration.name, filters, True, registration.order, limit)

    async def query(
        self, name: str | None, filter: Mapping[str, Any] | None, limit: int = 0
    ) -> list[Listing]:
        """
        The rooms of a name, or of any, that match; full and locked ones too, but no private ones.

        At most `limit` (0: any number). Raises `RoomError` for an unknown name and a wrong filter.
        """
        wanted = wantedBy({} if filter is None else filter)
        found: list[Listing] = []
        for each in self._registrations.values() if name is None else [self._registrations.find(name)]:
            more = limit and limit - len(found)
            if limit and not more:
                break
            found += await self._engine.find(each.name, wanted, False, each.order, more)
        return found

    async def _create(
        self,
        registration: Registration,
        options: Mapping[str, Any],
        attach: Attach,
        mayCreate: Callable[[], None],
        mayBeJoined: bool = False,
    ) -> Link | Refused:
        mayCreate()
        making = Making(registration.seats if mayBeJoined else 1)
        key = self._key(registration, options)
        self._making.setdefault(key, []).append(making)
        room = None
        try:
            room = await self._engine.create(registration.name, options)
            return await attach(room, True)
        except RoomError as error:
            clearTraceback(error)
            return Refused(error.code, error.message, error.details)
        finally:
            self._making[key].remove(making)
            if not self._making[key]:
                del self._making[key]
            making.finished(room)

    def _placeIn(self, registration: Registration, options: Mapping[str, Any]) -> Making | None:
        """A room that somebody else is making for the same, and that will have a seat left."""
        making = self._making.get(self._key(registration, options), ())
        return next((each for each in making if each.hasPlace), None)

    @staticmethod
    def _key(registration: Registration, options: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
        filters = registration.filtersOf(registration.optionsOf(options))
        return registration.name, tuple(map(keyOf, filters.values()))
