"""
Creating rooms: how many there may be, and which requests wait for a room that another one creates.

Both are decided by scripts in Redis, for all nodes. A request for a room that can't be found asks for the
room that is being created for its key. If there is none with a seat left, the request creates one, and those
that come now wait. They wait until the listing of the room is published or removed. So that they don't wait
for a node that is lost, each looks again from time to time. For a moment after a room was created, requests
that have not found its listing still get it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ...rooms.contract.asks import Once, ended, keyedRoom, reused, running
from ...rooms.contract.ports import MAKING_SECONDS, NO_MORE, HostFactory, Made
from .answers import UNREACHABLE
from .ending import ENDED
from .finding import Finder
from .keys import Keys
from .lease import Lease, NodeState
from .listed import Listed, encode
from .owning import Owning
from .resp import Commands, ignored
from .scripts import Scripts, milliseconds
from .waiting import Waits

LEAVING = "this node hands its rooms over"
#: After how many seconds a waiting request looks whether the room is still being created.
LOOK = 1.0
#: The seconds after which it asks again, if that room won't come.
PAUSE = 0.1
#: For how many seconds requests get a room that was created, since other nodes may not know its listing, or
#: may learn some seconds later than this one that its first creator is gone.
REMEMBERED = 5.0
#: For how many seconds the room of a request with a key can't be created under another name: longer than it
#: takes until the room is claimed.
NAME_SECONDS = 30.0


class Making(NamedTuple):
    """A room that a request creates."""

    room: str
    node: str
    #: The token of the request.
    token: str
    #: Whether the room is open.
    isMade: bool


class Creating:
    """
    Creates the rooms of all applications.

    Args:
        waits: The waits of this node.
        redis: The connection.
        scripts: The scripts.
        keys: The names of keys.
        node: The id of this node.
        finder: The listings of all nodes.
        owning: Opens the rooms.
        lease: The lease of this node, which knows the other nodes.
    """

    def __init__(
        self,
        waits: Waits,
        redis: Commands,
        scripts: Scripts,
        keys: Keys,
        node: str,
        finder: Finder,
        owning: Owning,
        lease: Lease,
    ) -> None:
        self._waits = waits
        self._redis = redis
        self._scripts = scripts
        self._keys = keys
        self._node = node
        self._finder = finder
        self._owning = owning
        self._lease = lease

    async def create(
        self,
        application: str,
        factory: HostFactory,
        name: str,
        options: Mapping[str, Any],
        room: str = "",
        once: Once | None = None,
    ) -> str:
        """
        Create a room, and return its id when it is open; see `Engine.create`.

        Args:
            application: The key of the application.
            factory: Makes the owner.
            name: The name that the room is registered under.
            options: Its options.
            room: Its id; empty: a new one.
            once: The key of the request, if it has one; the id is made of it.

        Raises:
            RoomError: It can't be created.
        """
        await self._whenStaying()
        most = factory.maxRooms(name)
        room = keyedRoom(once.key) if once is not None else room or secrets.token_urlsafe(9)
        if not self._lease.isFresh:
            raise RoomError(ErrorCode.UNAVAILABLE, UNREACHABLE)
        if 0 < most <= self._finder.index.count(application, name):  # Redis may have lost some
            raise RoomError(ErrorCode.FULL, NO_MORE)
        if once is not None:
            await self._checkKeyed(application, name, room)
        placeholder = encode(Listed(self._node))
        args = (room, placeholder, most, self._finder.index.greatestAge)
        keys = (self._keys.listings(application, name), self._keys.ages)
        try:
            isNew, number = await self._run("create", keys, args)
        except RoomError:
            self._finder.ended(application, name, room)  # it may have been counted
            raise
        if isNew < 0:
            raise running()
        if not isNew:
            raise RoomError(ErrorCode.FULL, NO_MORE)
        try:
            await self._owning.openNew(room, application, name, options, number, once)
        except Exception:
            self._finder.ended(application, name, room)
            raise
        return room

    async def _checkKeyed(self, application: str, name: str, room: str) -> None:
        """
        Check the room of a request with a key.

        Raises:
            RoomError: It exists, has ended within a day, or is about to be created under another name.
        """
        keys, nameKey = self._keys.room(room), self._keys.nameOf(room)
        own = self._keys.listings(application, name)
        try:
            isFirst = await self._redis.ask("SET", nameKey, own, "PX", milliseconds(NAME_SECONDS), "NX")
            its = own if isFirst else await self._redis.ask("GET", nameKey)
            grave = await self._redis.ask("GET", keys.grave)
            isThere = await self._redis.ask("HEXISTS", keys.fields, "tok")
        except Exception as error:
            raise RoomError(ErrorCode.UNAVAILABLE, UNREACHABLE) from error
        if grave == ENDED:
            raise ended()
        if its not in (own, None):
            raise reused()
        if isThere:
            raise running()

    async def make(
        self,
        application: str,
        factory: HostFactory,
        name: str,
        options: Mapping[str, Any],
        key: str | None,
        seats: int,
        mayCreate: Callable[[], None],
        tried: Collection[str],
    ) -> Made:
        """Create a room, or wait for one; see `Engine.make`."""
        if key is None:
            mayCreate()
            return Made(await self.create(application, factory, name, options), True)
        await self._whenStaying()
        place = self._keys.making(application, name, key)
        until = self._waits.seconds() + MAKING_SECONDS
        token = secrets.token_urlsafe(9)
        making = Making("", "", "", False)
        while self._waits.seconds() < until and not self._waits.isStopped:
            making = await self._begin(place, token, seats, making, tried)
            if making.token == token:
                return await self._makeFor(
                    place, token, application, factory, name, options, making.room, mayCreate
                )
            if making.isMade and not self._mayBeOpen(making.room):
                tried = [*tried, making.room]
                continue
            listings = self._keys.listings(application, name)
            isOpen = making.isMade or await self._wait(place, listings, making, until)
            if isOpen is not None:
                return Made(making.room if isOpen else None, False)
            await self._waits.pause(PAUSE)
        return Made(None, False)

    async def _whenStaying(self) -> None:
        """
        Wait until this node doesn't hand its rooms over.

        Raises:
            RoomError: That takes too long.
        """
        staying = self._owning.whenStaying()
        await self._waits.either(staying, MAKING_SECONDS)
        if not staying.called:
            staying.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
            raise RoomError(ErrorCode.UNAVAILABLE, LEAVING)

    async def _begin(
        self, place: bytes, token: str, seats: int, before: Making, tried: Collection[str]
    ) -> Making:
        """
        Begin to create a room, or get another request's; `before` is the one that has been waited for.

        Raises:
            RoomError: Redis can't be reached.
        """
        dead = before.token if before.token and not self._isAlive(before.node) else ""
        args = (secrets.token_urlsafe(9), self._node, token, seats, milliseconds(MAKING_SECONDS))
        try:
            reply = await self._run("make", (place,), (*args, dead, before.token, *tried))
        except RoomError:  # it may have begun
            self._redis.send(ignored, *self._scripts.command("made", (place,), (token, 0)))
            raise
        _, room, node, creator, isMade = reply
        return Making(room.decode(), node.decode(), creator.decode(), bool(isMade))

    async def _makeFor(
        self,
        place: bytes,
        token: str,
        application: str,
        factory: HostFactory,
        name: str,
        options: Mapping[str, Any],
        room: str,
        mayCreate: Callable[[], None],
    ) -> Made:
        remembered = 0
        try:
            mayCreate()
            made = Made(await self.create(application, factory, name, options, room), True)
            remembered = milliseconds(REMEMBERED)
            return made
        except Exception:
            self._finder.ended(application, name, room)  # tells those that wait
            raise
        finally:
            self._redis.send(ignored, *self._scripts.command("made", (place,), (token, remembered)))

    async def _wait(self, place: bytes, listings: bytes, making: Making, until: float) -> bool | None:
        """
        Wait for a room that another request creates.

        Returns:
            Whether it is open or could not be created; `None`: its node is lost, or it takes too long.
        """
        room, node = making.room, making.node
        listed = self._finder.whenListed(room, node)
        while not listed.called:
            seconds = min(LOOK, until - self._waits.seconds())
            if seconds <= 0 or self._waits.isStopped or not self._isAlive(node):
                break
            await self._waits.either(listed, seconds)
            if not listed.called and not await self._isBeingMade(place, listings, room):
                await self._waits.either(listed, LOOK)  # its listing may be on its way
                break
        if listed.called:
            return await listed
        listed.addErrback(lambda failure: None)
        listed.cancel()
        return None

    def _mayBeOpen(self, room: str) -> bool:
        """Return whether a room that was just created may still be joined, as far as this node knows."""
        known = self._finder.index.get(room)
        return known is None or known.listed.listing is None or known.listed.listing.isOpen

    def _isAlive(self, node: str) -> bool:
        return node == self._node or self._lease.stateOf(node) is not NodeState.GONE

    async def _isBeingMade(self, place: bytes, listings: bytes, room: str) -> bool:
        """Return whether a room is being created; if it has no seat left, the next one may be too by now."""
        try:
            if await self._redis.ask("HGET", place, "room") == room.encode():
                return True
            return bool(await self._redis.ask("HEXISTS", listings, room))
        except Exception:  # Redis can't be reached: then nobody knows
            return True

    async def _run(self, script: str, keys: tuple[bytes, ...], args: tuple[Any, ...]) -> Any:
        try:
            return await self._scripts.ask(self._redis, script, keys, args)
        except Exception as error:
            raise RoomError(ErrorCode.UNAVAILABLE, UNREACHABLE) from error
