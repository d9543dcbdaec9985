"""
The protocols of what the edge uses: dialects, and the registry of room names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ...core.message import Prepared
from ..contract.items import Item
from ..contract.listing import Order


class Dialect(Protocol):
    """
    Translates between the messages of some kind of client and the commands and items of rooms.

    Use one object for all connections of that kind: items that go to many clients keep one frame for each
    dialect object.
    """

    #: Whether the data that its clients send to rooms is JSON; if not, it is MessagePack. Clients that speak
    #: JSON can't be sent bytes.
    isJSON: bool

    def decode(self, message: str | bytes) -> Any:
        """
        Decode a message of a client, for its session.

        Raises:
            BadFrame: The message can't be decoded. Nothing else is raised.
        """

    def frame(self, item: Item) -> Prepared | None:
        """
        Build the message for an item.

        Called once for each `SharedItem`, however many clients get it, and each time for other items. Never
        called for a `Replay`; its messages are items themselves.

        Returns:
            The message; `None` if clients of this dialect get none.
        """

    def closeCode(self, code: int) -> int:
        """Return the close code for clients of this dialect that means what `code` means to txroom's own."""


class Registered(Protocol):
    """The registration of a room name, as matchmaking uses it."""

    name: str
    #: Whether clients may create rooms.
    clientsMayCreate: bool
    #: Which rooms are tried first.
    order: Order

    @property
    def seats(self) -> int:
        """The number of clients that a room is expected to take; 0: any number."""

    def optionsOf(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a room that is created for a client with these options."""

    def filtersOf(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that rooms are filtered by."""

    def typed(self, options: Mapping[str, Any], isText: bool = False) -> dict[str, Any]:
        """Return the options, with filtered ones converted to their types. Raises `RoomError`."""


class Registry(Protocol):
    """The registrations of all room names."""

    def find(self, name: str) -> Registered:
        """Return the registration of a name. Raises `RoomError`."""

    def values(self) -> Iterable[Registered]:
        """Return all registrations."""
