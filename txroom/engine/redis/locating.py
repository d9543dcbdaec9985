"""
Which node has a room.

The index of listings says so, and is right as long as nothing has moved. If the node that it names doesn't
have the room, or is gone, the room's own fields in Redis decide.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, NamedTuple

import msgspec

from ...rooms.contract.listing import Listing
from .finding import Finder
from .here import Here
from .keys import Keys
from .lease import Lease, NodeState
from .resp import Commands


class AtNode(NamedTuple):
    """Another node has the room."""

    node: str


class Orphan(NamedTuple):
    """No node has the room, so this one may take it."""

    room: str
    application: str
    name: str
    age: int
    #: The token that the last owner had.
    token: str
    #: Whether the last owner died. If not, it has handed the room over.
    isDead: bool
    #: `None` if the room was never open, or its listing can't be read.
    listing: Listing | None
    #: Since when no node could open it, in seconds of Redis's clock; `None`: it isn't stranded.
    strandedSince: float | None = None
    #: Why its listing can't be read.
    unreadable: str = ""


class Where(Enum):
    """Other places."""

    HERE = auto()
    #: There is no such room.
    NOWHERE = auto()
    #: Redis can't be asked, or the room's node may still be alive: try again.
    UNKNOWN = auto()


Place = AtNode | Orphan | Where

_FIELDS = ("tok", "node", "app", "name", "age", "l", "stranded")
_readListing = msgspec.msgpack.Decoder(Listing).decode


class Locator:
    """
    Finds the nodes of rooms.

    Args:
        redis: The connection.
        keys: The names of keys.
        here: The rooms of this node.
        finder: The listings of all nodes.
        lease: The lease of this node, which knows the other nodes.
    """

    def __init__(
        self, redis: Commands, keys: Keys, node: str, here: Here, finder: Finder, lease: Lease
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._node = node
        self._here = here
        self._finder = finder
        self._lease = lease

    def guess(self, room: str) -> Place | None:
        """Return where the room is, if that is known without asking Redis."""
        if room in self._here:
            return Where.HERE
        known = self._finder.index.get(room)
        if known is None or known.listed.node == self._node:
            return None
        node = known.listed.node
        return AtNode(node) if self._lease.stateOf(node) is NodeState.ALIVE else None

    async def ask(self, room: str, notAt: str = "", given: str = "") -> Place:
        """
        Return where the room is by its fields in Redis.

        Args:
            room: The room's id.
            notAt: A node that has answered that the room isn't there.
            given: The token with which this node has given the room to another one that can't open it.
        """
        try:
            fields: list[Any] = await self._redis.ask("HMGET", self._keys.room(room).fields, *_FIELDS)
        except Exception:  # Redis can't be reached, or answers with an error
            return Where.UNKNOWN
        if room in self._here:
            return Where.HERE
        token, node, application, name, age, listing, stranded = fields
        if token is None:
            return self._missing(room, notAt)
        owner = (node or b"").decode()
        isDead = owner not in ("", self._node) and token.decode() != given
        if isDead:
            state = self._lease.stateOf(owner)
            if state is NodeState.ALIVE:
                self._finder.correct(room, owner)
                return AtNode(owner)
            if state is NodeState.WAITED:
                self._lease.renewNow()
                return Where.UNKNOWN
        readable, unreadable = _read(listing)
        return Orphan(
            room,
            (application or b"").decode(errors="replace"),
            (name or b"").decode(errors="replace"),
            int(age) if age and age.isdigit() else 0,
            token.decode(),
            isDead,
            readable,
            None if stranded is None else int(stranded) / 1000,
            unreadable,
        )

    def _missing(self, room: str, notAt: str) -> Place:
        """
        Redis doesn't have the room.

        If Redis has lost its data, the node that had the room founds it again. So that node is asked, unless
        it has said that it doesn't have the room.
        """
        known = self._finder.index.get(room)
        if known is not None:
            node = known.listed.node
            if node not in (self._node, notAt) and self._lease.stateOf(node) is not NodeState.GONE:
                return AtNode(node)
        self._finder.vanished(room)
        return Where.NOWHERE


def _read(listing: bytes | None) -> tuple[Listing | None, str]:
    """Return the listing, and why it can't be read."""
    try:
        return None if listing is None else _readListing(listing), ""
    except (msgspec.MsgspecError, UnicodeError) as error:
        return None, f"its listing can't be read: {error}"
