"""Tests for `Server.cluster`, with the memory engine and with several nodes."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.case import HarnessTestCase, fired
from tests.engine.redis.nodes import Chat, NodesTestCase
from txroom import RoomError
from txroom.service import cluster as clusterModule


class AloneTests(HarnessTestCase):
    """A server with the memory engine is a cluster of its own."""

    def test_alone(self) -> None:
        """It has one node, with its rooms and members."""
        harness = self.serve({"chat": Chat})
        ada = harness.client().join("chat")
        cluster = harness.server.cluster
        (node,) = self.successResultOf(cluster.nodes())
        self.assertEqual((node.isThis, node.rooms, node.clients), (True, 1, 1))
        self.assertEqual((node.host, node.pid), (socket.gethostname(), os.getpid()))
        (room,) = self.successResultOf(cluster.rooms())
        self.assertEqual((room.listing.room, room.node), (ada.id, node.id))
        (member,) = self.successResultOf(cluster.members()).members
        self.assertEqual((member.member, member.room, member.isConnected), (ada.member, ada.id, True))
        self.assertEqual(self.successResultOf(cluster.broadcast("chat", "news", 1)).done, {ada.id: 1})
        harness.flush()
        self.assertEqual(ada.expect("news"), 1)
        self.assertEqual(self.successResultOf(cluster.members("nobody")), ([], ()))
        self.assertEqual(self.successResultOf(cluster.disconnect(member.userId)).done, {ada.id: 1})
        harness.flush()
        self.assertIsNotNone(ada.closeInfo)

    def test_wrong(self) -> None:
        """Data that can't be encoded is refused at once, and so is an id that is no text."""
        cluster = self.serve({"chat": Chat}).server.cluster
        self.assertRaises(TypeError, cluster.broadcast, "chat", "news", object())
        wrong: Any = 7
        self.assertRaises(TypeError, cluster.disconnect, wrong)
        self.assertEqual(self.successResultOf(cluster.broadcast("nix", "news")).done, {})


class SeveralTests(NodesTestCase):
    """Several nodes."""

    def test_all(self) -> None:
        """Each node knows the nodes, rooms and members of all, and reaches them."""
        first, second = self.start()
        ada, bob = first.join(mode="x"), second.join(mode="y")
        self.advance(2.5)
        for this, other in ((first, second), (second, first)):
            cluster = this.harness.server.cluster
            nodes = self.result(cluster.nodes())
            self.assertEqual([node.id for node in nodes], [this.node.id, other.node.id])
            self.assertEqual({(node.host, node.pid) for node in nodes}, {(socket.gethostname(), os.getpid())})
            self.assertEqual(
                [(node.isThis, node.rooms, node.clients) for node in nodes], [(True, 1, 1), (False, 1, 1)]
            )
            places = {room.listing.room: room.node for room in self.result(cluster.rooms("chat"))}
            self.assertEqual(places, {ada.id: first.node.id, bob.id: second.node.id})
            members = self.result(cluster.members()).members
            self.assertEqual(
                {each.member: each.node for each in members},
                {ada.member: first.node.id, bob.member: second.node.id},
            )
            self.result(cluster.broadcast("chat", "news", this.node.id))
            self.assertEqual((ada.expect("news"), bob.expect("news")), (this.node.id, this.node.id))
        (user,) = [each.userId for each in members if each.member == bob.member]
        self.assertEqual(self.result(first.harness.server.cluster.disconnect(user)).done, {bob.id: 1})
        self.settle()
        self.assertEqual((ada.closeInfo, bob.closeInfo is None), (None, False))

    def test_private(self) -> None:
        """Private rooms are there too."""
        first, second = self.start()
        ada = first.join()
        first.app.rooms[ada.id].setPrivate(True)
        self.settle()
        rooms = self.result(second.harness.server.cluster.rooms())
        self.assertEqual([room.listing.room for room in rooms], [ada.id])

    def test_unanswered(self) -> None:
        """A node that doesn't answer is named."""
        first, second = self.start()
        ada, bob = first.join(mode="x"), second.join(mode="y")
        self.settle()
        self.redis.deliveries = lambda channel, data: () if b"to:" in channel else (0.0,)
        answers: list[Any] = []
        second.harness.server.cluster.broadcast("chat", "news").addCallback(answers.append)
        self.advance(5.5)
        self.assertEqual(list(answers[0].done), [bob.id])
        self.assertEqual(answers[0].unanswered, (first.node.id,))
        self.assertNotEqual(ada.id, bob.id)

    def test_deadline(self) -> None:
        """
        It takes five seconds, however slow the rooms are. A room that answers later has done what was asked.
        """
        first, second = self.start()
        rooms = {self.result(first.app.createRoom("chat")) for _ in range(3)}
        self.patch(clusterModule, "AT_ONCE", 1)
        ask = second.app.engine.ask
        self.patch(
            second.app.engine, "ask", lambda room, command: deferLater(self.clock, 3.0, ask, room, command)
        )
        answers = fired(second.harness.server.cluster.broadcast("chat", "news"))
        self.advance(4.8)
        self.assertEqual(answers, [])
        self.advance(0.2)
        self.assertEqual((len(answers[0].done), answers[0].unanswered), (1, (first.node.id,)))
        self.assertLess(set(answers[0].done), rooms)
        before = self.redis.count("append")
        self.advance(10)
        self.assertEqual(self.redis.count("append"), before)

    def test_listings(self) -> None:
        """If the listings of rooms can't be read in time, it fails."""
        (first,) = self.start(1)
        self.patch(first.app.engine, "listed", lambda name: Deferred())
        for call in ("nodes", "rooms", "members"):
            found = fired(getattr(first.harness.server.cluster, call)())
            self.advance(4.9)
            self.assertEqual(found, [])
            self.advance(0.2)
            self.assertEqual(found[0].value.code, "unavailable")

    def test_stopped(self) -> None:
        """Without an engine that runs there is no answer."""
        (first,) = self.start(1)
        first.stop()
        failure = self.failureResultOf(first.harness.server.cluster.rooms(), RoomError)
        self.assertEqual(failure.value.code, "unavailable")
