"""
Taking over: how the state of a room passes from its owner to the next one.

A journal passes on the records of the earlier owner. If the journal has lost them and this owner still has
the room, the room is *founded again*: its whole state is written as new records.
"""

from __future__ import annotations

from ...core.codes import CloseCode
from ..contract.records import Handled, Loaded, SeatReserved
from .context import RoomContext
from .keptanswers import KeptAnswers
from .leaving import Leaving
from .member import JOINED, Member
from .resuming import Resuming
from .revokedtokens import RevokedTokens
from .roomlisting import RoomListing
from .saving import Saving
from .seats import Seats


class Takeover:
    """Reads and writes the whole state of one room."""

    __slots__ = (
        "_context", "_keptAnswers", "_leaving", "_resuming", "_revoked", "_roomListing", "_saving", "_seats",
    )  # fmt: skip

    def __init__(
        self,
        context: RoomContext,
        roomListing: RoomListing,
        seats: Seats,
        leaving: Leaving,
        resuming: Resuming,
        revoked: RevokedTokens,
        saving: Saving,
        keptAnswers: KeptAnswers,
    ) -> None:
        self._context = context
        self._roomListing = roomListing
        self._seats = seats
        self._leaving = leaving
        self._resuming = resuming
        self._revoked = revoked
        self._saving = saving
        self._keptAnswers = keptAnswers

    def restore(self, loaded: Loaded) -> bool:
        """Continue where an earlier owner stopped; return whether there was one."""
        now = self._context.clock.seconds()
        self._context.log.load(loaded.entries, loaded.offset, now, loaded.apart)
        if loaded.listing is not None:
            self._roomListing.restore(loaded.listing)
        for removed in loaded.removed:
            self._revoked.add(removed, now)
        self._resuming.restore(loaded.members, loaded.handled)
        self._saving.last = loaded.checkpoint
        self._keptAnswers.restore(loaded.answered)
        self._keptAnswers.createdBy = loaded.createdBy
        return loaded.listing is not None

    def begin(self, loaded: Loaded) -> None:
        """
        Wait from now on for the members of an earlier owner and for reserved seats, because the room is about
        to open.
        """
        self._leaving.awaitReturns()
        for reserved in loaded.reserved:
            self._seats.restore(reserved)

    def everything(self) -> Loaded:
        """Return the whole state of the room; see `RoomHost.everything`."""
        context = self._context
        now = context.clock.seconds()
        members = list(context.roster.present)
        return Loaded(
            context.log.offset,
            tuple(context.log.kept()),
            tuple(member.record() for member in members),
            tuple(handled for member in members for handled in _handledOf(member)),
            tuple(self._reserved(now)),
            self._roomListing.listing,
            self._revoked.records(now),
            self._saving.last,
            self._keptAnswers.records(),
            self._keptAnswers.createdBy,
        )

    def _reserved(self, now: float) -> list[SeatReserved]:
        """Return the reserved seats, also those of clients that are joining."""
        roster = self._context.roster
        waiting = [
            SeatReserved(seat, each.userId, max(each.expiry.getTime() - now, 0.0), each.options)
            for seat, each in roster.reservations.items()
        ]
        return waiting + [member.seat for member in roster.joining if member.seat is not None]

    def refounded(self, epoch: str) -> None:
        """
        Go on in a new epoch: the journal has lost the room's records, and is about to ask for `everything`.

        The clients are told that the room has moved, and resume.
        """
        context = self._context
        context.log.restart(epoch)
        for member in list(context.roster.members.values()):
            if member.state is JOINED:
                context.outbox.end(member.audience, CloseCode.ROOM_MOVED)
                self._leaving.drop(member)


def _handledOf(member: Member) -> list[Handled]:
    """Return the records of the frames that the owner has handled for a member."""
    handled = [Handled(member.id, n, reply) for n, reply in member.replies.items()]
    if member.handled and member.handled not in member.replies:
        handled.append(Handled(member.id, member.handled))
    return handled
