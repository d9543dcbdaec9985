"""
What the edge asks of others: how a client speaks, and what the names are that rooms are registered under.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ...core.message import Prepared
from ..contract.items import Item
from ..contract.listing import Order


class Dialect(Protocol):
    """
    How some clients speak, in both directions.

    One object serves all connections that speak so: items for many keep what it makes of them by which object
    it is.
    """

    #: Whether what its clients send to rooms is JSON; else it is MessagePack. Clients that speak JSON can't
    #: be sent bytes.
    isJSON: bool

    def decode(self, message: str | bytes) -> Any:
        """What a client has sent, as its session takes it. Raises `BadFrame`, and nothing else."""

    def frame(self, item: Item) -> Prepared | None:
        """
        The message that tells a client of `item`; `None`: clients that speak so are told nothing of it.

        It is called once for each item that may go to many clients, however many get it (`SharedItem`), and
        never for a `Replay`, of which each message is an item of its own.
        """

    def closeCode(self, code: int) -> int:
        """What a connection is closed with that a client of txroom's own would see closed with `code`."""


class Registered(Protocol):
    """A name that rooms are registered under, as matchmaking sees it."""

    name: str
    #: Whether clients may make rooms.
    clientsMayCreate: bool
    #: Which rooms are tried first.
    order: Order

    @property
    def seats(self) -> int:
        """How many clients a room is expected to take; 0: any number."""

    def optionsOf(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What a room is made with for a client that asks for this."""

    def filtersOf(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the options that rooms are filtered by."""

    def typed(self, options: Mapping[str, Any], isText: bool = False) -> dict[str, Any]:
        """The options, those that rooms are filtered by of the types that these have. Raises `RoomError`."""


class Registry(Protocol):
    """All names that rooms are registered under."""

    def find(self, name: str) -> Registered:
        """What is registered under a name. Raises `RoomError`."""

    def values(self) -> Iterable[Registered]:
        """What is registered."""
