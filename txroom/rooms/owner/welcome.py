"""
The welcome of a client that has joined or resumed: the frame `joined`, and the messages that it has missed.
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
from .states import Shown


class Welcome:
    """Sends the frame `joined` to the clients of one room."""

    __slots__ = ("_broadcaster", "_context", "_presence")

    def __init__(self, context: RoomContext, broadcaster: Broadcaster, presence: Presence) -> None:
        self._context = context
        self._broadcaster = broadcaster
        self._presence = presence

    def snapshot(self, member: Member) -> bytes:
        """Return the encoded `Room.snapshot` for a client; nil if it fails or cannot be sent."""
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
        state: Shown | None = None,
    ) -> None:
        """
        Send `joined` to a client, and the messages that it has missed.

        Args:
            member: The member.
            refs: The requests that this answers.
            offset: The messages that follow have greater offsets.
            replay: The messages that the member has missed, or those that new members receive.
            snapshot: The encoded snapshot.
            recovered: Whether the member has received all messages, with those in `replay`.
            state: What it is shown of the room's state.
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
                stateVersion=None if state is None else state.version,
                schema=b"" if state is None else state.schema,
            )
            outbox.emit(joined, member.audience)
        if state is not None and state.item is not None:
            outbox.emit(state.item, member.audience)
        self._broadcaster.replay(member, replay)
