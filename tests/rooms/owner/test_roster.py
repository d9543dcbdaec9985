"""The roster of a room."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txroom.rooms.contract.arrivals import Join
from txroom.rooms.contract.items import Item
from txroom.rooms.owner.member import Member, State
from txroom.rooms.owner.roster import Reservation, Roster


class NoOutlet:
    """An edge to which nothing is sent."""

    def deliver(self, item: Item, links: Sequence[str]) -> None:
        raise NotImplementedError

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        raise NotImplementedError


class RosterTests(SynchronousTestCase):
    """The members that are there, and those that can be reached."""

    def setUp(self) -> None:
        self.roster = Roster()
        self.outlet = NoOutlet()

    def come(self, id: str) -> Member:
        """Somebody takes a seat."""
        member = Member(id, None, id, {})
        self.roster.members[id] = member
        self.roster.joining.add(member)
        self.connect(member, f"session of {id}", f"link of {id}")
        return member

    def connect(self, member: Member, session: str, link: str) -> None:
        self.roster.attached(member, self.outlet, Join(link=link, session=session, room="r"))

    def test_everyone(self) -> None:
        """Those who have joined and have a connection, however they come and go."""
        ada, bob = self.come("ada"), self.come("bob")
        self.assertEqual(self.roster.everyone, ())
        self.roster.reachable(ada)
        self.assertEqual(self.roster.everyone, ((self.outlet, ("link of ada",)),))
        self.roster.reachable(bob)
        self.assertEqual(self.roster.everyone, ((self.outlet, ("link of ada", "link of bob")),))
        self.roster.detached(ada)
        self.assertEqual(self.roster.everyone, ((self.outlet, ("link of bob",)),))
        self.connect(ada, "another", "another link")
        self.assertEqual(self.roster.reached([ada]), ((self.outlet, ("another link",)),))

    def test_sessions(self) -> None:
        """A member is known by the session that it has now, and by no other."""
        ada = self.come("ada")
        self.assertEqual(self.roster.sessions, {"session of ada": ada})
        self.connect(ada, "another", "link")
        self.assertEqual(self.roster.sessions, {"another": ada})
        self.roster.detached(ada)
        self.assertEqual(self.roster.sessions, {})

    def test_seats(self) -> None:
        """Members and reservations have seats; a member that is leaving has none, and is there still."""
        ada = self.come("ada")
        expiry = Clock().callLater(1, lambda: None)
        self.roster.reservations[b"token"] = Reservation(None, expiry)
        self.assertEqual(self.roster.taken, 2)
        self.roster.members.clear()
        self.roster.reservations.clear()
        self.roster.leaving.add(ada)
        self.assertEqual((self.roster.taken, self.roster.isEmpty), (0, False))
        self.roster.leaving.clear()
        self.assertTrue(self.roster.isEmpty)

    def test_present(self) -> None:
        """The members that have joined and not left, connected or not."""
        ada, bob, carol = (self.come(each) for each in ("ada", "bob", "carol"))
        ada.state, carol.state = State.DROPPED, State.JOINED
        self.assertEqual([*self.roster.present], [ada, carol])
        bob.state = State.PARTING
        self.assertEqual([*self.roster.present], [ada, bob, carol])

    def test_floor(self) -> None:
        """The log keeps what somebody is to get who has been admitted and has not joined yet."""
        ada, bob, carol = (self.come(each) for each in ("ada", "bob", "carol"))
        ada.offset, bob.offset, carol.offset = 5, 3, 1
        carol.early = []  # `onAuth` runs still
        self.assertEqual(self.roster.floor(), 3)
        self.roster.joining.clear()
        self.assertIsNone(self.roster.floor())
