"""
What has ended is freed at once, by counting references: in a process that serves the collector comes so
seldom that thousands of rooms would wait for it.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogPublisher

from tests.rooms.case import MSGPACK, NotingRoom, Player, RoomTestCase, onBothEngines
from txroom import Client, History, LeaveReason, Room, RoomApplication, RoomError, message
from txroom.core.connection import Connection
from txroom.rooms.api.clock import RoomClock
from txroom.rooms.contract.asks import Reserve
from txroom.rooms.edge.attachment import Attachment
from txroom.rooms.edge.session import RoomSession
from txroom.rooms.owner.broadcaster import Broadcaster
from txroom.rooms.owner.calls import Calls
from txroom.rooms.owner.context import RoomContext
from txroom.rooms.owner.host import Host
from txroom.rooms.owner.inbox import Inbox
from txroom.rooms.owner.joining import Joining
from txroom.rooms.owner.leaving import Leaving
from txroom.rooms.owner.life import RoomLife
from txroom.rooms.owner.link import HostLink
from txroom.rooms.owner.mailbox import Mailbox
from txroom.rooms.owner.member import Member
from txroom.rooms.owner.messagelog import MessageLog
from txroom.rooms.owner.outbox import Outbox
from txroom.rooms.owner.presence import Presence
from txroom.rooms.owner.resuming import Resuming
from txroom.rooms.owner.revokedtokens import RevokedTokens
from txroom.rooms.owner.roomlisting import RoomListing
from txroom.rooms.owner.roster import Roster
from txroom.rooms.owner.runner import Runner
from txroom.rooms.owner.saving import Saving
from txroom.rooms.owner.seats import Seats
from txroom.rooms.owner.vacancy import Vacancy
from txroom.rooms.owner.welcome import Welcome

#: Hooks that may be asynchronous, those together that may all hang in one life.
HOOKS = (("canJoin",), ("onAuth",), ("onJoin",), ("onDrop", "onResume", "onLeave", "onDispose", "onTick"))
#: What must not be left of a life.
KINDS = (
    Host, Room, Member, Client, RoomSession, Attachment, HostLink, Connection, RoomContext, RoomLife, Roster,
    Runner, MessageLog, Outbox, Mailbox, RoomClock, Broadcaster, Calls, Presence, RoomListing, Seats, Welcome,
    Joining, Resuming, Leaving, RevokedTokens, Inbox, Saving, Vacancy,
)  # fmt: skip


class Keeping(NotingRoom):
    """Keeps what rooms keep: its clients, its timers, and a task that goes on for ever."""

    presence = True
    history = History(limit=5, onJoin=2)
    tickRate = 1.0

    def onCreate(self, options: Any) -> None:
        self.wrong = options.get("wrong", "")
        if self.wrong == "create":
            raise ValueError("create")
        if self.wrong == "setting":
            self.__dict__["linger"] = ""
        self.players: dict[str, Client] = {}
        self.timer = self.clock.every(1.0, self.tick, self.players)
        self.task = Deferred.fromCoroutine(self.loop())
        self.task.addErrback(lambda failure: failure.trap(RoomError) and None)

    def tick(self, players: Any) -> None:
        if self.wrong == "tick":
            raise ValueError("tick")

    async def loop(self) -> None:
        while True:
            await self.clock.sleep(1.0)

    async def onAuth(self, client: Client, options: Any, handshake: Any) -> bool:
        await self.clock.sleep(0.01)
        if "refuse" in options:
            raise RoomError("no")
        return True

    async def onJoin(self, client: Client, options: Any) -> None:
        self.players[client.id] = client
        client.data["me"] = client.id
        await self.clock.sleep(0.01)
        if "fail" in options:
            del self.players[client.id]
            raise ValueError("join")

    async def onLeave(self, client: Client, reason: LeaveReason) -> None:
        self.players.pop(client.id, None)
        await self.clock.sleep(0.01)

    def snapshot(self, client: Client) -> Any:
        return sorted(self.players)

    @message("ask")
    async def ask(self, client: Client) -> Any:
        return await client.call("what")

    @message("break")
    async def breaks(self, client: Client) -> None:
        await self.clock.sleep(0.01)
        raise ValueError("break")

    @message("breakAtOnce")
    def breakAtOnce(self, client: Client) -> None:
        raise ValueError("break")

    @message("refuse")
    async def refuse(self, client: Client) -> None:
        await self.clock.sleep(0.01)
        raise RoomError("no")


async def hang(*args: object) -> None:
    """What a hook does that waits in vain."""
    await Deferred()


async def hangOtherwise(*args: object) -> None:
    """The same, and it says so in its own words."""
    try:
        await Deferred()
    except BaseException as error:
        raise ValueError("in vain") from error


class Slow(NotingRoom):
    """Has a message that hangs, and little patience."""

    handlerTimeout = 1.0
    tickRate = 1.0
    hangs = hang

    @message("hang")
    async def hang(self, client: Client) -> None:
        await self.hangs()


@onBothEngines
class FreedTests(RoomTestCase):
    """Lives of rooms and members; afterwards nothing of them is there."""

    def setUp(self) -> None:
        super().setUp()
        # What tests before have left is not for the collector to find here.
        gc.freeze()
        self.addCleanup(gc.unfreeze)
        # The runners of tests keep what is logged, and with a traceback all that it has gone through.
        for each, name in ((Host, "_log"), (Runner, "_log"), (RoomApplication, "log")):
            self.patch(each, name, Logger(observer=LogPublisher()))

    def count(self, kinds: tuple[type, ...] = KINDS) -> Counter[str]:
        """What there is, by its class."""
        return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, kinds))

    def come(self, room: str, **options: Any) -> Player:
        player = self.player(protocol=MSGPACK if options.get("binary") else None)
        player.write("joinById", 1, room, options)
        self.advance(0.1)
        player.frames  # noqa: B018  # who it is is known then
        return player

    def go(self, *players: Player) -> None:
        """They close their connections; the harness has them no more."""
        for player in players:
            player.client.close(1000)
        self.advance(0.1)

    def freed(
        self,
        live: Callable[[str], None],
        times: int = 3,
        roomClass: type[NotingRoom] = Keeping,
        **options: Any,
    ) -> None:
        """Let a room live so, again and again: the collector finds nothing, and nothing is left."""
        self.rooms(roomClass, autoDispose=False)
        live(self.made(options))  # what is made once is there then
        self.events.clear()
        gc.collect()
        before = self.count()
        gc.disable()
        self.addCleanup(gc.enable)
        for _ in range(times):
            live(self.made(options))
            self.events.clear()
        self.assertEqual(self.count() - before, Counter())
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            gc.collect()
            found = Counter(type(each).__name__ for each in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        self.assertEqual(found, Counter(), "found by the collector")

    def made(self, options: dict[str, Any]) -> str:
        room = self.result(self.app.createRoom("chat", options))
        return room if isinstance(room, str) else ""

    def end(self, room: str) -> None:
        if room in self.app.rooms:
            self.app.rooms[room].disconnect()
        self.advance(2)

    def test_rooms(self) -> None:
        """Rooms, with members who talk, ask, and are there when it ends."""

        def live(room: str) -> None:
            ada, bob = self.come(room), self.come(room, binary=True)
            ada.send("say", 1, 1)
            ada.send("ask", None, 2)
            bob.send("break")
            bob.send("breakAtOnce")
            bob.send("refuse")
            self.advance(0.1)
            self.end(room)
            self.go(ada, bob)

        self.freed(live)

    def test_members(self) -> None:
        """Members who leave, are kicked, drop and return, and are asked, in a room that goes on."""
        self.rooms(Keeping, autoDispose=False)
        lasting = self.made({})

        def live(room: str) -> None:
            room = next(iter(self.app.rooms))
            ada, bob, carol = (self.come(room) for _ in range(3))
            for player in (ada, bob, carol):
                player.send("ask")
            ada.write("leave", 9, room)
            bob.client.drop()
            self.advance(0.1)
            again, newer = self.player(), self.player()
            again.resume(bob, epoch="another")
            newer.resume(again)
            for client in self.app.rooms[room].clients[1:]:
                client.kick()
            refused, failed = self.come(room, refuse=True), self.come(room, fail=True)
            self.advance(40)
            self.go(ada, carol, again, newer, refused, failed)

        live(lasting)
        self.events.clear()
        gc.collect()
        before = self.count((Member, Client, RoomSession, Attachment, HostLink, Connection))
        gc.disable()
        self.addCleanup(gc.enable)
        for _ in range(3):
            live(lasting)
            self.events.clear()
        self.assertEqual(self.count((Member, Client, RoomSession, Attachment, HostLink, Connection)), before)
        self.assertEqual(list(self.app.rooms), [lasting])

    def test_unmade(self) -> None:
        """Rooms that could not begin."""
        for wrong in ("create", "setting"):
            self.freed(lambda room: self.advance(2), wrong=wrong)

    def test_unmadeForClients(self) -> None:
        """Clients who ask for those."""

        def live(room: str) -> None:
            self.end(room)
            ada, bob = self.player(), self.player("/rooms/chat?wrong=create")
            self.assertEqual(ada.join(wrong="create")[3], "internal")
            self.assertEqual(ada.ask("create", "chat", {"wrong": "setting"})[3], "internal")
            self.go(ada, bob)

        self.freed(live)

    def test_gaveUp(self) -> None:
        """Rooms that are closed since a timer raises again and again."""

        def live(room: str) -> None:
            ada = self.come(room)
            self.advance(15)
            self.assertEqual(ada.endings, [4008])
            self.go(ada)

        self.freed(live, wrong="tick")

    def test_hanging(self) -> None:
        """What is cancelled since it takes too long, or since the room ends."""
        for hangs in (hang, hangOtherwise):
            for names in HOOKS:
                slow = type("Slow", (Slow,), {"hangs": hangs, **dict.fromkeys(names, hangs)})
                self.freed(self.hung, times=1, roomClass=slow)

    def hung(self, room: str) -> None:
        """The life of a room in which everything is done that may hang."""
        begun: Any = self.app.rooms[room]
        begun.clock.callLater(0.1, begun.hangs)
        del begun
        ada, bob = self.come(room), self.player()
        ada.write("call", 2, room, "hang")
        self.advance(2)
        if ada.joined:
            ada.client.drop()
            self.advance(2)
            bob.resume(ada)
            bob.write("call", 3, room, "hang")
            self.advance(0.5)
        self.end(room)
        self.go(ada, bob)

    def test_seats(self) -> None:
        """Seats that are taken, or not in time."""

        def live(room: str) -> None:
            tokens = [self.result(self.app.reserveSeat(room, seconds=1.0)) for _ in range(2)]
            ada = self.come(room, seat=tokens[0])
            self.advance(2)
            self.end(room)
            self.go(ada)

        self.freed(live)

    def test_paths(self) -> None:
        """Those who join by their path, and drop; those who break the protocol."""

        def live(room: str) -> None:
            self.end(room)
            ada, bob = self.player("/rooms/chat"), self.player("/rooms/chat")
            ada.write("send", None, "say", 1, 7)
            bob.client.drop()
            self.advance(40)
            for each in list(self.app.rooms):
                self.end(each)
            self.go(ada)

        self.freed(live)

    def test_lost(self) -> None:
        """Rooms whose owner is lost."""
        if not self.isLagging:
            return

        def live(room: str) -> None:
            ada = self.come(room)
            ada.send("ask")
            self.engine.loseOwner(room, True)
            self.advance(1)
            again = self.player()
            again.resume(ada)
            self.advance(1)
            self.end(room)
            self.go(ada, again)

        self.freed(live)


@onBothEngines
class AfterwardsTests(RoomTestCase):
    """What users hold still when it is over answers, and does nothing."""

    def ended(self) -> tuple[Any, Any, Any]:
        """A room that has ended, a client that was in it then, and one that had left before."""
        self.rooms(presence=True, history=History(limit=5))
        ada, bob = self.joined(), self.joined()
        room = self.room()
        first, second = room.clients
        ada.write("leave", 9, ada.room)
        self.advance(0.1)
        room.broadcast("said", 1)
        second.enter("team")
        self.result(room.disconnect())
        self.advance(1)
        self.assertEqual(bob.endings, [4008])
        return room, second, first

    def test_room(self) -> None:
        """The room."""
        room, client, _ = self.ended()
        known = {name: getattr(room, name) for name in dir(room) if not name.startswith("_")}
        self.assertEqual((known["name"], known["isLocked"], known["offset"]), ("chat", True, 1))
        for name in ("clients", "members", "messages"):
            self.assertEqual(known[name], [], name)
        self.assertEqual((room.client(client.id), room.group("team")), (None, []))
        self.assertIsNone(room.broadcast("said", 2))
        self.assertIsNone(room.broadcast("said", 2, volatile=True, exclude=client))
        room.kick(client), room.lock(), room.unlock(), room.setPrivate(), room.setMetadata({"a": 1})
        self.assertEqual(room.isLocked, True)
        self.failureResultOf(room.whenCommitted(), RoomError)
        self.failureResultOf(room.clock.sleep(1), RoomError)
        self.assertFalse(room.clock.callLater(1, self.fail).isActive)
        self.successResultOf(room.disconnect())
        self.assertIn(room.id, repr(room))
        self.advance(2)
        self.assertEqual(self.kinds().count("dispose"), 1)

    def test_client(self) -> None:
        """Its clients."""
        room, *clients = self.ended()
        for client in clients:
            self.assertIs(client.room, room)
            names = [name for name in dir(client) if name[0] != "_" and name != "view"]  # that has no room
            known = {name: getattr(client, name) for name in names}
            self.assertEqual((known["isConnected"], known["hasLeft"]), (False, True))
            self.assertIsNone(client.send("told"))
            self.failureResultOf(client.call("what"), RoomError)
            client.kick("late"), client.enter("team"), client.exit("team")
            client.meta = {"name": "late"}
            client.data["x"] = 1
            self.assertIn(client.id, repr(client))

    def test_clientAlone(self) -> None:
        """A client doesn't keep its room."""
        room, client, _ = self.ended()
        self.events.clear()
        id = room.id
        del room
        error = self.assertRaises(RoomError, lambda: client.room)
        self.assertEqual((error.code, error.message), ("roomGone", "the room of this client has ended"))
        self.assertIn(id, repr(client))

    def test_refused(self) -> None:
        """Nobody gets into it any more, not even who was on the way."""
        gate: Deferred[bool] = Deferred()

        class Chat(NotingRoom):
            def canJoin(self, options: Any, user: Any) -> Any:
                return gate if "slow" in options else True

        self.rooms(Chat)
        self.joined()
        room = self.room()
        host = room._host
        slow, reserving = self.player(), self.app.reserveSeat(room.id)
        slow.write("joinById", 1, room.id, {"slow": True})
        self.result(room.disconnect())
        gate.callback(True)
        self.advance(0.1)
        self.assertEqual([frame[3] for frame in slow.take("error")], ["noSuchRoom"])
        self.result(reserving.addErrback(lambda failure: failure.trap(RoomError)))
        late = host.ask(Reserve(None, 1))
        self.assertEqual(self.failureResultOf(late, RoomError).value.code, "noSuchRoom")
        self.assertEqual(self.successResultOf(host.attach(self.app.edge, None)).code, "noSuchRoom")
