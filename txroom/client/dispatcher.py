"""
Passes each frame of the server to the membership or the request that it is for, and tells both when the
connection opens and ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.codes import CloseCode, ErrorCode
from ..protocol import serverframes as frames
from ..protocol.closecodes import errorOf, mayReconnect
from ..protocol.errors import RoomError
from ..protocol.serverframes import Joined, Reply
from .callqueue import CallQueue
from .codec import Codec, NotAFrame
from .connection import Attempt, ClientState, Connection, WebSocket, clampedDelay
from .context import ClientContext
from .events import Events
from .heartbeat import Heartbeat
from .membership import Membership
from .notifications import NOTIFY, Notifications
from .options import ClientOptions
from .pendingjoins import PendingJoins
from .requests import PendingRequests

#: Errors without a ref with these codes are ignored: they answer frames that the client had sent to a room
#: before the room ended or was left.
_LATE_ERRORS = frozenset({ErrorCode.NO_SUCH_ROOM, ErrorCode.ROOM_GONE})
#: How many characters that the server has sent an error message may contain.
_MAX_TEXT = 500

_log = Logger()


class Dispatcher:
    """The connection, the requests and the memberships of one client."""

    def __init__(
        self, connect: Callable[[Attempt], WebSocket], clock: IReactorTime, options: ClientOptions
    ) -> None:
        self.queue = CallQueue(clock)
        self.events = Events(self.queue.post, _noListener)
        self.connection = Connection(self, connect, self.queue, self.events, options)
        self.codec = Codec(options.protocol)
        self.requests = PendingRequests(self.connection, self.codec, self.queue, options)
        self.heartbeat = Heartbeat(self.connection, self.requests, self.queue, self.events, options)
        self.notifications = Notifications(
            self.connection, self.codec, self.queue, self.events, options.device
        )
        self.joins: PendingJoins[Any] = PendingJoins()
        #: The memberships by the ids of their rooms.
        self.memberships: dict[str, Membership] = {}
        self.context = ClientContext(
            options,
            self.queue,
            self.codec,
            self.connection,
            self.requests,
            self.joins.mayLeadTo,
            self.memberships.__contains__,
            self.events.report,
        )
        #: Whether no message has arrived over this connection yet.
        self._isFresh = False
        #: The error with which the server has refused this connection.
        self._refusal: RoomError | None = None
        #: Whether the server has said goodbye. It has answered all requests to join that it has read, and
        #: reads nothing more.
        self._hasGoodbye = False
        #: For each close code in a `left` frame of this connection, the ref of the last request before it.
        self._leftAfter: dict[int, int] = {}

    # -- called by the connection

    @property
    def isBusy(self) -> bool:
        """Whether a membership, a request or a listener for notifications needs a connection."""
        return bool(self.memberships or self.requests or self.notifications.isWanted)

    def connecting(self) -> None:
        """Forget the refusal of the last connection, because an attempt to connect begins."""
        self._refusal = None

    def opened(self) -> None:
        """Resume all memberships and send the pending requests, because the connection is open."""
        self._isFresh = True
        self._hasGoodbye = False
        self._leftAfter = {}
        for membership in list(self.memberships.values()):
            membership.connected()
        self.requests.opened()
        self.notifications.opened()
        self.heartbeat.start()

    def progress(self) -> None:
        """Tell the heartbeat that bytes have arrived."""
        self.heartbeat.received()

    def isFinal(self, code: int, reason: str) -> bool:
        """
        Return whether the client must not reconnect after a connection ended with that code and reason.

        If the server has sent a `left` frame with that code before, the code is about that room only, and
        the client reconnects for the other rooms.
        """
        return not mayReconnect(code, reason) and code not in self._leftAfter

    def lost(self, code: int, reason: str) -> None:
        """
        Interrupt all memberships, and fail the requests that are not sent again, because the connection is
        lost. The client will reconnect if anything needs a connection.
        """
        self.heartbeat.stop()
        self.notifications.lost()
        for membership in list(self.memberships.values()):
            membership.away(code, reason)
        isUnread = self._refusal is not None or self._hasGoodbye
        self.requests.lost(code, isUnread=isUnread, since=self._leftAfter.get(code))

    def delayed(self, seconds: float) -> None:
        """
        Fail the requests whose time ends before the next attempt, because the server has asked the client to
        wait for that many seconds.
        """
        trouble = self.connection.trouble
        error = self._refusal or RoomError(ErrorCode.UNAVAILABLE, trouble, {"retryAfter": seconds})
        self.requests.failExpiringBy(self.queue.clock.seconds() + seconds, error)

    def ended(self, code: int, reason: str) -> None:
        """
        End all memberships and fail all requests, because the client does not reconnect. Report why to those
        who only listen for notifications.
        """
        self.heartbeat.stop()
        self.notifications.lost()
        error = self._refusal or RoomError(errorOf(code), reason, {"code": code})
        isTold = self.memberships or self.requests.areAwaited
        if self.notifications.isWanted and not isTold and self.connection.state is not ClientState.CLOSED:
            self.events.report(Failure(error))
        for membership in list(self.memberships.values()):
            membership.end(code, reason)
        self.requests.failAll(error)

    def received(self, message: bytes, isBinary: bool) -> None:
        """Read a message, and close the connection if it is not a frame."""
        self.heartbeat.received()
        try:
            frame = self.codec.read(message, isBinary)
            if frame is not None:
                self._dispatch(frame)
        except NotAFrame as error:
            text = f"the server sent a message that is not a frame: {error}"[:_MAX_TEXT]
            self.events.report(Failure(RoomError(ErrorCode.BAD_REQUEST, text)))
            self.connection.drop("not a frame", code=CloseCode.MISUSE)
        self._isFresh = False

    # -- frames

    def _dispatch(self, frame: frames.ServerFrame) -> None:
        if type(frame) is frames.Message:  # most are, and isinstance takes long for Structs
            membership = self.memberships.get(frame.room)
            if membership is not None:
                membership.message(frame)
        elif isinstance(frame, Joined) and frame.ref is None:
            self._joinedByPath()
        elif isinstance(frame, Joined | Reply):
            if not self.requests.answered(frame) and isinstance(frame, Joined):
                self.context.decline(frame)
        elif isinstance(frame, frames.Error):
            self._refused(frame)
        elif isinstance(frame, frames.Bye):
            self._hasGoodbye = True
            self.connection.expectEnd(frame)
            self.events.tell("bye", frame.code, clampedDelay(frame.retryAfter))
        elif isinstance(frame, frames.Notify):
            self.notifications.received(frame)
        elif isinstance(frame, frames.Notified):
            self.notifications.subscribed(frame)
        else:
            membership = self.memberships.get(frame.room)
            if membership is not None:
                if isinstance(frame, frames.Left) and not mayReconnect(frame.code):
                    self._leftAfter[frame.code] = self.requests.lastRef
                membership.receive(frame)

    def _refused(self, frame: frames.Error) -> None:
        try:
            error = RoomError(frame.code, frame.message or "", frame.details)
        except (TypeError, ValueError) as mistake:
            raise NotAFrame(f"the details of an error are not plain data: {mistake}") from None
        membership = None if frame.room is None else self.memberships.get(frame.room)
        if frame.ref is not None:
            self.requests.refused(frame.ref, error)
        elif membership is not None:
            self.queue.post(membership.report, Failure(error))
        elif frame.room is None and self._isFresh and not _isAboutNotifications(error):
            self._refuse(error)
        elif frame.code not in _LATE_ERRORS:
            self.events.report(Failure(error))

    def _joinedByPath(self) -> None:
        """
        End the connection: the path of its URL joins a room, and would do so again at each reconnection.
        """
        url = self.connection.url
        rooms = url.partition(" ")[0].rstrip("/").rpartition("/")[0]
        hint = f"pass the URL of all rooms, {rooms}, and join by the name of the room"
        text = f"{url} is the URL of one room: {hint}"
        self._refusal = RoomError(ErrorCode.BAD_REQUEST, text)
        self.connection.end(text)

    def _refuse(self, error: RoomError) -> None:
        """Note that the server has refused this connection with that error, and will close it."""
        self._refusal = error
        retryAfter = error.details.get("retryAfter") if isinstance(error.details, dict) else None
        isNumber = isinstance(retryAfter, int | float) and not isinstance(retryAfter, bool)
        self.connection.expectEnd(frames.Bye(0, retryAfter if isNumber else None), str(error)[:_MAX_TEXT])


def _isAboutNotifications(error: RoomError) -> bool:
    """Return whether the server has refused the subscription to notifications, but not the connection."""
    return isinstance(error.details, dict) and error.details.get("frame") == NOTIFY


def _noListener(failure: Failure) -> None:
    """Log an error if no listener receives it."""
    if isinstance(failure.value, RoomError):
        _log.warn("{error}", error=str(failure.value)[:_MAX_TEXT])
    else:
        _log.failure("A listener raised an exception", failure)
