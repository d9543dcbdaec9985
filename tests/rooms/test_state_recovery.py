"""Clients that were away or too slow, and rooms that get another owner: all see the same state afterwards."""

from __future__ import annotations

from typing import Any
from unittest import mock

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from tests.rooms.case import MSGPACK, RoomTestCase, hostOf, onBothEngines, onRedisToo
from tests.rooms.seer import Seer
from tests.rooms.test_saving import SavingCase
from tests.rooms.test_state import Ball, Pool
from txroom import RoomApplication
from txroom.state import StateTree


class SeerCase(RoomTestCase):
    """What the tests share."""

    def seer(self, protocol: str | None = None, **options: Any) -> Seer:
        """A client that has joined and asked for the state."""
        seer = Seer(self.player(protocol=protocol))
        self.assertEqual(seer.join(**options)[0], "joined")
        self.assertTrue(seer.isComplete)
        return seer

    def back(self, former: Seer, version: int | None = None) -> Seer:
        """The same member on another connection."""
        seer = Seer(self.player(protocol=None if former.player.isJSON else MSGPACK))
        self.assertEqual(seer.resume(former, version)[0], "joined")
        self.assertTrue(seer.isComplete)
        return seer

    def assertSame(self, *seers: Seer) -> None:
        """All see what the room has."""
        state = self.app.rooms[seers[0].player.room].state
        for seer in seers:
            self.assertEqual(seer.state.title, state.title)
            self.assertEqual(seer.state.scores, list(state.scores))
            balls = {key: (ball.x, ball.owner) for key, ball in seer.state.balls.items()}
            self.assertEqual(balls, {key: (ball.x, ball.owner) for key, ball in state.balls.items()})


@onBothEngines
class ResumingTests(SeerCase):
    """Clients that come back to the same owner."""

    def test_nothing(self) -> None:
        """If nothing has changed, nothing comes but `joined`, without the schema."""
        self.rooms(Pool)
        ada = self.seer()
        ada.player.client.drop()
        again = self.back(ada)
        self.assertEqual(again.kinds, ["joined"])
        self.assertNotIn("schema", again.player.joined)
        self.assertEqual(again.version, ada.version)

    def test_missed(self) -> None:
        """What has changed comes in one patch."""
        self.rooms(Pool)
        ada, bob = self.seer(), self.seer(protocol=MSGPACK)
        ada.player.client.drop()
        for x in range(5):
            bob.player.send("move", x)
            bob.player.send("score", x)
            self.advance(0.1)
        again = self.back(ada)
        self.assertEqual(again.kinds, ["joined", "patch"])
        self.assertSame(again, bob)
        bob.player.send("score", 9)
        self.advance(0.1)
        self.assertSame(again, bob)

    def test_unknown(self) -> None:
        """A version that the room can't know, and none, get all of it."""
        self.rooms(Pool)
        ada = self.seer()
        for version in ((ada.version or 0) + 10_000, 0, 1 << 45):
            ada.player.client.drop()
            ada = self.back(ada, version)
            self.assertEqual(ada.kinds[0], "joined")
            if version or self.isLagging:  # in memory the versions of the room begin with 0
                self.assertEqual(ada.kinds, ["joined", "state"])
            self.assertSame(ada)

    def test_limit(self) -> None:
        """A client that resumes or joins again gets all of a large state a few times; then it has to wait."""
        self.rooms(Pool)
        ada = self.seer()
        self.app.rooms[ada.player.room].state.title = "x" * 500_000
        self.advance(0.1)
        again = Seer(self.player())
        answers = [again.resume(ada, 1 << 45) for _ in range(3)] + [again.join() for _ in range(5)]
        self.assertEqual([answer[0] for answer in answers], ["joined"] * 5 + ["error"] * 3)
        self.assertEqual(answers[-1][3], "rateLimited")
        self.advance(answers[-1][5]["retryAfter"] + 0.1)
        self.assertEqual(again.join()[0], "joined")

    def test_takenOver(self) -> None:
        """A connection that takes over from one that is open gets what that one has missed, and goes on."""
        self.rooms(Pool)
        ada, bob = self.seer(), self.seer()
        bob.player.send("move", 3)
        again = self.back(ada)
        self.advance(0.1)
        bob.player.send("move", 4)
        self.advance(0.1)
        self.assertSame(again, bob)

    def test_withoutState(self) -> None:
        """A member may resume without asking for the state, and ask again later."""
        self.rooms(Pool)
        ada = self.seer()
        ada.player.client.drop()
        plain = self.player()
        plain.room = ada.player.room
        self.assertNotIn("stateVersion", plain.resume(ada.player)[3])
        self.advance(1)
        self.assertEqual(plain.take("patch") + plain.take("state"), [])
        ada.player.joined.update(plain.joined)
        self.assertSame(self.back(ada))


@onBothEngines
class SlowTests(SeerCase):
    """Clients that don't read."""

    def arriving(self) -> tuple[Seer, Any]:
        """A client that has connected, and the server's side of its connection."""
        seer = Seer(self.player(protocol=MSGPACK))
        return seer, list(self.app.sessions.values())[-1].connection

    def test_behind(self) -> None:
        """
        While a client doesn't read, no patches are queued for it beyond a limit. When it reads again, it gets
        one patch for all that it has missed.
        """
        self.rooms(Pool)
        ada = self.seer()
        bob, connection = self.arriving()
        bob.join()
        self.advance(0.1)
        self.assertSame(ada, bob)
        bob.player.client.stall()
        queued = []
        for n in range(60):
            self.room().state.title = f"{n:02}" * 5000
            self.harness.advance(0.1)
            queued.append(connection.bufferedAmount)
        self.assertEqual(max(queued), queued[-1])
        self.assertLess(queued[-1], 100_000)
        received = bob.kinds.count("patch") + queued[-1] // 10_000
        bob.player.client.unstall()
        self.advance(0.5)
        self.assertSame(ada, bob)
        self.assertLessEqual(bob.kinds.count("patch"), received + 3)
        ada.player.send("score", 1)
        self.advance(0.1)
        self.assertSame(ada, bob)

    def test_joinsWhileBehind(self) -> None:
        """A client for which much is queued gets the state of a room when it has read that."""
        self.rooms(Pool)
        ada = self.seer()
        bob, connection = self.arriving()
        bob.player.client.stall()
        connection.send(msgspec.msgpack.encode(["unknown", "x" * 900_000]))
        self.harness.advance(0.1)
        bob.player.client.send(msgspec.msgpack.encode(["join", 1, "chat", {}, {"state": 1}]))
        self.advance(0.5)
        for points in range(3):
            ada.player.send("score", points)
            self.advance(0.1)
        bob.player.client.unstall()
        self.advance(0.5)
        self.assertSame(ada, bob)
        self.assertEqual(bob.kinds, ["joined", "state"])

    def test_againWhileBehind(self) -> None:
        """A client that joins again while it is behind gets all of the state when it has read the rest."""
        self.rooms(Pool)
        ada = self.seer()
        bob, connection = self.arriving()
        bob.join()
        self.advance(0.1)
        self.assertSame(ada, bob)
        bob.player.client.stall()
        connection.send(msgspec.msgpack.encode(["unknown", "x" * 900_000]))
        ada.player.send("score", 1)
        self.advance(0.1)
        bob.player.client.send(msgspec.msgpack.encode(["join", 2, "chat", {}, {"state": 1}]))
        self.advance(0.5)
        bob.player.client.unstall()
        self.advance(0.5)
        self.assertSame(ada, bob)
        self.assertEqual(bob.kinds[-2:], ["joined", "state"])

    def test_large(self) -> None:
        """The state may be larger than `maxBackpressure`, and what follows is sent, too."""
        self.rooms(Pool, app=RoomApplication(maxBackpressure=200_000), maxState=4_000_000)
        ada = self.seer()
        for n in range(100):
            self.room().state.balls[f"b{n}"] = Ball(owner=f"{n}" * 4000)
        self.advance(0.5)
        bob, connection = self.arriving()
        bob.player.client.stall()
        bob.player.client.send(msgspec.msgpack.encode(["join", 1, "chat", {}, {"state": 1}]))
        self.advance(0.5)
        self.assertGreater(connection.bufferedAmount, 400_000)
        ada.player.send("say", "hello")
        ada.player.send("score", 5)
        self.advance(0.5)
        bob.player.client.unstall()
        self.advance(0.5)
        self.assertTrue(bob.player.client.isOpen)
        self.assertSame(ada, bob)
        self.assertEqual(bob.player.said(), ["hello"])

    def test_lost(self) -> None:
        """A client that is lost while it is behind is forgotten; it comes back to the state as it is."""
        self.rooms(Pool)
        ada = self.seer()
        bob, _ = self.arriving()
        bob.join()
        self.advance(0.1)
        self.assertSame(ada, bob)
        bob.player.client.stall()
        for n in range(30):
            self.room().state.title = f"{n:02}" * 5000
            self.harness.advance(0.1)
        bob.player.client.drop()
        self.settle()
        self.assertSame(ada, self.back(bob))


@onRedisToo
class NextOwnerTests(SavingCase, SeerCase):
    """Rooms whose owner is lost."""

    def next(self, seer: Seer, isApplied: bool = True) -> None:
        """Let another owner have the room."""
        self.settle()
        self.engine.loseOwner(seer.player.room, isApplied)
        self.advance(1)

    def test_saved(self) -> None:
        """The state is that of the last checkpoint; all clients get all of it, and go on from there."""
        self.rooms(Pool, saveSeconds=1.0)
        ada, bob = self.seer(name="ada"), self.seer(name="bob", protocol=MSGPACK)
        ada.player.send("move", 2.5)
        ada.player.send("deal", 7)
        self.advance(2)
        before = ada.version
        self.next(ada)
        ada, bob = self.back(ada), self.back(bob)
        self.assertTrue(self.room().isRestored)
        self.assertEqual(ada.kinds, ["joined", "state"])
        self.assertGreater(ada.version or 0, before or 0)
        self.assertEqual(ada.version, bob.version)
        self.assertSame(ada, bob)
        self.assertEqual(ada.state.balls[ada.player.joined["member"]].x, 2.5)
        self.assertEqual(self.room().state.cards["0"].rank, 7)
        ada.player.send("score", 3, 1)
        self.advance(0.2)
        self.assertSame(ada, bob)
        self.assertEqual(bob.state.scores, [3])

    def test_views(self) -> None:
        """Each client sees what its view had, and still nothing else; the view goes on."""
        self.rooms(Pool, exact=True)
        ada, bob = self.seer(name="ada"), self.seer(name="bob", protocol=MSGPACK)
        ada.player.call("deal", 7, 1)
        self.next(ada)
        ada, bob = self.back(ada), self.back(bob)
        self.assertEqual([card.rank for card in ada.state.cards.values()], [7])
        self.assertEqual(bob.state.cards, {})
        self.room().state.cards["0"].rank = 8
        self.advance(0.2)
        self.assertEqual(([card.rank for card in ada.state.cards.values()], bob.state.cards), ([8], {}))

    def test_exact(self) -> None:
        """A room that is exact loses nothing that was handled."""
        self.rooms(Pool, exact=True)
        ada = self.seer()
        for n in range(1, 6):
            ada.player.call("score", n, n)
        self.next(ada, isApplied=False)
        again = self.back(ada)
        self.assertEqual(again.state.scores, [1, 2, 3, 4, 5])
        self.assertEqual(again.player.joined["handled"], 5)

    def test_onCreate(self) -> None:
        """`onCreate` is called again, and the saved state takes the place of the one that it makes."""

        class Filled(Pool):
            def onCreate(self, options: Any) -> None:
                self.state.scores.append(100)
                self.state.title = "made"
                super().onCreate(options)

        self.rooms(Filled)
        ada = self.seer()
        ada.player.send("score", 1)
        self.room().checkpoint()
        self.next(ada)
        again = self.back(ada)
        self.assertEqual(self.kinds().count("create"), 2)
        self.assertEqual((again.state.title, again.state.scores), ("made", [100, 1]))

    def test_load(self) -> None:
        """A class that loads its fields, too, finds the state when it does."""

        class Loading(Pool):
            rounds = 1

            def save(self) -> int:
                return self.rounds

            def load(self, data: int, version: int) -> None:
                self.rounds = data + 1
                self.events.append(("load", list(self.state.scores)))

        self.rooms(Loading)
        ada = self.seer()
        ada.player.send("score", 4)
        self.settle()
        self.room().checkpoint()
        self.next(ada)
        self.assertEqual(self.back(ada).state.scores, [4])
        self.assertEqual((self.named("load"), self.room().rounds), ([[4]], 2))
        self.assertEqual(self.kinds().count("create"), 1)

    def test_moved(self) -> None:
        """A room that moves in a planned way loses nothing. It sends no patches from then on."""
        self.rooms(Pool)
        ada = self.seer()
        ada.player.send("score", 8)
        self.settle()
        host = hostOf(self.room())
        self.result(Deferred.fromCoroutine(host.move()))
        states: Any = host._parts.states
        self.assertIsNone(states._due)
        before = len(ada.player.frames)
        host.room.state.title = "never seen"
        host.room.patch()
        self.settle()
        self.assertEqual(len(ada.player.frames), before)
        self.next(ada)
        self.assertEqual(self.back(ada).state.scores, [8])

    def test_unreadable(self) -> None:
        """A state that can't be loaded leaves the room as it is, for an owner that can."""
        self.rooms(Pool)
        ada = self.seer()
        self.room().state.title = "kept"
        self.room().checkpoint()
        self.settle()
        with capturedLogs(), mock.patch.object(StateTree, "load", side_effect=ValueError):
            self.next(ada)
            self.assertEqual(self.player().ask("joinById", ada.player.room)[3], "unavailable")
        self.flushLoggedErrors(TypeError, ValueError)
        self.advance(30)
        self.assertEqual(self.back(ada).state.title, "kept")
