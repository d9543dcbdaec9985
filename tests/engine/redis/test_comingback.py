"""Rooms that save their own fields, on several nodes."""

from __future__ import annotations

from typing import Any

from tests.engine.redis.nodes import NodesTestCase, TestNode
from txroom import Client, Room, message


class Counter(Room):
    """Counts exactly."""

    resumeSeconds = 60.0
    linger = 60.0
    exact = True
    count = 0
    loaded = 0

    def save(self) -> Any:
        return self.count

    def load(self, data: Any, version: int) -> None:
        self.count = data
        self.loaded += 1

    @message("add")
    def add(self, client: Client, data: int) -> int:
        self.count += data
        self.broadcast("count", self.count)
        return self.count


class ComingBackTests(NodesTestCase):
    """A room goes on at another node with its own fields."""

    roomClass = Counter

    def test_killed(self) -> None:
        """A node is killed among messages: each message counts once, and everybody hears each count once."""
        first, second = self.start()
        ada, bob = first.join(), second.join()
        for _ in range(5):
            bob.send("add", 1)
        self.advance(0.0035)
        first.kill()
        for _ in range(5):
            bob.send("add", 1)
        self.advance(15)
        (owner,) = self.whereIs(bob.id)
        room: Any = owner.app.rooms[bob.id]
        self.assertEqual((owner, room.count, room.loaded), (second, 10, 1))
        self.assertEqual(bob.messages, [("count", number) for number in range(1, 11)])
        self.assertNotIn("lost", bob.events)
        self.assertEqual(self.result(bob.calling("add", 1)), 11)
        ada.client.close()

    def test_stopped(self) -> None:
        """A node that stops saves its rooms before it gives them away."""
        first, second = self.start()
        first.join()
        bob = second.join()
        room: Any = first.app.rooms[bob.id]
        room.count = 7
        first.stop()
        self.advance(3)
        self.assertEqual(self.result(bob.calling("add", 1)), 8)

    def test_everyNode(self) -> None:
        """The last node is killed too, and started again."""
        (first,) = self.start(1)
        ada = first.join()
        self.result(ada.calling("add", 3))
        first.kill()
        (second,) = self.start(1)
        self.advance(15)
        room: Any = second.app.rooms[ada.id]
        self.assertEqual((room.count, room.isRestored, len(room.clients)), (3, True, 1))


class StrandedTests(NodesTestCase):
    """Rooms that no node can open are kept for a while."""

    roomClass = Counter

    def stranded(self, node: TestNode) -> list[Any]:
        """What a node says of the rooms that it can't open."""
        known = self.result(node.harness.server.cluster.stranded())
        return [each for each in known.rooms if each.node == node.node.id]

    def breakLoad(self) -> None:
        """From now on rooms can't be loaded."""
        self.patch(Counter, "load", lambda room, data, version: 1 / 0)

    def test_load(self) -> None:
        """A room that can't be loaded waits with its data and its members, and others can be joined."""
        first, second = self.start()
        first.join()
        bob = second.join()
        self.result(bob.calling("add", 5))
        load = Counter.load
        self.breakLoad()
        first.kill()
        self.advance(20)
        self.assertEqual(self.whereIs(bob.id), [])
        (known,) = self.stranded(second)
        self.assertEqual((known.room, known.name, known.application), (bob.id, "chat", "/rooms"))
        self.assertIn("can't be loaded", known.why)
        self.assertEqual((bob.status, bob.events), ("away", ["reconnecting"]))
        carol = second.join()
        self.assertNotEqual(carol.id, bob.id)
        self.advance(60)
        tried = len(self.flushLoggedErrors(ZeroDivisionError))
        self.assertTrue(2 <= tried <= 6, tried)
        self.patch(Counter, "load", load)
        self.advance(85)
        self.assertEqual((self.whereIs(bob.id), self.stranded(second)), ([second], []))
        self.assertEqual((bob.events, bob.room.status), (["reconnecting", "recovered"], "joined"))
        self.assertEqual(self.result(bob.calling("add", 1)), 6)
        self.assertNotIn(b"stranded", self.redis.fields(f"txr:{{{bob.id}}}".encode()))

    def test_another(self) -> None:
        """Another node may be able to load it."""
        first, second, third = self.start(3)
        first.join()
        bob = second.join()
        load = Counter.load

        def loads(room: Any, data: Any, version: int) -> None:
            if room.application is second.app:
                raise ValueError("not here")
            load(room, data, version)

        self.patch(Counter, "load", loads)
        first.kill()
        self.advance(60)
        self.assertEqual((self.whereIs(bob.id), self.stranded(second)), ([third], []))
        self.assertNotIn(b"stranded", self.redis.fields(f"txr:{{{bob.id}}}".encode()))
        self.flushLoggedErrors(ValueError)

    def test_leftOver(self) -> None:
        """If a former time is left over in Redis, a room that has been open since is not deleted."""
        self.orphanSeconds = 1000.0
        first, second = self.start()
        first.join()
        bob = second.join()
        room = bob.id
        key, began = f"txr:{{{room}}}".encode(), b"%d" % self.redis.store.now
        self.redis.store.doHSET(key, b"stranded", began, b"tried", began)
        self.advance(2000)
        load = Counter.load
        self.breakLoad()
        first.kill()
        self.advance(100)
        self.patch(Counter, "load", load)
        self.advance(300)
        self.assertEqual((self.whereIs(room), bob.id), ([second], room))
        self.flushLoggedErrors(ZeroDivisionError)

    def test_unregistered(self) -> None:
        """A room whose name isn't registered waits too."""
        (first,) = self.start(1)
        ada = first.join()
        registration = first.app._registrations["chat"]
        first.stop()
        del first.app._registrations["chat"]
        first.harness.start()
        self.advance(20)
        (known,) = self.stranded(first)
        self.assertEqual(known.room, ada.id)
        self.assertIn("no rooms are registered as 'chat'", known.why)
        first.app._registrations["chat"] = registration
        self.advance(60)
        self.assertEqual(self.whereIs(ada.id), [first])

    def test_deleted(self) -> None:
        """It is deleted after `orphanSeconds`, if a node has tried it by then."""
        (first,) = self.start(1)
        ada = first.join()
        self.breakLoad()
        first.kill()
        self.advance(200)
        self.orphanSeconds = 100.0
        (second,) = self.start(1)
        self.advance(15)
        (known,) = self.stranded(second)
        self.assertEqual(known.room, ada.id)
        self.advance(80)
        self.assertEqual(len(self.stranded(second)), 1)
        self.advance(200)
        self.assertEqual(self.stranded(second), [])
        self.assertEqual(self.redis.fields(f"txr:{{{ada.id}}}".encode()), {})
        self.assertEqual(self.result(second.app.query("chat")), [])
        self.flushLoggedErrors(ZeroDivisionError)

    def checkUnreadable(self, field: bytes, value: bytes | None) -> None:
        """A field of a room is wrong: the room is kept, listed, and deleted after `orphanSeconds`."""
        self.orphanSeconds = 100.0
        (first,) = self.start(1)
        ada, bob = first.join(), first.join(mode="other")
        key = f"txr:{{{ada.id}}}".encode()
        first.kill()
        if value is None:
            del self.redis.store.keys[key][field]
        else:
            self.redis.store.keys[key][field] = value
        (second,) = self.start(1)
        self.advance(60)
        (known,) = self.stranded(second)
        self.assertEqual(known.room, ada.id)
        self.assertIn(b"stranded", self.redis.fields(key))
        self.assertEqual(self.whereIs(bob.id), [second])
        self.advance(300)
        self.assertEqual((self.stranded(second), self.redis.fields(key)), ([], {}))
        self.assertEqual(self.result(second.app.query("chat")), [])

    def test_notDeleted(self) -> None:
        """While Redis refuses to delete it, it stays listed; nodes try again."""
        self.orphanSeconds = 100.0
        (first,) = self.start(1)
        key = f"txr:{{{first.join().id}}}".encode()
        first.kill()
        self.redis.store.keys[key][b"l"] = b"\xc1"
        (second,) = self.start(1)
        self.redis.fail("FENCED the room has another owner", "release", 1000)
        self.advance(360)
        self.assertEqual(len(self.stranded(second)), 1)
        self.assertIn(b"tok", self.redis.fields(key))
        self.redis.heal()
        self.advance(20)
        self.assertEqual((self.stranded(second), self.redis.fields(key)), ([], {}))

    def test_unreadableMember(self) -> None:
        """A record can't be read."""
        self.checkUnreadable(b"m:x", b"\xc1")

    def test_unreadableListing(self) -> None:
        """The listing can't be read."""
        self.checkUnreadable(b"l", b"\xc1")

    def test_noApplication(self) -> None:
        """The application is missing."""
        self.checkUnreadable(b"app", None)

    def test_noCount(self) -> None:
        """The number of records is missing."""
        self.checkUnreadable(b"seq", None)

    def test_otherVersion(self) -> None:
        """The data has a version that this server can't read."""
        self.checkUnreadable(b"v", b"9")
