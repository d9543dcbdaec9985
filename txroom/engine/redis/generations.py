"""
The generations of the rooms that clients of this node are in, if the rooms are on other nodes.

A volatile message isn't committed, so an owner that has lost its room without knowing it may still send one.
Each has the generation of its owner. What an earlier owner sends after a message of a later one is dropped.
"""

from __future__ import annotations


class Generations:
    """The newest generation of each room, while the room has links."""

    __slots__ = ("_links", "_newest")

    def __init__(self) -> None:
        self._links: dict[str, int] = {}
        self._newest: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._links)

    def began(self, room: str) -> None:
        """A link to the room has begun."""
        self._links[room] = self._links.get(room, 0) + 1

    def ended(self, room: str) -> None:
        """A link to the room has ended; after the last one the room is forgotten."""
        left = self._links.get(room, 0) - 1
        if left > 0:
            self._links[room] = left
        else:
            self._links.pop(room, None)
            self._newest.pop(room, None)

    def isOld(self, room: str, generation: int) -> bool:
        """Return whether there was a later generation, and note this one. Called for volatile messages."""
        newest = self._newest.get(room, 0)
        if generation < newest:
            return True
        if generation > newest and room in self._links:
            self._newest[room] = generation
        return False
