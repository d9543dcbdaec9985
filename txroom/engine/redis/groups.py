"""
Groups of links, so that a message for many clients on one node doesn't carry the ids of all their links.

A room sends what is for all its members to one tuple of links, the same object each time, until a client
joins or leaves. The sender gives such a tuple a small number, and sends it once. The number of groups between
two nodes is limited. A group that isn't used any more is forgotten on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence

#: A group stands for more links than this; fewer are sent as they are.
FEW_LINKS = 8
#: The most groups between two nodes. The numbers of groups are less than this.
MAX_GROUPS = 256
#: A group that wasn't used for so many beats is forgotten.
IDLE_BEATS = 5


class _Sent:
    __slots__ = ("id", "links", "usedAt")

    def __init__(self, id: int, links: tuple[str, ...], usedAt: int) -> None:
        self.id = id
        self.links = links
        self.usedAt = usedAt


class SentGroups:
    """The groups that one node has told another."""

    __slots__ = ("_beats", "_byIdentity", "_free")

    def __init__(self) -> None:
        #: By the identity of the tuples, which are kept here, so that no other one gets it.
        self._byIdentity: dict[int, _Sent] = {}
        self._free = list(range(MAX_GROUPS - 1, -1, -1))
        self._beats = 0

    def __len__(self) -> int:
        return len(self._byIdentity)

    def known(self, links: Sequence[str]) -> int | None:
        """Return the number of a group that was told already. Called for every message to many."""
        sent = self._byIdentity.get(id(links))
        if sent is None:
            return None
        sent.usedAt = self._beats
        return sent.id

    def add(self, links: tuple[str, ...]) -> int:
        """Return a number for links that are new; it may be that of the group that was unused the longest."""
        if not self._free:
            oldest = min(self._byIdentity.values(), key=lambda each: each.usedAt)
            self._forget(oldest)
        number = self._free.pop()
        self._byIdentity[id(links)] = _Sent(number, links, self._beats)
        return number

    def linksOf(self, number: int) -> tuple[str, ...]:
        """Return the links of a group."""
        return next((each.links for each in self._byIdentity.values() if each.id == number), ())

    def beat(self) -> list[int]:
        """Count a beat. Returns the numbers of the groups that are forgotten."""
        self._beats += 1
        idle = [each for each in self._byIdentity.values() if self._beats - each.usedAt > IDLE_BEATS]
        for each in idle:
            self._forget(each)
        return [each.id for each in idle]

    def _forget(self, sent: _Sent) -> None:
        del self._byIdentity[id(sent.links)]
        self._free.append(sent.id)
