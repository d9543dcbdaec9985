"""
Calls from a room to its clients. A call is sent at most once, and has a timeout.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall

from ...core.codes import ErrorCode
from ...core.validation import isAmount
from ...protocol.errors import RoomError
from .. import hooks
from ..contract.items import RoomCall
from .broadcaster import Broadcaster, encodedMessage
from .context import RoomContext
from .member import Member, State

#: The most calls to one client that may wait for its answer.
MAX_CALLS = 256
#: The number of owners after which the refs of the first one are used again; refs have at most 53 bits.
MAX_GENERATION = 1 << 20


class Calls:
    """Sends the calls of one room, and fires their Deferreds with the clients' answers."""

    __slots__ = ("_broadcaster", "_context", "_lastRef")

    def __init__(self, context: RoomContext, broadcaster: Broadcaster) -> None:
        self._context = context
        self._broadcaster = broadcaster
        self._lastRef = 0

    def begin(self, generation: int) -> None:
        """
        Use other refs than the earlier owners of the room, because answers to their calls may still arrive.
        """
        self._lastRef = generation % MAX_GENERATION << 32

    def call(self, member: Member, type: str, data: Any, timeout: float) -> Deferred[Any]:
        """See `Client.call`."""
        context = self._context
        encoded = encodedMessage(type, data, context.room.binary)
        if not isAmount(timeout):
            raise ValueError(f"timeout={timeout!r}: must be a number of seconds, 0 or more")
        if member.state >= State.LEAVING:
            return fail(RoomError(ErrorCode.ROOM_GONE))
        if len(member.calls) >= MAX_CALLS:
            return fail(RoomError(ErrorCode.RATE_LIMITED, f"{MAX_CALLS} calls wait for this client's answer"))
        self._lastRef += 1
        ref = self._lastRef
        answer: Deferred[Any] = Deferred(lambda _: _forget(member, ref))
        member.calls[ref] = answer
        timer = context.clock.callLater(timeout, self._timeOut, member, ref)
        answer.addBoth(_stop, timer)
        item = RoomCall(ref, context.id, type, encoded)
        if member.state is State.SEATED:
            member.pending.append(item)
            context.runner.post(self._refuseWait, member, ref)
        else:
            self._broadcaster.say(member, item)
        return answer

    def _refuseWait(self, member: Member, ref: int) -> None:
        """
        Fail a call that `onAuth` or `onJoin` waits for: it is sent after these hooks, so they can't wait.
        """
        answer = member.calls.get(ref)
        if answer is not None and hooks.waitsFor(member.runningHook, answer):
            del member.calls[ref]
            error = RuntimeError(
                "onAuth and onJoin can't wait for what client.call gives: a client is asked when it "
                "has joined, which is when they are over; use addCallback, or ask later, in a function "
                "of its own: self.clock.callLater(0, self.ask, client)"
            )
            hooks.failWaiter(answer, error)

    def _timeOut(self, member: Member, ref: int) -> None:
        answer = self.take(member, ref)
        if answer is not None:
            hooks.failWaiter(answer, RoomError(ErrorCode.TIMEOUT))

    def take(self, member: Member, ref: int) -> Deferred[Any] | None:
        """Return the Deferred that waits for this answer, for the caller to fire; `None`: there is none."""
        return member.calls.pop(ref, None)

    def failAll(self, member: Member) -> None:
        """Fail the calls to a client that can't answer any more, in the next turn of the reactor."""
        if member.calls:
            calls, member.calls = member.calls, {}
            self._context.runner.post(_failAll, list(calls.values()))


def _failAll(answers: list[Deferred[Any]]) -> None:
    for answer in answers:
        if not answer.called:
            hooks.failWaiter(answer, RoomError(ErrorCode.ROOM_GONE))


def _forget(member: Member, ref: int) -> None:
    """Drop a call that has been cancelled."""
    member.calls.pop(ref, None)


def _stop(result: Any, timer: IDelayedCall) -> Any:
    if timer.active():
        timer.cancel()
    return result
