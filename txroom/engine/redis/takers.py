"""
The nodes that get the rooms of a node that leaves.

Several nodes may leave at the same time. Each says so in Redis before it reads what the others say. So of two
nodes at least one knows that the other one leaves, and doesn't choose it. A node that was chosen all the same
refuses the room.
"""

from __future__ import annotations

from collections.abc import Sequence

from .announcing import Announcing
from .lease import Lease
from .waiting import Waits

#: For how many seconds a node that takes rooms is waited for, and the seconds between two looks.
KNOWN, PAUSE = 5.0, 0.1


class Takers:
    """
    Those of some nodes that take rooms.

    Args:
        waits: The waits of this node.
        announcing: What the nodes say of themselves.
        lease: The lease of this node, which knows the other nodes.
        nodes: The nodes that should get the rooms.
    """

    def __init__(self, waits: Waits, announcing: Announcing, lease: Lease, nodes: Sequence[str]) -> None:
        self._waits = waits
        self._announcing = announcing
        self._lease = lease
        self._nodes = nodes
        self._given = 0

    @property
    def areAny(self) -> bool:
        """Whether one of the nodes takes rooms, as far as is known."""
        return bool(self._announcing.takersOf(self._nodes))

    def next(self) -> str:
        """Return the node that gets the next room, each in turn. There must be one."""
        takers = self._announcing.takersOf(self._nodes)
        self._given += 1
        return takers[self._given % len(takers)]

    def refused(self, node: str) -> None:
        """A node has refused a room, since it leaves too."""
        self._announcing.leaves(node)

    async def wait(self) -> bool:
        """
        Wait for a node that takes rooms, since one that leaves may stay after all.

        Returns:
            Whether there is one.
        """
        until = self._waits.seconds() + KNOWN
        while not self.areAny and self._waits.seconds() < until and not self._waits.isStopped:
            await self._waits.pause(PAUSE)
            await self._announcing.refresh(self._lease.others)
        return self.areAny
