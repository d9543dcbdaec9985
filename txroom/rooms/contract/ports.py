"""
The seam between the edge, which holds a client's socket, and the owner, which runs a room.

What crosses it are ids, bytes and the frozen structs of this module; never a member, a connection, a
callable or live data. An engine carries it: in memory each crossing is a plain call; with the same four
protocols rooms live in other processes and on other machines.

An edge gives each of its attachments to a room an unguessable id, the *link*. The owner addresses the
links, not the members, since during a takeover one member has two of them on one edge.

These rules make recovery sound, and every engine keeps them:

- The records that a `Journal` gets in one turn of the reactor are committed together, or none of them.
- Items reach an edge in the order in which `Outlet.deliver` was called; only volatile ones may overtake
  or get lost, and the edge drops those that come before `Joined`.
- Frames reach the owner in the order in which `Link.submit` was called, and listings are published in
  the order of `Engine.publish`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred

from ...protocol.plain import NIL as NIL
from .arrivals import Join, Refused, Resume
from .commands import Frame
from .items import Item
from .listing import Listing, Order
from .records import Loaded, Record

if TYPE_CHECKING:
    pass


# -- edge to owner: how a client comes


# -- edge to owner: what a client says. The data is in the client's dialect (`Arrival.isJSON`).


# -- owner to edge: what a room emits. Payloads are MessagePack.


# -- what is known of rooms


# -- the journal


class Journal(Protocol):
    """
    What a room must not forget; one for each room that is owned.

    It tells its host `committed(count)`, the number of records committed since it was claimed, in order,
    and `lost(code)` once when the room has another owner; what is written after that is forgotten.
    """

    #: Random; a new one means that the log began anew.
    epoch: str
    loaded: Loaded

    def write(self, record: Record) -> None:
        """Commit `record` after those before."""

    def release(self) -> Deferred[None]:
        """The room has ended: forget it."""


class Owner(Protocol):
    """What a `Journal` tells its host."""

    def committed(self, count: int) -> None:
        """So many records are committed since the journal was claimed."""

    def lost(self, code: int) -> None:
        """The room has another owner, or its state is lost: tell the clients `code`."""


class Link(Protocol):
    """From an edge to a room, for one client; none of its methods raises."""

    #: The edge's id of the attachment; that of an earlier one, if the client was in the room already.
    id: str

    def submit(self, frame: Frame) -> None:
        """The client said something."""

    def leave(self) -> None:
        """The client is gone for good."""

    def drop(self) -> None:
        """The client's connection is lost; it may resume."""


class Outlet(Protocol):
    """From the rooms to an edge."""

    def deliver(self, item: Item, links: Sequence[str]) -> None:
        """Send an item to the clients of those links; unknown ones are ignored. Calls no hooks."""

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        """Those links have ended: tell the clients `left` with `code`; 0: tell them nothing."""


class Engine(Protocol):
    """What carries rooms; one for each application in a process. The Deferreds have fired, in memory."""

    def find(
        self,
        name: str,
        filter: Mapping[str, Any],
        onlyOpen: bool = False,
        order: Order = (),
        limit: int = 0,
    ) -> Deferred[list[Listing]]:
        """
        The rooms of that name that match, or the open ones of them, in that order; hints only.

        At most `limit` (0: any number); no private ones.
        """

    def create(self, name: str, options: Mapping[str, Any]) -> Deferred[str]:
        """Make a room; its id. Fails with `RoomError`."""

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """
        Join or resume. What the room emits may reach `outlet` before this fires.

        If the room has lost its owner it gets another first, and whoever else comes waits for that.
        """

    def reserve(self, room: str, user: Any, seconds: float | None) -> Deferred[str]:
        """Keep a seat; its token, once that can't get lost any more. Fails with `RoomError`."""

    def claim(self, room: str, owner: Owner) -> Deferred[Journal]:
        """Become the owner of a room."""

    def publish(self, listing: Listing) -> None:
        """A room has changed."""
