"""Values of other classes than the plain ones that fields have."""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any

from twisted.trial.unittest import SynchronousTestCase

from txroom.state import Int8, List, Map, Quantized, State


class Shade(StrEnum):
    RED = "red"


class Grade(IntEnum):
    HIGH = 5


class Player(State):
    name: str
    title: str | None
    alive: bool
    level: Int8
    rank: int | None
    score: int
    luck: float
    angle: Annotated[float, Quantized(-180, 180, 8)]
    points: List[int]
    marks: Map[float]


class ValueTests(SynchronousTestCase):
    """What fields make of values."""

    def test_enumerations(self) -> None:
        """A member of an enumeration is taken as its value, which is of exactly the type of the field."""

        class Colour(str, Enum):  # noqa: UP042
            RED = "red"

        class Level(int, Enum):
            HIGH = 5

        class Share(float, Enum):
            HALF = 0.5

        for name, rank in ((Colour.RED, Level.HIGH), (Shade.RED, Grade.HIGH)):
            player = Player(name=name, title=name, level=rank, rank=rank, luck=Share.HALF)
            player.marks[name] = Share.HALF
            player.points.append(rank)
            found = [player.name, player.title, player.level, player.rank, player.luck, player.points[0]]
            self.assertEqual(found, ["red", "red", 5, 5, 0.5, 5])
            self.assertEqual([type(each) for each in found], [str, str, int, int, float, int])
            self.assertEqual([*player.marks.items()], [("red", 0.5)])
            self.assertEqual((player.marks[name], "red" in player.marks), (0.5, True))
            self.assertIs(type(next(iter(player.marks))), str)
            del player.marks[name]

    def test_subclasses(self) -> None:
        """So is an instance of a subclass of a plain type, however it prints itself."""

        class Loud(str):
            def __str__(self) -> str:
                return self.upper()

        class Half(float):
            def __str__(self) -> str:
                return "a half"

        player = Player(name=Loud("ada"), luck=Half(0.5), angle=Half(0.5))
        self.assertEqual((player.name, player.luck, player.angle), ("ada", 0.5, 0.5))
        self.assertEqual({type(player.luck), type(player.angle)}, {float})

    def test_numpy(self) -> None:
        """Booleans of NumPy are booleans, whatever their class is called, and no numbers."""
        space: dict[str, Any] = {"__bool__": lambda self: False, "__index__": lambda self: 0}
        player = Player()
        for name in ("bool", "bool_"):
            false = type(name, (), {**space, "__float__": float, "__module__": "numpy"})()
            player.alive = True
            player.alive = false
            self.assertIs(player.alive, False)
            for field in ("score", "luck"):
                error = self.assertRaises(TypeError, setattr, player, field, false)
                self.assertIn(f"Player.{field}", str(error))
            other = type(name, (), {**space, "__module__": "mine"})()
            error = self.assertRaises(TypeError, setattr, player, "alive", other)
            self.assertIn("Player.alive: must be a bool", str(error))
