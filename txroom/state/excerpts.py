"""
Excerpts of a state as plain data, for people who look at it.

No more of the state is read than is shown, so a look at a large state costs no more than one at a small one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from .collections import Collection, Map
from .model import State
from .node import Node
from .types import SAFE_INTEGER

#: The most levels of objects, maps and lists that are shown, and the most characters of a text.
MOST_LEVELS, MOST_TEXT = 32, 1000
#: How many values are measured at a time.
_AT_ONCE = 100
#: What an object, a map or a list counts itself, in bytes: more than it has, since each costs time.
_NODE = 8

_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode


class Excerpt(NamedTuple):
    """What is shown of a state."""

    #: Plain data.
    data: Any
    #: Whether something is left out because it is too large or too deep.
    isCut: bool


def excerptOf(root: State, size: int, withPrivate: bool) -> Excerpt:
    """
    Return as much of a state as has at most so many bytes as JSON.

    The plain values of an object are taken before what is below it. Integers that JavaScript doesn't
    represent exactly are told as texts.

    Args:
        root: The state.
        size: The most bytes.
        withPrivate: Whether the fields with private parts are told, too.
    """
    taking = _Taking(size, withPrivate)
    return Excerpt(taking.node(root, 1), taking.isCut)


class _Taking:
    """Takes parts of a state, until they have so many bytes."""

    def __init__(self, size: int, withPrivate: bool) -> None:
        self._left = size - _NODE
        self._withPrivate = withPrivate
        self.isCut = False

    def node(self, node: Node, level: int) -> Any:
        """Return what is shown of an object, a map or a list."""
        if not isinstance(node, Collection):
            return self._object(cast(State, node), level)
        content: Any = cast(Any, node)._txData
        if isinstance(node, Map):
            items = content.items()
            return dict(self._nodes(items, level)) if node._txHoldsNodes else self._values(items)
        if node._txHoldsNodes:
            return [shown for _, shown in self._nodes(((None, each) for each in content), level)]
        return self._items(content)

    def _object(self, state: State, level: int) -> dict[str, Any]:
        fields = [field for field in type(state)._txFields if self._withPrivate or not field.isPrivate]
        found = self._values((each.name, getattr(state, each.slot)) for each in fields if each.isValue)
        below = [(each.name, getattr(state, each.slot)) for each in fields if not each.isValue]
        if not below:
            return found
        found.update(self._nodes(below, level))
        return {field.name: found[field.name] for field in fields if field.name in found}

    def _values(self, entries: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        """Return the first of these names and plain values, as many as there is space for."""
        rest, found = iter(entries), dict[str, Any]()
        while some := {key: self._plain(value) for key, value in islice(rest, _AT_ONCE)}:
            if not self._fits(some):
                return found | dict(self._fitting(some.items()))
            found |= some
        return found

    def _items(self, values: Iterable[Any]) -> list[Any]:
        """Return the first of these plain values, as many as there is space for."""
        rest, found = iter(values), list[Any]()
        while some := list(map(self._plain, islice(rest, _AT_ONCE))):
            if not self._fits(some):
                return [*found, *self._fitting(some)]
            found += some
        return found

    def _fits(self, data: Any) -> bool:
        """Count data, if there is space for it."""
        size = _sizeOf(data)
        if size > self._left:
            return False
        self._left -= size
        return True

    def _fitting(self, parts: Iterable[_T]) -> Iterator[_T]:
        """Yield the first of these parts, as many as there is space for, and end the excerpt."""
        self.isCut = True
        yield from takewhile(self._fits, parts)
        self._left = 0

    def _nodes(self, entries: Iterable[tuple[Any, Node | None]], level: int) -> Iterator[tuple[Any, Any]]:
        """Yield the first of these keys, with what is shown of these objects, maps and lists."""
        for key, node in entries:
            self._left -= _NODE + (0 if key is None else _sizeOf(key))
            if self._left < 0 or (node is not None and level == MOST_LEVELS):
                self.isCut = True
                return
            yield key, None if node is None else self.node(node, level + 1)

    def _plain(self, value: Any) -> Any:
        if type(value) is int and not -SAFE_INTEGER <= value <= SAFE_INTEGER:
            return str(value)
        if type(value) is str and len(value) > MOST_TEXT:
            self.isCut = True
            return f"{value[:MOST_TEXT]}…"
        return value


def _sizeOf(data: Any) -> int:
    """Return the bytes of data with the comma or colon behind it."""
    return len(_encode(data)) + 1
