"""
All the clients of a load test: how they come in, sendNext in turn, and go.
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

#: Seconds between two looks at what is due.
TICK = 0.005
#: Seconds of messages that are made up for if we are late; what was due before that is never sent.
MAX_LATE = 0.1
#: Seconds that answers may take at the end.
DRAIN = 5.0


@attrs.frozen
class Moment:
    """A time, and the messages until then."""

    time: float
    sent: int
    received: int


class LoadTest:
    """
    The clients of a plan.

    They come in evenly over the ramp, and sendNext as soon as they are in. Messages are due by the clock,
    whether the former ones were answered or not, and evenly: the clients sendNext in turn. At the end they
    wait for what is still to be answered, and go.

    `token` is part of the marks: unlike that of any other loadTest at the same server.
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
        #: Whether it was stopped before its time.
        self.isStopped = False
        #: How much too late we were to look at what is due.
        self.lateness = Histogram()
        #: From when to when rates are measured: from the end of the ramp, if that has come.
        self.start = self.since = self.until = self._moment()

    def run(self) -> Deferred[None]:
        """Do it; fires when all are gone."""
        self.start = self.since = self.until = self._moment()
        self._loop.start(TICK)
        return self._done

    def stop(self) -> None:
        """End it before its time; if it has come to the answers, without those."""
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
        """It ends at once: what is still to come is missing."""
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
            # Who was still on its way when we were stopped could not know.
            if not client.isReady and (client.wasReady or not self.isStopped):
                client.failed(client.progress)
        leaving = gatherResults([client.leave() for client in self._clients])
        leaving.addCallback(lambda _: self._done.callback(None))
