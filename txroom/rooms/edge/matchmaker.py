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
from .ports import Registered, Registry

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


class JoinMethod(Enum):
    """What a client asks for."""

    JOIN_OR_CREATE = "joinOrCreate"
    JOIN = "join"
    CREATE = "create"


class PendingRoom:
    """
    A room that is being made for a client, and the others who wait for it.

    Args:
        seats: How many clients it is expected to take; 0: any number. All but one of these may wait.
    """

    def __init__(self, seats: int) -> None:
        self._seats = seats
        self._waiters: list[Deferred[str | None]] = []

    @property
    def hasPlace(self) -> bool:
        """Whether one more may wait for it."""
        return not self._seats or len(self._waiters) + 1 < self._seats

    def wait(self) -> Deferred[str | None]:
        """Fires with the room's id once it is made, with `None` if it can't be."""
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

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self._engine = engine
        self._registry = registry
        #: Rooms that are being made, by what they are made for.
        self._pending: dict[tuple[str, tuple[Any, ...]], list[PendingRoom]] = {}

    def typed(self, name: str, options: Mapping[str, Any], isText: bool = False) -> dict[str, Any]:
        """
        What a client asks a room of a name for, the options that are filtered by of the types they have.

        Args:
            isText: Whether they come from a query string, whose values are texts.

        Raises:
            RoomError: Nothing is registered under that name, or an option can't be filtered by.
        """
        return self._registry.find(name).typed(options, isText)

    async def place(
        self,
        method: JoinMethod,
        name: str,
        options: Mapping[str, Any],
        attach: Attach,
        mayCreate: Callable[[], None] = lambda: None,
    ) -> Link | Refused:
        """
        Give a client a seat in a room of that name.

        Args:
            mayCreate: Called before a room is made for it; raises `RoomError` if that may not be.

        Raises:
            RoomError: Nothing is registered under that name, or `mayCreate` has raised it.
        """
        registered = self._registry.find(name)
        if method is JoinMethod.CREATE:
            if not registered.clientsMayCreate:
                return Refused(ErrorCode.FORBIDDEN)
            return await self._create(registered, options, attach, mayCreate)
        mayMake = method is JoinMethod.JOIN_OR_CREATE and registered.clientsMayCreate
        refused = Refused(ErrorCode.NO_SUCH_ROOM, f"no room {name[:32]!r} that matches is open")
        tries = 0
        while tries < TRIES:
            for listing in await self.find(registered, options, TRIES - tries):
                tries += 1
                result = await attach(listing.room, False)
                if not isinstance(result, Refused) or result.code not in _NEXT:
                    return result
                refused = result
            if not mayMake:
                return refused
            pending = self._pendingFor(registered, options)
            if pending is None:
                break
            # To wait is no try, since it comes to an end: those who wait go on in the order in which they
            # came, and each room that is made settles the first of them, for whom it was made.
            made = await pending.wait()
            if made is None:
                break
            result = await attach(made, False)
            if not isinstance(result, Refused) or result.code not in _NEXT:
                return result
        return await self._create(registered, options, attach, mayCreate, mayBeJoined=True)

    async def find(
        self, registered: Registered, options: Mapping[str, Any], limit: int = TRIES
    ) -> list[Listing]:
        """The open rooms that match, the best first."""
        filters = registered.filtersOf(registered.optionsOf(options))
        return await self._engine.find(registered.name, filters, True, registered.order, limit)

    async def query(
        self, name: str | None, filter: Mapping[str, Any] | None, limit: int = 0
    ) -> list[Listing]:
        """
        The rooms of a name, or of any, that match; full and locked ones too, but no private ones.

        Args:
            limit: The most that are wanted; 0: any number.

        Raises:
            RoomError: Nothing is registered under that name, or the filter has a value of a wrong type.
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
        attach: Attach,
        mayCreate: Callable[[], None],
        mayBeJoined: bool = False,
    ) -> Link | Refused:
        """Make a room for a client, and take its seat in it; others that want the same may wait for it."""
        mayCreate()
        pending = PendingRoom(registered.seats if mayBeJoined else 1)
        key = self._key(registered, options)
        self._pending.setdefault(key, []).append(pending)
        room = None
        try:
            room = await self._engine.create(registered.name, options)
            return await attach(room, True)
        except RoomError as error:
            clearTraceback(error)
            return Refused(error.code, error.message, error.details)
        finally:
            self._pending[key].remove(pending)
            if not self._pending[key]:
                del self._pending[key]
            pending.finished(room)

    def _pendingFor(self, registered: Registered, options: Mapping[str, Any]) -> PendingRoom | None:
        """A room that is being made for somebody who wants the same, and that will have a seat left."""
        pending = self._pending.get(self._key(registered, options), ())
        return next((each for each in pending if each.hasPlace), None)

    @staticmethod
    def _key(registered: Registered, options: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
        filters = registered.filtersOf(registered.optionsOf(options))
        return registered.name, tuple(map(keyOf, filters.values()))
