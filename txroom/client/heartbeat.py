"""
The heartbeat of a client: it finds lost connections and measures the round-trip time.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall

from ..protocol.errors import RoomError
from .callqueue import CallQueue, stop
from .connection import SLOWEST, Connection
from .events import Events
from .options import ClientOptions
from .requests import Answer, PendingRequests, Request

#: The longest time, in seconds, by which data sent earlier may delay an answer.
_MOST_DELAY = 300.0


class Heartbeat:
    """
    Pings the server, and drops a connection over which nothing arrives after a ping.

    Any byte that arrives proves that the server is there. On a slow link, data that was sent before a ping
    delays its answer. Until an answer shows that this data has arrived, the heartbeat waits longer by the
    time that the slowest link needs for it.
    """

    def __init__(
        self,
        connection: Connection,
        requests: PendingRequests,
        queue: CallQueue,
        events: Events,
        options: ClientOptions,
    ) -> None:
        self._connection = connection
        self._requests = requests
        self._queue = queue
        self._events = events
        self._options = options
        #: The round-trip time of the last ping in seconds; `None` before the first.
        self.latency: float | None = None
        self._hasReceived = False
        #: How many of the bytes sent over this connection have reached the server at least.
        self._arrived = 0
        self._timer: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to ping, because the connection is open."""
        self._arrived = 0
        if self._options.pingInterval:
            self._beat()

    def stop(self) -> None:
        """Stop, because the connection is lost."""
        stop(self._timer)
        stop(self._deadline)
        self._deadline = None

    def received(self) -> None:
        """Note that bytes have arrived, perhaps only a part of a frame."""
        self._hasReceived = True

    def measured(self, request: Request) -> float:
        """Take the round-trip time of a request that was answered now, and return it in seconds."""
        self.latency = self._queue.clock.seconds() - request.sentAt
        self._events.tell("latency", self.latency)
        return self.latency

    def _beat(self) -> None:
        before = self._connection.sent
        patience = self._options.pingTimeout + min(_MOST_DELAY, (before - self._arrived) // SLOWEST)
        if self._deadline is None:
            self._hasReceived = False
            self._deadline = self._queue.later(patience, self._checkReceived)
        request: Request | None = None

        def done(error: RoomError | None, answer: Answer | None) -> None:
            if error is None and request is not None:
                self._arrived = max(self._arrived, before)
                stop(self._deadline)
                self._deadline = None
                self.measured(request)

        seconds = max(patience, self._options.requestTimeout)
        request = self._requests.ask(lambda ref: ("ping", ref), done, timeout=seconds)
        self._timer = self._queue.later(self._options.pingInterval, self._beat)

    def _checkReceived(self) -> None:
        self._deadline = None
        if not self._hasReceived:
            self._connection.drop("no heartbeat")
