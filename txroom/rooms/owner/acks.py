"""
Acknowledging: members are told up to which number their frames have been handled.

One acknowledgement is for all frames that were handled within `ACK_SECONDS`. Before a patch of the state all
that are due are sent at once, so that a client knows which of its frames are in the patch.
"""

from __future__ import annotations

from ...protocol.limits import WINDOW
from ..contract.items import Ack
from .broadcaster import Broadcaster
from .context import RoomContext
from .member import Member

#: The most seconds until a handled frame is acknowledged.
ACK_SECONDS = 0.05


class Acks:
    """
    Acknowledges the frames of the members of one room.

    It is a base of `Inbox`, and no object of its own, which saves memory for each room.

    Args:
        context: The objects that all parts use.
        broadcaster: Sends the acknowledgements.
    """

    __slots__ = ("_broadcaster", "_id", "_timers", "_unacked")

    def __init__(self, context: RoomContext, broadcaster: Broadcaster) -> None:
        self._id = context.id
        self._timers = context.timers
        self._broadcaster = broadcaster
        #: The members with handled frames that are not acknowledged yet, by id.
        self._unacked: dict[str, Member] = {}

    def _acknowledge(self, member: Member) -> None:
        """Acknowledge the handled frames of a member soon; at once if it waits for many. Called for each."""
        if member.handled - member.acked >= WINDOW // 2:
            self._unacked.pop(member.id, None)
            self._ack(member)
            return
        if not self._unacked:
            self._timers.callLater(ACK_SECONDS, self.flushAcks)
        self._unacked[member.id] = member

    def flushAcks(self) -> None:
        """Acknowledge now what is due."""
        unacked, self._unacked = self._unacked, {}
        for member in unacked.values():
            self._ack(member)

    def _ack(self, member: Member) -> None:
        if member.handled > member.acked and member.isPresent and member.outlet is not None:
            member.acked = member.handled
            self._broadcaster.say(member, Ack(self._id, member.handled))
