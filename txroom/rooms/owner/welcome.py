"""
The welcome: what a client is told when it has joined or resumed, and what it has missed.
"""

from __future__ import annotations

from twisted.python.failure import Failure

from ...protocol import payload
from ...protocol.payload import NIL
from .. import hooks
from ..contract.items import Joined
from ..contract.records import Entry
from .broadcaster import Broadcaster
from .context import RoomContext
from .member import Member
from .presence import Presence


class Welcome:
    """Tells clients that they are members of one room."""

    __slots__ = ("_broadcaster", "_context", "_presence")

    def __init__(self, context: RoomContext, broadcaster: Broadcaster, presence: Presence) -> None:
        self._context = context
        self._broadcaster = broadcaster
        self._presence = presence

    def snapshot(self, member: Member) -> bytes:
        """The payload of what the room's `snapshot` says for a client; nil if it can't be sent."""
        room = self._context.room
        try:
            return payload.encode(room.snapshot(member.client), room.binary, "snapshot")
        except BaseException:
            self._context.runner.report(hooks.asException(Failure()), member, "snapshot")
            return NIL

    def announce(
        self,
        member: Member,
        refs: list[int | None],
        offset: int,
        replay: list[Entry],
        snapshot: bytes,
        *,
        recovered: bool = False,
    ) -> None:
        """
        Tell a client that it is a member, and all that it has missed.

        Args:
            member: Who it is.
            refs: The requests that this answers.
            offset: What follows has greater offsets than this.
            replay: What it has missed, or what newcomers are shown.
            snapshot: The payload of a snapshot.
            recovered: Whether it has got everything, with what is in `replay`.
        """
        context = self._context
        outbox = context.outbox
        context.roster.reachable(member)
        member.offset = min(member.offset, offset)
        member.acked = member.handled
        outbox.record(member.record())
        self._broadcaster.announced(member)
        shown = self._presence.shownTo(member)
        for ref in refs:
            joined = Joined(
                ref,
                context.id,
                context.name,
                member.id,
                member.token,
                context.log.epoch,
                offset,
                recovered,
                member.handled,
                snapshot,
                member.accepted,
                *shown,
            )
            outbox.emit(joined, member.audience)
        self._broadcaster.replay(member, replay)
