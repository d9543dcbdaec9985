"""Excerpts of a state, for people who look at it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from txroom.state import List, Map, Quantized, State, StateTree, Uint64, private
from txroom.state.excerpts import MOST_LEVELS, MOST_TEXT, excerptOf


class Card(State):
    rank: int = 0


class Player(State):
    hand: List[Card] = private()
    name: str = ""
    x: Annotated[float, Quantized(0, 1)] = 0.0
    _speed: float = 3.0


class Spy(Player):
    cover: str = "baker"


class Table(State):
    players: Map[Player]
    words: List[str]
    secret: Card | None = private()
    owner: Player | None = None
    notes: Map[int] = private()
    total: Uint64 = 0
    round: int = 1


class Chain(State):
    below: Chain | None = None


def shown(root: State, size: int = 1 << 16, withPrivate: bool = True) -> Any:
    data, isCut = excerptOf(root, size, withPrivate)
    assert not isCut
    return data


class ExcerptTests(SynchronousTestCase):
    """What is told of a state."""

    def test_whole(self) -> None:
        """All fields in their order; those of a subclass too, and no attributes of the server."""
        table = Table(players={"ada": Player(hand=[Card(rank=3)], name="Ada", x=0.5), "": Spy()})
        table.secret, table.notes["a"] = Card(rank=9), 4
        self.assertEqual(
            shown(table),
            {
                "players": {
                    "ada": {"hand": [{"rank": 3}], "name": "Ada", "x": 0.5},
                    "": {"hand": [], "name": "", "x": 0.0, "cover": "baker"},
                },
                "words": [],
                "secret": {"rank": 9},
                "owner": None,
                "notes": {"a": 4},
                "total": 0,
                "round": 1,
            },
        )
        self.assertEqual(list(shown(table)), [field.name for field in Table._txFields])

    def test_private(self) -> None:
        """Without private parts, their fields are left out at each level."""
        table = Table(players={"ada": Player(hand=[Card(rank=3)], name="Ada")}, notes={"a": 4})
        found = shown(table, withPrivate=False)
        self.assertEqual(sorted(found), ["owner", "players", "round", "total", "words"])
        self.assertEqual(found["players"], {"ada": {"name": "Ada", "x": 0.0}})

    def test_largeIntegers(self) -> None:
        """Those that JavaScript would round are texts."""
        self.assertEqual(shown(Table(total=2**53 - 1))["total"], 2**53 - 1)
        self.assertEqual(shown(Table(total=2**64 - 1))["total"], str(2**64 - 1))

    def test_cut(self) -> None:
        """Plain values come first; of what is below them as much as there is space for, and never more."""
        table = Table(players={f"p{n}": Player(name='"é\n' * n, hand=[Card()]) for n in range(100)})
        whole = len(msgspec.json.encode(shown(table)))
        known = -1
        for size in range(100, whole + 100, 50):
            data, isCut = excerptOf(table, size, True)
            self.assertLessEqual(len(msgspec.json.encode(data)), size)
            self.assertEqual((data["round"], isCut), (1, True), size)
            number = len(data.get("players", ()))
            self.assertGreaterEqual(number, known)
            known = number
        self.assertEqual(excerptOf(table, 4 * whole, True), (shown(table), False))
        self.assertEqual(excerptOf(table, 0, True), ({}, True))

    def test_cost(self) -> None:
        """What is not shown isn't read."""
        table = Table(words=["a"] * 10_000)
        read: list[str] = []

        class Counting(list[str]):
            def __iter__(self) -> Any:
                for each in super().__iter__():
                    read.append(each)
                    yield each

        table.words._txData = Counting(table.words._txData)
        self.assertTrue(excerptOf(table, 1000, True).isCut)
        self.assertLess(len(read), 400)

    def test_longText(self) -> None:
        """A long text hides nothing else."""
        table = Table(words=["x" * MOST_TEXT, "y" * 100_000, "z"])
        data, isCut = excerptOf(table, 1 << 16, True)
        self.assertEqual(data["words"], ["x" * MOST_TEXT, "y" * MOST_TEXT + "…", "z"])
        self.assertTrue(isCut)

    def test_deep(self) -> None:
        """What is nested too deep to be sent is left out."""
        chain = top = Chain()
        for _ in range(MOST_LEVELS - 1):
            chain.below = Chain()
            chain = chain.below
        self.assertFalse(excerptOf(top, 1 << 16, True).isCut)
        chain.below = Chain()
        data, isCut = excerptOf(top, 1 << 16, True)
        for _ in range(MOST_LEVELS - 1):
            data = data["below"]
        self.assertEqual((data, isCut), ({}, True))

    def test_changesNothing(self) -> None:
        """A look marks nothing as changed."""
        tree = StateTree(Table(players={"ada": Player()}), lambda error: None, 1)
        tree.commit()
        shown(tree.root)
        self.assertIsNone(tree.commit())
