"""Commands that are carried out only once."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from tests.rooms.case import NotingRoom, RoomTestCase, hostOf, onBothEngines
from txroom import RoomError
from txroom.engine import memory
from txroom.engine.redis import stored
from txroom.protocol import payload
from txroom.rooms.contract.asks import (
    Dispose,
    Inspect,
    Keyed,
    Kick,
    Lock,
    Once,
    Reserve,
    SendTo,
    SetMetadata,
)
from txroom.rooms.owner import keptanswers
from txroom.service.cluster import Cluster
from txroom.service.nodecalls import NodeFunctions

NEWS = SendTo("news", payload.encode("x"))
RUNNING = {"idempotency": "running", "mayHaveHappened": True}


def once(command: Any, key: str = "k", digest: bytes = b"d") -> Keyed:
    """The command, with a key."""
    return Keyed(Once(key, digest), command)


class OnceTests(SynchronousTestCase):
    """The bounds of keys."""

    def test_bounds(self) -> None:
        """A key has up to 255 characters, and a digest up to 64 bytes; neither is empty."""
        for key, digest in (("", b"d"), ("k" * 256, b"d"), ("k", b""), ("k", b"d" * 65)):
            self.assertRaises(ValueError, Once, key, digest)
        Once("k" * 255, b"d" * 64)


@onBothEngines
class KeptAnswersTests(RoomTestCase):
    """On each engine."""

    def begin(self, **options: Any) -> str:
        """A room without members that stays; its id."""
        self.rooms(autoDispose=False, **options)
        room: str = self.result(self.app.createRoom("chat"))
        return room

    def ask(self, command: Any, room: str = "") -> Any:
        """What the room answers, or the error."""
        answer = self.result(self.engine.ask(room or self.room().id, command))
        return getattr(answer, "value", answer)

    def detailsOf(self, command: Any) -> Any:
        """The details of the error."""
        error = self.ask(command)
        self.assertIsInstance(error, RoomError)
        return error.details

    def test_again(self) -> None:
        """The answer is the same each time, and the command is carried out once."""
        self.begin()
        for _ in range(3):
            self.assertEqual(self.ask(once(NEWS)), 1)
        self.assertEqual(self.room().offset, 1)
        self.assertEqual(self.ask(once(NEWS, "other")), 2)
        seat = self.ask(once(Reserve(), "seat"))
        self.assertEqual([self.ask(once(Reserve(), "seat")) for _ in range(2)], [seat] * 2)
        self.assertEqual(len(hostOf(self.room()).roster.reservations), 1)

    def test_each(self) -> None:
        """What another command has changed meanwhile stays as it is."""
        room = self.begin()
        ada = self.player()
        ada.ask("joinById", room, {})
        first = ada.joined["member"]
        for key, command, undo, answer in (
            ("lock", Lock(), Lock(False), None),
            ("metadata", SetMetadata({"a": 1}), SetMetadata({}), None),
            ("kick", Kick(first), Lock(False), 1),
        ):
            self.assertEqual(self.ask(once(command, key)), answer)
            self.ask(undo)
            self.assertEqual(self.ask(once(command, key)), answer)
        self.assertEqual((self.room().isLocked, self.room().metadata), (False, {}))

    def test_reused(self) -> None:
        """A key belongs to one command."""
        self.begin()
        self.ask(once(NEWS))
        self.assertEqual(self.detailsOf(once(NEWS, digest=b"e")), {"idempotency": "reused"})
        self.assertEqual(self.room().offset, 1)

    def test_running(self) -> None:
        """While the first one isn't committed, others with its key are refused."""
        self.begin()
        host = hostOf(self.room())
        first, second = fired(host.ask(once(NEWS))), fired(host.ask(once(NEWS)))
        other = self.failureResultOf(host.ask(once(NEWS, digest=b"e")), RoomError).value
        if self.isLagging:
            self.assertEqual((first, second[0].value.details), ([], RUNNING))
        else:
            self.assertEqual((first, second), ([1], [1]))
        self.assertEqual(other.details, {"idempotency": "reused"})
        self.settle()
        self.assertEqual((first, self.ask(once(NEWS)), self.room().offset), ([1], 1, 1))

    def test_failed(self) -> None:
        """A command that has failed may be repeated."""
        room = self.begin(maxClients=1)
        ada = self.player()
        ada.ask("joinById", room, {})
        self.assertEqual(self.ask(once(Reserve())).code, "full")
        ada.write("leave", 9, room)
        self.assertIsInstance(self.ask(once(Reserve())), str)

    def test_disposed(self) -> None:
        """The answers end with the room."""
        room = self.begin()
        self.assertIsNone(self.ask(once(Dispose())))
        self.assertEqual(self.ask(once(Dispose()), room).code, "noSuchRoom")

    def test_disposedNot(self) -> None:
        """If the owner is lost before the room is deleted, the same command ends it at the next owner."""
        if not self.isLagging:
            return
        gate: Deferred[None] = Deferred()
        self.patch(NotingRoom, "onDispose", lambda room: gate)
        room = self.begin()
        answers = fired(hostOf(self.room()).ask(once(Dispose())))
        self.settle()
        self.assertEqual(answers, [])
        self.engine.loseOwner(room, True)
        gate.callback(None)
        self.settle()
        self.assertEqual(answers[0].value.details, {"mayHaveHappened": True})
        self.patch(NotingRoom, "onDispose", lambda room: None)
        self.assertIsNone(self.ask(once(Dispose()), room))
        self.assertEqual(self.ask(once(Dispose()), room).code, "noSuchRoom")

    def test_lost(self) -> None:
        """
        The owner is lost before or after the command was committed, and nobody is told: it is carried out
        once, by one owner or the next.
        """
        if not self.isLagging:
            return
        room = self.begin()
        for offset, isApplied in ((1, True), (2, False), (3, True)):
            command = once(NEWS, f"key {offset}")
            answers = fired(hostOf(self.room()).ask(command))
            self.engine.loseOwner(room, isApplied)
            self.settle()
            self.assertEqual(answers[0].value.details, {"mayHaveHappened": True})
            self.assertEqual([self.ask(command, room) for _ in range(2)], [offset] * 2)
            self.assertEqual(self.room().offset, offset)

    def test_restarted(self) -> None:
        """The next owner has the answers, with their ages."""
        room = self.begin()
        self.patch(keptanswers, "KEPT_SECONDS", 60.0)
        self.ask(once(NEWS))
        self.advance(40)
        if self.isLagging:
            self.engine.loseOwner(room, True)
            self.settle()
        else:
            host = hostOf(self.room())
            self.successResultOf(self.engine.restart(room, host.log.epoch, host.everything()))
        self.assertEqual(self.ask(once(NEWS), room), 1)
        self.assertEqual(self.detailsOf(once(NEWS, digest=b"e")), {"idempotency": "reused"})
        self.advance(20)
        self.assertEqual(self.ask(once(NEWS, digest=b"e")), 2)

    def test_refounded(self) -> None:
        """A room that is founded again still has them."""
        if not self.isLagging or self.isOnRedis:
            return
        room = self.begin()
        self.ask(once(NEWS))
        uncommitted = once(NEWS, "other")
        hostOf(self.room()).ask(uncommitted)
        self.engine.refound(room)
        self.settle()
        self.engine.loseOwner(room, True)
        self.settle()
        self.assertEqual([self.ask(once(NEWS), room), self.ask(uncommitted)], [1, 2])
        self.assertEqual(self.room().offset, 2)

    def cluster(self) -> Cluster:
        """The cluster."""
        engine: Any = None
        return Cluster(
            lambda: engine, lambda: [self.app], self.harness.clock, NodeFunctions(self.harness.clock)
        )

    def create(self, key: str = "k", digest: bytes = b"d", name: str = "chat") -> Any:
        """The id of the room that a request with a key has created, or the error."""
        answer = self.result(self.cluster().create(name, {}, Once(key, digest)))
        return getattr(answer, "value", answer)

    def test_create(self) -> None:
        """A room is created once, and its key belongs to it."""
        self.rooms(autoDispose=False)
        rooms = {self.create() for _ in range(3)}
        self.assertEqual(rooms, {self.room().id})
        self.assertEqual(self.create(digest=b"e").details, {"idempotency": "reused"})
        self.assertNotIn(self.create("other"), rooms)
        self.app.register("other name", NotingRoom)
        self.assertEqual(self.create(name="other name").details, {"idempotency": "reused"})
        self.assertEqual(len(self.app.rooms), 2)

    def test_createAtOnce(self) -> None:
        """While the room is being created, other requests are refused."""

        class Slow(NotingRoom):
            async def onCreate(self, options: Any) -> None:
                await self.clock.sleep(3)

        self.rooms(Slow, autoDispose=False)
        cluster = self.cluster()
        self.app.register("other name", Slow)
        first, second = (fired(cluster.create("chat", {}, Once("k", b"d"))) for _ in range(2))
        self.settle()
        third, named = self.create(), self.create(name="other name")
        self.advance(3)
        (room,) = self.app.rooms
        self.assertEqual((first, self.create()), ([room], room))
        for error in (second[0].value, third, named):
            self.assertEqual((error.code, error.details), ("unavailable", RUNNING))

    def test_createdBefore(self) -> None:
        """The next owner knows the request that the room was created by."""
        if not self.isLagging:
            return
        self.rooms(autoDispose=False)
        room = self.create()
        for _ in range(2):
            self.engine.loseOwner(room, True)
            self.settle()
            self.ask(Inspect(), room)
            self.assertEqual(self.create(), room)
            self.assertEqual(self.create(digest=b"e").details, {"idempotency": "reused"})
        if not self.isOnRedis:
            self.engine.refound(room)
            self.settle()
            self.engine.loseOwner(room, True)
            self.settle()
            self.ask(Inspect(), room)
            self.assertEqual(self.create(), room)

    def test_createFailed(self) -> None:
        """A request that has failed may be repeated at once, as often as it fails."""

        class Failing(NotingRoom):
            def onCreate(self, options: Any) -> None:
                self.events.append(("create",))
                if len(self.events) < 4:
                    raise RoomError("full")

        self.rooms(Failing, autoDispose=False)
        self.assertEqual([self.create().code for _ in range(3)], ["full"] * 3)
        room = self.create()
        self.assertEqual(room, self.room().id)
        self.ask(Dispose(), room)
        self.settle()
        self.assertEqual(self.create().code, "roomGone")

    def test_createdAndEnded(self) -> None:
        """For a day after the room has ended its key is of no use."""
        self.patch(stored, "KEYED_MILLISECONDS", 60_000)
        self.patch(memory, "KEPT_SECONDS", 60.0)
        self.rooms(autoDispose=False)
        rooms = [self.create(), self.create("other")]
        self.ask(Dispose(), rooms[0])
        self.settle()
        self.assertEqual([self.create().code, self.create(digest=b"e").code], ["roomGone"] * 2)
        self.advance(50)
        self.assertEqual((self.create().code, self.create("other")), ("roomGone", rooms[1]))
        if self.isLagging and not self.isOnRedis:
            return
        self.advance(10)
        self.assertEqual(self.create(digest=b"e"), rooms[0])

    def kept(self) -> tuple[str, ...]:
        """The keys of the answers, in the journal too if there is one."""
        host = hostOf(self.room())
        keys = tuple(each.key for each in host.everything().answered)
        if self.isLagging:
            stored = self.engine.stored[host.id].loaded().answered
            self.assertEqual({each.key for each in stored}, set(keys))
        return keys

    def test_forgotten(self) -> None:
        """After a day, and if there are too many or too large ones, the oldest are forgotten."""
        self.begin()
        self.patch(keptanswers, "KEPT_SECONDS", 60.0)
        self.patch(keptanswers, "FORGOTTEN_AT_ONCE", 2)
        for key in "abc":
            self.ask(once(NEWS, key))
        self.advance(60)
        self.assertEqual(self.ask(once(NEWS, "d")), 4)
        self.assertEqual(self.kept(), ("c", "d"))
        self.assertEqual((self.ask(once(NEWS, "c")), self.kept()), (5, ("d", "c")))
        self.patch(keptanswers, "MAX_ANSWERS", 3)
        for key in "ef":
            self.ask(once(NEWS, key))
        self.assertEqual(self.kept(), ("c", "e", "f"))
        self.patch(keptanswers, "MAX_BYTES", 2 * (keptanswers.OVERHEAD + 100 + 1 + 1))
        self.ask(once(NEWS, "g" * 100))
        self.assertEqual(self.kept(), ("f", "g" * 100))
        self.ask(once(NEWS, "h" * 255))
        self.assertEqual(self.kept(), ("h" * 255,))
        self.assertEqual(self.ask(once(NEWS, "f")), 10)
