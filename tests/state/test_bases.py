"""Classes with several bases, and what they have of them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txroom.state import Float32, State


class Place(State):
    x: Float32 = 0.0


class Methods(State):
    """Has no fields."""


class Early(State):
    late: Late


class Child(Methods, Early):
    own: int


class Late(State):
    x: int


class BaseTests(SynchronousTestCase):
    """The bases of a class."""

    def test_mixins(self) -> None:
        """A base without fields may come before the one that has them; its methods come first."""

        class Named(State):
            def label(self) -> str:
                return f"the {self.name}"  # type: ignore[attr-defined]

        class Base(State):
            name: str = "base"
            hp: int = 3
            _log: list[str] = []

            def label(self) -> str:
                return ""

        class Low(Base):
            hp = 1

        class Both(Named, Base):
            mana: int = 7

        class Last(Low, Both):
            pass

        both, last = Both(name="mage"), Last()
        self.assertEqual([field.name for field in Both._txFields], ["name", "hp", "mana"])
        self.assertEqual((both.name, both.hp, both.mana, both._log), ("mage", 3, 7, []))
        self.assertEqual(both.label(), "the mage")
        self.assertEqual((last.hp, last.mana), (1, 7), "the default of the first class that has one")

    def test_mixinLater(self) -> None:
        """The same if the fields of the base are only known when its annotations can be."""
        self.assertEqual(Child(late=Late(x=3), own=4).late.x, 3)

    def test_twoBases(self) -> None:
        """Two bases can't both have fields, or attributes of the server; the error names them."""

        class Armed(State):
            sword: str

        class Fast(State):
            _speed: float = 1.5

        class Faster(Fast):
            pass

        for bases, names in [
            ((Armed, Place), "both Armed and Place have fields"),
            ((Faster, Place), "both Faster and Place have fields"),
            ((Place, Fast), "both Place and Fast have fields"),
        ]:
            space: dict[str, Any] = {"__module__": __name__}
            error = self.assertRaises(TypeError, type(State), "Wrong", bases, space)
            self.assertIn(f"Wrong: {names}", str(error))

    def test_attributes(self) -> None:
        """A subclass may give an attribute of the server another default, with or without its annotation."""

        class Base(State):
            _speed: float = 1.5
            _name: str = "x"
            _target: int

        class Fast(Base):
            _speed: float = 3.0
            _name: str
            _target = 4

        class Faster(Fast):
            _speed = 9.0

        self.assertEqual((Base()._speed, Base()._name), (1.5, "x"))
        self.assertEqual((Fast()._speed, Fast()._name, Fast()._target), (3.0, "x", 4))
        faster = Faster()
        self.assertEqual((faster._speed, faster._name, faster._target), (9.0, "x", 4))
        faster._speed = 10.0
        self.assertEqual((faster._speed, Faster()._speed), (10.0, 9.0))

    def test_slots(self) -> None:
        """A class may declare slots of its own."""

        class Slotted(State):
            __slots__ = ("extra",)
            x: int
            _y: int = 2

        slotted: Any = Slotted(x=1)
        slotted.extra = 3
        self.assertEqual((slotted.x, slotted._y, slotted.extra), (1, 2, 3))
        self.assertRaises(AttributeError, setattr, slotted, "more", 4)
