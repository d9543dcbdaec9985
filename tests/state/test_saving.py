"""A state as plain data, and made of it again."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txroom.state import Float32, List, Map, NativeEncoding, NativeReader, State, StateTree, private
from txroom.state import tree as treeModule


class Unit(State):
    name: str = ""
    x: Float32 = 0.0
    _secret: int = 0


class Tank(Unit):
    armour: int = 3


class Place(State):
    label: str = "middle"


class Pair(State):
    hidden: List[Unit] = private()


class World(State):
    title: str = "new"
    limit: int | None = None
    units: Map[Unit]
    queue: List[Unit]
    scores: List[int]
    names: Map[str]
    place: Place
    target: Place | None = None
    hands: Map[Unit] = private()
    pairs: Map[Pair]


class Later(State):
    """What `World` has become: a field is gone, and one is new."""

    title: str = "new"
    units: Map[Unit]
    level: int = 7


class Seat(State):
    hand: List[int] = private()


class Table(State):
    seats: List[Seat]
    named: Map[Seat]


def world() -> World:
    """A state that has something of everything."""
    world = World(title="old", limit=4)
    world.units["a"] = Unit(name="ada", x=1.5)
    world.units["b"] = Tank(name="bob", armour=9)
    world.queue.append(Unit(name="cid"))
    world.scores.extend([1, 2, 3])
    world.names["x"] = "y"
    world.place.label = "left"
    world.target = Place(label="goal")
    world.hands["a"] = Unit(name="card")
    return world


def saved(tree: StateTree) -> Any:
    """What a checkpoint has of it."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(tree.save()))


class SavingTests(SynchronousTestCase):
    """`StateTree.save` and `StateTree.load`."""

    def test_roundTrip(self) -> None:
        """All of it comes back, private parts and subclasses too."""
        tree = StateTree(world(), self.fail)
        again = StateTree.load(World, saved(tree), self.fail)
        self.assertEqual(repr(again.root), repr(tree.root))
        self.assertIsInstance(again.root.units["b"], Tank)  # type: ignore[attr-defined]
        self.assertEqual(again.version, 0)
        self.assertEqual({**saved(again), "nextId": 0}, {**saved(tree), "nextId": 0})

    def test_numbers(self) -> None:
        """What is in no collection keeps its number, and everything else gets another one than it had."""
        tree = StateTree(world(), self.fail)
        former: Any = tree.root
        former.target = Place(label="newer")
        tree.commit()
        again = StateTree.load(World, saved(tree), self.fail, 100)
        root: Any = again.root
        for name in ("units", "scores", "names", "place", "target", "hands"):
            self.assertEqual(getattr(root, name)._txId, getattr(former, name)._txId, name)
        new = [root.units["a"]._txId, root.units["b"]._txId, root.hands["a"]._txId]
        self.assertTrue(all(number >= 100 for number in new), new)
        self.assertEqual(sorted(again.nodes), sorted({node._txId for node in again.nodes.values()}))
        near = StateTree.load(World, saved(tree), self.fail)
        self.assertEqual(len(near.nodes), len(again.nodes))

    def test_margin(self) -> None:
        """
        New numbers are above all that the earlier owner may have given, however many: a client of Colyseus
        that comes back keeps objects by their numbers.
        """
        tree = StateTree(world(), self.fail)
        tree.nextId = 5 << 20
        for number in range(3):
            tree.root.units[f"new {number}"] = Unit()  # type: ignore[attr-defined]
        data = saved(tree)
        for number in range(100):  # after the checkpoint
            tree.root.units[f"newer {number}"] = Unit()  # type: ignore[attr-defined]
        tree.commit()
        again = StateTree.load(World, data, self.fail, 1 << 20)
        new = {node._txId for node in again.root.units.values()}  # type: ignore[attr-defined]
        self.assertGreater(min(new), max(tree.nodes))
        self.assertEqual(min(new), data["nextId"] + treeModule.ID_MARGIN)
        del data["nextId"]  # as it was saved before there was this number
        earlier: Any = StateTree.load(World, data, self.fail, 1 << 20)
        self.assertEqual(min(node._txId for node in earlier.root.units.values()), 1 << 20)

    def test_uncommitted(self) -> None:
        """Changes that are not committed are in it."""
        tree = StateTree(world(), self.fail)
        root: Any = tree.root
        del root.units["a"]
        root.title = "newer"
        again: Any = StateTree.load(World, saved(tree), self.fail).root
        self.assertEqual((again.title, list(again.units)), ("newer", ["b"]))

    def test_views(self) -> None:
        """Views see the same again, also what they were to see after the next commit."""
        root = World()
        root.hands["a"], root.hands["b"], root.hands["c"] = Unit(name="a"), Unit(name="b"), Unit(name="c")
        root.pairs["x"] = Pair()
        root.pairs["x"].hidden.append(Unit(name="d"))
        tree = StateTree(root, self.fail)
        view = tree.view("m1")
        view.add(root.hands["a"])
        view.add(root.hands["b"])
        tree.commit()
        view.remove(root.hands["a"])
        view.add(root.hands["c"])
        view.add(root.pairs["x"].hidden)
        again = StateTree.load(World, saved(tree), self.fail)
        self.assertFalse(again.isChanged)
        reader = NativeReader(NativeEncoding(again).schema())
        reader.apply(NativeEncoding(again).full(again.view("m1")))
        self.assertEqual(sorted(reader.root.hands), ["b", "c"])
        self.assertEqual([unit.name for unit in reader.root.pairs["x"].hidden], ["d"])
        data = saved(tree)
        data["views"] = {"m1": [["hands", "gone"], ["nothing"], ["units"], ["queue", 7], []], "m2": []}
        self.assertEqual(StateTree.load(World, data, self.fail).view("m1").seen, {})

    def test_otherClass(self) -> None:
        """A later class reads what an earlier one has saved: by the names of fields."""
        later: Any = StateTree.load(Later, saved(StateTree(world(), self.fail)), self.fail).root
        self.assertEqual((later.title, later.level, later.units["a"].name), ("old", 7, "ada"))

    def test_wrong(self) -> None:
        """What a class can't have has its default, or is left out; each field is reported once."""
        data = saved(StateTree(world(), self.fail))
        data["root"] |= {"title": 5, "limit": 4.0, "queue": {}, "target": "goal", "place": None, "names": [1]}
        data["root"]["units"]["b"][""] = "Plane"
        data["root"]["units"]["a"]["x"] = "wide"
        data["root"]["hands"]["a"]["x"] = "wide"
        data["root"]["scores"] = [1, "two", 3.0, 4.5]
        errors: list[Exception] = []
        again: Any = StateTree.load(World, data, errors.append).root
        self.assertEqual((again.title, again.limit, list(again.queue)), ("new", 4, []))
        self.assertIs(type(again.limit), int)
        self.assertEqual((again.target, again.place.label, again.names), (None, "middle", {}))
        self.assertEqual([(key, unit.name, unit.x) for key, unit in again.units.items()], [("a", "ada", 0.0)])
        self.assertEqual(list(again.scores), [1, 3])
        told = sorted(str(error).partition(" is lost")[0].rpartition(" ")[2] for error in errors)
        names = ("names", "place", "queue", "scores", "target", "title", "units")
        self.assertEqual(told, ["Unit.x", *(f"World.{name}" for name in names)])
        self.assertTrue(any("Plane" in str(error) for error in errors))
        self.assertRaises(TypeError, StateTree.load, World, data | {"root": None}, self.fail)

    def test_shifted(self) -> None:
        """If an item of a list is left out, no view sees the object that has its index now."""
        root = Table(seats=[Seat(), Seat()])
        root.named["a"] = Seat()
        tree = StateTree(root, self.fail)
        view = tree.view("m1")
        view.add(root.seats[0].hand)
        view.add(root.named["a"].hand)
        data = saved(tree)
        data["root"]["seats"][0] = "gone"
        errors: list[Exception] = []
        again = StateTree.load(Table, data, errors.append)
        table: Any = again.root
        self.assertEqual(([*again.view("m1").seen], len(errors)), ([table.named["a"].hand._txId], 1))

    def test_constructor(self) -> None:
        """`__init__` isn't called, so it may have arguments."""

        class Made(State):
            name: str = ""

            def __init__(self, name: str) -> None:
                super().__init__(name=name)

        class Makes(State):
            made: Map[Made]

        tree = StateTree(Makes(made={"a": Made("Ada")}), self.fail)
        again: Any = StateTree.load(Makes, saved(tree), self.fail).root
        self.assertEqual(again.made["a"].name, "Ada")

    @given(st.dictionaries(st.text(max_size=5), st.floats(width=32, allow_nan=False, allow_infinity=False)))
    def test_anything(self, units: dict[str, float]) -> None:
        """Whatever the keys and values are."""
        root = World()
        for key, x in units.items():
            root.units[key] = Unit(name=key, x=x)
        again: Any = StateTree.load(World, saved(StateTree(root, self.fail)), self.fail).root
        self.assertEqual({key: unit.x for key, unit in again.units.items()}, units)
