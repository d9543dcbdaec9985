"""
Sessions: the edge's side of one client, for every kind of client.

A session has three states, one after another:

- *open*: it handles the client's messages, and sends the items of its rooms to the client.
- *mute*: it sends nothing more, and ignores the client's messages. The client has misused the server or was
  too slow, the room of its path has ended its membership, or the server is shutting down. The session closes
  the connection in the next turn of the reactor, because it may become mute during a state change.
- *gone*: the session has given up all its rooms for good; the client may resume them in a new session. If a
  room answers a request with a link now, the session drops that link.

`close`, and `say` for a slow client, lead from open to mute. When the connection is closed or lost, the
session is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ...core.awaitables import clearTraceback
from ...core.codes import CloseCode, ErrorCode, ReadyState, SendStatus
from ...core.connection import Connection
from ...protocol.closecodes import MOVED, closeCodeOf, shortened
from ...protocol.errors import RoomError
from ...protocol.limits import MAX_NUMBER
from ..contract.arrivals import Join, Refused, Request, Resume
from ..contract.commands import Frame, ListMembers
from ..contract.items import Bye, Error, Item, Left, Replay
from ..contract.ports import Link
from ..plain import plainOptions, plainUser, queryOptions
from .attachment import Attachment
from .matchmaker import JoinMethod
from .pathreturn import PathReturn
from .ports import Dialect
from .replaying import sendReplay
from .services import EdgeServices

#: The most rooms that one connection may be in.
MAX_ROOMS = 16

DROPPED = SendStatus.DROPPED  # for the hot path: looking up a member of an enumeration is slow


class RoomSession:
    """
    One client, in any number of rooms.

    Subclass it for clients that speak a protocol of their own. `received` gets their messages, and asks for
    seats (`requestJoin`, `joinById`, `resume`) or passes commands to rooms (`submit`). The `dialect` builds
    the messages for the items of rooms. `RoomApplication.sessionFor` decides which session a connection gets.

    Args:
        services: The objects that all sessions use.
        connection: The client's connection.
        dialect: The dialect that the client speaks.
    """

    #: Whether clients can resume the room of their path on the same connection. If not, the connection is
    #: closed when the room has moved.
    canResume = False

    def __init__(self, services: EdgeServices, connection: Connection, dialect: Dialect) -> None:
        self.services = services
        self.connection = connection
        self.dialect = dialect
        #: Whether nothing more is sent to the client, and its messages are ignored.
        self.isMute = False
        #: Whether this session has given up all its rooms for good. The client may resume them in a new one.
        self.isGone = False
        #: Whether the client closed the connection with 1000, so that it leaves its rooms and can't resume.
        self._hasLeft = False
        #: The attachments that haven't ended, by link, and those of them that have joined, by room.
        self._attachments: dict[str, Attachment] = {}
        self._rooms: dict[str, Attachment] = {}
        self._byPath: Attachment | None = None
        #: Set while the client is expected to resume the room of its path.
        self._pathReturn: PathReturn | None = None
        #: The last rooms that ended the client's membership; the client may not have got `Left` yet.
        self._left: deque[str | None] = deque(maxlen=MAX_ROOMS)

    # -- what the client sends

    def received(self, message: str | bytes) -> None:
        """Handle a message of the client; ignore it if `isMute`."""
        raise NotImplementedError

    def attachmentOf(self, room: str | None) -> Attachment | None:
        """
        Return the attachment to a joined room by the room's id; `None` is the room of the client's path.
        """
        return self._byPath if room is None else self._rooms.get(room)

    def submit(self, room: str | None, ref: int | None, frame: Frame) -> None:
        """
        Pass a command of the client to a room. Called for every message.

        A client that isn't in the room gets an error. If the room has just ended the membership, the frame is
        ignored, since the client may have sent it before it got `Left`.

        Args:
            room: The room's id; `None`: the room of the client's path.
            ref: The number that the client gave its request, for the error; `None`: it is not a request.
            frame: The command.
        """
        attachment = self._byPath if room is None else self._rooms.get(room)
        if attachment is not None:
            (attachment.link or attachment).submit(frame)
        elif room in self._left and type(frame) is ListMembers:
            self.say(Error(ref, None, ErrorCode.UNAVAILABLE))
        elif room not in self._left:
            self.say(Error(ref, room, ErrorCode.NO_SUCH_ROOM, "not in that room"))

    def hasJustLeft(self, room: str | None) -> bool:
        """Return whether a room has just ended the membership, so that the client may not know it yet."""
        return room in self._left

    # -- joining

    def joinByPath(self, name: str) -> Deferred[None]:
        """
        Join the room that the client's path names.

        The connection is closed if the client is refused, and when the membership ends. The Deferred fires
        when the request has been answered.
        """
        attachment = self._byPath = Attachment(self, None, "path", name)
        try:
            address = self.connection.handshake.peerNetwork
            self.services.arrivals.take(address, self.services.clock.seconds())
            options = self.optionsOfPath()
        except RoomError as error:
            self._expect(attachment)
            self._settle(attachment, Refused(error.code, error.message, error.details))
            return succeed(None)
        return self._run(self._place(attachment, JoinMethod.JOIN_OR_CREATE, name, options), None)

    def optionsOfPath(self) -> dict[str, Any]:
        """Return the options of a join by path: the query string. Raises `RoomError` if it is too long."""
        return queryOptions(self.connection.handshake)

    def requestJoin(
        self, method: JoinMethod, name: str, options: Mapping[str, Any], ref: int | None
    ) -> Deferred[None]:
        """
        Ask for a seat in a room of that name.

        A client that is in `MAX_ROOMS` rooms is refused. The session itself has to limit the rate of
        requests. The Deferred fires when the request has been answered.

        Args:
            method: Whether to join an existing room, to create one, or to create one only if there
                is none.
            name: The name of the room.
            options: The options of the join.
            ref: The number that the client gave its request, for the answer.
        """
        if not self._mayEnter(ref):
            return succeed(None)
        attachment = Attachment(self, ref, method.value, name)
        return self._run(self._place(attachment, method, name, options), ref)

    def joinById(self, room: str, options: Mapping[str, Any], ref: int | None) -> Deferred[None]:
        """Ask for a seat in the room with that id. The Deferred fires when the request has been answered."""
        if not self._mayEnter(ref):
            return succeed(None)
        attachment = Attachment(self, ref, "joinById", room)
        return self._run(self._attach(attachment, partial(self._joinOf, attachment, room, options)), ref)

    def resume(
        self, room: str, token: str, epoch: str, offset: int, ref: int | None, attempt: int = 0
    ) -> Deferred[None]:
        """Ask to continue a membership, like `joinById`. See `Resume` for the arguments."""
        if not self._mayEnter(ref):
            return succeed(None)
        attachment = Attachment(self, ref, "resume", room)

        def resume() -> Resume:
            return Resume(
                link=attachment.id,
                session=self.connection.id,
                room=room,
                ref=ref,
                user=plainUser(self.connection.user),
                isJSON=self.dialect.isJSON,
                token=token,
                epoch=epoch,
                offset=offset if 0 <= offset <= MAX_NUMBER else -1,
                attempt=attempt,
            )

        return self._run(self._attach(attachment, resume), ref)

    def _mayEnter(self, ref: int | None) -> bool:
        """Return whether the client may be in one more room; if not, refuse the request."""
        if len(self._attachments) < MAX_ROOMS:
            return True
        self._askedTooMuch(ref, f"at most {MAX_ROOMS} rooms on one connection")
        return False

    def _askedTooMuch(self, ref: int | None, why: str) -> None:
        """Refuse a request with `rateLimited`."""
        self.services.joinRefused(ErrorCode.RATE_LIMITED, ("request", why), self.connection.handshake)
        self.say(Error(ref, None, ErrorCode.RATE_LIMITED, why))

    def _joinOf(
        self, attachment: Attachment, room: str, options: Mapping[str, Any], isCreator: bool = False
    ) -> Join:
        return Join(
            link=attachment.id,
            session=self.connection.id,
            room=room,
            ref=attachment.ref,
            user=plainUser(self.connection.user),
            isJSON=self.dialect.isJSON,
            options=plainOptions(options),
            request=Request.of(self.connection.handshake),
            isCreator=isCreator,
        )

    async def _place(
        self, attachment: Attachment, method: JoinMethod, name: str, options: Mapping[str, Any]
    ) -> None:
        self._expect(attachment)
        seat = self._seat(attachment, method, name, options)
        self._settle(attachment, await self._linkOf(Deferred.fromCoroutine(seat)))

    async def _seat(
        self, attachment: Attachment, method: JoinMethod, name: str, asked: Mapping[str, Any]
    ) -> Link | Refused:
        """Return a link to a room of that name, or a refusal. Raises `RoomError` for wrong options."""
        services, address = self.services, self.connection.handshake.peerNetwork
        options = services.matchmaker.typed(name, asked, isText=attachment is self._byPath)

        def attach(room: str, isCreator: bool) -> Deferred[Link | Refused]:
            attachment.room = room
            join = attachment.arrival = self._joinOf(attachment, room, options, isCreator)
            return services.engine.attach(services.outlet, join)

        return await services.matchmaker.place(
            method, name, options, attach, lambda: services.creations.take(address, services.clock.seconds())
        )

    async def _attach(self, attachment: Attachment, arrivalOf: Callable[[], Join | Resume]) -> None:
        arrival = attachment.arrival = arrivalOf()
        self._expect(attachment)
        attachment.room = arrival.room
        result = await self._linkOf(self.services.engine.attach(self.services.outlet, arrival))
        self._settle(attachment, result)

    async def _linkOf(self, asked: Deferred[Link | Refused]) -> Link | Refused:
        """Return the result of a request; an error becomes a `Refused`."""
        try:
            return await asked
        except RoomError as error:
            clearTraceback(error)
            return Refused(error.code, error.message, error.details)
        except Exception:
            self.services.log.failure("a request of {id} failed", id=self.connection.id)
            return Refused(ErrorCode.INTERNAL)

    def _expect(self, attachment: Attachment) -> None:
        """Receive the items of the room from now on; they may arrive before its answer."""
        self._attachments[attachment.id] = attachment
        self.services.outlet.attachments[attachment.id] = attachment

    def _settle(self, attachment: Attachment, result: Link | Refused) -> None:
        """Handle the room's answer to a request."""
        if isinstance(result, Refused):
            attachment.error = result.code
            self.say(Error(attachment.ref, None, result.code, result.message, result.details))
            self._finish(attachment, 0)
            return
        attachment.begin(result)
        if self.isGone:
            self._letGo(result)
        elif result.id != attachment.id:
            # The client was in that room already, and has got `Joined` again.
            self._forget(attachment)
        elif not attachment.isEnded:
            self._rooms[attachment.room] = attachment

    def _run(self, steps: Coroutine[Any, Any, None], ref: int | None) -> Deferred[None]:
        """Run a request. An unexpected error is logged, and the client gets `internal`."""

        def failed(failure: Failure) -> None:
            self.services.log.failure("a request of {id} failed", failure, id=self.connection.id)
            self.say(Error(ref, None, ErrorCode.INTERNAL))

        return Deferred.fromCoroutine(steps).addErrback(failed)

    # -- what the rooms send

    def joined(self, attachment: Attachment) -> None:
        """Note that the client has joined a room, and may send frames to it from now on."""
        self._rooms.setdefault(attachment.room, attachment)
        if self._pathReturn is not None and self._pathReturn.room == attachment.room:
            self._byPath = attachment
            self._pathReturn.stop()
            self._pathReturn = None

    def say(self, item: Item, isVolatile: bool = False) -> None:
        """
        Send an item. Called for every message.

        If too many bytes are queued for the client, volatile items are dropped. If an item that isn't
        volatile has to be dropped, the connection is closed, and the client resumes.
        """
        if self.isMute:
            return
        connection = self.connection
        if isVolatile and connection.refusedAmount > self.services.volatileLimit:
            return
        if type(item) is Replay:
            status = sendReplay(connection, self.dialect, item)
        else:
            message = item.prepared(self.dialect)
            if message is None:
                return
            status = connection.sendFrame(message)
        if status is DROPPED:
            self.isMute = True
            self.services.clock.callLater(0, self._tooSlow)

    def _tooSlow(self) -> None:
        """Close the connection of a slow client, which gets the missed messages when it resumes."""
        self._part()
        self.connection.close(self.dialect.closeCode(CloseCode.SLOW_CONSUMER), "too slow")

    def broken(self, attachment: Attachment) -> None:
        """End a link with 4104, so that the client resumes, because an item or a frame was lost."""
        self.services.outlet.detach((attachment.id,), CloseCode.STATE_LOST)
        self.services.clock.callLater(0, attachment.drop)

    def ended(self, attachment: Attachment, code: int, reason: str) -> None:
        """Tell the client that a room has ended its membership or has refused it, and end the attachment."""
        if attachment.isEnded:
            return
        if code == CloseCode.ROOM_MOVED and attachment.arrival is not None and attachment.error is None:
            self._askAgain(attachment, attachment.arrival)
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
        End an attachment.

        The connection is closed too if its path names this room, or if the client has misused the server or
        is too slow. Otherwise the client may use it for other rooms. If the room has moved, and the client
        can resume, the connection also stays open.
        """
        isByPath = attachment is self._byPath
        if attachment.error is not None and not attachment.isJoined:
            self.services.joinRefused(attachment.error, attachment.asked, self.connection.handshake)
        self._forget(attachment)
        if code in (CloseCode.MISUSE, CloseCode.SLOW_CONSUMER):
            self.close(code, reason)
        elif isByPath and attachment.isJoined and code in MOVED and self.canResume:
            self._left.append(None)
            over = partial(self.close, code, reason)
            self._pathReturn = PathReturn(self.services.clock, attachment.room, over)
        elif isByPath:
            code = code or closeCodeOf(attachment.error)
            self.close(code, reason or attachment.error or "")

    def _askAgain(self, former: Attachment, arrival: Join | Resume) -> None:
        """Ask for a seat at the next owner of a room that has moved before the client has joined."""
        again = Attachment(self, former.ref, *former.asked)
        byPath = again if former is self._byPath else self._byPath
        self._forget(former)
        self._byPath = byPath
        self._expect(again)

        def ask() -> None:
            if not again.isEnded:
                self._run(self._attach(again, lambda: replace(arrival, link=again.id)), again.ref)

        self.services.clock.callLater(0, ask)  # not in the middle of a state change

    def _forget(self, attachment: Attachment) -> None:
        """Forget an attachment that has ended."""
        attachment.isEnded = True
        if attachment is self._byPath:
            self._byPath = None
        self._attachments.pop(attachment.id, None)
        self.services.outlet.attachments.pop(attachment.id, None)
        if self._rooms.get(attachment.room) is attachment:
            del self._rooms[attachment.room]

    # -- the end

    def sayGoodbye(self, code: int, retryAfter: float) -> None:
        """Send `Bye` and close, because the server is shutting down. The client will reconnect and resume."""
        self.say(Bye(code, retryAfter))
        self.close(code, "server shutdown")

    def close(self, code: int, reason: str) -> None:
        """
        Close the connection in the next turn. The client may resume its memberships, unless it has left.

        Args:
            code: A close code of txroom; the dialect translates it.
            reason: The reason for the Close frame.
        """
        if not self.isMute:
            self.isMute = True
            self.services.clock.callLater(0, self._closed, code, reason)

    def _closed(self, code: int, reason: str) -> None:
        self._part()
        if self.connection.readyState is ReadyState.OPEN:
            self.connection.close(self.dialect.closeCode(code), shortened(reason))

    def disconnected(self, code: int) -> None:
        """Give up all rooms: the connection has ended. A client that closed it with 1000 leaves its rooms."""
        self.isMute = True
        self._part(hasLeft=code == CloseCode.NORMAL)

    def _part(self, hasLeft: bool = False) -> None:
        """End all attachments; a link that arrives later is ended at once."""
        if self.isGone:
            return
        self.isGone = True
        self._hasLeft = hasLeft
        if self._pathReturn is not None:
            self._pathReturn.stop()
        for attachment in list(self._attachments.values()):
            self._forget(attachment)
            if attachment.link is not None:
                self._letGo(attachment.link)

    def _letGo(self, link: Link) -> None:
        end = link.leave if self._hasLeft else link.drop
        end()
