"""What users wrote is never called in the middle of a step: it is asked before, and told after."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.rooms.case import NotingRoom, Player, RoomTestCase, onBothEngines
from txroom import Client, LeaveReason, RoomError, message
from txroom.rooms.hooks import HookTimeout, PostQueue, waitsFor
from txroom.testing import MemoryReactor

#: What of a room is asked or told while somebody comes, is there, and goes.
HOOKS = (
    *("userId", "canJoin", "onAuth", "onJoin", "snapshot", "say", "snapshotAgain", "userIdAgain"),
    *("onDrop", "onResume", "onLeave", "onTick", "timer"),
)


class Fragile(NotingRoom):
    """Does what it is made to in one of its hooks."""

    autoDispose = False
    tickRate = 2.0
    #: The hook; what happens in it; and what an error costs.
    where = how = cost = ""
    isArmed = True

    def happen(self, hook: str, client: Client | None = None) -> None:
        if not self.isArmed or hook != self.where:
            return
        if self.how == "raise":
            raise ValueError(hook)
        if self.how == "close":
            self.disconnect()
        elif self.how == "kick":
            for each in [client] if client is not None else self.clients:
                each.kick()
        elif self.how == "sendAndKickAll":
            self.broadcast("said", hook)
            for each in self.clients:
                each.kick()

    def onRoomError(self, failure: Any, client: Client | None) -> Any:
        self.isArmed = False
        return self.cost

    def onCreate(self, options: Any) -> None:
        super().onCreate(options)
        self.clock.callLater(0.5, self.happen, "timer")

    def userId(self, user: Any) -> Any:
        self.happen("userId")
        return super().userId(user)

    def canJoin(self, options: Any, user: Any) -> bool:
        self.happen("canJoin")
        return True

    def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
        self.happen("onAuth", client)
        return {"id": "somebody"}

    def onJoin(self, client: Client, options: Any) -> None:
        self.happen("onJoin", client)
        super().onJoin(client, options)

    def snapshot(self, client: Client) -> Any:
        self.happen("snapshot", client)
        return None

    @message("say")
    def say(self, client: Client, data: Any) -> Any:
        self.happen("say", client)
        return "said"

    def onDrop(self, client: Client) -> None:
        super().onDrop(client)
        self.happen("onDrop", client)

    def onResume(self, client: Client, recovered: bool) -> None:
        super().onResume(client, recovered)
        self.happen("onResume", client)

    def onLeave(self, client: Client, reason: LeaveReason) -> None:
        super().onLeave(client, reason)
        self.happen("onLeave", client)

    def onTick(self, seconds: float) -> None:
        self.happen("onTick")


@onBothEngines
class PlaceTests(RoomTestCase):
    """Whatever happens in a hook, the room is in order afterwards."""

    def live(self, where: str, how: str, cost: str) -> Any:
        """A room's life in which one thing happens; the room, and its members' names."""
        isAgain = where.endswith("Again")
        parts = {"where": where.removesuffix("Again"), "how": how, "cost": cost, "isArmed": not isAgain}
        self.rooms(type("Lived", (Fragile,), parts))
        ada, bob = self.player(), self.player()
        for player in (bob, ada):
            player.write("join", 1, "chat", {})
            if not self.app.rooms:
                return
            if player is bob:
                room = self.room()
        ada.frames, bob.frames  # noqa: B018  # what they are is known then
        room.isArmed = room.isArmed or isAgain
        if ada.room:
            ada.write("call", 2, ada.room, "say", 1)
            ada.client.drop()
            self.advance(0.1)
            again = self.player()
            again.write("resume", 3, ada.room, ada.joined["token"], "another", 0)
            again.frames  # noqa: B018
            again.write("leave", 4, ada.room)
        self.advance(20)
        return room, [ada, bob]

    def check(self, where: str, how: str, cost: str = "") -> None:
        about = f"{where} {how} {cost}"
        lived = self.live(where, how, cost)
        self.flushLoggedErrors(ValueError)
        kinds = self.kinds()
        self.assertLessEqual(kinds.count("dispose"), 1, about)
        if "dispose" in kinds:
            self.assertEqual(kinds[-1], "dispose", about)
            self.assertEqual(len(self.app.rooms), 0, about)
        if cost == "room" or how == "close":
            self.assertIn("dispose", kinds, about)
        if lived is not None:
            room, players = lived
            for player in players:
                ended = [frame for frame in player.frames if frame[0] in ("joined", "error")]
                self.assertTrue(ended, f"{about}: a join was never answered: {player.frames}")
            self.checkMembers(room, about)
        for host in self.app._hosts.all():
            host.dispose()
        self.advance(20)
        self.assertEqual(self.kinds().count("join"), self.kinds().count("leave"), about)
        self.assertEqual(len(self.app.rooms), 0, about)

    def checkMembers(self, room: Any, about: str) -> None:
        """A journal knows who is in the room, and nobody else."""
        clients = [client.id for client in room.clients]
        for client in room.clients:
            self.assertFalse(client.hasLeft, about)
        if self.isLagging:
            stored = self.engine.stored.get(room.id)
            self.assertEqual(sorted(stored.members) if stored else [], sorted(clients), about)

    def test_policies(self) -> None:
        """Whatever an error shall cost: the client, the room, or nothing."""
        for where in HOOKS:
            for cost in ("room", "client", ""):
                self.check(where, "raise", cost)

    def test_closes(self) -> None:
        """A hook that closes the room."""
        for where in HOOKS:
            self.check(where, "close")

    def test_kicks(self) -> None:
        """A hook that makes clients leave, its own or all that there are."""
        for where in HOOKS:
            self.check(where, "kick")
            self.check(where, "sendAndKickAll")


@onBothEngines
class TurnTests(RoomTestCase):
    """Calls that a room makes call none of its hooks, until they are over."""

    def test_kick(self) -> None:
        """`kick` in a handler: onLeave of the other comes after the handler."""

        class Chat(NotingRoom):
            @message("kickAll")
            def kickAll(self, client: Client) -> None:
                for each in self.clients:
                    if each is not client:
                        each.kick()
                self.events.append(("kicked", len(self.clients)))

        self.rooms(Chat)
        ada = self.joined()
        self.joined(), self.joined()
        ada.send("kickAll")
        self.settle()
        self.assertEqual(self.kinds()[-3:], ["kicked", "leave", "leave"])
        self.assertEqual(self.named("kicked"), [1])

    def test_disconnect(self) -> None:
        """`disconnect` in a handler: onLeave and onDispose come after it, and who waits goes on, too."""

        class Chat(NotingRoom):
            @message("ask")
            async def ask(self, client: Client) -> None:
                try:
                    await client.call("what")
                except RoomError as error:
                    self.events.append(("answered", error.code))

            @message("sleep")
            async def sleep(self, client: Client) -> None:
                try:
                    await self.clock.sleep(5)
                except RoomError as error:
                    self.events.append(("woken", error.code))

            @message("close")
            def close(self, client: Client) -> None:
                self.disconnect()
                self.events.append(("closed", len(self.clients)))

        self.rooms(Chat)
        ada, bob, carol = self.joined(), self.joined(), self.joined()
        ada.send("ask")
        bob.send("sleep")
        carol.send("close")
        self.settle()
        self.assertEqual(self.kinds()[4], "closed")
        self.assertEqual(sorted(self.kinds()[5:-1]), ["answered", "leave", "leave", "leave", "woken"])
        self.assertEqual(self.kinds()[-1], "dispose")
        self.assertEqual(self.named("answered") + self.named("woken"), ["roomGone", "roomGone"])

    def test_answered(self) -> None:
        """A handler whose error costs the room is answered before it ends."""

        class Chat(NotingRoom):
            def onRoomError(self, failure: Any, client: Any) -> str:
                return "room"

            @message("break")
            def breaks(self, client: Client) -> None:
                raise ValueError("no")

        self.rooms(Chat)
        ada = self.joined()
        self.assertEqual(ada.call("break")[3], "internal")
        self.settle()
        self.assertEqual(ada.endings, [4008])
        self.flushLoggedErrors(ValueError)


@onBothEngines
class WaitTests(RoomTestCase):
    """What can never come to an end, or is not waited for."""

    def refused(self, roomClass: type[NotingRoom]) -> None:
        """The join fails at once, and the log says why."""
        self.rooms(roomClass)
        player = self.player()
        player.write("join", 1, "chat", {})
        self.settle()
        self.assertEqual([frame[:4] for frame in player.take()], [["error", 1, None, "internal"]])
        (error,) = self.flushLoggedErrors(RuntimeError)
        self.assertIn("onAuth and onJoin can't wait for what client.call gives", str(error.value))

    def test_callInOnJoin(self) -> None:
        """`await client.call` in onJoin would wait for itself."""

        class Chat(NotingRoom):
            async def onJoin(self, client: Client, options: Any) -> None:
                await client.call("who")

        self.refused(Chat)

    def test_callBelow(self) -> None:
        """So it would in a function that onAuth awaits."""

        class Chat(NotingRoom):
            async def onAuth(self, client: Client, options: Any, handshake: Any) -> bool:
                return await self.ask(client)

            async def ask(self, client: Client) -> bool:
                return bool(await client.call("who"))

        self.refused(Chat)

    def test_callReturned(self) -> None:
        """So it would when it is what the hook gives."""

        class Chat(NotingRoom):
            def onJoin(self, client: Client, options: Any) -> Any:
                return client.call("who")

        self.refused(Chat)

    def test_callNotAwaited(self) -> None:
        """A call that nothing waits for is made when the client has joined, also by a task of its own."""

        class Chat(NotingRoom):
            async def onJoin(self, client: Client, options: Any) -> None:
                client.call("first").addCallback(lambda data: self.events.append(("first", data)))
                Deferred.fromCoroutine(self.ask(client))
                await self.clock.sleep(0.05)

            async def ask(self, client: Client) -> None:
                self.events.append(("second", await client.call("second")))

        self.rooms(Chat)
        player = self.player()
        player.write("join", 1, "chat", {})
        self.advance(0.2)
        asked = [frame for frame in player.take() if frame[0] == "call"]
        self.assertEqual([frame[3] for frame in asked], ["first", "second"])
        for frame in asked:
            player.write("reply", frame[2], frame[1], frame[3].upper())
        self.settle()
        self.assertEqual(self.named("first") + self.named("second"), ["FIRST", "SECOND"])

    def test_tick(self) -> None:
        """An onTick that hangs has as much time as any hook, and the room goes on ticking."""
        ticks: list[float] = []

        class Ticking(NotingRoom):
            tickRate = 1.0

            def onTick(self, seconds: float) -> Any:
                ticks.append(seconds)
                return Deferred() if len(ticks) == 3 else None

        self.rooms(Ticking)
        self.joined()
        for _ in range(40):
            self.advance(1)
        self.assertGreater(len(ticks), 25)
        self.assertEqual(len(self.flushLoggedErrors(HookTimeout)), 1)
        self.assertGreater(ticks[3], 9)


@onBothEngines
class AnswerTests(RoomTestCase):
    """A ref is that of the connection on which it was asked."""

    def slow(self, n: tuple[int, ...]) -> tuple[Player, Player]:
        """A call whose handler ends after the client has come back; both connections."""
        gate = self.waitingRooms("slow")
        ada = self.joined()
        ada.write("call", 7, ada.room, "slow", None, *n)
        ada.client.drop()
        self.settle()
        again = self.player()
        self.assertEqual(again.resume(ada)[0], "joined")
        again.take()
        gate.callback("an answer")
        self.settle()
        return ada, again

    def test_withoutNumber(self) -> None:
        """An answer that comes after its connection was lost is nobody's."""
        _, again = self.slow(())
        self.assertEqual(again.take(), [])

    def test_withNumber(self) -> None:
        """Nor is one with a number, until the client asks again, by a ref of its new connection."""
        ada, again = self.slow((1,))
        self.advance(0.1)
        self.assertEqual(again.take(), [["ack", ada.room, 1]])
        again.write("call", 9, ada.room, "slow", None, 1)
        self.settle()
        self.assertEqual(again.take(), [["reply", 9, "an answer"]])

    def test_leave(self) -> None:
        """A leave that waits for a handler is no answer to what the next connection asks."""
        gate = self.waitingRooms("slow")
        ada = self.joined()
        ada.send("slow")
        ada.write("leave", 7, ada.room)
        ada.client.drop()
        self.settle()
        again = self.player()
        self.assertEqual(again.resume(ada)[0], "joined")
        again.take()
        gate.callback(None)
        self.settle()
        self.assertEqual(again.take(), [["left", ada.room, 1000, ""]])

    def test_secondJoin(self) -> None:
        """All requests of a connection that is let go while it is being seated are answered."""
        for how in ("kick", "disconnect"):
            gate: Deferred[Any] = Deferred()

            class Chat(NotingRoom):
                def onJoin(self, client: Client, options: Any, how: str = how, gate: Any = gate) -> Any:
                    if how == "kick":
                        client.kick("no")
                    return gate

            self.rooms(Chat, autoDispose=False)
            player = self.player()
            player.write("join", 1, "chat", {})
            player.write("joinById", 2, self.room().id, {})
            if how == "disconnect":
                self.room().disconnect()
            gate.callback(None)
            self.advance(1)
            answers = [frame[:4] for frame in player.take()]
            self.assertEqual(answers, [["error", ref, None, "roomGone"] for ref in (1, 2)])

    def test_closedForGood(self) -> None:
        """A client that has closed with 1000 can't resume, though its messages are handled still."""
        gate = self.waitingRooms("slow", autoDispose=False)
        ada = self.joined()
        ada.send("slow")
        ada.client.close(1000)
        self.settle()
        client = self.room().client(ada.joined["member"])
        self.assertEqual((client.isConnected, client.hasLeft), (False, False))
        self.assertEqual(self.player().resume(ada)[3], "unauthorized")
        self.assertNotIn("leave", self.kinds())
        gate.callback(None)
        self.settle()
        self.assertEqual((client.hasLeft, self.kinds()[-1]), (True, "leave"))

    def test_closedWhileAsked(self) -> None:
        """A handler that waits for the answer of one that has closed for good is told at once."""

        class Chat(NotingRoom):
            @message("ask")
            async def ask(self, client: Client) -> None:
                await client.call("what", timeout=5)

        self.rooms(Chat)
        ada = self.joined()
        ada.send("ask")
        ada.client.close(1000)
        self.advance(0.1)
        self.assertEqual(self.kinds()[-1], "leave")


@onBothEngines
class StaleTests(RoomTestCase):
    """Requests to resume that overtake one another, and tokens."""

    def test_kept(self) -> None:
        """A stale request that comes last doesn't cost the token that the client was given before it."""
        self.rooms()
        ada = self.joined()
        first = self.player()
        self.assertEqual(first.resume(ada)[0], "joined")
        stale = self.player()
        self.assertEqual(stale.resume(ada)[0], "joined")
        # The client knows the answer to `first`.
        again = self.player()
        self.assertEqual(again.resume(first, 0)[0], "joined")
        again.send("say", 1)
        for former in (ada, first, stale):
            self.assertEqual(self.player().resume(former, 0)[3], "unauthorized")
        self.assertEqual(self.player().resume(again)[0], "joined")

    def test_bounded(self) -> None:
        """The newest that nobody has confirmed are valid: eight besides the last, the one in use too."""
        self.rooms()
        ada = self.joined()
        visits: list[Player] = []
        for _ in range(11):
            visits.append(self.player())
            self.assertEqual(visits[-1].resume(ada)[0], "joined")
        member = next(iter(self.room()._host.members.values()))
        self.assertEqual(len(member.tokens), 9)
        for index in (0, 1, 2):
            self.assertEqual(self.player().resume(visits[index], 0)[3], "unauthorized")
        self.assertEqual(self.player().resume(visits[3], 0)[0], "joined")


class UnmadeTests(RoomTestCase):
    """A room that goes on with another owner, and can't begin there."""

    isLagging = True

    def comeBack(self, former: Player) -> Player:
        """Ask to resume."""
        again = self.player()
        joined = former.joined
        again.write("resume", 1, former.room, joined["token"], joined["epoch"], 0)
        return again

    def test_leaving(self) -> None:
        """A client that `onCreate` made leave has left when `onLeave` is over, whatever came of the room."""
        gate: Deferred[None] = Deferred()
        left: list[str] = []

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> None:
                if self.isRestored:
                    for client in self.clients:
                        client.kick()
                    self.__dict__["linger"] = "1"

            def onLeave(self, client: Client, reason: LeaveReason) -> Any:
                return gate

        self.rooms(Chat)
        self.app.registrations["chat"].on("leave", lambda room, client: left.append(client.id))
        ada = self.joined()
        self.engine.loseOwner(ada.room, True)
        self.advance(1)
        self.comeBack(ada)
        self.assertEqual(left, [])
        gate.callback(None)
        self.settle()
        self.assertEqual(left, [ada.joined["member"]])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_disposedLast(self) -> None:
        """Nor is it disposed of before."""
        gate: Deferred[None] = Deferred()
        events: list[str] = []

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> None:
                if self.isRestored:
                    for client in self.clients:
                        client.kick()
                    self.__dict__["linger"] = "1"

            def onLeave(self, client: Client, reason: LeaveReason) -> Any:
                return gate.addCallback(lambda _: events.append("left"))

            def onDispose(self) -> None:
                if self.isRestored:
                    events.append("disposed")

        self.rooms(Chat)
        ada = self.joined()
        self.engine.loseOwner(ada.room, True)
        self.advance(1)
        again = self.comeBack(ada)
        self.assertEqual(events, [])
        gate.callback(None)
        self.settle()
        self.assertEqual(events, ["left", "disposed"])
        self.assertEqual([frame[:4] for frame in again.frames], [["error", 1, None, "unavailable"]])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_kept(self) -> None:
        """Members of an earlier owner are none of a room that can't be made, whoever has kept them."""
        told: list[Any] = []

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> None:
                self.kept = self.clients
                if self.isRestored:
                    self.__dict__["linger"] = "1"

            def onDispose(self) -> None:
                for client in self.kept:
                    client.kick()
                    told.append((client.hasLeft, client.send("told"), client.call("what")))

        self.rooms(Chat)
        ada = self.joined()
        self.engine.loseOwner(ada.room, True)
        self.advance(1)
        again = self.comeBack(ada)
        self.settle()
        ((hasLeft, offset, answer),) = told
        self.assertEqual((hasLeft, offset), (True, None))
        self.assertEqual(self.failureResultOf(answer, RoomError).value.code, "roomGone")
        self.assertEqual([frame[:4] for frame in again.frames], [["error", 1, None, "unavailable"]])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.flushLoggedErrors(), [])


class LaterTests(SynchronousTestCase):
    """What is done in the next turn."""

    def test_order(self) -> None:
        """In order, all of it, whatever raises; what is posted meanwhile follows."""
        clock = MemoryReactor()
        later = PostQueue(clock)
        done: list[int] = []

        def more() -> None:
            later.post(done.append, 3)
            done.append(1)
            raise ValueError("no")

        later.post(more)
        later.post(done.append, 2)
        self.assertEqual(done, [])
        clock.advance(0)
        self.assertEqual(done, [1, 2, 3])
        later.post(done.append, 4)
        later.flush()
        self.assertEqual((done, clock.getDelayedCalls()), ([1, 2, 3, 4], []))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_exits(self) -> None:
        """Nothing that is raised holds up what was posted after it."""

        def leave() -> None:
            raise SystemExit

        clock = MemoryReactor()
        later = PostQueue(clock)
        done: list[int] = []
        later.post(leave)
        later.post(done.append, 1)
        clock.advance(0)
        self.assertEqual(done, [1])
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def test_waitsFor(self) -> None:
        """A coroutine waits for what the innermost that it awaits waits for."""
        wanted: Deferred[None] = Deferred()
        other: Deferred[None] = Deferred()

        async def inner() -> None:
            await other
            await wanted

        async def outer() -> None:
            await inner()

        step = outer()
        self.assertFalse(waitsFor(step, wanted))
        running = Deferred.fromCoroutine(step)
        self.assertFalse(waitsFor(step, wanted))
        other.callback(None)
        self.assertTrue(waitsFor(step, wanted))
        self.assertTrue(waitsFor(wanted, wanted))
        self.assertFalse(waitsFor(None, wanted))
        wanted.callback(None)
        self.successResultOf(running)
        self.assertFalse(waitsFor(step, wanted))
