"""
A client's connection to the server: it connects, and reconnects when the connection is lost.

`Connection._lose` decides whether and when it reconnects. Its owner decides which close codes are final, by
`mayReconnect` of `txroom.protocol.closecodes`. There is no network in here: the transport calls an `Attempt`,
and the connection calls a `WebSocket`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall

from ..core.codes import CloseCode
from ..protocol.limits import JSON_PROTOCOL
from ..protocol.serverframes import Bye
from .callqueue import CallQueue, stop
from .events import Events
from .options import ClientOptions

#: A link is taken to carry so many bytes a second at least, as for the server's `messageTimeout`.
SLOWEST = 4096
#: Most seconds that a server can make a client stay away.
MAX_RETRY_AFTER = 3600.0
#: Attempts in a row before a client that was never connected gives up.
_MAX_FIRST = 5


def clampedDelay(seconds: float | None) -> float:
    """The seconds that a server asks to stay away, within bounds; 0 for what is no number of seconds."""
    return min(max(seconds or 0.0, 0.0), MAX_RETRY_AFTER) if seconds == seconds else 0.0


class ClientState(StrEnum):
    """
    What a client's connection is doing.

    ::

        idle --join, request--> connecting --opened--> open
        connecting, open --lost--> waiting --in time--> connecting
        any --final close code, nothing to do any more--> idle
        any --close()--> closed
    """

    #: Nothing to do; it connects at the first join or request.
    IDLE = "idle"
    #: An attempt goes on.
    CONNECTING = "connecting"
    #: There is a connection.
    OPEN = "open"
    #: Until it is time to connect again.
    WAITING = "waiting"
    #: For good, by `close()`.
    CLOSED = "closed"


class WebSocket(Protocol):
    """A WebSocket, or one that is being made. None of this raises."""

    @property
    def url(self) -> str:
        """What it connects to, without a query, and through which endpoint if that is not of the URL."""
        ...

    @property
    def where(self) -> str:
        """What it connects to, and how far it has come, in words."""
        ...

    def send(self, message: bytes, isBinary: bool) -> None:
        """Send a message."""

    def close(self, code: int, reason: str) -> Deferred[None]:
        """Close it, whatever it is doing; fires when it is gone."""

    def abort(self) -> None:
        """Drop it: the peer is gone."""


class Attempt:
    """
    One attempt to connect; whoever makes the WebSocket tells here what becomes of it.

    Once the connection has given the attempt up it ignores whatever is still told.
    """

    def __init__(self, connection: Connection, queue: CallQueue) -> None:
        self._connection = connection
        self._queue = queue
        self.webSocket: WebSocket | None = None

    def opened(self, protocol: str | None) -> None:
        """The connection is open, with that sub-protocol."""
        with self._queue:
            if self._connection.isCurrent(self):
                self._connection.opened(protocol)

    def progress(self, size: int) -> None:
        """So many bytes have come, of a message perhaps that isn't whole yet."""
        if self._connection.isCurrent(self):
            self._connection.progress(size)

    def received(self, message: bytes, isBinary: bool) -> None:
        """A message has come."""
        with self._queue:
            if self._connection.isCurrent(self):
                self._connection.received(message, isBinary)

    def lost(self, code: int, reason: str = "", retryAfter: float = 0.0) -> None:
        """The connection has ended, or could not be made; the server may ask to stay away for a while."""
        with self._queue:
            self.webSocket = None
            if self._connection.isCurrent(self):
                self._connection.lost(code, reason, retryAfter)


class ConnectionOwner(Protocol):
    """Who is told what happens to a connection."""

    @property
    def isBusy(self) -> bool:
        """Whether there is anything to do, over this connection or the next."""
        ...

    def connecting(self) -> None:
        """An attempt begins."""

    def opened(self) -> None:
        """There is a connection."""

    def progress(self) -> None:
        """Bytes have come."""

    def received(self, message: bytes, isBinary: bool) -> None:
        """A message has come."""

    def isFinal(self, code: int, reason: str) -> bool:
        """Whether nothing more can come of a connection that ended so."""
        ...

    def lost(self, code: int, reason: str) -> None:
        """The connection is lost; there will be another, if it is needed."""

    def delayed(self, seconds: float) -> None:
        """The server has asked to stay away for so long; there is no connection before."""

    def ended(self, code: int, reason: str) -> None:
        """The connection is lost, and nothing more comes of it."""


class _NoOwner:
    """In the place of the owner when a connection was closed for good, so that nothing holds the client."""

    isBusy = False

    def isFinal(self, code: int, reason: str) -> bool:
        """Nothing more comes of it."""
        return True

    def connecting(self) -> None:
        """Do nothing."""

    def opened(self) -> None:
        """Do nothing."""

    def progress(self) -> None:
        """There is no connection."""

    def received(self, message: bytes, isBinary: bool) -> None:
        """There is no connection."""

    def lost(self, code: int, reason: str) -> None:
        """There is no connection."""

    def delayed(self, seconds: float) -> None:
        """Do nothing."""

    def ended(self, code: int, reason: str) -> None:
        """Do nothing."""


class Connection:
    """
    A connection that outlives its WebSockets; its states are those of `ClientState`.

    `connect` is given an `Attempt`, and returns its `WebSocket`.
    """

    def __init__(
        self,
        owner: ConnectionOwner,
        connect: Callable[[Attempt], WebSocket],
        queue: CallQueue,
        events: Events,
        options: ClientOptions,
    ) -> None:
        self.state = ClientState.IDLE
        #: Why there was no connection at the last attempt, or why it was lost; in words.
        self.trouble = ""
        #: The server has asked to stay away until then.
        self.barredUntil = 0.0
        #: Bytes of the messages that were sent over this connection.
        self.sent = 0
        #: Bytes of a message that hasn't come whole, and when the last of them came.
        self._partial = 0
        self._partialAt = 0.0
        self._owner = owner
        self._makeWebSocket = connect
        self._queue = queue
        self._events = events
        self._options = options
        self._attempt: Attempt | None = None
        #: Attempts in a row that led to no connection which lasted for `stableAfter`.
        self._attempts = 0
        self._wasOpen = False
        self._openedAt = 0.0
        self._bye: Bye | None = None
        self._why = ""
        #: The timers of the pause before the next attempt, and of the attempt that is under way.
        self._timer: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None

    # -- for the client; all of it within `with queue:`

    def connect(self) -> None:
        """Begin to connect, if there was nothing to do so far."""
        if self.state is ClientState.IDLE:
            self._connect()

    def write(self, frame: bytes) -> None:
        """Send a frame, if there is a connection: what must not get lost is sent again."""
        if self._attempt is not None and self._attempt.webSocket is not None:
            self.sent += len(frame)
            self._attempt.webSocket.send(frame, self._options.protocol != JSON_PROTOCOL)

    def expectEnd(self, bye: Bye, why: str = "") -> None:
        """The server will close the connection; `why` if it has said so."""
        self._bye = bye
        self._why = why

    def drop(
        self, reason: str, delay: float | None = None, *, code: CloseCode = CloseCode.NO_HEARTBEAT
    ) -> None:
        """Give up the connection, and make another after `delay` seconds, or after the usual delay."""
        attempt = self._detach()
        if attempt is None:
            return
        if attempt.webSocket is not None:
            # A peer that is gone would never answer.
            if code == CloseCode.NO_HEARTBEAT:
                attempt.webSocket.abort()
            else:
                attempt.webSocket.close(code, reason)
        self._lose(CloseCode.ABNORMAL, reason, delay=delay)

    def end(self, why: str) -> None:
        """Close the connection, and make no other: it would be of no use either."""
        attempt = self._detach()
        if attempt is not None and attempt.webSocket is not None:
            attempt.webSocket.close(CloseCode.NORMAL, "")
        self.state = ClientState.IDLE
        self._end(CloseCode.NORMAL, why)

    @property
    def url(self) -> str:
        """What the connection leads to, for the user."""
        webSocket = None if self._attempt is None else self._attempt.webSocket
        return "" if webSocket is None else webSocket.url

    def reconnect(self, delay: float) -> None:
        """Give up the connection, if there is one, and make another after `delay` seconds."""
        if self.state in (ClientState.OPEN, ClientState.CONNECTING):
            self.drop("reconnect", delay)
        elif self.state is ClientState.WAITING:
            self.barredUntil = 0.0
            self._wait(delay)

    def close(self) -> Deferred[None]:
        """End it for good; fires when the connection is gone."""
        attempt = self._detach()
        self.state = ClientState.CLOSED
        webSocket = None if attempt is None else attempt.webSocket
        gone = succeed(None) if webSocket is None else webSocket.close(CloseCode.NORMAL, "")
        self._end(CloseCode.NORMAL, "closed")
        self._owner = _NoOwner()
        return gone

    @property
    def patience(self) -> float:
        """
        The seconds by which an answer may be late because a large message is arriving before it.

        0 if nothing of that message has come for `pingTimeout`, so that a server which sends a byte now and
        then gains nothing.
        """
        silent = self._queue.clock.seconds() - self._partialAt
        return self._partial // SLOWEST if silent < self._options.pingTimeout else 0.0

    # -- what its attempt tells

    def isCurrent(self, attempt: Attempt) -> bool:
        """Whether that is the present attempt."""
        return self._attempt is attempt

    def opened(self, protocol: str | None) -> None:
        """There is a connection."""
        if (protocol or JSON_PROTOCOL) != self._options.protocol:
            self.drop(f"sub-protocol {protocol}", code=CloseCode.MISUSE)
            return
        stop(self._deadline)
        self.state = ClientState.OPEN
        self._wasOpen = True
        self._openedAt = self._queue.clock.seconds()
        self._bye, self._why = None, ""
        self.sent = self._partial = 0
        self._owner.opened()
        self._events.tell("connected")

    def progress(self, size: int) -> None:
        """So many bytes have come."""
        self._partial += size
        self._partialAt = self._queue.clock.seconds()
        self._owner.progress()

    def received(self, message: bytes, isBinary: bool) -> None:
        """A message has come."""
        self._partial = 0
        self._owner.received(message, isBinary)

    def lost(self, code: int, reason: str, retryAfter: float) -> None:
        """The connection has ended by itself."""
        self._detach()
        self._lose(code, reason, retryAfter)

    # -- making and losing connections

    def _connect(self) -> None:
        self.state = ClientState.CONNECTING
        self._owner.connecting()
        stop(self._timer)
        attempt = self._attempt = Attempt(self, self._queue)
        self._deadline = self._queue.later(self._options.connectTimeout, self._notOpen)
        # What it tells at once comes when the state is consistent.
        self._queue.post(self._begin, attempt)

    def _begin(self, attempt: Attempt) -> None:
        if self.isCurrent(attempt):
            webSocket = self._makeWebSocket(attempt)
            if self.isCurrent(attempt):  # it hasn't failed at once
                attempt.webSocket = webSocket

    def _notOpen(self) -> None:
        webSocket = None if self._attempt is None else self._attempt.webSocket
        where = "" if webSocket is None else f"{webSocket.where}: "
        self.drop(f"{where}not open in {self._options.connectTimeout:g} s")

    def _detach(self) -> Attempt | None:
        """Forget the present attempt: what it tells from now on is ignored."""
        attempt, self._attempt = self._attempt, None
        stop(self._timer)
        stop(self._deadline)
        return attempt

    def _lose(self, code: int, reason: str, retryAfter: float = 0.0, delay: float | None = None) -> None:
        wasOpen = self.state is ClientState.OPEN
        bye, self._bye = self._bye, None
        if bye is not None:
            code = bye.code if code < 4000 and bye.code else code
            retryAfter = max(retryAfter, clampedDelay(bye.retryAfter))
        reason = self._why or reason
        self.trouble = reason or f"closed with {code}"
        options = self._options
        if wasOpen and self._queue.clock.seconds() - self._openedAt >= options.stableAfter:
            self._attempts = 0
        self.state = ClientState.WAITING
        if self._owner.isFinal(code, reason) or self._hasTriedEnough():
            self.state = ClientState.IDLE
            self._end(code, reason)
            return
        self._owner.lost(code, reason)
        if self._isIdle(code, reason):
            return
        attempt = self._attempts
        self._attempts += 1
        if delay is None:
            delay = clampedDelay(retryAfter) * (1 + options.random() / 5) + options.delay(attempt)
        self._wait(delay)
        if retryAfter:
            self.barredUntil = self._queue.clock.seconds() + delay
            self._owner.delayed(delay)
        self._events.tell("reconnecting", code, reason, attempt + 1, delay)

    def _hasTriedEnough(self) -> bool:
        most = self._options.maxAttempts
        if most is None and not self._wasOpen:
            most = _MAX_FIRST - 1
        return most is not None and self._attempts >= most

    def _wait(self, delay: float) -> None:
        stop(self._timer)
        self._timer = self._queue.later(delay, self._again)

    def _again(self) -> None:
        if not self._isIdle(CloseCode.ABNORMAL, ""):
            self._connect()

    def _isIdle(self, code: int, reason: str) -> bool:
        """Whether nobody needs a connection any more."""
        if self._owner.isBusy:
            return False
        self._attempts = 0
        self.state = ClientState.IDLE
        self._events.tell("disconnected", code, reason)
        return True

    def _end(self, code: int, reason: str) -> None:
        """Nothing more comes of this connection: everybody is told."""
        self._attempts = 0
        self._owner.ended(code, reason)
        self._events.tell("disconnected", code, reason)
