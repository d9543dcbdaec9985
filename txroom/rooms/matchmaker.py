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

from ..codes import ErrorCode
from .errors import RoomError
from .registry import Registration
from .seam import Engine, Link, Listing, Refused

#: Rooms that are tried for one client.
TRIES = 5
_NEXT = frozenset({ErrorCode.FULL, ErrorCode.LOCKED, ErrorCode.NO_SUCH_ROOM, ErrorCode.ROOM_GONE})

#: Takes a seat in a room, which was made for this or not.
Attach = Callable[[str, bool], Deferred[Link | Refused]]


class How(Enum):
    """What a client asks for."""

    JOIN_OR_CREATE = "joinOrCreate"
    JOIN = "join"
    CREATE = "create"


class Matchmaker:
    """Finds and makes rooms for the clients of one edge."""

    def __init__(self, engine: Engine, registrations: Mapping[str, Registration]) -> None:
        self._engine = engine
        self._registrations = registrations
        #: Rooms that are being made, by what they are made for; a second client waits for the first.
        self._making: dict[tuple[str, str], list[Deferred[str | None]]] = {}

    async def place(
        self, how: How, name: str, options: Mapping[str, Any], user: Any, attach: Attach
    ) -> Link | Refused:
        """Give a client a seat in a room of that name."""
        registration = self._registrations.get(name)
        if registration is None:
            return Refused(ErrorCode.NO_SUCH_ROOM)
        if how is How.CREATE:
            return await self._create(registration, options, user, attach, isAsked=True)
        refused = Refused(ErrorCode.NO_SUCH_ROOM)
        tries = 0
        while tries < TRIES:
            for listing in await self.find(registration, options, user):
                if tries == TRIES:
                    break
                tries += 1
                result = await attach(listing.room, False)
                if not isinstance(result, Refused) or result.code not in _NEXT:
                    return result
                refused = result
            made = None if how is How.JOIN else await self._made(registration, options)
            if made is None:
                break
            # Its listing may not have come around yet.
            tries += 1
            result = await attach(made, False)
            if not isinstance(result, Refused) or result.code not in _NEXT:
                return result
        if how is How.JOIN:
            return refused
        return await self._create(registration, options, user, attach, isAsked=False)

    async def find(self, registration: Registration, options: Mapping[str, Any], user: Any) -> list[Listing]:
        """The open rooms that match, the best first."""
        filters = registration.filtersOf(registration.optionsOf(options))
        return registration.sorted(await self._engine.find(registration.name, filters, user, onlyOpen=True))

    async def query(self, name: str | None, filter: Mapping[str, Any], user: Any = None) -> list[Listing]:
        """The rooms of a name, or of any, that match; full and locked ones too, but no private ones."""
        if name is None:
            return [one for each in self._registrations for one in await self.query(each, filter, user)]
        registration = self._registrations.get(name)
        if registration is None:
            raise RoomError(ErrorCode.NO_SUCH_ROOM)
        listings = await self._engine.find(name, filter, user)
        return registration.sorted(listing for listing in listings if not listing.isPrivate)

    async def _create(
        self,
        registration: Registration,
        options: Mapping[str, Any],
        user: Any,
        attach: Attach,
        isAsked: bool,
    ) -> Link | Refused:
        if not registration.clientsMayCreate:
            return Refused(ErrorCode.FORBIDDEN if isAsked else ErrorCode.NO_SUCH_ROOM)
        key = self._key(registration, options)
        waiting = self._making.setdefault(key, []) if not isAsked else []
        room = None
        try:
            room = await self._engine.create(registration.name, options, user)
            return await attach(room, True)
        except RoomError as error:
            return Refused(error.code, error.message, error.details)
        finally:
            if not isAsked and self._making.get(key) is waiting:
                del self._making[key]
            waiters, waiting[:] = list(waiting), []
            for waiter in waiters:
                waiter.callback(room)

    async def _made(self, registration: Registration, options: Mapping[str, Any]) -> str | None:
        """The room that somebody else is making for the same, once it is made."""
        waiting = self._making.get(self._key(registration, options))
        if waiting is None:
            return None
        waiter: Deferred[str | None] = Deferred()
        waiting.append(waiter)
        return await waiter

    @staticmethod
    def _key(registration: Registration, options: Mapping[str, Any]) -> tuple[str, str]:
        filters = registration.filtersOf(registration.optionsOf(options))
        return registration.name, repr(sorted(filters.items()))
