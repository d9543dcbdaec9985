"""
The rooms that this node has, or is opening.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...rooms.contract.ports import RoomHost


class Owned:
    """A room of this node."""

    __slots__ = ("age", "application", "generation", "host", "isMoving")

    def __init__(self, host: RoomHost, application: str, age: int) -> None:
        self.host = host
        #: The key of its application.
        self.application = application
        self.age = age
        #: See `Journal.generation`; 0 until the room is claimed.
        self.generation = 0
        #: Whether it is being handed over to its next owner, or has been.
        self.isMoving = False


class Here:
    """The rooms of this node, by their ids."""

    def __init__(self) -> None:
        self._rooms: dict[str, Owned] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def __iter__(self) -> Iterator[Owned]:
        return iter(list(self._rooms.values()))

    def __contains__(self, room: str) -> bool:
        return room in self._rooms

    def get(self, room: str) -> Owned | None:
        """Return a room; `None` if it isn't here."""
        return self._rooms.get(room)

    def host(self, room: str) -> RoomHost | None:
        """Return the owner of a room; `None` if it isn't here."""
        owned = self._rooms.get(room)
        return None if owned is None else owned.host

    def ready(self, room: str) -> Owned | None:
        """Return a room that may be asked for something; `None` if it isn't here, or is about to leave."""
        owned = self._rooms.get(room)
        return None if owned is None or owned.isMoving else owned

    def generationOf(self, room: str) -> int:
        """Return the generation of a room; 0 if it isn't here. Called for volatile messages."""
        owned = self._rooms.get(room)
        return 0 if owned is None else owned.generation

    def add(self, owned: Owned) -> None:
        """Add a room that is being opened."""
        self._rooms[owned.host.id] = owned

    def remove(self, host: RoomHost) -> Owned | None:
        """Remove a room, and return it; `None` if this owner doesn't have it here."""
        owned = self._rooms.get(host.id)
        if owned is None or owned.host is not host:
            return None
        owned.isMoving = True
        return self._rooms.pop(host.id)
