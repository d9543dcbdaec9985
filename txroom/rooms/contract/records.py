"""
Records: what an owner writes to the journal of its room, for the next owner.

A record is committed before anything that depends on it is sent. The records of one turn of the reactor are
committed together, or none of them is.

**Encoding.** The structs of this package are encoded as arrays. A later version may only append fields, with
defaults, to structs that have no subclasses. Then it can read what this version has written, and the other
way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from .items import Error, Message, Reply
from .listing import Listing


class _Told:
    """A slot for the message of an entry, beside its fields."""

    __slots__ = ("message",)

    #: The message; `None` before it is sent for the first time.
    message: Message | None


_setMessage: Any = _Told.message.__set__  # type: ignore[misc,union-attr]  # the fields of an entry are frozen


class Entry(Struct, _Told, frozen=True, array_like=True, tag_field="kind"):
    """A logged message."""

    offset: int
    type: str
    data: bytes
    #: The ids of the recipients; `None`: all members except `exclude`.
    to: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    #: When it was logged, in seconds of the owner's clock. A journal converts it for an owner with another
    #: clock.
    at: float = 0.0

    def __post_init__(self) -> None:
        _setMessage(self, None)

    def messageOf(self, room: str) -> Message:
        """Return the message for members of `room`, the same each time, so that it is framed once."""
        message = self.message
        if message is None:
            message = Message(room, self.offset, self.type, self.data)
            _setMessage(self, message)
        return message

    def isFor(self, member: str) -> bool:
        """Return whether that member is a recipient."""
        return member not in self.exclude and (self.to is None or member in self.to)


class HistoryKept(Struct, frozen=True, array_like=True, tag_field="kind"):
    """
    What the next owner needs of the history besides the log, which is about to forget its oldest entries.

    A journal keeps these entries apart.
    """

    #: The entries that weren't kept apart before, in order.
    entries: tuple[Entry, ...]
    #: The offsets of those that aren't needed any more.
    gone: tuple[int, ...] = ()


class MemberRecord(Struct, frozen=True, array_like=True, tag_field="kind"):
    """The data of a member that the next owner needs."""

    member: str
    user: Any
    userId: str
    #: The SHA-256 digests of the valid resume tokens.
    tokens: tuple[bytes, ...]
    groups: tuple[str, ...] = ()
    meta: Any = None
    options: Mapping[str, Any] = {}
    #: The id of the user before onAuth.
    arrivalId: str = ""
    #: The offset of the log when the member joined; it can't resume from an earlier one.
    offset: int = 0
    #: The number of the attempt by which the member resumed; see `Resume.attempt`.
    attempt: int = 0
    #: The link of the request by which the member has joined, and the reserved seat that it has taken, until
    #: it resumes. If its edge sends the request again, the client has not been told of this membership.
    joinLink: str = ""
    usedSeat: SeatReserved | None = None


class MemberRemoved(Struct, frozen=True, array_like=True, tag_field="kind"):
    """The member has left. It can't resume."""

    member: str
    #: The digests of its resume tokens if it was expelled, so that its client is told not to join again by
    #: itself.
    tokens: tuple[bytes, ...] = ()
    #: For how long the tokens are remembered. In `Loaded`, the time that is left.
    seconds: float = 0.0


class Handled(Struct, frozen=True, array_like=True, tag_field="kind"):
    """A member's frame has been handled; `reply` is the answer if it was a call."""

    member: str
    n: int
    reply: Reply | Error | None = None


class SeatReserved(Struct, frozen=True, array_like=True, tag_field="kind"):
    """A seat is reserved for the client that has its token."""

    #: The SHA-256 digest of the token.
    seat: bytes
    #: The only user that may take the seat; `None`: any user.
    userId: str | None = None
    #: For how long the seat is reserved; 0: the reservation has ended.
    seconds: float = 0.0
    #: The options with which the client joins; `None`: it chooses them when it joins. See `TellSeat`.
    options: Mapping[str, Any] | None = None


class Checkpoint(Struct, frozen=True, array_like=True, tag_field="kind"):
    """The data of the room itself, as its class has saved it. It replaces an earlier one."""

    #: The version of the data, by which the class of the room recognises data that an earlier class saved.
    version: int
    data: bytes
    #: The declared state of the room; empty: it has none.
    state: bytes = b""


class Answered(Struct, frozen=True, array_like=True, tag_field="kind"):
    """A command that is carried out only once has been carried out; see `Once`."""

    key: str
    digest: bytes
    #: The answer, which is plain data. It is stored as it is, the token of a reserved seat too, since it is
    #: given again.
    answer: Any = None
    #: When, in seconds of the owner's clock; see `Entry.at`.
    at: float = 0.0


class AnswersForgotten(Struct, frozen=True, array_like=True, tag_field="kind"):
    """The answers with these keys aren't kept any more."""

    keys: tuple[str, ...]


class CreatedBy(Struct, frozen=True, array_like=True, tag_field="kind"):
    """
    The room was created by a request that is carried out only once; see `Once`. It is the room's first
    record.
    """

    digest: bytes


Record = (
    Entry
    | HistoryKept
    | MemberRecord
    | MemberRemoved
    | Handled
    | SeatReserved
    | Listing
    | Checkpoint
    | Answered
    | AnswersForgotten
    | CreatedBy
)


class Loaded(Struct, frozen=True):
    """The content of a `Journal` when it was claimed."""

    offset: int = 0
    entries: tuple[Entry, ...] = ()
    members: tuple[MemberRecord, ...] = ()
    handled: tuple[Handled, ...] = ()
    reserved: tuple[SeatReserved, ...] = ()
    listing: Listing | None = None
    #: The members that were expelled a short time ago.
    removed: tuple[MemberRemoved, ...] = ()
    checkpoint: Checkpoint | None = None
    answered: tuple[Answered, ...] = ()
    createdBy: CreatedBy | None = None
    #: The offsets of the entries that are kept apart; see `HistoryKept`.
    apart: tuple[int, ...] = ()
