"""
A room as matchmaking sees it: what an owner gives to `Engine.publish`, and who looks for rooms gets.

A listing was true when it was published. Whether there is a seat is decided by the room, when somebody comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Listing(Struct, frozen=True, tag_field="kind"):
    """A room as matchmaking sees it: a hint, which may be out of date."""

    room: str
    name: str
    clients: int
    #: 0: any number.
    maxClients: int
    isLocked: bool = False
    isPrivate: bool = False
    metadata: Mapping[str, Any] = {}
    #: The values of the options that the registration filters by.
    filters: Mapping[str, Any] = {}
    #: The options of the room; not for clients.
    options: Mapping[str, Any] = {}
    #: Counts up in one process, so that rooms can be sorted by age.
    age: int = 0

    @property
    def isOpen(self) -> bool:
        """Whether a client that is not invited may join."""
        return not (self.isLocked or self.isPrivate or self.isFull)

    @property
    def isFull(self) -> bool:
        """Whether all seats are taken."""
        return 0 < self.maxClients <= self.clients

    def matches(self, filter: Mapping[str, Any]) -> bool:
        """Whether each value is that of the filtered option, or of the metadata, of its name."""
        for name, wanted in filter.items():
            value = self.filters[name] if name in self.filters else self.metadata.get(name)
            if keyOf(value) != keyOf(wanted):
                return False
        return True


#: Fields of listings with 1 (the least first) or -1, the most important first.
Order = tuple[tuple[str, int], ...]


class _Nothing:
    """What is the same as no value that is asked for."""


_NOTHING = _Nothing()


def keyOf(value: Any) -> Any:
    """Something hashable that is equal for two values if they are the same."""
    if isinstance(value, bool):
        return (value,)  # True is equal to 1
    return value if value is None or isinstance(value, str | int | float) else _NOTHING
