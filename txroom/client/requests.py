"""
What a client has asked the server, and who waits for the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..protocol.serverframes import Joined, Reply
from .callqueue import CallQueue, stop
from .codec import Codec, NotAFrame
from .connection import ClientState, Connection
from .options import ClientOptions

Answer = Joined | Reply
Done = Callable[[RoomError | None, Answer | None], object]


#: How far apart the numbers of two clients are, of which one goes on for the other.
_REFS = 1_000_000


class NoAnswer(RoomError):
    """The error of a request that the server has not answered."""


def _ignore(error: RoomError | None, found: Answer | None) -> None:
    """In the place of `done`, when a request is done."""


class Preparing(Protocol):
    """Something that will be a request."""

    def fail(self, error: RoomError) -> None:
        """It has failed: nothing can come of it any more."""


class Request:
    """
    A question to the server.

    ::

        waiting --connected--> sent --answered, refused, too late--> done
        sent --connection lost--> waiting, if it may be sent again; else done
        waiting --too late, nothing to come any more--> done
    """

    def __init__(
        self,
        frame: bytes | None,
        answer: type[Answer],
        done: Done,
        isResent: bool = False,
        isResentIfUnhandled: bool = False,
    ) -> None:
        #: `None`: it was asked otherwise, and only its answer is awaited.
        self.frame = frame
        self.answer = answer
        self.done = done
        #: Whether it outlives its connection.
        self.isResent = isResent
        #: Whether it does if the server surely has not acted on it.
        self.isResentIfUnhandled = isResentIfUnhandled
        self.isSent = False
        self.askedAt = 0.0
        self.sentAt = 0.0
        self.timer: IDelayedCall | None = None


class PendingRequests:
    """The questions of one client, by the number that their answers bear."""

    def __init__(
        self, connection: Connection, codec: Codec, queue: CallQueue, options: ClientOptions
    ) -> None:
        self._connection = connection
        self._codec = codec
        self._queue = queue
        self._options = options
        self._open: dict[int, Request] = {}
        self._lastRef = 0
        #: Requests that can't be asked yet.
        self._preparing: set[Preparing] = set()
        #: Requests to join that were asked over this connection and given up: the server may answer yet.
        self._givenUp: set[int] = set()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def lastRef(self) -> int:
        """The number of the last question."""
        return self._lastRef

    def skipRefsUpTo(self, ref: int) -> None:
        """Take no number that an earlier client has taken, which had come to `ref` or a little further."""
        self._lastRef = max(self._lastRef, (ref // _REFS + 1) * _REFS)

    # -- asking; all of it within `with queue:`, but for `fetch`

    def ask(
        self,
        build: Callable[[int], tuple[Any, ...]],
        done: Done,
        answer: type[Answer] = Reply,
        *,
        timeout: float | None = None,
        isResent: bool = False,
        isResentIfUnhandled: bool = False,
    ) -> Request | None:
        """
        Ask the server as soon as there is a connection, and take a frame of kind `answer` for an answer.

        `done` is called once, and at once when that comes: what follows it is read after.
        """
        seconds = self._options.requestTimeout if timeout is None else timeout
        now = self._queue.clock.seconds()
        self._lastRef += 1
        ref = self._lastRef
        try:
            if self._connection.state is ClientState.CLOSED:
                raise RoomError(ErrorCode.UNAVAILABLE, "the client is closed")
            if self._connection.state is ClientState.WAITING and self._connection.barredUntil > now + seconds:
                raise NoAnswer(ErrorCode.UNAVAILABLE, self._connection.trouble)
            frame = self._codec.write(*build(ref))
        except RoomError as error:
            done(error, None)
            return None

        def finish(error: RoomError | None, found: Answer | None) -> None:
            self._open.pop(ref, None)
            stop(request.timer)
            request.done = _ignore
            done(error, found)

        request = Request(frame, answer, finish, isResent, isResentIfUnhandled)
        request.askedAt = now
        request.timer = self._queue.later(seconds, self._late, ref, request, seconds)
        self._open[ref] = request
        if self._connection.state is ClientState.OPEN:
            self._transmit(request)
        else:
            self._connection.connect()
        return request

    def _late(self, ref: int, request: Request, seconds: float) -> None:
        """Its time is up, unless an answer may be coming in, slowly."""
        if request.isSent:
            until = request.askedAt + seconds + self._connection.patience
            rest = until - self._queue.clock.seconds()
            if rest > 0:
                request.timer = self._queue.later(min(rest, 1.0), self._late, ref, request, seconds)
                return
            if request.answer is Joined:
                self._givenUp.add(ref)
            request.done(NoAnswer(ErrorCode.TIMEOUT, f"no answer within {seconds:.3g} s"), None)
        else:
            why = f": {self._connection.trouble}" if self._connection.trouble else ""
            error = NoAnswer(ErrorCode.UNAVAILABLE, f"no connection within {seconds:.3g} s{why}")
            request.done(error, None)

    def fetch(
        self, build: Callable[[int], tuple[Any, ...]], read: Callable[[Request, Any], Any]
    ) -> Deferred[Any]:
        """Ask for the user, across connections: the Deferred has what `read` makes of the answer."""
        waiting = [True]
        result: Deferred[Any] = Deferred(lambda _: waiting.clear())

        def done(error: RoomError | None, reply: Answer | None) -> None:
            if not waiting:
                return
            if isinstance(reply, Reply) and request is not None:
                self._queue.post(result.callback, read(request, reply.data))
            else:
                self._queue.post(result.errback, error or RoomError(ErrorCode.INTERNAL))

        request: Request | None = None
        with self._queue:
            request = self.ask(build, done, isResent=True)
        return result

    def prepare(self, preparing: Preparing) -> None:
        """A request is being prepared: it is told if nothing can come of it."""
        self._preparing.add(preparing)

    def prepared(self, preparing: Preparing) -> None:
        """It is asked now, or was given up."""
        self._preparing.discard(preparing)

    def leave(self, room: str, done: Done = lambda error, answer: None) -> None:
        """Ask to leave."""
        self.ask(lambda ref: ("leave", ref, room), done, timeout=self._options.leaveTimeout)

    def expect(self, done: Done) -> int:
        """A number for an answer that `done` waits for, across connections."""
        self._lastRef += 1
        self._open[self._lastRef] = Request(None, Reply, done, isResent=True)
        return self._lastRef

    def forget(self, ref: int) -> None:
        """Nobody waits for that answer any more."""
        self._open.pop(ref, None)

    # -- what becomes of them

    def opened(self) -> None:
        """There is a connection: ask what could not be asked so far."""
        self._givenUp.clear()
        for request in list(self._open.values()):
            if request.frame is not None and not request.isSent:
                self._transmit(request)

    def answered(self, frame: Answer) -> bool:
        """An answer has come; whether it was waited for. Raises `NotAFrame` if it is of the wrong kind."""
        request = None if frame.ref is None else self._open.get(frame.ref)
        if request is None:
            if isinstance(frame, Joined) and frame.ref not in self._givenUp:
                raise NotAFrame("joined where nothing was asked")
            self._givenUp.discard(frame.ref or 0)
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

    def lost(self, code: int, *, isRefused: bool = False, since: int | None = None) -> None:
        """
        Fail the requests that are not sent again after the connection is lost.

        Sent again are those with `isResent`, and those with `isResentIfUnhandled` that the server has surely
        not acted on: it refused the connection (`isRefused`), or they were asked after the number `since`.
        """
        self._givenUp.clear()
        for ref, request in list(self._open.items()):
            if not request.isSent:
                continue
            isUndone = isRefused or (since is not None and ref > since)
            if request.isResent or (request.isResentIfUnhandled and isUndone):
                request.isSent = False
            else:
                error = RoomError(ErrorCode.UNAVAILABLE, "the connection was lost", {"code": code})
                request.done(error, None)

    def failExpiringBy(self, when: float, error: RoomError) -> None:
        """There is no connection before `when`: nothing can come of what has no time left then."""
        for request in list(self._open.values()):
            timer = request.timer
            if not request.isSent and timer is not None and timer.active() and timer.getTime() <= when:
                request.done(error, None)

    def failAll(self, error: RoomError) -> None:
        """Nothing more comes; those that `expect` are told by their rooms."""
        self._givenUp.clear()
        for request in [request for request in self._open.values() if request.frame is not None]:
            request.done(error, None)
        for preparing in list(self._preparing):
            preparing.fail(error)

    def _transmit(self, request: Request) -> None:
        request.isSent = True
        request.sentAt = self._queue.clock.seconds()
        if request.frame is not None:
            self._connection.write(request.frame)
