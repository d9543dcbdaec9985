"""Tests for rooms on several nodes, each a whole server."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent, globalLogPublisher

from tests.case import fired
from tests.engine.redis.fakeredis import FakeRedis
from tests.engine.redis.nodes import Chat, NodesTestCase, TestNode
from txroom import RoomError
from txroom.engine.redis.lease import NodeState
from txroom.rooms.contract.asks import Dispose, Inspect, Kick, Lock, SendTo
from txroom.rooms.hooks import HookTimeout


class TogetherTests(NodesTestCase):
    """Clients of all nodes are in the same rooms."""

    def test_messages(self) -> None:
        """A client joins the room that a client of another node has created, and both hear each other."""
        first, second = self.start()
        ada, bob = first.join(), second.join()
        self.assertEqual(ada.id, bob.id)
        self.assertEqual(self.whereIs(ada.id), [first])
        for client in (ada, bob):
            client.send("say", client.member)
            self.settle()
            self.assertEqual([ada.expect("said"), bob.expect("said")], [client.member] * 2)
        bob.send("shout", "volatile")
        self.settle()
        self.assertEqual((ada.expect("shouted"), bob.expect("shouted")), ("volatile", "volatile"))

    def test_call(self) -> None:
        """A call is answered across nodes."""
        first, second = self.start()
        first.join()
        bob = second.join()
        self.assertEqual(self.result(bob.calling("say", 1)), 1)

    def test_atOnce(self) -> None:
        """Clients of two nodes that join at the same time get the same room, whose creator is one of them."""
        first, second = self.start()
        joins = [fired(node.client().joining("chat")) for node in (first, second) for _ in range(3)]
        self.advance(2)
        self.assertEqual(len({join[0].id for join in joins}), 1)
        self.assertEqual(len(first.node.here) + len(second.node.here), 1)

    def test_pairs(self) -> None:
        """Not more clients wait for a room than it has seats; nobody is refused."""
        nodes = self.start(3, maxClients=2)
        joins = [fired(node.client().joining("chat", mode="x")) for _ in range(4) for node in nodes]
        self.advance(5)
        rooms = [join[0].id for join in joins]
        self.assertEqual(sorted(rooms.count(room) for room in set(rooms)), [2] * 6)

    def test_soon(self) -> None:
        """A client that joins before the listing of a new room has come gets that room, or else its own."""
        first, second = self.start(maxClients=2)
        self.redis.deliveries = lambda channel, data: (0.0,) if b"to:" in channel else (1.0,)
        ada, bob, carol = first.join(), second.join(), second.join()
        self.assertEqual(ada.id, bob.id)
        self.assertNotEqual(carol.id, ada.id)
        self.advance(2)

    def test_makerDies(self) -> None:
        """If the node dies that creates a room, one of those that wait creates it."""
        first, second = self.start()
        gate: Deferred[None] = Deferred()
        self.patch(Chat, "onCreate", lambda room, options: gate)
        first.client().joining("chat").addErrback(lambda failure: None)
        self.settle()
        joins = [fired(second.client().joining("chat")) for _ in range(5)]
        self.advance(1)
        first.kill()
        self.patch(Chat, "onCreate", lambda room, options: None)
        before = self.redis.count("make")
        self.advance(14)
        self.assertEqual(len({join[0].id for join in joins}), 1)
        self.assertLess(self.redis.count("make") - before, 20)
        self.flushLoggedErrors(HookTimeout)  # of the node that is dead

    def test_maxRooms(self) -> None:
        """The most rooms are counted over all nodes, and a room that has ended counts no more."""
        first, second = self.start(maxRooms=2)
        rooms = [self.result(node.app.createRoom("chat")) for node in (first, second)]
        self.assertEqual(self.result(second.app.createRoom("chat")).value.code, "full")
        self.assertEqual(second.ask(rooms[0], Dispose()), [None])
        self.advance(1)
        self.assertIsInstance(self.result(second.app.createRoom("chat")), str)

    def test_ages(self) -> None:
        """Rooms are sorted by their ages over all nodes."""
        first, second = self.start()
        made = [self.result(node.app.createRoom("chat")) for node in (first, second, first, second)]
        self.settle()
        for node in (first, second):
            found = self.result(node.app.query("chat"))
            self.assertEqual([listing.room for listing in found], made)
            self.assertEqual([listing.age for listing in found], sorted(listing.age for listing in found))

    def test_listings(self) -> None:
        """Each node knows what has changed in the rooms of the others, and that a room has ended."""
        first, second = self.start()
        ada = first.join()
        first.app.rooms[ada.id].setMetadata({"title": "Ada's"})
        self.settle()
        (listing,) = self.result(second.app.query("chat"))
        self.assertEqual((listing.clients, listing.metadata), (1, {"title": "Ada's"}))
        first.app.rooms[ada.id].disconnect()
        self.advance(1)
        self.assertEqual(self.result(second.app.query("chat")), [])

    def test_later(self) -> None:
        """A node that starts later knows the rooms that there are."""
        (first,) = self.start(1)
        ada = first.join()
        (second,) = self.start(1)
        self.assertEqual(second.join().id, ada.id)


class BudgetTests(NodesTestCase):
    """What a turn of the reactor costs."""

    def test_turn(self) -> None:
        """All that a room emits in one turn is one append, and one packet to each other node."""
        first, second, third = self.start(3)
        ada = first.join()
        others = [node.join() for node in (second, third) for _ in range(4)]
        self.advance(0.5)
        appended, packets = self.redis.count("append"), first.node.peers.packets
        published = self.redis.count("PUBLISH")
        for turn in range(2):
            for index in range(5):
                first.app.rooms[ada.id].broadcast("said", 5 * turn + index)
            self.advance(0.01)
        self.assertEqual(self.redis.count("append") - appended, 2)
        self.assertEqual(first.node.peers.packets - packets, 4)
        self.assertEqual(self.redis.count("PUBLISH") - published, 4)
        for other in others:
            self.assertEqual([other.expect("said") for _ in range(10)], list(range(10)))

    def test_rooms(self) -> None:
        """Rooms of one node share the packet of a turn, and each has an append."""
        first, second = self.start()
        here = [first.join(mode=str(index)) for index in range(5)]
        there = [second.join(mode=str(index)) for index in range(5)]
        self.assertEqual([one.id for one in here], [one.id for one in there])
        self.advance(1)
        appended, packets = self.redis.count("append"), first.node.peers.packets
        for one in here:
            first.app.rooms[one.id].broadcast("said", 1)
        self.settle()
        self.assertEqual(self.redis.count("append") - appended, 5)
        self.assertEqual(first.node.peers.packets - packets, 1)

    def test_find(self) -> None:
        """To find a room asks Redis nothing, once its name is known."""
        first, second = self.start()
        first.join()
        self.settle()
        commands = len(self.redis.log)
        self.assertEqual(len(fired(second.app.query("chat"))[0]), 1)
        self.assertEqual(len(self.redis.log), commands)


class LossTests(NodesTestCase):
    """Nodes that are lost, and Redis."""

    def test_killed(self) -> None:
        """The room of a node that is killed goes on elsewhere; nobody misses anything."""
        first, second, third = self.start(3)
        first.join()
        bob, carol = second.join(), third.join()
        bob.send("say", 1)
        self.settle()
        first.kill()
        bob.send("say", 2)
        carol.send("say", 3)
        self.advance(15)
        self.assertEqual(len(self.whereIs(bob.id)), 1)
        for client in (bob, carol):
            said = [client.expect("said") for _ in range(3)]
            self.assertEqual((said[0], sorted(said)), (1, [1, 2, 3]))
            self.assertIn("recovered", client.events)
            self.assertNotIn("lost", client.events)

    def test_adopted(self) -> None:
        """All rooms of a node that is gone are taken over, also those that nobody asks for, by all nodes."""
        first, second, third = self.start(3)
        rooms = {self.result(first.app.createRoom("chat", {"mode": str(index)})) for index in range(30)}
        first.kill()
        self.advance(20)
        owners = [{owned.host.id for owned in node.node.here} for node in (second, third)]
        self.assertEqual(owners[0] | owners[1], rooms)
        self.assertEqual(owners[0] & owners[1], set())
        self.assertTrue(all(len(each) > 5 for each in owners), owners)

    def test_othersDontServe(self) -> None:
        """Rooms are taken over although some of the other nodes don't serve their application."""
        first, second = self.start()
        games = [TestNode(self, 9000 + index, Chat, {}, path="/games", name="game") for index in range(2)]
        self.nodes += games
        rooms = {self.result(first.app.createRoom("chat", {"mode": str(index)})) for index in range(20)}
        first.kill()
        self.advance(60)
        self.assertEqual({owned.host.id for owned in second.node.here}, rooms)

    def test_coldStart(self) -> None:
        """Rooms are taken over by nodes that start when all others are gone."""
        first, second = self.start()
        rooms = {self.result(node.app.createRoom("chat")) for node in (first, second)}
        ada = first.join()
        first.kill()
        second.kill()
        self.advance(60)
        (third,) = self.start(1)
        self.advance(20)
        self.assertEqual({owned.host.id for owned in third.node.here}, rooms)
        self.assertIn(ada.id, rooms)

    def test_unlisted(self) -> None:
        """
        A room is taken over although Redis has lost its listing: its owner has founded it again, and died
        before it could write the listing.
        """
        first, second = self.start()
        room = self.result(first.app.createRoom("chat"))
        listings = second.node._keys.listings("/rooms", "chat")
        self.redis.store.execute("DEL", listings)
        second.node.finder.index.remove(room)
        first.kill()
        self.advance(20)
        self.assertEqual(self.whereIs(room), [second])
        self.assertIn(room.encode(), self.redis.fields(listings))

    def test_handOver(self) -> None:
        """A node that is stopped hands its rooms over at once; clients of other nodes keep their sockets."""
        first, second = self.start()
        first.join()
        bob = second.join()
        before = bob.room.member
        first.stop()
        self.advance(1)
        self.assertEqual(self.whereIs(bob.id), [second])
        bob.send("say", 1)
        self.advance(1)
        self.assertEqual((bob.expect("said"), bob.member, bob.closeInfo), (1, before, None))
        self.assertNotIn("lost", bob.events)

    def test_nodeEnded(self) -> None:
        """If somebody knows that a node has ended, all others take its rooms over at once."""
        first, second, third = self.start(3)
        self.advance(3)  # they have seen one another
        rooms = {self.result(first.app.createRoom("chat", {"mode": str(index)})) for index in range(10)}
        ended = first.node.id
        first.kill()
        second.engine.nodeEnded(ended)
        self.advance(0.5)
        taken = [{owned.host.id for owned in node.node.here} for node in (second, third)]
        self.assertEqual(taken[0] | taken[1], rooms)
        self.assertTrue(all(taken))
        self.advance(4)
        self.assertNotIn(ended, second.engine.nodes() + third.engine.nodes())

    def test_nodeEndedUnheard(self) -> None:
        """If Redis can't be reached at that moment, the others are told when it can."""
        first, second, third = self.start(3)
        self.advance(3)
        ended = first.node.id
        self.redis.hang()
        first.kill()
        second.engine.nodeEnded(ended)
        self.advance(1)
        self.assertEqual(third.node.lease.stateOf(ended), NodeState.ALIVE)
        for connection in second.connections:
            connection.cut()
        self.redis.wake()
        self.advance(3)
        self.assertEqual(third.node.lease.stateOf(ended), NodeState.GONE)
        second.stop()
        second.engine.nodeEnded(ended)

    def test_answerLost(self) -> None:
        """
        If the answer to a client that joins is lost on its way between nodes, the client joins again. Its
        first membership ends then, since the client doesn't know of it.
        """
        first, second = self.start(maxClients=2)
        room = self.result(first.app.createRoom("chat"))
        self.redis.deliveries = lambda channel, data: () if second.node.id.encode() in channel else (0.0,)
        joins = fired(second.client().joining("chat"))
        self.advance(0.5)
        ((ghost,), isJoined) = first.app.rooms[room].clients, bool(joins)
        self.assertFalse(isJoined)
        self.redis.deliveries = lambda channel, data: (0.0,)
        self.advance(5)
        (ada,) = joins
        self.assertNotEqual(ada.member, ghost.id)
        self.assertEqual([client.id for client in first.app.rooms[room].clients], [ada.member])
        self.assertEqual(len(self.whereIs(room)), 1)

    def test_answerLostWithSeat(self) -> None:
        """The same with the only seat, which was reserved: the client may take it again."""
        first, second = self.start(maxClients=1)
        room = self.result(first.app.createRoom("chat"))
        seat = self.result(second.app.reserveSeat(room))
        self.redis.deliveries = lambda channel, data: () if second.node.id.encode() in channel else (0.0,)
        client = second.client()
        joins = fired(client._begin(client.client.joinById(room, {"seat": seat})))
        self.advance(0.5)
        self.assertEqual((len(first.app.rooms[room].clients), joins), (1, []))
        self.redis.deliveries = lambda channel, data: (0.0,)
        self.advance(5)
        (ada,) = joins
        self.assertEqual([client.id for client in first.app.rooms[room].clients], [ada.member])

    def test_paused(self) -> None:
        """A node that can't reach Redis for a while, but not for too long, goes on with its rooms."""
        first, second = self.start()
        first.join()
        bob = second.join()
        for connection in first.connections:
            connection.cut()
        bob.send("say", 1)
        self.advance(4)
        self.assertEqual((bob.expect("said"), self.whereIs(bob.id)), (1, [first]))

    def test_stale(self) -> None:
        """A node that can't reach Redis says so, and is well again later."""
        (first,) = self.start(1)
        ada = first.join()
        self.redis.hang()
        self.advance(8)
        self.assertEqual(first.engine.health(), "Redis can't be reached")
        self.redis.wake()
        self.advance(5)
        self.assertIsNone(first.engine.health())
        ada.send("say", 1)
        self.advance(1)
        self.assertEqual(ada.expect("said"), 1)

    def test_cutOff(self) -> None:
        """A node that is cut off from Redis for long sends its clients to other nodes, until it is back."""
        first, second = self.start()
        ada = first.join()
        elsewhere = FakeRedis(self.clock)
        elsewhere.down()
        for connection in first.connections:
            connection.cut()
            connection.server = elsewhere
        self.advance(15)
        self.assertNotEqual(first.harness.server.connections, [])
        self.advance(15)
        self.assertEqual(first.harness.server.connections, [])
        self.assertIn(second, self.whereIs(ada.id))
        for connection in first.connections:
            connection.server = self.redis
        self.advance(40)
        ada.send("say", 1)
        self.advance(1)
        self.assertEqual((ada.messages[-1], ada.closeInfo), (("said", 1), None))
        self.assertEqual(self.whereIs(ada.id), [second])

    def test_flushed(self) -> None:
        """If Redis loses everything, rooms go on, and clients are told that they may have missed some."""
        first, second = self.start()
        ada, bob = first.join(), second.join()
        self.redis.store.flush()
        ada.send("say", 1)
        self.advance(5)
        self.assertEqual(self.whereIs(ada.id), [first])
        for client in (ada, bob):
            self.assertIn("lost", client.events)
            self.assertIsNone(client.closeInfo)
        bob.send("say", 2)
        self.advance(1)
        self.assertEqual(ada.messages[-1], ("said", 2))
        self.assertEqual(len(self.result(second.app.query("chat"))), 1)

    def test_failover(self) -> None:
        """
        A replica that becomes the primary may lack the newest messages. If the owner is lost too, the room
        gets a new epoch, although the replica was the primary before, in the same process.
        """
        for number, isPromoted in enumerate((False, True)):
            first, second = self.start()
            first.join(mode=str(number))
            bob = second.join(mode=str(number))
            first.kill()
            for connection in second.connections:
                connection.cut()
            if isPromoted:
                self.redis.store.info |= {"master_replid": "a" * 40, "master_replid2": "b" * 40}
            self.advance(25)
            self.assertEqual(self.whereIs(bob.id), [second])
            self.assertEqual("lost" in bob.events, isPromoted)

    def test_demoted(self) -> None:
        """
        A primary that becomes a replica keeps its connections. The node makes new ones, which lead to the new
        primary.
        """
        (first,) = self.start(1)
        ada = first.join()
        before = [connection._number for connection in first.connections]
        self.redis.fail("READONLY You can't write against a read only replica.", "renew")
        self.advance(3)
        self.assertEqual(
            [connection._number for connection in first.connections], [each + 1 for each in before]
        )
        ada.send("say", 1)
        self.advance(1)
        self.assertEqual((ada.expect("said"), ada.events), (1, []))

    def test_emptyRedis(self) -> None:
        """
        A client that resumes at another node before the owner has founded its room again stays a member.
        """
        first, second = self.start()
        first.join()
        bob = second.join()
        member = bob.member
        self.redis.down()
        self.redis.store.flush()
        for each in list(second.harness.server.connections):
            each.terminate()
        for connection in first.connections:  # the owner finds out later
            connection.server = FakeRedis(self.clock)
            connection.server.down()
        self.redis.up()
        self.advance(2)
        for connection in first.connections:
            connection.server = self.redis
        self.advance(5)
        bob.send("say", 1)
        self.advance(2)
        self.assertEqual((bob.member, bob.closeInfo, bob.messages[-1]), (member, None, ("said", 1)))
        self.assertIn("lost", bob.events)


class Deadly(Chat):
    """A room whose owner dies when it is taken over."""

    deaths: list[str] = []

    def onCreate(self, options: Any) -> Any:
        if self.isRestored:
            self.deaths.append(self.id)
            return Deferred()
        return None


class BadRoomTests(NodesTestCase):
    """Rooms that can't be opened by their next owners."""

    roomClass = Deadly

    def test_fails(self) -> None:
        """A room whose `onCreate` fails at a takeover is kept, and is not tried all the time."""
        first, second = self.start()
        ada = second.join()
        room = self.whereIs(ada.id)[0]
        self.assertIs(room, second)
        bob = first.join()
        tried: list[str] = []

        def fails(room: Any, options: Any) -> None:
            tried.append(room.id)
            raise ValueError("not now")

        self.patch(Deadly, "onCreate", fails)
        second.stop()
        self.advance(12)
        self.assertLess(len(tried), 8)
        self.assertGreater(len(tried), 1)
        self.patch(Deadly, "onCreate", lambda room, options: None)
        self.advance(20)
        self.assertEqual(self.whereIs(bob.id), [first])
        bob.send("say", 1)
        self.advance(2)
        self.assertEqual(bob.messages[-1], ("said", 1))
        self.flushLoggedErrors(ValueError)

    def test_unreadable(self) -> None:
        """A room whose data can't be read is kept, tried ever more seldom, and opened when it can be read."""
        first, second = self.start()
        room = self.result(second.app.createRoom("chat"))
        self.patch(Deadly, "onCreate", lambda room, options: None)
        fields = first.node._keys.room(room).fields
        listing = self.redis.fields(fields)[b"l"]
        self.redis.store.execute("HSET", fields, "m:x", b"\xc1")
        claims = self.redis.count("claim")
        second.kill()
        with capturedLogs() as events:
            for _ in range(20):
                first.ask(room, Inspect())
                self.advance(4)
        lines = [formatEvent(event) for event in events]
        said = [line for line in lines if "can't be read" in line]
        self.assertEqual(len(said), 1, said)
        self.assertLess(len([line for line in lines if "is gone" in line]), 6, lines)
        self.assertLess(self.redis.count("claim") - claims, 6)
        self.assertEqual(self.redis.fields(fields)[b"l"], listing)
        self.redis.store.execute("HDEL", fields, "m:x")
        self.advance(40)
        self.assertEqual(self.whereIs(room), [first])


class AskTests(NodesTestCase):
    """Commands to rooms of other nodes."""

    def test_commands(self) -> None:
        """A room carries out commands wherever they come from."""
        first, second = self.start()
        ada, bob = first.join(), second.join()
        (described,) = second.ask(ada.id, Inspect())
        self.assertEqual(described["listing"]["clients"], 2)
        self.assertEqual(second.ask(ada.id, Lock()), [None])
        self.assertTrue(first.app.rooms[ada.id].isLocked)
        self.assertEqual(second.ask(ada.id, SendTo("news", b"\xa2hi")), [1])
        self.assertEqual((ada.expect("news"), bob.expect("news")), ("hi", "hi"))
        self.assertEqual(second.ask(ada.id, Kick(member=ada.member)), [1])
        self.assertIsNotNone(ada.closeInfo)

    def test_reserve(self) -> None:
        """A seat is reserved in a room of another node."""
        first, second = self.start(maxClients=1)
        room = self.result(first.app.createRoom("chat"))
        token = self.result(second.app.reserveSeat(room, None, 5.0))
        self.assertIsInstance(token, str)
        self.assertEqual(self.result(second.app.reserveSeat(room)).value.code, "full")

    def test_nowhere(self) -> None:
        """There is no such room."""
        first, _ = self.start()
        self.assertEqual(first.ask("nix", Inspect())[0].value.code, "noSuchRoom")
        error = self.result(first.app.reserveSeat("nix"))
        self.assertIsInstance(error.value, RoomError)

    def test_unanswered(self) -> None:
        """If the node doesn't answer, the command fails within five seconds, and says what may be."""
        first, second = self.start()
        ada = first.join()
        self.settle()
        self.redis.deliveries = lambda channel, data: () if b"to:" in channel else (0.0,)
        results = fired(second.app.engine.ask(ada.id, Lock()))
        self.advance(5)
        self.assertEqual(results[0].value.code, "unavailable")
        self.assertEqual(results[0].value.details, {"mayHaveHappened": True})

    def test_noRedis(self) -> None:
        """Without Redis nothing happens, and the error says that."""
        first, second = self.start()
        ada = first.join()
        first.kill()
        self.redis.down()
        results = fired(second.app.engine.ask(ada.id, Lock()))
        self.advance(6)
        self.assertEqual(results[0].value.code, "unavailable")


class LogTests(NodesTestCase):
    """What a node logs of itself, of the others, and of Redis."""

    def logged(self, level: Any) -> list[str]:
        """Start two nodes that are not alike; return what is logged at a level."""
        with capturedLogs() as events:
            self.start(1, maxRooms=3)
            self.start(1)
            self.advance(3)
            for connection in self.nodes[0].connections:
                connection.cut()
            self.advance(3)
        return [formatEvent(event) for event in events if event["log_level"] is level]

    def test_nodes(self) -> None:
        """Each node logs which process it is, and which the others are."""
        lines = self.logged(LogLevel.info)
        where = f"process {os.getpid()} on {socket.gethostname()}"
        for node in self.nodes:
            self.assertEqual(lines.count(f"this server is node {node.node.id} of the cluster, {where}"), 1)
            self.assertEqual(lines.count(f"node {node.node.id} is in the cluster: {where}"), 1)

    def test_different(self) -> None:
        """It warns of nodes with other rooms or options."""
        lines = [line for line in self.logged(LogLevel.warn) if "is not like this one" in line]
        self.assertEqual(len(lines), 2)
        self.assertIn(
            "the rooms 'chat' of '/rooms' have maxRooms=3 there and maxRooms=10000 here", "".join(lines)
        )

    def test_lives(self) -> None:
        """What happens to rooms is logged with the node, the room and its name."""
        lines: list[str] = []

        def observe(event: Any) -> None:
            if event.get("life") not in (None, "join", "drop", "resume", "leave"):
                lines.append(formatEvent(event))

        observer: Any = observe
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        first, second = self.start()
        room = self.result(first.app.createRoom("chat"))
        ids = [node.node.id for node in self.nodes]
        self.redis.store.flush()
        self.advance(5)
        first.stop()
        self.advance(20)
        (third,) = self.start(1)
        second.kill()
        self.advance(20)
        room = f"room={room} name='chat'"
        self.assertEqual(
            lines,
            [
                f"create {room} node={ids[0]}",
                f"refound {room} node={ids[0]}",
                f"move {room} node={ids[0]} reason='handed over'",
                f"adopt {room} node={ids[1]}",
                f"lose {room} node={ids[1]} reason='this node stops'",
                f"adopt {room} node={third.node.id}",
            ],
        )

    def test_settings(self) -> None:
        """It warns of settings of Redis that cost rooms, once in each node."""
        self.redis.store.info = {"maxmemory_policy": "allkeys-lfu", "aof_enabled": "0"}
        lines = [line for line in self.logged(LogLevel.warn) if "maxmemory-policy" in line]
        self.assertEqual(len(lines), 2)


class EndTests(NodesTestCase):
    """Nodes that can't start, or can't go on."""

    def test_version(self) -> None:
        """A node doesn't start beside a node of a version that it can't work with."""
        self.redis.run(("ZADD", "txr:nodes", self.redis.store.now + 5000, "9.other"))
        (first,) = self.start(1)
        self.assertEqual(len(first.failures), 1)
        self.assertIn("version 9", str(first.failures[0].value))
        self.flushLoggedErrors()
        self.assertEqual(first.harness.server.ports, [])

    def test_noRights(self) -> None:
        """
        A node without the right to one of the commands that it needs stops, and says so, whichever it is.
        """
        for command in ("renew", "PUBLISH", "HSET", "create", "make", "claim", "HMGET"):
            first, second = self.start()
            room = self.result(second.app.createRoom("chat"))
            second.kill() if command == "claim" else None
            self.redis.fail("NOPERM this user has no permissions", command, 1000)
            first.joining(mode=command)
            first.ask(room if command == "claim" else "nix", Inspect())
            self.advance(15)
            self.redis.heal()
            self.assertEqual([str(each.value)[:6] for each in first.failures], ["NOPERM"], command)
            self.assertEqual(first.harness.server.ports, [])
            self.flushLoggedErrors()
            self.assertFalse(first.harness.server.running)

    def test_refused(self) -> None:
        """If Redis refuses this node later, the server stops."""
        (first,) = self.start(1)
        ada = first.join()
        self.redis.fail("NOPERM no", "append", 100)
        ada.send("say", 1)
        self.advance(3)
        self.assertEqual(len(first.failures), 1)
        self.flushLoggedErrors()
        self.assertEqual(first.harness.server.ports, [])

    def test_again(self) -> None:
        """A server that is started again is another node, and has its rooms back."""
        (first,) = self.start(1)
        room = self.result(first.app.createRoom("chat"))
        before = first.node.id
        first.stop()
        first.harness.start()
        self.advance(20)
        self.assertNotEqual(first.node.id, before)
        self.assertIn(room, first.node.here)
