"""
Carries out what the server's own code, and operators, ask of a room; see `contract.asks`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import asdict
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...core.awaitables import clearTraceback
from ...protocol import payload
from ...protocol.errors import InvalidData, RoomError
from ..api.ports import LeaveReason
from ..contract.asks import Command, Dispose, Inspect, Kick, Lock, Reserve, SendTo, unanswered
from ..contract.ports import ASK_SECONDS
from .attaching import Attaching
from .broadcaster import Broadcaster
from .context import Lifecycle, RoomContext
from .leaving import Leaving
from .member import Member
from .roomlisting import RoomListing
from .seats import Seats


class Asked:
    """Answers the commands for one room."""

    __slots__ = (
        "_attaching",
        "_broadcaster",
        "_context",
        "_leaving",
        "_lifecycle",
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
    ) -> None:
        self._context = context
        self._lifecycle = lifecycle
        self._roomListing = roomListing
        self._seats = seats
        self._broadcaster = broadcaster
        self._leaving = leaving
        self._attaching = attaching

    def ask(self, command: Command) -> Deferred[Any]:
        """Carry out a command; see `RoomHost.ask`."""
        return Deferred.fromCoroutine(self._answer(command))

    async def _answer(self, command: Command) -> Any:
        context = self._context
        life, since = context.life, context.clock.seconds()
        await self._attaching.begun()
        if not life.isOpen:
            raise RoomError(life.closedCode)
        if context.clock.seconds() - since >= ASK_SECONDS:
            raise unanswered(False)  # nobody waits for the answer any more
        answer = _ANSWERS[type(command)](self, command)
        return await answer if isinstance(answer, Deferred) else answer

    def _inspect(self, command: Inspect) -> dict[str, Any]:
        log = self._context.log
        members = list(self._context.roster.present)[: max(command.limit, 0)]
        return {
            "listing": asdict(self._roomListing.listing),
            "epoch": log.epoch,
            "offset": log.offset,
            "members": [_shown(member) for member in members],
        }

    def _kick(self, command: Kick) -> Deferred[int]:
        found = [
            member
            for member in self._context.roster.members.values()
            if member.id == command.member or (command.userId and member.userId == command.userId)
        ]
        for member in found:
            self._leaving.kick(member, command.reason)
        return self._committed(len(found))

    def _lock(self, command: Lock) -> Deferred[None]:
        self._roomListing.setLocked(command.isLocked)
        return self._committed(None)

    def _dispose(self, command: Dispose) -> Deferred[None]:
        self._lifecycle.dispose(command.code, LeaveReason.CLOSED, command.reason)
        return self._committed(None)

    def _sendTo(self, command: SendTo) -> Deferred[int | None]:
        context = self._context
        try:
            data = payload.encode(payload.decode(command.data), context.room.binary)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidData(str(error), "data") from None
        to = None
        if command.members is not None or command.userIds is not None:
            ids, users = command.members, command.userIds
            to = tuple(
                member.id
                for member in context.roster.present
                if (ids is None or member.id in ids) and (users is None or member.userId in users)
            )
        offset = self._broadcaster.publish(command.type, data, to, command.isVolatile)
        return self._committed(offset)

    def _reserve(self, command: Reserve) -> Deferred[str]:
        token = self._seats.reserve(command.user, command.seconds)
        return self._committed(token)

    def _committed(self, answer: Any) -> Deferred[Any]:
        """Return a Deferred that fires with an answer when everything so far has been committed."""
        committed = self._context.outbox.whenCommitted()
        return committed.addCallbacks(lambda _: answer, self._neverCommitted)

    def _neverCommitted(self, failure: Failure) -> None:
        """Raise the error for a room that is lost. Its records may have been committed nevertheless."""
        clearTraceback(failure.value)
        raise unanswered(True)


_ANSWERS: dict[type[Command], Callable[[Asked, Any], Any]] = {
    Inspect: Asked._inspect,
    Kick: Asked._kick,
    Lock: Asked._lock,
    Dispose: Asked._dispose,
    SendTo: Asked._sendTo,
    Reserve: Asked._reserve,
}


def _shown(member: Member) -> dict[str, Any]:
    """Describe a member."""
    return {
        "member": member.id,
        "userId": member.userId,
        "user": member.user,
        "isConnected": member.isConnected,
        "groups": sorted(member.groups),
        "meta": dict(member.meta),
    }
