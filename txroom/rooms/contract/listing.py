"""
Listings: rooms as matchmaking sees them. An owner publishes its listing by `Engine.publish`.

A listing was correct when it was published, and may be out of date. Only the room itself decides whether a
client gets a seat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Listing(Struct, frozen=True, array_like=True, tag_field="kind"):
    """A room as matchmaking sees it; it may be out of date."""

    room: str
    name: str
    clients: int
    #: The most clients; 0: any number.
    maxClients: int
    isLocked: bool = False
    isPrivate: bool = False
    metadata: Mapping[str, Any] = {}
    #: The values of the options that the registration filters by.
    filters: Mapping[str, Any] = {}
    #: The options that were given when the room was created, without those of its registration. Clients
    #: don't see them.
    options: Mapping[str, Any] = {}
    #: A number that grows from room to room on all nodes, to sort rooms by age.
    age: int = 0

    @property
    def isOpen(self) -> bool:
        """Whether clients without a reserved seat may join."""
        return not (self.isLocked or self.isPrivate or self.isFull)

    @property
    def isFull(self) -> bool:
        """Whether all seats are taken or reserved."""
        return 0 < self.maxClients <= self.clients

    def matches(self, filter: Mapping[str, Any]) -> bool:
        """Return whether each value of `filter` equals the filtered option, or the metadata, of that name."""
        for name, wanted in filter.items():
            value = self.filters[name] if name in self.filters else self.metadata.get(name)
            if keyOf(value) != keyOf(wanted):
                return False
        return True


#: Fields to sort by, the most important first, each with 1 (ascending) or -1 (descending).
Order = tuple[tuple[str, int], ...]


class _Nothing:
    """The key of values that no filter can match."""


_NOTHING = _Nothing()


def keyOf(value: Any) -> Any:
    """Return a hashable key. Two values match if their keys are equal."""
    if isinstance(value, bool):
        return (value,)  # True is equal to 1
    return value if value is None or isinstance(value, str | int | float) else _NOTHING
