"""The resume tokens of members that were expelled."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txroom.rooms.contract.records import MemberRemoved
from txroom.rooms.owner.revokedtokens import MAX_REVOKED, RevokedTokens


class RevokedTokensTests(SynchronousTestCase):
    """They are remembered for a while, and pass to the next owner."""

    def test_forgotten(self) -> None:
        """Each is known until its seconds are over."""
        revoked = RevokedTokens()
        revoked.add(MemberRemoved("ada", (b"1", b"2"), 60.0), 10.0)
        self.assertTrue(revoked.has(b"1", 69.0) and revoked.has(b"2", 69.0))
        self.assertFalse(revoked.has(b"1", 70.0) or revoked.has(b"3", 10.0))
        revoked.add(MemberRemoved("bob", (b"3",), 60.0), 70.0)
        self.assertEqual(len(revoked), 1)

    def test_records(self) -> None:
        """The next owner gets them by member, with the time that is left."""
        revoked = RevokedTokens()
        revoked.add(MemberRemoved("ada", (b"1", b"2"), 60.0), 10.0)
        revoked.add(MemberRemoved("bob", (b"3",), 60.0), 30.0)
        revoked.add(MemberRemoved("eve"), 30.0)
        ada, bob = MemberRemoved("ada", (b"1", b"2"), 20.0), MemberRemoved("bob", (b"3",), 40.0)
        self.assertEqual(revoked.records(50.0), (ada, bob))
        self.assertEqual(revoked.records(75.0), (MemberRemoved("bob", (b"3",), 15.0),))

    def test_most(self) -> None:
        """Only so many are remembered; the oldest are forgotten."""
        revoked = RevokedTokens()
        for number in range(MAX_REVOKED + 1):
            revoked.add(MemberRemoved("ada", (str(number).encode(),), 60.0), 0.0)
        self.assertEqual(len(revoked), MAX_REVOKED)
        self.assertEqual([revoked.has(b"0", 1.0), revoked.has(b"1", 1.0)], [False, True])
