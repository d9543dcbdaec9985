"""
The engine for rooms within one process: every crossing is a plain function call, and nothing is serialised.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from itertools import count
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..rooms.contract.arrivals import Join, Refused, Resume
from ..rooms.contract.listing import Listing, Order
from ..rooms.contract.ports import Journal, Link, Outlet, Owner
from ..rooms.contract.records import Loaded, Record
from ..rooms.hooks import runCoroutine
from ..rooms.owner.host import Host
from .listings import Listings

#: The message of the error for an id that no room has.
NO_SUCH_ID = "there is no room of that id"


class HostFactory(Protocol):
    """Makes the hosts of rooms for an engine: a `RoomApplication`."""

    def makeHost(self, room: str, name: str, options: Mapping[str, Any]) -> Host: ...
    def hostEnded(self, host: Host) -> None: ...


class MemoryJournal:
    """A journal that keeps nothing, since the room ends with its process."""

    __slots__ = ("_count", "_engine", "_owner", "_room", "epoch", "loaded")

    isKept = False

    def __init__(self, engine: MemoryEngine, room: str, owner: Owner) -> None:
        self._engine = engine
        self._room = room
        self._owner = owner
        self._count = 0
        self.epoch = secrets.token_urlsafe(9)
        self.loaded = Loaded()

    def write(self, record: Record) -> None:
        """Commit a record at once."""
        self._count += 1
        self._owner.committed(self._count)

    def release(self) -> Deferred[None]:
        """Remove the room from the engine."""
        self._engine.ended(self._room)
        return succeed(None)


class MemoryEngine:
    """The rooms of one application, all in this process."""

    def __init__(self, factory: HostFactory) -> None:
        self._factory = factory
        self._hosts: dict[str, Host] = {}
        self._listings = Listings()
        self._ages = count(1)

    def find(
        self,
        name: str,
        filter: Mapping[str, Any],
        onlyOpen: bool = False,
        order: Order = (),
        limit: int = 0,
    ) -> Deferred[list[Listing]]:
        """Find rooms; see `Engine.find`."""
        return succeed(self._listings.find(name, filter, onlyOpen, order, limit))

    def create(self, name: str, options: Mapping[str, Any]) -> Deferred[str]:
        """Create a room; see `Engine.create`."""
        room = secrets.token_urlsafe(9)
        try:
            host = self._factory.makeHost(room, name, options)
        except RoomError as error:
            return fail(error)
        self._hosts[room] = host
        opened = runCoroutine(host.open())
        return opened.addCallbacks(lambda _: room, self._notMade, errbackArgs=(room,))

    def _notMade(self, failure: Failure, room: str) -> Failure:
        """Remove a room that could not be created."""
        self.ended(room)
        return failure

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """Join or resume; see `Engine.attach`."""
        host = self._hosts.get(arrival.room)
        if host is None:
            return succeed(Refused(ErrorCode.NO_SUCH_ROOM, NO_SUCH_ID))
        return host.attach(outlet, arrival)

    def reserve(self, room: str, user: Any, seconds: float | None) -> Deferred[str]:
        """Reserve a seat; see `Engine.reserve`."""
        host = self._hosts.get(room)
        if host is None:
            return fail(RoomError(ErrorCode.NO_SUCH_ROOM, NO_SUCH_ID))
        return runCoroutine(host.reserve(user, seconds))

    def claim(self, room: str, owner: Owner) -> Deferred[Journal]:
        """Claim a room; in one process no other owner can have it."""
        journal: Journal = MemoryJournal(self, room, owner)
        return succeed(journal)

    def publish(self, listing: Listing) -> None:
        """Publish a listing. A room keeps the age of its first one."""
        before = self._listings.get(listing.room)
        age = next(self._ages) if before is None else before.age
        self._listings.put(msgspec.structs.replace(listing, age=age))

    def ended(self, room: str) -> None:
        """Forget a room that has ended."""
        host = self._hosts.pop(room, None)
        if host is not None:
            self._factory.hostEnded(host)
            self._listings.remove(room)
