"""
The index of an engine's listings: sorted, so that rooms are found without a search through all of them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterable, Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple

from ..rooms.contract.listing import Listing, Order, keyOf
from ..rooms.matching import Place, isFilterable, placeOf

#: The names of the options that rooms are filtered by, sorted.
Names = tuple[str, ...]

#: The key of the bucket of all rooms.
_ALL = ""


class Entry(NamedTuple):
    """A listing, the keys of the buckets that it is in, the names of its values, and its sort key."""

    listing: Listing
    keys: tuple[Hashable, ...]
    names: Names
    place: Place


class Bucket:
    """The sort keys of some rooms, in order; those of open rooms apart."""

    __slots__ = ("_closed", "_opened")

    def __init__(self) -> None:
        self._closed: list[Place] = []
        self._opened: list[Place] = []

    def __len__(self) -> int:
        return len(self._closed) + len(self._opened)

    def add(self, entry: Entry) -> None:
        """Add a room."""
        insort(self._opened if entry.listing.isOpen else self._closed, entry.place)

    def remove(self, entry: Entry) -> None:
        """Remove a room."""
        places = self._opened if entry.listing.isOpen else self._closed
        del places[bisect_left(places, entry.place)]

    def inOrder(self, onlyOpen: bool, without: Sequence[set[str]]) -> Iterable[Place]:
        """Return the sort keys of all rooms, or of the open ones, in order, without those of some rooms."""
        if onlyOpen or not self._closed:
            return _withoutAll(self._opened, without)
        return merge(_withoutAll(self._closed, without), _withoutAll(self._opened, without))


def _withoutAll(places: Iterable[Place], without: Sequence[set[str]]) -> Iterable[Place]:
    """Leave out rooms, of which there may be many, without a look at their listings."""
    for rooms in without:
        places = _without(places, rooms)
    return places


def _without(places: Iterable[Place], rooms: set[str]) -> Iterable[Place]:
    return (place for place in places if place[-1] not in rooms)


class ListingIndex:
    """
    The rooms of one name that are filtered by the same options.

    Each room is in several buckets: in that of all rooms, in that of the values of all its filtered options
    together, and in one for each value of a filtered option or of the metadata. A filter by `None` leaves out
    the rooms that have a value of that name, which are known too.
    """

    def __init__(self, names: Names, order: Order) -> None:
        self._names = names
        self.order = order
        self._entries: dict[str, Entry] = {}
        self._buckets: dict[Hashable, Bucket] = {}
        #: By the names of values: the rooms that have one.
        self._having: dict[str, set[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._entries)

    def put(self, listing: Listing) -> None:
        """Add a room, or replace its listing."""
        values = {**listing.metadata, **listing.filters}
        names = tuple(name for name, value in values.items() if value is not None)
        entry = Entry(listing, self._keysOf(listing, values), names, placeOf(listing, self.order))
        before = self._entries.get(listing.room)
        if before is None or before[1:] != entry[1:] or before.listing.isOpen != listing.isOpen:
            self.remove(listing.room)
            for key in entry.keys:
                self._buckets.setdefault(key, Bucket()).add(entry)
            for name in names:
                self._having.setdefault(name, set()).add(listing.room)
        self._entries[listing.room] = entry

    def remove(self, room: str) -> None:
        """Remove a room, if it is one of these."""
        entry = self._entries.pop(room, None)
        if entry is None:
            return
        for key in entry.keys:
            bucket = self._buckets[key]
            bucket.remove(entry)
            if not bucket:
                del self._buckets[key]
        for name in entry.names:
            rooms = self._having[name]
            rooms.discard(room)
            if not rooms:
                del self._having[name]

    def _keysOf(self, listing: Listing, values: Mapping[str, object]) -> tuple[Hashable, ...]:
        facts = [(name, keyOf(value)) for name, value in values.items() if isFilterable(value)]
        together = [self._together(listing.filters)] if self._names else []
        return (_ALL, *together, *facts)

    def _together(self, values: Mapping[str, object]) -> Hashable:
        """Return the key of the bucket for the values of all filtered options together."""
        return tuple(keyOf(values[name]) for name in self._names), self._names

    def places(self, filter: Mapping[str, object], onlyOpen: bool) -> Iterable[Place]:
        """
        Return the sort keys of all rooms that may match, in order: the smallest bucket of a value, without
        the rooms that have a value where the filter has `None`.
        """
        keys: list[Hashable] = [(name, keyOf(value)) for name, value in filter.items() if value is not None]
        if self._names and all(name in filter for name in self._names):
            keys.append(self._together(filter))
        found = [self._buckets.get(key) for key in keys or [_ALL]]
        buckets = [bucket for bucket in found if bucket is not None]
        if len(buckets) < len(found):
            return ()
        without = [self._having[name] for name in filter if filter[name] is None and name in self._having]
        if any(len(rooms) == len(self._entries) for rooms in without):
            return ()
        return min(buckets, key=len).inOrder(onlyOpen, without)

    def sorted(self, order: Order) -> ListingIndex:
        """Return an index of the same rooms in another order."""
        index = ListingIndex(self._names, order)
        for entry in self._entries.values():
            index.put(entry.listing)
        return index


class Listings:
    """
    The listings of all rooms, indexed by name, by values, and by whether they are open.

    These queries take the same time for any number of rooms: the first few rooms of a name, those with one
    value, and the first open rooms with the same values of all filtered options. A filter by `None` may go
    through the ids of all rooms. Private rooms are never found.
    """

    def __init__(self) -> None:
        self._known: dict[str, Listing] = {}
        self._indexes: dict[str, dict[Names, ListingIndex]] = {}

    def get(self, room: str) -> Listing | None:
        """Return the newest listing of a room."""
        return self._known.get(room)

    def named(self, name: str) -> list[Listing]:
        """Return the listings of all rooms of a name, private ones too."""
        return [listing for listing in self._known.values() if listing.name == name]

    def put(self, listing: Listing) -> None:
        """Add a room, or replace its listing."""
        names = tuple(sorted(listing.filters))
        before = self._known.get(listing.room)
        if before is not None and (listing.isPrivate or _kindOf(before) != _kindOf(listing)):
            self.remove(listing.room)
        self._known[listing.room] = listing
        if not listing.isPrivate:
            kinds = self._indexes.setdefault(listing.name, {})
            if names not in kinds:
                kinds[names] = ListingIndex(names, ())
            kinds[names].put(listing)

    def remove(self, room: str) -> None:
        """Remove a room."""
        listing = self._known.pop(room, None)
        kinds = {} if listing is None else self._indexes.get(listing.name, {})
        for names, index in list(kinds.items()):
            index.remove(room)
            if not index:
                del kinds[names]
        if listing is not None and not kinds:
            self._indexes.pop(listing.name, None)

    def find(
        self,
        name: str,
        filter: Mapping[str, Any],
        onlyOpen: bool = False,
        order: Order = (),
        limit: int = 0,
    ) -> list[Listing]:
        """Return the rooms of a name that match, or the open ones of them: the first `limit` (0: all)."""
        kinds = self._indexes.get(name, {})
        for names, index in kinds.items():
            if index.order != order:  # it is the registration's, which hardly ever changes
                kinds[names] = index.sorted(order)
        runs = [index.places(filter, onlyOpen) for index in kinds.values()]
        places = runs[0] if len(runs) == 1 else merge(*runs)
        listings = (self._known[place[-1]] for place in places)
        return list(islice((one for one in listings if one.matches(filter)), limit or None))


def _kindOf(listing: Listing) -> tuple[object, ...]:
    """Return the key of the index that a listing belongs to."""
    return (listing.name, listing.filters.keys())
