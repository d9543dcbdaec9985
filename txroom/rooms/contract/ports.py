"""
The contract of edges, owners and engines.

An *edge* holds the sockets of clients. An *owner* runs a room and never touches a socket. An *engine* stands
between them: it finds rooms, creates them, decides which owner runs each, and carries everything between
edges and owners. In memory every crossing is a plain function call. An engine on top of a broker keeps rooms
in other processes and on other machines, behind the same five protocols; edges and owners see no difference.

**What crosses.** Ids, bytes, and the frozen structs of this package: `arrivals` and `commands` to the owner,
`items` to the edge, `records` to the journal, `listing` to matchmaking. Members, connections, callables,
exceptions and data that may still change never cross. For the same reason the user that `verifyClient`
returned (`Arrival.user`) and the options of a room are plain data, in memory too.

**Links.** An edge gives each of its attachments an unguessable id, the *link*. An owner addresses links and
not members: a member that resumes while its old connection is still open has two links for a moment, perhaps
on one edge.

**Joining.** An edge calls `Engine.attach` and gets a `Link` or a `Refused`. The items for this client,
`Joined` first, may reach the edge's `Outlet` before that answer.

**Order.** Recovery relies on these rules, which every engine keeps:

- The records that a `Journal` gets in one turn of the reactor are committed together, or none of them is.
- Items reach an edge in the order in which `Outlet.deliver` was called. Only volatile items may overtake
  others or get lost; an edge drops volatile items that arrive before `Joined`.
- Frames reach an owner in the order in which `Link.submit` was called.
- Listings are published in the order of `Engine.publish`.

**Errors.** Methods that return nothing don't raise, because callers use them in the middle of a state change.
Methods that return a `Deferred` fail only with `RoomError`, which is meant for the client.
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
    """The way from an edge to a room, for one client. The methods of a link that has ended do nothing."""

    #: The edge's id of the attachment. If the client was in the room already, it is the id of the earlier
    #: attachment; the edge then forgets the new one.
    id: str

    def submit(self, frame: Frame) -> None:
        """Pass on what the client sent."""

    def leave(self) -> None:
        """The client leaves. What it sent before is still handled."""

    def drop(self) -> None:
        """The client's connection is lost. The client may resume, on any edge."""


class Outlet(Protocol):
    """The way from rooms to an edge. It calls no hooks, so it may be called during a state change."""

    def deliver(self, item: Item, links: Sequence[str]) -> None:
        """Send an item to the clients of these links; an edge ignores links that it doesn't know."""

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        """End these links. The clients get `Left` with `code`, or nothing if `code` is 0."""


class Journal(Protocol):
    """
    The records of a room that must survive its owner. The owner gets its journal by `Engine.claim`.

    The journal calls `committed(count)` of the owner when records have been committed, in order; `count` is
    their number since the room was claimed. It calls `lost(code)` once, when the room has another owner.
    Records that are written after that are dropped.
    """

    #: Random; a new epoch means that the log started again from nothing.
    epoch: str
    #: The records of earlier owners.
    loaded: Loaded
    #: Whether a later owner can read the records. If not, nothing is written.
    isKept: bool

    def write(self, record: Record) -> None:
        """Commit `record` after all earlier ones."""

    def release(self) -> Deferred[None]:
        """The room has ended: delete its records."""


class Owner(Protocol):
    """The methods of an owner that its `Journal` calls."""

    def committed(self, count: int) -> None:
        """`count` records have been committed since the journal was claimed."""

    def lost(self, code: int) -> None:
        """The room has another owner, or its records are lost. Its clients get `Left` with `code`."""


class Engine(Protocol):
    """
    Connects edges and owners; one for each application of a process. In memory all Deferreds have fired.
    """

    def find(
        self,
        name: str,
        filter: Mapping[str, Any],
        onlyOpen: bool = False,
        order: Order = (),
        limit: int = 0,
    ) -> Deferred[list[Listing]]:
        """
        Find the rooms of a name that match a filter. The listings may be out of date.

        Args:
            name: The name that the rooms are registered under.
            filter: See `Listing.matches`.
            onlyOpen: Whether to leave out locked and full rooms. Private rooms are always left out.
            order: The order of the result; rooms that compare equal are sorted by age, the oldest first.
            limit: The most rooms to return; 0: any number.

        Returns:
            The listings.
        """

    def create(self, name: str, options: Mapping[str, Any]) -> Deferred[str]:
        """Create a room. Fires with its id when it is open; fails with `RoomError`."""

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """
        Join or resume. The room's items may reach `outlet` before the Deferred fires.

        If the room has lost its owner, the engine finds another one first, and all requests wait for that.
        """

    def reserve(self, room: str, user: Any, seconds: float | None) -> Deferred[str]:
        """Reserve a seat. Fires with its token once that is committed; fails with `RoomError`."""

    def claim(self, room: str, owner: Owner) -> Deferred[Journal]:
        """Become the owner of a room; fires with its journal."""

    def publish(self, listing: Listing) -> None:
        """Publish the listing of a room that is new or has changed."""
