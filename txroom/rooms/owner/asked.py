"""
Carries out what the server's own code, and operators, ask of a room; see `contract.asks`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ...core.awaitables import begun, clearTraceback
from ...protocol import payload
from ...protocol.errors import InvalidData
from ..api.ports import LeaveReason
from ..contract.asks import (
    Change,
    CheckResume,
    Command,
    Created,
    Dispose,
    Examine,
    Inspect,
    Keyed,
    Kick,
    Lock,
    ReadLog,
    Reserve,
    SendTo,
    SetMetadata,
    SetPrivate,
    ShowMembers,
    TakeLate,
    TellSeat,
    reused,
    running,
    unanswered,
)
from ..contract.ports import ASK_SECONDS
from ..hooks import currentOwner
from .attaching import Attaching
from .broadcaster import Broadcaster
from .context import Lifecycle, RoomContext
from .examining import Examining
from .inbox import Inbox
from .keptanswers import KeptAnswers
from .leaving import Leaving
from .life import Stage, closedError
from .reading import Reading
from .roomlisting import RoomListing
from .seats import Seats

#: How many more seconds hooks and handlers may run after somebody outside of the room has ended it, or has
#: kicked their member.
LAST_SECONDS = 2.0


class Asked:
    """Answers the commands for one room."""

    __slots__ = (
        "_attaching",
        "_broadcaster",
        "_context",
        "_examining",
        "_inbox",
        "_keptAnswers",
        "_leaving",
        "_lifecycle",
        "_reading",
        "_roomListing",
        "_seats",
    )

    def __init__(
        self,
        context: RoomContext,
        lifecycle: Lifecycle,
        roomListing: RoomListing,
        seats: Seats,
        broadcaster: Broadcaster,
        leaving: Leaving,
        attaching: Attaching,
        keptAnswers: KeptAnswers,
        reading: Reading,
        inbox: Inbox,
        examining: Examining,
    ) -> None:
        self._context = context
        self._lifecycle = lifecycle
        self._roomListing = roomListing
        self._seats = seats
        self._broadcaster = broadcaster
        self._leaving = leaving
        self._attaching = attaching
        self._keptAnswers = keptAnswers
        self._reading = reading
        self._inbox = inbox
        self._examining = examining

    def ask(self, command: Command, seconds: float) -> Deferred[Any]:
        """Carry out a command; see `RoomHost.ask`."""
        return begun(self._answer(command, seconds))

    async def _answer(self, command: Command, seconds: float) -> Any:
        life = self._context.life
        if isinstance(command, Examine):
            return await self._examining.examine(command)
        if life.stage is Stage.CREATING:
            if isinstance(command, Created):
                raise running()
            await self._attaching.begun().addTimeout(seconds, self._context.clock, _tooLate)
        if isinstance(command, ReadLog):
            return await self._reading.read(command)
        if not life.isOpen:
            raise closedError(life)
        if isinstance(command, Inspect):
            return self._examining.inspect(command)
        if isinstance(command, ShowMembers):
            return self._examining.members(command)
        if isinstance(command, TakeLate):
            self._takeLate(command)
            return await self._committed(None)
        if isinstance(command, Created):
            return await self._created(command)
        if isinstance(command, TellSeat):
            member = await self._attaching.tellSeat(command)
            seconds = self._context.room.seatSeconds
            return await self._committed({"name": self._context.name, "member": member, "seconds": seconds})
        if isinstance(command, CheckResume):
            member = self._attaching.checkResume(command.token)
            return {"name": self._context.name, "member": member}
        return await self._changed(command)

    def _changed(self, command: Change | Keyed) -> Deferred[Any]:
        """Carry out a command at once; the Deferred fires with its answer when it is committed."""
        once, change = (command.once, command.command) if isinstance(command, Keyed) else (None, command)
        found = None if once is None else self._keptAnswers.find(once)
        if found is not None:
            return succeed(found.answer)
        if isinstance(change, Dispose):  # an answer that is kept would end with the room
            return self._dispose(change)
        answer = _CHANGES[type(change)](self, change)
        if once is not None:
            self._keptAnswers.keep(once, answer)
        return self._committed(answer)

    def _created(self, command: Created) -> Deferred[str]:
        createdBy = self._keptAnswers.createdBy
        if createdBy is None or createdBy.digest != command.digest:
            raise reused()
        return self._committed(self._context.id)

    def _kick(self, command: Kick) -> int:
        found = [
            member
            for member in self._context.roster.members.values()
            if member.id == command.member or (command.userId and member.userId == command.userId)
        ]
        for member in found:
            self._limitCalls(member.id)
            self._leaving.kick(member, command.reason)
        return len(found)

    def _limitCalls(self, member: str | None = None) -> None:
        """
        Cancel hooks and handlers that don't end soon, of a member or all, so that nobody waits for what never
        comes; but not when a hook or handler of the room itself asks.
        """
        if currentOwner.get() is not self._lifecycle:
            self._context.runner.running.limit(LAST_SECONDS, member)

    def _lock(self, command: Lock) -> None:
        self._roomListing.setLocked(command.isLocked)

    def _setPrivate(self, command: SetPrivate) -> None:
        self._roomListing.setPrivate(command.isPrivate)

    def _setMetadata(self, command: SetMetadata) -> None:
        try:
            self._roomListing.setMetadata(command.metadata)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidData(str(error), "metadata") from None

    def _dispose(self, command: Dispose) -> Deferred[None]:
        """End the room; the Deferred fires when no later owner can have it."""
        context = self._context
        self._limitCalls()
        ended = self._lifecycle.dispose(command.code, LeaveReason.CLOSED, command.reason)
        if currentOwner.get() is self._lifecycle:
            return self._committed(None)

        def isOver(_: object) -> None:
            if not context.life.isReleased:
                raise unanswered(True)

        return ended.addTimeout(ASK_SECONDS, context.clock, _tooSlow).addCallback(isOver)

    def _sendTo(self, command: SendTo) -> int | None:
        context = self._context
        try:
            data = payload.encode(payload.decode(command.data), context.room.binary)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidData(str(error), "data") from None
        return self._broadcaster.publish(command.type, data, self._addressees(command), command.isVolatile)

    def _addressees(self, command: SendTo) -> tuple[str, ...] | None:
        """Return the ids of the members that get a message; `None`: all of them."""
        if command.members is None and command.userIds is None and command.groups is None:
            return None
        ids, users, groups = map(_setOf, (command.members, command.userIds, command.groups))
        return tuple(
            member.id
            for member in self._context.roster.present
            if (ids is None or member.id in ids)
            and (users is None or member.userId in users)
            and (groups is None or not member.groups.isdisjoint(groups))
        )

    def _reserve(self, command: Reserve) -> str:
        try:
            return self._seats.reserve(command.user, command.seconds)
        except ValueError as error:
            raise InvalidData(str(error), "user") from None

    def _takeLate(self, command: TakeLate) -> None:
        members = self._context.roster.members
        for late in command.frames:
            member = members.get(late.member)
            if member is not None and member.isPresent:
                self._inbox.takeLate(member, late.frame, late.isJSON)

    def _committed(self, answer: Any) -> Deferred[Any]:
        """Return a Deferred that fires with an answer when everything so far has been committed."""
        committed = self._context.outbox.whenCommitted()
        return committed.addCallbacks(lambda _: answer, self._neverCommitted)

    def _neverCommitted(self, failure: Failure) -> None:
        """Raise the error for a room that is lost. Its records may have been committed nevertheless."""
        clearTraceback(failure.value)
        raise unanswered(True)


def _setOf(ids: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if ids is None else frozenset(ids)


def _tooLate(result: object, seconds: float) -> Any:
    """The room has not begun in time."""
    raise unanswered(False)


def _tooSlow(result: object, seconds: float) -> Any:
    """The room has not ended in time."""
    raise unanswered(True)


#: What carries out each command that changes something, and returns the answer.
_CHANGES: dict[type[Change], Callable[[Asked, Any], Any]] = {
    Kick: Asked._kick,
    Lock: Asked._lock,
    SetPrivate: Asked._setPrivate,
    SetMetadata: Asked._setMetadata,
    SendTo: Asked._sendTo,
    Reserve: Asked._reserve,
}
