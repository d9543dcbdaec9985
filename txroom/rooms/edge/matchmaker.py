"""
The matchmaker finds or creates a room for each client.

It knows rooms by their listings, which may be out of date; the room itself decides whether the client gets a
seat. If a room refuses the client, the matchmaker tries the next one.
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

#: Takes a seat in a room; the second argument is whether the room was created for this client.
Attach = Callable[[str, bool], Deferred[Link | Refused]]


class JoinMethod(Enum):
    """How a client asks for a room of some name."""

    JOIN_OR_CREATE = "joinOrCreate"
    JOIN = "join"
    CREATE = "create"


class PendingRoom:
    """
    A room that is being created for one client, and the other clients that wait for it.

    Args:
        seats: The number of clients that it is expected to take; 0: any number. All of them but one may wait.
    """

    def __init__(self, seats: int) -> None:
        self._seats = seats
        self._waiters: list[Deferred[str | None]] = []

    @property
    def hasPlace(self) -> bool:
        """Whether one more client may wait."""
        return not self._seats or len(self._waiters) + 1 < self._seats

    def wait(self) -> Deferred[str | None]:
        """Fire with the room's id when it has been created, or with `None` if that failed."""
        waiter: Deferred[str | None] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def finished(self, room: str | None) -> None:
        """The room has been created, or could not be (`None`)."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(room)


class Matchmaker:
    """Finds and creates rooms for the clients of one edge."""

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self._engine = engine
        self._registry = registry
        #: The rooms that are being created, by name and filtered options.
        self._pending: dict[tuple[str, tuple[Any, ...]], list[PendingRoom]] = {}

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
        attach: Attach,
        mayCreate: Callable[[], None] = lambda: None,
    ) -> Link | Refused:
        """
        Give a client a seat in a room of that name.

        Args:
            method: Whether to join a room, to create one, or to create one if there is none.
            name: The name of the room.
            options: The options of the client's request.
            attach: Takes the seat.
            mayCreate: Called before a room is created; raises `RoomError` to prevent that.

        Raises:
            RoomError: The name is not registered, or `mayCreate` has raised it.
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
            # Waiting doesn't count as a try, and it ends: the clients continue in the order in which they
            # came, and each room that is created serves at least the client that it is created for.
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
        attach: Attach,
        mayCreate: Callable[[], None],
        mayBeJoined: bool = False,
    ) -> Link | Refused:
        """
        Create a room for a client and take its seat; clients with the same request may wait for the room.
        """
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
        """Return a room that is being created for the same request and will have a seat left."""
        pending = self._pending.get(self._key(registered, options), ())
        return next((each for each in pending if each.hasPlace), None)

    @staticmethod
    def _key(registered: Registered, options: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
        filters = registered.filtersOf(registered.optionsOf(options))
        return registered.name, tuple(map(keyOf, filters.values()))
