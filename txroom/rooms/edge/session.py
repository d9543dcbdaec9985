"""
The session: the edge's side of one client, from its frames to the links of its rooms and back.

A session that sends nothing any more (too slow, misused, said goodbye) is mute; its connection is about
to be closed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ...core.awaitables import clearTraceback
from ...core.codes import CloseCode, ErrorCode, ReadyState, SendStatus
from ...core.connection import Connection
from ...core.message import Prepared
from ...core.misuse import MisuseCounter
from ...core.tokenbucket import Bucket
from ...protocol import clientframes as frames
from ...protocol.errors import BadFrame, RoomError
from ...protocol.limits import MAX_FIELDS, MAX_NUMBER, MAX_OPTIONS
from ..contract.arrivals import Join, Refused, Request, Resume
from ..contract.commands import Answer, Call, Failed, Frame, Leave, Send
from ..contract.items import Error, Item, Replay
from ..contract.listing import Listing
from ..contract.ports import Link
from .dialect import Answered, Bye, Dialect, Left, UnreadableMessage
from .matchmaker import How
from .outlet import Attachment
from .refusals import shortened

if TYPE_CHECKING:
    from ..application import RoomApplication

#: Rooms that one connection may be in.
MAX_ROOMS = 16
#: Requests to join, to resume or for lists of rooms, a second and at once: small frames that make much
#: work. A client in 16 rooms that comes back to a server which has forgotten them asks 32 times at once.
REQUEST_RATE = 2.0
REQUEST_BURST = 40.0
#: Bytes of messages that are sent again in one write.
REPLAY_PART = 512 << 10
#: Most rooms in the answer to `rooms`; who looks for more asks with a filter.
MAX_LISTINGS = 100

_HOW: dict[type, How] = {
    frames.JoinFrame: How.JOIN_OR_CREATE,
    frames.JoinOnlyFrame: How.JOIN,
    frames.CreateFrame: How.CREATE,
}

_CLOSES: dict[str, CloseCode] = {
    ErrorCode.UNAUTHORIZED: CloseCode.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: CloseCode.UNAUTHORIZED,
    ErrorCode.NO_SUCH_ROOM: CloseCode.NO_SUCH_ROOM,
    ErrorCode.ROOM_GONE: CloseCode.NO_SUCH_ROOM,
    ErrorCode.FULL: CloseCode.TRY_AGAIN_LATER,
    ErrorCode.LOCKED: CloseCode.TRY_AGAIN_LATER,
    ErrorCode.RATE_LIMITED: CloseCode.TRY_AGAIN_LATER,
    ErrorCode.TIMEOUT: CloseCode.TRY_AGAIN_LATER,
    ErrorCode.BAD_REQUEST: CloseCode.MISUSE,
    ErrorCode.UNAVAILABLE: CloseCode.ENGINE_UNAVAILABLE,
    ErrorCode.INTERNAL: CloseCode.INTERNAL_ERROR,
}


DROPPED = SendStatus.DROPPED  # an enumeration's member costs a look-up of its own


class Session:
    """One client, in any number of rooms."""

    def __init__(self, application: RoomApplication, connection: Connection, dialect: Dialect) -> None:
        self._application = application
        self._edge = application.edge
        self._connection = connection
        self._dialect = dialect
        #: Those that aren't over, by id, and those of them that have joined, by room.
        self._attachments: dict[str, Attachment] = {}
        self._rooms: dict[str, Attachment] = {}
        self._byPath: Attachment | None = None
        #: The rooms that have let the client go, the last of them: it may not know that yet.
        self._left: deque[str] = deque(maxlen=MAX_ROOMS)
        self._misuse = MisuseCounter()
        self._requests = Bucket(REQUEST_RATE, REQUEST_BURST, application.clock.seconds())
        self._isMute = False
        #: Whether it is in no room any more, and never will be.
        self.isGone = False
        #: Whether the client wanted to go, so that it leaves its rooms.
        self._hasLeft = False

    # -- what the client sends

    def received(self, message: str | bytes) -> None:
        """A message of the client."""
        if self._isMute:
            return
        try:
            frame = self._dialect.decode(message)
            _HANDLERS[type(frame)](self, frame)
        except UnreadableMessage as error:
            attachment = self._byPath if error.room is None else self._rooms.get(error.room)
            if attachment is not None:
                attachment.submit(error.unreadable)
            elif error.room not in self._left:
                self._refuse(error)
        except BadFrame as error:
            self._refuse(error)

    def _refuse(self, error: BadFrame) -> None:
        """What came is no frame: a mistake, or the end if it isn't known how many numbers it had."""
        self.say(Error(error.ref, None, error.code, error.message, error.details))
        if error.isFatal:
            self.close(CloseCode.MISUSE, "not a frame")
        elif error.isStrike and self._misuse.add(self._application.clock.seconds()):
            self.close(CloseCode.MISUSE, "too many bad frames")

    def _submit(self, room: str | None, ref: int | None, frame: Frame) -> None:
        """
        To a room, by its id or `None` for the path's; if the client isn't in it, it is told.

        What was on its way while the room let the client go is nobody's mistake: `left` says it all.
        """
        attachment = self._byPath if room is None else self._rooms.get(room)
        if attachment is not None:
            attachment.submit(frame)
        elif room not in self._left:
            self.say(Error(ref, room, ErrorCode.NO_SUCH_ROOM, "not in that room"))

    def _send(self, frame: frames.SendFrame) -> None:
        self._submit(frame.room, None, Send(frame.type, bytes(frame.data), frame.n))

    def _call(self, frame: frames.CallFrame) -> None:
        self._submit(frame.room, frame.ref, Call(frame.ref, frame.type, bytes(frame.data), frame.n))

    def _reply(self, frame: frames.ReplyFrame) -> None:
        self._submit(frame.room, None, Answer(frame.ref, bytes(frame.data)))

    def _error(self, frame: frames.ErrorFrame) -> None:
        self._submit(frame.room, None, Failed(frame.ref, frame.code, frame.message))

    def _leave(self, frame: frames.LeaveFrame) -> None:
        attachment = self._byPath if frame.room is None else self._rooms.get(frame.room)
        if attachment is not None:
            attachment.isLeaving = True
        self._submit(frame.room, frame.ref, Leave(frame.ref))

    def _ping(self, frame: frames.PingFrame) -> None:
        self.say(Answered(frame.ref))

    def _query(self, frame: frames.RoomsFrame) -> None:
        if not self._mayAsk(frame.ref):
            return
        filter = self._dialect.options(frame.filter, "filter", frame.ref)

        async def query() -> None:
            try:
                found = await self._application.matchmaker.query(frame.name, filter, MAX_LISTINGS)
            except RoomError as error:
                clearTraceback(error)
                self.say(Error(frame.ref, None, error.code, error.message, error.details))
            else:
                self.say(Answered(frame.ref, [publicListing(listing) for listing in found]))

        self._run(query(), frame.ref)

    # -- joining

    def joinByPath(self, name: str) -> Deferred[None]:
        """The client's path names a room; fires when it has a seat in it or none."""
        attachment = self._byPath = Attachment(self, None, "path", name)
        try:
            self._application.countArrival(self._connection.handshake.countedAs)
            options = self._optionsOfPath()
        except RoomError as error:
            self._expect(attachment)
            self._settle(attachment, Refused(error.code, error.message, error.details))
            return succeed(None)
        return self._run(self._place(attachment, How.JOIN_OR_CREATE, name, options), None)

    def _optionsOfPath(self) -> dict[str, Any]:
        """What is behind the "?". Raises `RoomError` if that is too much, before it is looked into."""
        handshake = self._connection.handshake
        query = handshake.target.partition("?")[2]
        if len(query) > MAX_OPTIONS or query.count("&") >= MAX_FIELDS:
            most = f"at most {MAX_FIELDS} options, and {MAX_OPTIONS} bytes of them"
            raise RoomError(ErrorCode.BAD_REQUEST, most, {"field": "options"})
        return dict(handshake.query)

    def _join(self, frame: frames.JoinFrame | frames.JoinOnlyFrame | frames.CreateFrame) -> None:
        if self._hasPlace(frame.ref):
            options = self._dialect.options(frame.options, "options", frame.ref)
            attachment = Attachment(self, frame.ref, _HOW[type(frame)].value, frame.name)
            self._run(self._place(attachment, _HOW[type(frame)], frame.name, options), frame.ref)

    def _joinById(self, frame: frames.JoinByIdFrame) -> None:
        if self._hasPlace(frame.ref):
            options = self._dialect.options(frame.options, "options", frame.ref)
            attachment = Attachment(self, frame.ref, "joinById", frame.room)
            join = self._joinOf(attachment, frame.room, options)
            self._run(self._attach(attachment, join), frame.ref)

    def _resume(self, frame: frames.ResumeFrame) -> None:
        if not self._hasPlace(frame.ref):
            return
        attachment = Attachment(self, frame.ref, "resume", frame.room)
        resume = Resume(
            link=attachment.id,
            session=self._connection.id,
            room=frame.room,
            ref=frame.ref,
            user=self._connection.user,
            isJSON=self._dialect.isJSON,
            token=frame.token,
            epoch=frame.epoch,
            offset=frame.offset if 0 <= frame.offset <= MAX_NUMBER else -1,
        )
        self._run(self._attach(attachment, resume), frame.ref)

    def _mayAsk(self, ref: int) -> bool:
        """Whether the client may make one more of the requests that are dear."""
        if self._requests.take(self._application.clock.seconds()):
            return True
        self._askedTooMuch(ref, "too many requests")
        return False

    def _hasPlace(self, ref: int) -> bool:
        if not self._mayAsk(ref):
            return False
        if len(self._attachments) < MAX_ROOMS:
            return True
        self._askedTooMuch(ref, f"at most {MAX_ROOMS} rooms on one connection")
        return False

    def _askedTooMuch(self, ref: int, why: str) -> None:
        """The client has asked for too much."""
        self._application.joinRefused(ErrorCode.RATE_LIMITED, ("request", why), self._connection.handshake)
        self.say(Error(ref, None, ErrorCode.RATE_LIMITED, why))

    def _joinOf(
        self, attachment: Attachment, room: str, options: Mapping[str, Any], isMaker: bool = False
    ) -> Join:
        return Join(
            link=attachment.id,
            session=self._connection.id,
            room=room,
            ref=attachment.ref,
            user=self._connection.user,
            isJSON=self._dialect.isJSON,
            options=dict(options),
            request=Request.of(self._connection.handshake),
            isMaker=isMaker,
        )

    async def _place(self, attachment: Attachment, how: How, name: str, options: Mapping[str, Any]) -> None:
        self._expect(attachment)
        place = self._seat(attachment, how, name, options)
        self._settle(attachment, await self._linkOf(Deferred.fromCoroutine(place)))

    async def _seat(
        self, attachment: Attachment, how: How, name: str, asked: Mapping[str, Any]
    ) -> Link | Refused:
        """A seat in a room of that name. Raises `RoomError` for options that can't be matched."""
        application = self._application
        options = application.typed(name, asked, isText=attachment is self._byPath)

        def attach(room: str, isMaker: bool) -> Deferred[Link | Refused]:
            attachment.room = room
            join = self._joinOf(attachment, room, options, isMaker)
            return application.engine.attach(self._edge, join)

        mayCreate = partial(application.countCreation, self._connection.handshake.countedAs)
        return await application.matchmaker.place(how, name, options, attach, mayCreate)

    async def _attach(self, attachment: Attachment, arrival: Join | Resume) -> None:
        self._expect(attachment)
        attachment.room = arrival.room
        result = await self._linkOf(self._application.engine.attach(self._edge, arrival))
        self._settle(attachment, result)

    async def _linkOf(self, asked: Deferred[Link | Refused]) -> Link | Refused:
        """What comes of a request, whatever goes wrong with it."""
        try:
            return await asked
        except RoomError as error:
            clearTraceback(error)
            return Refused(error.code, error.message, error.details)
        except Exception:
            self._application.log.failure("a request of {id} failed", id=self._connection.id)
            return Refused(ErrorCode.INTERNAL)

    def _expect(self, attachment: Attachment) -> None:
        """What the room emits may come before the answer."""
        self._attachments[attachment.id] = attachment
        self._edge.attachments[attachment.id] = attachment

    def _settle(self, attachment: Attachment, result: Link | Refused) -> None:
        """There is a link, or there is none."""
        if isinstance(result, Refused):
            attachment.error = result.code
            self.say(Error(attachment.ref, None, result.code, result.message, result.details))
            self._finish(attachment, 0)
            return
        attachment.begin(result)
        if self.isGone:
            self._letGo(result)
        elif result.id != attachment.id:
            # It was in that room already, and has been told so again.
            self._forget(attachment)
        elif not attachment.isEnded:
            self._rooms[attachment.room] = attachment

    def _run(self, steps: Any, ref: int | None) -> Deferred[None]:
        """Let a request take its time; whatever goes wrong is the server's fault."""

        def failed(failure: Failure) -> None:
            self._application.log.failure("a request of {id} failed", failure, id=self._connection.id)
            self.say(Error(ref, None, ErrorCode.INTERNAL))

        return Deferred.fromCoroutine(steps).addErrback(failed)

    # -- what the rooms send

    def joined(self, attachment: Attachment) -> None:
        """A room has let the client in."""
        self._rooms.setdefault(attachment.room, attachment)

    def say(self, item: Item, isVolatile: bool = False) -> None:
        """Send an item; a client that doesn't read loses volatile ones first, then its connection."""
        if self._isMute:
            return
        connection = self._connection
        if isVolatile and connection.bufferedAmount > self._application.volatileLimit:
            return
        if type(item) is Replay:
            status = self._replay(item)
        else:
            status = connection.sendFrame(item.prepared(self._dialect))
        if status is DROPPED:
            self._isMute = True
            self._application.clock.callLater(0, self._tooSlow)

    def _replay(self, item: Replay) -> SendStatus:
        """
        Send many messages in few writes.

        Not in one, however large: of what is too much for the client it then gets a part each time.
        """
        status, size = SendStatus.SENT, 0
        frames: list[Prepared] = []
        for message in item.messages:
            frame = message.prepared(self._dialect)
            frames.append(frame)
            size += len(frame.payload)
            if size >= REPLAY_PART:
                status, size = self._connection.sendFrames(frames), 0
                frames = []
                if status is DROPPED:
                    return status
        return self._connection.sendFrames(frames) if frames else status

    def _tooSlow(self) -> None:
        """What it missed it gets when it resumes."""
        self._part()
        self._connection.close(CloseCode.SLOW_CONSUMER, "too slow")

    def broken(self, attachment: Attachment) -> None:
        """Something got lost on its way; whatever followed would hide that, so the client is to resume."""
        self._edge.detach((attachment.id,), CloseCode.STATE_LOST)
        self._application.clock.callLater(0, attachment.drop)

    def ended(self, attachment: Attachment, code: int, reason: str) -> None:
        """A room has let the client go."""
        if attachment.isEnded:
            return
        if attachment.isJoined and code:
            self.say(Left(attachment.room, code, reason))
            if not attachment.isLeaving:
                self._left.append(attachment.room)
        elif attachment.error is None:
            mayRetry = code >= CloseCode.SHUTTING_DOWN
            attachment.error = ErrorCode.UNAVAILABLE if mayRetry else ErrorCode.ROOM_GONE
            self.say(Error(attachment.ref, None, attachment.error))
        self._finish(attachment, code, reason)

    def _finish(self, attachment: Attachment, code: int, reason: str = "") -> None:
        """
        An attachment is over; so is the connection, if that was made for it by its path, or is misused.

        Else the client may go on to another room on it.
        """
        isByPath = attachment is self._byPath
        if attachment.error is not None and not attachment.isJoined:
            self._application.joinRefused(attachment.error, attachment.asked, self._connection.handshake)
        self._forget(attachment)
        if code in (CloseCode.MISUSE, CloseCode.SLOW_CONSUMER):
            self.close(code, reason)
        elif isByPath:
            code = code or _closeCodeOf(attachment.error)
            self.close(code, reason or attachment.error or "")

    def _forget(self, attachment: Attachment) -> None:
        """Nothing comes for it any more."""
        attachment.isEnded = True
        if attachment is self._byPath:
            self._byPath = None
        self._attachments.pop(attachment.id, None)
        self._edge.attachments.pop(attachment.id, None)
        if self._rooms.get(attachment.room) is attachment:
            del self._rooms[attachment.room]

    # -- the end

    def sayGoodbye(self, code: int, retryAfter: float) -> None:
        """The server is shutting down: the client is to come back, and resume."""
        self.say(Bye(code, retryAfter))
        self.close(code, "server shutdown")

    def close(self, code: int, reason: str) -> None:
        """Close the connection. What the client is a member of it may resume, unless it has left."""
        if not self._isMute:
            self._isMute = True
            self._application.clock.callLater(0, self._closed, code, reason)

    def _closed(self, code: int, reason: str) -> None:
        self._part()
        if self._connection.readyState is ReadyState.OPEN:
            self._connection.close(code, shortened(reason))

    def disconnected(self, code: int) -> None:
        """The connection is gone; a client that closed it with 1000 has left its rooms."""
        self._isMute = True
        self._part(hasLeft=code == CloseCode.NORMAL)

    def _part(self, hasLeft: bool = False) -> None:
        """The client is gone from all its rooms; a link that comes later is let go as it comes."""
        if self.isGone:
            return
        self.isGone = True
        self._hasLeft = hasLeft
        for attachment in list(self._attachments.values()):
            self._forget(attachment)
            if attachment.link is not None:
                self._letGo(attachment.link)

    def _letGo(self, link: Link) -> None:
        if self._hasLeft:
            link.leave()
        else:
            link.drop()


_HANDLERS: dict[type, Callable[[Session, Any], None]] = {
    frames.SendFrame: Session._send,
    frames.CallFrame: Session._call,
    frames.ReplyFrame: Session._reply,
    frames.ErrorFrame: Session._error,
    frames.JoinFrame: Session._join,
    frames.JoinOnlyFrame: Session._join,
    frames.CreateFrame: Session._join,
    frames.JoinByIdFrame: Session._joinById,
    frames.ResumeFrame: Session._resume,
    frames.LeaveFrame: Session._leave,
    frames.RoomsFrame: Session._query,
    frames.PingFrame: Session._ping,
}


def publicListing(listing: Listing) -> dict[str, Any]:
    """What clients are told of a room."""
    return {
        "room": listing.room,
        "name": listing.name,
        "clients": listing.clients,
        "maxClients": listing.maxClients,
        "locked": listing.isLocked or listing.isFull,
        "metadata": listing.metadata,
    }


def _closeCodeOf(error: str | None) -> int:
    """With what a connection is closed whose path named a room that it could not join."""
    return _CLOSES.get(error or "", CloseCode.UNAUTHORIZED)
