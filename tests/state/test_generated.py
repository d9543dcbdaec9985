"""The functions that encodings generate for a class, and what they do without."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txroom.state import Float32, List, Map, NativeEncoding, NativeReader, Quantized, State, StateTree, Uint8
from txroom.state import generated as generatedModule
from txroom.state.encoding import Encoding
from txroom.state.generated import Generated
from txroom.state.nativevalues import rowsOf as nativeRows
from txroom.state.schema import SchemaEncoding
from txroom.state.schema.rows import rowsOf as schemaRows


class Place(State):
    x: int


class Deep(Place):
    y: int


class Thing(State):
    """A field of each kind."""

    name: str
    a: Uint8
    b: Float32
    part: Annotated[float, Quantized(0, 1, 8)]
    few: Annotated[float, Quantized(0, 1)] | None
    count: int
    score: int | None
    isOn: bool
    place: Place
    other: Place | None
    marks: List[int]


class Game(State):
    things: Map[Thing]


class GeneratedTests(SynchronousTestCase):
    """Few objects with many sets of changed fields, in many rooms."""

    def setUp(self) -> None:
        Thing._txGenerated = Generated()
        self.game = self.newGame(1)

    def newGame(self, count: int) -> Game:
        return Game(things={f"{number}": Thing() for number in range(count)})

    def change(self, game: Game, tree: StateTree, encoding: Encoding, names: tuple[str, ...]) -> bytes:
        for thing in game.things.values():
            for name in names:
                setattr(thing, name, getattr(thing, name) + 1)
        changes = tree.commit()
        assert changes is not None
        return encoding.patch(changes)

    def test_few(self) -> None:
        """Nothing is generated for a set of fields that few objects have changed in."""
        tree = StateTree(self.game, self.fail)
        for encoding in (NativeEncoding(tree), SchemaEncoding(tree)):
            for names in combinations(("a", "b", "count"), 2):
                self.change(self.game, tree, encoding, names)
        self.assertEqual(Thing._txGenerated.rows, {})
        self.assertEqual(len(Thing._txGenerated.columns), 6)

    def test_often(self) -> None:
        """A function is generated when a set of fields has come often, or for many objects."""
        tree = StateTree(self.game, self.fail)
        encoding = NativeEncoding(tree)
        for _ in range(generatedModule.MIN_ROWS):
            self.assertEqual(Thing._txGenerated.rows, {})
            self.change(self.game, tree, encoding, ("a", "count"))
        self.assertEqual(len(Thing._txGenerated.rows), 1)
        many = self.newGame(generatedModule.MIN_ROWS)
        tree = StateTree(many, self.fail)
        self.change(many, tree, NativeEncoding(tree), ("count",))
        self.assertEqual(len(Thing._txGenerated.rows), 2)

    def test_rooms(self) -> None:
        """The rooms of a process share the functions."""
        for make in (NativeEncoding, SchemaEncoding):
            functions: list[Any] = []
            for _ in range(2):
                game = self.newGame(generatedModule.MIN_ROWS)
                tree = StateTree(game, self.fail)
                self.change(game, tree, make(tree), ("a", "count"))
                functions.append(dict(Thing._txGenerated.rows))
            self.assertEqual(*functions)

    def test_bound(self) -> None:
        """A class keeps no more than so many functions; further sets of fields are encoded without."""
        self.patch(generatedModule, "MAX_GENERATED", 2)
        self.patch(generatedModule, "MIN_ROWS", 2)
        tree = StateTree(self.game, self.fail)
        encoding = NativeEncoding(tree)
        reader = NativeReader(encoding.schema())
        reader.apply(encoding.full(None))
        for names in combinations(("a", "b", "count"), 2):
            for _ in range(2):
                reader.apply(self.change(self.game, tree, encoding, names))
        seen, thing = reader.root.things["0"], self.game.things["0"]
        self.assertEqual((seen.a, seen.b, seen.count), (thing.a, thing.b, thing.count))
        self.assertEqual(len(Thing._txGenerated.rows), 2)
        for number in range(5):
            Place._txGenerated.rowsFor(number, 1, self.fail)
        self.assertLessEqual(len(Place._txGenerated._missed), 2)

    @given(
        st.integers(1, Thing._txAll),
        st.text(max_size=3),
        st.integers(0, 255),
        st.none() | st.integers(-(2**40), 2**40),
        st.none() | st.floats(0, 1),
        st.none() | st.builds(Place) | st.builds(Deep),
        st.sampled_from((0, 300, 2**16, 2**31)),
    )
    def test_same(
        self, mask: int, name: str, a: int, score: int | None, few: float | None, other: Any, nextId: int
    ) -> None:
        """With and without a function, the bytes are the same."""
        Thing._txGenerated = Generated()
        game = self.newGame(1)
        tree = StateTree(game, self.fail)
        tree.nextId = max(nextId, tree.nextId)
        game.things["0"] = thing = Thing(name=name, a=a, b=a / 2, count=-a, score=score, few=few, other=other)
        many, base = generatedModule.MIN_ROWS, 1 if nextId == 300 else 0
        native: list[bytes] = []
        schema: list[bytes] = []
        for count in (1, many):
            native += nativeRows(Thing, mask, nextId > 300, base != 0, count)([thing], base)
            for isNew in (False, True):
                rows = schemaRows(Thing, mask, isNew, count)
                schema += rows([thing], lambda node, declared: type(node).__name__.encode())
        self.assertEqual(len(Thing._txGenerated.rows), 3)
        self.assertEqual(*native)
        self.assertEqual(schema[:2], schema[2:])
