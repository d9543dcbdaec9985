"""
The matchmaker finds or creates a room for each client.

It knows rooms by their listings, which may be out of date; the room itself decides whether the client gets a
seat. If a room refuses the client, the matchmaker tries the next one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from ...core.awaitables import clearTraceback
from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ..contract.arrivals import Refused
from ..contract.listing import Listing
from ..contract.ports import Engine, Made
from ..matching import wantedBy
from .ports import Registered, Registry

#: The most rooms to try for one client.
TRIES = 5
#: The errors of a room after which another room is tried.
_NEXT = frozenset(
    {
        ErrorCode.FULL,
        ErrorCode.LOCKED,
        ErrorCode.FORBIDDEN,
        ErrorCode.NO_SUCH_ROOM,
        ErrorCode.ROOM_GONE,
    }
)

_T = TypeVar("_T")
#: Takes a seat in a room; the second argument is whether the room was created for this client.
Attach = Callable[[str, bool], Deferred[_T | Refused]]


class JoinMethod(Enum):
    """How a client asks for a room of some name."""

    JOIN_OR_CREATE = "joinOrCreate"
    JOIN = "join"
    CREATE = "create"


class Matchmaker:
    """Finds and creates rooms for the clients of one edge."""

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self._engine = engine
        self._registry = registry

    def typed(self, name: str, options: Mapping[str, Any], isText: bool = False) -> dict[str, Any]:
        """
        Convert the options of a client's request: those that rooms of this name are filtered by to their
        types.

        Args:
            name: The name of the room.
            options: The options of the request.
            isText: Whether they come from a query string, so that all values are texts.

        Raises:
            RoomError: The name is not registered, or an option has a value that can't be filtered by.
        """
        return self._registry.find(name).typed(options, isText)

    async def place(
        self,
        method: JoinMethod,
        name: str,
        options: Mapping[str, Any],
        attach: Attach[_T],
        mayCreate: Callable[[], None] = lambda: None,
    ) -> _T | Refused:
        """
        Give a client a seat in a room of that name.

        Args:
            method: Whether to join a room, to create one, or to create one if there is none.
            name: The name of the room.
            options: The options of the client's request.
            attach: Takes the seat; its result is returned.
            mayCreate: Called before a room is created; raises `RoomError` to prevent that.

        Raises:
            RoomError: The name is not registered.
        """
        registered = self._registry.find(name)
        if method is JoinMethod.CREATE:
            if not registered.clientsMayCreate:
                return Refused(ErrorCode.FORBIDDEN)
            return await self._create(registered, options, attach, mayCreate)
        mayMake = method is JoinMethod.JOIN_OR_CREATE and registered.clientsMayCreate
        refused = Refused(ErrorCode.NO_SUCH_ROOM, f"no room {name[:32]!r} that matches is open")
        tried: list[str] = []
        tries = 0
        while tries < TRIES:
            for listing in await self.find(registered, options, TRIES - tries):
                tries += 1
                tried.append(listing.room)
                result = await attach(listing.room, False)
                if not isinstance(result, Refused) or result.code not in _NEXT:
                    return result
                refused = result
            if not mayMake:
                return refused
            # Waiting for a room doesn't count as a try, and it ends: the clients continue in the order in
            # which they came, and each room that is created serves the client that it is created for.
            key = keyFor(registered.filtersOf(registered.optionsOf(options)))
            made = await self._make(registered, options, key, mayCreate, tried)
            if isinstance(made, Refused):
                return made
            if made.room is None:  # this client's options may be better
                break
            result = await attach(made.room, made.isCreator)
            if made.isCreator or not isinstance(result, Refused) or result.code not in _NEXT:
                return result
            tried.append(made.room)
        return await self._create(registered, options, attach, mayCreate)

    async def find(
        self, registered: Registered, options: Mapping[str, Any], limit: int = TRIES
    ) -> list[Listing]:
        """Return the open rooms that match, in the order in which to try them."""
        filters = registered.filtersOf(registered.optionsOf(options))
        return await self._engine.find(registered.name, filters, True, registered.order, limit)

    async def query(
        self, name: str | None, filter: Mapping[str, Any] | None, limit: int = 0
    ) -> list[Listing]:
        """
        Return the rooms that match, full and locked ones too, but no private ones.

        Args:
            name: The name of the rooms; `None`: all names.
            filter: See `Listing.matches`; `None`: all rooms.
            limit: The most rooms to return; 0: any number.

        Raises:
            RoomError: The name is not registered, or the filter has a value of a wrong type.
        """
        wanted = wantedBy({} if filter is None else filter)
        found: list[Listing] = []
        for each in self._registry.values() if name is None else [self._registry.find(name)]:
            more = limit and limit - len(found)
            if limit and not more:
                break
            found += await self._engine.find(each.name, wanted, False, each.order, more)
        return found

    async def _create(
        self,
        registered: Registered,
        options: Mapping[str, Any],
        attach: Attach[_T],
        mayCreate: Callable[[], None],
    ) -> _T | Refused:
        """Create a room for a client, for which no other client waits, and take its seat."""
        made = await self._make(registered, options, None, mayCreate)
        if isinstance(made, Refused):
            return made
        if made.room is None:
            return Refused(ErrorCode.UNAVAILABLE)
        return await attach(made.room, True)

    async def _make(
        self,
        registered: Registered,
        options: Mapping[str, Any],
        key: str | None,
        mayCreate: Callable[[], None],
        tried: Sequence[str] = (),
    ) -> Made | Refused:
        try:
            make = self._engine.make
            return await make(registered.name, options, key, registered.seats, mayCreate, tried)
        except RoomError as error:
            clearTraceback(error)
            return Refused.of(error)


def keyFor(filters: Mapping[str, Any]) -> str:
    """Return the key of requests for the same values of the filtered options; see `Engine.make`."""
    values = {name: _sameFor(value) for name, value in filters.items()}
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _sameFor(value: Any) -> Any:
    """Return the same number for numbers that match."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
