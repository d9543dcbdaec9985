"""
What can go wrong in rooms, one case per test.

The rows are those of the project's catalogue of failures and bad input, part "Rooms, seats, lifecycle".
Those that are not here (59, 60, 62-66, 70-75, 80) are in the modules of their subjects, by the same names;
66, 67, 75 and 76 are the business of the models too.
"""

from __future__ import annotations

from unittest import SkipTest

from twisted.internet.defer import Deferred

from tests.rooms.case import NotingRoom, Player, RoomTestCase, onBothEngines, onRedisToo
from txroom import Client, History, LeaveReason, RoomApplication, RoomError, message
from txroom.rooms.owner.logwindow import OVERHEAD


@onBothEngines
class LifeTests(RoomTestCase):
    """Rows 61 to 71: rooms that begin and end."""

    def test_row61_raising(self) -> None:
        """onLeave and onDispose that raise are logged; member and room are gone all the same."""

        class Chat(NotingRoom):
            def onLeave(self, client: Client, reason: LeaveReason) -> None:
                raise ValueError

            def onDispose(self) -> None:
                raise KeyError

        self.rooms(Chat)
        ada = self.joined()
        ada.ask("leave", ada.room)
        self.assertEqual(self.room().clients, [])
        self.assertRaised(ValueError)
        self.advance(2)
        self.assertRaised(KeyError)
        self.assertEqual(len(self.app.rooms), 0)

    def test_row67_busy(self) -> None:
        """A room that is closed in the middle of everything calls nothing after onDispose."""
        gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            tickRate = 20.0

            def onTick(self, seconds: float) -> None:
                self.events.append(("tick",))
                self.broadcast("ticked")

            @message("wait")
            async def wait(self, client: Client) -> None:
                await gate
                self.events.append(("waited",))
                self.broadcast("waited")

        self.rooms(Chat)
        ada, bob = self.joined(), self.joined()
        self.advance(0.5)
        ada.send("wait")
        for n in range(5):
            ada.client.send(f'["call",{n},"{ada.room}","say",{n}]')
        self.events.clear()
        closed = self.room().disconnect()
        bob.send("say", "late")
        gate.callback(None)
        self.result(closed)
        self.advance(5)
        self.assertEqual(self.kinds(), ["leave", "waited", "leave", "dispose"])
        self.assertEqual(ada.take("left"), [["left", ada.room, 4008, ""]])
        self.assertEqual(bob.take("left"), [["left", bob.room, 4008, ""]])
        self.assertNotIn("late", ada.said() + bob.said())

    def test_row70_reserved(self) -> None:
        """A reserved seat is as good as taken, however many come at once."""
        self.rooms(maxClients=3)
        room = self.result(self.app.createRoom("chat"))
        self.result(self.app.reserveSeat(room))
        players = [self.player() for _ in range(20)]
        for player in players:
            player.client.send(f'["joinById",1,"{room}",{{}}]')
        self.settle()
        answers = [frame[0] for player in players for frame in player.take()]
        self.assertEqual((answers.count("joined"), answers.count("error")), (2, 18))

    def test_row71_unused(self) -> None:
        """A seat that nobody takes is free after fifteen seconds."""
        self.rooms(maxClients=1, autoDispose=False)
        room = self.result(self.app.createRoom("chat"))
        self.result(self.app.reserveSeat(room))
        self.advance(14)
        self.assertEqual(self.player().ask("joinById", room, {})[3], "full")
        self.advance(1)
        self.assertEqual(self.player().ask("joinById", room, {})[0], "joined")


@onBothEngines
class RecoveryTests(RoomTestCase):
    """Rows 76 to 78: what is said while somebody is away, or comes back."""

    def test_row76_meanwhile(self) -> None:
        """What is said while somebody resumes comes in its order, once."""
        self.rooms()
        ada, bob = self.joined(), self.joined()
        ada.client.drop()
        self.settle()
        bob.send("say", 0)
        again = self.player()
        again.client.send(f'["resume",1,"{ada.room}","{ada.joined["token"]}","{ada.joined["epoch"]}",0]')
        for number in range(1, 20):
            bob.client.send(f'["send","{bob.room}","say",{number}]')
            self.harness.advance(0.002)
        self.settle()
        self.assertEqual(again.take("joined")[0][3]["recovered"], True)
        self.assertEqual([frame[2] for frame in again.frames if frame[0] == "msg"], list(range(1, 21)))
        self.assertEqual([frame[4] for frame in again.frames if frame[0] == "msg"], list(range(20)))

    def test_row77_retried(self) -> None:
        """What is said again since its answer was lost has the same offset, and is heard once."""
        self.rooms()
        ada, bob = self.joined(), self.joined()
        ada.client.stall()
        ada.write("call", 1, ada.room, "say", "x", 1)
        ada.client.drop()
        again = self.player()
        again.resume(ada)
        bob.send("say", "y")
        for _ in range(2):
            self.assertEqual(again.call("say", "x", 1)[2], 1)
        self.assertEqual(bob.said(), ["x", "y"])
        self.assertEqual(again.said(), ["x", "y"])
        self.assertEqual(self.room().offset, 2)

    def test_row78_room(self) -> None:
        """Each room keeps so many messages and bytes, for newcomers and for those who resume."""
        self.rooms(history=History(limit=50, size=600), recoveryLimit=200, recoverySize=1500)
        ada, bob = self.joined(), self.joined()
        ada.client.drop()
        room = self.room()
        for _ in range(1000):
            room.broadcast("said", "nine byte")
        self.settle()
        self.assertEqual(len(room.messages), 50)
        for _ in range(1000):
            room.broadcast("said", "x" * 29)  # thirty bytes
        self.settle()
        self.assertEqual(len(room.messages), 20)
        self.assertEqual(len(bob.said()), 2000)
        self.assertEqual(self.player().resume(ada, 1949)[3]["recovered"], False)
        self.assertEqual(self.player().resume(ada, 1950)[3]["recovered"], True)

    def test_row78_allRooms(self) -> None:
        """All rooms together too: those that were silent for longest forget, and say so."""
        self.rooms(app=RoomApplication(totalRecoverySize=10 * (OVERHEAD + 2)), maxClients=2)
        idle, idler = self.joined(), self.joined()
        busy, busier = self.joined(), self.joined()
        self.assertEqual((idle.room, busy.room), (idler.room, busier.room))
        for number in range(4):
            self.room(idle).broadcast("said", number)
        self.settle()
        for player in (idle, busy):
            player.client.drop()
        for number in range(9):
            self.room(busy).broadcast("said", number)
        self.settle()
        again, other = self.player(), self.player()
        self.assertEqual(again.resume(busy, 0)[3]["recovered"], True)
        self.assertEqual(again.said(), list(range(9)))
        self.assertEqual(other.resume(idle, 2)[3]["recovered"], False)
        self.assertEqual(self.player().resume(idle, 3)[3]["recovered"], True)
        # A room that has ended takes no more part.
        self.result(self.room(busy).disconnect())
        for number in range(5, 15):
            self.room(idle).broadcast("said", number)
        self.settle()
        self.assertEqual(self.player().resume(idle, 4)[3]["recovered"], True)


@onRedisToo
class NodeTests(RoomTestCase):
    """Rows 69 and 79: a room has one owner, or none."""

    isLagging = True

    def orphans(self) -> tuple[Player, Player]:
        """Two members whose room has no owner any more."""
        self.rooms()
        ada, bob = self.joined(), self.joined()
        self.engine.loseOwner(ada.room, True)
        self.advance(1)
        self.assertEqual([ada.endings, bob.endings], [[4101], [4101]])
        return ada, bob

    def test_row69_both(self) -> None:
        """Two who want the same room to be owned get the same one."""
        former = self.orphans()
        players = [self.player() for _ in former]
        for player, other in zip(players, former, strict=True):
            token, epoch = other.joined["token"], other.joined["epoch"]
            player.client.send(f'["resume",1,"{other.room}","{token}","{epoch}",0]')
        self.settle()
        self.assertEqual([len(player.take("joined")) for player in players], [1, 1])
        self.assertEqual(len(self.room().clients), 2)
        self.assertEqual(self.kinds().count("create"), 2)  # at first, and now

    def test_row69_claims(self) -> None:
        """Of two owners that claim it at once one is fenced, before anybody has heard of it."""
        if self.isOnRedis:
            raise SkipTest("a node has only one owner of a room; see test_claimsAtOnce of tests/engine/redis")
        ada, _ = self.orphans()
        hosts = []
        for _ in range(2):
            self.engine.open(ada.room, "chat", {}).addErrback(lambda failure: failure.trap(RoomError))
            hosts.append(self.engine.hosts[ada.room])
        first, second = hosts
        fenced = first.room
        self.settle()
        self.assertEqual([first.life.stage.name, second.life.stage.name], ["DISPOSED", "OPEN"])
        again = self.player()
        self.assertEqual(again.resume(ada)[3]["recovered"], True)
        self.assertIsNone(fenced.broadcast("said", "from the first"))
        second.room.broadcast("said", "from the second")
        self.settle()
        self.assertEqual(again.said(), ["from the second"])

    def test_row79_stalled(self) -> None:
        """An owner that slept over its fencing acknowledges nothing, and its clients move."""
        self.rooms()
        ada, bob = self.joined(), self.joined()
        stalled = self.room()
        self.engine.loseOwner(ada.room, False, isTold=False)
        carol = self.player()
        self.assertEqual(carol.ask("joinById", ada.room, {})[0], "joined")
        self.assertIsNot(self.room(), stalled)
        ada.client.send(f'["send","{ada.room}","say","x",1]')
        ada.client.send(f'["call",1,"{ada.room}","say","y",2]')
        self.advance(1)
        self.assertEqual(stalled.offset, 2)  # it has handled both
        for player in (ada, bob):
            self.assertEqual(player.take(), [["left", ada.room, 4101, ""]])
            self.assertTrue(player.client.isOpen)
        again = self.player()
        self.assertEqual(again.resume(ada)[3]["handled"], 0)
        again.send("say", "x", 1)
        self.assertEqual(again.call("say", "y", 2)[2], 2)
        self.assertEqual(carol.said(), ["x", "y"])
