"""
What in data can't be encoded, and where it is: told to whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import isawaitable
from typing import Any

import msgspec
from twisted.python.reflect import safe_repr

#: Values that are looked at.
_MOST = 10_000


def explained(error: TypeError, data: Any, name: str = "data") -> TypeError:
    """
    The error of an encoder, which does not say what it was in `data` that it could not encode, with that.

    With the field, as in `data.cards[2].owner is a coroutine`; `name` is what the data are called.
    """
    said = _explained(name, data)
    return TypeError(said) if said else error


def _explained(name: str, data: Any) -> str:
    """What can't be encoded, and why; empty if that isn't known."""
    for path, value in _leaves(name, data):
        if isawaitable(value):
            return f"{path} is a {type(value).__name__}: await it, so that its result can be sent"
        try:
            msgspec.msgpack.encode(value)
        except TypeError as error:
            return f"{path} is {_described(value)}, which can't be sent: {error}"
        except (ValueError, OverflowError, RecursionError):
            continue
    return ""


def _described(value: Any) -> str:
    """A value, in a few words."""
    what: str = safe_repr(value)
    return what if len(what) <= 80 else f"{what[:77]}..."


def _leaves(name: str, data: Any) -> Iterator[tuple[str, Any]]:
    """What data is made of, but for lists and mappings, with the path to it."""
    waiting = [(name, data)]
    for _ in range(_MOST):
        if not waiting:
            return
        path, value = waiting.pop()
        parts = list(_parts(path, value))
        if parts or isinstance(value, Mapping | list | tuple):
            waiting += reversed(parts[:_MOST])
        else:
            yield path, value


def _parts(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield (f"{path}.{key}" if isinstance(key, str) else f"{path}[{key!r}]"), each
    elif isinstance(value, list | tuple | set | frozenset):
        for index, each in enumerate(value):
            yield f"{path}[{index}]", each
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield f"{path}.{name}", getattr(value, name, None)
    elif hasattr(type(value), "__dataclass_fields__"):
        for name in type(value).__dataclass_fields__:
            yield f"{path}.{name}", getattr(value, name, None)
