"""Tests for two primaries at the same time, with nodes at both."""

from __future__ import annotations

from tests.engine.redis.fakeredis import FakeRedis
from tests.engine.redis.nodes import NodesTestCase, TestNode

#: After how many seconds each half of the nodes has taken over the rooms of the other half.
APART = 25.0


class SplitTests(NodesTestCase):
    """The old primary goes on beside the new one."""

    def begin(self) -> None:
        """
        Two rooms, of the first and the third node, with a member at each node. Then the third node stays with
        the old primary, and the first two nodes find the new one.
        """
        first, second, third = self.three = self.start(3)
        orders = {"a": (first, second, third), "b": (third, first, second)}
        self.rooms = [{node: node.join(mode=mode) for node in order} for mode, order in orders.items()]
        self.assertEqual([self.whereIs(room[first].id) for room in self.rooms], [[first], [third]])
        self.new = self.redis.split()
        self.lead(self.new, *self.three[:2])

    def lead(self, server: FakeRedis, *nodes: TestNode) -> None:
        """Lead nodes to a server."""
        for node in nodes:
            for connection in node.connections:
                connection.move(server)

    def test_split(self) -> None:
        """
        Each half of the nodes has both rooms. When all have one primary again, each room is one room. Its
        members keep their seats, and each of them was told that messages may be missing.
        """
        self.begin()
        self.advance(APART)
        first, second, third = self.three
        for room in self.rooms:
            owners = self.whereIs(room[first].id)
            self.assertEqual((len(owners), third in owners), (2, True))
            for name, node in (("first", first), ("second", second), ("third", third)):
                room[node].send("say", name)
        self.advance(1)
        for room in self.rooms:
            self.assertEqual(room[first].messages, room[second].messages)
            heard = [sorted(data for _, data in room[node].messages) for node in (first, third)]
            self.assertEqual(heard, [["first", "second"], ["third"]])
        self.lead(self.new, third)
        self.advance(APART)
        for room in self.rooms:
            self.assertEqual(len(self.whereIs(room[first].id)), 1)
            self.assertEqual([member.events.count("lost") for member in room.values()], [1, 1, 1])
            self.assertEqual([member.closeInfo for member in room.values()], [None] * 3)
            for member in room.values():
                member.messages.clear()
            room[first].send("say", "again")
            self.advance(1)
            self.assertEqual([member.messages for member in room.values()], [[("said", "again")]] * 3)
