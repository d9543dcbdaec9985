"""The clients of the kit in rooms that declare a state."""

from __future__ import annotations

from typing import Any

from tests.case import HarnessTestCase
from txroom import Client, Room, message
from txroom.client import JSON_PROTOCOL, MSGPACK_PROTOCOL
from txroom.state import Float32, List, Map, State, private
from txroom.testing import JoinedRoom


class Player(State):
    name: str = ""
    x: Float32 = 0.0


class Game(State):
    players: Map[Player]
    scores: List[int]
    cards: Map[Player] = private()


class Arena(Room):
    """Players who move as they say, and by one unit each second."""

    state: Game
    tickRate = 20.0
    patchRate = 20.0

    def onJoin(self, client: Client, options: Any) -> None:
        self.state.players[client.id] = Player(name=options.get("name", ""))

    def onTick(self, seconds: float) -> None:
        for player in self.state.players.values():
            player.x += seconds

    def onLeave(self, client: Client, reason: Any) -> None:
        del self.state.players[client.id]

    @message("move")
    def move(self, client: Client, x: float) -> None:
        self.state.players[client.id].x = x

    @message("deal")
    def deal(self, client: Client) -> None:
        self.state.cards[client.id] = card = Player(name="ace")
        client.view.add(card)


class StateTests(HarnessTestCase):
    def setUp(self) -> None:
        self.harness = self.serve({"arena": Arena})

    def join(self, name: str = "ada", **options: Any) -> JoinedRoom:
        return self.harness.client(**options).join("arena", name=name)

    def mine(self, room: JoinedRoom) -> Any:
        return room.state.players[room.member]

    def same(self, *rooms: JoinedRoom) -> None:
        """Check that the clients have the state of the server, when it rests."""
        (served,) = self.harness.rooms
        served.tickRate = 0.0
        self.harness.advance(0.1)
        shared = {key: player.name for key, player in served.state.players.items()}
        for room in rooms:
            self.assertEqual({key: player.name for key, player in room.state.players.items()}, shared)
            for key, player in served.state.players.items():
                self.assertAlmostEqual(room.state.players[key].x, player.x, places=4)

    def test_until(self) -> None:
        """The state is there at once, and `until` lets time pass until it is as expected."""
        for protocol in (JSON_PROTOCOL, MSGPACK_PROTOCOL):
            room = self.join(protocol=protocol)
            self.assertEqual(self.mine(room).name, "ada")
            started = self.harness.clock.seconds()
            room.until(lambda state: all(player.x > 1 for player in state.players.values()))
            self.assertLess(self.harness.clock.seconds() - started, 1.2)
            self.same(room)
            room.leave()

    def test_untilFails(self) -> None:
        """If it doesn't come true, the error has the state."""
        room = self.join()
        before = self.harness.clock.seconds()
        with self.assertRaisesRegex(
            AssertionError, r"within 0\.5 s; the state is Game\(players=.*; the room is joined"
        ):
            room.until(lambda state: state.scores, seconds=0.5)
        self.assertLessEqual(self.harness.clock.seconds() - before, 0.5)

    def test_classes(self) -> None:
        """With `states`, the state has the classes of the room."""
        room = self.join(states={"arena": Game})
        game: Game = room.state
        self.assertIs(type(game.players[room.member]), Player)

    def test_away(self) -> None:
        """A client that was away catches up, and keeps its objects."""
        ada, bob = self.join("ada"), self.join("bob")
        mine = self.mine(bob)
        bob.client.drop()
        ada.send("move", 50)
        self.harness.advance(1)
        self.assertIs(self.mine(bob), mine)
        self.assertGreater(bob.state.players[ada.member].x, 50)
        self.same(ada, bob)
        self.assertEqual(bob.events, ["reconnecting", "recovered"])

    def test_lostPatch(self) -> None:
        """A client that a patch was lost for resumes, and catches up."""
        for fault in ("lose", "reorder"):
            ada, bob = self.join("ada"), self.join("bob")
            getattr(bob.client.incoming, fault)("patch")
            self.harness.advance(1)
            self.same(ada, bob)
            self.assertEqual((bob.events, bob.errors), (["reconnecting", "recovered"], []))
            self.harness.stop()
            self.harness = self.serve({"arena": Arena})

    def test_lostState(self) -> None:
        """A client that the whole state was lost for asks for it again, and the join succeeds then."""
        client = self.harness.client()
        client.incoming.lose("state")
        joining = client.joining("arena", name="ada")
        self.harness.advance(1)
        room = self.harness.resultOf(joining)
        self.assertGreater(self.mine(room).x, 0)
        self.same(room)

    def test_otherFaults(self) -> None:
        """Patches that come late or twice do no harm."""
        room = self.join()
        room.client.incoming.duplicate("patch", 3)
        self.harness.advance(0.2)
        room.client.incoming.delay("patch", 0.3, 2)
        self.harness.advance(1)
        self.same(room)
        self.assertEqual((room.events, room.errors), ([], []))

    def test_view(self) -> None:
        """A client sees what its view has."""
        ada, bob = self.join("ada"), self.join("bob")
        ada.send("deal")
        ada.until(lambda state: state.cards)
        self.assertEqual((ada.state.cards[ada.member].name, len(bob.state.cards)), ("ace", 0))
        ada.client.drop()
        self.harness.advance(1)
        self.assertEqual((ada.state.cards[ada.member].name, len(bob.state.cards)), ("ace", 0))

    def test_handled(self) -> None:
        """Each patch has the effects of exactly the messages that were acknowledged before it."""
        room = self.join()
        found: list[bool] = []

        def patched(state: Any) -> None:
            # Each message sets the place to its number times 1,000; ticks add less than that.
            found.append(int(self.mine(room).x / 1000) == room.room.handled)

        room.room.on("state", patched)
        for n in range(1, 40):
            room.send("move", n * 1000.0)
            self.harness.advance(0.03)
        self.assertGreater(len(found), 10)
        self.assertTrue(all(found), found)
