"""What a type of data says of what clients may send."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from txroom import Client, Room, message
from txroom.rooms.api.datatypes import checkDecodable, isOpen
from txroom.rooms.api.handlers import handlersOf


class Point(msgspec.Struct):
    """Data whose type says all of it."""

    x: float
    y: int = 0


class Loose(msgspec.Struct):
    """Data of which a part may be anything."""

    any: Any


class Node(msgspec.Struct):
    """Data that may be within itself."""

    inner: list[Node] = []


class Color(Enum):
    """Data of few values."""

    RED = "red"


class Game:
    """What nobody sends."""


class TypeTests(SynchronousTestCase):
    """What may be in data of a type."""

    def test_types(self) -> None:
        """Data types whose members or keys could be made to collide are errors when a room is registered."""

        class Inner(msgspec.Struct):
            known: dict[int, str]

        class Node(msgspec.Struct):
            inner: list[Node] = []

        refused: tuple[Any, ...] = (
            dict[int, str],
            set[int],
            frozenset[float],
            dict[str | int, str],
            dict[tuple[int, int], str],
            set[datetime],
            list[Inner],
            dict[str, set[int]],
            set,
        )
        for type in refused:
            self.assertRaises(TypeError, isOpen, type)
        taken: tuple[tuple[Any, bool], ...] = (
            (dict[str, list[int]], False),
            (set[str], False),
            (Point, False),
            (tuple[int, str] | None, False),
            (Loose, True),
            (dict[str, Any], True),
            (dict, True),
            (list, True),
            (msgspec.Raw, True),
        )
        for type, expected in taken:
            self.assertEqual(isOpen(type), expected, type)

        class Bad(Room):
            @message("x")
            def scores(self, client: Client, data: dict[int, int]) -> None: ...

        text = str(self.assertRaises(TypeError, handlersOf, Bad))
        self.assertIn("scores", text)
        self.assertIn("dict[str, ...]", text)

    def test_nested(self) -> None:
        """A type within itself leaves open how deep data is; one that is there twice may do so."""
        self.assertTrue(isOpen(Node))
        self.assertTrue(isOpen(tuple[Point, Point]))
        self.assertFalse(isOpen(tuple[Color, Color]))

    def test_decodable(self) -> None:
        """Nothing that is decoded is of a class of somebody's own, wherever that stands in the type."""
        right: tuple[Any, ...] = (Point, Node, Color, list[Loose], datetime, object, Any)
        for type in right:
            checkDecodable(type)
        wrong: tuple[Any, ...] = (Game, list[Game], dict[str, Game | None], tuple[Node, Game])
        for type in wrong:
            error = self.assertRaises(TypeError, checkDecodable, type)
            self.assertIn("data of clients is never a Game", str(error))
