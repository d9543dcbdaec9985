"""
What a client is without its network: requests, rooms, and when to connect.

The state machine of a connection that outlives its sockets. It is told what happens by plain calls, on an
`Attempt`, and acts on a `Wire`; it takes its time from a clock. Nothing else moves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..codes import CloseCode, ErrorCode
from ..connection import isAsync, toDeferred
from ..rooms.dialect import JSON_PROTOCOL
from ..rooms.errors import RoomError
from . import frames
from .events import Emitter, Listener, Turn
from .frames import Codec, Joined, NotAFrame, Reply
from .options import ClientOptions
from .room import Entrance, NoAnswer, Room, RoomState, stop

#: Coming back would only repeat these: protocol errors, and frames or behaviour that the server refuses.
_FINAL = frozenset({1002, 1003, 1007, 1008, 1009, 1010})

_ERRORS: dict[int, ErrorCode] = {
    CloseCode.UNAUTHORIZED: ErrorCode.UNAUTHORIZED,
    CloseCode.KICKED: ErrorCode.FORBIDDEN,
    CloseCode.NO_SUCH_ROOM: ErrorCode.NO_SUCH_ROOM,
    CloseCode.ROOM_CLOSED: ErrorCode.ROOM_GONE,
    CloseCode.MISUSE: ErrorCode.BAD_REQUEST,
    CloseCode.RATE_ABUSE: ErrorCode.RATE_LIMITED,
}

#: The first element of the frame by which each method joins.
_ENTRANCES = {"joinOrCreate": "join", "join": "joinOnly", "create": "create", "joinById": "joinById"}

Answer = Joined | Reply
Done = Callable[[RoomError | None, Answer | None], object]


def mayReconnect(code: int) -> bool:
    """
    Whether a client comes back after a connection was closed with `code`.

    Not after 4000-4099 nor after the errors of RFC 6455 that would repeat themselves (1002, 1003, 1007-1010).
    """
    return not 4000 <= code <= 4099 and code not in _FINAL


class ClientState(StrEnum):
    """
    What a client is about.

    ::

        idle --join, request--> connecting --opened--> open
        connecting, open --lost--> waiting --in time--> connecting
        any --final close code, nothing to do any more--> idle
        any --close()--> closed
    """

    #: Nothing to do; it connects at the first join or request.
    IDLE = "idle"
    CONNECTING = "connecting"
    OPEN = "open"
    #: Until it is time to connect again.
    WAITING = "waiting"
    #: For good, by `close()`.
    CLOSED = "closed"


class Wire(Protocol):
    """A WebSocket, or one that is being made. None of this raises."""

    def send(self, message: bytes, isBinary: bool) -> None:
        """Send a message."""

    def close(self, code: int, reason: str) -> Deferred[None]:
        """Close it, whatever it is doing; fires when it is gone."""

    def abort(self) -> None:
        """Drop it: the peer is gone."""


class Attempt:
    """
    One attempt to have a connection; whoever makes it tells here what becomes of it.

    Once the session has given it up nothing that it is told is heard any more.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.wire: Wire | None = None

    def opened(self, protocol: str | None) -> None:
        """The connection is open, with that sub-protocol."""
        with self._session.turn:
            if self._session.isCurrent(self):
                self._session.opened(protocol)

    def received(self, message: bytes, isBinary: bool) -> None:
        """A message has come."""
        with self._session.turn:
            if self._session.isCurrent(self):
                self._session.received(message, isBinary)

    def lost(self, code: int, reason: str = "", retryAfter: float = 0.0) -> None:
        """The connection has ended, or could not be made; the server may ask to stay away for a while."""
        with self._session.turn:
            if self._session.isCurrent(self):
                self._session.lost(code, reason, retryAfter)


class Request:
    """A question to the server."""

    def __init__(self, frame: bytes, answer: type[Answer], done: Done, isRepeated: bool) -> None:
        #: `None`: it was asked otherwise, and only its answer is awaited.
        self.frame: bytes | None = frame
        self.answer = answer
        self.done = done
        #: Whether it outlives its connection.
        self.isRepeated = isRepeated
        self.isSent = False
        self.sentAt = 0.0
        self.timer: IDelayedCall | None = None


class Session:
    """
    A connection to a txroom server that outlives its sockets; `Client` adds the network.

    `connect` makes a connection: it is given an `Attempt`, and returns its `Wire`.
    """

    _log = Logger()

    def __init__(
        self, connect: Callable[[Attempt], Wire], clock: IReactorTime, options: ClientOptions | None = None
    ) -> None:
        #: The options, defaults included.
        self.options = options or ClientOptions()
        self.clock = clock
        self.codec = Codec(self.options.protocol)
        self.turn = Turn()
        #: What it is about.
        self.state = ClientState.IDLE
        #: Seconds to the server and back at the last heartbeat; `None` before the first.
        self.latency: float | None = None
        self._makeWire = connect
        self._events = Emitter(self._listenerFailed)
        self._attempt: Attempt | None = None
        self._rooms: dict[str, Room] = {}
        self._requests: dict[int, Request] = {}
        self._lastRef = 0
        self._attempts = 0
        self._openedAt = 0.0
        self._bye: frames.Bye | None = None
        self._isHeard = False
        self._timer: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None
        self._isGone = False
        self._closing: list[Deferred[None]] = []

    # -- for users

    @property
    def joined(self) -> list[Room]:
        """The rooms that are not left."""
        return list(self._rooms.values())

    def on(self, name: str, listener: Listener) -> Callable[[], None]:
        """
        Call `listener` at one of these events; returns a function that ends it.

        - "connected" ()
        - "reconnecting" (code, reason, attempt, delay): the connection is lost, the next attempt is in
          `delay` seconds
        - "disconnected" (code, reason): and it does not reconnect by itself; the next join does
        - "bye" (code, retryAfter): the server will close the connection, and asks to stay away that long
        - "latency" (seconds)
        - "error" (error): nobody else was there to be told; without a listener it is logged
        """
        return self._events.on(name, listener)

    def once(self, name: str, listener: Listener) -> Callable[[], None]:
        """The same for the next event only."""
        return self._events.once(name, listener)

    def off(self, name: str, listener: Listener | None = None) -> None:
        """End what `on` began; without a listener, for all of that name."""
        self._events.off(name, listener)

    def joinOrCreate(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[Room]:
        """
        Join a room of that name, a new one if there is none with a seat.

        Fails with the server's error; with "unavailable" if there is no connection within `requestTimeout`
        or it is lost meanwhile (the server may have let us in: it is not tried again by itself). Events
        are delivered from the next turn of the reactor on, so that listeners can be added after `await`.
        """
        return self._enter("joinOrCreate", name, options)

    def join(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[Room]:
        """Join a room of that name that exists."""
        return self._enter("join", name, options)

    def create(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[Room]:
        """Make a new room of that name and join it."""
        return self._enter("create", name, options)

    def joinById(self, id: str, options: Mapping[str, Any] | None = None) -> Deferred[Room]:
        """Join the room of that id."""
        return self._enter("joinById", id, options)

    def rooms(self, name: str, filter: Mapping[str, Any] | None = None) -> Deferred[list[dict[str, Any]]]:
        """The rooms of that name that match: `{room, name, clients, maxClients, locked, metadata}`."""
        return self._request(lambda ref: ("rooms", ref, name, dict(filter or {})), lambda request, data: data)

    def ping(self) -> Deferred[float]:
        """The time to the server and back, in seconds."""
        return self._request(lambda ref: ("ping", ref), lambda request, data: self._measured(request))

    def reconnect(self, delay: float = 0.0) -> None:
        """Give up the connection, if there is one, and make another after `delay` seconds."""
        with self.turn:
            if self.state in (ClientState.OPEN, ClientState.CONNECTING):
                self.drop("reconnect", delay)
            elif self.state is ClientState.WAITING:
                self._wait(delay)

    def close(self) -> Deferred[None]:
        """Leave all rooms and close the connection, for good; fires when it is gone."""
        waiter: Deferred[None] = Deferred()
        with self.turn:
            if self.state is not ClientState.CLOSED:
                self._shut()
            if self._isGone:
                self.turn.post(waiter.callback, None)
            else:
                self._closing.append(waiter)
        return waiter

    def _shut(self) -> None:
        for room in self.joined:
            if room.state is RoomState.JOINED:
                self.leave(room.id)
        attempt = self._detach()
        self.state = ClientState.CLOSED
        wire = None if attempt is None else attempt.wire
        gone = succeed(None) if wire is None else wire.close(CloseCode.NORMAL, "")
        gone.addBoth(self._gone)
        self._finish(CloseCode.NORMAL, "closed")

    def _gone(self, result: object) -> None:
        self._isGone = True
        waiters, self._closing = self._closing, []
        for waiter in waiters:
            self.turn.post(waiter.callback, None)

    # -- for rooms; all of it within a turn

    def later(self, delay: float, function: Callable[..., Any], *args: Any) -> IDelayedCall:
        """Call within a turn, after `delay` seconds."""

        def call() -> None:
            with self.turn:
                function(*args)

        return self.clock.callLater(delay, call)

    def expect(self, done: Done) -> int:
        """A number for an answer that `done` waits for, across connections."""
        self._lastRef += 1
        request = Request(b"", Reply, done, True)
        request.frame = None
        self._requests[self._lastRef] = request
        return self._lastRef

    def forget(self, ref: int) -> None:
        """Nobody waits for that answer any more."""
        self._requests.pop(ref, None)

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
        seconds = self.options.requestTimeout if timeout is None else timeout
        self._lastRef += 1
        ref = self._lastRef
        try:
            if self.state is ClientState.CLOSED:
                raise RoomError(ErrorCode.UNAVAILABLE, "the client is closed")
            frame = self.codec.write(*build(ref))
        except RoomError as error:
            done(error, None)
            return None

        def finish(error: RoomError | None, found: Answer | None) -> None:
            self._requests.pop(ref, None)
            stop(request.timer)
            done(error, found)

        def late() -> None:
            code = ErrorCode.TIMEOUT if request.isSent else ErrorCode.UNAVAILABLE
            what = "answer" if request.isSent else "connection"
            request.done(NoAnswer(code, f"no {what} within {seconds:g} s"), None)

        request = Request(frame, answer, finish, isRepeated)
        request.timer = self.later(seconds, late)
        self._requests[ref] = request
        if self.state is ClientState.OPEN:
            self._transmit(request)
        elif self.state is ClientState.IDLE:
            self._connect()
        return request

    def place(
        self,
        method: str,
        target: str,
        options: Mapping[str, Any],
        done: Done,
        isWanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Ask to be let in, if that is still wanted when `auth` is known."""

        def known(auth: Any) -> None:
            with self.turn:
                if isWanted():
                    full = dict(options) if auth is None or "auth" in options else {**options, "auth": auth}
                    self.ask(lambda ref: (_ENTRANCES[method], ref, target, full), done, Joined)

        def failed(failure: Failure) -> None:
            with self.turn:
                error = RoomError(ErrorCode.UNAUTHORIZED, "auth failed")
                error.__cause__ = failure.value
                done(error, None)

        auth = self.options.auth
        try:
            auth = auth() if callable(auth) else auth
        except Exception:
            failed(Failure())
        else:
            if isAsync(auth):
                toDeferred(auth).addCallbacks(known, failed)
            else:
                known(auth)

    def room(self, id: str) -> Room | None:
        """The room of that id, if it is not left."""
        return self._rooms.get(id)

    def disown(self, id: str) -> None:
        """Leave a room that nobody here waits for any more."""
        if id not in self._rooms:
            self.leave(id)

    def leave(self, id: str, done: Done = lambda error, answer: None) -> None:
        """Ask to be let go."""
        self.ask(lambda ref: ("leave", ref, id), done, timeout=self.options.leaveTimeout)

    def write(self, frame: bytes) -> None:
        """Send a frame, if there is a connection: what must not get lost is sent again."""
        if self._attempt is not None and self._attempt.wire is not None:
            self._attempt.wire.send(frame, not self.codec.isJSON)

    def admit(self, room: Room, former: str) -> None:
        """The room is joined; `former` was its id."""
        if self._rooms.get(former) is room:
            del self._rooms[former]
        self._rooms[room.id] = room

    def remove(self, room: Room) -> None:
        """The room is left."""
        if self._rooms.get(room.id) is room:
            del self._rooms[room.id]

    def connectRoom(self, room: Room) -> None:
        """A room has waited long enough."""
        if self.state is ClientState.OPEN:
            room.connected()

    def drop(
        self, reason: str, delay: float | None = None, *, code: CloseCode = CloseCode.NO_HEARTBEAT
    ) -> None:
        """The connection is of no use any more."""
        attempt = self._detach()
        if attempt is None:
            return
        if attempt.wire is not None:
            # A peer that is gone would never answer.
            if code == CloseCode.NO_HEARTBEAT:
                attempt.wire.abort()
            else:
                attempt.wire.close(code, reason)
        self._lose(CloseCode.ABNORMAL, reason, delay=delay)

    def report(self, failure: Failure) -> None:
        """Something went wrong, and nobody else is there to be told."""
        if self._events.has("error"):
            self._tell("error", failure.value)
        elif isinstance(failure.value, RoomError):
            self._log.warn("{error}", error=failure.value)
        else:
            self._log.failure("a listener failed", failure)

    # -- joining

    def _enter(self, method: str, target: str, options: Mapping[str, Any] | None) -> Deferred[Room]:
        entrance = Entrance(method, target, dict(options or {}))
        waiting = [True]
        result: Deferred[Room] = Deferred(lambda _: waiting.clear())

        def done(error: RoomError | None, joined: Answer | None) -> None:
            if not isinstance(joined, Joined):
                if waiting:
                    self.turn.post(_errback, result, error)
            elif not waiting:
                self.disown(joined.room)
            else:
                present = self._rooms.get(joined.room)
                room = present or Room(self, entrance)
                if present is not None:
                    room.enterAgain(joined)
                else:
                    room.enter(joined)
                self.turn.post(result.callback, room)

        with self.turn:
            self.place(method, target, entrance.options, done, lambda: bool(waiting))
        return result

    # -- requests

    def _request(
        self, build: Callable[[int], tuple[Any, ...]], read: Callable[[Request, Any], Any]
    ) -> Deferred[Any]:
        waiting = [True]
        result: Deferred[Any] = Deferred(lambda _: waiting.clear())

        def done(error: RoomError | None, reply: Answer | None) -> None:
            if not waiting:
                return
            if isinstance(reply, Reply) and request is not None:
                self.turn.post(result.callback, read(request, reply.data))
            else:
                self.turn.post(_errback, result, error)

        request: Request | None = None
        with self.turn:
            request = self.ask(build, done, isRepeated=True)
        return result

    def _transmit(self, request: Request) -> None:
        request.isSent = True
        request.sentAt = self.clock.seconds()
        if request.frame is not None:
            self.write(request.frame)

    # -- the connection

    def isCurrent(self, attempt: Attempt) -> bool:
        """Whether that is the connection there is."""
        return self._attempt is attempt

    def _connect(self) -> None:
        self.state = ClientState.CONNECTING
        stop(self._timer)
        attempt = self._attempt = Attempt(self)
        self._deadline = self.later(self.options.connectTimeout, self.drop, "not open in time")
        # What is told of it at once comes when the state is whole.
        self.turn.post(self._begin, attempt)

    def _begin(self, attempt: Attempt) -> None:
        if self.isCurrent(attempt):
            attempt.wire = self._makeWire(attempt)

    def opened(self, protocol: str | None) -> None:
        """There is a connection."""
        if (protocol or JSON_PROTOCOL) != self.options.protocol:
            self.drop(f"sub-protocol {protocol}", code=CloseCode.MISUSE)
            return
        stop(self._deadline)
        self._deadline = None
        self.state = ClientState.OPEN
        self._openedAt = self.clock.seconds()
        self._bye = None
        for room in self.joined:
            room.connected()
        for request in list(self._requests.values()):
            if request.frame is not None and not request.isSent:
                self._transmit(request)
        if self.options.pingInterval:
            self._heartbeat()
        self._tell("connected")

    def lost(self, code: int, reason: str, retryAfter: float) -> None:
        """The connection has ended by itself."""
        self._detach()
        self._lose(code, reason, retryAfter)

    def _detach(self) -> Attempt | None:
        """Take the connection away; nothing it does is heard any more."""
        attempt, self._attempt = self._attempt, None
        stop(self._timer)
        stop(self._deadline)
        self._deadline = None
        return attempt

    def _lose(self, code: int, reason: str, retryAfter: float = 0.0, delay: float | None = None) -> None:
        wasOpen = self.state is ClientState.OPEN
        bye, self._bye = self._bye, None
        if bye is not None:
            code = bye.code if code < 4000 and bye.code else code
            retryAfter = max(retryAfter, bye.retryAfter or 0.0)
        if wasOpen and self.clock.seconds() - self._openedAt >= self.options.stableAfter:
            self._attempts = 0
        self.state = ClientState.WAITING
        most = self.options.maxAttempts
        if not mayReconnect(code) or (most is not None and self._attempts >= most):
            self.state = ClientState.IDLE
            self._finish(code, reason)
            return
        for room in self.joined:
            room.away(code, reason)
        for request in list(self._requests.values()):
            if not request.isSent:
                continue
            if request.isRepeated:
                request.isSent = False
            else:
                error = RoomError(ErrorCode.UNAVAILABLE, "the connection was lost", {"code": code})
                request.done(error, None)
        if self._isIdle(code, reason):
            return
        attempt = self._attempts
        self._attempts += 1
        if delay is None:
            delay = retryAfter * (1 + self.options.random() / 5) + self.options.delay(attempt)
        self._wait(delay)
        self._tell("reconnecting", code, reason, attempt + 1, delay)

    def _wait(self, delay: float) -> None:
        stop(self._timer)
        self._timer = self.later(delay, self._again)

    def _again(self) -> None:
        if not self._isIdle(CloseCode.ABNORMAL, ""):
            self._connect()

    def _isIdle(self, code: int, reason: str) -> bool:
        """Whether nobody needs a connection any more."""
        if self._rooms or self._requests:
            return False
        self._attempts = 0
        self.state = ClientState.IDLE
        self._tell("disconnected", code, reason)
        return True

    def _finish(self, code: int, reason: str) -> None:
        """Nothing more comes of this connection: everybody is told."""
        self._attempts = 0
        requests = [request for request in self._requests.values() if request.frame is not None]
        error = RoomError(_ERRORS.get(code, ErrorCode.UNAVAILABLE), reason, {"code": code})
        for room in self.joined:
            room.end(code, reason)
        for request in requests:
            request.done(error, None)
        self._tell("disconnected", code, reason)

    # -- in

    def received(self, message: bytes, isBinary: bool) -> None:
        """A message has come."""
        self._isHeard = True
        try:
            frame = self.codec.read(message, isBinary)
            if frame is not None:
                self._dispatch(frame)
        except NotAFrame as error:
            text = f"the server sent what is no frame: {error}"
            self.report(Failure(RoomError(ErrorCode.BAD_REQUEST, text)))
            self.drop("not a frame", code=CloseCode.MISUSE)

    def _dispatch(self, frame: frames.ServerFrame) -> None:
        if isinstance(frame, Joined | Reply):
            request = None if frame.ref is None else self._requests.get(frame.ref)
            if request is not None:
                if not isinstance(frame, request.answer):
                    raise NotAFrame(f"{type(frame).__name__} where {request.answer.__name__} is due")
                request.done(None, frame)
            elif isinstance(frame, Joined):
                self.disown(frame.room)
        elif isinstance(frame, frames.Error):
            self._refused(frame)
        elif isinstance(frame, frames.Bye):
            self._bye = frame
            self._tell("bye", frame.code, max(0.0, frame.retryAfter or 0.0))
        else:
            room = self._rooms.get(frame.room)
            if room is not None:
                room.receive(frame)

    def _refused(self, frame: frames.Error) -> None:
        error = RoomError(frame.code, frame.message or "", frame.details)
        room = None if frame.room is None else self._rooms.get(frame.room)
        if frame.ref is not None:
            request = self._requests.get(frame.ref)
            if request is not None:
                request.done(error, None)
        elif room is not None:
            room.refused(error)
        else:
            self.report(Failure(error))

    # -- heartbeat

    def _heartbeat(self) -> None:
        if self._deadline is None:
            self._isHeard = False
            self._deadline = self.later(self.options.pingTimeout, self._listened)
        request: Request | None = None

        def done(error: RoomError | None, answer: Answer | None) -> None:
            if error is None and request is not None:
                self._measured(request)

        request = self.ask(lambda ref: ("ping", ref), done)
        self._timer = self.later(self.options.pingInterval, self._heartbeat)

    def _listened(self) -> None:
        self._deadline = None
        if not self._isHeard:
            self.drop("no heartbeat")

    def _measured(self, request: Request) -> float:
        self.latency = self.clock.seconds() - request.sentAt
        self._tell("latency", self.latency)
        return self.latency

    # -- telling

    def _tell(self, name: str, *args: Any) -> None:
        self.turn.post(self._events.emit, name, *args)

    def _listenerFailed(self, name: str, failure: Failure) -> None:
        if name == "error":
            self._log.failure("a listener of errors failed", failure)
        else:
            self.report(failure)


def _errback(result: Deferred[Any], error: RoomError | None) -> None:
    result.errback(error or RoomError(ErrorCode.INTERNAL))
