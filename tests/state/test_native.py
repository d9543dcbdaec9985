"""The encoding of txroom's own clients, read by `NativeReader`."""

from __future__ import annotations

from typing import Annotated

from twisted.trial.unittest import SynchronousTestCase

from txroom.state import (
    Float32,
    List,
    Map,
    NativeEncoding,
    NativeReader,
    Quantized,
    State,
    StateTree,
    Uint8,
    View,
    private,
)


class Place(State):
    x: Float32 = 0.0
    y: Float32


class Card(State):
    rank: Uint8


class Unit(State):
    place: Place
    hp: int = 10
    tags: List[str]


class Tank(Unit):
    hp = 99
    armor: Annotated[float, Quantized(0, 10, 8)]


class Player(State):
    name: str = ""
    hand: List[Card] = private()
    score: int | None = None
    friend: Player | None = None


class Game(State):
    players: Map[Player]
    units: Map[Unit] = private()
    scores: Map[float]
    points: List[float]


class NativeTests(SynchronousTestCase):
    """Clients follow the state with patches."""

    def setUp(self) -> None:
        self.game = Game()
        self.errors: list[Exception] = []
        self.tree = StateTree(self.game, self.errors.append)
        self.encoding = NativeEncoding(self.tree, hasHashes=True)
        self.reader = NativeReader(self.encoding.schema())
        self.reader.apply(self.encoding.full(None))

    def follow(self, view: View | None = None) -> None:
        changes = self.tree.commit()
        assert changes is not None
        data = self.encoding.patch(changes)
        self.reader.apply(data + (b"" if view is None else self.encoding.patchOf(changes, view)))

    def test_shared(self) -> None:
        """A client gets new objects and values, and what is gone."""
        self.game.players["a"] = Player(name="Ada", score=-5)
        self.game.scores["x"] = 1.5
        self.follow()
        self.assertEqual(
            repr(self.reader.root),
            "Game(players={'a': Player(name='Ada', hand=[], score=-5, friend=None)}, units={}, "
            "scores={'x': 1.5}, points=[])",
        )
        del self.game.players["a"]
        self.follow()
        self.assertEqual(self.reader.root.players, {})
        self.assertEqual(self.errors, [])

    def test_negativeZero(self) -> None:
        """-0.0 in a list is 0.0: it is no change, so clients' hashes stay equal to the server's."""
        points = self.game.points
        points.append(0.0)
        self.game.scores["x"] = -0.0
        self.follow()
        before = self.encoding.hash()
        points[0:1] = [-0.0]
        points[0] = -0.0
        self.assertIsNone(self.tree.commit())
        points.pop()
        points.append(-0.0)
        self.assertIsNone(self.tree.commit())
        self.assertEqual(self.encoding.hash(), before)

    def test_mixins(self) -> None:
        """A class has the fields of the base that has the most, whichever base comes first."""

        class Armed(State):
            """Has no fields."""

        class Truck(Armed, Unit):
            load: int = 5

        class Depot(State):
            units: List[Unit]

        tree = StateTree(Depot(units=[Truck(tags=["a"]), Unit()]), self.fail)
        encoding = NativeEncoding(tree)
        reader = NativeReader(encoding.schema())
        reader.apply(encoding.full(None))
        truck = reader.root.units[0]
        self.assertEqual((truck.hp, truck.tags, truck.load, reader.hash()), (10, ["a"], 5, encoding.hash()))

    def test_numbers(self) -> None:
        """Integers have up to 54 bits, masks up to 63; a reader refuses numbers of more."""

        class Extremes(State):
            it: List[int]

        most = 2**53 - 1
        tree = StateTree(Extremes(it=[most, -most]), self.fail)
        encoding = NativeEncoding(tree)
        reader = NativeReader(encoding.schema())
        reader.apply(encoding.full(None))
        self.assertEqual(reader.root.it, [most, -most])
        reader.apply(b"\x08\x01" + b"\xff" * 8 + b"\x7f")
        error = self.assertRaises(ValueError, reader.apply, b"\x08\x01" + b"\xff" * 9 + b"\x01")
        self.assertIn("63 bits", str(error))

    def test_private(self) -> None:
        """A view shows entries of private maps, and the content of private lists."""
        view = self.tree.view("m")
        unit = self.game.units["u"] = Tank(armor=5)
        ada = self.game.players["a"] = Player(name="Ada")
        ada.hand.append(Card(rank=3))
        view.add(unit)
        view.add(ada.hand)
        self.follow(view)
        unit.place.x = 4
        unit.tags.append("fast")
        ada.hand.append(Card(rank=4))
        self.follow(view)
        seen = self.reader.root
        self.assertEqual((seen.units["u"].place.x, seen.units["u"].tags), (4, ["fast"]))
        self.assertEqual([card.rank for card in seen.players["a"].hand], [3, 4])
        view.remove(unit)
        self.follow(view)
        self.assertEqual(seen.units, {})
