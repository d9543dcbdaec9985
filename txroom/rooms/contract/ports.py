"""
The contract of edges, owners and engines.

An *edge* holds the sockets of clients. An *owner* runs a room, and has never seen a socket. An *engine*
stands between them: it finds rooms, makes them, says who owns each, and carries what the two say to each
other. In memory every crossing is a plain call. An engine on top of a broker keeps rooms in other processes
and on other machines, with the same five protocols; neither edges nor owners can tell.

**What crosses.** Ids, bytes, and the frozen structs of this package: `arrivals` and `commands` towards the
owner, `items` towards the edge, `records` to the journal, `listing` to whoever looks for a room. Never a
member, a connection, a callable, an exception, or data that somebody may still change. What a client's
`verifyClient` accepted it as (`Arrival.user`) and the options of a room are plain data for the same reason,
in memory too.

**Links.** An edge gives each of its attachments to a room an id that nobody can guess, the *link*. An owner
addresses links and not members, since a member that comes with a new connection while the old one is still
open has two of them for a moment, perhaps on one edge.

**Joining.** An edge asks by `Engine.attach` and gets a `Link` or a `Refused`. What the room emits for this
client, `Joined` first, may come to the edge's `Outlet` before that answer.

**Order.** These rules make recovery sound, and every engine keeps them:

- The records that a `Journal` gets in one turn of the reactor are committed together, or none of them is.
- Items come to an edge in the order in which `Outlet.deliver` was called. Only volatile ones may overtake
  others or get lost; an edge drops those that come before `Joined`.
- Frames come to an owner in the order in which `Link.submit` was called.
- Listings are published in the order of `Engine.publish`.

**Failing.** Methods that return nothing don't raise: whoever calls them is in the middle of something. Those
that return a `Deferred` fail with `RoomError`, which is meant for the client, and with nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from .arrivals import Join, Refused, Resume
from .commands import Frame
from .items import Item
from .listing import Listing, Order
from .records import Loaded, Record


class Link(Protocol):
    """From an edge to a room, for one client. A link that has ended does nothing."""

    #: The edge's id of the attachment. It is that of an earlier one if the client was in the room already: an
    #: edge that gets such a link forgets the attachment that it has asked for.
    id: str

    def submit(self, frame: Frame) -> None:
        """The client said something."""

    def leave(self) -> None:
        """The client is gone for good. What it said before is still handled."""

    def drop(self) -> None:
        """The client's connection is lost. It may resume, from any edge."""


class Outlet(Protocol):
    """From the rooms to an edge. Calls no hooks, so that it may be called in the middle of anything."""

    def deliver(self, item: Item, links: Sequence[str]) -> None:
        """Send an item to the clients of those links; an edge ignores links that it doesn't have."""

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        """Those links have ended. The clients are told `left` with `code`; 0: they are told nothing."""


class Journal(Protocol):
    """
    What a room must not forget. Its owner has one, from `Engine.claim` on.

    It tells its owner `committed(count)`, the number of records that are committed since it was claimed, in
    order; and once `lost(code)`, when the room has another owner. What is written after that is forgotten.
    """

    #: Random; a new one means that the log began anew.
    epoch: str
    #: What earlier owners have left.
    loaded: Loaded
    #: Whether another owner finds what is written. If not, a room writes nothing.
    isKept: bool

    def write(self, record: Record) -> None:
        """Commit `record`, after those before."""

    def release(self) -> Deferred[None]:
        """The room has ended: forget it."""


class Owner(Protocol):
    """What a `Journal` tells the owner of its room."""

    def committed(self, count: int) -> None:
        """So many records are committed since the journal was claimed."""

    def lost(self, code: int) -> None:
        """The room has another owner, or its state is lost: its clients are told `code`."""


class Engine(Protocol):
    """What carries rooms; one for each application in a process. In memory all Deferreds have fired."""

    def find(
        self,
        name: str,
        filter: Mapping[str, Any],
        onlyOpen: bool = False,
        order: Order = (),
        limit: int = 0,
    ) -> Deferred[list[Listing]]:
        """
        The rooms of a name that match a filter. They are hints: all may be different when somebody comes.

        Args:
            name: What the rooms are registered as.
            filter: See `Listing.matches`.
            onlyOpen: Whether those are left out that are locked or full. Private ones always are.
            order: Which are first; where it says nothing, the oldest.
            limit: The most that are wanted; 0: any number.
        """

    def create(self, name: str, options: Mapping[str, Any]) -> Deferred[str]:
        """Make a room; its id, when it has begun. Fails with `RoomError`."""

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
        """A room has changed, or is new."""
