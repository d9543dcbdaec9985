"""
The part of the HTTP API that reads the logs of rooms: in pages, and as server-sent events.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.server import Request
from zope.interface import implementer

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..rooms.contract.asks import READ_DATA, ReadLog
from ..service.cluster import Cluster
from ..wire.sendbuffer import unsent
from . import types
from .headers import valuesOf
from .ports import AdminServer
from .problems import RETRY_AFTER, Problem
from .reserve import mostFor
from .routes import Call, Route
from .secrets import Role

#: The most followers at a time, see `mostFor`; the bytes that may wait for each of them when more is written.
MOST_FOLLOWERS = 100
MOST_WAITING = 1 << 20
#: The seconds within which a follower gets a comment if there is no event.
COMMENT = 15.0
#: For how many seconds a follower may read nothing, or its room can't be reached, until it is disconnected.
PATIENCE = 60.0
#: For how long a room is asked to wait for the next entry, and the pause before it is asked again.
_WAIT, _PAUSE = 4.0, 1.0
_PAGE = 100
_EVENTS = "text/event-stream"
_ENDED = frozenset({ErrorCode.NO_SUCH_ROOM, ErrorCode.ROOM_GONE})


class Logs:
    """
    Carries out requests that read the logs of rooms.

    Args:
        server: The server.
        clock: The clock.
    """

    def __init__(self, server: AdminServer, clock: IReactorTime) -> None:
        self._server = server
        self._clock = clock
        self._followers: set[Follower] = set()

    async def read(self, call: Call) -> Any:
        """Return a page of the log, or what follows it if the client asks for events."""
        query: types.LogQuery = call.query
        room = call.params[0]
        if not any(_EVENTS in each for each in valuesOf(call.headers, "Accept")):
            asked = ReadLog(query.offset, query.limit, query.seconds, query.epoch, query.history)
            return pageOf(await readLog(self._server.cluster, room, asked), query.offset, call.caller.role)
        if query.history:
            raise Problem(400, "the history has no events", field="history")
        epoch, offset = _placeOf(call, query)
        role = call.caller.role
        ofReaders = sum(each.role is Role.READ for each in self._followers) if role is Role.READ else 0
        if len(self._followers) >= MOST_FOLLOWERS or ofReaders >= mostFor(role, MOST_FOLLOWERS):
            raise Problem(503, "there are too many followers", headers={"Retry-After": str(RETRY_AFTER)})
        follower = Follower(self._server.cluster, room, call.caller.role, self._clock, self._followers)
        self._followers.add(follower)
        try:
            await follower.read(epoch, offset)
        except BaseException:
            follower.end()
            raise
        if follower.hasEnded:
            raise Problem(503, "the listener stops", headers={"Retry-After": str(RETRY_AFTER)})
        return follower

    def stop(self) -> None:
        """End all events; their clients ask for them again."""
        for each in list(self._followers):
            each.finish()

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                method="GET",
                path="/api/v1/rooms/{room}/log",
                call=self.read,
                role=Role.READ,
                name="readLog",
                summary="Read the messages of a room, in pages, or as server-sent events; or its history",
                query=types.LogQuery,
                answer=types.LogPage,
                streams=True,
                problems=(404, 410, 503, 504),
            )
        ]


def _placeOf(call: Call, query: types.LogQuery) -> tuple[str, int]:
    """Return the epoch, if it is known, and the offset after which the events begin. Raises `Problem`."""
    given = valuesOf(call.headers, "Last-Event-ID")
    if not given:
        return query.epoch, query.offset
    epoch, colon, offset = given[-1].rpartition(":")
    if not colon or not (offset.isascii() and offset.isdigit()) or len(offset) > 18:
        raise Problem(400, "must be the id of an event", field="Last-Event-ID")
    return epoch, int(offset)


def _isFor(role: Role, entry: dict[str, Any]) -> bool:
    """Return whether a role may see an entry: those for some members only are for `Role.MANAGE`."""
    return role is Role.MANAGE or not (entry["to"] is not None or entry["exclude"])


def _entryOf(entry: dict[str, Any], role: Role, most: int = READ_DATA) -> types.LogEntry:
    shown = types.LogEntry(entry["offset"], entry["at"], entry["type"], entry["data"])
    if entry.get("size", 0) > most:
        shown.data, shown.size = None, entry["size"]
    if role is Role.MANAGE and (to := entry["to"]) is not None:
        shown.to, shown.toCount = list(to), entry.get("toCount", len(to))
    if role is Role.MANAGE and (exclude := entry["exclude"]):
        shown.exclude, shown.excludeCount = list(exclude), entry.get("excludeCount", len(exclude))
    return shown


async def readLog(cluster: Cluster, room: str, command: ReadLog) -> dict[str, Any]:
    """Read the log of a room, or its history; see `ReadLog`. Raises `RoomError`."""
    read: dict[str, Any] = await cluster.ask(room, command)
    if command.history and not read.get("history"):
        text = "the room's node has an earlier version of txroom, which doesn't tell the history"
        raise RoomError(ErrorCode.UNAVAILABLE, text, {"mayHaveHappened": False})
    return read


def pageOf(read: dict[str, Any], after: int, role: Role, most: int = READ_DATA) -> types.LogPage:
    """
    Return the page of an answer to `ReadLog`.

    Args:
        read: The answer.
        after: The offset after which was read.
        role: The role of the caller.
        most: The most bytes of the data of one message; of a larger one it is left out.
    """
    entries = read["entries"]
    following = entries[-1]["offset"] if entries else min(after, read["last"])
    shown = [_entryOf(each, role, most) for each in entries if _isFor(role, each)]
    return types.LogPage(read["epoch"], read["first"], read["last"], shown, following)


@implementer(IPushProducer)
class Follower:
    """
    The events of one client: each entry, then `end` when the room has ended, with what is known of its log.

    It reads the log on the room's node, again and again, and only when the client has read what came before.

    Args:
        cluster: Where the room is.
        room: The id of the room.
        role: The role of the client.
        clock: The clock.
        followers: All followers, of which it removes itself at the end.
    """

    _log = Logger()

    def __init__(
        self, cluster: Cluster, room: str, role: Role, clock: IReactorTime, followers: set[Follower]
    ) -> None:
        self._cluster = cluster
        self._room = room
        #: The role of the client.
        self.role = role
        self._clock = clock
        self._followers = followers
        self._epoch, self._offset = "", 0
        self._events: list[bytes] = []
        self._request: Request | None = None
        #: The last offset that the room had, if the room hasn't gone on since.
        self._last: int | None = None
        #: Whether nothing more is written.
        self.hasEnded = False
        self._isPaused = False
        self._resumed: Deferred[None] | None = None
        self._patience: IDelayedCall | None = None
        #: When the client got something for the last time, and when the room last answered.
        self._wroteAt = self._readAt = clock.seconds()

    async def read(self, epoch: str, offset: int) -> None:
        """Read the first entries after an offset. Raises `RoomError`."""
        self._epoch, self._offset = epoch, offset
        await self._next(0.0)

    async def _next(self, seconds: float) -> None:
        """Read what comes next, and wait for it for at most `seconds`."""
        read = await self._cluster.ask(self._room, ReadLog(self._offset, _PAGE, seconds, self._epoch))
        self._readAt = self._clock.seconds()
        self._last = read["last"]
        first, last, epoch = read["first"], read["last"], read["epoch"]
        isOther = self._epoch not in ("", epoch)
        if isOther or first > self._offset + 1 or self._offset > last:
            self._epoch, self._offset = epoch, max(first - 1, 0)
            self._add({"epoch": epoch, "first": first, "last": last}, epoch, self._offset, "reset")
            return  # the entries are those after another offset
        self._epoch = epoch
        for entry in read["entries"]:
            self._offset = entry["offset"]
            if _isFor(self.role, entry):
                self._add(_entryOf(entry, self.role), epoch, self._offset)

    def _add(self, data: Any, epoch: str, offset: int, kind: str = "") -> None:
        event = f"event: {kind}\n" if kind else ""
        head = f"{event}id: {epoch}:{offset}\ndata: ".encode()
        self._events.append(b"".join((head, encode(data), b"\n\n")))

    # -- the answer; see `Streamed`

    def begin(self, request: Request) -> None:
        """Write the events."""
        self._request = request
        request.setHeader(b"Content-Type", _EVENTS.encode())
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"X-Accel-Buffering", b"no")
        if request.method == b"HEAD":
            self.end()
            request.finish()
            return
        request.notifyFinish().addBoth(self._left)
        request.registerProducer(self, True)
        Deferred.fromCoroutine(self._follow()).addErrback(self._failed)

    def _left(self, _: object) -> None:
        self._request = None
        self.end()

    async def _follow(self) -> None:
        self._write(b": \n\n")
        while not self.hasEnded:
            self._write(b"".join(self._events))
            self._events.clear()
            if self._isPaused and not self.hasEnded:
                self._last = None
                self._resumed = Deferred()
                await self._resumed
                continue
            try:
                await self._next(_WAIT)
            except RoomError as error:
                if error.code in _ENDED:
                    place = {"epoch": self._epoch, "offset": self._offset, "last": self._last}
                    self._write(b"event: end\ndata: %s\n\n" % encode(place))
                    self.finish()
                elif self._clock.seconds() - self._readAt > PATIENCE:
                    self.finish()
                else:
                    self._last = None
                    await deferLater(self._clock, _PAUSE)
            if self._clock.seconds() - self._wroteAt > COMMENT - _WAIT:
                self._events.insert(0, b": \n\n")

    def _write(self, data: bytes) -> None:
        request = self._request
        if request is None or self.hasEnded or not data:
            return
        channel: Any = request.channel
        if channel is not None and unsent(channel.transport) > MOST_WAITING:
            self._abort()
            return
        request.write(data)
        self._wroteAt = self._clock.seconds()

    def _abort(self) -> None:
        channel: Any = None if self._request is None else self._request.channel
        if channel is not None:
            channel.transport.abortConnection()

    def _failed(self, failure: Any) -> None:
        self._log.failure("the log of a room could not be followed", failure)
        self.finish()

    def finish(self) -> None:
        """End the answer, if the client is there. It asks again, from the last event that it got."""
        request, self._request = self._request, None
        self.end()
        if request is not None:
            request.unregisterProducer()
            request.finish()

    def end(self) -> None:
        """End, because the client has left or the listener stops."""
        self.hasEnded = True
        self._followers.discard(self)
        self.resumeProducing()

    # -- the producer

    def pauseProducing(self) -> None:
        """Wait, because the client hasn't read what was sent."""
        self._isPaused = True
        if self._patience is None:
            self._patience = self._clock.callLater(PATIENCE, self._abort)

    def resumeProducing(self) -> None:
        """Go on."""
        self._isPaused = False
        patience, self._patience = self._patience, None
        if patience is not None and patience.active():
            patience.cancel()
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.callback(None)

    def stopProducing(self) -> None:
        """The client has left."""
        self.end()


def encodeOther(value: Any) -> Any:
    """Encode the data of binary rooms that JSON has no form for: an extension is its code and its bytes."""
    if isinstance(value, msgspec.msgpack.Ext):
        return [value.code, b64encode(bytes(value.data)).decode()]
    raise TypeError(f"{type(value).__name__} has no form in JSON")


#: Encodes answers with data of rooms.
encode = msgspec.json.Encoder(enc_hook=encodeOther).encode
