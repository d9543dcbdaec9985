"""
The contract of edges, owners and engines.

An *edge* holds the sockets of clients. An *owner* runs a room and never touches a socket. An *engine* stands
between them: it finds rooms, creates them, decides which owner runs each, and carries everything between
edges and owners. In memory every crossing is a plain function call. An engine on top of a broker keeps rooms
in other processes and on other machines, behind the same protocols; edges and owners see no difference.

**What crosses.** Ids, bytes, and the frozen structs of this package: `arrivals`, `commands` and `asks` to the
owner, `items` to the edge, `records` to the journal, `listing` to matchmaking. Members, connections,
callables, exceptions and data that may still change never cross. For the same reason the user that
`verifyClient` returned (`Arrival.user`) and the options of a room are plain data, in memory too. The options
that a room was registered with don't cross: each process adds those of its own registration.

**Links.** An edge gives each of its attachments an unguessable id, the *link*. An owner addresses links and
not members: a member that resumes while its old connection is still open has two links for a moment, perhaps
on one edge.

**Joining.** An edge calls `Engine.attach` and gets a `Link` or a `Refused`. The items for this client,
`Joined` first, may reach the edge's `Outlet` before that answer.

**Creating or joining.** `Engine.make` creates a room that other requests with the same key may wait for. The
key names a making, not a room: it ends when the room is open, when it could not be created, when the process
that creates it is lost, or after `MAKING_SECONDS`.

**Order.** Recovery relies on these rules, which every engine keeps:

- The records that a `Journal` gets in one turn of the reactor are committed together, or none of them is.
- Items reach an edge in the order in which `Outlet.deliver` was called. Only volatile items may overtake
  others or get lost; an edge drops volatile items that arrive before `Joined`.
- Frames reach an owner in the order in which `Link.submit` was called.
- The requests of one session to attach to a room reach its owner in the order of `Engine.attach`.
- Listings are published in the order of `Engine.publish`.

**Errors.** Methods that return nothing don't raise, because callers use them in the middle of a state change.
Methods that return a `Deferred` fail only with `RoomError`, which is meant for the client. `Engine.ask` ends
within `ASK_SECONDS`. If the room could not be reached, it fails with `unavailable`, and `mayHaveHappened` in
the details of the error says whether the room may have done what was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from .arrivals import Join, Refused, Resume
from .asks import Command, Once
from .commands import Frame
from .items import Item
from .listing import Listing, Order
from .meters import EngineMeters
from .nodecalls import NodeCalls
from .nodes import ListedRoom, NodeInfo, StrandedRoom
from .notices import Notices
from .records import Loaded, Record

#: The most seconds that a request waits for a room that is created for another one.
MAKING_SECONDS = 15.0
#: The most seconds that `Engine.ask` takes.
ASK_SECONDS = 5.0
#: The message of the error for an id that no room has, and for a room too many.
NO_SUCH_ID = "there is no room of that id"
NO_MORE = "no more rooms of that name"


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
    #: How many owners the room has had, this one included; 0 if it can have only one. The refs of an owner's
    #: calls to clients begin at `generation << 32`, so that a late answer never meets the call of a later
    #: owner.
    generation: int
    #: The records of earlier owners.
    loaded: Loaded
    #: Whether a later owner can read the records. If not, nothing is written.
    isKept: bool

    def write(self, record: Record) -> None:
        """Commit `record` after all earlier ones."""

    def forget(self, offset: int) -> None:
        """
        The entries up to this offset aren't needed any more, besides those of `HistoryKept`. They may be
        deleted, now or later.
        """

    def handOver(self) -> Deferred[None]:
        """
        Give the room to the next node that asks for it, after all records have been committed.

        The owner then gets `lost` with 4101, unless the room can have only one owner; nothing happens then.
        """

    def release(self) -> Deferred[bool]:
        """Delete the records, since the room has ended. `False`: another owner has them, or may get them."""


class Owner(Protocol):
    """The methods of an owner that its `Journal` calls."""

    def committed(self, count: int) -> None:
        """`count` records have been committed since the journal was claimed."""

    def lost(self, code: int, reason: str = "") -> None:
        """
        The room has another owner, or its records are lost.

        Args:
            code: The code of the `Left` that its clients get.
            reason: Why, for the log; empty: what the code says.
        """

    def everything(self) -> Loaded:
        """Return the whole state of the room, to found it again where its records were lost."""

    def refounded(self, epoch: str) -> None:
        """
        The room is founded again, with what `everything` returns.

        Its members and reserved seats stay, and its log goes on in the new epoch. Its clients are detached
        with 4101, and when they resume, they get `recovered: false`.
        """

    def edgeGone(self, outlet: Outlet) -> None:
        """The edge is lost: drop all links through it. The members may resume."""


class RoomHost(Owner, Protocol):
    """An owner as its engine uses it."""

    id: str
    #: The name under which it was registered.
    name: str

    @property
    def listing(self) -> Listing:
        """The listing of the room now."""

    @property
    def connected(self) -> int:
        """How many clients are connected to the room, or are joining it."""

    async def open(self, once: Once | None = None) -> None:
        """
        Claim the room and let clients join.

        Args:
            once: The key of the request that creates the room, if it has one.

        Raises:
            RoomError: The room can't be opened.
        """

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """Join or resume; a room that is not open yet is waited for."""

    async def move(self, mustSave: bool = False) -> bool:
        """
        Prepare the room for its next owner, before its journal is handed over: nothing more is handled or
        logged then, and what is still running is cancelled after half a second.

        Args:
            mustSave: Whether the room stays as it is if it can't be saved.

        Returns:
            Whether the room may be handed over: it doesn't end, and wasn't lost.

        Raises:
            HandoverFailed: The room can't be saved, and goes on.
        """

    def ask(self, command: Command, seconds: float = ASK_SECONDS) -> Deferred[Any]:
        """
        Carry out a command; fires with plain data. A room that is not open yet is waited for, for so many
        seconds, after which the command is not carried out.
        """


class HostFactory(Protocol):
    """Makes the owners of rooms for an engine; a `RoomApplication` does."""

    @property
    def registrations(self) -> Mapping[str, object]:
        """What is registered, by the names of rooms."""

    def maxRooms(self, name: str) -> int:
        """Return the most rooms of a name (0: any number). Raises `RoomError` if no room has that name."""

    def makeHost(self, room: str, name: str, options: Mapping[str, Any]) -> RoomHost:
        """
        Make the owner of a room.

        Args:
            room: The room's id.
            name: The name under which the room is registered.
            options: The options that were given when the room was created, as plain data.

        Raises:
            RoomError: The name isn't registered, the server is shutting down, or the room can't be made.
        """

    def setServing(self, isServing: bool) -> None:
        """
        Say whether the engine can serve rooms here. If not, and that has lasted for a while, clients are
        disconnected and refused, so that they connect to another node.
        """

    def hostEnded(self, host: RoomHost) -> None:
        """An owner has ended, or has lost its room."""


class Made(NamedTuple):
    """The result of `Engine.make`."""

    #: The room's id; `None`: the room that this request waited for could not be created.
    room: str | None
    #: Whether the room was created for this request.
    isCreator: bool


class Engine(Protocol):
    """
    Connects edges and owners; one for each application of a process. In memory all Deferreds have fired.
    """

    #: The id of the node of this process, for the log; empty if it has no other nodes.
    nodeId: str

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

    def listed(self, name: str) -> Deferred[list[ListedRoom]]:
        """Return all rooms of a name, private ones too, with their nodes. The listings may be out of date."""

    def create(self, name: str, options: Mapping[str, Any], once: Once | None = None) -> Deferred[str]:
        """
        Create a room.

        Args:
            name: The name that the room is registered under.
            options: Its options.
            once: If it is given, the id of the room is `keyedRoom(name, once.key)`.

        Returns:
            A Deferred of the room's id, which fires when the room is open. It fails with `RoomError`: `full`
            if there are as many rooms of the name as there may be; with a key, `unavailable` if there is a
            room of that id (see `running`), and for a day after it has ended `roomGone`.
        """

    def make(
        self,
        name: str,
        options: Mapping[str, Any],
        key: str | None,
        seats: int,
        mayCreate: Callable[[], None],
        tried: Collection[str] = (),
    ) -> Deferred[Made]:
        """
        Create a room for a client, or wait for one that is being created for another client.

        Args:
            name: The name that the room is registered under.
            options: Its options.
            key: Requests with the same name and key may wait for one another's rooms; `None`: this request
                waits for none, and none waits for it.
            seats: The number of clients that the room is expected to take (0: any number). All of them but
                one may wait for it.
            mayCreate: Called before a room is created; raises `RoomError` to prevent that.
            tried: The rooms that have refused the client, which it doesn't get again.

        Returns:
            A Deferred that fires when the room is open, first for the client that it was created for, so that
            this one gets a seat. It fails with `RoomError` if the room was to be
            created for this request, and could not be.
        """

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """
        Join or resume. The room's items may reach `outlet` before the Deferred fires. If the room has lost
        its owner, the engine finds another one first, and all requests wait for that.
        """

    def ask(self, room: str, command: Command) -> Deferred[Any]:
        """Let a room carry out a command; fires with plain data, or fails with `RoomError`."""

    def claim(self, room: str, owner: Owner) -> Deferred[Journal]:
        """Become the owner of a room; fires with its journal."""

    def publish(self, listing: Listing) -> None:
        """Publish the listing of a room that is new or has changed."""


class HandoverFailed(Exception):
    """Another node could not take over a room, so that this node can't leave."""


class NoTakers(HandoverFailed):
    """
    All nodes that should get the rooms leave too, so that the rooms stay where they are.

    Attributes:
        given: How many rooms were given away before that.
    """

    def __init__(self, given: int) -> None:
        super().__init__("all nodes that should get the rooms leave too")
        self.given = given


class EngineService(Protocol):
    """The engine of a whole server: what `Server(engine=...)` takes."""

    @property
    def notices(self) -> Notices:
        """The notifications of users."""

    @property
    def nodeCalls(self) -> NodeCalls:
        """What the servers ask one another."""

    @property
    def meters(self) -> EngineMeters:
        """What the engine has counted."""

    def rooms(self, application: str, factory: HostFactory) -> Engine:
        """
        Return the engine for the rooms of one application.

        Args:
            application: The key of the application. It is the same in all processes that serve its rooms.
            factory: Makes the owners of its rooms.
        """

    def start(self, clock: IReactorTime, failed: Callable[[Exception], None]) -> Deferred[None]:
        """
        Start. The server listens when the Deferred has fired; if that fails, it doesn't start.

        Args:
            clock: The server's clock.
            failed: Called if the engine has started, and later can't go on. The server then stops.

        Raises:
            Exception: The engine can't start, and knows that at once.
        """

    def leave(self, nodes: Sequence[str]) -> Deferred[int]:
        """
        Give all rooms to other nodes, and open no more. Clients that ask for a new room wait.

        Args:
            nodes: The ids of the nodes that get the rooms.

        Returns:
            A Deferred of the number of rooms that were given away. It fails with `HandoverFailed` if a node
            can't be reached or can't open a room, and with `NoTakers` if all of these nodes leave too; rooms
            are then opened here as before.
        """

    def stay(self) -> None:
        """Open rooms again after `leave`."""

    def handOver(self) -> Deferred[None]:
        """
        Give all rooms to other nodes, since this server is stopping. From now on no rooms are created here.

        Called when the server has closed its connections, before its rooms are disposed of.
        """

    def stop(self) -> Deferred[None]:
        """Stop. Called when no room is left. The engine may be started again."""

    def nodes(self) -> list[NodeInfo]:
        """Return the nodes that are alive, this one first; none while it isn't running."""

    def stranded(self) -> list[StrandedRoom]:
        """Return the rooms that this server could not open, and that no other server has."""

    def nodeEnded(self, node: str) -> None:
        """The process of another node has ended, as the caller knows: take over its rooms now."""

    def health(self) -> str | None:
        """Return what is wrong, in a few words, so that load balancers send no clients; `None`: nothing."""
