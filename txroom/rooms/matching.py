"""
Matching: the options that rooms are filtered by, and the order in which rooms are tried.

Values of filters are strings, numbers or booleans. Values of different kinds never match: 1, "1" and `True`
are different, while 1 and 1.0 are the same number. `None` is the same as a missing value.
`contract.listing.Listing.matches` compares values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any, Self

import msgspec

from ..core.codes import ErrorCode
from ..core.validation import isInteger, nearestName, warnOfCall
from ..protocol.errors import RoomError
from ..protocol.joinoptions import AUTH, SEAT, without
from .contract.listing import Listing, Order

#: The types that a filtered option may be declared with.
TYPES: tuple[type, ...] = (str, int, float, bool)

#: The sort key of a room; its last part is the room's id.
Place = tuple[Any, ...]

#: Numbers that fit MessagePack.
_LEAST, _GREATEST = -(2**63), 2**64 - 1


def isFilterable(value: object) -> bool:
    """Return whether rooms can be filtered by a value: a string, a boolean or a finite number of 64 bits."""
    if isinstance(value, int):
        return _LEAST <= value <= _GREATEST
    return isinstance(value, str) or (isinstance(value, float) and isfinite(value))


def wantedBy(filter: object) -> dict[str, Any]:
    """
    Return the values that a filter asks for, without those that are `None`.

    Raises:
        TypeError: The filter is not a mapping.
        RoomError: Rooms can't be filtered by one of its values (`badRequest`); the error names the field.
    """
    if not isinstance(filter, Mapping):
        raise TypeError(f"filter={filter!r}: must be a mapping, such as {{'mode': 'blitz'}}")
    wanted = {name: value for name, value in filter.items() if value is not None}
    for name, value in wanted.items():
        if not isFilterable(value):
            raise _wrong("filter", name)
    return wanted


def _wrong(what: str, name: str, kind: type | None = None) -> RoomError:
    allowed = "a string, a number, true or false" if kind is None else _NAMES[kind]
    return RoomError(ErrorCode.BAD_REQUEST, f"{what} {name}: must be {allowed}", {"field": name})


_NAMES: dict[type, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


class Matching:
    """
    Matches the rooms of one name with the requests of clients.

    Args:
        name: The name.
        options: The registered options, which override those of clients.
    """

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self.options = dict(options)
        #: The order in which rooms are tried and listed.
        self.order: Order = ()
        self._types: dict[str, type | None] = {}

    @property
    def filters(self) -> Mapping[str, type | None]:
        """The options that rooms are filtered by, with their types; `None` for any of the four types."""
        return MappingProxyType(self._types)

    def filterBy(self, *options: str | Iterable[str], **types: type) -> Self:
        """
        Match only clients that ask for the same value of each of these options, like Colyseus's `filterBy`.

        `filterBy("mode", "map")` takes strings, numbers and booleans. Values of different kinds never match:
        1, "1" and `True` are different, 1 and 1.0 are the same. `filterBy(level=int)` takes only whole
        numbers (the other types are `str`, `float` and `bool`), and converts the strings of a path such as
        `/rooms/chat?level=1`. A client that asks for anything else gets `badRequest`. Further calls add
        options.

        Args:
            options: Names of options.
            types: Names of options with their types.

        Returns:
            The registration itself.

        Raises:
            TypeError: A name is not a string, or a type is none of the four.
            ValueError: Rooms can't be filtered by the value of a registered option, or rooms don't get the
                option (`auth`, `seat`).
        """
        filters = {**self._types, **_declared(options, types)}
        for secret in (AUTH, SEAT):
            if secret in filters:
                raise ValueError(f"filterBy: rooms don't get the option {secret!r}")
        try:
            _typed(filters, self.options)
        except RoomError as error:
            raise ValueError(f"register({self.name!r}, ...).filterBy: {error.message}") from None
        self._types = filters
        return self

    def sortBy(self, order: Mapping[str, int] | None = None, /, **fields: int) -> Self:
        """
        Set the order in which rooms are tried, like Colyseus's `sortBy`; by default the oldest is first.

        Examples are `sortBy(clients=-1, level=1)` and `sortBy({"clients": -1, "level": 1})`. Another call
        replaces the order. Values of different kinds are sorted by kind: rooms without a value first, then
        booleans, numbers, strings.

        Args:
            order: Fields with 1 (ascending) or -1 (descending), the most important first. A field is
                `clients`, `maxClients`, `age`, a filtered option, or a key of the metadata.
            fields: More fields.

        Returns:
            The registration itself.

        Raises:
            TypeError: The name of a field is not a string.
            ValueError: A direction is neither 1 nor -1.
        """
        if not isinstance(order, Mapping | None):
            raise TypeError(f"sortBy({order!r}): which is first, the least or the most? sortBy({order}=1)")
        self.order = _checkedOrder({**(order or {}), **fields})
        return self

    def typed(self, options: Mapping[str, Any], isText: bool = False) -> dict[str, Any]:
        """
        Convert the options that rooms are filtered by to their types.

        Args:
            options: The options of a client's request.
            isText: Whether they come from a query string, so that all values are strings.

        Returns:
            A copy of all options.

        Raises:
            RoomError: Rooms can't be filtered by a value, or it has a wrong type (`badRequest`); the error
                names the option.
        """
        return _typed(self._types, options, isText)

    def filtersOf(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that rooms are filtered by, with `None` for missing ones."""
        return {name: options.get(name) for name in self._types}

    def optionsOf(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the options of a new room: those of the client's request, overridden by the registered ones.

        The options `auth` and `seat` are left out, since the options of a room are not secret.
        """
        return {**without(asked, AUTH, SEAT), **self.options}


def _declared(names: Iterable[Any], types: Mapping[str, Any]) -> dict[str, type | None]:
    """Check the arguments of `filterBy`; return the type of each option, or `None`."""
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


#: The fields that every room can be sorted by.
_FIELDS = ("clients", "maxClients", "age")


def _checkedOrder(fields: Mapping[str, Any]) -> Order:
    """
    Check the arguments of `sortBy`, and return the order.

    Warns of fields whose names are almost those of the fields that every room has.
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
    """Return the sort key of a room; rooms that compare equal are sorted by age, the oldest first."""
    sorting = [_sorting(valueOf(listing, field), direction) for field, direction in order]
    return (*sorting, listing.age, listing.room)


def valueOf(listing: Listing, field: str) -> Any:
    """Return a field of a room: one that every room has, a filtered option, or one of the metadata."""
    if field in _FIELDS:
        return getattr(listing, field)
    return listing.filters[field] if field in listing.filters else listing.metadata.get(field)


class _Descending(str):
    """A string that sorts in descending order."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def _sorting(value: Any, direction: int) -> tuple[int, Any]:
    """Return a sort key for values of all kinds: missing ones, booleans, numbers, strings."""
    if isinstance(value, str):
        return (3, value) if direction > 0 else (-3, _Descending(value))
    if not isFilterable(value):
        return (0, 0)
    return (direction * (1 if isinstance(value, bool) else 2), direction * value)
