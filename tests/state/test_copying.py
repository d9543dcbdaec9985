"""Copies of objects, maps and lists: each is independent of what it was made of."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import copy, deepcopy
from typing import Annotated, Any

from twisted.trial.unittest import SynchronousTestCase

from txroom.state import List, Map, NativeEncoding, NativeReader, Quantized, State, StateTree, private

COPIES: list[Callable[[Any], Any]] = [copy, deepcopy]


class Item(State):
    name: str
    uses: int = 3


class Player(State):
    hp: int = 9
    angle: Annotated[float, Quantized(0, 360, 8)] = 10.0
    lean: Annotated[float, Quantized(-1, 1)] | None = None
    note: str | None = None
    weapon: Item
    spare: Item | None = None
    bag: List[Item]
    scores: Map[int]
    hand: List[Item] = private()
    _log: list[str] = []
    _target: Any = None
    _unset: int


class Bullet(State):
    """Can't be made without an argument."""

    x: float
    owner: Player | None = None

    def __init__(self, x: float) -> None:
        self.x = x


class Game(State):
    players: Map[Player]
    bullets: List[Bullet]
    first: Player | None = None


class CopyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.game = Game()
        self.ada = Player(note="a", weapon=Item(name="bow"), spare=Item(name="axe"), angle=90.0, lean=0.5)
        self.ada.bag.append(Item(name="rope"))
        self.ada.scores["a"] = 1
        self.ada.hand.append(Item(name="card"))
        self.game.players["ada"] = self.ada
        self.game.bullets.append(Bullet(1.5))
        self.tree = StateTree(self.game, self.fail)
        self.encoding = NativeEncoding(self.tree)
        self.reader = NativeReader(self.encoding.schema())
        self.reader.apply(self.encoding.full(None))

    def follow(self) -> None:
        """Send what has changed; the client then has what the server has."""
        changes = self.tree.commit()
        if changes is not None:
            self.reader.apply(self.encoding.patch(changes))
        self.assertEqual(self.reader.hash(), self.encoding.hash())

    def test_independent(self) -> None:
        """A change of a copy changes nothing of the state, and one of the state nothing of the copy."""
        for make in COPIES:
            before = make(self.ada)
            self.assertEqual(repr(before), repr(self.ada))
            before.hp, before.angle, before.note, before.weapon.uses = 1, 270.0, None, 1
            before.weapon.name = "club"
            before.bag.append(Item(name="coin"))
            before.bag[0].uses = 0
            before.scores["b"] = 2
            before.hand.clear()
            self.assertEqual(self.tree.isChanged, False)
            self.assertEqual((self.ada.hp, self.ada.weapon.name, len(self.ada.bag)), (9, "bow", 1))
            self.ada.scores["c"] = 3
            self.ada.bag.append(Item(name="shoe"))
            self.ada.angle = 180.0
            self.assertEqual(
                (dict(before.scores), len(before.bag), before.angle), ({"a": 1, "b": 2}, 2, 270.0)
            )
            self.follow()
            self.assertEqual(dict(self.reader.root.players["ada"].scores), {"a": 1, "c": 3})
            del self.ada.scores["c"], self.ada.bag[1]
            self.ada.angle = 90.0
            self.follow()

    def test_placed(self) -> None:
        """A copy can come into the state, and is followed there as everything else."""
        for make in COPIES:
            other = make(self.ada)
            self.game.players["bob"] = other
            self.follow()
            other.weapon.uses, other.bag[0].uses, other.scores["a"] = 7, 8, 9
            other.angle = 100.0
            self.ada.hp -= 1
            self.follow()
            bob, ada = self.reader.root.players["bob"], self.reader.root.players["ada"]
            self.assertEqual((bob.weapon.uses, bob.bag[0].uses, dict(bob.scores)), (7, 8, {"a": 9}))
            self.assertEqual((ada.weapon.uses, ada.bag[0].uses, bob.hp), (3, 3, self.ada.hp + 1))
            self.assertEqual(round(bob.angle), 100)
            view = self.tree.view("me")
            view.add(other.hand)
            self.assertIn(other.hand, view)
            self.assertRaises(ValueError, setattr, self.ada, "weapon", other.weapon)
            del self.game.players["bob"]
            self.follow()

    def test_quantized(self) -> None:
        """A copy has the integers that stand for its values to itself."""
        for make in COPIES:
            other = make(self.ada)
            self.game.players["bob"] = other
            self.follow()
            other.angle, other.lean = 45.0, None
            self.assertEqual(self.tree.isChanged, True)
            self.follow()
            bob, ada = self.reader.root.players["bob"], self.reader.root.players["ada"]
            self.assertEqual((round(bob.angle), bob.lean, round(ada.angle)), (45, None, 90))
            self.assertEqual(round(ada.lean, 3), 0.5)

    def test_collections(self) -> None:
        """Copies of maps and lists have copies of the objects in them, and check what comes."""
        for make in COPIES:
            players, bag, scores = make(self.game.players), make(self.ada.bag), make(self.ada.scores)
            self.assertEqual((repr(players), repr(bag)), (repr(self.game.players), repr(self.ada.bag)))
            self.assertEqual(scores, self.ada.scores)
            self.assertIsNot(players["ada"], self.ada)
            players["ada"].hp = 1
            bag[0].uses = 1
            self.assertRaises(TypeError, bag.append, Player())
            self.assertRaises(TypeError, scores.update, a="x")
            self.assertEqual(self.tree.isChanged, False)
            game = Game()
            game.players = players
            game.players["ada"].bag = bag
            self.assertEqual((game.players["ada"].hp, game.players["ada"].bag[0].uses), (1, 1))
            self.assertRaises(ValueError, game.players.__setitem__, "bob", players["ada"])
            item = bag.pop()
            self.assertEqual(item._txHome, None)

    def test_unbound(self) -> None:
        """The same for those that are in no field yet."""
        for make in COPIES:
            loose = Map({"ada": Player(hp=4)})
            other = make(loose)
            self.game.players = loose
            self.game.players = other
            loose["ada"].hp = 5
            self.assertEqual((other["ada"].hp, make(List([1, 2]))), (4, [1, 2]))

    def test_arguments(self) -> None:
        """`__init__` isn't called, so it may want arguments."""
        for make in COPIES:
            bullet = make(self.game.bullets[0])
            bullet.x += 1
            self.assertEqual((bullet.x, self.game.bullets[0].x), (2.5, 1.5))
        bullets = List([Bullet(1.0)])

        class Gun(State):
            ready: Bullet = Bullet(2.0)
            loaded: List[Bullet] = bullets

        one, other = Gun(), Gun()
        one.ready.x = one.loaded[0].x = 5
        self.assertEqual((other.ready.x, other.loaded[0].x), (2.0, 1.0))

    def test_attributes(self) -> None:
        """Of what clients don't see, a copy has its own lists, dicts and sets."""
        self.ada._log.append("x")
        self.ada._target = target = object()
        other = copy(self.ada)
        other._log.append("y")
        self.assertEqual((self.ada._log, other._log, other._target is target), (["x"], ["x", "y"], True))
        self.assertRaises(AttributeError, getattr, other, "_unset")

    def test_deepAttributes(self) -> None:
        """A deep copy has its own of all of it, but no copies of what is elsewhere in the state."""
        bob = Player()
        self.game.players["bob"] = bob
        self.ada._target = {"seen": [bob, self.ada.weapon], "near": [[1]]}
        self.ada.weapon.name = "bow"
        other = deepcopy(self.ada)
        seen, near = other._target["seen"], other._target["near"]
        self.assertEqual((seen[0] is bob, seen[1] is other.weapon, near), (True, True, [[1]]))
        self.assertIsNot(near[0], self.ada._target["near"][0])
        self.ada._target = bob
        bob._target = self.ada
        game = deepcopy(self.game)
        self.assertIs(game.players["ada"]._target, game.players["bob"])
        self.assertIs(game.players["bob"]._target, game.players["ada"])
        both = deepcopy([self.ada, bob, self.ada])
        self.assertEqual((both[0] is both[2], both[0] is self.ada, both[1] is bob), (True, False, False))

    def test_withDictionary(self) -> None:
        """The same if a class has instances with other attributes."""

        class Tagged:
            pass

        class Thing(Tagged, State):
            x: int

        thing: Any = Thing(x=1)
        thing.tags = ["a"]
        for make in COPIES:
            other = make(thing)
            other.tags.append("b")
            other.x = 2
            self.assertEqual((thing.tags, thing.x), (["a"], 1))

    def test_root(self) -> None:
        """A copy of a whole state is no part of its tree, and can become another state."""
        for make in COPIES:
            game = make(self.game)
            tree = StateTree(game, self.fail)
            game.players["ada"].hp = 2
            self.assertEqual((tree.isChanged, self.tree.isChanged), (True, False))

    def test_pickle(self) -> None:
        """Nothing of a state can be pickled."""
        for part in (self.game, self.ada, self.ada.bag, self.ada.scores, Item()):
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                error = self.assertRaises(TypeError, pickle.dumps, part, protocol)
                self.assertIn(f"a {type(part).__name__} can't be pickled", str(error))
