"""
Finding rooms: each node has an index of the listings of all nodes.

The listings of one name are a hash in Redis. When a listing changes, its node writes it to the hash and
publishes it, at most once in a turn, and the other nodes put it into their indexes. So to find a room asks
Redis nothing. A node reads the whole hash when it starts, and again when it may have missed something.

Redis may lose the hash, or a node may not be sure whether a change was written. So each node writes its
listings again: all of them when Redis may have lost them, and a few at each renewal of its lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ...rooms.contract.listing import Listing, Order
from ...rooms.contract.nodes import ListedRoom
from .answers import UNREACHABLE
from .here import Here, Owned
from .keys import Keys
from .listed import Change, Changes, ClusterIndex, Listed, NewChange, encode, readChanges, readListed
from .resp import Commands, ignored
from .waiting import Waits

#: How many listings are written again at each renewal.
REFRESHED = 100
#: After so many renewals all listings are read again.
REREAD = 150
#: The most listings in one command.
MANY = 500
#: For how many seconds a listing is kept that Redis has lost.
DOUBT = 10.0

#: The rooms of one name: the key of their application, and the name.
Group = tuple[str, str]


class Finder:
    """
    The listings of all nodes, and those of this node on their way to Redis.

    Args:
        waits: The waits of this node.
        redis: The connection.
        keys: The names of keys and channels.
        node: The id of this node.
        here: The rooms of this node.
        wake: Called when there is something to flush at the end of the turn.
        isFresh: Whether the lease of this node is fresh; if not, nothing is published.
    """

    _log = Logger()

    def __init__(
        self,
        waits: Waits,
        redis: Commands,
        keys: Keys,
        node: str,
        here: Here,
        wake: Callable[[], None],
        isFresh: Callable[[], bool],
    ) -> None:
        self._waits = waits
        self._redis = redis
        self._keys = keys
        self._node = node
        self._here = here
        self._wake = wake
        self._isFresh = isFresh
        #: Called with a room of this node that another node has published as its own.
        self.onTaken: Callable[[str], None] = lambda room: None
        self.index = ClusterIndex()
        #: The changes of this node that were not sent yet, and those that may not have been written.
        self._changed: dict[str, NewChange] = {}
        self._unsure: dict[str, NewChange] = {}
        self._loading: dict[Group, list[Deferred[None]]] = {}
        #: The names that are being read, and are read once more after that.
        self._again: set[Group] = set()
        self._loaded: set[Group] = set()
        #: The names whose listings this node always needs. If they can't be read, they are read later.
        self._needed: set[Group] = set()
        #: What other nodes have published while a hash was being read.
        self._meanwhile: list[Changes] = []
        #: Those that wait for rooms that are being created, with the nodes that create them.
        self._waiting: dict[str, dict[Deferred[bool], str]] = {}
        #: The rooms whose listings Redis doesn't have any more, and until when they are kept.
        self._doubtful: dict[str, float] = {}
        self._doubtUntil = float("-inf")
        #: How often some of the listings were written again.
        self._refreshed = 0
        #: The rooms that are written again next.
        self._next: list[str] = []

    # -- finding

    def find(
        self,
        application: str,
        name: str,
        filter: Mapping[str, Any],
        onlyOpen: bool = False,
        order: Order = (),
        limit: int = 0,
    ) -> Deferred[list[Listing]]:
        """Find rooms; see `Engine.find`."""
        find = partial(self.index.find, application, name, filter, onlyOpen, order, limit)
        if (application, name) in self._loaded:
            return succeed(find())
        return self.load(application, name).addCallbacks(lambda _: find(), self._unavailable)

    def listed(self, application: str, name: str) -> Deferred[list[ListedRoom]]:
        """Return all rooms of a name; see `Engine.listed`."""

        def found(_: object = None) -> list[ListedRoom]:
            named = self.index.named(application, name).values()
            return [ListedRoom(each.listing, each.node) for each in named if each.listing is not None]

        if (application, name) in self._loaded:
            return succeed(found())
        return self.load(application, name).addCallbacks(found, self._unavailable)

    def _unavailable(self, failure: Failure) -> Any:
        raise RoomError(ErrorCode.UNAVAILABLE, UNREACHABLE) from None

    def whenListed(self, room: str, node: str) -> Deferred[bool]:
        """
        Wait for a room that a node creates.

        Returns:
            A Deferred that fires when the room is open (`True`), or when that node says that it could not be
            created (`False`). That another node removes what is left of the room doesn't count.
        """
        known = self.index.get(room)
        if known is not None and known.listed.listing is not None:
            return succeed(True)
        waiter: Deferred[bool] = Deferred(lambda _: self._forgetWaiter(room, waiter))
        self._waiting.setdefault(room, {})[waiter] = node
        return waiter

    def _forgetWaiter(self, room: str, waiter: Deferred[bool]) -> None:
        waiters = self._waiting.get(room, {})
        waiters.pop(waiter, None)
        if not waiters:
            self._waiting.pop(room, None)

    def _tellWaiters(self, room: str, isOpen: bool, by: str) -> None:
        """A node (`by`) says that a room is open, or is not there."""
        for waiter, node in list(self._waiting.get(room, {}).items()):
            if isOpen or node == by:
                self._forgetWaiter(room, waiter)
                waiter.callback(isOpen)

    # -- the listings of this node

    def publish(self, application: str, listing: Listing) -> None:
        """Publish a listing of this node at the end of the turn."""
        owned = self._here.get(listing.room)
        if owned is not None:
            listing = msgspec.structs.replace(listing, age=owned.age)
            listed = Listed(self._node, owned.generation, listing)
            try:
                data = encode(listed)
            except Exception:
                self._log.failure("the listing of room {room} can't be published", room=listing.room)
                return
            self.index.put(application, listing.name, listing.room, listed)
            self._change(NewChange(Change(application, listing.name, listing.room, listed), data))

    def ended(self, application: str, name: str, room: str) -> None:
        """A room has ended, or could not be created: remove its listing."""
        self.index.remove(room)
        self._change(NewChange(Change(application, name, room, None)))

    def lost(self, room: str) -> None:
        """A room is lost to this node: another node publishes its listing."""
        self._changed.pop(room, None)
        self._unsure.pop(room, None)

    def lostRooms(self) -> list[str]:
        """
        Return the rooms that are listed at this node, but are not here.

        This node has given them up, or another one has them and is about to publish them.
        """
        return [room for room in self.index.roomsOf(self._node) if room not in self._here]

    def _change(self, new: NewChange) -> None:
        room = new.change.room
        self._unsure.pop(room, None)
        self._changed[room] = new
        self._wake()

    def flush(self) -> None:
        """The turn is over: write and publish the changes."""
        if not self._changed or not self._isFresh():
            return
        changed, self._changed = self._changed, {}
        self._write(changed)
        changes = (self._node, [new.packed for new in changed.values()])
        self._redis.send(ignored, "PUBLISH", self._keys.changed, encode(changes))
        for room, new in changed.items():
            if room in self._waiting:
                self._tellWaiters(room, new.data is not None, self._node)

    def _write(self, changed: Mapping[str, NewChange]) -> None:
        """Write changes, those of each name by one command or two."""
        groups: dict[Group, tuple[list[Any], list[Any]]] = {}
        for room, (change, data) in changed.items():
            put, removed = groups.setdefault((change.application, change.name), ([], []))
            if data is None:
                removed.append(room)
            else:
                put += (room, data)
        for group, (put, removed) in groups.items():
            key = self._keys.listings(*group)
            for first in range(0, len(put), 2 * MANY):
                some = put[first : first + 2 * MANY]
                self._send(changed, "HSET", key, some, some[::2])
            for first in range(0, len(removed), MANY):
                some = removed[first : first + MANY]
                self._send(changed, "HDEL", key, some, some)

    def _send(
        self, changed: Mapping[str, NewChange], command: str, key: bytes, args: list[Any], rooms: list[str]
    ) -> None:
        def answered(reply: object) -> None:
            for room in rooms:
                if not isinstance(reply, Exception):
                    self._unsure.pop(room, None)
                elif room not in self._changed:
                    self._unsure[room] = changed[room]

        self._redis.send(answered, command, key, *args)

    def refresh(self) -> None:
        """The lease was renewed: write again what may not have been written, and some of all listings."""
        self._forgetDoubtful()
        if not self._isFresh():
            return
        unsure, self._unsure = self._unsure, {}
        for room, new in unsure.items():
            if new.change.listed is None or self._isStillOwn(room, new.change.listed):
                self._changed.setdefault(room, new)
        self._refreshed += 1
        if self._refreshed % REREAD == 0:
            self.loadAgain(())
        else:  # those that could not be read
            self._loadAll(self._needed - self._loaded)
        if not self._next:
            self._next = [owned.host.id for owned in self._here]
        some, self._next = self._next[:REFRESHED], self._next[REFRESHED:]
        again = self._listingsOf(some)
        isInDoubt = self._waits.seconds() < self._doubtUntil
        if isInDoubt:  # another node may believe that it has one of these rooms
            self._changed = {**again, **self._changed}
        else:
            self._write(again)
        self._wake()

    def republish(self) -> None:
        """Redis may have lost the listings: write and publish all those of this node."""
        for room, new in self._listingsOf(owned.host.id for owned in self._here).items():
            self._changed.setdefault(room, new)
        self._wake()

    def _listingsOf(self, rooms: Iterable[str]) -> dict[str, NewChange]:
        """Return what is published of rooms of this node."""
        found = {}
        for room in rooms:
            owned, known = self._here.get(room), self.index.get(room)
            if owned is not None and known is not None and self._isOwn(owned, known.listed):
                change = Change(known.application, known.name, room, known.listed)
                found[room] = NewChange(change, encode(known.listed))
        return found

    def _isStillOwn(self, room: str, listed: Listed) -> bool:
        owned = self._here.get(room)
        return owned is not None and self._isOwn(owned, listed)

    def _isOwn(self, owned: Owned, listed: Listed) -> bool:
        return listed.node == self._node and listed.generation == owned.generation

    # -- the listings of other nodes

    def heard(self, data: bytes) -> None:
        """Another node, or this one, has published changes."""
        changes = readChanges(data)
        if changes.node == self._node:
            return
        if self._loading:
            self._meanwhile.append(changes)
        self._take(changes)

    def _take(self, changes: Changes) -> None:
        for application, name, room, listed in map(_fieldsOf, changes.changes):
            if listed is not None and room in self._here:
                self.onTaken(room)
            if (application, name) not in self._loaded:
                pass  # it is read when it is needed
            elif listed is None:
                if self._mayRemove(room, changes.node):
                    self.index.remove(room)
            elif self._isNews(room, listed):
                self._doubtful.pop(room, None)
                self.index.put(application, name, room, listed)
            if room in self._waiting:
                self._tellWaiters(room, listed is not None, changes.node)

    def _mayRemove(self, room: str, node: str) -> bool:
        known = self.index.get(room)
        return known is not None and known.listed.node == node

    def _isNews(self, room: str, listed: Listed) -> bool:
        """Return whether to believe what another node says of a room, which may be this node's."""
        owned = self._here.get(room)
        return owned is None or listed.generation > owned.generation > 0

    def correct(self, room: str, node: str) -> None:
        """Redis says that a room is at that node."""
        known = self.index.get(room)
        if known is not None and known.listed.node != node:
            self.index.move(room, node)

    def strand(self, room: str) -> None:
        """A room can't be opened here: until it is, let no client join it by its name."""
        known = self.index.get(room)
        if known is not None and known.listed.listing is not None:
            listing = msgspec.structs.replace(known.listed.listing, isLocked=True)
            listed = msgspec.structs.replace(known.listed, listing=listing)
            self.index.put(known.application, known.name, room, listed)

    def doubt(self) -> None:
        """Redis may have lost the listings, until all nodes have written them again."""
        self._doubtUntil = self._waits.seconds() + DOUBT

    def vanished(self, room: str) -> None:
        """There is no such room: remove its listing, if it has one."""
        known = self.index.get(room)
        if known is not None and room not in self._here:
            self.ended(known.application, known.name, room)

    # -- reading

    def load(self, application: str, name: str) -> Deferred[None]:
        """Read the listings of the rooms of a name. Fails if Redis can't be reached."""
        group = application, name
        waiter: Deferred[None] = Deferred()
        waiters = self._loading.get(group)
        if waiters is not None:
            waiters.append(waiter)
            return waiter
        self._loading[group] = [waiter]
        self._startLoading(group)
        return waiter

    def _startLoading(self, group: Group) -> None:
        Deferred.fromCoroutine(self._load(group)).addBoth(self._read, group)

    async def _load(self, group: Group) -> None:
        """Read the listings, some at a time, since there may be very many."""
        reply = await self._redis.ask("HGETALL", self._keys.listings(*group))
        found = list(reply.items())
        until = self._waits.seconds() + DOUBT
        for room in self.index.named(*group):
            if room.encode() not in reply and room not in self._here:
                self._doubtful.setdefault(room, until)
        for first in range(0, len(found), MANY):
            if first:
                await self._waits.pause(0)
            for room, value in found[first : first + MANY]:
                self._put(group, room, value)

    def _put(self, group: Group, field: bytes, value: bytes) -> None:
        try:
            room, listed = field.decode(), readListed(value)
        except (msgspec.MsgspecError, UnicodeError):
            self._log.error("the listing of room {room!r} can't be read", room=field)
            return
        if room in self._here:
            if listed.node != self._node:
                self.onTaken(room)
            return
        self._doubtful.pop(room, None)
        self.index.put(*group, room, listed)
        if listed.listing is not None and room in self._waiting:
            self._tellWaiters(room, True, listed.node)

    def _read(self, result: object, group: Group) -> None:
        if group in self._again:
            self._again.remove(group)
            self._startLoading(group)
            return
        waiters = self._loading.pop(group)
        if isinstance(result, Failure):
            self._log.warn("the listings of rooms can't be read: {why}", why=result.getErrorMessage())
        else:
            self._loaded.add(group)
        meanwhile = self._meanwhile
        if not self._loading:
            self._meanwhile = []
        for changes in meanwhile:
            self._take(changes)
        for waiter in waiters:
            if isinstance(result, Failure):
                waiter.errback(result.value)
            else:
                waiter.callback(None)

    def _forgetDoubtful(self) -> None:
        now = self._waits.seconds()
        for room, until in list(self._doubtful.items()):
            if until <= now:
                del self._doubtful[room]
                if room not in self._here:
                    self.index.remove(room)

    def loadAgain(self, groups: Iterable[Group]) -> Deferred[Any]:
        """
        Read all listings, since this node may have missed some; those that are being read, once more.

        Args:
            groups: Names whose listings this node needs from now on.
        """
        self._needed.update(groups)
        # What was heard may be older than the changes that were missed, and must not replace what is read.
        self._meanwhile = []
        self._again.update(self._loading)
        return self._loadAll(self._needed | self._loaded)

    def _loadAll(self, groups: Iterable[Group]) -> Deferred[Any]:
        return DeferredList([self.load(*group) for group in groups], consumeErrors=True)


def _fieldsOf(change: Change) -> tuple[str, str, str, Listed | None]:
    return change.application, change.name, change.room, change.listed
