"""
`LoadTest`: starts the clients, lets them send in turn, and ends them.
"""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall

from .histogram import Histogram
from .loadclient import LoadClient, LoadTestContext
from .metrics import Metrics
from .plain import PlainLoadClient
from .plan import Plan
from .rooms import RoomLoadClient

#: The time between two checks of what is due, in seconds.
TICK = 0.005
#: If a check is late, the messages of at most this many seconds are sent; those due before are never sent.
MAX_LATE = 0.1
#: How many seconds the last answers may take at the end.
DRAIN = 5.0


@attrs.frozen
class Moment:
    """A time, and how many messages were sent and received until then."""

    time: float
    sent: int
    received: int


class LoadTest:
    """
    Runs a plan.

    The clients start evenly over the ramp, and send as soon as they are ready. Messages are sent at their
    time, whether or not earlier ones were answered, and the clients take turns. At the end the clients wait
    for the last answers and disconnect.

    Args:
        plan: What to do.
        reactor: The network and the clock.
        token: A string that makes the marks of this load test different from those of others on the same
            server.
    """

    def __init__(self, plan: Plan, reactor: Any, token: str) -> None:
        self.plan = plan
        self.metrics = Metrics()
        self._reactor = reactor
        self._context = LoadTestContext(plan, reactor, self.metrics, token, self._entered, self._left)
        self._clients: list[LoadClient] = []
        self._senders: deque[LoadClient] = deque()
        self._gone = 0
        self._due = 0.0
        self._loop = LoopingCall(self._load)
        self._loop.clock = reactor
        self._draining: IDelayedCall | None = None
        self._done: Deferred[None] = Deferred()
        self._isOver = False
        #: Whether `stop` has ended it early.
        self.isStopped = False
        #: How late the checks of what is due were; large values mean that this process is too busy.
        self.lateness = Histogram()
        #: The start of the load test, and the time over which rates are measured: from the end of the ramp,
        #: or from the start if the ramp has not ended.
        self.start = self.since = self.until = self._moment()

    def run(self) -> Deferred[None]:
        """Run the load test. The Deferred fires when all clients have disconnected."""
        self.start = self.since = self.until = self._moment()
        self._loop.start(TICK)
        return self._done

    def stop(self) -> None:
        """End the load test early. If it is waiting for the last answers already, do not wait for them."""
        if self._loop.running:
            self.isStopped = True
            self.until = self._moment()
            self._loop.stop()
            self._drain(self.until.time + DRAIN)
        elif self._draining is not None and self._draining.active():
            self.isStopped = True
            self._draining.cancel()
            self._finish()

    def abandon(self) -> None:
        """
        End the load test at once, without disconnecting; answers that have not arrived are counted as
        missing.
        """
        if not self._isOver:
            self._isOver = True
            self.metrics.miss()

    def _moment(self) -> Moment:
        return Moment(self._reactor.seconds(), self.metrics.sent, self.metrics.received)

    # -- the load

    def _load(self) -> None:
        plan, last, now = self.plan, self.until, self._moment()
        self.until = now
        elapsed = now.time - self.start.time
        if now.time > last.time:
            self.lateness.add(max(0.0, now.time - last.time - TICK))
        self._admit(elapsed)
        if self.since is self.start and elapsed >= plan.ramp:
            self.since = now
        self._sendDue(now.time - last.time)
        if elapsed >= plan.ramp + plan.duration or self._gone == plan.clients:
            self._loop.stop()
            self._drain(now.time + DRAIN)

    def _admit(self, elapsed: float) -> None:
        count = self.plan.clients
        if elapsed < self.plan.ramp:
            count = min(count, ceil(count * elapsed / self.plan.ramp))
        kind = PlainLoadClient if self.plan.room is None else RoomLoadClient
        while len(self._clients) < count:
            client = kind(self._context, len(self._clients))
            self._clients.append(client)
            client.enter()

    def _sendDue(self, seconds: float) -> None:
        rate = self.plan.rate * len(self._senders)
        self._due = min(self._due + rate * seconds, 1 + rate * MAX_LATE)
        while self._due >= 1 and self._senders:
            self._due -= 1
            client = self._senders[0]
            self._senders.rotate(-1)
            client.sendNext()

    def _entered(self, client: LoadClient) -> None:
        if self.plan.isSending:
            self._senders.append(client)

    def _left(self, client: LoadClient) -> None:
        self._gone += 1
        if client in self._senders:
            self._senders.remove(client)

    # -- the end

    def _drain(self, deadline: float) -> None:
        if self.metrics.pending.total() and self._reactor.seconds() < deadline:
            self._draining = self._reactor.callLater(TICK, self._drain, deadline)
        else:
            self._finish()

    def _finish(self) -> None:
        self.abandon()
        for client in self._clients:
            # If the load test was stopped, clients that were still connecting have not failed.
            if not client.isReady and (client.wasReady or not self.isStopped):
                client.failed(client.progress)
        leaving = gatherResults([client.leave() for client in self._clients])
        leaving.addCallback(lambda _: self._done.callback(None))
