"""The server of the page "Smooth movement"."""

from __future__ import annotations

from typing import Any

from tests.test_docs import DocsTestCase
from txroom.testing import JoinedRoom


class MovementTests(DocsTestCase):
    def setUp(self) -> None:
        self.arena = self.load("arena", "movement")
        self.starts: list[int] = []
        self.patch(self.arena, "randint", lambda low, high: self.starts.pop(0) if self.starts else low)
        self.server = self.harness(self.arena.makeServer)

    def join(self) -> JoinedRoom:
        return self.server.client().join("arena")

    def test_prediction(self) -> None:
        """A client that applies its unhandled inputs again shows the same place all the time."""
        room = self.join()
        pending: list[tuple[int, int]] = []
        wrong: list[Any] = []
        steps = 0

        def corrected(state: Any) -> None:
            pending[:] = [each for each in pending if each[0] > room.room.handled]
            x = state.players[room.member].x + sum(0.25 * direction for _, direction in pending)
            if x != 0.25 * steps:
                wrong.append((x, steps))

        room.room.on("state", corrected)
        for _ in range(100):
            room.send("move", {"direction": 1})
            steps += 1
            pending.append((room.room.sent, 1))
            self.server.advance(0.03)
        self.assertEqual((wrong, room.errors), ([], []))
        self.assertEqual(room.state.players[room.member].x, 25.0)
        for _ in range(8):
            room.send("move", {"direction": -100})
        room.until(lambda state: state.players[room.member].x == 23.0)

    def test_starts(self) -> None:
        """Players start at random places of the line."""
        self.starts = [100, 37]
        rooms = [self.join() for _ in range(3)]
        rooms[0].until(lambda state: len(state.players) == 3)
        self.assertEqual([player.x for player in rooms[0].state.players.values()], [100.0, 37.0, 0.0])

    def test_compensation(self) -> None:
        """A shot hits where the shooter saw the other, and not where the other is by now."""
        ada, bob = self.join(), self.join()
        for _ in range(20):  # five metres a second
            bob.send("move", {"direction": 1})
            self.server.advance(0.05)
        seen, x = ada.state.time, ada.state.players[bob.member].x
        self.assertGreater(x, 4)
        for _ in range(4):
            bob.send("move", {"direction": 1})
            self.server.advance(0.05)
        self.assertGreater(bob.state.players[bob.member].x, x + 0.75)
        ada.send("shoot", {"x": x, "time": seen})
        ada.until(lambda state: state.players[bob.member].hits == 1)
        ada.send("shoot", {"x": x, "time": ada.state.time})
        self.server.advance(0.1)
        self.assertEqual([player.hits for player in ada.state.players.values()], [0, 1])

    def test_past(self) -> None:
        """Places between two ticks are interpolated; what is too old or too new is the nearest known."""
        past = self.arena.Past(0.5)
        players = {"ada": self.arena.Player()}
        for tick in range(100):
            players["ada"].x = float(tick)
            past.add(tick / 20, players)
        self.assertLessEqual(len(past.ring), 11)
        for time, x in ((4.95, 99.0), (4.9, 98.0), (4.925, 98.5), (9.0, 99.0), (0.0, 89.0)):
            self.assertAlmostEqual(past.at(time)["ada"], x, places=6, msg=str(time))

    def test_left(self) -> None:
        """A shot at somebody who has left meanwhile hits nobody."""
        ada, bob = self.join(), self.join()
        self.server.advance(0.1)
        bob.leave()
        ada.send("shoot", {"x": 0.0, "time": 0.1})
        self.server.advance(0.1)
        self.assertEqual([player.hits for player in ada.state.players.values()], [0])
