"""How a room begins: from `onCreate` until it is open everything is one step, which disposes if it fails."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from tests.rooms.case import NotingRoom, RoomTestCase, onBothEngines
from txroom import Client, History, Room, RoomApplication, RoomError, message
from txroom.rooms.api.settings import SETTINGS
from txroom.rooms.contract.records import Entry
from txroom.rooms.hooks import HookTimeout
from txroom.rooms.owner.host import Host
from txroom.rooms.owner.messagelog import MessageLog

#: For each setting something that it can't be.
WRONG: dict[str, Any] = {
    "maxClients": "4",
    "autoDispose": 1,
    "linger": -1.0,
    "seatSeconds": None,
    "history": 10,
    "resumeSeconds": "30",
    "recoveryLimit": 2.5,
    "recoverySize": True,
    "presence": "yes",
    "presenceSeconds": -0.1,
    "presenceLimit": 1.5,
    "handlerTimeout": float("inf"),
    "messageRate": float("nan"),
    "messageBurst": -1,
    "binary": 0,
    "tickRate": "20",
    "saveVersion": 1.5,
    "saveSeconds": -1,
    "maxSave": "1 MiB",
    "maxState": "1 MiB",
    "patchRate": "20",
    "exact": 1,
}


class Fussy(NotingRoom):
    """Sets what its options say."""

    def onCreate(self, options: Any) -> None:
        super().onCreate(options)
        for name, value in options.get("settings", {}).items():
            setattr(self, name, value)

    @message("set")
    def set(self, client: Client, data: dict[str, Any]) -> None:
        for name, value in data.items():
            setattr(self, name, value)


@onBothEngines
class FailureTests(RoomTestCase):
    """Whatever fails, there is no room, nothing of it is left, and its name is free again."""

    def check(self, code: str = "internal", /, **options: Any) -> None:
        """A join that fails with that, again and again, and after it one that doesn't."""
        for _ in range(3):
            answer = self.player().join(**options)
            self.assertEqual((answer[0], answer[3]), ("error", code), answer)
        self.advance(1)
        self.assertEqual((list(self.app.rooms), self.app.rooms.named("chat")), ([], []))
        self.assertEqual(self.player().join()[0], "joined")

    def test_settings(self) -> None:
        """One that can't be so is an error where it is set, which names it."""
        self.assertEqual(sorted(WRONG), sorted(SETTINGS))
        wrong: dict[str, Any] = {}

        class Wrong(NotingRoom):
            def onCreate(self, options: Any) -> None:
                if options:
                    setattr(self, options["name"], wrong["value"])

        for name, wrong["value"] in WRONG.items():
            self.rooms(Wrong, maxRooms=2)
            self.check(name=name)
            errors = [str(error.value) for error in self.flushLoggedErrors(ValueError)]
            self.assertEqual(
                errors, [f"Wrong.{name}={wrong['value']!r}: must be {SETTINGS[name].allowed}"] * 3
            )

    def test_settingsOfClass(self) -> None:
        """Those that come some other way are looked at when onCreate is over, which is disposed of then."""

        class Odd(NotingRoom):
            def onCreate(self, options: Any) -> None:
                super().onCreate(options)
                if options:
                    self.__dict__["linger"] = "1"

        self.rooms(Odd, maxRooms=1)
        self.check(odd=True)
        self.assertEqual(self.kinds()[:6], ["create", "dispose"] * 3)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)

    def test_settingsLater(self) -> None:
        """A handler that gets one wrong has the error; the room goes on with what it had."""
        self.rooms(Fussy)
        ada = self.joined()
        for name in ("maxClients", "resumeSeconds", "linger"):
            self.assertEqual(ada.call("set", {name: "4"})[3], "internal")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)
        ada.client.drop()
        self.advance(40)
        self.assertEqual(self.kinds(), ["create", "join", "drop", "leave", "dispose"])

    def test_raised(self) -> None:
        """`onCreate` that raises has made nothing that could be disposed of; what it began is over."""

        class Broken(NotingRoom):
            def onCreate(self, options: Any) -> Any:
                self.clock.every(1.0, self.events.append, ("tick",))
                self.broadcast("said", "hello")
                if options:
                    raise ValueError("broken")

        self.rooms(Broken, maxRooms=1)
        self.check(broken=True)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)
        self.assertNotIn("dispose", self.kinds())

    def test_refused(self) -> None:
        """A `RoomError` is what the client is told."""

        class Picky(NotingRoom):
            def onCreate(self, options: Any) -> Any:
                if options:
                    raise RoomError("no")

        self.rooms(Picky, maxRooms=1)
        self.check("no", a=1)

    def test_late(self) -> None:
        """One that takes too long is cancelled, and logged."""

        class Late(NotingRoom):
            handlerTimeout = 0.1

            def onCreate(self, options: Any) -> Any:
                return Deferred() if options else None

        self.rooms(Late, maxRooms=1)
        player = self.player()
        player.write("join", 1, "chat", {"late": True})
        self.advance(1)
        self.assertEqual([frame[3] for frame in player.take("error")], ["timeout"])
        self.assertEqual(len(self.flushLoggedErrors(HookTimeout)), 1)
        self.assertEqual(self.player().join()[0], "joined")

    def test_constructor(self) -> None:
        """A room that can't even be constructed is no room."""

        class Unmade(NotingRoom):
            isWrong = True

            def __init__(self) -> None:
                if self.isWrong:
                    raise ValueError("no")

        self.rooms(Unmade, maxRooms=1)
        for _ in range(2):
            self.assertEqual(self.player().join()[3], "internal")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
        Unmade.isWrong = False
        self.assertEqual(self.player().join()[0], "joined")

    def test_engine(self) -> None:
        """So it is when the engine can't, at whichever step."""
        for step in ("claim", "publish"):
            self.rooms(maxRooms=1)

            def broken(*args: Any) -> Any:
                raise OSError("no")

            patch = self.patch(self.engine, step, broken)
            player = self.player()
            self.assertEqual(player.join()[3], "internal")
            self.assertEqual(list(self.app.rooms), [])
            patch.restore()
            self.assertEqual(self.player().join()[0], "joined")
            self.assertEqual(self.kinds().count("dispose"), step == "publish")
            self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_createRoom(self) -> None:
        """The server's own code is told, too."""
        self.rooms(Fussy, maxRooms=1)
        failure = self.result(self.app.createRoom("chat", {"settings": {"maxClients": "x"}}))
        self.assertEqual(failure.value.code, "internal")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(list(self.app.rooms), [])

    def test_dispose(self) -> None:
        """A Deferred for the end of a room that never was fires."""

        class Closing(NotingRoom):
            def onCreate(self, options: Any) -> Any:
                self.events.append(("ended", self.disconnect()))
                raise ValueError("no")

        self.rooms(Closing)
        self.assertEqual(self.player().join()[0], "error")
        self.successResultOf(self.named("ended")[0])
        self.flushLoggedErrors(ValueError)


@onBothEngines
class SettingTests(RoomTestCase):
    """What `onCreate` sets counts, also what was read before in other rooms."""

    def test_history(self) -> None:
        """Newcomers are shown what the history says that it made, onCreate's own messages among it."""

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> None:
                self.broadcast("said", "first")
                self.history = History(limit=3, onJoin=2)
                self.broadcast("said", "second")

        self.rooms(Chat)
        ada = self.joined()
        ada.send("tell", "ada alone")
        ada.send("say", "third")
        bob = self.player()
        bob.join()
        self.assertEqual(bob.said(), ["second", "third"])
        self.assertEqual([past.data for past in self.room().messages], ["first", "second", "third"])

    def test_forgotten(self) -> None:
        """One that it takes back is none."""

        class Chat(NotingRoom):
            history: History | None = History(limit=3, onJoin=2)

            def onCreate(self, options: Any) -> None:
                self.broadcast("said", "first")
                self.history = None

        self.rooms(Chat)
        ada = self.player()
        ada.join()
        self.assertEqual((ada.said(), self.room().messages), ([], []))

    def test_recovery(self) -> None:
        """How long, and how much, is kept for those who return."""

        class Chat(NotingRoom):
            linger = 10_000.0

            def onCreate(self, options: Any) -> None:
                self.resumeSeconds = 600.0
                self.recoveryLimit = options["limit"]

        for limit, isRecovered in ((100, True), (1, False)):
            self.rooms(Chat)
            ada, bob = self.joined(limit=limit), self.joined(limit=limit)
            ada.client.drop()
            self.settle()
            bob.send("say", 1)
            self.advance(300)
            bob.send("say", 2)
            answer = self.player().resume(ada)
            self.assertEqual((answer[0], answer[3]["recovered"]), ("joined", isRecovered))

    def test_ticks(self) -> None:
        """It ticks as fast as it says then."""

        class Ticking(NotingRoom):
            def onCreate(self, options: Any) -> None:
                self.tickRate = 10.0

            def onTick(self, seconds: float) -> None:
                self.events.append(("tick", seconds))

        self.rooms(Ticking)
        self.joined()
        before = len(self.named("tick"))
        for _ in range(22):
            self.advance(0.05)
        self.assertTrue(len(self.named("tick")) >= before + 10)


class LogTests(SynchronousTestCase):
    """The bounds of a log that has something in it already."""

    def test_bound(self) -> None:
        """Less is kept of what is there, and what is gone is known to be gone."""
        log = MessageLog(History(limit=10, onJoin=10), 60, 100, 1 << 20)
        for offset in range(1, 6):
            log.append(Entry(offset, "said", b"\x01", ("a",) if offset == 5 else None, at=float(offset)))
        log.bound(History(limit=2, onJoin=2), 60, 3, 1 << 20, 6.0)
        self.assertEqual([entry.offset for entry in log.history(6.0)], [3, 4])
        self.assertIsNone(log.missed(1, "a"))
        self.assertEqual([entry.offset for entry in log.missed(2, "a") or ()], [3, 4, 5])
        log.bound(None, 2.5, 0, 0, 7.0)
        self.assertEqual((log.history(7.0), log.forNewcomer(9, 7.0)), ([], []))
        self.assertEqual([entry.offset for entry in log.missed(4, "a") or ()], [5])


@onBothEngines
class ListenerTests(RoomTestCase):
    """Those who listen to a registration are told when what happened is over."""

    def test_closedByListener(self) -> None:
        """One that closes the room as it is made leaves nothing."""
        self.rooms()
        self.app.registrations["chat"].on("create", lambda room: room.disconnect() and None)
        room = self.result(self.app.createRoom("chat"))
        self.assertIsInstance(room, str)
        self.advance(0.1)
        self.assertEqual((self.kinds(), list(self.app.rooms)), (["create", "dispose"], []))
        self.assertEqual([call for call in self.harness.clock.getDelayedCalls() if "_end" in str(call)], [])

    def test_order(self) -> None:
        """Each sees the room as it is then, and what one of them does is in nobody's way."""
        self.rooms(maxClients=1)
        told: list[tuple[Any, ...]] = []
        registration = self.app.registrations["chat"]
        for event in ("create", "join", "lock", "leave", "unlock", "dispose"):
            registration.on(event, lambda room, *rest, event=event: told.append((event, room.isLocked)))
        registration.on("lock", lambda room: room.clients[0].kick("full"))
        ada = self.player()
        self.assertEqual(ada.join()[0], "joined")
        self.advance(5)
        self.assertEqual([kind for kind, _ in told], ["create", "lock", "join", "unlock", "leave", "dispose"])
        self.assertEqual((ada.endings, self.kinds()[-2:]), ([4003], ["leave", "dispose"]))

    def test_bornLocked(self) -> None:
        """A room that is locked from the first is listed as such."""

        class Locked(NotingRoom):
            def onCreate(self, options: Any) -> None:
                self.lock()

        self.rooms(Locked)
        room = self.result(self.app.createRoom("chat"))
        self.settle()
        (listing,) = self.result(self.app.query("chat"))
        self.assertEqual((listing.room, listing.isLocked), (room, True))


class StopTests(RoomTestCase):
    """A stop is for every room, whatever becomes of one of them."""

    def test_oneFails(self) -> None:
        """The others are disposed of."""

        class Lasting(NotingRoom):
            autoDispose = False

        self.rooms(Lasting)
        hosts = [self.app.rooms[self.result(self.app.createRoom("chat"))]._host for _ in range(3)]

        dispose = Host.dispose

        def broken(host: Any, *args: Any) -> Any:
            if host is hosts[0]:
                raise OSError("no")
            return fail(OSError("no")) if host is hosts[1] else dispose(host, *args)

        patch = self.patch(Host, "dispose", broken)
        self.result(self.app.stop())
        self.assertEqual(self.named("dispose"), [hosts[2].id])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        patch.restore()

    def test_waits(self) -> None:
        """It waits for an onDispose that runs already."""
        gate: Deferred[None] = Deferred()

        class Slow(NotingRoom):
            def onDispose(self) -> Any:
                return gate

        self.rooms(Slow, autoDispose=False)
        self.result(self.app.createRoom("chat"))
        self.room().disconnect()
        self.settle()
        stopped = self.app.stop()
        self.settle()
        self.assertNoResult(stopped)
        gate.callback(None)
        self.settle()
        self.successResultOf(stopped)


class UnregisteredTests(SynchronousTestCase):
    """The same table holds where a room is registered."""

    def test_register(self) -> None:
        """What a class or an option says is looked at there."""
        for name, value in WRONG.items():
            wrong = type("Wrong", (Room,), {name: value})
            for roomClass, options in ((wrong, {}), (Room, {name: value})):
                error = self.assertRaises(ValueError, RoomApplication().register, "a", roomClass, **options)
                text = f"{roomClass.__name__}.{name}={value!r}: must be {SETTINGS[name].allowed}"
                self.assertEqual(str(error), text)
