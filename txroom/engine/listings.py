"""
What an engine knows of rooms, so that a room is found without looking at all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from ..rooms.seam import Listing

#: Rooms by their ids.
Group = dict[str, Listing]


class Listings:
    """
    Rooms by their names, by what they are filtered by, and by whether they are open.

    How long it takes to find the open rooms that match depends on how many of these there are, not on
    how many rooms there are.
    """

    def __init__(self) -> None:
        self._known: dict[str, Listing] = {}
        #: By the name and the names of what is filtered by, then by the values of these: closed, open.
        self._groups: dict[tuple[str, tuple[str, ...]], dict[Any, tuple[Group, Group]]] = {}

    def get(self, room: str) -> Listing | None:
        """The last listing of a room."""
        return self._known.get(room)

    def put(self, listing: Listing) -> None:
        """A room is new, or has changed."""
        self.remove(listing.room)
        self._known[listing.room] = listing
        kind, key = _placeOf(listing)
        closed, opened = self._groups.setdefault(kind, {}).setdefault(key, ({}, {}))
        (opened if listing.isOpen else closed)[listing.room] = listing

    def remove(self, room: str) -> None:
        """A room has ended."""
        listing = self._known.pop(room, None)
        if listing is None:
            return
        kind, key = _placeOf(listing)
        for group in self._groups[kind][key]:
            group.pop(room, None)
        if not any(self._groups[kind][key]):
            del self._groups[kind][key]
        if not self._groups[kind]:
            del self._groups[kind]

    def find(self, name: str, filter: Mapping[str, Any], onlyOpen: bool = False) -> list[Listing]:
        """The rooms of that name that match, or the open ones of them."""
        return [listing for listing in self._candidates(name, filter, onlyOpen) if listing.matches(filter)]

    def _candidates(self, name: str, filter: Mapping[str, Any], onlyOpen: bool) -> Iterator[Listing]:
        for (each, names), groups in self._groups.items():
            if each != name:
                continue
            found: Iterable[tuple[Group, Group]] = groups.values()
            if all(one in filter for one in names):
                key = _key(names, filter)
                found = [groups[key]] if key in groups else []
            for closed, opened in found:
                yield from opened.values() if onlyOpen else chain(closed.values(), opened.values())


def _placeOf(listing: Listing) -> tuple[tuple[str, tuple[str, ...]], Any]:
    """Under what a room is found."""
    names = tuple(sorted(listing.filters))
    return (listing.name, names), _key(names, listing.filters)


def _key(names: tuple[str, ...], values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of those names, the same for equal ones."""
    return tuple(_hashable(values[name]) for name in names)


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return frozenset((key, _hashable(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    return value
