"""The place in data that can't be sent is found, for whatever the data is made of."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import attrs
import msgspec
from twisted.trial.unittest import SynchronousTestCase

from txroom.protocol import payload
from txroom.protocol.unsendable import explained, findMistake

THING = object()


class Card(msgspec.Struct):
    """Data of one kind."""

    owner: Any


@dataclass
class Pair:
    """Of another."""

    left: Any
    right: Any


@attrs.define
class Box:
    """And of a third."""

    inside: Any


PLACES: list[tuple[Any, str]] = [
    (THING, "data"),
    ({"a": [1, {"b": THING}]}, "data.a[1].b"),
    ({"odd key": THING}, "data['odd key']"),
    ([0, (THING, 1)], "data[1][0]"),
    ({"x": {THING}}, "data.x[0]"),
    (Card([Pair(1, Box(THING))]), "data.owner[0].right.inside"),
    ({"a": MappingProxyType({})}, "data.a"),
]


class PlaceTests(SynchronousTestCase):
    """The first of what can't be sent, in the order of the data."""

    def test_mistake(self) -> None:
        """For clients: the place, and why."""
        for data, place in PLACES:
            for isJSON in (True, False):
                found = findMistake(data, "data", isJSON)
                assert found is not None
                self.assertEqual(found[0], place)
                self.assertIn("is unsupported", found[1])
        self.assertIsNone(findMistake({"a": [1, Card(Pair(None, {"x"}))]}, "data", True))

    def test_explained(self) -> None:
        """For servers: the error says the same, and what the value is."""
        for data, place in PLACES:
            error = self.assertRaises(TypeError, payload.encode, data)
            self.assertIn(f"{place} is ", str(error))
            self.assertIn("which can't be sent", str(error))
        self.assertIn("meta[1] is ", str(explained(TypeError(), [0, THING], "meta")))

    def test_unknown(self) -> None:
        """What isn't found, or not soon, leaves the error as it was."""
        error = TypeError("as it was")
        self.assertIs(explained(error, [1, 2]), error)
        self.assertIs(explained(error, [[0]] * 10_000 + [THING]), error)

    def test_itself(self) -> None:
        """Data that is in itself ends where data must end."""
        data: list[Any] = []
        data.append(data)
        self.assertEqual(findMistake(data, "data", True), ("data" + "[0]" * 64, "nested deeper than 64"))
        error = TypeError("as it was")
        self.assertIs(explained(error, data), error)

    def test_long(self) -> None:
        """A value that takes long to show is cut."""

        class Long:
            def __repr__(self) -> str:
                return "x" * 1000

        error = self.assertRaises(TypeError, payload.encode, [Long()])
        self.assertIn(f"data[0] is {'x' * 77}..., which", str(error))
