"""
A client's connection to the server: it connects, and reconnects after the connection is lost.

`Connection._lose` decides whether and when to reconnect. The owner of the connection decides which close
codes are final, with `mayReconnect` of `txroom.protocol.closecodes`. This module does no network input or
output: the transport calls an `Attempt`, and the connection calls a `WebSocket`.
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

#: Bytes per second that the slowest supported link carries; the server's `messageTimeout` assumes the same.
SLOWEST = 4096
#: The longest time, in seconds, that a server can make a client wait before it reconnects.
MAX_RETRY_AFTER = 3600.0
#: How many attempts in a row a client makes that was never connected, before it gives up.
_MAX_FIRST = 5


def clampedDelay(seconds: float | None) -> float:
    """
    Limit the seconds that a server asks a client to wait to the range from 0 to `MAX_RETRY_AFTER`.

    Returns 0 for `None` and NaN.
    """
    return min(max(seconds or 0.0, 0.0), MAX_RETRY_AFTER) if seconds == seconds else 0.0


class ClientState(StrEnum):
    """
    The state of a client's connection.

    ::

        idle --join, request, listener--> connecting --opened--> open
        connecting, open --lost--> waiting --delay over--> connecting
        any --final close code, nothing left to do--> idle
        any --close()--> closed
    """

    #: There is nothing to do. The client connects at the next join or request, and when a listener for
    #: notifications is added.
    IDLE = "idle"
    #: The client is trying to connect.
    CONNECTING = "connecting"
    #: The connection is open.
    OPEN = "open"
    #: The connection is lost; the client waits before it connects again.
    WAITING = "waiting"
    #: The user has called `close()`; the client does not connect any more.
    CLOSED = "closed"


class WebSocket(Protocol):
    """A WebSocket that is open or being opened. None of its methods raises."""

    @property
    def url(self) -> str:
        """
        The URL without its query, and the endpoint if the URL does not determine it; for error messages.
        """
        ...

    @property
    def where(self) -> str:
        """The URL and the stage that connecting has reached, for error messages."""
        ...

    def send(self, message: bytes, isBinary: bool) -> None:
        """Send a message."""

    def close(self, code: int, reason: str) -> Deferred[None]:
        """Close the WebSocket, whatever its state. The Deferred fires when the TCP connection is closed."""

    def abort(self) -> None:
        """Close the TCP connection at once, without a closing handshake."""


class Attempt:
    """
    One attempt to connect. The transport that makes the WebSocket reports here what happens to it.

    After the connection has given the attempt up, further reports have no effect.
    """

    def __init__(self, connection: Connection, queue: CallQueue) -> None:
        self._connection = connection
        self._queue = queue
        self.webSocket: WebSocket | None = None

    def opened(self, protocol: str | None) -> None:
        """Report that the WebSocket is open, with that sub-protocol."""
        with self._queue:
            if self._connection.isCurrent(self):
                self._connection.opened(protocol)

    def progress(self, size: int) -> None:
        """Report that bytes have arrived, perhaps of a message that is not complete yet."""
        if self._connection.isCurrent(self):
            self._connection.progress(size)

    def received(self, message: bytes, isBinary: bool) -> None:
        """Report that a message has arrived."""
        with self._queue:
            if self._connection.isCurrent(self):
                self._connection.received(message, isBinary)

    def lost(self, code: int, reason: str = "", retryAfter: float = 0.0) -> None:
        """
        Report that the WebSocket was closed or could not be opened. `retryAfter` is how many seconds the
        server asks to wait.
        """
        with self._queue:
            self.webSocket = None
            if self._connection.isCurrent(self):
                self._connection.lost(code, reason, retryAfter)


class ConnectionOwner(Protocol):
    """The object that a connection reports to."""

    @property
    def isBusy(self) -> bool:
        """Whether anything needs a connection, this one or the next."""
        ...

    def connecting(self) -> None:
        """Called when an attempt to connect begins."""

    def opened(self) -> None:
        """Called when the connection is open."""

    def progress(self) -> None:
        """Called when bytes have arrived."""

    def received(self, message: bytes, isBinary: bool) -> None:
        """Called when a message has arrived."""

    def isFinal(self, code: int, reason: str) -> bool:
        """Return whether the client must not reconnect after a connection ended with that code and reason."""
        ...

    def lost(self, code: int, reason: str) -> None:
        """Called when the connection is lost. The client will reconnect if anything needs a connection."""

    def delayed(self, seconds: float) -> None:
        """Called when the server has asked the client to wait; the next attempt is in that many seconds."""

    def ended(self, code: int, reason: str) -> None:
        """Called when the connection is lost and the client will not reconnect by itself."""


class _NoOwner:
    """
    Replaces the owner of a connection that was closed by the user, so that the connection does not refer to
    the client.
    """

    isBusy = False

    def isFinal(self, code: int, reason: str) -> bool:
        """Never reconnect."""
        return True

    def connecting(self) -> None:
        """Do nothing."""

    def opened(self) -> None:
        """Do nothing."""

    def progress(self) -> None:
        """Do nothing."""

    def received(self, message: bytes, isBinary: bool) -> None:
        """Do nothing."""

    def lost(self, code: int, reason: str) -> None:
        """Do nothing."""

    def delayed(self, seconds: float) -> None:
        """Do nothing."""

    def ended(self, code: int, reason: str) -> None:
        """Do nothing."""


class Connection:
    """
    A connection that survives its WebSockets; its states are those of `ClientState`.

    `connect` is called with an `Attempt`, and returns its `WebSocket`.
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
        #: Why the last attempt failed or the last connection was lost, in words.
        self.trouble = ""
        #: The time until which the server has asked the client not to reconnect.
        self.barredUntil = 0.0
        #: The total size of the messages sent over this connection, in bytes.
        self.sent = 0
        #: How many bytes of an incomplete message have arrived, and when the last of them did.
        self._partial = 0
        self._partialAt = 0.0
        self._owner = owner
        self._makeWebSocket = connect
        self._queue = queue
        self._events = events
        self._options = options
        self._attempt: Attempt | None = None
        #: How many attempts in a row did not lead to a connection that lasted `stableAfter` seconds.
        self._attempts = 0
        self._wasOpen = False
        self._openedAt = 0.0
        self._bye: Bye | None = None
        self._why = ""
        #: The timer until the next attempt, and the time limit of the current attempt.
        self._timer: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None

    # -- for the client; called within `with queue:`

    def connect(self) -> None:
        """Begin to connect, if the state is `IDLE`."""
        if self.state is ClientState.IDLE:
            self._connect()

    def write(self, frame: bytes) -> None:
        """
        Send a frame if the connection is open; otherwise discard it, since the caller sends what matters
        again.
        """
        if self._attempt is not None and self._attempt.webSocket is not None:
            self.sent += len(frame)
            self._attempt.webSocket.send(frame, self._options.protocol != JSON_PROTOCOL)

    def expectEnd(self, bye: Bye, why: str = "") -> None:
        """
        Expect the server to close the connection, as it has announced; `why` is the reason that it gave.
        """
        self._bye = bye
        self._why = why

    def drop(
        self, reason: str, delay: float | None = None, *, code: CloseCode = CloseCode.NO_HEARTBEAT
    ) -> None:
        """Close this connection, and open another one after `delay` seconds (default: the usual delay)."""
        attempt = self._detach()
        if attempt is None:
            return
        if attempt.webSocket is not None:
            # A peer that does not answer would not complete the closing handshake either.
            if code == CloseCode.NO_HEARTBEAT:
                attempt.webSocket.abort()
            else:
                attempt.webSocket.close(code, reason)
        self._lose(CloseCode.ABNORMAL, reason, delay=delay)

    def end(self, why: str) -> None:
        """Close the connection and do not reconnect."""
        attempt = self._detach()
        if attempt is not None and attempt.webSocket is not None:
            attempt.webSocket.close(CloseCode.NORMAL, "")
        self.state = ClientState.IDLE
        self._end(CloseCode.NORMAL, why)

    @property
    def url(self) -> str:
        """The URL that the connection leads to, for error messages."""
        webSocket = None if self._attempt is None else self._attempt.webSocket
        return "" if webSocket is None else webSocket.url

    def reconnect(self, delay: float) -> None:
        """Close the connection, if there is one, and open another one after `delay` seconds."""
        if self.state in (ClientState.OPEN, ClientState.CONNECTING):
            self.drop("reconnect", delay)
        elif self.state is ClientState.WAITING or (self.state is ClientState.IDLE and self._owner.isBusy):
            self.state = ClientState.WAITING
            self.barredUntil = 0.0
            self._wait(delay)

    def close(self) -> Deferred[None]:
        """Close the connection for good. The Deferred fires when the TCP connection is closed."""
        attempt = self._detach()
        wasIdle, self.state = self.state is ClientState.IDLE, ClientState.CLOSED
        webSocket = None if attempt is None else attempt.webSocket
        gone = succeed(None) if webSocket is None else webSocket.close(CloseCode.NORMAL, "")
        self._end(CloseCode.NORMAL, "closed", isTold=not wasIdle)
        self._owner = _NoOwner()
        return gone

    @property
    def patience(self) -> float:
        """
        How many seconds an answer may be late because a large message is arriving before it.

        It is 0 if no byte of that message has arrived for `pingTimeout` seconds, so that a server cannot
        extend the time by sending a byte now and then.
        """
        silent = self._queue.clock.seconds() - self._partialAt
        return self._partial // SLOWEST if silent < self._options.pingTimeout else 0.0

    # -- called by the attempt

    def isCurrent(self, attempt: Attempt) -> bool:
        """Return whether `attempt` is the current attempt."""
        return self._attempt is attempt

    def opened(self, protocol: str | None) -> None:
        """Called when the WebSocket is open."""
        if (protocol or JSON_PROTOCOL) != self._options.protocol:
            self.drop(f"the server chose the sub-protocol {protocol}", code=CloseCode.MISUSE)
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
        """Called when bytes have arrived."""
        self._partial += size
        self._partialAt = self._queue.clock.seconds()
        self._owner.progress()

    def received(self, message: bytes, isBinary: bool) -> None:
        """Called when a message has arrived."""
        self._partial = 0
        self._owner.received(message, isBinary)

    def lost(self, code: int, reason: str, retryAfter: float) -> None:
        """Called when the server or the network has closed the WebSocket, or it could not be opened."""
        self._detach()
        self._lose(code, reason, retryAfter)

    # -- connecting and reconnecting

    def _connect(self) -> None:
        self.state = ClientState.CONNECTING
        self._owner.connecting()
        stop(self._timer)
        attempt = self._attempt = Attempt(self, self._queue)
        self._deadline = self._queue.later(self._options.connectTimeout, self._notOpen)
        # The transport may report at once: begin when the state is consistent.
        self._queue.post(self._begin, attempt)

    def _begin(self, attempt: Attempt) -> None:
        if self.isCurrent(attempt):
            webSocket = self._makeWebSocket(attempt)
            if self.isCurrent(attempt):  # it may have failed at once
                attempt.webSocket = webSocket

    def _notOpen(self) -> None:
        webSocket = None if self._attempt is None else self._attempt.webSocket
        where = "" if webSocket is None else f"{webSocket.where}: "
        self.drop(f"{where}the connection did not open within {self._options.connectTimeout:g} s")

    def _detach(self) -> Attempt | None:
        """Give the current attempt up: its further reports have no effect."""
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
        self.trouble = reason or f"the connection was closed with {code}"
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
        """Go to the state `IDLE` if nothing needs a connection. Returns whether nothing does."""
        if self._owner.isBusy:
            return False
        self._attempts = 0
        self.state = ClientState.IDLE
        self._events.tell("disconnected", code, reason)
        return True

    def _end(self, code: int, reason: str, *, isTold: bool = True) -> None:
        """Tell the owner, and perhaps the listeners, that the client does not reconnect."""
        self._attempts = 0
        self._owner.ended(code, reason)
        if isTold:
            self._events.tell("disconnected", code, reason)
