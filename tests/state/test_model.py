"""`State`, `Map` and `List`: what fields take, and that an object has one place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Optional

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txroom.state import (
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    List,
    Map,
    Quantized,
    State,
    StateTree,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    private,
)
from txroom.state.types import Quantized as QuantizedType


class Place(State):
    x: Float32 = 0.0
    y: Float32


class Player(State):
    """Has a field of each kind, an attribute of the class, and two that only the server has."""

    limit: ClassVar[int] = 3
    name: str = "nobody"
    alive: bool = True
    level: Int8 = 1
    score: int
    luck: float
    rank: int | None = None
    title: Optional[str]  # noqa: UP045
    angle: Annotated[float, Quantized(-180, 180, 8)]
    place: Place
    home: Place | None = None
    friends: List[Player]
    points: List[int]
    marks: Map[float]
    hand: List[Place] = private()
    _speed: float = 1.5
    _log: list[str] = []

    @property
    def isBest(self) -> bool:
        return self.score > 10


class Knight(Player):
    name = "Sir"
    horse: str


class Game(State):
    players: Map[Player]
    heap: List[Place]


class FieldTests(SynchronousTestCase):
    """Values of fields."""

    def refuses(self, error: type[Exception], text: str, call: Callable[..., Any], *arguments: Any) -> None:
        raised = self.assertRaises(error, call, *arguments)
        self.assertIn(text, str(raised))

    def test_defaults(self) -> None:
        """A field without a default has zero, an empty text or collection, None or an instance."""
        player = Player()
        self.assertEqual((player.name, player.alive, player.level, player.score), ("nobody", True, 1, 0))
        self.assertEqual((player.luck, player.rank, player.title, player.angle), (0.0, None, None, 0.0))
        self.assertEqual((player.home, len(player.friends), dict(player.marks)), (None, 0, {}))
        self.assertEqual((player.place.x, player.place.y), (0.0, 0.0))
        self.assertEqual((player._speed, Player.limit, player.isBest), (1.5, 3, False))

    def test_own(self) -> None:
        """No two instances have the same default object."""
        one, other = Player(), Player()
        one.place.x = 5
        one.points.append(1)
        one._log.append("x")
        self.assertEqual((other.place.x, list(other.points), other._log), (0.0, [], []))

    def test_objectDefaults(self) -> None:
        """A default that is an object is copied for each instance."""

        class Start(State):
            place: Place = Place(x=2.5)
            words: List[str] = List(["a"])
            places: Map[Place] = Map({"middle": Place(x=1)})

        one, other = Start(), Start()
        one.place.x, one.places["middle"].x = 3, 4
        one.words.append("b")
        self.assertEqual((other.place.x, other.places["middle"].x, list(other.words)), (2.5, 1, ["a"]))

    def test_inheritance(self) -> None:
        """A subclass has the fields of its base, and may have other defaults."""
        knight = Knight(horse="Rocinante", score=11)
        self.assertEqual(
            (knight.name, knight.level, knight.horse, knight.isBest), ("Sir", 1, "Rocinante", True)
        )
        self.assertEqual(Player().name, "nobody")

    def test_values(self) -> None:
        """Numbers of other classes are taken as what the field has."""
        player = Player(name="ada", luck=3, level=-128, rank=5)
        self.assertEqual((player.luck, type(player.luck)), (3.0, float))
        player.rank = None
        self.assertEqual(player.rank, None)

    def test_types(self) -> None:
        """Values of another type are refused, and told with class and field."""
        player: Any = Player()
        for name, value in [
            ("name", 3),
            ("name", None),
            ("alive", 1),
            ("level", 1.5),
            ("level", True),
            ("luck", "1"),
            ("luck", False),
            ("score", None),
            ("rank", "1"),
            ("angle", None),
            ("place", None),
            ("place", Player()),
            ("home", 3),
            ("friends", None),
            ("friends", "text"),
            ("points", ["1"]),
            ("marks", {1: 1.0}),
        ]:
            with self.subTest(name=name, value=value):
                self.refuses(TypeError, "layer." + name, setattr, player, name, value)
        self.assertEqual(repr(player), repr(Player()))

    def test_ranges(self) -> None:
        """Values out of range, NaN, infinities and lone surrogates are refused."""
        player: Any = Player()
        for name, value in [
            ("level", 128),
            ("level", -129),
            ("score", 2**53),
            ("luck", math.nan),
            ("luck", math.inf),
            ("luck", 10**400),
            ("angle", math.nan),
            ("angle", -math.inf),
            ("name", "\ud800"),
        ]:
            with self.subTest(name=name, value=value):
                self.refuses(ValueError, f"Player.{name}", setattr, player, name, value)
        self.refuses(ValueError, "Place.x", setattr, player.place, "x", 1e39)
        self.refuses(ValueError, "marks['a']", player.marks.__setitem__, "a", math.nan)
        self.refuses(ValueError, "marks", player.marks.__setitem__, "\udfff", 1.0)

    def test_names(self) -> None:
        """A name that the class does not declare can't be set, neither by keyword."""
        player: Any = Player()
        self.assertRaises(AttributeError, setattr, player, "nick", "x")
        self.refuses(TypeError, "no field 'nick'", lambda: Player(nick="x"))

    def test_initializers(self) -> None:
        """A class may have an ``__init__`` of its own, and need not call that of State."""

        class Bullet(State):
            x: float

            def __init__(self, start: float) -> None:
                self.x = start + 1

        self.assertEqual(Bullet(1.0).x, 2.0)

    def test_sizes(self) -> None:
        """Each sized type takes exactly what its size can hold."""

        class Sizes(State):
            int8: Int8
            uint8: Uint8
            int16: Int16
            uint16: Uint16
            int32: Int32
            uint32: Uint32
            int64: Int64
            uint64: Uint64
            float64: Float64

        sizes: Any = Sizes()
        for bits in (8, 16, 32, 64):
            for name, low, high in [
                (f"int{bits}", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
                (f"uint{bits}", 0, 2**bits - 1),
            ]:
                for value in (low, high):
                    setattr(sizes, name, value)
                    self.assertEqual(getattr(sizes, name), value)
                self.assertRaises(ValueError, setattr, sizes, name, low - 1)
                self.assertRaises(ValueError, setattr, sizes, name, high + 1)


class QuantizedTests(SynchronousTestCase):
    """`Quantized`."""

    @given(
        st.sampled_from([QuantizedType(-1, 1, 8), QuantizedType(0, 1000), QuantizedType(-180, 180, 32)]),
        st.floats(-1e6, 1e6),
    )
    def test_near(self, type: QuantizedType, value: float) -> None:
        """What a client gets is off by at most half a step, or is the end of the range."""
        clamped = min(max(value, type.min), type.max)
        step = (type.max - type.min) / type.span
        self.assertLessEqual(abs(type.unpack(type.pack(value)) - clamped), step * 0.500001)
        self.assertTrue(0 <= type.pack(value) <= type.span)

    def test_setter(self) -> None:
        """The server keeps the value; nothing has changed while the same is sent for it."""
        player = Player(angle=10)
        tree = StateTree(player, self.fail)
        player.angle = 10.1
        self.assertEqual((player.angle, tree.isChanged), (10.1, False))
        player.angle = 500
        self.assertEqual((player.angle, tree.isChanged), (500, True))

    def test_default(self) -> None:
        """Without a default, the server has what clients get: zero, or the end of the range next to it."""

        class Ranges(State):
            above: Annotated[float, QuantizedType(10, 20)]
            around: Annotated[float, QuantizedType(-1, 1)]
            below: Annotated[float, QuantizedType(-20, -10)]

        ranges = Ranges()
        self.assertEqual((ranges.above, ranges.around, ranges.below), (10.0, 0.0, -10.0))

    def test_wrong(self) -> None:
        """Ranges and sizes that can't be."""
        for arguments in [(0, 1, 7), (1, 1), (2, 1), (0, math.inf), (math.nan, 1)]:
            self.assertRaises(ValueError, QuantizedType, *arguments)


class ClassTests(SynchronousTestCase):
    """What a class may declare."""

    def test_refused(self) -> None:
        """Annotations that no field can have, and names that are those of txroom."""
        for annotation, default in [
            (dict, None),
            ("complex", None),
            (list[int], None),
            (int | str, None),
            (Map[List[int]], None),
            (Map[Any], None),
            (int, "x"),
            (Int8, 200),
            (int, private()),
        ]:
            with self.subTest(annotation=annotation):
                space = {"__annotations__": {"it": annotation}, "__module__": __name__}
                space |= {} if default is None else {"it": default}
                self.assertRaises((TypeError, ValueError), declared, space)
        for annotation, text in [
            (Map[str, Place], "Declared.it: keys are always texts: write Map[Place]"),  # type: ignore[misc]
            (List[int, Place], "Declared.it: write List[Place]"),  # type: ignore[misc]
            (List[List[int]], "Declared.it: a Map or List can't hold others"),
            (QuantizedType(0, 1), "write Annotated[float, Quantized(min=0, max=1, bits=16)]"),
            (Annotated[int, QuantizedType(0, 1)], "only a float can be quantized"),
        ]:
            space = {"__annotations__": {"it": annotation}, "__module__": __name__}
            self.assertIn(text, str(self.assertRaises(TypeError, declared, space)))
        for name in ("_txId", "_txf_x"):
            space = {"__annotations__": {name: int}, "__module__": __name__}
            self.assertRaises(TypeError, type(State), "Wrong", (State,), space)
        self.assertRaises(TypeError, type(State), "Wrong", (State,), {"_txCopy": 1, "__module__": __name__})

    def test_twice(self) -> None:
        """A subclass can't declare a field of its base again."""
        space = {"__annotations__": {"x": int}, "__module__": __name__}
        self.assertRaises(TypeError, type(State), "Wrong", (Place,), space)

    def test_forgotten(self) -> None:
        """A value without an annotation is an error, unless it is a new default or an attribute of a base."""
        error = self.assertRaises(TypeError, declared, {"speed": 5, "__module__": __name__})
        self.assertIn("Declared.speed=5: annotate it", str(error))

        class Base(State):
            LIMIT: ClassVar[int] = 3
            speed: int = 1

        class Below(Base):
            LIMIT = 4
            speed = 2

            def run(self) -> None:
                """Methods need none."""

            @property
            def doubled(self) -> int:
                """Nor do properties."""
                return 2 * self.speed

        below = Below()
        self.assertEqual((below.LIMIT, below.speed, below.doubled), (4, 2, 4))

    def test_many(self) -> None:
        """A class has at most 63 fields."""
        for count, isRight in [(63, True), (64, False)]:
            space = {"__annotations__": {f"f{n}": int for n in range(count)}, "__module__": __name__}
            if isRight:
                self.assertEqual(declared(space).f62, 0)
            else:
                self.assertRaises(TypeError, declared, space)

    def test_anyName(self) -> None:
        """Fields may have the names of what a tree, a mapping or a view has."""

        class Odd(State):
            version: int = 1
            mask: int = 2
            items: Map[int]
            commit: str = "x"
            self: int = 4
            value: float = 0.5
            check: int = 3

        odd = Odd(version=5)
        odd.self, odd.check, odd.value = 6, 7, 1.5
        StateTree(odd, self.fail)
        odd.items["a"] = 3
        self.assertEqual((odd.version, odd.self, odd.check, odd.value, odd.mask), (5, 6, 7, 1.5, 2))

    def test_later(self) -> None:
        """An annotation may name a class that comes later in the module."""
        self.assertEqual(Early(late=Late(x=3)).late.x, 3)


class Early(State):
    late: Late
    more: Map[Late]


class Late(State):
    x: int


class PlaceTests(SynchronousTestCase):
    """An object has one place."""

    def setUp(self) -> None:
        self.game = Game()
        self.tree = StateTree(self.game, self.fail)

    def test_twice(self) -> None:
        """What has a place can't get another one, in a tree or not; the state is as before."""
        for game in (self.game, Game()):
            ada = game.players["ada"] = Player()
            for call in (
                lambda: game.players.__setitem__("bob", ada),  # noqa: B023
                lambda: game.heap.append(ada.place),  # noqa: B023
                lambda: game.heap.extend([ada.place]),  # noqa: B023
                lambda: setattr(ada, "home", ada.place),  # noqa: B023
                lambda: Player(friends=[ada]),  # noqa: B023
                lambda: game.heap.__setitem__(slice(0, 0), [Place()] * 2),  # noqa: B023
            ):
                self.assertRaises(ValueError, call)
            self.assertEqual((list(game.players), len(game.heap), ada.home), (["ada"], 0, None))

    def test_circles(self) -> None:
        """Nothing is below itself."""
        one = Player()
        other = Player(friends=[one])
        self.assertRaises(ValueError, one.friends.append, other)
        self.assertRaises(ValueError, one.friends.append, one)

    def test_moved(self) -> None:
        """What is taken out may be put in elsewhere, with another number."""
        ada = self.game.players["ada"] = Player(name="Ada")
        self.tree.commit()
        before = ada._txId
        self.game.players["bob"] = self.game.players.pop("ada")
        self.assertEqual((ada.name, list(self.game.players)), ("Ada", ["bob"]))
        self.assertNotEqual(ada._txId, before)
        changes = self.tree.commit()
        assert changes is not None
        self.assertIn(before, changes.removed)

    def test_sameAgain(self) -> None:
        """To assign what is there already changes nothing."""
        ada = self.game.players["ada"] = Player(name="Ada")
        self.tree.commit()
        self.game.players["ada"] = ada
        ada.place, ada.friends = ada.place, ada.friends
        ada.name = "Ada"
        self.assertEqual(self.tree.isChanged, False)

    def test_collections(self) -> None:
        """A mapping or list that is assigned becomes the content of a new one."""
        ada = self.game.players["ada"] = Player()
        ada.marks = {"a": 1}  # type: ignore[assignment]
        ada.points = [1, 2]  # type: ignore[assignment]
        mine = List([Player(name="Bob")])
        ada.friends = mine
        mine.append(Player(name="Eve"))
        self.assertEqual((dict(ada.marks), list(ada.points)), ({"a": 1.0}, [1, 2]))
        self.assertEqual([each.name for each in ada.friends], ["Bob", "Eve"])

    def test_lateClass(self) -> None:
        """Clients don't know a class that was declared after the tree was made."""

        class Squire(Player):
            pass

        error = self.assertRaises(TypeError, self.game.players.__setitem__, "s", Squire())
        self.assertIn("Squire", str(error))
        self.assertEqual((len(self.game.players), self.tree.commit()), (0, None))


class CollectionTests(SynchronousTestCase):
    """`Map` and `List` are used as dict and list."""

    @given(st.lists(st.tuples(st.integers(0, 6), st.integers(-3, 6), st.integers(0, 9))))
    def test_list(self, steps: list[tuple[int, int, int]]) -> None:
        """What a list does, a List does, too."""

        class Scores(State):
            it: List[int]

        mine, model = Scores().it, list[int]()
        for kind, at, value in steps:
            results: list[Any] = []
            for each in (mine, model):
                try:
                    results.append(listStep(each, kind, at, value))
                except (IndexError, ValueError) as error:
                    results.append(type(error))
            self.assertEqual(results[0], results[1])
            self.assertEqual(list(mine), model)
            self.assertTrue(mine == model and len(mine) == len(model))

    def test_map(self) -> None:
        """What a dict does, a Map does, too."""
        map = Player().marks
        map.update(a=1, b=2)
        self.assertEqual(map.setdefault("c", 3.0), 3.0)
        self.assertEqual((map.pop("a"), map.get("z"), "b" in map, len(map)), (1.0, None, True, 2))
        self.assertEqual(
            (list(map), list(map.values()), dict(map.items())), (["b", "c"], [2, 3], {"b": 2, "c": 3})
        )
        self.assertRaises(KeyError, map.__delitem__, "z")
        self.assertEqual(map, {"b": 2.0, "c": 3.0})
        map.clear()
        self.assertEqual((repr(map), bool(map)), ("Map({})", False))

    def test_unbound(self) -> None:
        """A List that is no field takes everything; assigned to one it must fit."""
        wrong: List[Any] = List([1, "x"])
        self.assertRaises(TypeError, setattr, Player(), "points", wrong)
        self.assertEqual(wrong, [1, "x"])


def declared(space: dict[str, Any]) -> Any:
    """An instance of a class whose body has made `space`."""
    make: Any = type(State)
    return make("Declared", (State,), space)()


def listStep(it: Any, kind: int, at: int, value: int) -> Any:
    match kind:
        case 0:
            return it.append(value)
        case 1:
            return it.insert(at, value)
        case 2:
            return it.pop(at)
        case 3:
            it[at] = value
        case 4:
            it[at : at + 2] = [value, value]
        case 5:
            return it.remove(value)
        case 6:
            it.sort() if value % 2 else it.reverse()
    return it.index(value) if value in it else it.count(value)
