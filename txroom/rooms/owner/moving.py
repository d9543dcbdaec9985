"""
Moving: what a room does before its next owner gets it, although this one could go on.

::

    OPEN --move--> MOVING --nothing is running, or PATIENCE is over--> CUT --journal handed over--> LOST

From MOVING on, the messages of clients are not taken. What a client sends then has not been handled, so it
sends that again to the next owner; `forwarding` passes on what it doesn't send again. Handlers and joins
that are running may end. In CUT those that have not ended are cancelled, and do not count as handled: the
next owner calls these handlers again, and the edges ask it for these joins again. Then the room is saved.

A member that has asked to leave, or whose client has closed the connection, leaves before that, even if its
earlier frames have not been handled: nobody would repeat it at the next owner.

`onLeave` is not cancelled, since nobody calls it again.
"""

from __future__ import annotations

from twisted.internet.defer import DeferredList, TimeoutError
from twisted.python.failure import Failure

from ..contract.ports import HandoverFailed
from .attaching import Attaching
from .calls import Calls
from .context import Lifecycle, RoomContext
from .inbox import Inbox
from .life import Event
from .member import Member
from .saving import Saving

#: The most seconds that handlers and joins get to end.
PATIENCE = 0.5


class Moving:
    """Prepares one room for its next owner."""

    __slots__ = ("_attaching", "_calls", "_context", "_inbox", "_lifecycle", "_saving")

    def __init__(
        self,
        context: RoomContext,
        lifecycle: Lifecycle,
        calls: Calls,
        attaching: Attaching,
        inbox: Inbox,
        saving: Saving,
    ) -> None:
        self._context = context
        self._lifecycle = lifecycle
        self._calls = calls
        self._attaching = attaching
        self._inbox = inbox
        self._saving = saving

    async def move(self, mustSave: bool) -> bool:
        """
        Go to CUT, if the room is open or about to open; see the module. Returns whether it is CUT.

        Raises `HandoverFailed` if the room must be saved and can't be. That is tried before anything is
        stopped, so that the room goes on.
        """
        await self._attaching.begun()
        if mustSave and self._context.life.isOpen and not self._saving.moving():
            raise HandoverFailed(f"room {self._context.id} can't be saved")
        if not self._context.life.follows(Event.MOVES):
            return False
        self._context.runner.flush()  # hooks that are due
        await self._quiet()
        life, members = self._context.life, list(self._context.roster.members.values())
        if not life.may(Event.CUT):
            return False
        for member in members:
            self._inbox.finishLeave(member)
        life.follow(Event.CUT)
        self._cut(members)
        return True

    async def _quiet(self) -> None:
        """Wait until no handler, join or other hook of a member is running, for `PATIENCE` at most."""
        roster = self._context.roster
        members = [*roster.members.values(), *roster.leaving]
        busy = [member.mailbox.whenIdle() for member in members if member.mailbox.isBusy]
        if busy:
            idle = DeferredList(busy, consumeErrors=True)
            await idle.addTimeout(PATIENCE, self._context.clock).addErrback(_givenUp)

    def _cut(self, members: list[Member]) -> None:
        """Cancel what is still running, in an order in which nothing of it waits for another part."""
        for member in members:
            self._inbox.cut(member)
            self._calls.failAll(member)
        self._attaching.refuse()
        self._lifecycle.stopTimers()
        self._context.runner.flush()
        self._saving.moving()
        self._saving.tellLoss()


def _givenUp(failure: Failure) -> None:
    failure.trap(TimeoutError)
