"""The encoding for Colyseus's clients."""

from __future__ import annotations

import os
from random import Random
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.state.schema.histories import Game, History, Item, Player, Sword, expected
from tests.state.schema.reader import Bytes, Reader
from txroom.state import Float32, List, Map, State, StateTree, Uint16, private, views
from txroom.state.schema import SchemaEncoding, entries
from txroom.state.schema.wire import head, number, text

EXAMPLES = int(os.environ.get("TXROOM_EXAMPLES", "50"))


class Unit(State):
    """What moves."""

    name: str = ""
    x: Float32 = 0.0
    y: Float32 = 0.0
    health: Uint16 = 0


class World(State):
    """Units that all see, and others."""

    units: Map[Unit]
    ghosts: Map[Unit] = private()
    names: List[str]
    scores: Map[int]


class Harness:
    """A state, its encoding, and clients."""

    def __init__(self, root: State, firstId: int = 1) -> None:
        self.errors: list[Exception] = []
        self.tree = StateTree(root, self.errors.append, firstId)
        self.encoding = SchemaEncoding(self.tree)

    def patch(self) -> bytes:
        """What all clients get of the changes."""
        changes = self.tree.commit()
        assert changes is not None
        return self.encoding.patch(changes)

    def patchOf(self, key: str) -> bytes:
        """What a view gets of the changes after what all get."""
        changes = self.tree.commit()
        assert changes is not None
        return self.encoding.patchOf(changes, self.tree.view(key))

    def reader(self, key: str | None = None) -> Reader:
        """A client that has everything."""
        reader = Reader(self.encoding.schema())
        reader.read(self.encoding.full(None if key is None else self.tree.view(key)))
        return reader


class WireTests(SynchronousTestCase):
    """Numbers and texts."""

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False))
    def test_numbers(self, value: float) -> None:
        """Each number that JavaScript has arrives exactly."""
        self.assertEqual(Bytes(number(value)).number(), value)

    def test_sizes(self) -> None:
        """Numbers are as short as in Colyseus."""
        for value, size in (
            *((0, 1), (127, 1), (128, 2), (255, 2), (256, 3), (65535, 3), (65536, 5), (2**32, 9)),
            *((-1, 1), (-32, 1), (-33, 2), (-128, 2), (-129, 3), (-32768, 3), (-32769, 5), (-(2**31) - 1, 9)),
            *((1.0, 1), (0.5, 5), (0.1, 9), (1e300, 9)),
        ):
            self.assertEqual(len(number(value)), size, value)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from([1, 40, 300, 70_000]))
    def test_texts(self, value: str, times: int) -> None:
        """Each text arrives."""
        value = (value * times)[:80_000]
        self.assertEqual(Bytes(text(value)).text(), value)


class PatchTests(SynchronousTestCase):
    """The bytes of changes."""

    def setUp(self) -> None:
        self.world = World(units={str(number): Unit() for number in range(300)})
        self.harness = Harness(self.world)
        self.harness.encoding.full(None)

    def test_fields(self) -> None:
        """Fields that change together are one row, as Colyseus writes it."""
        for key, start in (("0", "ff02"), ("200", "ffccca"), ("290", "ffcd2401")):
            unit = self.world.units[key]
            self.assertEqual(head(unit._txId), bytes.fromhex(start))
            unit.x, unit.y = 1.5, -2.0
            self.assertEqual(self.harness.patch(), head(unit._txId) + bytes.fromhex("810000c03f82000000c0"))

    def test_mixins(self) -> None:
        """A class may have several bases; the one with the most fields is the one that clients know of."""

        class Moving(State):
            """Has no fields."""

        class Slow(Unit):
            health = 50

        class Cart(Moving, Unit):
            load: Uint16 = 7

        class SlowCart(Slow, Cart):
            driver: str = "bob"

        class Road(State):
            units: List[Unit]

        road = Road(units=[Cart(name="c"), SlowCart(name="s")])
        client = Harness(road).reader()
        self.assertEqual(client.state(), expected(road, None))
        self.assertEqual(
            [[getattr(unit, field.name) for field in unit._txFields] for unit in road.units],
            [["c", 0.0, 0.0, 0, 7], ["s", 0.0, 0.0, 50, 7, "bob"]],
        )

    def test_largeNumbers(self) -> None:
        """Objects with numbers of more than 16 bits."""
        world = World(units={"a": Unit()})
        harness = Harness(world, 70_000)
        client = harness.reader()
        world.units["a"].x = 1.5
        world.units["b"] = Unit(x=2)
        patch = harness.patch()
        self.assertEqual(patch[:11], bytes.fromhex("ffce71110100 810000c03f"))
        client.read(patch)
        self.assertEqual(client.state(), expected(world, None))

    def test_map(self) -> None:
        """A new value of a key that clients have needs no key; a number is used for one key only."""
        self.world.scores["a"] = 1
        scores = head(self.world.scores._txId)
        self.assertEqual(self.harness.patch(), scores + bytes.fromhex("80 00 a161 01"))
        self.world.scores["a"] = 2
        self.assertEqual(self.harness.patch(), scores + bytes.fromhex("00 00 02"))
        del self.world.scores["a"]
        self.assertEqual(self.harness.patch(), scores + bytes.fromhex("40 00"))
        self.world.scores["a"] = 3
        self.assertEqual(self.harness.patch(), scores + bytes.fromhex("80 01 a161 03"))

    def test_list(self) -> None:
        """Only what changes is sent, unless something comes before other items."""
        names = self.world.names
        start = head(names._txId)
        names.extend("abc")
        self.assertEqual(self.harness.patch(), start + bytes.fromhex("8000a161 8001a162 8002a163"))
        names[1] = "x"
        self.assertEqual(self.harness.patch(), start + bytes.fromhex("0001a178"))
        names.pop(0)
        self.assertEqual(self.harness.patch(), start + bytes.fromhex("4000"))
        names.insert(0, "z")
        self.assertEqual(self.harness.patch(), start + bytes.fromhex("0000a17a 0001a178 8002a163"))

    def test_once(self) -> None:
        """Changes are encoded once."""
        self.world.names.append("a")
        changes = self.harness.tree.commit()
        assert changes is not None
        self.assertIs(self.harness.encoding.patch(changes), self.harness.encoding.patch(changes))
        self.assertEqual(self.harness.encoding.patchOf(changes, self.harness.tree.view("a")), b"")

    def test_full(self) -> None:
        """The full state is encoded once until it changes; it can't be encoded with changes that wait."""
        full = self.harness.encoding.full(None)
        self.assertIs(self.harness.encoding.full(self.harness.tree.view("a")), full)
        self.world.names.append("a")
        self.assertRaises(RuntimeError, self.harness.encoding.full, None)
        self.assertRaises(RuntimeError, self.harness.encoding.since, 0, None)
        self.harness.tree.commit()
        self.assertIsNot(self.harness.encoding.full(None), full)


class ViewTests(SynchronousTestCase):
    """What only views see."""

    def setUp(self) -> None:
        self.world = World(ghosts={key: Unit(name=key) for key in "abc"})
        self.harness = Harness(self.world)

    def test_sees(self) -> None:
        """A view sees what was added to it, as it is then; others see nothing of it."""
        ada, bob = self.harness.reader("ada"), self.harness.reader("bob")
        self.assertEqual(ada.state()["ghosts"], {"map": {}})
        ghost = self.world.ghosts["b"]
        self.harness.tree.view("ada").add(ghost)
        ghost.x = 1
        changes = self.harness.tree.commit()
        assert changes is not None
        for key, reader in (("ada", ada), ("bob", bob)):
            reader.read(self.harness.encoding.patch(changes))
            reader.read(self.harness.encoding.patchOf(changes, self.harness.tree.view(key)))
        self.assertEqual([*ada.state()["ghosts"]["map"]], ["b"])
        self.assertEqual(ada.state()["ghosts"]["map"]["b"]["x"], 1)
        self.assertEqual(bob.state()["ghosts"], {"map": {}})
        self.assertNotIn(head(ghost._txId), self.harness.encoding.full(None))

    def test_onceForAll(self) -> None:
        """An object is encoded once, however many views see it."""
        ghost = self.world.ghosts["a"]
        views = [self.harness.tree.view(str(number)) for number in range(5)]
        for view in views:
            view.add(ghost)
        self.harness.tree.commit()
        ghost.x = 2
        changes = self.harness.tree.commit()
        assert changes is not None
        with patch.object(
            SchemaEncoding, "_encoded", autospec=True, side_effect=SchemaEncoding._encoded
        ) as called:
            got = {self.harness.encoding.patchOf(changes, view) for view in views}
        self.assertEqual(got, {head(ghost._txId) + bytes.fromhex("8100000040")})
        self.assertEqual(called.call_count, 1)
        self.assertEqual([view.put for view in views], [None] * 5)

    def test_dropped(self) -> None:
        """A view that is dropped gets nothing any more."""
        view = self.harness.tree.view("ada")
        view.add(self.world.ghosts["a"])
        self.harness.tree.commit()
        self.harness.tree.dropView("ada")
        self.world.ghosts["a"].x = 1
        self.assertEqual(self.harness.patchOf("bob"), b"")


class SinceTests(SynchronousTestCase):
    """Clients that were away."""

    def setUp(self) -> None:
        self.world = World(scores={"a": 1}, names=["a"])
        self.harness = Harness(self.world)
        self.client = self.harness.reader()

    def check(self, version: int) -> bytes:
        """The client gets what brings it up to date."""
        data = self.harness.encoding.since(version, None)
        assert data is not None
        self.client.read(data)
        self.assertEqual(self.client.state(), expected(self.world, None))
        return data

    def test_deleted(self) -> None:
        """A key that is gone goes; what hasn't changed isn't sent."""
        del self.world.scores["a"]
        self.world.scores["b"] = 2
        self.harness.patch()
        data = self.check(0)
        self.assertNotIn(head(self.world.names._txId), data)
        self.assertNotIn(b"\x0a", data)

    def test_nothing(self) -> None:
        """A client that has everything gets nothing."""
        self.assertEqual(self.check(0), b"")

    def test_unknown(self) -> None:
        """A client of which nothing is known gets everything, and what is gone is taken from it."""
        del self.world.scores["a"]
        self.world.scores["b"] = 2
        self.harness.patch()
        for version in (-1, 99):
            data = self.check(version)
            self.assertNotIn(b"\x0a", data)

    def test_shorter(self) -> None:
        """Items beyond the end of a list go, and those before the end stay."""
        self.world.names += ["b", "c"]
        self.harness.patch()
        self.check(0)
        del self.world.names[1:]
        self.harness.tree.commit()
        start = head(self.world.names._txId)
        self.assertIn(start + bytes.fromhex("c000a161 4001 4002"), self.check(-1))

    def test_unasked(self) -> None:
        """After changes that nobody asked for, the keys that are gone are known."""
        del self.world.scores["a"]
        self.harness.tree.commit()
        self.assertNotIn(b"\x0a", self.check(0))
        self.world.scores["b"] = 2
        self.harness.patch()
        self.check(1)

    def test_failed(self) -> None:
        """After a patch or a commit that has failed halfway, a client gets what it has missed."""
        for version, (owner, name) in enumerate(
            ((self.harness.encoding, "_private"), (self.harness.tree, "_takeDirty"))
        ):
            self.world.scores[f"key {version}"] = version
            del self.world.scores["a"]
            self.world.names[0] = "b"
            with patch.object(owner, name, side_effect=MemoryError):
                self.assertRaises(MemoryError, self.harness.patch)
            self.check(version)
            self.assertIsNone(self.harness.tree.commit())
            self.world.scores["a"] = version
            self.world.names.append("c")
            self.client.read(self.harness.patch())
            self.assertEqual(self.client.state(), expected(self.world, None))

    def test_unaskedKey(self) -> None:
        """A key that goes in changes that nobody asked for, and comes again, has another number."""
        scores = self.world.scores
        del scores["a"]
        self.harness.tree.commit()
        scores["b"] = 2
        self.harness.patch()
        scores["a"] = 3
        self.assertIn(bytes.fromhex("8002a161 03"), self.harness.patch())
        self.check(-1)

    def test_owner(self) -> None:
        """A client of the room's earlier owner loses what has gone since, and what was private."""
        world = self.world
        world.ghosts["a"] = Unit()
        world.scores["b"] = 2
        world.names.append("b")
        view = self.harness.tree.view("ada")
        view.add(world.ghosts["a"])
        self.harness.tree.commit()
        self.client = self.harness.reader("ada")
        self.harness.tree = tree = StateTree.load(World, self.harness.tree.save(), self.fail, 1000)
        self.harness.encoding = SchemaEncoding(tree)
        self.world = world = tree.root  # type: ignore[assignment]
        tree.view("ada").remove(world.ghosts["a"])
        del world.scores["a"], world.names[1]
        tree.commit()
        start = head(world.scores._txId)
        data = self.harness.encoding.since(-1, None, isOurs=True)
        assert data is not None
        self.assertIn(start, data)
        self.assertNotIn(start + b"\x0a", data)
        self.assertIn(start + b"\x0a", self.check(-1))
        world.scores["c"] = 3
        self.harness.patch()
        for version in (0, -1):  # the client has nothing from the earlier owner any more
            data = self.harness.encoding.since(version, None, isOurs=True)
            assert data is not None
            self.assertNotIn(b"\x0a", data)
            self.client.read(data)
            self.assertEqual(self.client.state(), expected(world, None))

    def test_ownView(self) -> None:
        """A client that has nothing of an earlier owner keeps its private parts."""
        world = self.world
        world.ghosts["a"], world.ghosts["b"] = Unit(name="a"), Unit(name="b")
        view = self.harness.tree.view("ada")
        view.add(world.ghosts["a"])
        view.add(world.ghosts["b"])
        self.harness.tree.commit()
        self.harness.tree = tree = StateTree.load(World, self.harness.tree.save(), self.fail, 1000)
        self.harness.encoding = SchemaEncoding(tree)
        self.world = world = tree.root  # type: ignore[assignment]
        self.client, view = self.harness.reader("ada"), tree.view("ada")
        world.ghosts["a"].name = "ann"
        view.remove(world.ghosts["b"])
        tree.commit()
        for version in (-1, tree.version, -1):
            data = self.harness.encoding.since(version, view, isOurs=True)
            assert data is not None
            self.assertNotIn(b"\x0a", data)
            self.client.read(data)
            self.assertEqual(self.client.state(), expected(world, view))

    def test_forgotten(self) -> None:
        """A client loses what it may have of the private parts, if its view has forgotten what was hidden."""
        self.patch(views, "MAX_HIDDEN", 1)
        ghosts, view = self.world.ghosts, self.harness.tree.view("ada")
        for key in "abc":
            ghosts[key] = Unit()
            view.add(ghosts[key])
        self.harness.tree.commit()
        self.client = self.harness.reader("ada")
        del ghosts["a"], ghosts["b"], ghosts["c"]
        self.harness.tree.commit()
        data = self.harness.encoding.since(-1, view)
        assert data is not None
        self.client.read(data)
        self.assertEqual(self.client.state(), expected(self.world, view))

    def test_many(self) -> None:
        """Of a map from which too many keys are gone, all is sent anew; maps that are gone are forgotten."""
        self.patch(entries, "MAX_GONE", 3)
        self.patch(entries, "MAX_SENT", 4)
        for score in range(100):
            self.world.scores = Map({"a": score})
            self.harness.patch()
        self.check(0)
        self.assertLess(len(self.harness.encoding._entries._keys), 100)
        for score in range(5):
            self.world.scores["x"] = score
            self.harness.patch()
            del self.world.scores["x"]
            self.harness.patch()
        version = self.harness.tree.version
        self.assertNotIn(b"\x0a", self.check(version - 1))
        self.assertIn(head(self.world.scores._txId) + b"\x0a", self.check(version - 9))

    def test_numbers(self) -> None:
        """A client that was away for long is told of all numbers that no key has, if these are few."""
        self.patch(entries, "MAX_GONE", 3)
        for _ in range(6):
            self.world.scores["x"] = 1
            self.harness.patch()
            del self.world.scores["x"]
            self.harness.patch()
        gone = b"".join(b"\x40" + number(each) for each in range(1, 7))
        self.assertIn(head(self.world.scores._txId) + gone + bytes.fromhex("8000a161 01"), self.check(-1))

    def test_long(self) -> None:
        """A list that was much longer is sent anew."""
        self.patch(entries, "MAX_SENT", 3)
        self.world.names += ["b"] * 4
        self.harness.patch()
        del self.world.names[1:]
        self.harness.patch()
        self.assertIn(head(self.world.names._txId) + bytes.fromhex("0a 8000a161"), self.check(-1))


class ClassTests(SynchronousTestCase):
    """What clients know of the classes."""

    def test_handshake(self) -> None:
        """Classes have their fields in their order, those of the bases first."""
        reader = Reader(Harness(Game()).encoding.schema())
        classes = [[name for name, _ in fields] for fields in reader.classes.values()]
        for cls in (Game, Player, Item, Sword):
            self.assertIn([field.name for field in cls._txFields], classes)
        self.assertEqual([name for name, _ in reader.root.kind], [field.name for field in Game._txFields])

    def test_mark(self) -> None:
        """Classes that clients read in the same way have the same mark, and others have another one."""

        class Bare(State):
            name: str = ""
            x: Float32 = 0.0

        class Alike(State):
            name: str = "none"
            x: Float32 = 1.0

        class Swapped(State):
            x: Float32 = 0.0
            name: str = ""

        class Wider(State):
            name: str = ""
            x: float = 0.0

        marks = [Harness(cls()).encoding.mark for cls in (Bare, Alike, Swapped, Wider)]
        self.assertEqual(marks[0], marks[1])
        self.assertEqual(len(set(marks)), 3)
        self.assertRegex(marks[0], "^[A-Za-z0-9_-]{12}$")

    def test_names(self) -> None:
        """A field that would hide what decoders need of an object is refused."""

        class Odd(State):
            constructor: int = 0

        with self.assertRaisesRegex(TypeError, "Odd.constructor: "):
            Harness(Odd())

    def test_subclass(self) -> None:
        """An object of a class below the declared one says so, also in the field that needs care."""
        game = Game(players={"a": Player(pet=Sword(damage=2))})
        harness = Harness(game)
        client = harness.reader()
        self.assertEqual(client.state()["players"]["map"]["a"]["pet"]["damage"], 2)
        game.wide.before, game.wide.here, game.wide.after = Item(count=1), Item(count=2), Sword()
        client.read(harness.patch())
        self.assertEqual(client.state(), expected(game, None))


class HistoryTests(SynchronousTestCase):
    """Random histories; tests/functional/test_schema.py plays them to Colyseus's own decoders."""

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
    @given(seed=st.integers(0, 2**64 - 1))
    def test_histories(self, seed: int) -> None:
        """Clients that join late, are away, and see private parts have the same state as the server."""
        errors: list[Exception] = []
        for client in History(Random(seed), errors.append).play(12):
            reader = Reader(client.steps[0][1])
            for (_, data), wanted in zip(client.steps[1:], client.states, strict=True):
                reader.read(data)
                self.assertEqual(reader.state(), wanted)
        self.assertEqual(errors, [])
