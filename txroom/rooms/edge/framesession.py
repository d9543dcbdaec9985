"""
The session of a client that speaks the room protocol, version 1: it passes the client's frames to rooms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.awaitables import clearTraceback
from ...core.codes import CloseCode
from ...core.connection import Connection
from ...core.misuse import MisuseCounter
from ...core.tokenbucket import TokenBucket
from ...protocol import clientframes as frames
from ...protocol.errors import BadFrame, RoomError
from ..contract.commands import Call, CallFailed, CallReply, Leave, ListMembers, Send
from ..contract.items import Error, RequestReply
from ..contract.listing import Listing
from ..contract.notices import Place
from .dialect import FrameDialect, UnreadableMessage
from .matchmaker import JoinMethod
from .notifier import Notifier
from .services import EdgeServices
from .session import RoomSession

#: Requests to join, to resume or to list rooms that a client may make a second, and at once: small frames
#: that cost much work. A client in 16 rooms that reconnects to a server without these rooms makes 32 requests
#: at once.
REQUEST_RATE = 2.0
REQUEST_BURST = 40.0
#: The most rooms in the answer to `rooms`; a filter finds the others.
MAX_LISTINGS = 100

#: The key in the query of a path that asks for the state, and the formats of it.
STATE_OF_PATH = "txroom.state"
NATIVE = "native"

_JOIN_METHODS: dict[type, JoinMethod] = {
    frames.JoinFrame: JoinMethod.JOIN_OR_CREATE,
    frames.JoinOnlyFrame: JoinMethod.JOIN,
    frames.CreateFrame: JoinMethod.CREATE,
}


class FrameSession(RoomSession):
    """The session of a client that speaks the room protocol."""

    dialect: FrameDialect
    canResume = True
    #: Sends the notifications of the user, if the client has asked for them.
    _notifier: Notifier | None = None

    def __init__(self, services: EdgeServices, connection: Connection, dialect: FrameDialect) -> None:
        super().__init__(services, connection, dialect)
        self._misuse = MisuseCounter()
        self._requests = TokenBucket(REQUEST_RATE, REQUEST_BURST, services.clock.seconds())

    def received(self, message: str | bytes) -> None:
        """Handle a message of the client. Called for every message."""
        if self.isMute:
            return
        try:
            frame = self.dialect.decode(message)
            if type(frame) is frames.SendFrame:
                self.submit(frame.room, None, Send(frame.type, bytes(frame.data), frame.n))
            elif type(frame) is frames.CallFrame:
                command = Call(frame.ref, frame.type, bytes(frame.data), frame.n)
                attachment = self.attachmentOf(frame.room)
                if frame.n is None and attachment is not None:
                    attachment.called(frame.ref)
                self.submit(frame.room, frame.ref, command)
            else:
                _HANDLERS[type(frame)](self, frame)
        except UnreadableMessage as error:
            attachment = self.attachmentOf(error.room)
            if attachment is not None:
                attachment.submit(error.unreadable)
            elif not self.hasJustLeft(error.room):
                self._refuse(error)
        except BadFrame as error:
            self._refuse(error)

    def _refuse(self, error: BadFrame) -> None:
        """
        Answer a message that is not a valid frame with an error.

        It counts as a mistake, unless only its options are wrong. A message that is not well-formed closes
        the connection at once, because its number `n` can't be known.
        """
        self.say(Error(error.ref, None, error.code, error.message, error.details))
        if error.isFatal:
            self.close(CloseCode.MISUSE, "not a frame")
        elif error.isStrike and self._misuse.add(self.services.clock.seconds()):
            self.close(CloseCode.MISUSE, "too many bad frames")

    # -- in the room of the path

    def optionsOfPath(self) -> dict[str, Any]:
        """Return the options of a join by path, without what the client asks for besides."""
        options = super().optionsOfPath()
        options.pop(STATE_OF_PATH, None)
        return options

    def stateFormatOfPath(self) -> str:
        """Return the format in which a client that joins by its path gets the state."""
        return NATIVE if self.connection.handshake.query.get(STATE_OF_PATH) == "1" else ""

    # -- to a room

    def _reply(self, frame: frames.ReplyFrame) -> None:
        self.submit(frame.room, None, CallReply(frame.ref, bytes(frame.data)))

    def _error(self, frame: frames.ErrorFrame) -> None:
        self.submit(frame.room, None, CallFailed(frame.ref, frame.code, frame.message))

    def _leave(self, frame: frames.LeaveFrame) -> None:
        attachment = self.attachmentOf(frame.room)
        if attachment is not None:
            attachment.isLeaving = True
        self.submit(frame.room, frame.ref, Leave(frame.ref))

    # -- requests

    def _ping(self, frame: frames.PingFrame) -> None:
        self.say(RequestReply(frame.ref))

    def _join(self, frame: frames.JoinFrame | frames.JoinOnlyFrame | frames.CreateFrame) -> None:
        if self._mayAsk(frame.ref):
            options = self.dialect.options(frame.options, "options", frame.ref)
            format = _formatOf(frame.features)
            self.requestJoin(_JOIN_METHODS[type(frame)], frame.name, options, frame.ref, format)

    def _joinById(self, frame: frames.JoinByIdFrame) -> None:
        if self._mayAsk(frame.ref):
            options = self.dialect.options(frame.options, "options", frame.ref)
            self.joinById(frame.room, options, frame.ref, _formatOf(frame.features))

    def _resume(self, frame: frames.ResumeFrame) -> None:
        if self._mayAsk(frame.ref):
            format, version = _formatOf(frame.features), frame.features.stateVersion
            self.resume(
                frame.room, frame.token, frame.epoch, frame.offset, frame.ref, frame.attempt, format, version
            )

    def _query(self, frame: frames.RoomsFrame) -> None:
        if not self._mayAsk(frame.ref):
            return
        filter = self.dialect.options(frame.filter, "filter", frame.ref)

        async def query() -> None:
            try:
                found = await self.services.matchmaker.query(frame.name, filter, MAX_LISTINGS)
            except RoomError as error:
                clearTraceback(error)
                self.say(Error(frame.ref, None, error.code, error.message, error.details))
            else:
                self.say(RequestReply(frame.ref, [publicListing(listing) for listing in found]))

        self._run(query(), frame.ref)

    def _members(self, frame: frames.MembersFrame) -> None:
        if self._mayAsk(frame.ref):
            self.submit(frame.room, frame.ref, ListMembers(frame.ref, frame.after))

    def _notify(self, frame: frames.NotifyFrame) -> None:
        place = Place(frame.epoch, frame.n) if frame.epoch else None
        if self._notifier is not None:
            self._notifier.acknowledged(place)
        elif self._mayAsk(None):
            try:
                user = self.services.users.idOf(self.connection.user)
            except RoomError as error:
                self.say(Error(None, None, error.code, error.message, error.details))
            else:
                notices = self.services.users.notices
                clock, say = self.services.clock, self.say
                self._notifier = Notifier(notices, clock, say, user, frame.device or "", place)
                self._notifier.start()

    def _part(self, hasLeft: bool = False) -> None:
        super()._part(hasLeft)
        if self._notifier is not None:
            self._notifier.stop()

    def _mayAsk(self, ref: int | None) -> bool:
        """Return whether the client may make one more expensive request; if not, refuse it."""
        if self._requests.take(self.services.clock.seconds()):
            return True
        self._askedTooMuch(ref, "too many requests")
        return False


#: The handlers of frames other than messages.
_HANDLERS: dict[type, Callable[[FrameSession, Any], None]] = {
    frames.ReplyFrame: FrameSession._reply,
    frames.ErrorFrame: FrameSession._error,
    frames.JoinFrame: FrameSession._join,
    frames.JoinOnlyFrame: FrameSession._join,
    frames.CreateFrame: FrameSession._join,
    frames.JoinByIdFrame: FrameSession._joinById,
    frames.ResumeFrame: FrameSession._resume,
    frames.LeaveFrame: FrameSession._leave,
    frames.RoomsFrame: FrameSession._query,
    frames.MembersFrame: FrameSession._members,
    frames.PingFrame: FrameSession._ping,
    frames.NotifyFrame: FrameSession._notify,
}


def _formatOf(features: frames.Features) -> str:
    """Return the format of the state for a client; see `Join.stateFormat`."""
    return NATIVE if features.state else ""


def publicListing(listing: Listing) -> dict[str, Any]:
    """Return the part of a listing that clients see."""
    return {
        "room": listing.room,
        "name": listing.name,
        "clients": listing.clients,
        "maxClients": listing.maxClients,
        "locked": listing.isLocked or listing.isFull,
        "metadata": listing.metadata,
    }
