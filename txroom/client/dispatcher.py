"""
Gives each frame of the server to the membership or the request that it is for, and tells both of connections.
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
from .connection import Attempt, Connection, WebSocket, clampedDelay
from .context import ClientContext
from .events import Events
from .heartbeat import Heartbeat
from .membership import Membership
from .options import ClientOptions
from .pendingjoins import PendingJoins
from .requests import PendingRequests

#: Errors without a ref that answer what was on its way to a room which was left, or has ended.
_OF_NO_ROOM = frozenset({ErrorCode.NO_SUCH_ROOM, ErrorCode.ROOM_GONE})
#: Characters of what the server says in an error of ours.
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
        self.joins: PendingJoins[Any] = PendingJoins()
        #: By the ids of their rooms.
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
        #: Whether nothing has come over this connection, and what the server has refused it with.
        self._isFresh = False
        self._refusal: RoomError | None = None
        #: By the codes of `left` frames that came over this connection: the last request before.
        self._leftAfter: dict[int, int] = {}

    # -- what the connection tells

    @property
    def isBusy(self) -> bool:
        """Whether anybody needs a connection."""
        return bool(self.memberships or self.requests)

    def connecting(self) -> None:
        """An attempt begins."""
        self._refusal = None

    def opened(self) -> None:
        """There is a connection."""
        self._isFresh = True
        self._leftAfter = {}
        for membership in list(self.memberships.values()):
            membership.connected()
        self.requests.opened()
        self.heartbeat.start()

    def progress(self) -> None:
        """Bytes have come."""
        self.heartbeat.received()

    def isFinal(self, code: int, reason: str) -> bool:
        """
        Whether nothing more can come of a connection that ended so.

        Not if the code is that of a room which was left before: that concerns nobody else.
        """
        return not mayReconnect(code, reason) and code not in self._leftAfter

    def lost(self, code: int, reason: str) -> None:
        """The connection is lost; there will be another, if it is needed."""
        self.heartbeat.stop()
        for membership in list(self.memberships.values()):
            membership.away(code, reason)
        self.requests.lost(code, isRefused=self._refusal is not None, since=self._leftAfter.get(code))

    def delayed(self, seconds: float) -> None:
        """The server has asked to stay away for so long."""
        trouble = self.connection.trouble
        error = self._refusal or RoomError(ErrorCode.UNAVAILABLE, trouble, {"retryAfter": seconds})
        self.requests.failExpiringBy(self.queue.clock.seconds() + seconds, error)

    def ended(self, code: int, reason: str) -> None:
        """Nothing more comes of this connection: everybody is told."""
        self.heartbeat.stop()
        for membership in list(self.memberships.values()):
            membership.end(code, reason)
        error = RoomError(errorOf(code), reason, {"code": code})
        self.requests.failAll(self._refusal or error)

    def received(self, message: bytes, isBinary: bool) -> None:
        """A message has come."""
        self.heartbeat.received()
        try:
            frame = self.codec.read(message, isBinary)
            if frame is not None:
                self._dispatch(frame)
        except NotAFrame as error:
            text = f"the server sent what is no frame: {error}"[:_MAX_TEXT]
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
            self.connection.expectEnd(frame)
            self.events.tell("bye", frame.code, clampedDelay(frame.retryAfter))
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
            raise NotAFrame(f"details of an error: {mistake}") from None
        membership = None if frame.room is None else self.memberships.get(frame.room)
        if frame.ref is not None:
            self.requests.refused(frame.ref, error)
        elif membership is not None:
            self.queue.post(membership.report, Failure(error))
        elif frame.room is None and self._isFresh:
            self._refuse(error)
        elif frame.code not in _OF_NO_ROOM:
            self.events.report(Failure(error))

    def _joinedByPath(self) -> None:
        """The path of the URL has joined a room by itself: it would again with each connection."""
        url = self.connection.url
        rooms = url.partition(" ")[0].rstrip("/").rpartition("/")[0]
        text = f"{url} is the URL of one room: give the client that of the rooms, {rooms}"
        self._refusal = RoomError(ErrorCode.BAD_REQUEST, text)
        self.connection.end(text)

    def _refuse(self, error: RoomError) -> None:
        """The server does not want this connection, and will close it."""
        self._refusal = error
        retryAfter = error.details.get("retryAfter") if isinstance(error.details, dict) else None
        isNumber = isinstance(retryAfter, int | float) and not isinstance(retryAfter, bool)
        self.connection.expectEnd(frames.Bye(0, retryAfter if isNumber else None), str(error)[:_MAX_TEXT])


def _noListener(failure: Failure) -> None:
    """Log an error that nobody listens to."""
    if isinstance(failure.value, RoomError):
        _log.warn("{error}", error=str(failure.value)[:_MAX_TEXT])
    else:
        _log.failure("a listener failed", failure)
