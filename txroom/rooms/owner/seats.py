"""
The seats of a room. A client takes a free seat, or with a token a reserved one.

`Roster.taken` counts the seats, and `RoomListing.isFull` compares the number with `maxClients`.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from .tokens import digest, newId, newToken

#: With so many reserved seats, or so many bytes of their options, no more clients are told of seats in the
#: room.
MAX_TOLD, TOLD_SIZE = 1000, 2 << 20


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
        userId = None if user is None else self._idOf(user)
        if not context.life.isOpen:
            raise RoomError(context.life.closedCode)
        if self._roomListing.isFull:
            raise RoomError(ErrorCode.FULL)
        token = newToken()
        wait = context.room.seatSeconds if seconds is None else seconds
        self._keep(SeatReserved(digest(token), userId, wait))
        return token

    def tell(self, userId: str, options: Mapping[str, Any]) -> str:
        """
        Reserve a free seat for a client that joins in a moment, for the room's `seatSeconds`; see `TellSeat`.

        Args:
            userId: The id of its user; empty: it has none.
            options: The options with which it joins.

        Returns:
            The token of the seat, which becomes the client's id as a member.

        Raises:
            RoomError: Too many clients have been told of seats, and have not come.
        """
        context = self._context
        reservations = context.roster.reservations
        if len(reservations) >= MAX_TOLD or sum(each.size for each in reservations.values()) > TOLD_SIZE:
            wait = {"retryAfter": context.room.seatSeconds}
            raise RoomError(ErrorCode.RATE_LIMITED, "too many clients are expected", wait)
        token = newId()
        self._keep(SeatReserved(digest(token), userId or None, context.room.seatSeconds, dict(options)))
        return token

    def _keep(self, reserved: SeatReserved) -> None:
        self.restore(reserved)
        self._context.outbox.record(reserved)
        self._roomListing.changed()

    def _idOf(self, user: Any) -> str:
        """Return the id of a user. Raises `ValueError` if the room has none."""
        try:
            userId = self._context.room.userId(user)
        except Exception as error:
            raise ValueError(f"user={user!r}: the room's userId raises {error!r} for it") from None
        if not isinstance(userId, str) or not userId:
            raise ValueError(f"user={user!r}: the room's userId returns {userId!r} for it, not an id")
        return payload.checkText("userId", userId)

    def restore(self, reserved: SeatReserved) -> None:
        """Keep a reserved seat. One that an earlier owner has reserved gets its full time again."""
        context = self._context
        expiry = context.clock.callLater(reserved.seconds, self._expire, reserved.seat)
        size = len(payload.encodeMessagePack(reserved.options)) if reserved.options else 0
        reservation = Reservation(reserved.userId, expiry, reserved.options, size)
        context.roster.reservations[reserved.seat] = reservation

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

    def optionsOf(self, token: object) -> Mapping[str, Any] | None:
        """
        Return the options with which the client of a seat joins that it has been told of, and whose token is
        going to be its id; `None` for any other seat.
        """
        reservation = None if token is None else self._context.roster.reservations.get(digest(str(token)))
        return None if reservation is None else reservation.options

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
            taken = SeatReserved(seat, reservation.userId, left, reservation.options)
            member.seat = member.usedSeat = taken
        self._lifecycle.keepOpen()

    def giveBack(self, member: Member) -> None:
        """Reserve the seat again by which a member has joined whose request comes again."""
        if member.usedSeat is not None:
            self.restore(member.usedSeat)
            self._context.outbox.record(member.usedSeat)
            member.usedSeat = None

    def withdraw(self, token: object) -> None:
        """
        Drop the seat of a client that has been told of it and is refused when its request comes again: as a
        member it may have had this token as its id, which others know.
        """
        if self.optionsOf(token) is not None:
            seat = digest(str(token))
            self._context.roster.reservations[seat].expiry.cancel()
            self._expire(seat)

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
