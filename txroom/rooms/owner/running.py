"""
The hooks, handlers and timers of a room that wait for something, for operators who look for what is stuck.

Only those are noted that have returned a Deferred or a coroutine which hasn't ended: all others are over.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..api.clock import RoomTimers


@attrs.frozen(eq=False)
class RunningCall:
    """A hook or a handler that waits."""

    name: str
    #: The id of the member that it was called for; empty: for none.
    member: str
    #: When it was called, by the server's clock.
    since: float


class Wait(NamedTuple):
    """A hook, a handler or a timer that waits."""

    #: For how many seconds.
    seconds: float
    name: str
    #: The id of the member that it was called for; empty: for none.
    member: str


class Running:
    """The hooks and handlers of one room that wait, in the order in which they were called."""

    __slots__ = ("_calls", "_clock")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: dict[RunningCall, Deferred[Any]] = {}

    def note(self, waited: Deferred[Any], name: str, member: str = "") -> Deferred[Any]:
        """Note a hook or handler until the Deferred of its result fires. Returns that Deferred."""
        if waited.called and not waited.paused:
            return waited
        call = RunningCall(name, member, self._clock.seconds())
        self._calls[call] = waited
        return waited.addBoth(self._over, call)

    def _over(self, result: Any, call: RunningCall) -> Any:
        self._calls.pop(call, None)
        return result

    def limit(self, seconds: float, member: str | None = None) -> None:
        """
        Cancel those that wait now, unless they have ended after some seconds.

        Args:
            seconds: The seconds.
            member: The id of the member that they were called for; `None`: cancel all.
        """
        for call, waited in list(self._calls.items()):
            if member is None or call.member == member:
                waited.addBoth(_stopped, self._clock.callLater(seconds, waited.cancel))

    def waits(self, timers: RoomTimers) -> list[Wait]:
        """Return those that wait, and the timers of the room that do, the oldest first."""
        now = self._clock.seconds()
        waits = [Wait(now - call.since, call.name, call.member) for call in self._calls]
        waits += [Wait(now - since, name, "") for name, since in timers.running]
        return sorted(waits, key=lambda wait: -wait.seconds)


def _stopped(result: Any, timer: IDelayedCall) -> Any:
    if timer.active():
        timer.cancel()
    return result
