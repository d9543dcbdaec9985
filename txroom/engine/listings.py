"""
What an engine knows of rooms, in order, so that rooms are found without looking at all of them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple

from ..rooms.matching import Order, Place, keyOf, placeOf
from ..rooms.seam import Listing

#: The names of what rooms are filtered by, sorted, and the keys of their values.
Names = tuple[str, ...]
Values = tuple[Any, ...]


class Entry(NamedTuple):
    """A room that can be found, and where it stands."""

    listing: Listing
    names: Names
    values: Values
    place: Place


class Shelf:
    """The places of rooms, in order; those of open rooms apart."""

    __slots__ = ("_closed", "_opened")

    def __init__(self) -> None:
        self._closed: list[Place] = []
        self._opened: list[Place] = []

    def __bool__(self) -> bool:
        return bool(self._closed or self._opened)

    def add(self, entry: Entry) -> None:
        """One more room."""
        insort(self._opened if entry.listing.isOpen else self._closed, entry.place)

    def remove(self, entry: Entry) -> None:
        """One less."""
        places = self._opened if entry.listing.isOpen else self._closed
        del places[bisect_left(places, entry.place)]

    def inOrder(self, onlyOpen: bool) -> Iterable[Place]:
        """The places of all rooms, or of the open ones."""
        return self._opened if onlyOpen or not self._closed else merge(self._closed, self._opened)


class Shelves:
    """The rooms of one name that are filtered by the same options: all of them, and by their values."""

    def __init__(self, names: Names, order: Order) -> None:
        self._names = names
        self.order = order
        self._entries: dict[str, Entry] = {}
        self._all = Shelf()
        self._groups: dict[Values, Shelf] = {}

    def __bool__(self) -> bool:
        return bool(self._entries)

    def put(self, listing: Listing) -> None:
        """A room is new, or has changed."""
        values = tuple(keyOf(listing.filters[name]) for name in self._names)
        entry = Entry(listing, self._names, values, placeOf(listing, self.order))
        before = self._entries.get(listing.room)
        if before is None or before[2:] != entry[2:] or before.listing.isOpen != listing.isOpen:
            self.remove(listing.room)
            self._add(entry)
        self._entries[listing.room] = entry

    def _add(self, entry: Entry) -> None:
        self._all.add(entry)
        if self._names:
            self._groups.setdefault(entry.values, Shelf()).add(entry)

    def remove(self, room: str) -> None:
        """A room has ended, if it is one of these."""
        entry = self._entries.pop(room, None)
        if entry is None:
            return
        self._all.remove(entry)
        if self._names:
            group = self._groups[entry.values]
            group.remove(entry)
            if not group:
                del self._groups[entry.values]

    def places(self, filter: Mapping[str, Any], onlyOpen: bool) -> Iterable[Place]:
        """The places of all that may match, in order."""
        shelf: Shelf | None = self._all
        if self._names and all(name in filter for name in self._names):
            shelf = self._groups.get(tuple(keyOf(filter[name]) for name in self._names))
        return () if shelf is None else shelf.inOrder(onlyOpen)

    def sorted(self, order: Order) -> Shelves:
        """The same rooms in another order."""
        shelves = Shelves(self._names, order)
        for entry in self._entries.values():
            shelves.put(entry.listing)
        return shelves


class Listings:
    """
    Rooms by their names, by what they are filtered by, and by whether they are open, each in order.

    To find the first few rooms of a name, or the first open ones with the same values of all that they are
    filtered by, takes the same time however many rooms there are. Private rooms are never found.
    """

    def __init__(self) -> None:
        self._known: dict[str, Listing] = {}
        self._shelves: dict[str, dict[Names, Shelves]] = {}

    def get(self, room: str) -> Listing | None:
        """The last listing of a room."""
        return self._known.get(room)

    def put(self, listing: Listing) -> None:
        """A room is new, or has changed."""
        names = tuple(sorted(listing.filters))
        before = self._known.get(listing.room)
        if before is not None and (listing.isPrivate or _kindOf(before) != _kindOf(listing)):
            self.remove(listing.room)
        self._known[listing.room] = listing
        if not listing.isPrivate:
            kinds = self._shelves.setdefault(listing.name, {})
            if names not in kinds:
                kinds[names] = Shelves(names, ())
            kinds[names].put(listing)

    def remove(self, room: str) -> None:
        """A room has ended."""
        listing = self._known.pop(room, None)
        kinds = {} if listing is None else self._shelves.get(listing.name, {})
        for names, shelves in list(kinds.items()):
            shelves.remove(room)
            if not shelves:
                del kinds[names]
        if listing is not None and not kinds:
            self._shelves.pop(listing.name, None)

    def find(
        self,
        name: str,
        filter: Mapping[str, Any],
        onlyOpen: bool = False,
        order: Order = (),
        limit: int = 0,
    ) -> list[Listing]:
        """The rooms of that name that match, or the open ones of them: the first `limit` (0: all)."""
        kinds = self._shelves.get(name, {})
        for names, shelves in kinds.items():
            if shelves.order != order:  # it is the registration's, which hardly ever changes
                kinds[names] = shelves.sorted(order)
        runs = [shelves.places(filter, onlyOpen) for shelves in kinds.values()]
        places = runs[0] if len(runs) == 1 else merge(*runs)
        listings = (self._known[place[-1]] for place in places)
        return list(islice((one for one in listings if one.matches(filter)), limit or None))


def _kindOf(listing: Listing) -> tuple[object, ...]:
    """Among which rooms it is found."""
    return (listing.name, listing.filters.keys())
