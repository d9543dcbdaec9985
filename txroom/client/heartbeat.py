"""
The heartbeat of a client: is the server still there, and how far away is it?
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall

from ..protocol.errors import RoomError
from .callqueue import CallQueue, stop
from .connection import SLOWEST, Connection
from .events import Events
from .options import ClientOptions
from .requests import Answer, PendingRequests, Request

#: Most seconds by which what we have sent may delay an answer.
_MOST_DELAY = 300.0


class Heartbeat:
    """
    Pings the server while there is a connection, and drops a connection over which nothing comes after that.

    Any byte shows that the server is there. What was sent before a ping may delay the answer on a slow link:
    the heartbeat waits longer by the time that it takes, until an answer shows that it has arrived.
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
        #: Seconds to the server and back at the last heartbeat; `None` before the first.
        self.latency: float | None = None
        self._hasReceived = False
        #: Of what was sent over this connection the server has so many bytes at least.
        self._arrived = 0
        self._timer: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None

    def start(self) -> None:
        """There is a connection."""
        self._arrived = 0
        if self._options.pingInterval:
            self._beat()

    def stop(self) -> None:
        """There is none any more."""
        stop(self._timer)
        stop(self._deadline)
        self._deadline = None

    def received(self) -> None:
        """Something has come, a part of a frame perhaps."""
        self._hasReceived = True

    def measured(self, request: Request) -> float:
        """That request was answered now; the time it took."""
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
