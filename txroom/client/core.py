"""
What joins the parts of a client: what comes from the server finds its way to the rooms and requests.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..codes import CloseCode, ErrorCode
from ..rooms.errors import RoomError
from . import frames
from .events import Events
from .frames import Codec, Joined, NotAFrame, Reply
from .heartbeat import Heartbeat
from .line import Attempt, Line, Wire
from .options import ClientOptions
from .requests import Requests
from .shared import Shared
from .stay import Stay
from .turn import Turn

_ERRORS: dict[int, ErrorCode] = {
    CloseCode.UNAUTHORIZED: ErrorCode.UNAUTHORIZED,
    CloseCode.KICKED: ErrorCode.FORBIDDEN,
    CloseCode.NO_SUCH_ROOM: ErrorCode.NO_SUCH_ROOM,
    CloseCode.ROOM_CLOSED: ErrorCode.ROOM_GONE,
    CloseCode.MISUSE: ErrorCode.BAD_REQUEST,
    CloseCode.RATE_ABUSE: ErrorCode.RATE_LIMITED,
}


class Core:
    """The owner of the line, the requests and the stays in rooms."""

    _log = Logger()

    def __init__(
        self, connect: Callable[[Attempt], Wire], clock: IReactorTime, options: ClientOptions
    ) -> None:
        self.turn = Turn(clock)
        self.events = Events(self.turn.post, self._unheard)
        self.line = Line(self, connect, self.turn, self.events, options)
        self.codec = Codec(options.protocol)
        self.requests = Requests(self.line, self.codec, self.turn, options)
        self.heartbeat = Heartbeat(self.line, self.requests, self.turn, self.events, options)
        self.shared = Shared(options, self.turn, self.codec, self.line, self.requests, self.events.report)
        #: By the ids of their rooms.
        self.stays: dict[str, Stay] = {}

    # -- for the line

    @property
    def isBusy(self) -> bool:
        """Whether anybody needs a connection."""
        return bool(self.stays or self.requests)

    def opened(self) -> None:
        """There is a connection."""
        for stay in list(self.stays.values()):
            stay.connected()
        self.requests.opened()
        self.heartbeat.start()

    def away(self, code: int, reason: str) -> None:
        """The connection is lost; there will be another, if it is needed."""
        self.heartbeat.stop()
        for stay in list(self.stays.values()):
            stay.away(code, reason)
        self.requests.lost(code)

    def over(self, code: int, reason: str) -> None:
        """Nothing more comes of this connection: everybody is told."""
        self.heartbeat.stop()
        for stay in list(self.stays.values()):
            stay.end(code, reason)
        error = RoomError(_ERRORS.get(code, ErrorCode.UNAVAILABLE), reason, {"code": code})
        self.requests.failAll(error)

    def received(self, message: bytes, isBinary: bool) -> None:
        """A message has come."""
        self.heartbeat.heard()
        try:
            frame = self.codec.read(message, isBinary)
            if frame is not None:
                self._dispatch(frame)
        except NotAFrame as error:
            text = f"the server sent what is no frame: {error}"
            self.events.report(Failure(RoomError(ErrorCode.BAD_REQUEST, text)))
            self.line.drop("not a frame", code=CloseCode.MISUSE)

    # -- what comes in

    def _dispatch(self, frame: frames.ServerFrame) -> None:
        if isinstance(frame, Joined | Reply):
            isAwaited = self.requests.answered(frame)
            if isinstance(frame, Joined) and not isAwaited and frame.room not in self.stays:
                self.requests.leave(frame.room)
        elif isinstance(frame, frames.Error):
            self._refused(frame)
        elif isinstance(frame, frames.Bye):
            self.line.expectEnd(frame)
            self.events.tell("bye", frame.code, max(0.0, frame.retryAfter or 0.0))
        else:
            stay = self.stays.get(frame.room)
            if stay is not None:
                stay.receive(frame)

    def _refused(self, frame: frames.Error) -> None:
        error = RoomError(frame.code, frame.message or "", frame.details)
        stay = None if frame.room is None else self.stays.get(frame.room)
        if frame.ref is not None:
            self.requests.refused(frame.ref, error)
        elif stay is not None:
            self.turn.post(stay.hearing.events.report, Failure(error))
        else:
            self.events.report(Failure(error))

    def _unheard(self, failure: Failure) -> None:
        if isinstance(failure.value, RoomError):
            self._log.warn("{error}", error=failure.value)
        else:
            self._log.failure("a listener failed", failure)
