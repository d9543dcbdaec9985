"""
Clients whose room is lost to its node while they join: the membership that nobody was told of must not stay.
"""

from __future__ import annotations

from typing import Any

from tests.case import fired
from tests.engine.redis.fakeredis import FakeRedis
from tests.engine.redis.nodes import Chat, NodesTestCase, TestNode
from tests.rooms.case import hostOf
from txroom import Room


class Quiet(Chat):
    """A room whose members may stay away for long."""

    resumeSeconds = 600.0
    autoDispose = False


class Single(Quiet):
    """The same with one seat."""

    maxClients = 1


class GhostTests(NodesTestCase):
    """Each test breaks a join at many moments, and counts those at which a membership was stored already."""

    roomClass: type[Room] = Quiet

    def stored(self, room: str) -> set[str]:
        """The ids of the members that Redis has."""
        fields = self.redis.fields(f"txr:{{{room}}}".encode())
        return {name[2:].decode() for name in fields if name.startswith(b"m:")}

    def membersOf(self, room: str) -> set[str]:
        """The ids of the members that the owner has, who must be the stored ones."""
        (owner,) = self.whereIs(room)
        ids = {client.id for client in owner.app.rooms[room].clients}
        self.assertEqual(ids, self.stored(room))
        return ids

    def cutOff(self, node: TestNode) -> None:
        """Cut a node off from Redis when all of its commands have been run, but before their answers."""
        elsewhere = FakeRedis(self.clock)
        elsewhere.down()
        for connection in node.connections:
            connection.cut(executed=100)
            connection.server = elsewhere

    def joining(self, node: TestNode, room: str, **options: Any) -> list[Any]:
        """A new client of a node begins to join a room."""
        client = node.client()
        return fired(client._begin(client.client.joinById(room, options)))

    def test_ownClient(self) -> None:
        """
        A client joins a room of its own node, which is cut off from Redis at that moment, for so long that
        another node takes the room over. When it is back, the client joins there.
        """
        first, second = self.start()
        ghosts = 0
        for moment in range(8):
            room = self.result(first.app.createRoom("chat"))
            joins = self.joining(first, room)
            self.clock.advance(moment * 0.0004)
            self.cutOff(first)
            before = self.stored(room)
            self.advance(12)
            self.assertEqual(self.whereIs(room)[-1:], [second])
            for connection in first.connections:
                connection.server = self.redis
            self.advance(5)
            (ada,) = joins
            self.assertEqual((ada.status, self.membersOf(room)), ("joined", {ada.member}))
            ghosts += ada.member not in before and bool(before)
        self.assertGreater(ghosts, 0)

    def isGhost(self, first: TestNode, second: TestNode, room: str, moment: int, **options: Any) -> bool:
        """
        Let a client of the second node join a room of the first one, which dies some moments later, so that
        it joins at the second one. Return whether Redis had another member before, of whom nobody was told.
        """
        joins = self.joining(second, room, **options)
        self.clock.advance(moment * 0.0008)
        for connection in first.connections:
            connection.cut(executed=100)
        before = self.stored(room)
        first.kill()
        second.engine.nodeEnded(first.node.id)
        self.advance(5)
        (ada,) = joins
        self.assertEqual(self.membersOf(room), {ada.member})
        second.stop()
        return ada.member not in before and bool(before)

    def test_killed(self) -> None:
        """A client joins a room of another node, which dies at that moment: it joins at the next node."""
        ghosts = 0
        for moment in range(8):
            first, second = self.start()
            room = self.result(first.app.createRoom("chat"))
            self.advance(0.5)
            ghosts += self.isGhost(first, second, room, moment)
        self.assertGreater(ghosts, 0)

    def test_seat(self) -> None:
        """The same with the only seat, which was reserved for the client."""
        self.roomClass = Single
        ghosts = 0
        for moment in range(8):
            first, second = self.start()
            room = self.result(first.app.createRoom("chat"))
            seat = self.result(first.app.reserveSeat(room))
            self.advance(0.5)
            ghosts += self.isGhost(first, second, room, moment, seat=seat)
        self.assertGreater(ghosts, 0)

    def test_told(self) -> None:
        """A member that has resumed isn't taken for one that was never told."""
        first, second = self.start()
        ada, bob = first.join(), second.join()
        first.kill()
        second.engine.nodeEnded(first.node.id)
        self.advance(5)
        self.assertEqual(self.membersOf(bob.id), {ada.member, bob.member})
        members = hostOf(second.app.rooms[bob.id]).members
        self.assertEqual([members[bob.member].joinLink, bool(members[ada.member].joinLink)], ["", True])
