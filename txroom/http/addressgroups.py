"""
A table of connections, grouped by the address of their clients.

Whoever has the most connections that are unfinished is the first to lose one when there are too many:
then a client that fills the table loses its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Member = TypeVar("Member")


class AddressGroups(Generic[Member]):
    """
    Members by address, each of which may have several.

    A member without an address ("") is a group by itself. Every call costs the same, however many members
    there are.
    """

    def __init__(self) -> None:
        self._addresses: dict[Member, Hashable] = {}
        self._members: dict[Hashable, dict[Member, None]] = {}
        #: For each size the groups of that size, in the order in which they came to it.
        self._bySize: dict[int, dict[Hashable, None]] = {}
        self._largest = 0

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._addresses))

    def __contains__(self, member: object) -> bool:
        return member in self._addresses

    def add(self, member: Member, address: str) -> None:
        """Add a member; one that is there already is moved to this address."""
        if member in self._addresses:
            self.remove(member)
        key = self._addresses[member] = address or member
        members = self._members.setdefault(key, {})
        members[member] = None
        size = len(members)
        self._resize(key, size - 1, size)
        if size > self._largest:
            self._largest = size

    def replace(self, old: Member, new: Member, address: str) -> None:
        """
        Put `new` in the place of `old`, at the same address or another; as `remove` and `add`, but cheaper.

        Its group keeps its rank, and `new` is the youngest of it.
        """
        if address and self._addresses.get(old) == address:
            del self._addresses[old]
            self._addresses[new] = address
            members = self._members[address]
            del members[old]
            members[new] = None
        else:
            self.remove(old)
            self.add(new, address)

    def remove(self, member: Member) -> None:
        """Remove a member; harmless for one that isn't there."""
        key = self._addresses.pop(member, None)
        if key is None:
            return
        members = self._members[key]
        size = len(members)
        del members[member]
        self._resize(key, size, size - 1)
        if not members:
            del self._members[key]
        if self._largest not in self._bySize:
            self._largest -= 1  # which is the size of the group now that was the largest

    def count(self, address: str) -> int:
        """How many members an address has."""
        return len(self._members.get(address, ()))

    def oldestOf(self, address: str) -> Member | None:
        """The oldest member of an address; `None` if it has none."""
        return next(iter(self._members.get(address, ())), None)

    def oldestOfLargest(self) -> Member | None:
        """
        The oldest member of the address that has most; `None` if there are no members.

        Of several addresses with as many members it is the one that has had so many for the longest time.
        """
        if not self._largest:
            return None
        key = next(iter(self._bySize[self._largest]))
        return next(iter(self._members[key]))

    def _resize(self, key: Hashable, before: int, after: int) -> None:
        if before:
            others = self._bySize[before]
            del others[key]
            if not others:
                del self._bySize[before]
        if after:
            self._bySize.setdefault(after, {})[key] = None
