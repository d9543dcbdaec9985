"""
Matching: what rooms are filtered by, when two values are the same, and in which order rooms are tried.

A filter's values are texts, numbers, `True` and `False`: three kinds, so that 1, "1" and `True` are never
the same, while 1 and 1.0 are one number. `None` is the same as none at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec

from ..core.codes import ErrorCode
from ..core.validation import isInteger
from ..protocol.errors import RoomError
from .contract.listing import Order

if TYPE_CHECKING:
    from .contract.listing import Listing

#: What a filtered option may be declared as.
TYPES: tuple[type, ...] = (str, int, float, bool)

#: Where a room stands in an order: comparable with the places of others, its id last.
Place = tuple[Any, ...]

#: Numbers that fit MessagePack.
_LEAST, _GREATEST = -(2**63), 2**64 - 1


def isFilterable(value: object) -> bool:
    """Whether a value can be filtered by: a text, `True`, `False`, or a finite number of 64 bits."""
    if isinstance(value, int):
        return _LEAST <= value <= _GREATEST
    return isinstance(value, str) or (isinstance(value, float) and isfinite(value))


def wantedBy(filter: object) -> dict[str, Any]:
    """
    What a filter looks for; `None` is nothing.

    Raises `TypeError` unless it is a mapping, `RoomError` (`badRequest`), which names the field, for a value
    that can't be looked for.
    """
    if not isinstance(filter, Mapping):
        raise TypeError(f"filter={filter!r}: must be a mapping, such as {{'mode': 'blitz'}}")
    wanted = {name: value for name, value in filter.items() if value is not None}
    for name, value in wanted.items():
        if not isFilterable(value):
            raise _wrong("filter", name)
    return wanted


def _wrong(what: str, name: str, kind: type | None = None) -> RoomError:
    allowed = "a text, a number, true or false" if kind is None else _NAMES[kind]
    return RoomError(ErrorCode.BAD_REQUEST, f"{what} {name}: must be {allowed}", {"field": name})


_NAMES: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


class Filters:
    """The options that rooms of one name are filtered by, and what type each is of, if that is declared."""

    def __init__(self) -> None:
        self._types: dict[str, type | None] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._types

    def add(self, names: Iterable[Any], types: Mapping[str, Any]) -> None:
        """Filter by these too. Raises `TypeError` and `ValueError` for what can't be filtered by."""
        flat: list[Any] = []
        for each in names:
            flat += [each] if isinstance(each, str) or not isinstance(each, Iterable) else each
        for name in flat:
            if not isinstance(name, str):
                raise TypeError(f"filterBy: {name!r} is no name of an option; filterBy('mode', level=int)")
        for name, kind in types.items():
            if kind not in TYPES:
                raise TypeError(f"filterBy: {name}={kind!r}: must be str, int, float or bool")
        self._types.update(dict.fromkeys(flat), **types)

    def typed(self, options: Mapping[str, Any], isText: bool = False) -> dict[str, Any]:
        """
        The options, those that are filtered by as their types say.

        `isText`: they come from a query string, whose values are texts. Raises `RoomError` (`badRequest`),
        which names the option, for one that can't be filtered by or is of another type.
        """
        typed = dict(options)
        for name, kind in self._types.items():
            value = typed.get(name)
            if value is not None:
                typed[name] = _typed(name, value, kind, isText)
        return typed

    def valuesOf(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that are filtered by, with their values; `None` for those that are missing."""
        return {name: options.get(name) for name in self._types}


def _typed(name: str, value: Any, kind: type | None, isText: bool) -> Any:
    if kind is not None and isText:
        try:
            value = msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError:
            raise _wrong("option", name, kind) from None
    elif kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    elif kind is float and isInteger(value) and isFilterable(value):
        value = float(value)
    if not isFilterable(value) or not (kind is None or type(value) is kind):
        raise _wrong("option", name, kind)
    return value


def orderOf(fields: Mapping[str, Any]) -> Order:
    """What `Registration.sortBy` says. Raises `TypeError` and `ValueError`."""
    for field, direction in fields.items():
        if not isinstance(field, str):
            raise TypeError(f"sortBy: {field!r} is no name of a field; sortBy(clients=-1)")
        if not isInteger(direction) or direction not in (1, -1):
            raise ValueError(f"sortBy: {field}={direction!r}: must be 1 (the least first) or -1")
    return tuple(fields.items())


def placeOf(listing: Listing, order: Order) -> Place:
    """Where a room stands in that order, the oldest first where that says nothing."""
    sorting = [_sorting(valueOf(listing, field), direction) for field, direction in order]
    return (*sorting, listing.age, listing.room)


def valueOf(listing: Listing, field: str) -> Any:
    """A field that rooms may be sorted by: their own, a filtered option, or of their metadata."""
    if field in ("clients", "maxClients", "age"):
        return getattr(listing, field)
    return listing.filters[field] if field in listing.filters else listing.metadata.get(field)


class _Descending(str):
    """A text that sorts the other way round."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def _sorting(value: Any, direction: int) -> tuple[int, Any]:
    """Values of different kinds can't be compared: first what has none, then truths, numbers, texts."""
    if isinstance(value, str):
        return (3, value) if direction > 0 else (-3, _Descending(value))
    if not isFilterable(value):
        return (0, 0)
    return (direction * (1 if isinstance(value, bool) else 2), direction * value)
