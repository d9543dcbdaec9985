"""What servers and operators ask of a room."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from tests.case import fired
from tests.rooms.case import NotingRoom, RoomTestCase, hostOf, onBothEngines
from txroom import Client, RoomError, message
from txroom.protocol import payload
from txroom.rooms.contract.asks import (
    CheckResume,
    Dispose,
    Inspect,
    Kick,
    Lock,
    Reserve,
    SendTo,
    SetMetadata,
    SetPrivate,
)


@onBothEngines
class AskTests(RoomTestCase):
    """Each of the commands."""

    def ask(self, command: Any) -> Any:
        """What the room answers."""
        return self.result(self.engine.ask(self.room().id, command))

    def codeOf(self, command: Any) -> str:
        """The code of the error."""
        failure = self.ask(command)
        failure.trap(RoomError)
        return str(failure.value.code)

    def test_inspect(self) -> None:
        """The listing, the log and the members."""
        self.rooms(presence=True)
        ada, bob = self.joined(topic="x"), self.joined()
        room = self.room()
        client = room.client(ada.joined["member"])
        client.enter("red")
        client.meta = {"name": "ada"}
        bob.send("say", 1)
        bob.client.drop()
        self.settle()
        found = self.ask(Inspect())
        self.assertEqual((found["epoch"], found["offset"]), (room.epoch, 1))
        listing = found["listing"]
        self.assertEqual((listing["room"], listing["clients"]), (room.id, 2))
        members = {each["member"]: each for each in found["members"]}
        second = members[bob.joined["member"]]
        self.assertEqual((list(members), found["next"]), (sorted(members), None))
        self.assertEqual(
            members[client.id],
            {
                "member": client.id,
                "userId": client.id,
                "user": None,
                "isConnected": True,
                "groups": ["red"],
                "meta": {"name": "ada"},
            },
        )
        self.assertFalse(second["isConnected"])
        self.assertEqual([len(self.ask(Inspect(limit))["members"]) for limit in (0, 1, -1)], [0, 1, 0])
        self.assertEqual(self.ask(Inspect(1, second["userId"]))["members"], [second])
        self.assertEqual(self.ask(Inspect(100, "nobody"))["members"], [])

    def test_inspectPages(self) -> None:
        """Members are told page by page, briefly too; a page ends early if they are large."""
        self.rooms(autoDispose=False)
        ids = sorted(self.joined().joined["member"] for _ in range(5))
        room = self.room()

        def pages(**more: Any) -> list[list[str]]:
            found, after = [], ""
            while True:
                page = self.ask(Inspect(after=after, **more))
                found.append([each["member"] for each in page["members"]])
                after = page["next"]
                if after is None:
                    return found

        self.assertEqual(pages(limit=2), [ids[:2], ids[2:4], ids[4:]])
        self.assertEqual(pages(limit=5), [ids])
        self.assertEqual(self.ask(Inspect(0))["next"], None)
        for id in ids:
            room.client(id).meta = {"about": "x" * 200_000}
        self.assertEqual(pages(), [ids[:2], ids[2:4], ids[4:]])
        self.assertEqual(pages(isBrief=True), [ids])
        brief = self.ask(Inspect(isBrief=True))["members"][0]
        self.assertEqual(brief, {"member": ids[0], "userId": ids[0], "isConnected": True})

    def test_kick(self) -> None:
        """One member, or those of a user."""
        self.rooms(autoDispose=False)
        ada, bob = self.joined(), self.joined()
        self.assertEqual(self.ask(Kick(ada.joined["member"], reason="go")), 1)
        self.assertEqual(ada.take("left"), [["left", ada.room, 4003, "go"]])
        self.assertEqual(self.ask(Kick(userId=bob.joined["member"])), 1)
        self.assertEqual([self.ask(Kick("nobody")), self.ask(Kick())], [0, 0])
        self.assertEqual(self.named("leave"), ["kicked", "kicked"])

    def test_lock(self) -> None:
        """No client can join, until it is unlocked."""
        self.rooms()
        ada = self.joined()
        self.assertIsNone(self.ask(Lock()))
        self.assertEqual(self.player().ask("joinById", ada.room, {})[3], "locked")
        self.ask(Lock(False))
        self.assertEqual(self.player().ask("joinById", ada.room, {})[0], "joined")

    def test_setPrivate(self) -> None:
        """Matchmaking doesn't find the room, until it is shown again."""
        self.rooms()
        room = self.joined().room
        self.assertIsNone(self.ask(SetPrivate()))
        self.assertEqual(self.result(self.app.query("chat")), [])
        self.ask(SetPrivate(False))
        self.assertEqual([each.room for each in self.result(self.app.query("chat"))], [room])

    def test_setMetadata(self) -> None:
        """The metadata is replaced; it must be plain data."""
        self.rooms()
        self.joined()
        self.ask(SetMetadata({"title": "Chess", "rated": True}))
        self.assertIsNone(self.ask(SetMetadata({"title": "Go"})))
        self.assertEqual(self.result(self.app.query("chat"))[0].metadata, {"title": "Go"})
        failure = self.ask(SetMetadata({"title": b"bytes"}))
        self.assertEqual((failure.value.code, failure.value.details), ("invalidData", {"field": "metadata"}))
        self.assertEqual(self.room().metadata, {"title": "Go"})

    def test_dispose(self) -> None:
        """The room ends; after that there is none."""
        self.rooms()
        ada = self.joined()
        host = hostOf(self.room())
        self.assertIsNone(self.ask(Dispose(4008, "over")))
        self.settle()
        self.assertEqual(ada.take("left"), [["left", ada.room, 4008, "over"]])
        self.assertEqual(self.kinds()[-1], "dispose")
        self.assertEqual(self.failureResultOf(host.ask(Inspect()), RoomError).value.code, "noSuchRoom")

    def dispose(self, seconds: float) -> list[Any]:
        """End a room whose `onDispose` takes so long; the answers after 5.1 seconds."""

        class Slow(NotingRoom):
            def onDispose(self) -> Any:
                return deferLater(case.harness.clock, seconds, lambda: None)

        case = self
        self.rooms(Slow)
        self.joined()
        host = hostOf(self.room())
        answers = fired(self.engine.ask(host.id, Dispose()))
        self.advance(3.0)
        self.assertEqual((answers, host.life.isReleased), ([], False))
        self.advance(2.1)
        self.assertEqual(host.life.isReleased, seconds < 5)
        self.advance(1.0)
        self.assertEqual((host.life.isReleased, self.app.rooms), (True, {}))
        return answers

    def test_disposedSlowly(self) -> None:
        """The answer comes when the room is gone for good."""
        self.assertEqual(self.dispose(4.0), [None])

    def test_disposedTooSlowly(self) -> None:
        """If that takes too long, it may still happen."""
        (failure,) = self.dispose(6.0)
        self.assertEqual(
            (failure.value.code, failure.value.details), ("unavailable", {"mayHaveHappened": True})
        )

    def hanging(self) -> Any:
        """A member whose handler never ends, in a room that would wait for it for an hour."""

        class Hanging(NotingRoom):
            autoDispose = False
            handlerTimeout = 3600.0

            @message("hang")
            async def hang(self, client: Client) -> None:
                await Deferred()

            @message("slow")
            async def slow(self, client: Client) -> None:
                await deferLater(case.harness.clock, 1.0, lambda: None)
                case.done.append("done")

        case = self
        self.done: list[str] = []
        self.rooms(Hanging)
        return self.joined()

    def test_disposeStuck(self) -> None:
        """A handler that hangs doesn't keep the room: it is cancelled, and one that ends soon is not."""
        ada = self.hanging()
        bob = self.joined()
        ada.send("hang")
        bob.send("slow")
        self.settle()
        host = hostOf(self.room())
        answers = fired(self.engine.ask(host.id, Dispose()))
        self.advance(1.5)
        self.assertEqual((answers, self.done), ([], ["done"]))
        self.advance(1.0)
        self.assertEqual((answers, host.life.isReleased, self.app.rooms), ([None], True, {}))
        self.assertRaised(CancelledError)

    def test_creating(self) -> None:
        """A room that opens too late doesn't carry out a command; one that opens in time does."""
        gate: Deferred[None] = Deferred()
        self.rooms(NotingRoom, autoDispose=False)
        self.patch(NotingRoom, "onCreate", lambda room, options: gate)
        self.app.createRoom("chat")
        self.settle()
        (host,) = self.app._hosts.all()
        late, inTime = [fired(host.ask(Lock(), seconds)) for seconds in (1.0, 2.0)]
        self.advance(1.5)
        self.assertEqual(late[0].value.details, {"mayHaveHappened": False})
        self.assertEqual(inTime, [])
        gate.callback(None)
        self.settle()
        self.assertEqual(inTime, [None])

    def test_kickStuck(self) -> None:
        """A member whose handler hangs is gone soon after it was kicked; the others are left alone."""
        ada = self.hanging()
        bob = self.joined()
        for player in (ada, bob):
            player.send("hang")
        self.settle()
        host = hostOf(self.room())
        self.assertEqual(self.ask(Kick(ada.joined["member"])), 1)
        self.advance(1.5)
        self.assertEqual(len(host.roster.leaving), 1)
        self.advance(1.0)
        self.assertEqual(len(host.roster.leaving), 0)
        self.assertRaised(CancelledError)
        waits = host.runner.running.waits(host.roomTimers)
        self.assertEqual([wait.member for wait in waits], [bob.joined["member"]])
        self.engine.ask(host.id, Dispose())
        self.advance(2.5)
        self.assertRaised(CancelledError)

    def test_disposedFromWithin(self) -> None:
        """A handler that ends its own room doesn't wait for itself."""
        if self.isLagging and not self.isOnRedis:
            return  # it doesn't know who asks
        case = self

        class Own(NotingRoom):
            @message("end")
            async def end(self, client: Client) -> Any:
                case.answers.append(await case.engine.ask(self.id, Dispose()))

        self.rooms(Own)
        ada = self.joined()
        self.answers: list[Any] = []
        ada.send("end")
        self.settle()
        self.assertEqual((self.answers, self.app.rooms), ([None], {}))

    def test_sendTo(self) -> None:
        """A message to all members, to some, or to those of some users."""
        self.rooms(autoDispose=False)
        ada, bob = self.joined(), self.joined()
        one, two = ada.joined["member"], bob.joined["member"]
        for members, users, heard in (
            (None, None, "ab"), ((one,), None, "a"), (None, (two,), "b"), ((one,), (two,), ""),
        ):  # fmt: skip
            offset = self.ask(SendTo("told", payload.encode("x"), members, users))
            self.assertEqual(offset, self.room().offset)
            self.settle()
            for player, name in ((ada, "a"), (bob, "b")):
                self.assertEqual(player.said(), ["x"] * (name in heard), (members, users))
        self.assertIsNone(self.ask(SendTo("told", payload.encode("y"), isVolatile=True)))
        self.settle()
        self.assertEqual((ada.said(), bob.said()), (["y"], ["y"]))
        self.assertEqual(self.codeOf(SendTo("told", payload.encode(b"bytes", True))), "invalidData")

    def test_sendToType(self) -> None:
        """A type that a room can't broadcast can't be sent for others either."""
        self.rooms(autoDispose=False)
        ada = self.joined()
        for type in ("", "x" * 129):
            for isVolatile in (False, True):
                failure = self.ask(SendTo(type, payload.encode(1), isVolatile=isVolatile))
                self.assertEqual(
                    (failure.value.code, failure.value.details), ("invalidData", {"field": "type"})
                )
        self.assertEqual((self.room().offset, ada.take("message")), (0, []))
        self.assertEqual(self.ask(SendTo("x" * 128, payload.encode(1))), 1)

    def test_sendToGroups(self) -> None:
        """A message to the members of groups, or to those of them that are named too."""
        self.rooms(autoDispose=False)
        players = {name: self.joined() for name in "abc"}
        ids = {name: player.joined["member"] for name, player in players.items()}
        for name, group in (("a", "red"), ("b", "red"), ("b", "blue"), ("c", "blue")):
            self.room().client(ids[name]).enter(group)
        cases: list[tuple[Any, tuple[str, ...], str]] = [
            (None, ("red",), "ab"),
            (None, ("red", "blue"), "abc"),
            (None, ("green",), ""),
            (None, (), ""),
            ((ids["a"], ids["c"]), ("blue",), "c"),
        ]
        for members, groups, heard in cases:
            self.ask(SendTo("told", payload.encode("x"), members, groups=groups))
            self.settle()
            found = "".join(name for name, player in players.items() if player.said())
            self.assertEqual(found, heard, (members, groups))

    def test_reserve(self) -> None:
        """A token, with which a client takes the seat."""
        self.rooms(autoDispose=False, maxClients=2)
        ada = self.joined()
        seat = self.ask(Reserve())
        self.assertEqual(self.codeOf(Reserve()), "full")
        self.assertEqual(self.player().ask("joinById", ada.room, {"seat": seat})[0], "joined")

    def test_reserveNobody(self) -> None:
        """A user for whom the room's `userId` raises, or returns no id, gets no seat."""

        class Named(NotingRoom):
            def userId(self, user: Any) -> str:
                name: str = user["name"]
                return name

        self.rooms(Named, autoDispose=False)
        self.result(self.app.createRoom("chat"))
        for user in ({}, 7, {"name": ""}, {"name": None}, {"name": 7}):
            failure = self.ask(Reserve(user))
            failure.trap(RoomError)
            self.assertEqual((failure.value.code, failure.value.details), ("invalidData", {"field": "user"}))
            self.assertIn("userId", failure.value.message)
        self.assertIsInstance(self.ask(Reserve({"name": "bob"})), str)

    def test_checkResume(self) -> None:
        """Whether a token is valid; asking doesn't use it."""
        self.rooms(autoDispose=False)
        ada, bob = self.joined(), self.joined()
        check = CheckResume(ada.joined["token"])
        told = {"name": "chat", "member": ada.joined["member"]}
        self.assertEqual([self.ask(check), self.ask(check)], [told] * 2)
        self.assertEqual(self.codeOf(CheckResume(ada.joined["token"] + "x")), "unauthorized")
        self.assertEqual(self.codeOf(CheckResume("")), "unauthorized")
        self.ask(Kick(bob.joined["member"]))
        self.assertEqual(self.codeOf(CheckResume(bob.joined["token"])), "forbidden")
        ada.send("say", 1)
        self.assertEqual(ada.said(), [1])

    def test_moving(self) -> None:
        """While the room has no owner, nothing happens."""
        if not self.isLagging:
            return
        self.rooms()
        self.joined()
        host = hostOf(self.room())
        self.engine.loseOwner(host.id, False)
        self.settle()
        failure = self.failureResultOf(host.ask(Lock()), RoomError)
        self.assertEqual(failure.value.details, {"mayHaveHappened": False})

    def test_lost(self) -> None:
        """If the room is lost before it has committed something, that may have happened or not."""
        if not self.isLagging:
            return
        self.rooms()
        ada = self.joined()
        host = hostOf(self.room())
        answers: list[Any] = []
        kick = Kick(ada.joined["member"])
        for command in (kick, Lock(), SendTo("told", b"\x01"), Reserve(), Dispose()):
            host.ask(command).addBoth(answers.append)
        self.assertEqual(answers, [])
        self.engine.loseOwner(host.id, False)
        self.settle()
        self.assertEqual([failure.value.details for failure in answers], [{"mayHaveHappened": True}] * 5)
