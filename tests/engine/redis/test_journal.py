"""The journal of a room in Redis: what is committed, what happens to it, and what the owner is told."""

from __future__ import annotations

from tests.engine.redis.case import JournalTestCase
from txroom.core.codes import CloseCode
from txroom.rooms.contract.records import Handled, MemberRecord


class CommitTests(JournalTestCase):
    """What happens when nothing goes wrong."""

    def test_turn(self) -> None:
        """The records of one turn are one command for each room, and the owner is told their number."""
        first, second = self.own("r"), self.own("q")
        first.say()
        first.say()
        second.say()
        self.pump()
        self.assertEqual(self.server.count("append"), 2)
        self.assertEqual((first.done, second.done), ([2], [1]))

    def test_loaded(self) -> None:
        """The next owner gets everything."""
        owner = self.own()
        owner.say("one")
        owner.write(MemberRecord("m", {"name": "x"}, "u", (b"t" * 32,)))
        owner.write(Handled("m", 3))
        self.pump()
        heir = self.own(node=self.makeNode("b"))
        assert heir.journal is not None and owner.journal is not None
        self.assertEqual([entry.data for entry in heir.entries], [b"one"])
        self.assertEqual(heir.members, owner.members)
        self.assertEqual(heir.handled, owner.handled)
        self.assertEqual(heir.journal.epoch, owner.journal.epoch)
        self.assertEqual((owner.journal.generation, heir.journal.generation), (1, 2))


class FenceTests(JournalTestCase):
    """Another owner."""

    def test_fenced(self) -> None:
        """What an owner writes after another one has claimed the room is void, and it is told so."""
        owner = self.own()
        owner.say()
        self.pump()
        heir = self.own(node=self.makeNode("b"))
        owner.say()
        self.pump()
        self.assertEqual((owner.done, owner.lostCode), ([1], CloseCode.ROOM_MOVED))
        self.assertEqual(heir.offset, 1)
        self.assertEqual(self.node.ended, [("r", False)])
