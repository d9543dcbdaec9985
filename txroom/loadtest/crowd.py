"""
All the clients of a load test: how they come in, speak in turn, and go.
"""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall

from .guest import Guest, Stage
from .histogram import Histogram
from .plain import PlainGuest
from .plan import Plan
from .rooms import RoomGuest
from .tally import Tally

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


class Crowd:
    """
    The clients of a plan.

    They come in evenly over the ramp, and speak as soon as they are in. Messages are due by the clock,
    whether the former ones were answered or not, and evenly: the clients speak in turn. At the end they
    wait for what is still to be answered, and go.

    `token` is part of the marks: unlike that of any other crowd at the same server.
    """

    def __init__(self, plan: Plan, reactor: Any, token: str) -> None:
        self.plan = plan
        self.tally = Tally()
        self._reactor = reactor
        self._stage = Stage(plan, reactor, self.tally, token, self._entered, self._left)
        self._guests: list[Guest] = []
        self._speakers: deque[Guest] = deque()
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
            self.tally.miss()

    def _moment(self) -> Moment:
        return Moment(self._reactor.seconds(), self.tally.sent, self.tally.received)

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
        self._speak(now.time - last.time)
        if elapsed >= plan.ramp + plan.duration or self._gone == plan.clients:
            self._loop.stop()
            self._drain(now.time + DRAIN)

    def _admit(self, elapsed: float) -> None:
        count = self.plan.clients
        if elapsed < self.plan.ramp:
            count = min(count, ceil(count * elapsed / self.plan.ramp))
        kind = PlainGuest if self.plan.room is None else RoomGuest
        while len(self._guests) < count:
            guest = kind(self._stage, len(self._guests))
            self._guests.append(guest)
            guest.enter()

    def _speak(self, seconds: float) -> None:
        rate = self.plan.rate * len(self._speakers)
        self._due = min(self._due + rate * seconds, 1 + rate * MAX_LATE)
        while self._due >= 1 and self._speakers:
            self._due -= 1
            guest = self._speakers[0]
            self._speakers.rotate(-1)
            guest.speak()

    def _entered(self, guest: Guest) -> None:
        if self.plan.isSpeaking:
            self._speakers.append(guest)

    def _left(self, guest: Guest) -> None:
        self._gone += 1
        if guest in self._speakers:
            self._speakers.remove(guest)

    # -- the end

    def _drain(self, deadline: float) -> None:
        if self.tally.pending.total() and self._reactor.seconds() < deadline:
            self._draining = self._reactor.callLater(TICK, self._drain, deadline)
        else:
            self._finish()

    def _finish(self) -> None:
        self.abandon()
        for guest in self._guests:
            # Who was still on its way when we were stopped could not know.
            if not guest.isIn and (guest.wasIn or not self.isStopped):
                guest.failed(guest.whereItIs)
        leaving = gatherResults([guest.leave() for guest in self._guests])
        leaving.addCallback(lambda _: self._done.callback(None))
