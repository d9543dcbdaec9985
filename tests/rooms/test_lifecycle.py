"""The life of a room and of its members, step by step."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs, formatEvent

from tests.rooms.case import NotingRoom, Player, RoomTestCase, onBothEngines
from txroom import Client, CloseCode, LeaveReason, RoomError, message
from txroom.rooms.hooks import Escaped
from txroom.rooms.owner.runner import FAILED


@onBothEngines
class OrderTests(RoomTestCase):
    """Hooks and frames come in the order that is promised."""

    def test_frames(self) -> None:
        """`joined`, then what onJoin sent; the others hear of it by presence."""

        class Chat(NotingRoom):
            presence = True

            def onJoin(self, client: Client, options: Any) -> None:
                self.broadcast("welcome", options["name"])

        self.rooms(Chat)
        ada = self.joined(name="ada")
        self.assertEqual([frame[0] for frame in ada.frames], ["joined", "msg"])
        self.assertEqual(ada.joined["offset"], 0)
        bob = self.player()
        bob.join(name="bob")
        self.assertEqual([frame[0] for frame in bob.frames], ["joined", "msg"])
        self.assertEqual(bob.joined["offset"], 1)
        self.assertEqual([len(one["metas"]) for one in bob.joined["members"]], [1, 1])
        self.assertEqual([frame[0] for frame in ada.take()], ["msg", "presence"])

    def test_hooks(self) -> None:
        """Each hook comes once, in order, onDispose last."""
        self.rooms()
        ada = self.joined(x=1)
        ada.ask("leave", ada.room)
        self.advance(5)
        self.assertEqual(self.kinds(), ["create", "join", "leave", "dispose"])
        self.assertEqual(self.named("leave"), ["left"])
        self.assertEqual(len(self.app.rooms), 0)

    def test_options(self) -> None:
        """The server's options win; the room sees one frozen mapping."""
        self.rooms(topic="x")
        ada = self.joined(topic="y", mode="z")
        self.assertEqual(self.named("create"), [{"topic": "x", "mode": "z"}])
        self.assertEqual(self.named("join"), [{"topic": "y", "mode": "z"}])
        with self.assertRaises(TypeError):
            self.room(ada).options["topic"] = "z"

    def test_messagesDuringJoin(self) -> None:
        """What is said while onJoin runs comes after `joined`, in order and once."""
        gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            def onJoin(self, client: Client, options: Any) -> Any:
                if not options.get("wait"):
                    return None
                client.send("early", 1)
                self.broadcast("chosen", to=lambda client: True)
                return gate.addCallback(lambda _: client.send("late", 2))

        self.rooms(Chat)
        ada = self.joined()
        bob = self.player()
        bob.write("join", 1, "chat", {"wait": True})
        ada.send("say", "meanwhile")
        self.assertEqual(bob.frames, [])
        gate.callback(None)
        self.settle()
        self.assertEqual([frame[3] for frame in bob.take("msg")], ["early", "chosen", "said", "late"])

    def test_beforeJoining(self) -> None:
        """What was said before onJoin is nothing that a newcomer has missed."""
        gate: Deferred[bool] = Deferred()

        class Chat(NotingRoom):
            def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
                return gate if options else True

        self.rooms(Chat)
        ada, bob = self.joined(), self.player()
        bob.write("join", 1, "chat", {"wait": True})
        ada.send("say", "before")
        gate.callback(True)
        self.settle()
        (answer,) = bob.take()
        self.assertEqual((answer[0], answer[3]["offset"]), ("joined", 1))

    def test_sentInOnAuth(self) -> None:
        """It comes when the client has joined, and not if it is refused."""

        class Chat(NotingRoom):
            def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
                self.events.append(("sent", client.send("hello", 1)))
                self.broadcast("said", "not for it")
                return options["may"]

            def onJoin(self, client: Client, options: Any) -> None:
                self.events.append(("sent", client.send("hello", 2)))

        self.rooms(Chat)
        ada = self.player()
        ada.join(may=True)
        self.assertEqual([frame[2:] for frame in ada.take("msg")], [[2, "hello", 1], [3, "hello", 2]])
        self.assertEqual(self.named("sent"), [None, 3])
        self.assertEqual(self.player().ask("joinById", ada.room, {"may": False})[3], "unauthorized")
        self.assertEqual(self.room().offset, 4)

    def test_twice(self) -> None:
        """A client that asks twice while it is let in is answered twice, and is in once."""
        gate: Deferred[bool] = Deferred()

        class Chat(NotingRoom):
            def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
                return gate if options else True

        self.rooms(Chat)
        ada, bob = self.joined(), self.player()
        for ref in (1, 2):
            bob.write("joinById", ref, ada.room, {"wait": True})
        gate.callback(True)
        self.settle()
        answers = bob.take("joined")
        self.assertEqual([answer[1] for answer in answers], [1, 2])
        self.assertEqual(len({answer[3]["member"] for answer in answers}), 1)
        self.assertEqual(self.kinds(), ["create", "join", "join"])

    def test_goodbyeWhileJoining(self) -> None:
        """Each request to join is answered before the goodbye, and what comes after it is not read."""
        gate: Deferred[bool] = Deferred()

        class Chat(NotingRoom):
            def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
                return gate if options else True

        self.rooms(Chat)
        ada, bob = self.joined(), self.player()
        for ref in (1, 2):
            bob.write("joinById", ref, ada.room, {"wait": True})
        self.settle()
        for connection in list(self.app.connections):
            self.app.shutDown(connection)
        bob.write("joinById", 3, ada.room, {})
        self.settle()
        self.assertEqual([frame[:2] for frame in ada.take()], [["bye", 4100]])
        first, second, bye = bob.take()
        details = {"mayHaveHappened": True}
        self.assertEqual(
            first, ["error", 1, None, "unavailable", "the server closes the connection", details]
        )
        self.assertEqual((second[:4], bye[:2]), (["error", 2, None, "unavailable"], ["bye", 4100]))
        gate.callback(True)

    def test_closing(self) -> None:
        """Closing a room makes all leave, with its code, before onDispose."""
        self.rooms()
        ada, bob = self.joined(), self.joined()
        self.result(self.room().disconnect("over"))
        self.assertEqual(ada.take("left"), [["left", ada.room, 4008, "over"]])
        self.assertEqual(bob.endings, [4008])
        self.assertEqual(self.kinds(), ["create", "join", "join", "leave", "leave", "dispose"])

    def test_shutdown(self) -> None:
        """The server says goodbye with 4100; hooks run, onDispose last."""
        self.rooms()
        ada = self.joined()
        self.harness.stop()
        self.events[:] = [event for event in self.events if event[0] != "drop"]  # a matter of luck
        self.assertEqual(ada.take("bye"), [["bye", 4100, 1.0]])
        self.assertEqual(ada.client.closeCode, 4100)
        if self.isOnRedis:  # nobody leaves: the room is for the next node
            self.assertEqual(self.kinds(), ["create", "join", "dispose"])
            return
        self.assertEqual(self.kinds(), ["create", "join", "leave", "dispose"])
        self.assertEqual(self.named("leave"), ["shutdown"])


@onBothEngines
class RefusalTests(RoomTestCase):
    """A client that isn't let in takes no seat, and is told."""

    def refused(self, code: str, **options: Any) -> Player:
        player = self.player()
        answer = player.join(**options)
        self.assertEqual((answer[0], answer[3]), ("error", code), answer)
        return player

    def test_full(self) -> None:
        """`maxClients` is strict; with joinOrCreate the next one gets a new room."""
        self.rooms(maxClients=2)
        first = [self.joined() for _ in range(2)]
        third = self.joined()
        self.assertEqual(first[0].room, first[1].room)
        self.assertNotEqual(first[0].room, third.room)
        answer = self.player().ask("joinById", first[0].room, {})
        self.assertEqual(answer[3], "full")

    def test_row70_race(self) -> None:
        """Ten times as many as there are seats, all at once."""
        self.rooms(maxClients=3, maxRooms=1)
        players = [self.player() for _ in range(30)]
        for player in players:
            player.client.send('["join",1,"chat",{}]')
        self.settle()
        answers = [frame[0] for player in players for frame in player.take()]
        self.assertEqual((answers.count("joined"), answers.count("error")), (3, 27))
        self.assertEqual(len(self.room().clients), 3)

    def test_onAuth(self) -> None:
        """Falsy or raising refuses; anything else but True is the user."""

        class Chat(NotingRoom):
            maxClients = 1

            def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
                if options.get("raise"):
                    raise ValueError("secret")
                return options.get("user")

            def onJoin(self, client: Client, options: Any) -> Any:
                self.events.append(("user", client.user, client.userId))

        self.rooms(Chat)
        self.refused("unauthorized")
        player = self.refused("internal", **{"raise": True})
        self.assertNotIn("secret", str(player.frames))
        self.assertRaised(ValueError)
        self.joined(user={"id": 7})
        self.assertEqual(self.named("user"), [({"id": 7}, "7")])
        self.assertEqual(len(self.app.rooms), 1)

    def test_credentials(self) -> None:
        """What shows who a client is stays between it, canJoin and onAuth."""
        made: list[Any] = []
        asked: list[Any] = []

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> None:
                made.append(dict(options))
                self.setMetadata(dict(options))

            def canJoin(self, options: Any, user: Any) -> bool:
                asked.append(options["auth"])
                return True

            def onAuth(self, client: Client, options: Any, handshake: Any) -> bool:
                asked.append(options["auth"])
                return True

        self.rooms(Chat)
        ada = self.joined(auth="secret", mode="x")
        room = self.room()
        self.assertEqual(asked, ["secret", "secret"])
        self.assertEqual(self.named("join"), [{"mode": "x"}])
        self.assertEqual((room.options, room.clients[0].options), ({"mode": "x"}, {"mode": "x"}))
        self.assertEqual(ada.ask("rooms", "chat", {})[2][0]["metadata"], {"mode": "x"})
        bob = self.player()
        self.assertEqual(bob.ask("create", "chat", {"seat": "mine", "auth": "secret"})[3], "forbidden")
        self.assertEqual(made, [{"mode": "x"}, {}])
        if self.isLagging:
            self.assertNotIn("secret", str([vars(each) for each in self.engine.stored.values()]))

    def test_row60_onJoinRaises(self) -> None:
        """No seat, no presence, no onLeave."""

        class Chat(NotingRoom):
            presence = True

            def onJoin(self, client: Client, options: Any) -> None:
                if options.get("bad"):
                    raise RoomError("tooBad", "because", {"a": 1})

        self.rooms(Chat)
        ada = self.joined()
        player = self.player()
        answer = player.join(bad=True)
        self.assertEqual(answer, ["error", 1, None, "tooBad", "because", {"a": 1}])
        self.assertEqual(ada.take("presence"), [])
        self.assertEqual(len(self.room().clients), 1)
        self.assertNotIn("leave", self.kinds())

    def test_gone(self) -> None:
        """A client that is gone before onAuth has decided never joins."""
        gate: Deferred[bool] = Deferred()

        class Chat(NotingRoom):
            def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
                self.events.append(("auth",))
                return gate

        self.rooms(Chat)
        ada = self.player()
        ada.write("join", 1, "chat", {})
        ada.client.drop()
        self.settle()
        gate.callback(True)
        self.advance(2)
        self.assertEqual(self.kinds(), ["create", "auth", "dispose"])

    def test_canJoin(self) -> None:
        """Asked before a seat is taken."""

        class Chat(NotingRoom):
            def canJoin(self, options: Any, user: Any) -> bool:
                return bool(options.get("name") != "eve")

        self.rooms(Chat)
        self.joined(name="ada")
        self.refused("forbidden", name="eve")

    def test_onCreateRaises(self) -> None:
        """There is no room, and onDispose isn't called."""

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> None:
                raise ValueError("secret")

        self.rooms(Chat)
        self.refused("internal")
        self.assertRaised(ValueError)
        self.advance(60)
        self.assertEqual(self.events, [])
        self.assertEqual(len(self.app.rooms), 0)

    def test_unknownName(self) -> None:
        """By frame an error, by path a 404 before the upgrade."""
        self.rooms()
        answer = self.player().join("nix")
        self.assertEqual(answer[3], "noSuchRoom")
        response = self.harness.connect("/rooms/nix").response
        assert response is not None
        self.assertEqual(response.status, 404)

    def test_mayNotCreate(self) -> None:
        """Where clients make no rooms they only find those of the server."""
        self.rooms(clientsMayCreate=False)
        self.refused("noSuchRoom")
        self.assertEqual(self.player().ask("create", "chat", {})[3], "forbidden")
        room = self.result(self.app.createRoom("chat"))
        self.assertEqual(self.joined().room, room)

    def test_maxRooms(self) -> None:
        """No more rooms than allowed."""
        self.rooms(maxRooms=1)
        self.joined()
        self.assertEqual(self.player().ask("create", "chat", {})[3], "full")

    def test_locked(self) -> None:
        """A locked room takes nobody; joinOrCreate makes another."""
        self.rooms()
        ada = self.joined()
        self.room(ada).lock()
        self.settle()
        self.assertEqual(self.player().ask("joinById", ada.room, {})[3], "locked")
        self.assertNotEqual(self.joined().room, ada.room)
        self.room(ada).unlock()
        self.settle()
        self.assertEqual(self.joined().room, ada.room)

    def test_private(self) -> None:
        """A private room isn't found, but can be joined by its id."""
        self.rooms()
        ada = self.joined()
        self.room(ada).setPrivate()
        self.settle()
        self.assertEqual(ada.ask("rooms", "chat", {})[2], [])
        self.assertEqual(self.player().ask("joinById", ada.room, {})[0], "joined")
        self.assertNotEqual(self.joined().room, ada.room)


@onBothEngines
class FailureTests(RoomTestCase):
    """What a hook does wrong costs nobody else anything."""

    def test_row59_handlerRaises(self) -> None:
        """An error reply, and everything lives on."""

        class Chat(NotingRoom):
            @message("bad")
            def bad(self, client: Client) -> None:
                raise ValueError("secret")

        self.rooms(Chat)
        ada = self.joined()
        for _ in range(5):
            self.assertEqual(ada.call("bad")[3:5], ["internal", FAILED])
        self.assertRaised(ValueError, 5)
        self.assertEqual(ada.call("say", "x"), ["reply", 7, 1])

    def test_logged(self) -> None:
        """The log says which hook or handler of which class it was, also where no traceback leads there."""

        class Chat(NotingRoom):
            tickRate = 1.0

            def onJoin(self, client: Client, options: Any) -> None:
                if options:
                    raise KeyError

            def onTick(self, seconds: float) -> None:
                raise KeyError

            @message("wait")
            def slow(self, client: Client) -> Any:
                return Deferred()

            @message("strange")
            def odd(self, client: Client) -> Any:
                return object()

        self.rooms(Chat)
        with capturedLogs() as events:
            ada = self.joined()
            self.player().join(name="bob")
            ada.call("strange")
            ada.send("wait")
            self.advance(1)
            self.advance(9)
        failures = [formatEvent(event) for event in events if "log_failure" in event]
        where = [told.partition(" in room chat ")[0] for told in failures]
        self.assertEqual(where[:3], ["Chat.onJoin", "Chat.odd", "Chat.onTick"])
        self.assertIn("Chat.slow", where)
        self.flushLoggedErrors()

    def test_policy(self) -> None:
        """`onRoomError` says what it costs."""
        costs: list[str] = ["client", "room"]

        class Chat(NotingRoom):
            @message("bad")
            def bad(self, client: Client) -> None:
                raise ValueError

            def onRoomError(self, failure: Any, client: Any) -> str | None:
                return costs.pop(0)

        self.rooms(Chat)
        ada, bob = self.joined(), self.joined()
        ada.send("bad")
        self.assertEqual([frame[2] for frame in ada.take("left")], [4003])
        self.assertEqual(bob.take("left"), [])
        bob.send("bad")
        self.assertEqual([frame[2] for frame in bob.take("left")], [4008])
        self.assertRaised(ValueError, 2)
        self.advance(1)
        self.assertEqual(self.kinds()[-1], "dispose")

    def test_row61_onLeaveHangs(self) -> None:
        """The seat is free at once; the room ends when the hook has timed out."""

        class Chat(NotingRoom):
            def onLeave(self, client: Client, reason: LeaveReason) -> Any:
                return Deferred()

            def onDispose(self) -> Any:
                self.events.append(("dispose",))
                return Deferred()

        self.rooms(Chat)
        ada = self.joined()
        ada.ask("leave", ada.room)
        self.assertEqual(self.room(ada).clients, [])
        self.advance(8)
        self.assertNotIn("dispose", self.kinds())
        self.advance(4)
        self.assertEqual(self.kinds()[-1], "dispose")
        self.assertRaised(RoomError)
        self.advance(11)
        self.assertRaised(RoomError)
        self.assertEqual(len(self.app.rooms), 0)

    def test_row62_handlerHangs(self) -> None:
        """Only its own client waits, until the time is over; kick works."""

        class Chat(NotingRoom):
            @message("hang")
            def hang(self, client: Client) -> Any:
                return Deferred()

        self.rooms(Chat)
        ada, bob = self.joined(), self.joined()
        ada.write("call", 9, ada.room, "hang")
        ada.send("say", "after")
        self.assertEqual(bob.call("say", "x")[0], "reply")
        self.advance(5)
        self.assertEqual(ada.said(), ["x"])
        self.advance(6)
        self.assertEqual([frame[3] for frame in ada.frames if frame[:2] == ["error", 9]], ["timeout"])
        self.assertEqual(ada.said(), ["after"])
        self.assertRaised(RoomError)
        ada.write("call", 10, ada.room, "hang")
        self.room(ada).clients[0].kick("go")
        self.settle()
        self.assertEqual([frame[2:] for frame in ada.take("left")], [[4003, "go"]])
        self.advance(11)
        self.assertEqual(self.named("leave"), ["kicked"])
        self.assertRaised(RoomError)

    def test_row63_timerRaises(self) -> None:
        """A tick that raises goes on; ten in a row cost the room."""

        class Chat(NotingRoom):
            tickRate = 10.0
            ticks = 0

            def onTick(self, seconds: float) -> None:
                type(self).ticks += 1
                if self.ticks > 20:
                    raise ValueError

        self.rooms(Chat)
        ada = self.joined()
        self.advance(2.3 - self.harness.clock.seconds() % 1)
        self.assertEqual(ada.take("left"), [])
        self.advance(2.0)
        self.assertEqual([frame[2] for frame in ada.take("left")], [4008])
        self.assertRaised(ValueError, 10)
        self.assertEqual(Chat.ticks, 30)

    def test_exit(self) -> None:
        """What would end a program ends no more than any other mistake, at once or later."""

        class Chat(NotingRoom):
            @message("now")
            def now(self, client: Client) -> None:
                raise SystemExit(1)

            @message("later")
            async def later(self, client: Client) -> None:
                await deferLater(self.clock.reactor, 0.1, lambda: None)
                raise SystemExit(2)

            def onCreate(self, options: Any) -> None:
                self.clock.every(1, self.now, None)

            def onDrop(self, client: Client) -> None:
                raise KeyboardInterrupt

            async def onLeave(self, client: Client, reason: LeaveReason) -> None:
                raise SystemExit(3)

        self.rooms(Chat)
        ada = self.joined()
        self.assertEqual(ada.call("now")[3], "internal")
        ada.write("call", 7, ada.room, "later")
        self.advance(0.3)
        self.assertEqual(ada.take("error")[-1][:4], ["error", 7, ada.room, "internal"])
        self.assertEqual(ada.call("say", 1)[0], "reply")
        self.advance(3)
        ada.client.drop()
        self.advance(40)
        self.assertEqual(len(self.app.rooms), 0)
        self.assertTrue(self.flushLoggedErrors(Escaped))

    def test_exitOfAnswers(self) -> None:
        """So it is in what is asked for an answer at once, and in a constructor: no seat is lost."""

        class Chat(NotingRoom):
            def userId(self, user: Any) -> Any:
                raise SystemExit(1)

            def snapshot(self, client: Client) -> Any:
                raise SystemExit(2)

        class Unmade(NotingRoom):
            def __init__(self) -> None:
                raise SystemExit(3)

        self.rooms(Chat, Unmade)
        ada = self.joined()
        self.assertIsNone(ada.joined["snapshot"])
        ada.client.drop()
        self.advance(1)
        again = self.player()
        self.assertEqual(again.resume(ada, epoch="another")[0], "joined")
        self.assertEqual(again.join("Unmade")[3], "internal")
        self.assertEqual(self.player("/rooms/Unmade").client.closeCode, CloseCode.INTERNAL_ERROR)
        again.client.close(1000)
        self.advance(40)
        self.assertEqual(len(self.app.rooms), 0)
        self.assertTrue(self.flushLoggedErrors(Escaped))
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 2)

    def test_timerCancelsItself(self) -> None:
        """What it has begun goes on, but not longer than the room."""

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> None:
                self.timer = self.clock.every(1, self.work)

            async def work(self) -> None:
                self.timer.cancel()
                self.events.append(("work", 1))
                for part in (2, 3):
                    await deferLater(self.clock.reactor, 5, lambda: None)
                    self.events.append(("work", part))

        self.rooms(Chat)
        self.joined()
        self.advance(8)
        self.result(self.room().disconnect())
        self.advance(20)
        self.assertEqual(self.named("work"), [1, 2])

    def test_sleep(self) -> None:
        """In so many seconds; not beyond the room."""

        class Chat(NotingRoom):
            @message("sleep")
            async def sleep(self, client: Client, seconds: float) -> str:
                try:
                    await self.clock.sleep(seconds)
                except RoomError as error:
                    self.events.append(("slept", error.code))
                    raise
                return "well"

            async def onDispose(self) -> None:
                await self.clock.sleep(5)

        self.rooms(Chat)
        ada = self.joined()
        ada.write("call", 1, ada.room, "sleep", 2)
        self.assertEqual(ada.take(), [])
        self.advance(2)
        self.assertEqual(ada.take()[0][2], "well")
        ada.write("call", 2, ada.room, "sleep", 9)
        self.result(self.room().disconnect())
        self.assertEqual((self.named("slept"), len(self.app.rooms)), (["roomGone"], 0))
        self.flushLoggedErrors(RoomError)

    def test_endInOrder(self) -> None:
        """The room ends: who sleeps wakes, and what runs is cancelled, in the order in which it began."""

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> None:
                for number in range(20):
                    self.sleep(number)
                    self.clock.callLater(1, self.work, number)

            def sleep(self, number: int) -> None:
                self.clock.sleep(9).addErrback(lambda failure: self.events.append(("woken", number)))

            def work(self, number: int) -> Deferred[None]:
                return Deferred(lambda _: self.events.append(("cancelled", number)))

        self.rooms(Chat)
        self.joined()
        self.advance(2)
        self.result(self.room().disconnect())
        self.assertEqual(self.named("woken"), [*range(20)])
        self.assertEqual(self.named("cancelled"), [*range(20)])

    def test_sleepCancelled(self) -> None:
        """A coroutine that takes too long doesn't wake."""

        class Chat(NotingRoom):
            handlerTimeout = 1.0

            @message("sleep")
            async def sleep(self, client: Client) -> None:
                await self.clock.sleep(2)

        self.rooms(Chat)
        ada = self.joined()
        ada.write("call", 1, ada.room, "sleep")
        self.advance(1)
        self.assertEqual(ada.take()[0][3], "timeout")
        self.advance(5)
        self.flushLoggedErrors(RoomError)

    def test_timersEnd(self) -> None:
        """No callback after the room has ended."""

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> None:
                self.clock.every(0.5, self.events.append, ("tick",))
                self.clock.callLater(100, self.events.append, ("late",))

        self.rooms(Chat)
        ada = self.joined()
        self.result(self.room(ada).disconnect())
        self.advance(200)
        self.assertEqual(self.kinds()[-1], "dispose")
        self.assertNotIn("late", self.kinds())


@onBothEngines
class AutoDisposeTests(RoomTestCase):
    """Rooms end when nobody needs them."""

    def test_row68_linger(self) -> None:
        """A client that comes in time finds the room."""
        self.rooms(linger=2.0)
        ada = self.joined()
        ada.ask("leave", ada.room)
        self.advance(1)
        bob = self.joined()
        self.assertEqual(bob.room, ada.room)
        self.advance(10)
        self.assertNotIn("dispose", self.kinds())

    def test_never(self) -> None:
        """Not without autoDispose."""
        self.rooms(autoDispose=False)
        ada = self.joined()
        ada.ask("leave", ada.room)
        self.advance(100)
        self.assertNotIn("dispose", self.kinds())

    def test_nobodyCame(self) -> None:
        """A room that the server makes waits for its first member."""
        self.rooms()
        self.result(self.app.createRoom("chat"))
        self.advance(14)
        self.assertEqual(self.kinds(), ["create"])
        self.advance(2)
        self.assertEqual(self.kinds(), ["create", "dispose"])

    def test_closedFromWithin(self) -> None:
        """A handler, and a hook, that waits for the end of its room doesn't wait for itself."""

        class Chat(NotingRoom):
            @message("close")
            async def close(self, client: Client) -> None:
                await Deferred.fromCoroutine(self.pause())
                await self.disconnect()
                self.events.append(("closed", ""))

            async def pause(self) -> None:
                await deferLater(self.clock.reactor, 0.1, lambda: None)

            @message("closing")
            def closing(self, client: Client) -> Any:
                return self.disconnect()

            async def onCreate(self, options: Any) -> None:
                if "atOnce" in options:
                    await self.disconnect()

        for kind in ("close", "closing"):
            self.rooms(Chat)
            ada = self.joined()
            other = self.joined("chat")
            ada.send(kind)
            self.advance(0.2)
            self.assertEqual((len(self.app.rooms), other.endings), (0, [4008]))
            self.assertEqual(self.kinds()[-1], "dispose")
        self.assertEqual(self.player().join(atOnce=True)[0], "error")
        self.advance(0.2)
        self.assertEqual(len(self.app.rooms), 0)

    def test_closedInOnCreate(self) -> None:
        """A room that changes its mind ends as any other; nobody comes in."""

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> None:
                self.events.append(("create",))
                self.disconnect()

        self.rooms(Chat)
        self.result(self.app.createRoom("chat"))
        self.assertEqual(self.kinds(), ["create", "dispose"])
        self.assertEqual(len(self.app.rooms), 0)

    def test_reserved(self) -> None:
        """Nor does it end when a seat was reserved while it was empty."""
        self.rooms(linger=2.0)
        ada = self.joined()
        ada.ask("leave", ada.room)
        self.advance(1)
        self.result(self.app.reserveSeat(ada.room, None, 10.0))
        self.advance(9)
        self.assertNotIn("dispose", self.kinds())
        self.result(self.room().disconnect())  # with the seat

    def test_listed(self) -> None:
        """A room that is ending is listed as one that nobody can join."""
        gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            def onDispose(self) -> Any:
                return gate

        self.rooms(Chat)
        ada, bob = self.joined(), self.player()
        self.room().disconnect()
        self.settle()
        self.assertEqual([one["locked"] for one in bob.ask("rooms", "chat", {})[2]], [True])
        self.assertEqual(len(ada.take("left")), 1)
        gate.callback(None)
        self.settle()
        self.assertEqual(bob.ask("rooms", "chat", {})[2], [])

    def test_row66_joinDuringDispose(self) -> None:
        """A join that meets a room that is ending gets a new one."""
        gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            def onDispose(self) -> Any:
                self.events.append(("dispose", self.id))
                return gate

        self.rooms(Chat)
        ada = self.joined()
        ada.ask("leave", ada.room)
        self.advance(3)
        self.assertEqual(self.kinds()[-1], "dispose")
        bob = self.joined()
        self.assertNotEqual(bob.room, ada.room)
        self.assertEqual(self.player().ask("joinById", ada.room, {})[3], "noSuchRoom")
        gate.callback(None)
        self.settle()
        self.assertEqual(list(self.app.rooms), [bob.room])
