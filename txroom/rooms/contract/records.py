"""
What a room must not forget: the records of its journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from .items import Error, Reply
from .listing import Listing


class Entry(Struct, frozen=True, dict=True, tag_field="kind"):
    """A logged message."""

    offset: int
    type: str
    data: bytes
    #: The members it is for; `None`: all but `exclude`.
    to: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()

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


class Gone(Struct, frozen=True, tag_field="kind"):
    """That member is none any more."""

    member: str


class Handled(Struct, frozen=True, tag_field="kind"):
    """A member's frame is handled; `reply` if it was a call."""

    member: str
    n: int
    reply: Reply | Error | None = None


class Reserved(Struct, frozen=True, tag_field="kind"):
    """A seat is kept for who has its token."""

    #: SHA-256 of the token.
    seat: bytes
    #: The only user who may come; `None`: anybody.
    userId: str | None = None
    #: How long; 0: it is taken, or free again.
    seconds: float = 0.0


Record = Entry | MemberRecord | Gone | Handled | Reserved | Listing


class Loaded(Struct, frozen=True):
    """What a `Journal` knew when it was claimed."""

    offset: int = 0
    entries: tuple[Entry, ...] = ()
    members: tuple[MemberRecord, ...] = ()
    handled: tuple[Handled, ...] = ()
    reserved: tuple[Reserved, ...] = ()
    listing: Listing | None = None
