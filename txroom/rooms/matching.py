"""
Matching: what rooms are filtered by, when two values are the same, and in which order rooms are tried.

A filter's values are texts, numbers, `True` and `False`: three kinds, so that 1, "1" and `True` are never
the same, while 1 and 1.0 are one number. `None` is the same as none at all.
`contract.listing.Listing.matches` compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Self

import msgspec

from ..core.codes import ErrorCode
from ..core.validation import isInteger, nearestName, warnOfCall
from ..protocol.errors import RoomError
from ..protocol.joinoptions import AUTH, SEAT, without
from .contract.listing import Listing, Order

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


class Matching:
    """
    How the rooms of one name are matched with what clients ask for.

    Args:
        name: The name.
        options: What the server says of these rooms, whatever clients ask for.
    """

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self.options = dict(options)
        #: In which order rooms are tried and listed.
        self.order: Order = ()
        #: The options that rooms are filtered by, and of what type each is, if that is declared.
        self._types: dict[str, type | None] = {}

    def filterBy(self, *options: str | Iterable[str], **types: type) -> Self:
        """
        Only put clients together that ask for the same value of each of these options.

        `filterBy("mode", "map")` takes texts, numbers, `True` and `False`, which are three kinds: 1, "1" and
        `True` are never the same, 1 and 1.0 are. `filterBy(level=int)` takes whole numbers only (or `str`,
        `float`, `bool`), and also makes them of the texts that come with a path such as
        `/rooms/chat?level=1`. A client that asks for anything else is answered with `badRequest`. Another
        call adds to the first.

        Raises:
            TypeError: Something is no name or no type.
            ValueError: The registered options have a value that can't be filtered by, or it is an option
                that rooms don't have.
        """
        filters = {**self._types, **_declared(options, types)}
        for secret in (AUTH, SEAT):
            if secret in filters:
                raise ValueError(f"filterBy: {secret!r} is the client's own, rooms don't have it")
        try:
            _typed(filters, self.options)
        except RoomError as error:
            raise ValueError(f"register({self.name!r}, ...).filterBy: {error.message}") from None
        self._types = filters
        return self

    def sortBy(self, order: Mapping[str, int] | None = None, /, **fields: int) -> Self:
        """
        Which room is tried first: 1 for the least, -1 for the greatest value of a field.

        A field is one of `clients`, `maxClients` or `age`, a filtered option, or in the metadata. Default:
        the oldest. `sortBy(clients=-1, level=1)` or `sortBy({"clients": -1, "level": 1})`; another call
        begins anew. Values of different kinds are not compared: rooms without a value come first, then those
        with `False` and `True`, with numbers, with texts.

        Raises:
            TypeError: Something is no name of a field.
            ValueError: A direction is neither 1 nor -1.
        """
        if not isinstance(order, Mapping | None):
            raise TypeError(f"sortBy({order!r}): which is first, the least or the most? sortBy({order}=1)")
        self.order = _checkedOrder({**(order or {}), **fields})
        return self

    def typed(self, options: Mapping[str, Any], isText: bool = False) -> dict[str, Any]:
        """
        Make the options that are filtered by be of their types.

        Args:
            options: What a client asks for.
            isText: Whether they come from a query string, whose values are texts.

        Returns:
            A copy of all the options.

        Raises:
            RoomError: One can't be filtered by, or is of another type (`badRequest`); its name is told.
        """
        return _typed(self._types, options, isText)

    def filtersOf(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that are filtered by, with their values; `None` for those that are missing."""
        return {name: options.get(name) for name in self._types}

    def optionsOf(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """
        What a room is made with: what the client asked for, overlaid by what the server says.

        What shows who the client is it keeps for itself: the options of a room are no secret.
        """
        return {**without(asked, AUTH, SEAT), **self.options}


def _declared(names: Iterable[Any], types: Mapping[str, Any]) -> dict[str, type | None]:
    """What `filterBy` is called with: the type of each option, `None` if it is not declared."""
    declared: dict[str, type | None] = {}
    for each in names:
        for name in (each,) if isinstance(each, str) or not isinstance(each, Iterable) else each:
            if not isinstance(name, str):
                raise TypeError(f"filterBy: {name!r} is no name of an option; filterBy('mode', level=int)")
            declared[name] = None
    for name, kind in types.items():
        if kind not in TYPES:
            raise TypeError(f"filterBy: {name}={kind!r}: must be str, int, float or bool")
        declared[name] = kind
    return declared


def _typed(
    types: Mapping[str, type | None], options: Mapping[str, Any], isText: bool = False
) -> dict[str, Any]:
    typed = dict(options)
    for name, kind in types.items():
        value = typed.get(name)
        if value is not None:
            typed[name] = _typedValue(name, value, kind, isText)
    return typed


def _typedValue(name: str, value: Any, kind: type | None, isText: bool) -> Any:
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


#: What every room can be sorted by.
_FIELDS = ("clients", "maxClients", "age")


def _checkedOrder(fields: Mapping[str, Any]) -> Order:
    """
    What `sortBy` is called with, as an order.

    Warns of fields that are almost those of every room, since no metadata has them, perhaps.
    """
    for field, direction in fields.items():
        if not isinstance(field, str):
            raise TypeError(f"sortBy: {field!r} is no name of a field; sortBy(clients=-1)")
        if not isInteger(direction) or direction not in (1, -1):
            raise ValueError(f"sortBy: {field}={direction!r}: must be 1 (the least first) or -1")
    for field, direction in fields.items():
        meant = None if field in _FIELDS else nearestName(field, _FIELDS)
        if meant is not None:
            warnOfCall(f"sortBy({field}={direction}) is a field of the metadata: every room has {meant}")
    return tuple(fields.items())


def placeOf(listing: Listing, order: Order) -> Place:
    """Where a room stands in that order, the oldest first where that says nothing."""
    sorting = [_sorting(valueOf(listing, field), direction) for field, direction in order]
    return (*sorting, listing.age, listing.room)


def valueOf(listing: Listing, field: str) -> Any:
    """A field that rooms may be sorted by: their own, a filtered option, or of their metadata."""
    if field in _FIELDS:
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
