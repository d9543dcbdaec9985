"""
The requests of a client to the server, until they are answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..protocol.limits import MAX_NUMBER
from ..protocol.serverframes import Joined, Reply
from .callqueue import CallQueue, stop
from .codec import Codec, NotAFrame
from .connection import ClientState, Connection
from .options import ClientOptions

Answer = Joined | Reply
Done = Callable[[RoomError | None, Answer | None], object]


#: A client that resumes for another one takes its refs from the next multiple of this number.
_REFS = 1_000_000


class NoAnswer(RoomError):
    """The error of a request that the server has not answered."""


def _ignore(error: RoomError | None, found: Answer | None) -> None:
    """Do nothing. This replaces `done` after a request has ended, so that it is called once."""


class Preparing(Protocol):
    """A request that cannot be sent yet, for instance because its credentials are not known."""

    def fail(self, error: RoomError) -> None:
        """Fail the request."""


class Request:
    """
    A request to the server.

    ::

        waiting --connected--> sent --answered, refused, timed out--> done
        sent --connection lost--> waiting, if it may be sent again; otherwise done
        waiting --timed out, client does not reconnect--> done
    """

    def __init__(
        self,
        frame: bytes | None,
        answer: type[Answer],
        done: Done,
        isResent: bool = False,
        isResentIfUnhandled: bool = False,
    ) -> None:
        #: `None`: another object sends the frame, and only the answer is handled here.
        self.frame = frame
        self.answer = answer
        self.done = done
        #: Whether it is sent again over the next connection.
        self.isResent = isResent
        #: Whether it is sent again if the server has certainly not acted on it.
        self.isResentIfUnhandled = isResentIfUnhandled
        self.isSent = False
        self.askedAt = 0.0
        self.sentAt = 0.0
        self.timer: IDelayedCall | None = None


class PendingRequests:
    """The requests of one client by their refs, the numbers that the answers carry."""

    def __init__(
        self, connection: Connection, codec: Codec, queue: CallQueue, options: ClientOptions
    ) -> None:
        self._connection = connection
        self._codec = codec
        self._queue = queue
        self._options = options
        self._open: dict[int, Request] = {}
        self._lastRef = 0
        #: The number of the last attempt to resume a membership.
        self._lastAttempt = 0
        #: Requests that cannot be sent yet.
        self._preparing: set[Preparing] = set()
        #: The refs of joins sent over this connection that timed out: the server may still answer them.
        self._givenUp: set[int] = set()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def areAwaited(self) -> bool:
        """Whether a user of the client gets the answers or errors: joins and queries, but not heartbeats."""
        isAwaited = any(each.answer is Joined or each.isResent for each in self._open.values())
        return isAwaited or bool(self._preparing)

    @property
    def lastRef(self) -> int:
        """The ref of the last request."""
        return self._lastRef

    def skipRefsUpTo(self, ref: int) -> None:
        """Use only refs that an earlier client, whose last ref was about `ref`, has not used."""
        self._lastRef = max(self._lastRef, (ref // _REFS + 1) * _REFS)

    def nextAttempt(self) -> int:
        """
        Return the number of the next attempt to resume. It is greater than those of earlier clients, too,
        since it is the time in milliseconds or more.
        """
        self._lastAttempt = max(self._lastAttempt + 1, int(self._queue.clock.seconds() * 1000))
        return self._lastAttempt

    def skipAttempts(self, error: RoomError | None) -> None:
        """
        Use greater numbers than that of the attempt which the server has preferred to this one.

        It was made before the clock was set back.
        """
        attempt = error.details.get("attempt") if error and isinstance(error.details, dict) else None
        if isinstance(attempt, int) and attempt < MAX_NUMBER:
            self._lastAttempt = max(self._lastAttempt, attempt)

    # -- asking; called within `with queue:`, except `fetch`

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
        Send a request, at once or when the connection is open.

        `done` is called once, as soon as the answer arrives and before the frames behind it are read.

        Args:
            build: Returns the frame for a ref.
            done: Called with an error, or with the answer.
            answer: The kind of frame that answers this request.
            timeout: The time limit in seconds, including the time until the connection is open. Default:
                `requestTimeout`.
            isResent: Whether to send it again over the next connection if this one is lost.
            isResentIfUnhandled: Whether to do so only if the server has certainly not acted on it.

        Returns:
            The request, or `None` if it has failed already.
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
        """Fail a request whose time is up, unless a large message that is arriving may delay its answer."""
        if request.isSent:
            until = request.askedAt + seconds + self._connection.patience
            rest = until - self._queue.clock.seconds()
            if rest > 0:
                request.timer = self._queue.later(min(rest, 1.0), self._late, ref, request, seconds)
                return
            if request.answer is Joined:
                self._givenUp.add(ref)
            request.done(
                NoAnswer(ErrorCode.TIMEOUT, f"the server did not answer within {seconds:.3g} s"), None
            )
        else:
            why = f": {self._connection.trouble}" if self._connection.trouble else ""
            error = NoAnswer(ErrorCode.UNAVAILABLE, f"no connection within {seconds:.3g} s{why}")
            request.done(error, None)

    def fetch(
        self, build: Callable[[int], tuple[Any, ...]], read: Callable[[Request, Any], Any]
    ) -> Deferred[Any]:
        """
        Send a request, also over the next connections, and return a Deferred of what `read` makes of the
        answer.
        """
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
        """Register a request that cannot be sent yet, so that `failAll` fails it too."""
        self._preparing.add(preparing)

    def prepared(self, preparing: Preparing) -> None:
        """Drop a request of `prepare` that is sent now, or has ended."""
        self._preparing.discard(preparing)

    def leave(self, room: str, done: Done = lambda error, answer: None) -> None:
        """Ask the server to leave a room."""
        self.ask(lambda ref: ("leave", ref, room), done, timeout=self._options.leaveTimeout)

    def expect(self, done: Done) -> int:
        """
        Return a new ref. `done` is called when an answer with that ref arrives, over this or a later
        connection.
        """
        self._lastRef += 1
        self._open[self._lastRef] = Request(None, Reply, done, isResent=True)
        return self._lastRef

    def forget(self, ref: int) -> None:
        """Ignore an answer with that ref."""
        self._open.pop(ref, None)

    # -- answers and lost connections

    def opened(self) -> None:
        """Send the requests that are waiting, because the connection is open."""
        self._givenUp.clear()
        for request in list(self._open.values()):
            if request.frame is not None and not request.isSent:
                self._transmit(request)

    def answered(self, frame: Answer) -> bool:
        """
        Pass an answer to its request. Returns whether a request was waiting for it.

        Raises:
            NotAFrame: The answer is of the wrong kind.
        """
        request = None if frame.ref is None else self._open.get(frame.ref)
        if request is None:
            if isinstance(frame, Joined) and frame.ref not in self._givenUp:
                raise NotAFrame('a frame "joined" that answers no request')
            self._givenUp.discard(frame.ref or 0)
            return False
        if not isinstance(frame, request.answer):
            raise NotAFrame(f"{type(frame).__name__} answers a request for {request.answer.__name__}")
        request.done(None, frame)
        return True

    def refused(self, ref: int, error: RoomError) -> None:
        """Fail the request that the server has answered with an error."""
        request = self._open.get(ref)
        if request is not None:
            request.done(error, None)

    def lost(self, code: int, *, isUnread: bool = False, since: int | None = None) -> None:
        """
        Fail the requests that are not sent again, because the connection is lost.

        A request with `isResent` is sent again. One with `isResentIfUnhandled` is sent again if the server
        has certainly not acted on it: the server has refused the connection or sent `bye` (`isUnread`), or
        the request was sent after the one with the ref `since`.
        """
        self._givenUp.clear()
        for ref, request in list(self._open.items()):
            if not request.isSent:
                continue
            isUndone = isUnread or (since is not None and ref > since)
            if request.isResent or (request.isResentIfUnhandled and isUndone):
                request.isSent = False
            else:
                error = RoomError(ErrorCode.UNAVAILABLE, "the connection was lost", {"code": code})
                request.done(error, None)

    def failExpiringBy(self, when: float, error: RoomError) -> None:
        """Fail the requests whose time ends before `when`, since there is no connection before that."""
        for request in list(self._open.values()):
            timer = request.timer
            if not request.isSent and timer is not None and timer.active() and timer.getTime() <= when:
                request.done(error, None)

    def failAll(self, error: RoomError) -> None:
        """Fail all requests, except those of `expect`, which their rooms fail."""
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
