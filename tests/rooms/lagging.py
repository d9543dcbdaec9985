"""
An engine as unpleasant as one may be: everything that crosses is serialised, takes its time, and overtakes
where it may; journals commit in batches, later; owners, edges and what is stored get lost. Several of these
engines, each with a registry of its own, are the processes of one cluster.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.rooms.laggingjournal import Channel, LaggingJournal, Stored, crossed
from txroom.core.codes import CloseCode, ErrorCode
from txroom.engine.makings import Makings
from txroom.protocol.errors import RoomError
from txroom.rooms.contract.arrivals import Join, Refused, Resume
from txroom.rooms.contract.asks import Command, Once, ended, keyedRoom, running
from txroom.rooms.contract.listing import Listing, Order
from txroom.rooms.contract.nodes import ListedRoom
from txroom.rooms.contract.ports import Link, Made
from txroom.rooms.hooks import runCoroutine
from txroom.rooms.matching import placeOf
from txroom.rooms.owner.host import Host


class LaggingOutlet:
    """Carries items to one edge."""

    #: Whether owners know that the edge is lost.
    isGone = False

    def __init__(self, edge: Any, channel: Channel) -> None:
        self._edge = edge
        self._channel = channel

    def deliver(self, item: Any, links: Sequence[str]) -> None:
        way = self._channel.stray if item.isVolatile else self._channel.deliver
        way(self._edge.deliver, crossed(item), list(links))

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        self._channel.deliver(self._edge.detach, list(links), int(code), reason)


class LaggingLink:
    """Carries frames to one room, until the edge is lost."""

    def __init__(self, link: Link, channel: Channel, edge: Edge) -> None:
        self._link = link
        self._channel = channel
        self._edge = edge
        self.id = link.id

    def submit(self, frame: Any) -> None:
        self._deliver(self._link.submit, crossed(frame))

    def leave(self) -> None:
        self._deliver(self._link.leave)

    def drop(self) -> None:
        self._deliver(self._link.drop)

    def _deliver(self, function: Callable[..., None], *args: Any) -> None:
        if not self._edge.isLost:
            self._channel.deliver(function, *args)


class Edge:
    """The edge of one process, until it is lost."""

    isLost = False

    def __init__(self) -> None:
        self.outlets: dict[Any, LaggingOutlet] = {}


class LaggingCluster:
    """What the processes have in common."""

    def __init__(self, clock: IReactorTime, random: Random, slowest: float) -> None:
        self.clock = clock
        self.random = random
        self.slowest = slowest
        self.engines: list[LaggingEngine] = []
        self.stored: dict[str, Stored] = {}
        self.listings: dict[str, Listing] = {}
        self.ways: dict[str, Channel] = {}
        #: The rooms that were created by a request with a key, and have ended.
        self.graves: set[str] = set()
        self.age = 0

    def channel(self) -> Channel:
        """A new one."""
        return Channel(self.clock, self.random, self.slowest)

    def later(self, function: Callable[..., Any], *args: Any) -> None:
        """At some time."""
        self.clock.callLater(self.random.uniform(0, self.slowest), function, *args)

    @property
    def hosts(self) -> dict[str, Host]:
        """All owners, by the ids of their rooms."""
        return {room: host for engine in self.engines for room, host in engine.hosts.items()}

    def ownerOf(self, room: str) -> Host | None:
        """The owner; if there is none, a process becomes it."""
        host = self.hosts.get(room)
        stored = self.stored.get(room)
        if host is None and stored is not None and stored.owner is None and stored.listing is not None:
            engine = self.random.choice(self.engines)
            opened = engine.open(room, stored.listing.name, crossed(stored.listing.options, dict[str, Any]))
            opened.addErrback(lambda failure: failure.trap(RoomError))
            host = engine.hosts.get(room)
        return host


class LaggingEngine:
    """
    See the module. `factory` runs the rooms, as for `MemoryEngine`; without a `cluster` this is the only
    process of one.
    """

    def __init__(
        self,
        factory: Any,
        clock: IReactorTime,
        random: Random,
        slowest: float = 0.01,
        cluster: LaggingCluster | None = None,
    ) -> None:
        self._factory = factory
        self.clock = clock
        self.cluster = cluster or LaggingCluster(clock, random, slowest)
        self.cluster.engines.append(self)
        self.hosts: dict[str, Host] = {}
        self._edge = Edge()
        self.nodeId = ""
        self._makings = Makings()

    @property
    def stored(self) -> dict[str, Stored]:
        """What is stored of each room."""
        return self.cluster.stored

    def channel(self) -> Channel:
        """A new one."""
        return self.cluster.channel()

    def _delayed(self, work: Deferred[Any]) -> Deferred[Any]:
        """The same result, later."""
        outcome: Deferred[Any] = Deferred()
        work.addBoth(lambda result: self.cluster.later(outcome.callback, result))
        return outcome

    def find(
        self,
        name: str,
        filter: Mapping[str, Any],
        onlyOpen: bool = False,
        order: Order = (),
        limit: int = 0,
    ) -> Deferred[list[Listing]]:
        found = [
            one
            for one in self.cluster.listings.values()
            if one.name == name and one.matches(filter) and (one.isOpen or not (onlyOpen or one.isPrivate))
        ]
        found = sorted(found, key=lambda one: placeOf(one, order))[: limit or None]
        return self._delayed(succeed([crossed(listing) for listing in found]))

    def listed(self, name: str) -> Deferred[list[ListedRoom]]:
        found = [ListedRoom(each, "local") for each in self.cluster.listings.values() if each.name == name]
        return self._delayed(succeed(found))

    def create(self, name: str, options: Mapping[str, Any], once: Once | None = None) -> Deferred[str]:
        room = secrets.token_urlsafe(9) if once is None else keyedRoom(once.key)
        try:
            if room in self.stored:
                raise running()
            if room in self.cluster.graves:
                raise ended()
            most = self._factory.maxRooms(name)
            if 0 < most <= sum(host.name == name for host in self.cluster.hosts.values()):
                raise RoomError(ErrorCode.FULL, "no more rooms of that name")
        except RoomError as error:
            return self._delayed(fail(error))
        work = self.open(room, name, crossed(dict(options), dict[str, Any]), once)
        return self._delayed(work.addCallback(lambda _: room))

    def make(
        self,
        name: str,
        options: Mapping[str, Any],
        key: str | None,
        seats: int,
        mayCreate: Callable[[], None],
        tried: Collection[str] = (),
    ) -> Deferred[Made]:
        def made(result: Made) -> Any:
            # The client that the room was made for comes first.
            return (
                result if result.isCreator else deferLater(self.clock, self.cluster.slowest, lambda: result)
            )

        making = self._makings.make(name, key, seats, mayCreate, lambda: self.create(name, options))
        return making.addCallback(made)

    def open(
        self, room: str, name: str, options: Mapping[str, Any], once: Once | None = None
    ) -> Deferred[None]:
        """Own a room in this process."""
        try:
            host = self._factory.makeHost(room, name, options)
        except RoomError as error:
            return fail(error)
        self.hosts[room] = host

        def failed(failure: Failure) -> Failure:
            if self.hosts.get(room) is host:  # it has never had the room
                del self.hosts[room]
            return failure

        return runCoroutine(host.open(once)).addErrback(failed)

    def attach(self, outlet: Any, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """Requests of one client arrive in any order."""
        edge = self._edge
        if outlet not in edge.outlets:
            edge.outlets[outlet] = LaggingOutlet(outlet, self.channel())
        outcome: Deferred[Link | Refused] = Deferred()
        self.cluster.later(self._attach, edge, edge.outlets[outlet], crossed(arrival), outcome)
        return outcome

    def _attach(
        self, edge: Edge, outlet: LaggingOutlet, arrival: Join | Resume, outcome: Deferred[Link | Refused]
    ) -> None:
        async def attach() -> Any:
            host = self.cluster.ownerOf(arrival.room)
            if host is None:
                return Refused(ErrorCode.NO_SUCH_ROOM)
            result = await host.attach(outlet, arrival)
            return (
                crossed(result) if isinstance(result, Refused) else LaggingLink(result, self.channel(), edge)
            )

        if not outlet.isGone:
            work = self._delayed(Deferred.fromCoroutine(attach()))
            work.addCallbacks(outcome.callback, outcome.errback)

    def ask(self, room: str, command: Command) -> Deferred[Any]:
        asked = self._later(room, lambda host: host.ask(crossed(command)))
        return asked.addCallback(lambda answer: crossed(answer, Any))

    def _later(self, room: str, function: Callable[[Host], Deferred[Any]]) -> Deferred[Any]:
        """Call the owner of a room."""

        async def work() -> Any:
            host = self.cluster.ownerOf(room)
            if host is None:
                raise RoomError(ErrorCode.NO_SUCH_ROOM)
            return await function(host)

        outcome: Deferred[Any] = Deferred()
        self.cluster.later(lambda: self._delayed(Deferred.fromCoroutine(work())).chainDeferred(outcome))
        return outcome

    def claim(self, room: str, owner: Any) -> Deferred[Any]:
        stored = self.stored.setdefault(room, Stored(self.clock))
        return self._delayed(succeed(LaggingJournal(self, room, owner, stored)))

    def publish(self, listing: Listing) -> None:
        cluster = self.cluster
        cluster.age += 1
        before = cluster.listings.get(listing.room)
        age = cluster.age if before is None else before.age
        way = cluster.ways.setdefault(listing.room, self.channel())
        way.deliver(self._published, crossed(replace(listing, age=age)))

    def _published(self, listing: Listing) -> None:
        if listing.room in self.stored:
            self.cluster.listings[listing.room] = listing

    def ended(self, room: str, host: Host) -> None:
        stored = self.stored.pop(room, None)
        if stored is not None:
            stored.owner = None
            if stored.createdBy is not None:
                self.cluster.graves.add(room)
        self.hosts.pop(room, None)
        self.cluster.listings.pop(room, None)
        self._factory.hostEnded(host)

    def freed(self, journal: LaggingJournal) -> None:
        """The room of a journal has no owner any more."""
        journal.stored.owner = None
        if self.hosts.get(journal.room) is journal.host:
            del self.hosts[journal.room]
            self._factory.hostEnded(journal.host)

    # -- what goes wrong

    def _journalOf(self, room: str) -> LaggingJournal | None:
        stored = self.stored.get(room)
        return None if stored is None else stored.owner

    def loseOwner(self, room: str, isApplied: bool, isTold: bool = True) -> None:
        """
        The room's owner is cut off; it learns of it when it next commits, or soon if it `isTold`.

        `isApplied`: its last batch is committed, and only that it doesn't hear of it.
        """
        journal = self._journalOf(room)
        if journal is None:
            return
        journal.close()
        while journal.pending and (isApplied or journal.isFounding):
            isApplied = False
            journal.applyNext()
        journal.pending.clear()
        for engine in self.cluster.engines:
            engine.freed(journal)
        if isTold:
            self.cluster.later(journal.host.lost, CloseCode.ROOM_MOVED)

    def renewEpoch(self, room: str) -> None:
        """The records of a room may have lost their tail, so that the next owner begins a new epoch."""
        self.stored[room].epoch = secrets.token_urlsafe(6)

    def handOver(self, room: str) -> None:
        """The process of the owner is to stop."""
        journal = self._journalOf(room)
        if journal is not None:
            journal.handOver()

    def refound(self, room: str) -> None:
        """What was stored of a room is lost, but its owner is there."""
        journal = self._journalOf(room)
        if journal is not None and journal.isRead:
            journal.refound()

    def stall(self, room: str, seconds: float) -> None:
        """Nothing of a room is committed for a while."""
        journal = self._journalOf(room)
        if journal is not None:
            journal.channel.stall(seconds)

    def loseEdge(self) -> None:
        """
        This process reaches no room any more by what it has attached; owners learn of it some time later.

        Its connections are lost too, which is the caller's business.
        """
        edge, self._edge = self._edge, Edge()
        edge.isLost = True
        self.cluster.later(self._edgeGone, edge)

    def _edgeGone(self, edge: Edge) -> None:
        for outlet in edge.outlets.values():
            outlet.isGone = True
            for host in self.cluster.hosts.values():
                host.edgeGone(outlet)
