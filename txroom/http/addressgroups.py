"""
A collection of connections, grouped by client address.

When there are too many unfinished connections, the server closes one of the address that has the most. A
client that opens very many thus loses its own connections first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Member = TypeVar("Member")


class AddressGroups(Generic[Member]):
    """
    A set of members, each with an address; an address may have several members.

    A member with the address "" forms a group of its own. Every method takes constant time.
    """

    def __init__(self) -> None:
        self._addresses: dict[Member, Hashable] = {}
        self._members: dict[Hashable, dict[Member, None]] = {}
        #: For each group size, the groups of that size, ordered by the time at which they reached it.
        self._bySize: dict[int, dict[Hashable, None]] = {}
        self._largest = 0

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._addresses))

    def __contains__(self, member: object) -> bool:
        return member in self._addresses

    def add(self, member: Member, address: str) -> None:
        """Add a member. A member that is already present moves to this address."""
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
        Put `new` in the place of `old`, at the same address or another one.

        This does the same as `remove` and `add`, and is cheaper when the address stays the same: the group
        then keeps its position among the groups of its size. `new` becomes the youngest member of its group.
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
        """Remove a member. Does nothing if it is not present."""
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
            self._largest -= 1  # the group that was the largest now has this size

    def count(self, address: str) -> int:
        """Return the number of members at an address."""
        return len(self._members.get(address, ()))

    def oldestOf(self, address: str) -> Member | None:
        """Return the oldest member at an address, or `None` if the address has none."""
        return next(iter(self._members.get(address, ())), None)

    def oldestOfLargest(self) -> Member | None:
        """
        Return the oldest member of the address that has the most members, or `None` if there are no members.

        If several addresses have the most, the one that reached that number first is chosen.
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
