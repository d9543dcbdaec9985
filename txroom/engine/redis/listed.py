"""
The listings of the rooms of all nodes: as they are stored and sent, and the index that each node has of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import Raw, Struct
from msgspec.msgpack import Decoder, Encoder

from ...rooms.contract.listing import Listing, Order
from ..listings import Listings


class Listed(Struct, frozen=True, array_like=True):
    """What Redis has of a listing: the value in the hash of the rooms of one name."""

    node: str
    #: The generation of the room's owner.
    generation: int = 0
    #: `None` until the room is open.
    listing: Listing | None = None


class Change(Struct, frozen=True, array_like=True):
    """A listing has changed, or has been removed (`listed` is `None`)."""

    application: str
    name: str
    room: str
    listed: Listed | None


class Changes(Struct, frozen=True, array_like=True):
    """The listings of one node that have changed in one turn."""

    node: str
    changes: tuple[Change, ...]


class NewChange(NamedTuple):
    """A change of this node, on its way to Redis and to the other nodes."""

    change: Change
    #: `listed` as it is stored, encoded once; `None`: it is removed.
    data: bytes | None = None

    @property
    def packed(self) -> tuple[str, str, str, Raw | None]:
        """The change as it is published: what `readChanges` reads as a `Change`."""
        application, name, room = self.change.application, self.change.name, self.change.room
        return application, name, room, None if self.data is None else Raw(self.data)


encode = Encoder().encode
readListed = Decoder(Listed).decode
readChanges = Decoder(Changes).decode


class Known(NamedTuple):
    """A listing in the index."""

    application: str
    name: str
    listed: Listed


class ClusterIndex:
    """
    The listings of all nodes that this node knows.

    Rooms are found in the same time among any number of rooms; see `Listings`.
    """

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._byNode: dict[str, set[str]] = {}
        self._listings: dict[str, Listings] = {}
        #: The number of rooms of each name, by applications and names.
        self._counts: Counter[tuple[str, str]] = Counter()
        #: The greatest age of a room.
        self.greatestAge = 0

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, room: str) -> bool:
        return room in self._known

    def get(self, room: str) -> Known | None:
        """Return what is known of a room."""
        return self._known.get(room)

    @property
    def nodes(self) -> list[str]:
        """The nodes that have rooms."""
        return list(self._byNode)

    def roomsOf(self, node: str) -> list[str]:
        """Return the rooms of a node."""
        return list(self._byNode.get(node, ()))

    def count(self, application: str, name: str) -> int:
        """Return the number of rooms of a name, private ones and those that are being created too."""
        return self._counts[application, name]

    def named(self, application: str, name: str) -> dict[str, Listed]:
        """Return all rooms of a name, private ones and those that are being created too."""
        return {
            room: known.listed
            for room, known in self._known.items()
            if known.name == name and known.application == application
        }

    def put(self, application: str, name: str, room: str, listed: Listed) -> bool:
        """Add a room, or replace what is known of it. Returns whether this wasn't old news."""
        before = self._known.get(room)
        if before is not None:
            if listed.generation < before.listed.generation:
                return False
            if before.listed.node != listed.node:
                self._leave(before.listed.node, room)
        else:
            self._counts[application, name] += 1
        self._known[room] = Known(application, name, listed)
        self._byNode.setdefault(listed.node, set()).add(room)
        listings = self._listings.setdefault(application, Listings())
        if listed.listing is None:
            listings.remove(room)
        else:
            listings.put(listed.listing)
            self.greatestAge = max(self.greatestAge, listed.listing.age)
        return True

    def remove(self, room: str) -> None:
        """Remove a room."""
        known = self._known.pop(room, None)
        if known is not None:
            self._counts[known.application, known.name] -= 1
            self._leave(known.listed.node, room)
            self._listings[known.application].remove(room)

    def mayBeOlder(self, node: str) -> None:
        """
        A node is gone. Believe whatever others say of its rooms, also if it is of an earlier owner: an older
        copy of Redis's data may have taken the place of the newest.
        """
        for room in self.roomsOf(node):
            self.move(room, node)

    def move(self, room: str, node: str) -> None:
        """A known room is at that node; it isn't known in which generation."""
        application, name, listed = self._known[room]
        if listed.node != node:
            self._leave(listed.node, room)
            self._byNode.setdefault(node, set()).add(room)
        self._known[room] = Known(application, name, Listed(node, 0, listed.listing))

    def _leave(self, node: str, room: str) -> None:
        rooms = self._byNode[node]
        rooms.discard(room)
        if not rooms:
            del self._byNode[node]

    def find(
        self,
        application: str,
        name: str,
        filter: Mapping[str, Any],
        onlyOpen: bool = False,
        order: Order = (),
        limit: int = 0,
    ) -> list[Listing]:
        """Return the rooms that match; see `Engine.find`."""
        listings = self._listings.get(application)
        return [] if listings is None else listings.find(name, filter, onlyOpen, order, limit)
