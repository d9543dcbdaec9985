"""A game whose state changes at random, and what a client must have of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from struct import pack, unpack
from typing import Annotated, Any

from txroom.state import (
    Float32,
    Int8,
    Int64,
    List,
    Map,
    Quantized,
    State,
    StateTree,
    Uint16,
    View,
    private,
)
from txroom.state.collections import Collection
from txroom.state.types import Quantized as QuantizedType
from txroom.state.types import Scalar

#: Histories that each test runs; set TXROOM_EXAMPLES for many.
EXAMPLES = int(os.environ.get("TXROOM_EXAMPLES", "50"))


class Place(State):
    x: Float32 = 0.0
    y: Annotated[float, Quantized(-50, 50)]


class Item(State):
    kind: str = "sword"
    weight: Uint16 = 1
    place: Place | None = None


class Bag(State):
    items: List[Item]
    size: Int8 = 3


class Being(State):
    name: str = ""
    score: int = 0
    alive: bool = True
    luck: float | None = None
    place: Place
    bag: Bag = private()
    secrets: List[str] = private()
    friends: List[Item]
    marks: Map[Int64]


class Wizard(Being):
    score = 7
    spells: Map[Item] = private()
    notes: Map[str] = private()


class Game(State):
    beings: Map[Being]
    hidden: Map[Being] = private()
    heap: List[Item]
    round: int = 0
    king: Being | None = None
    ghost: Being | None = private()
    table: List[float]


#: How many objects come and go unseen, for numbers of all sizes.
AGES = [2**8, 2**16, 2**31, 2**33, 2**40]


class History:
    """Changes a state; each `step` is one change that an application could make."""

    def __init__(self, random: Random, errors: Callable[[Exception], None]) -> None:
        self.random = random
        self.game = Game()
        self.tree = StateTree(self.game, errors)
        self.views = [self.tree.view("a"), self.tree.view("b")]
        #: What has been taken out of the state, and may come back.
        self.pool: list[State] = []
        self._steps = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("step")]

    def step(self) -> None:
        self.random.choice(self._steps)()

    def stepAge(self) -> None:
        """The room has had many more objects."""
        self.tree.nextId = min(self.tree.nextId + self.random.choice(AGES), 2**48)

    # -- what is there

    def nodes(self, *classes: type) -> list[Any]:
        return [node for node in self.tree.nodes.values() if isinstance(node, classes)]

    def any(self, *classes: type) -> Any:
        found = self.nodes(*classes)
        return self.random.choice(found) if found else None

    def one(self, kind: type[State]) -> Any:
        """A new instance, one with other instances in it, or one that was in the state before."""
        before = [each for each in self.pool if isinstance(each, kind)]
        if before and self.random.random() < 0.4:
            found = self.random.choice(before)
            self.pool.remove(found)
            return found
        if kind is Being:
            being = self.random.choice((Being, Wizard))(name=self.text())
            if self.random.random() < 0.5:
                being.bag.items.append(Item(place=Place(x=1.5)))
                being.secrets.append(self.text())
            if isinstance(being, Wizard) and self.random.random() < 0.5:
                being.spells["first"] = Item()
                being.notes["n"] = "x"
            return being
        return kind()

    def text(self) -> str:
        return self.random.choice(("", "ada", "Zürich", "\U0001f600" * 40, "x" * 200))

    def number(self) -> int:
        return self.random.choice((0, 1, -1, 63, 64, -65, 300, -70000, 2**40, 2**53 - 1, 1 - 2**53))

    def key(self) -> str:
        return self.random.choice(("a", "b", "c", "d", "ü"))

    def drop(self, node: Any) -> None:
        if isinstance(node, State):
            self.pool.append(node)

    # -- changes

    def stepPlace(self) -> None:
        place = self.any(Place)
        if place is not None:
            place.x = self.random.uniform(-1e6, 1e6)
            if self.random.random() < 0.5:
                place.y += self.random.choice((0.0, 1e-5, 1.0, 200.0, -7.5))

    stepPlace2 = stepPlace

    def stepBeing(self) -> None:
        being = self.any(Being)
        if being is not None:
            name, value = self.random.choice(
                (
                    ("name", self.text()),
                    ("score", self.number()),
                    ("alive", self.random.random() < 0.5),
                    ("luck", self.random.choice((None, 0.5, -1e300))),
                )
            )
            setattr(being, name, value)

    stepBeing2 = stepBeing

    def stepNewPart(self) -> None:
        being = self.any(Being)
        if being is not None:
            self.drop(being.bag)
            being.bag = self.one(Bag)
        item = self.any(Item)
        if item is not None:
            self.drop(item.place)
            item.place = self.random.choice((None, self.one(Place)))

    def stepGame(self) -> None:
        self.game.round = self.number()
        name = self.random.choice(("king", "ghost"))
        self.drop(getattr(self.game, name))
        setattr(self.game, name, self.random.choice((None, self.one(Being))))

    def stepPut(self) -> None:
        map = self.random.choice((self.game.beings, self.game.hidden))
        key = self.key()
        self.drop(map.get(key))
        map[key] = self.one(Being)

    stepPut2 = stepPut

    def stepTake(self) -> None:
        map = self.random.choice((self.game.beings, self.game.hidden))
        self.drop(map.pop(self.key(), None))

    def stepMaps(self) -> None:
        being = self.any(Being)
        if being is not None:
            being.marks[self.key()] = self.number()
            being.marks.pop(self.key(), None)
            if self.random.random() < 0.1:
                being.marks = {"new": 5}
        wizard = self.any(Wizard)
        if wizard is not None:
            wizard.notes[self.key()] = self.text()
            wizard.notes.pop(self.key(), None)
            key = self.key()
            self.drop(wizard.spells.pop(key, None))
            if self.random.random() < 0.6:
                wizard.spells[key] = self.one(Item)

    def stepItems(self) -> None:
        lists = [each for being in self.nodes(Being) for each in (being.friends, being.bag.items)]
        list = self.random.choice([self.game.heap, *lists])
        choice = self.random.randrange(6)
        at = self.random.randrange(len(list) + 1)
        if choice < 2:
            list.insert(at, self.one(Item))
        elif choice == 2 and at < len(list):
            self.drop(list.pop(at))
        elif choice == 3:
            list.reverse()
        elif choice == 4 and at < len(list):
            old = list[at]
            list[at] = self.one(Item)
            self.drop(old)
        elif choice == 5:
            old = list[at : at + 2]
            list[at : at + 2] = old[1:]
            if old:
                self.drop(old[0])

    stepItems2 = stepItems

    def stepValues(self) -> None:
        being = self.any(Being)
        if being is not None:
            being.secrets.insert(self.random.randrange(3), self.text())
            if self.random.random() < 0.3:
                del being.secrets[:2]
        table = self.game.table
        table.append(self.random.random())
        if self.random.random() < 0.3:
            table.sort()
        if self.random.random() < 0.3:
            del table[self.random.randrange(len(table))]
        if self.random.random() < 0.05:
            table.clear()

    def stepView(self) -> None:
        view = self.random.choice(self.views)
        node = self.any(State, Collection)
        try:
            self.random.choice((view.add, view.add, view.remove))(node)
        except ValueError:
            pass

    stepView2 = stepView3 = stepView4 = stepView


def model(value: Any, view: View | None = None) -> Any:
    """What a client that has a view must have: objects as (class, fields)."""
    if isinstance(value, State):
        fields = {}
        for field in value._txFields:
            each = getattr(value, field.name)
            if field.isPrivate and field.isOwn and not sees(view, each):
                each = None if isinstance(each, State) or each is None else type(each)()
            elif isinstance(each, Map) and field.isPrivate and each._txHoldsNodes:
                each = {key: node for key, node in each.items() if sees(view, node)}
            fields[field.name] = each if each is None else rounded(field.type, each, view)
        return type(value).__name__, fields
    if isinstance(value, dict | Map):
        return {key: model(each, view) for key, each in value.items()}
    if isinstance(value, List):
        return [model(each, view) for each in value]
    return value


def sees(view: View | None, node: Any) -> bool:
    return view is not None and node in view


def rounded(type: Any, value: Any, view: View | None) -> Any:
    """A value as clients get it."""
    if isinstance(type, QuantizedType):
        return type.unpack(type.pack(value))
    if isinstance(type, Scalar) and type.name == "float32":
        return unpack("<f", pack("<f", value))[0]
    return model(value, view)


def seen(value: Any) -> Any:
    """What a `NativeReader` has, for comparison with `model`."""
    if isinstance(value, dict):
        return {key: seen(each) for key, each in value.items()}
    if isinstance(value, list):
        return [seen(each) for each in value]
    if hasattr(value, "__dict__"):
        return type(value).__name__, {key: seen(each) for key, each in vars(value).items()}
    return value
