"""
The roster of a room: who has a seat, who is leaving, and who can be reached.

Plain data: whoever changes it records and tells what follows from that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs
from twisted.internet.interfaces import IDelayedCall

from ..contract.arrivals import Arrival
from ..contract.ports import Outlet
from .member import Member, State
from .outbox import Audience, audienceOf


@attrs.define
class Reservation:
    """A seat that waits for somebody; `userId` is `None` if anybody who has the token may come."""

    userId: str | None
    expiry: IDelayedCall


class Roster:
    """The members of one room, and the seats that are reserved."""

    __slots__ = ("_everyone", "joining", "leaving", "members", "reservations", "sessions")

    def __init__(self) -> None:
        #: Who has a seat, by id: whoever is joining, has joined, or may resume.
        self.members: dict[str, Member] = {}
        #: Those of them for whom `onAuth` or `onJoin` runs.
        self.joining: set[Member] = set()
        #: Who has no seat any more, while `onLeave` runs.
        self.leaving: set[Member] = set()
        #: Who has a connection, by the id of the edge's session.
        self.sessions: dict[str, Member] = {}
        #: The seats that are reserved, by the digests of their tokens.
        self.reservations: dict[bytes, Reservation] = {}
        self._everyone: Audience | None = None

    @property
    def taken(self) -> int:
        """How many seats are taken or reserved."""
        return len(self.members) + len(self.reservations)

    @property
    def isEmpty(self) -> bool:
        """Whether nobody is there, is leaving, or has a seat reserved."""
        return not (self.members or self.leaving or self.reservations)

    @property
    def present(self) -> Iterator[Member]:
        """Those who have joined, connected or to resume, in the order in which they came."""
        return (member for member in self.members.values() if member.isPresent)

    def floor(self) -> int | None:
        """The offset after which the log must keep everything, since somebody who is joining is to get it."""
        return min((each.offset for each in self.joining if each.early is None), default=None)

    # -- who can be reached

    def attached(self, member: Member, outlet: Outlet, arrival: Arrival) -> None:
        """A member has a connection, perhaps another one than before."""
        self.detached(member)
        member.attach(outlet, arrival)
        self.sessions[arrival.session] = member

    def detached(self, member: Member) -> None:
        """A member has no connection any more."""
        if self.sessions.get(member.session) is member:
            del self.sessions[member.session]
        member.detach()
        self._everyone = None

    def reachable(self, member: Member) -> None:
        """A member has joined or resumed, and gets what is said to everyone from now on."""
        member.state = State.JOINED
        self._everyone = None

    @property
    def everyone(self) -> Audience:
        """All who can be reached now."""
        if self._everyone is None:
            self._everyone = self.reached(self.members.values())
        return self._everyone

    def reached(self, members: Iterable[Member]) -> Audience:
        """Those of `members` who can be reached."""
        return audienceOf(
            (member.outlet, member.link)
            for member in members
            if member.state is State.JOINED and member.outlet is not None
        )
