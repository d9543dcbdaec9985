"""
What a room must not forget: what its owner writes to its journal, and what the next owner finds there.

A record is committed before anything is sent that depends on it. Those of one turn of the reactor are
committed together, or none of them is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from .items import Error, Message, Reply
from .listing import Listing


class _Told:
    """Room for the message of an entry, beside its fields."""

    __slots__ = ("message",)

    #: What its members are sent; `None`: nobody has been sent it yet.
    message: Message | None


_setMessage: Any = _Told.message.__set__  # type: ignore[misc,union-attr]  # the fields of an entry are frozen


class Entry(Struct, _Told, frozen=True, tag_field="kind"):
    """A logged message."""

    offset: int
    type: str
    data: bytes
    #: The members it is for; `None`: all but `exclude`.
    to: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _setMessage(self, None)

    def messageOf(self, room: str) -> Message:
        """What the members of `room`, whose entry it is, are sent; the same one each time, framed once."""
        message = self.message
        if message is None:
            message = Message(room, self.offset, self.type, self.data)
            _setMessage(self, message)
        return message

    def isFor(self, member: str) -> bool:
        """Whether that member gets it."""
        return member not in self.exclude and (self.to is None or member in self.to)


class MemberRecord(Struct, frozen=True, tag_field="kind"):
    """A member as it must survive its owner."""

    member: str
    user: Any
    userId: str
    #: SHA-256 of the resume tokens that are valid.
    tokens: tuple[bytes, ...]
    groups: tuple[str, ...] = ()
    meta: Any = None
    options: Mapping[str, Any] = {}
    #: The id of the user before onAuth.
    arrivalId: str = ""
    #: Where in the log it has come in; it may not resume from before that.
    offset: int = 0


class MemberRemoved(Struct, frozen=True, tag_field="kind"):
    """That member is none any more."""

    member: str


class Handled(Struct, frozen=True, tag_field="kind"):
    """A member's frame is handled; `reply` if it was a call."""

    member: str
    n: int
    reply: Reply | Error | None = None


class SeatReserved(Struct, frozen=True, tag_field="kind"):
    """A seat is kept for who has its token."""

    #: SHA-256 of the token.
    seat: bytes
    #: The only user who may come; `None`: anybody.
    userId: str | None = None
    #: How long; 0: it is taken, or free again.
    seconds: float = 0.0


Record = Entry | MemberRecord | MemberRemoved | Handled | SeatReserved | Listing


class Loaded(Struct, frozen=True):
    """What a `Journal` knew when it was claimed."""

    offset: int = 0
    entries: tuple[Entry, ...] = ()
    members: tuple[MemberRecord, ...] = ()
    handled: tuple[Handled, ...] = ()
    reserved: tuple[SeatReserved, ...] = ()
    listing: Listing | None = None
