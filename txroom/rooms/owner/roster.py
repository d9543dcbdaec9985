"""
The roster of a room: the members, the reserved seats, and the connections of the members.

It is plain data. The code that changes it also writes the journal and informs the members.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall

from ..contract.arrivals import Join, Resume
from ..contract.ports import Outlet
from .member import Member, State
from .outbox import Audience, audienceOf


@attrs.define
class Reservation:
    """A reserved seat. If `userId` is `None`, every client with the token may take it."""

    userId: str | None
    expiry: IDelayedCall
    #: The options with which the client joins, if it has been told of the seat; see `TellSeat`.
    options: Mapping[str, Any] | None = None
    #: The bytes of the options.
    size: int = 0


class Roster:
    """The members of one room, and the seats that are reserved."""

    __slots__ = ("_everyone", "joining", "leaving", "members", "reservations", "revision", "sessions")

    def __init__(self) -> None:
        #: The members that have a seat, by id: they are joining, have joined, or may resume.
        self.members: dict[str, Member] = {}
        #: Those of them that are joining: `onAuth` or `onJoin` is running for them.
        self.joining: set[Member] = set()
        #: The members that have given up their seats, while `onLeave` is running for them.
        self.leaving: set[Member] = set()
        #: The members that have a connection, by the id of the edge's session.
        self.sessions: dict[str, Member] = {}
        #: The reserved seats, by the digests of their tokens.
        self.reservations: dict[bytes, Reservation] = {}
        self._everyone: Audience | None = None
        #: Greater when another member is connected, or one isn't any more.
        self.revision = 0

    @property
    def taken(self) -> int:
        """The number of seats that are taken or reserved."""
        return len(self.members) + len(self.reservations)

    @property
    def isEmpty(self) -> bool:
        """Whether there are no members, also none that are leaving, and no reserved seats."""
        return not (self.members or self.leaving or self.reservations)

    @property
    def present(self) -> Iterator[Member]:
        """The members that have joined and not left, connected or not, in the order in which they came."""
        return (member for member in self.members.values() if member.isPresent)

    def floor(self) -> int | None:
        """
        Return the offset after which the log must keep all messages, for clients that are joining; `None` if
        there are no such clients.
        """
        return min((each.offset for each in self.joining if each.early is None), default=None)

    # -- the connections

    def attached(self, member: Member, outlet: Outlet, arrival: Join | Resume) -> None:
        """Give a member a connection, in place of a former one."""
        self.detached(member)
        member.attach(outlet, arrival)
        self.sessions[arrival.session] = member

    def detached(self, member: Member) -> None:
        """Take the connection from a member."""
        if self.sessions.get(member.session) is member:
            del self.sessions[member.session]
        member.detach()
        self._everyone = None
        self.revision += 1

    def reachable(self, member: Member) -> None:
        """Mark a member as joined, so that it receives what is sent to everyone from now on."""
        member.state = State.JOINED
        self._everyone = None
        self.revision += 1

    @property
    def everyone(self) -> Audience:
        """All members that are connected."""
        if self._everyone is None:
            self._everyone = self.reached(self.members.values())
        return self._everyone

    def reached(self, members: Iterable[Member]) -> Audience:
        """Return the connections of those of `members` that are connected."""
        return audienceOf(
            (member.outlet, member.link)
            for member in members
            if member.state is State.JOINED and member.outlet is not None
        )
