"""
The seats of a room: a client takes a free one, or with a token one that is reserved.

`Roster.taken` counts them, and `RoomListing.isFull` compares that with `maxClients`.
"""

from __future__ import annotations

from typing import Any

from ...core.codes import ErrorCode
from ...protocol import payload
from ...protocol.errors import RoomError
from ..contract.arrivals import Refused
from ..contract.records import SeatReserved
from .context import Lifecycle, RoomContext
from .member import Member
from .roomlisting import RoomListing
from .roster import Reservation
from .tokens import digest, newToken


class Seats:
    """Gives and reserves the seats of one room."""

    __slots__ = ("_context", "_lifecycle", "_roomListing")

    def __init__(self, context: RoomContext, lifecycle: Lifecycle, roomListing: RoomListing) -> None:
        self._context = context
        self._lifecycle = lifecycle
        self._roomListing = roomListing

    # -- reserving

    def reserve(self, user: Any, seconds: float | None = None) -> str:
        """
        Keep a seat.

        Args:
            user: Who may come; `None`: anybody who has the token.
            seconds: For how long; `None`: for the room's `seatSeconds`.

        Returns:
            The token, for one use, as option `seat` of a join.

        Raises:
            RoomError: The room is full or ending.
            ValueError: The room has no id for that user.
        """
        context = self._context
        userId = None if user is None else context.room.userId(user)
        if user is not None and not userId:
            raise ValueError(f"user={user!r}: the room's userId says of it {userId!r}, not who that is")
        if userId is not None:
            userId = payload.checkText("userId", userId)
        if not context.life.isOpen:
            raise RoomError(ErrorCode.NO_SUCH_ROOM)
        if self._roomListing.isFull:
            raise RoomError(ErrorCode.FULL)
        token = newToken()
        wait = context.room.seatSeconds if seconds is None else seconds
        reserved = SeatReserved(digest(token), userId, wait)
        self.restore(reserved)
        context.outbox.record(reserved)
        self._roomListing.changed()
        return token

    def restore(self, reserved: SeatReserved) -> None:
        """Keep a seat; one from an earlier owner has all its time again."""
        context = self._context
        expiry = context.clock.callLater(reserved.seconds, self._expire, reserved.seat)
        context.roster.reservations[reserved.seat] = Reservation(reserved.userId, expiry)

    def _expire(self, seat: bytes) -> None:
        self._context.roster.reservations.pop(seat, None)
        self._context.outbox.record(SeatReserved(seat))
        self._roomListing.changed()
        self._lifecycle.seatFreed()

    def close(self) -> None:
        """Drop all reservations: the room is ending."""
        reservations = self._context.roster.reservations
        for reservation in reservations.values():
            reservation.expiry.cancel()
        reservations.clear()

    # -- taking

    def refusal(self, token: object, userId: str) -> Refused | None:
        """Why that user can't take a free seat, or with a token the reserved one; `None` if it can."""
        if token is not None:
            reservation = self._context.roster.reservations.get(digest(str(token)))
            if reservation is None:
                return Refused(ErrorCode.FORBIDDEN, "no such seat")
            if reservation.userId not in (None, userId):
                return Refused(ErrorCode.FORBIDDEN, "the seat is somebody else's")
        elif self._roomListing.isLocked:
            return Refused(ErrorCode.LOCKED)
        elif self._roomListing.isFull:
            return Refused(ErrorCode.FULL)
        return None

    def take(self, member: Member, token: object) -> None:
        """Give somebody who joins a seat: one that is free, or the one that is reserved with that token."""
        roster = self._context.roster
        roster.members[member.id] = member
        roster.joining.add(member)
        if token is not None:
            member.seat = digest(str(token))
            roster.reservations.pop(member.seat).expiry.cancel()
        self._lifecycle.keepOpen()

    def joined(self, member: Member) -> None:
        """
        A client has finished joining, as a member or not.

        Its reservation is kept in the journal until now: it stays valid if the owner is lost meanwhile.
        """
        self._context.roster.joining.discard(member)
        if member.seat is not None:
            self._context.outbox.record(SeatReserved(member.seat))
            member.seat = None
