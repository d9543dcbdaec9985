"""
Sessions: the edge's side of one client, for every kind of client.

A session has three states, one after another:

- *open*: it handles the client's messages, and sends the items of its rooms to the client.
- *mute*: it sends nothing more, and ignores the client's messages. The client has misused the server or was
  too slow, the room of its path has ended its membership, or the server is shutting down. The session closes
  the connection in the next turn of the reactor, because it may become mute during a state change.
- *gone*: the session has given up all its rooms for good; the client may resume them in a new session. If a
  room answers a request with a link now, the session drops that link.

`close`, and `say` for a slow client, lead from open to mute, and the end of the connection leads to gone.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ...core.codes import CloseCode, ErrorCode, ReadyState
from ...core.connection import Connection
from ...protocol.closecodes import MOVED, closeCodeOf, shortened
from ...protocol.errors import RoomError
from ..contract.arrivals import Join, Refused, Resume, askedAgain
from ..contract.commands import Frame
from ..contract.items import Error, Left
from ..contract.ports import Link
from ..plain import queryOptions
from .arriving import joinOf, resumeOf
from .attachment import Attachment, linkOf
from .departing import Departure, goodbye
from .formerrooms import FormerRooms
from .matchmaker import JoinMethod
from .pathreturn import PathReturn
from .ports import Dialect
from .services import EdgeServices
from .speaking import SpeakingSession

#: The most rooms that one connection may be in.
MAX_ROOMS = 16


class RoomSession(SpeakingSession):
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
        super().__init__(services, connection, dialect)
        #: Whether this session has given up all its rooms for good. The client may resume them in a new one.
        self.isGone = False
        #: Whether the client closed the connection with 1000, so that it leaves its rooms and can't resume.
        self._hasLeft = False
        #: The attachments that haven't ended, by link.
        self._attachments: dict[str, Attachment] = {}
        self._byPath: Attachment | None = None
        #: Set while the client is expected to resume the room of its path.
        self._pathReturn: PathReturn | None = None
        #: The last rooms that ended the membership; the client may not have got `Left` yet.
        self._left = FormerRooms(MAX_ROOMS)
        self._departure: Departure | None = None

    # -- what the client sends

    def received(self, message: str | bytes) -> None:
        """Handle a message of the client; ignore it if `isMute`."""
        raise NotImplementedError

    def attachmentOf(self, room: str | None) -> Attachment | None:
        """Return the attachment to a joined room by its id; `None` is the room of the client's path."""
        return self._byPath if room is None else self.rooms.get(room)

    def submit(self, room: str | None, ref: int | None, frame: Frame) -> None:
        """
        Pass a command of the client to a room. Called for every message.

        A client that isn't in the room gets an error. If the room has just ended the membership, the client
        may have sent the frame before it got `Left`; see `FormerRooms`.

        Args:
            room: The room's id; `None`: the room of the client's path.
            ref: The number that the client gave its request, for the error; `None`: it is not a request.
            frame: The command.
        """
        attachment = self._byPath if room is None else self.rooms.get(room)
        if attachment is not None:
            (attachment.link or attachment).submit(frame)
        elif room in self._left:
            error = self._left.submit(room, ref, frame)
            if error is not None:
                self.say(error)
        else:
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
        try:
            address = self.connection.handshake.peerNetwork
            self.services.arrivals.take(address, self.services.clock.seconds())
            options = self.optionsOfPath()
        except RoomError as error:
            attachment = self._byPath = Attachment(self, None, "path", name)
            return self._refuseJoin(attachment, error)
        attachment = self._byPath = Attachment(self, None, "path", name, self.stateFormatOfPath())
        return self._run(self._place(attachment, JoinMethod.JOIN_OR_CREATE, name, options), None)

    def _refuseJoin(self, attachment: Attachment, error: RoomError) -> Deferred[None]:
        """Refuse a client before any room is asked."""
        self._expect(attachment)
        self._settle(attachment, Refused.of(error))
        return succeed(None)

    def optionsOfPath(self) -> dict[str, Any]:
        """Return the options of a join by path: the query string. Raises `RoomError` if it is too long."""
        return queryOptions(self.connection.handshake)

    def stateFormatOfPath(self) -> str:
        """Return the format in which a client that joins by its path gets the state; see `Join`."""
        return ""

    def requestJoin(
        self,
        method: JoinMethod,
        name: str,
        options: Mapping[str, Any],
        ref: int | None,
        stateFormat: str = "",
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
            stateFormat: The format in which the client gets the state of the room; see `Join`.
        """
        if not self._mayEnter(ref):
            return succeed(None)
        attachment = Attachment(self, ref, method.value, name, stateFormat)
        return self._run(self._place(attachment, method, name, options), ref)

    def joinById(
        self, room: str, options: Mapping[str, Any], ref: int | None, stateFormat: str = ""
    ) -> Deferred[None]:
        """Ask for a seat in the room with that id. The Deferred fires when the request has been answered."""
        if not self._mayEnter(ref):
            return succeed(None)
        attachment = Attachment(self, ref, "joinById", room, stateFormat)
        return self._run(self._attach(attachment, partial(joinOf, self, attachment, room, options)), ref)

    def resume(
        self,
        room: str,
        token: str,
        epoch: str,
        offset: int,
        ref: int | None,
        attempt: int = 0,
        stateFormat: str = "",
        stateVersion: int | None = None,
    ) -> Deferred[None]:
        """Ask to continue a membership, like `joinById`. See `Resume` for the arguments."""
        if not self._mayEnter(ref):
            return succeed(None)
        attachment = Attachment(self, ref, "resume", room, stateFormat, stateVersion)
        resume = partial(resumeOf, self, attachment, room, token, epoch, offset, attempt)
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

    async def _place(
        self, attachment: Attachment, method: JoinMethod, name: str, options: Mapping[str, Any]
    ) -> None:
        self._expect(attachment)
        seat = self._seat(attachment, method, name, options)
        self._settle(attachment, await linkOf(Deferred.fromCoroutine(seat), self.services.log))

    async def _seat(
        self, attachment: Attachment, method: JoinMethod, name: str, asked: Mapping[str, Any]
    ) -> Link | Refused:
        """Return a link to a room of that name, or a refusal. Raises `RoomError` for wrong options."""
        services, address = self.services, self.connection.handshake.peerNetwork
        options = services.matchmaker.typed(name, asked, isText=attachment is self._byPath)

        def attach(room: str, isCreator: bool) -> Deferred[Link | Refused]:
            attachment.room = room
            join = attachment.arrival = joinOf(self, attachment, room, options, isCreator)
            return services.engine.attach(services.outlet, join)

        return await services.matchmaker.place(
            method, name, options, attach, lambda: services.creations.take(address, services.clock.seconds())
        )

    async def _attach(self, attachment: Attachment, arrivalOf: Callable[[], Join | Resume]) -> None:
        arrival = attachment.arrival = arrivalOf()
        self._expect(attachment)
        attachment.room = arrival.room
        asked = self.services.engine.attach(self.services.outlet, arrival)
        self._settle(attachment, await linkOf(asked, self.services.log))

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
            # The client was in that room already, and gets `Joined` again, or is joining.
            self._forget(attachment)
            former = self._attachments.get(result.id)
            if former is not None and not former.isJoined:
                former.others += (attachment,)
        elif not attachment.isEnded:
            self.rooms[attachment.room] = attachment

    def _run(self, steps: Coroutine[Any, Any, None], ref: int | None) -> Deferred[None]:
        """Run a request. An unexpected error is logged, and the client gets `internal`."""

        def failed(failure: Failure) -> None:
            self.services.log.failure("a request of {id} failed", failure, id=self.connection.id)
            self.say(Error(ref, None, ErrorCode.INTERNAL))

        return Deferred.fromCoroutine(steps).addErrback(failed)

    # -- what the rooms send

    def joined(self, attachment: Attachment, isRecovered: bool) -> None:
        """Note that the client has joined a room, and may send frames to it from now on."""
        self.rooms.setdefault(attachment.room, attachment)
        self._left.resumed(attachment.room)
        self.services.meters.joined(attachment.asked[0], isRecovered)
        if self._pathReturn is not None and self._pathReturn.room == attachment.room:
            self._byPath = attachment
            self._pathReturn.stop()
            self._pathReturn = None

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
            for error in attachment.unanswered(code):
                self.say(error)
            self.say(Left(attachment.room, code, reason))
            if code == CloseCode.ROOM_MOVED:
                self._left.add(attachment.room, attachment.link)
            elif not attachment.isLeaving:
                self._left.add(attachment.room)
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
            link = attachment.link if code == CloseCode.ROOM_MOVED else None
            self._left.add(attachment.room, link, isByPath=True)
            over = partial(self.close, code, reason)
            self._pathReturn = PathReturn(self.services.clock, attachment.room, over)
        elif isByPath:
            code = code or closeCodeOf(attachment.error)
            self.close(code, reason or attachment.error or "")

    def _askAgain(self, former: Attachment, arrival: Join | Resume) -> None:
        """Ask for a seat at the next owner of a room that has moved before the client has joined."""
        again = Attachment(self, former.ref, *former.asked, *former.stateAsked)
        byPath = again if former is self._byPath else self._byPath
        self._forget(former)
        self._byPath = byPath
        self._expect(again)

        def ask() -> None:
            if not again.isEnded:
                asked = askedAgain(arrival, again.id, again.ref)
                self._run(self._attach(again, lambda: asked), again.ref)

        self.services.clock.callLater(0, ask)  # not in the middle of a state change
        for other in former.others:
            self._askAgain(other, arrival)

    def _forget(self, attachment: Attachment) -> None:
        """Forget an attachment that has ended."""
        attachment.isEnded = True
        if attachment is self._byPath:
            self._byPath = None
        self._attachments.pop(attachment.id, None)
        self.services.outlet.attachments.pop(attachment.id, None)
        if self.rooms.get(attachment.room) is attachment:
            del self.rooms[attachment.room]

    # -- the end

    def sayGoodbye(self, code: int, retryAfter: float, reason: str = "server shutdown") -> None:
        """Send `Bye` and close, because the server is shutting down. The client will reconnect and resume."""
        for item in goodbye(self._attachments.values(), code, retryAfter):
            self.say(item)
        self.close(code, reason)

    def depart(self, code: int) -> Deferred[None]:
        """
        Say goodbye when no join is waited for any more, because the client has to go on at another process.
        The second call does so at once. The Deferred fires when the client is back, as far as that is known.
        """
        if self._departure is not None:
            self.sayGoodbye(code, 0.0, "server restart")
            return succeed(None)
        self._departure = Departure(self.services.clock, self.services.outlet.attachments.pop)
        self._departure.whenJoined(self._isJoining, partial(self._depart, code))
        return self._departure.over

    def _isJoining(self) -> bool:
        return not self.isMute and not all(each.isJoined for each in self._attachments.values())

    def _depart(self, code: int) -> list[Attachment]:
        """Say goodbye; return the attachments that last until the client is back."""
        if self.isMute:
            return []
        self.sayGoodbye(code, 0.0, "server restart")
        kept = [each for each in self._attachments.values() if each.isJoined and each.link is not None]
        for each in kept:
            del self._attachments[each.id]
        return kept

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
        if self._departure is not None and code == CloseCode.NORMAL:
            self._departure.end(hasLeft=True)

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
        self._left.end(hasLeft)

    def _letGo(self, link: Link) -> None:
        (link.leave if self._hasLeft else link.drop)()
