"""
What a client has asked the server, and who waits for the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from ..codes import ErrorCode
from ..rooms.errors import RoomError
from .frames import Codec, Joined, NotAFrame, Reply
from .line import ClientState, Line
from .options import ClientOptions
from .turn import Turn, stop

Answer = Joined | Reply
Done = Callable[[RoomError | None, Answer | None], object]


#: How far apart the numbers of two clients are, of which one goes on for the other.
_REFS = 1_000_000


class NoAnswer(RoomError):
    """The error of a request that the server has not answered."""


class Request:
    """A question to the server."""

    def __init__(self, frame: bytes | None, answer: type[Answer], done: Done, isRepeated: bool) -> None:
        #: `None`: it was asked otherwise, and only its answer is awaited.
        self.frame = frame
        self.answer = answer
        self.done = done
        #: Whether it outlives its connection.
        self.isRepeated = isRepeated
        self.isSent = False
        self.sentAt = 0.0
        self.timer: IDelayedCall | None = None


class Requests:
    """The questions of one client, by the number that their answers bear."""

    def __init__(self, line: Line, codec: Codec, turn: Turn, options: ClientOptions) -> None:
        self._line = line
        self._codec = codec
        self._turn = turn
        self._options = options
        self._open: dict[int, Request] = {}
        self._lastRef = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def lastRef(self) -> int:
        """The number of the last question."""
        return self._lastRef

    def goOnFrom(self, ref: int) -> None:
        """Take no number that an earlier client has taken, which had come to `ref` or a little further."""
        self._lastRef = max(self._lastRef, (ref // _REFS + 1) * _REFS)

    # -- asking; all of it within a turn, but for `answerTo`

    def ask(
        self,
        build: Callable[[int], tuple[Any, ...]],
        done: Done,
        answer: type[Answer] = Reply,
        *,
        timeout: float | None = None,
        isRepeated: bool = False,
    ) -> Request | None:
        """
        Ask the server as soon as there is a connection, and take a frame of kind `answer` for an answer.

        `done` is called once, and at once when that comes: what follows it is read after.
        """
        seconds = self._options.requestTimeout if timeout is None else timeout
        self._lastRef += 1
        ref = self._lastRef
        try:
            if self._line.state is ClientState.CLOSED:
                raise RoomError(ErrorCode.UNAVAILABLE, "the client is closed")
            frame = self._codec.write(*build(ref))
        except RoomError as error:
            done(error, None)
            return None

        def finish(error: RoomError | None, found: Answer | None) -> None:
            self._open.pop(ref, None)
            stop(request.timer)
            done(error, found)

        def late() -> None:
            code = ErrorCode.TIMEOUT if request.isSent else ErrorCode.UNAVAILABLE
            what = "answer" if request.isSent else "connection"
            request.done(NoAnswer(code, f"no {what} within {seconds:g} s"), None)

        request = Request(frame, answer, finish, isRepeated)
        request.timer = self._turn.later(seconds, late)
        self._open[ref] = request
        if self._line.state is ClientState.OPEN:
            self._transmit(request)
        else:
            self._line.connect()
        return request

    def answerTo(
        self, build: Callable[[int], tuple[Any, ...]], read: Callable[[Request, Any], Any]
    ) -> Deferred[Any]:
        """Ask for the user, across connections: the Deferred has what `read` makes of the answer."""
        waiting = [True]
        result: Deferred[Any] = Deferred(lambda _: waiting.clear())

        def done(error: RoomError | None, reply: Answer | None) -> None:
            if not waiting:
                return
            if isinstance(reply, Reply) and request is not None:
                self._turn.post(result.callback, read(request, reply.data))
            else:
                self._turn.post(result.errback, error or RoomError(ErrorCode.INTERNAL))

        request: Request | None = None
        with self._turn:
            request = self.ask(build, done, isRepeated=True)
        return result

    def leave(self, room: str, done: Done = lambda error, answer: None) -> None:
        """Ask to be let go."""
        self.ask(lambda ref: ("leave", ref, room), done, timeout=self._options.leaveTimeout)

    def expect(self, done: Done) -> int:
        """A number for an answer that `done` waits for, across connections."""
        self._lastRef += 1
        self._open[self._lastRef] = Request(None, Reply, done, True)
        return self._lastRef

    def forget(self, ref: int) -> None:
        """Nobody waits for that answer any more."""
        self._open.pop(ref, None)

    # -- what becomes of them

    def opened(self) -> None:
        """There is a connection: ask what could not be asked so far."""
        for request in list(self._open.values()):
            if request.frame is not None and not request.isSent:
                self._transmit(request)

    def answered(self, frame: Answer) -> bool:
        """An answer has come; whether it was waited for. Raises `NotAFrame` if it is of the wrong kind."""
        request = None if frame.ref is None else self._open.get(frame.ref)
        if request is None:
            return False
        if not isinstance(frame, request.answer):
            raise NotAFrame(f"{type(frame).__name__} where {request.answer.__name__} is due")
        request.done(None, frame)
        return True

    def refused(self, ref: int, error: RoomError) -> None:
        """The server has answered with an error."""
        request = self._open.get(ref)
        if request is not None:
            request.done(error, None)

    def lost(self, code: int) -> None:
        """The connection is lost: what is not asked again over the next one has failed."""
        for request in list(self._open.values()):
            if not request.isSent:
                continue
            if request.isRepeated:
                request.isSent = False
            else:
                error = RoomError(ErrorCode.UNAVAILABLE, "the connection was lost", {"code": code})
                request.done(error, None)

    def failAll(self, error: RoomError) -> None:
        """Nothing more comes; those that `expect` are told by their rooms."""
        for request in [request for request in self._open.values() if request.frame is not None]:
            request.done(error, None)

    def _transmit(self, request: Request) -> None:
        request.isSent = True
        request.sentAt = self._turn.clock.seconds()
        if request.frame is not None:
            self._line.write(request.frame)
