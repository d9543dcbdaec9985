"""
The engine for rooms within one process: every crossing is a plain function call, and nothing is serialised.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ..core.codes import CloseCode, ErrorCode
from ..protocol.errors import RoomError
from ..rooms.contract.arrivals import Join, Refused, Resume
from ..rooms.contract.asks import Command, Once, ended, keyedRoom, running
from ..rooms.contract.listing import Listing, Order
from ..rooms.contract.meters import EngineMeters
from ..rooms.contract.nodecalls import noAnswerer, nodeUnanswered
from ..rooms.contract.nodes import ListedRoom, NodeInfo, StrandedRoom
from ..rooms.contract.ports import (
    NO_MORE,
    NO_SUCH_ID,
    HandoverFailed,
    HostFactory,
    Journal,
    Link,
    Made,
    Outlet,
    Owner,
    RoomHost,
)
from ..rooms.contract.records import Loaded, Record
from ..rooms.hooks import runCoroutine
from .listings import Listings
from .makings import Makings
from .notices import MemoryNotices

#: The id of the only node.
ONLY_NODE = "local"
#: For how many seconds, and of how many rooms at most, it is remembered that a room has ended whose key may
#: be used again.
KEPT_SECONDS, MAX_GRAVES = 86400.0, 10_000


class Before(NamedTuple):
    """What the earlier owners of a room have left: of a new room, nothing."""

    generation: int = 0
    epoch: str = ""
    loaded: Loaded = Loaded()


class MemoryJournal:
    """A journal that keeps nothing, since the room ends with its process."""

    __slots__ = ("_count", "_engine", "_owner", "_room", "epoch", "generation", "loaded")

    isKept = False

    def __init__(self, engine: MemoryRooms, room: str, owner: Owner, before: Before) -> None:
        self._engine = engine
        self._room = room
        self._owner = owner
        self._count = 0
        self.epoch = before.epoch or secrets.token_urlsafe(9)
        self.generation = before.generation
        self.loaded = before.loaded

    def write(self, record: Record) -> None:
        """Commit a record at once."""
        self._count += 1
        self._owner.committed(self._count)

    def forget(self, offset: int) -> None:
        """Do nothing, since no entry is kept."""

    def handOver(self) -> Deferred[None]:
        """Do nothing, since there is no other node."""
        return succeed(None)

    def release(self) -> Deferred[bool]:
        """Remove the room from the engine."""
        self._engine.ended(self._room)
        return succeed(True)


class MemoryNodeCalls:
    """The questions of the only node to itself; its `NodeCalls`."""

    def __init__(self) -> None:
        #: See `NodeCalls.answerer`.
        self.answerer: Callable[[str, bytes], Deferred[bytes]] = noAnswerer

    def ask(self, node: str, name: str, args: bytes) -> Deferred[bytes]:
        """Answer a question; see `NodeCalls.ask`."""
        return self.answerer(name, args) if node == ONLY_NODE else fail(nodeUnanswered(False))


class MemoryEngine:
    """The engine of a server that alone has its rooms: the default of `Server`."""

    def __init__(self) -> None:
        self._ages = count(1)
        self._clock: IReactorTime | None = None
        #: The notifications of users; see `EngineService.notices`.
        self.notices = MemoryNotices()
        #: What the only node asks itself; see `EngineService.nodeCalls`.
        self.nodeCalls = MemoryNodeCalls()

    @property
    def meters(self) -> EngineMeters:
        """What was counted; see `EngineService.meters`."""
        notices = self.notices
        return EngineMeters(noticesQueued=notices.queued, noticesDropped=notices.dropped)

    def rooms(self, application: str, factory: HostFactory) -> MemoryRooms:
        """Return the engine for one application; see `EngineService.rooms`."""
        return MemoryRooms(factory, self._ages, lambda: 0.0 if self._clock is None else self._clock.seconds())

    def start(self, clock: IReactorTime, failed: Callable[[Exception], None]) -> Deferred[None]:
        """Start at once."""
        self._clock = clock
        self.notices.begin(clock)
        return succeed(None)

    def leave(self, nodes: Sequence[str]) -> Deferred[int]:
        """Fail, since there is no other node."""
        return fail(HandoverFailed("the rooms of this server live in its memory"))

    def stay(self) -> None:
        """Do nothing, since this server can't leave."""

    def handOver(self) -> Deferred[None]:
        """Do nothing, since there is no other node."""
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Stop at once."""
        return succeed(None)

    def nodes(self) -> list[NodeInfo]:
        """Return the only node."""
        return [NodeInfo(ONLY_NODE, socket.gethostname(), os.getpid())]

    def nodeEnded(self, node: str) -> None:
        """Do nothing, since there is no other node."""

    def stranded(self) -> list[StrandedRoom]:
        """Return nothing, since a room that can't be opened has never been one."""
        return []

    def health(self) -> str | None:
        """Return `None`, since nothing can be wrong."""
        return None


class MemoryRooms:
    """
    The rooms of one application, all in this process; its `Engine`.

    Args:
        factory: Makes the owners of the rooms.
        ages: The ages of new rooms.
        now: Returns the time, in seconds.
    """

    nodeId = ""

    def __init__(
        self,
        factory: HostFactory,
        ages: Iterator[int] | None = None,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._factory = factory
        self._hosts: dict[str, RoomHost] = {}
        #: The number of rooms of each name.
        self._counts: Counter[str] = Counter()
        self._listings = Listings()
        self._makings = Makings()
        self._ages = count(1) if ages is None else ages
        #: The rooms that have had another owner.
        self._before: dict[str, Before] = {}
        self._now = now
        #: The rooms that were created by a request with a key; and when those of them have ended that did so
        #: within a day.
        self._keyed: set[str] = set()
        self._graves: OrderedDict[str, float] = OrderedDict()

    def find(
        self,
        name: str,
        filter: Mapping[str, Any],
        onlyOpen: bool = False,
        order: Order = (),
        limit: int = 0,
    ) -> Deferred[list[Listing]]:
        """Find rooms; see `Engine.find`."""
        return succeed(self._listings.find(name, filter, onlyOpen, order, limit))

    def listed(self, name: str) -> Deferred[list[ListedRoom]]:
        """Return all rooms of a name; see `Engine.listed`."""
        return succeed([ListedRoom(each, ONLY_NODE) for each in self._listings.named(name)])

    def create(self, name: str, options: Mapping[str, Any], once: Once | None = None) -> Deferred[str]:
        """Create a room; see `Engine.create`."""
        room = secrets.token_urlsafe(9) if once is None else keyedRoom(once.key)
        try:
            if once is not None:
                self._checkKeyed(room)
            most = self._factory.maxRooms(name)
            if 0 < most <= self._counts[name]:
                raise RoomError(ErrorCode.FULL, NO_MORE)
            host = self._factory.makeHost(room, name, options)
        except RoomError as error:
            return fail(error)
        self._hosts[room] = host
        self._counts[name] += 1
        opened = runCoroutine(host.open(once))
        if once is not None:
            opened.addCallback(lambda _: self._madeKeyed(room))
        return opened.addCallbacks(lambda _: room, self._notMade, errbackArgs=(room,))

    def _checkKeyed(self, room: str) -> None:
        """Raise the error for a room that exists, or has ended a short time ago."""
        if room in self._hosts:
            raise running()
        since = self._graves.get(room)
        if since is not None and self._now() - since < KEPT_SECONDS:
            raise ended()

    def _madeKeyed(self, room: str) -> None:
        """A room has been created by a request with a key; it may have ended at once."""
        self._keyed.add(room)
        if room not in self._hosts:
            self._bury(room)

    def _notMade(self, failure: Failure, room: str) -> Failure:
        """Remove a room that could not be created."""
        self.ended(room)
        return failure

    def make(
        self,
        name: str,
        options: Mapping[str, Any],
        key: str | None,
        seats: int,
        mayCreate: Callable[[], None],
        tried: Collection[str] = (),
    ) -> Deferred[Made]:
        """Create a room, or wait for one; see `Engine.make`."""
        return self._makings.make(name, key, seats, mayCreate, lambda: self.create(name, options))

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """Join or resume; see `Engine.attach`."""
        host = self._hosts.get(arrival.room)
        if host is None:
            return succeed(Refused(ErrorCode.NO_SUCH_ROOM, NO_SUCH_ID))
        return host.attach(outlet, arrival)

    def ask(self, room: str, command: Command) -> Deferred[Any]:
        """Let a room carry out a command; see `Engine.ask`."""
        host = self._hosts.get(room)
        if host is None:
            return fail(RoomError(ErrorCode.NO_SUCH_ROOM, NO_SUCH_ID))
        return host.ask(command)

    def claim(self, room: str, owner: Owner) -> Deferred[Journal]:
        """Claim a room; in one process no other owner can have it."""
        journal: Journal = MemoryJournal(self, room, owner, self._before.get(room, Before()))
        return succeed(journal)

    def restart(self, room: str, epoch: str, loaded: Loaded) -> Deferred[None]:
        """
        Give a room another owner, as on several nodes. Nothing but tests needs that in one process.

        Args:
            room: The room's id.
            epoch: Its epoch.
            loaded: What the next owner gets from its journal.

        Returns:
            A Deferred that fires when the room is open again. It fails with `RoomError` if it can't be
            opened; then it has ended.
        """
        former = self._hosts[room]
        generation = max(self._before.get(room, Before()).generation, 1) + 1
        self._before[room] = Before(generation, epoch, loaded)
        host = self._hosts[room] = self._factory.makeHost(room, former.name, former.listing.options)
        former.lost(CloseCode.ROOM_MOVED)
        opened = runCoroutine(host.open())
        return opened.addErrback(self._notMade, room)

    def publish(self, listing: Listing) -> None:
        """Publish a listing. A room keeps the age of its first one."""
        before = self._listings.get(listing.room)
        age = next(self._ages) if before is None else before.age
        self._listings.put(msgspec.structs.replace(listing, age=age))

    def ended(self, room: str) -> None:
        """Forget a room that has ended."""
        self._before.pop(room, None)
        host = self._hosts.pop(room, None)
        if host is not None:
            self._counts[host.name] -= 1
            if not self._counts[host.name]:
                del self._counts[host.name]
            self._factory.hostEnded(host)
            self._listings.remove(room)
            self._bury(room)

    def _bury(self, room: str) -> None:
        """Remember for a day that a room has ended, if its key may be used again."""
        if room not in self._keyed:
            return
        self._keyed.remove(room)
        now = self._now()
        while self._graves and (
            len(self._graves) >= MAX_GRAVES or now - next(iter(self._graves.values())) >= KEPT_SECONDS
        ):
            self._graves.popitem(last=False)
        self._graves[room] = now
