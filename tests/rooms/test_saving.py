"""Rooms that save their own fields, and come back with them at the next owner."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent

from tests.rooms.case import NotingRoom, Player, RoomTestCase, hostOf, onRedisToo
from txroom import Client, Room, RoomError, message
from txroom.rooms.contract.records import Checkpoint


class Counter(NotingRoom):
    """Counts, and saves the count."""

    autoDispose = False
    resumeSeconds = 60.0
    saveSeconds = 0.0
    count = 0
    #: What `save` does instead, if it is set.
    fault: Any = None

    def save(self) -> Any:
        self.events.append(("save", self.count))
        if self.fault is not None:
            return self.fault()
        return {"count": self.count}

    def load(self, data: Any, version: int) -> Any:
        self.events.append(("load", data, version, [client.id for client in self.clients]))
        self.count = data["count"]

    @message("add")
    def add(self, client: Client, data: int) -> int:
        self.count += data
        self.broadcast("added", self.count)
        return self.count

    @message("keep")
    def keep(self, client: Client, data: int) -> int:
        self.checkpoint()
        return self.add(client, data)

    @message("later")
    async def later(self, client: Client, seconds: float) -> int:
        self.checkpoint()
        self.count += 1
        await self.clock.sleep(seconds)
        self.count += 1
        return self.count


class Exact(Counter):
    """Saves after each handler."""

    exact = True


class SavingCase(RoomTestCase):
    """What the tests of saving share: an engine whose owners get lost."""

    isLagging = True
    firstRef = (1 << 32) + 1

    def saved(self, player: Player) -> Any:
        """The checkpoint that the journal has."""
        return self.engine.stored[player.room].loaded().checkpoint

    def count(self, player: Player) -> int:
        """The count that the journal has."""
        checkpoint: Checkpoint = self.saved(player)
        return int(checkpoint.data[-1])

    def loseOwner(self, player: Player, isApplied: bool = True) -> Player:
        """The owner dies; the member at the next one."""
        self.settle()
        self.engine.loseOwner(player.room, isApplied)
        self.advance(1)
        again = self.player()
        self.assertEqual(again.resume(player)[0], "joined")
        again.room = player.room
        return again


@onRedisToo
class ComingBackTests(SavingCase):
    """A room at its next owner."""

    def test_load(self) -> None:
        """`load` gets the data in place of `onCreate`, with the members; again at the owner after that."""
        self.rooms(Counter, saveVersion=3)
        ada = self.joined()
        ada.call("keep", 5, 1)
        again = self.loseOwner(ada)
        self.assertEqual(self.kinds().count("create"), 1)
        self.assertEqual(self.named("load"), [({"count": 5}, 3, [ada.joined["member"]])])
        self.assertTrue(self.room().isRestored)
        self.assertEqual(again.call("add", 1, 2)[2], 6)
        self.loseOwner(again)
        self.assertEqual(self.named("load")[1][0], {"count": 5})

    def test_fromTheBeginning(self) -> None:
        """A room that has handled nothing has a checkpoint too."""
        self.rooms(Counter)
        ada = self.joined()
        self.loseOwner(ada)
        self.assertEqual(self.named("load")[0][0], {"count": 0})

    def test_never(self) -> None:
        """Without the hooks, `onCreate` is called again."""
        self.rooms()
        ada = self.joined()
        self.loseOwner(ada)
        self.assertEqual(self.kinds().count("create"), 2)
        self.assertIsNone(self.saved(ada))

    def test_told(self) -> None:
        """With `tellErrors`, developers are told which fields begin anew at the next owner."""

        class Forgetful(NotingRoom):
            def onCreate(self, options: Any) -> None:
                self.maxClients = 5
                self.scores: dict[str, int] = {}
                self.round = 1
                self._secret = 1

        self.rooms(Forgetful)
        player, told = self.joined(), []
        for isOn in (False, True):
            self.app.tellErrors(isOn)
            with capturedLogs() as events:
                self.result(Deferred.fromCoroutine(hostOf(self.room()).move()))
            told += [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]
            player = self.loseOwner(player)
        self.assertEqual(
            told,
            [
                f"Forgetful in room chat {player.room} has no save() and load(), so these fields are not "
                "kept: scores, round"
            ],
        )

    def test_newClass(self) -> None:
        """A room that an earlier class has not saved is created again, and saved from then on."""
        self.rooms()
        ada = self.joined()
        Counter.events = self.events
        self.app.registrations["chat"].roomClass = Counter
        again = self.loseOwner(ada)
        self.assertEqual((self.kinds().count("create"), self.count(ada)), (2, 0))
        self.loseOwner(again)
        self.assertEqual(self.named("load")[0][0], {"count": 0})

    def test_timers(self) -> None:
        """Timers don't come back; ticks do."""

        class Ticking(Counter):
            tickRate = 10.0

            def onCreate(self, options: Any) -> None:
                self.clock.every(0.1, self.events.append, ("timer",))

            def onTick(self, seconds: float) -> None:
                self.events.append(("tick",))

        self.rooms(Ticking)
        ada = self.joined()
        self.advance(1)
        self.loseOwner(ada)
        self.advance(1)
        del self.events[:]
        self.advance(1)
        self.assertEqual(set(self.kinds()), {"tick"})


@onRedisToo
class HandlerTests(SavingCase):
    """Checkpoints of handlers, which are committed together with what the handlers have done."""

    def test_checkpoint(self) -> None:
        """The room is saved when the handler has ended, and only if it has asked for that."""
        self.rooms(Counter)
        ada = self.joined()
        ada.call("keep", 1, 1)
        self.assertEqual((self.count(ada), self.named("save")), (1, [0, 1]))
        ada.call("add", 1, 2)
        self.assertEqual((self.count(ada), self.named("save")), (1, [0, 1]))

    def exactly(self, isApplied: bool) -> None:
        """The owner dies when it has handled a message, which the client sends again."""
        self.rooms(Exact)
        ada = self.joined()
        ada.call("add", 1, 1)
        ada.client.send(f'["send","{ada.room}","add",1,2]')
        while self.room().count < 2:
            self.harness.advance(0.0005)
        self.engine.loseOwner(ada.room, isApplied)
        self.advance(1)
        again = self.player()
        again.resume(ada)
        handled = again.joined["handled"]
        self.assertEqual((handled, self.room().count), (2, 2) if isApplied else (1, 1))
        again.room = ada.room
        again.send("add", 1, 2)
        self.settle()
        self.assertEqual(self.room().count, 2)
        self.assertEqual([*ada.said(), *again.said()], [1, 2])

    def test_applied(self) -> None:
        """The last batch is committed: with the count, the message to all, and that it is handled."""
        self.exactly(True)

    def test_notApplied(self) -> None:
        """It isn't, and none of them is."""
        self.exactly(False)

    def test_exact(self) -> None:
        """An exact room is saved after each handler of a message, and each hook about a member."""
        self.rooms(Exact)
        ada = self.joined()
        del self.events[:]
        ada.send("add", 1, 1)
        ada.send("add", "x", 2)
        ada.send("unknown", "x", 3)
        self.assertEqual([each for each in self.kinds() if each == "save"], ["save"] * 3)
        bob = self.joined()
        bob.client.drop()
        self.settle()
        self.player().resume(bob)
        self.room().clients[1].kick()
        self.settle()
        kinds = self.kinds()[3:]
        self.assertEqual(kinds, ["join", "save", "drop", "save", "resume", "save", "leave", "save"])

    def test_asynchronous(self) -> None:
        """A handler that waits is saved when it has ended, whatever others do meanwhile."""
        self.rooms(Counter)
        ada, bob = self.joined(), self.joined()
        ada.send("later", 3, 1)
        bob.send("add", 1, 1)
        self.assertEqual(self.count(ada), 0)
        bob.call("keep", 1, 2)
        self.assertEqual(self.count(ada), 3)
        self.advance(4)
        self.assertEqual(self.count(ada), 4)

    def test_lateRoutine(self) -> None:
        """What a handler has left running is saved at once when it asks for that."""

        class Chat(Counter):
            @message("restart")
            def restart(self, client: Client, data: Any) -> None:
                async def run() -> None:
                    await self.clock.sleep(1.0)
                    self.count = 7
                    self.checkpoint()

                self.running = Deferred.fromCoroutine(run())

        self.rooms(Chat)
        ada = self.joined()
        ada.send("restart", 1, 1)
        self.advance(2)
        self.assertEqual(self.count(ada), 7)

    def test_raises(self) -> None:
        """A handler that raises has changed the room too."""

        class Chat(Counter):
            @message("fail")
            def fail(self, client: Client, data: Any) -> None:
                self.checkpoint()
                self.count = 3
                raise RoomError("no")

        self.rooms(Chat)
        ada = self.joined()
        self.assertEqual(ada.call("fail", 1, 1)[3], "no")
        self.assertEqual(self.count(ada), 3)

    def test_outside(self) -> None:
        """Other code is saved at once."""
        self.rooms(Counter)
        ada = self.joined()
        room = self.room()
        room.count = 4
        room.checkpoint()
        self.assertEqual(self.named("save"), [0, 4])
        room.fault = lambda: 1 / 0
        self.assertRaises(ZeroDivisionError, room.checkpoint)
        room.fault = None
        self.settle()
        self.assertEqual(self.count(ada), 4)

    def test_unchanged(self) -> None:
        """Data that is the same as before is not written again."""
        self.rooms(Counter)
        self.joined()
        written = hostOf(self.room()).outbox.written
        self.room().checkpoint()
        self.assertEqual(hostOf(self.room()).outbox.written, written)


@onRedisToo
class TimeTests(SavingCase):
    """Checkpoints by time."""

    def test_seconds(self) -> None:
        """A room in which something has happened is saved after `saveSeconds`."""
        self.rooms(Counter, saveSeconds=5.0)
        ada = self.joined()
        self.advance(6)
        saves = len(self.named("save"))
        ada.call("add", 2, 1)
        self.advance(4)
        self.assertEqual((self.count(ada), len(self.named("save"))), (0, saves))
        self.advance(2)
        self.assertEqual((self.count(ada), len(self.named("save"))), (2, saves + 1))
        self.advance(60)
        self.assertEqual(len(self.named("save")), saves + 1)

    def test_timer(self) -> None:
        """A timer counts as something."""
        self.rooms(Counter, saveSeconds=5.0)
        ada = self.joined()
        room = self.room()
        self.advance(6)
        room.clock.callLater(1.0, setattr, room, "count", 3)
        self.advance(7)
        self.assertEqual(self.count(ada), 3)

    def test_fails(self) -> None:
        """If the room can't be saved, that is reported and tried again."""
        self.rooms(Counter, saveSeconds=5.0)
        ada = self.joined()
        room = self.room()
        room.fault = lambda: 1 / 0
        ada.call("add", 2, 1)
        self.advance(6)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        room.fault = None
        self.advance(5)
        self.assertEqual(self.count(ada), 2)

    def test_ended(self) -> None:
        """Nothing is saved of a room that has ended."""
        self.rooms(Counter, saveSeconds=5.0)
        ada = self.joined()
        ada.call("add", 2, 1)
        self.result(self.room().disconnect())
        saves = len(self.named("save"))
        self.advance(10)
        self.assertEqual(len(self.named("save")), saves)

    def handedOver(self, fault: Any) -> Player:
        """A member whose room is about to be handed over."""
        self.rooms(Counter)
        ada = self.joined()
        ada.call("add", 2, 1)
        self.assertEqual(self.count(ada), 0)
        self.room().fault = fault
        self.result(Deferred.fromCoroutine(hostOf(self.room()).move()))
        self.loseOwner(ada)
        return ada

    def test_handedOver(self) -> None:
        """A room that is handed over is saved before."""
        self.assertEqual(self.count(self.handedOver(None)), 2)

    def test_cantBeSaved(self) -> None:
        """If that fails, the room is handed over with the data that was saved before."""
        self.assertEqual(self.count(self.handedOver(lambda: 1 / 0)), 0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


@onRedisToo
class FaultTests(SavingCase):
    """Rooms that can't be saved."""

    def fails(self, fault: Any, error: type[Exception], **options: Any) -> None:
        """`save` fails when a handler has ended; what it has sent stands, and so does the data before."""
        self.rooms(Counter, **options)
        ada = self.joined()
        ada.call("keep", 1, 1)
        ada.take()
        self.room().fault = fault
        self.assertEqual(ada.call("keep", 1, 2)[3], "internal")
        self.assertEqual(len(self.flushLoggedErrors(error)), 1)
        self.assertEqual((ada.said(), self.count(ada)), ([2], 1))
        again = self.loseOwner(ada)
        self.assertEqual((again.joined["handled"], self.room().count), (2, 1))

    def test_raises(self) -> None:
        self.fails(lambda: 1 / 0, ZeroDivisionError)

    def test_notPlain(self) -> None:
        """It returns what can't be encoded."""
        self.fails(lambda: {"room": object()}, TypeError)

    def test_tooBig(self) -> None:
        """It returns too much."""
        self.fails(lambda: "x" * 100, ValueError, maxSave=100)

    def test_asynchronous(self) -> None:
        """It returns a Deferred."""
        self.fails(lambda: Deferred(), TypeError)

    def test_noLimit(self) -> None:
        """With `maxSave=0` any size is saved; bytes may be saved."""
        self.rooms(Counter, maxSave=0)
        ada = self.joined()
        self.room().fault = lambda: b"x" * (1 << 21)
        self.room().checkpoint()
        self.settle()
        self.assertGreater(len(self.saved(ada).data), 1 << 21)

    def test_first(self) -> None:
        """A new room that can't be saved isn't created."""

        class Chat(Counter):
            def save(self) -> Any:
                raise ValueError("save")

        self.rooms(Chat)
        self.assertEqual(self.player().join()[3], "internal")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.kinds(), ["create", "dispose"])

    def test_load(self) -> None:
        """A room that can't be loaded keeps its data and its members, and is tried again later."""
        self.rooms(Exact)
        ada = self.joined()
        ada.call("add", 3, 1)
        self.patch(Exact, "load", lambda room, data, version: 1 / 0)
        self.engine.loseOwner(ada.room, True)
        self.advance(1)
        self.assertEqual(self.player().resume(ada)[3], "unavailable")
        self.assertGreaterEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.count(ada), 3)
        self.patch(Exact, "load", Counter.load)
        self.advance(6)
        again = self.player()
        again.resume(ada)
        self.assertEqual((again.joined["recovered"], again.joined["handled"]), (True, 1))
        self.assertEqual(self.room().count, 3)


class InMemoryTests(RoomTestCase):
    """In memory nothing is saved."""

    def test_never(self) -> None:
        """`save` isn't called, and no time is waited for."""
        self.rooms(Exact, saveSeconds=1.0)
        ada = self.joined()
        self.assertEqual(ada.call("keep", 1, 1)[2], 1)
        self.room().checkpoint()
        self.advance(10)
        self.assertEqual(self.named("save"), [])

    def test_noHooks(self) -> None:
        """A class without the hooks can't take checkpoints."""
        self.rooms()
        self.joined()
        error = self.assertRaises(TypeError, self.room().checkpoint)
        self.assertIn("NotingRoom.checkpoint(): the class must have", str(error))

    def test_registration(self) -> None:
        """Classes with one of the hooks, and exact ones with none."""

        class OnlySave(Room):
            def save(self) -> Any:
                return None

        class OnlyLoad(Room):
            def load(self, data: Any, version: int) -> Any:
                return None

        class Async(Counter):
            async def save(self) -> Any:
                return None

        class Careless(Room):
            exact = True

        class WithoutVersion(Counter):
            def load(self, data: Any) -> Any:  # type: ignore[override]
                return None

        self.rooms()
        for roomClass, text in (
            (OnlySave, "must have both save() and load()"),
            (OnlyLoad, "must have both save() and load()"),
            (Async, "save can't be async"),
            (Careless, "exact=True: must have save() and load()"),
            (WithoutVersion, "def load(self, data, version)"),
        ):
            error = self.assertRaises(TypeError, self.app.register, roomClass.__name__, roomClass)
            self.assertIn(text, str(error))
