"""Tests for `Server.cluster`, with the memory engine and with several nodes."""

from __future__ import annotations

import os
import socket
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.case import HarnessTestCase, fired
from tests.engine.redis.nodes import Chat, NodesTestCase
from txroom import RoomApplication, RoomError
from txroom.protocol import payload
from txroom.rooms.contract.asks import Inspect, Lock, Once, ReadLog, SendTo
from txroom.rooms.owner import examining
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
        asked, engine = [], harness.server.rooms.engine
        ask = engine.ask

        def noting(room: str, command: Any) -> Deferred[Any]:
            asked.append(command)
            return ask(room, command)

        with patch.object(engine, "ask", noting):
            self.assertEqual(self.successResultOf(cluster.members("nobody")), ([], ()))
        self.assertEqual(asked, [Inspect(1_000_000, "nobody", isBrief=True)])
        self.assertEqual(self.successResultOf(cluster.disconnect(member.userId)).done, {ada.id: 1})
        harness.flush()
        self.assertIsNotNone(ada.closeInfo)

    def test_manyMembers(self) -> None:
        """All members of a large room are found, although an answer has only some of them."""
        harness = self.serve({"chat": Chat})
        rooms = [harness.client().create("chat"), harness.client().create("chat")]
        members = [rooms[0], *(harness.client().joinById(rooms[0].id) for _ in range(6))]
        self.patch(examining, "SHOWN_SIZE", 150)
        found = self.successResultOf(harness.server.cluster.members())
        ids = [each.member for each in found.members if each.room == rooms[0].id]
        self.assertEqual((ids, found.unanswered), (sorted(each.member for each in members), ()))
        self.assertEqual(len(found.members), 8)
        ask = rooms[1].id, Inspect(isBrief=True)
        self.assertIsNone(self.successResultOf(harness.server.cluster.ask(*ask))["next"])

    def test_earlierNode(self) -> None:
        """A node of an earlier version tells all members at once."""
        harness = self.serve({"chat": Chat})
        ada = harness.client().join("chat")
        engine = harness.server.rooms.engine
        ask = engine.ask

        def earlier(room: str, command: Any) -> Deferred[Any]:
            answer = ask(room, Inspect(command.limit, command.userId))
            return answer.addCallback(lambda found: {"members": found["members"]})

        with patch.object(engine, "ask", earlier):
            (member,) = self.successResultOf(harness.server.cluster.members()).members
        self.assertEqual(member.member, ada.member)

    def test_ask(self) -> None:
        """A room is found by its id, in whichever application it is."""
        harness = self.serve({"chat": Chat})
        others = RoomApplication(path="/others")
        others.register("chat", Chat)
        harness.server.addApplication(others)
        cluster = harness.server.cluster
        rooms = [harness.client().join("chat").id, self.successResultOf(others.createRoom("chat"))]
        for room in rooms:
            self.assertEqual(self.successResultOf(cluster.ask(room, Inspect()))["listing"]["room"], room)
        failure = self.failureResultOf(cluster.ask("nowhere", Inspect()), RoomError)
        self.assertEqual(failure.value.code, "noSuchRoom")
        wrong: Any = 7
        self.assertRaises(TypeError, cluster.ask, wrong, Inspect())
        self.assertRaises(TypeError, cluster.ask, rooms[0], Inspect(), Once("k", b"d"))

    def test_create(self) -> None:
        """A room with its options; without a key, another one each time."""
        harness = self.serve({"chat": Chat})
        cluster = harness.server.cluster
        rooms = [self.successResultOf(cluster.create("chat", {"mode": "x"})) for _ in range(2)]
        self.assertEqual({each.id for each in harness.server.rooms.rooms.values()}, set(rooms))
        self.assertEqual(
            self.successResultOf(cluster.ask(rooms[0], Inspect()))["listing"]["options"], {"mode": "x"}
        )
        for once in (None, Once("k", b"d")):
            failure = self.failureResultOf(cluster.create("nix", {}, once), RoomError)
            self.assertEqual(failure.value.code, "noSuchRoom")
        wrong: Any = 7
        self.assertRaises(TypeError, cluster.create, "chat", wrong)
        self.assertRaises(TypeError, cluster.create, "chat", {"mode": object()})

    def test_slowBeginning(self) -> None:
        """A room that doesn't begin within five seconds has not done what it was asked."""

        class Slow(Chat):
            async def onCreate(self, options: Any) -> None:
                await self.clock.sleep(8)

        harness = self.serve({"chat": Slow})
        rooms = harness.server.rooms
        created = fired(rooms.createRoom("chat"))
        (room,) = rooms.rooms
        answers = fired(harness.server.cluster.ask(room, Lock()))
        harness.advance(4.9)
        self.assertEqual(answers, [])
        harness.advance(0.2)
        self.assertEqual(answers[0].value.details, {"mayHaveHappened": False})
        harness.advance(3)
        self.assertEqual((created, rooms.rooms[room].isLocked), ([room], False))

    def test_wrong(self) -> None:
        """Data that can't be encoded is refused at once, and so is an id that is no text."""
        cluster = self.serve({"chat": Chat}).server.cluster
        self.assertRaises(TypeError, cluster.broadcast, "chat", "news", object())
        wrong: Any = 7
        for error, type in ((TypeError, wrong), (ValueError, ""), (ValueError, "x" * 129)):
            self.assertRaises(error, cluster.broadcast, "chat", type)
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

    def test_ask(self) -> None:
        """Each node reaches a room by its id, without the listings."""
        first, second = self.start()
        ada = first.join()
        self.settle()
        before = self.redis.count("HGETALL")
        for each in (first, second):
            answer = self.result(each.harness.server.cluster.ask(ada.id, SendTo("news", payload.encode(1))))
            self.assertEqual(answer, first.app.rooms[ada.id].offset)
            self.settle()
            self.assertEqual(ada.expect("news"), 1)
        self.assertEqual(self.redis.count("HGETALL"), before)
        failure = self.result(second.harness.server.cluster.ask("nowhere", Lock()))
        self.assertEqual(failure.value.code, "noSuchRoom")

    def test_once(self) -> None:
        """A command that is repeated at other nodes is carried out once, also if the room's node has died."""
        first, second, third = self.start(3)
        ada = first.join()
        self.settle()
        clusters = [each.harness.server.cluster for each in (first, second, third)]
        once, news = Once("k", b"d"), SendTo("news", payload.encode(1))
        for cluster in clusters:
            self.assertEqual(self.result(cluster.ask(ada.id, news, once)), 1)
        first.kill()
        second.engine.nodeEnded(first.node.id)
        self.advance(3)
        for cluster in clusters[1:]:
            self.assertEqual(self.result(cluster.ask(ada.id, news, once)), 1)
        (owner,) = self.whereIs(ada.id)
        self.assertEqual(owner.app.rooms[ada.id].offset, 1)
        failure = self.result(clusters[2].ask(ada.id, news, Once("k", b"e")))
        self.assertEqual(failure.value.details, {"idempotency": "reused"})

    def test_createOnce(self) -> None:
        """A room is created once, though several nodes are asked, and also if its node has died."""
        first, second, third = self.start(3)
        once = Once("k", b"d")
        found = [fired(each.harness.server.cluster.create("chat", {}, once)) for each in (first, second)]
        self.settle()
        ids = [each[0] for each in found if isinstance(each[0], str)]
        self.assertTrue(ids, found)
        for each in (first, second, third):
            self.assertEqual(self.result(each.harness.server.cluster.create("chat", {}, once)), ids[0])
        (owner,) = self.whereIs(ids[0])
        owner.kill()
        others = [each for each in (first, second, third) if each is not owner]
        others[0].engine.nodeEnded(owner.node.id)
        self.advance(3)
        for each in others:
            self.assertEqual(self.result(each.harness.server.cluster.create("chat", {}, once)), ids[0])
        self.assertEqual(len(self.result(others[0].harness.server.cluster.rooms())), 1)

    def test_createOnceNamed(self) -> None:
        """Requests with one key and two names, at once at two nodes: one room, which all nodes list."""
        nodes = self.start(2)
        for each in nodes:
            each.app.register("other", Chat)
        names = ("chat", "other")
        for key in map(str, range(24)):
            asked = [
                fired(each.harness.server.cluster.create(name, {}, Once(key, b"d")))
                for each, name in zip(nodes, names, strict=True)
            ]
            self.advance(2)
            made = [each[0] for each in asked if isinstance(each[0], str)]
            self.assertEqual(len(set(made)), 1, asked)
            again = [
                self.result(nodes[0].harness.server.cluster.create(name, {}, Once(key, b"d")))
                for name in names
            ]
            refused = [each.value.details for each in again if not isinstance(each, str)]
            self.assertEqual(refused, [{"idempotency": "reused"}])
            self.advance(0.5)
            for each in nodes:
                listed = [room.listing.room for room in self.result(each.harness.server.cluster.rooms())]
                self.assertEqual(listed.count(made[0]), 1)

    def test_createOnceCut(self) -> None:
        """Wherever the connections are cut, a request that is repeated with its key gets its room soon."""
        first, second = self.start(2)
        for moment in range(14):
            once = Once(f"k{moment}", b"d")
            answers = fired(first.harness.server.cluster.create("chat", {}, once))
            for _ in range(moment):
                self.clock.advance(0.0005)
            self.redis.cut(executed=5)
            self.advance(10)
            for _ in range(4):
                for each in (second, first):
                    answers += fired(each.harness.server.cluster.create("chat", {}, once))
                    self.advance(3)
            self.assertIsInstance(answers[-1], str, (moment, answers))
            for answer in answers:
                if not isinstance(answer, str):
                    self.assertTrue(answer.value.message, answer)

    def test_readLog(self) -> None:
        """The log of a room at another node, whose next message is waited for."""
        first, second = self.start()
        ada = first.join()
        self.settle()
        room = first.app.rooms[ada.id]
        room.broadcast("said", 1)
        cluster = second.harness.server.cluster
        answer = self.result(cluster.ask(ada.id, ReadLog()))
        self.assertEqual((answer["epoch"], answer["last"]), (room.epoch, 1))
        answers = fired(cluster.ask(ada.id, ReadLog(1, seconds=4.0, epoch=room.epoch)))
        self.advance(3.8)
        self.assertEqual(answers, [])
        room.broadcast("said", 2)
        self.settle()
        self.assertEqual([entry["data"] for entry in answers[0]["entries"]], [2])
        answers = fired(cluster.ask(ada.id, ReadLog(2, seconds=4.0)))
        self.advance(4.2)
        self.assertEqual(answers[0]["entries"], [])

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
