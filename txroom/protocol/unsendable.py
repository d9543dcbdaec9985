"""
Finds the part of data that can't be sent, for the error message.

Encoders only report that something could not be encoded. So the data is searched for the place, as in
`data.cards[2].owner`.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import isawaitable
from itertools import islice
from math import isfinite
from typing import Any, NamedTuple

import msgspec
from twisted.python.reflect import safe_repr

from .limits import MAX_DEPTH

#: The most values to search for the cause of an encoder's error.
_MOST = 10_000
#: The range of integers in both encodings and their decoders.
_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**64 - 1


class Place(NamedTuple):
    """A value in data, with its path."""

    path: str
    value: Any
    #: The value; for an object whose fields are data (a Struct, a dataclass) a dict of its fields.
    inner: Any
    #: The number of containers around it.
    depth: int

    @property
    def isContainer(self) -> bool:
        """Whether it may contain values."""
        return isinstance(self.inner, dict | list | tuple | set | frozenset)


def explained(error: TypeError, data: Any, name: str = "data") -> TypeError:
    """
    Return an error that names the part of `data` that could not be encoded, if that can be found.

    An example is `data.cards[2].owner is a coroutine`.

    Args:
        error: The error of the encoder, which is returned if the part can't be found.
        data: The data.
        name: What the error calls the data.
    """
    for place in islice(_walk(data, name), _MOST):
        value = place.value
        if place.isContainer:
            continue
        if isawaitable(value):
            kind = type(value).__name__
            return TypeError(f"{place.path} is a {kind}: await it, so that its result can be sent")
        try:
            msgspec.msgpack.encode(value)
        except TypeError as reason:
            return TypeError(f"{place.path} is {_described(value)}, which can't be sent: {reason}")
        except (ValueError, OverflowError, RecursionError):
            continue
    return error


def findMistake(data: Any, name: str, isJSON: bool) -> tuple[str, str] | None:
    """Return the path of the first value in `data` that can't be sent, and why; `None` if there is none."""
    for place in _walk(data, name):
        mistake = _mistakeOf(place.value, isJSON)
        if not mistake and place.isContainer:
            if place.depth >= MAX_DEPTH:
                mistake = f"nested deeper than {MAX_DEPTH}"
            elif isinstance(place.inner, dict):
                mistake = _mistakeOfKeys(place.inner, isJSON)
        if mistake:
            return place.path, mistake
    return None


def mistakeOfText(text: str) -> str:
    """Return why a string can't be sent; "" if it can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        return f"half of a surrogate pair (U+{ord(half):04X} at index {error.start}), which is no character"
    return ""


def shown(value: Any) -> str:
    """Return a value as it is shown in an error, shortened."""
    try:
        return cut(ascii(value), 60)
    except ValueError:  # an integer of very many digits
        return f"{type(value).__name__}"


def cut(text: str, most: int) -> str:
    """Shorten a string to at most `most` characters, the last three of which are then dots."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


# -- walking


def _walk(data: Any, name: str) -> Iterator[Place]:
    """
    Yield the data and all values in it, in order, a container before its values.

    Containers at the depth `MAX_DEPTH` are yielded, but not entered.
    """
    waiting = [(data, name, 0)]
    while waiting:
        value, path, depth = waiting.pop()
        place = Place(path, value, _opened(value), depth)
        yield place
        if place.isContainer and depth < MAX_DEPTH:
            steps = list(_steps(place.inner))
            waiting += ((each, path + step, depth + 1) for step, each in reversed(steps))


def _opened(value: Any) -> Any:
    """See `Place.inner`."""
    kind = type(value)
    if isinstance(value, dict | list | tuple | set | frozenset) or not _hasFields(value):
        return value
    if isinstance(value, msgspec.Struct):
        names = list(value.__struct_fields__)
    else:
        fields = getattr(kind, "__dataclass_fields__", None)
        names = list(fields or [field.name for field in kind.__attrs_attrs__])
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _hasFields(value: Any) -> bool:
    marks = ("__struct_fields__", "__dataclass_fields__", "__attrs_attrs__")
    return any(hasattr(type(value), mark) for mark in marks)


def _steps(container: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values in a container, each with its step of the path."""
    if isinstance(container, dict):
        for key, value in container.items():
            isName = isinstance(key, str) and key.isidentifier()
            yield (f".{key}" if isName else f"[{shown(key)}]"), value
    else:
        for index, value in enumerate(container):
            yield f"[{index}]", value


# -- single values


def _mistakeOf(value: Any, isJSON: bool) -> str:
    """Return what is wrong with a value, apart from the values in it; "" if nothing."""
    if isinstance(value, str):
        return mistakeOfText(value)
    if isinstance(value, int):
        isFit = _LEAST_INTEGER <= value <= _MOST_INTEGER
        return "" if isFit else f"{shown(value)} is an integer of more than 64 bits"
    if isinstance(value, float):
        return f"{value!r} does not exist in JSON" if isJSON and not isfinite(value) else ""
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes do not exist in JSON" if isJSON else ""
    if isinstance(value, dict | list | tuple | set | frozenset) or value is None:
        return ""
    try:
        msgspec.msgpack.encode(value)
        if isJSON:
            msgspec.json.encode(value)
    except (OverflowError, RecursionError, ValueError):
        return "" if _hasFields(value) else f"{shown(value)} can't be sent"
    except TypeError as error:
        if isawaitable(value):
            return f"a {type(value).__name__}: await it, so that its result can be sent"
        return "" if _hasFields(value) else str(error)
    return ""


def _mistakeOfKeys(data: dict[Any, Any], isJSON: bool) -> str:
    """Return what is wrong with the keys of a dict; "" if nothing."""
    names: set[str] = set()
    for key in data:
        mistake = _mistakeOf(key, isJSON)
        if not isJSON and not isinstance(key, str):
            mistake = f"the key {shown(key)} is not a string"
        elif isinstance(key, bool) or not isinstance(key, str | int | float):
            mistake = f"the key {shown(key)} is neither a string nor a number" if isJSON else mistake
        if mistake:
            return f"a key: {mistake}"
        if isJSON and str(key) in names:
            return f"two keys are {shown(str(key))} in JSON"
        names.add(str(key))
    return ""


def _described(value: Any) -> str:
    """Return a short description of an object."""
    return cut(safe_repr(value), 80)
