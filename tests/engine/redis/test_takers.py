"""Tests for nodes that leave at the same time: none gives its rooms to another one that leaves."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.case import fired
from tests.engine.redis.nodes import NodesTestCase, TestNode
from txroom.engine.redis.lease import RENEW
from txroom.engine.redis.takers import KNOWN
from txroom.rooms.contract.ports import NoTakers
from txroom.testing.rooms import JoinedRoom


class DrainCase(NodesTestCase):
    """Servers that are drained."""

    def begun(self, count: int) -> list[TestNode]:
        """So many nodes, which know one another."""
        nodes = self.start(count)
        self.advance(2 * RENEW)
        return nodes

    def drain(self, node: TestNode) -> list[Any]:
        """Drain a server; what that fires with, later."""
        return fired(node.harness.server.drain())

    def isDrained(self, node: TestNode) -> bool:
        return node.harness.server.isDraining

    def counts(self, *nodes: TestNode) -> list[int]:
        """The numbers of their rooms."""
        return [len(node.node.here) for node in nodes]

    def assertServed(self, *players: JoinedRoom) -> None:
        """All clients have kept their sockets, and their rooms answer."""
        for player in players:
            player.send("say", 1)
        self.advance(1)
        for player in players:
            self.assertEqual((player.messages, player.closeInfo), ([("said", 1)], None))


class DrainTests(DrainCase):
    """`Server.drain` of several nodes."""

    def test_second(self) -> None:
        """The rooms of a second node that is drained go to the nodes that are left, and none goes back."""
        first, second, third = self.begun(3)
        players = [(first, second)[index % 2].join(mode=str(index)) for index in range(8)]
        left = [self.drain(first)]
        self.advance(2 * RENEW)
        left.append(self.drain(second))
        self.advance(2)
        self.assertEqual(self.counts(first, second, third), [0, 0, len(players)])
        self.assertEqual([self.isDrained(node) for node in (first, second, third)], [True, True, False])
        self.assertEqual(left, [[4], [6]])  # two rooms of the first have moved twice
        self.assertServed(*players)

    def test_atOnce(self) -> None:
        """Two nodes are drained in the same moment: the third one gets all of their rooms."""
        first, second, third = self.begun(3)
        players = [(first, second)[index % 2].join(mode=str(index)) for index in range(8)]
        left = [self.drain(first), self.drain(second)]
        self.advance(4)
        self.assertEqual((left, self.counts(first, second, third)), ([[4], [4]], [0, 0, 8]))
        self.assertServed(*players)

    def test_known(self) -> None:
        """All nodes know which ones leave, and that they serve again."""
        first, second = self.begun(2)
        for isLeaving in (True, False):
            if isLeaving:
                self.drain(first)
            else:
                first.harness.server.stay()
            self.advance(2 * RENEW)
            for node in (first, second):
                found = self.result(node.harness.server.cluster.nodes())
                said = {each.id: each.isLeaving for each in found}
                self.assertEqual(said, {first.node.id: isLeaving, second.node.id: False})

    def test_none(self) -> None:
        """If all other nodes are drained, the rooms stay; the server is drained, and opens rooms again."""
        first, second = self.begun(2)
        ada = second.join(mode="a")
        self.assertEqual(self.whereIs(ada.id), [second])
        self.drain(first)
        self.advance(2 * RENEW)
        left = self.drain(second)
        self.advance(1)
        self.assertEqual((left, self.counts(first, second)), ([0], [0, 1]))
        self.assertTrue(self.isDrained(second))
        self.assertServed(ada)
        self.result(second.app.createRoom("chat"))
        self.assertEqual(self.counts(first, second), [0, 2])

    def test_bothOfTwo(self) -> None:
        """Two nodes, which are all, are drained in the same moment: each keeps its rooms."""
        first, second = self.begun(2)
        players = [first.join(mode="a"), second.join(mode="b")]
        left = [self.drain(first), self.drain(second)]
        self.advance(KNOWN + 5)
        self.assertEqual(sum(self.counts(first, second)), 2)
        self.assertEqual([self.isDrained(node) for node in (first, second)], [True, True])
        self.assertEqual([len(each) for each in left], [1, 1])
        self.assertServed(*players)


class RefusedTests(DrainCase):
    """A node begins to leave when another one has chosen it already."""

    def begin(self, count: int) -> list[TestNode]:
        """The first node is about to hand over its only room to the second one, when this one leaves too."""
        first, second, *others = nodes = self.begun(count)
        self.ada = second.join(mode="a")
        if self.whereIs(self.ada.id) != [first]:
            nodes = [second, first, *others]
        (self.first, self.second), self.handOver = nodes[:2], nodes[0].node.journals.handOver
        self.gate: Deferred[None] = Deferred()
        self.given: list[str] = []
        self.patch(self.first.node.journals, "handOver", self.handingOver)
        return nodes

    def handingOver(self, room: str, node: str, token: str) -> Deferred[None]:
        self.given.append(node)
        if len(self.given) == 1:
            return self.gate.addCallback(lambda _: self.handOver(room, node, token))
        return self.handOver(room, node, token)

    def leaveBoth(self, *nodes: TestNode) -> list[list[Any]]:
        """The first node gives its room to these, the second one first; this one leaves just then."""
        order = sorted((each.node.id for each in nodes), key=lambda id: id == self.second.node.id)
        left = [fired(self.first.engine.leave(order))]
        self.advance(1)
        self.assertEqual(self.given, [self.second.node.id])
        left.append(self.drain(self.second))
        self.advance(1)
        self.gate.callback(None)
        return left

    def test_again(self) -> None:
        """The first node takes its room back, and gives it to another node."""
        first, second, third = self.begin(3)
        left = self.leaveBoth(second, third)
        self.advance(4)
        self.assertEqual((left, self.given), ([[1], [0]], [second.node.id, third.node.id]))
        self.assertEqual(self.counts(first, second, third), [0, 0, 1])
        self.assertServed(self.ada)

    def test_noOther(self) -> None:
        """If there is no other node, the first one keeps its room, and serves as before."""
        first, second, third = self.begin(3)
        left = self.leaveBoth(second)
        self.advance(KNOWN + 2)
        self.assertIsInstance(left[0][0].value, NoTakers)
        self.assertEqual((left[0][0].value.given, left[1]), (0, [0]))
        self.assertEqual(self.counts(first, second, third), [1, 0, 0])
        self.assertServed(self.ada)
        self.assertFalse(first.node.owning.isLeaving)

    def test_stays(self) -> None:
        """If the second node stays after all, it gets the room."""
        first, second, third = self.begin(3)
        left = self.leaveBoth(second)
        self.advance(1)
        second.harness.server.stay()
        self.advance(4)
        self.assertEqual((left, self.counts(first, second, third)), ([[1], [0]], [0, 1, 0]))
        self.assertServed(self.ada)
