"""
The seats of a room. A client takes a free seat, or with a token a reserved one.

`Roster.taken` counts the seats, and `RoomListing.isFull` compares the number with `maxClients`.
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
    """Assigns and reserves the seats of one room."""

    __slots__ = ("_context", "_lifecycle", "_roomListing")

    def __init__(self, context: RoomContext, lifecycle: Lifecycle, roomListing: RoomListing) -> None:
        self._context = context
        self._lifecycle = lifecycle
        self._roomListing = roomListing

    # -- reserving

    def reserve(self, user: Any, seconds: float | None = None) -> str:
        """
        Reserve a seat.

        Args:
            user: The only user that may take it; `None`: every client with the token.
            seconds: How long it is reserved, in seconds; `None`: the room's `seatSeconds`.

        Returns:
            A token, with which a client takes the seat once: the option `seat` of a join.

        Raises:
            RoomError: The room is full or ending.
            ValueError: The room has no id for the user.
        """
        context = self._context
        userId = None if user is None else context.room.userId(user)
        if user is not None and not userId:
            raise ValueError(f"user={user!r}: the room's userId returns {userId!r} for it, not an id")
        if userId is not None:
            userId = payload.checkText("userId", userId)
        if not context.life.isOpen:
            raise RoomError(context.life.closedCode)
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
        """Keep a reserved seat. One that an earlier owner has reserved gets its full time again."""
        context = self._context
        expiry = context.clock.callLater(reserved.seconds, self._expire, reserved.seat)
        context.roster.reservations[reserved.seat] = Reservation(reserved.userId, expiry)

    def _expire(self, seat: bytes) -> None:
        self._context.roster.reservations.pop(seat, None)
        self._context.outbox.record(SeatReserved(seat))
        self._roomListing.changed()
        self._lifecycle.seatFreed()

    def close(self) -> None:
        """Drop all reservations, since the room is ending."""
        reservations = self._context.roster.reservations
        for reservation in reservations.values():
            reservation.expiry.cancel()
        reservations.clear()

    # -- taking

    def refusal(self, token: object, userId: str) -> Refused | None:
        """Return why a user cannot take a free seat, or the reserved seat of a token; `None` if it can."""
        if token is not None:
            reservation = self._context.roster.reservations.get(digest(str(token)))
            if reservation is None:
                return Refused(ErrorCode.FORBIDDEN, "no such seat")
            if reservation.userId not in (None, userId):
                return Refused(ErrorCode.FORBIDDEN, "the seat is reserved for another user")
        elif self._roomListing.isLocked:
            return Refused(ErrorCode.LOCKED)
        elif self._roomListing.isFull:
            return Refused(ErrorCode.FULL)
        return None

    def take(self, member: Member, token: object) -> None:
        """Give a client that joins a free seat, or the reserved seat of a token."""
        roster = self._context.roster
        roster.members[member.id] = member
        roster.joining.add(member)
        if token is not None:
            seat = digest(str(token))
            reservation = roster.reservations.pop(seat)
            left = reservation.expiry.getTime() - self._context.clock.seconds()
            reservation.expiry.cancel()
            member.seat = member.usedSeat = SeatReserved(seat, reservation.userId, left)
        self._lifecycle.keepOpen()

    def giveBack(self, member: Member) -> None:
        """Reserve the seat again by which a member has joined whose request comes again."""
        if member.usedSeat is not None:
            self.restore(member.usedSeat)
            self._context.outbox.record(member.usedSeat)
            member.usedSeat = None

    def joined(self, member: Member) -> None:
        """
        Note that a client has finished joining, with success or not.

        Its reservation stays in the journal until now, so that it is valid for the next owner if this one is
        lost meanwhile.
        """
        self._context.roster.joining.discard(member)
        if member.seat is not None:
            self._context.outbox.record(SeatReserved(member.seat.seat))
            member.seat = None
