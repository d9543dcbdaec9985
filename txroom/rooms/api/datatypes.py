"""
Checks of the types of handlers' data.

Python's dictionaries and sets hash numbers, dates and tuples by their values, without a secret. A client can
choose values whose hashes collide, so that one message of 200 kB takes seconds. Strings and bytes are hashed
with a secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from types import NoneType
from typing import Any

from msgspec import inspect

#: The types of decoded data.
_DECODED = (dict, list, str, int, float, bool, NoneType, bytes, datetime)
#: Types that are hashed with a secret, or that have few values.
_SAFE = (
    inspect.StrType,
    inspect.BytesType,
    inspect.BoolType,
    inspect.NoneType,
    inspect.EnumType,
    inspect.LiteralType,
)
_SETS = (inspect.SetType, inspect.FrozenSetType)
#: Types that allow any content.
_OPEN = (inspect.AnyType, inspect.RawType, inspect.CustomType)
#: Types that have a class but no types inside.
_PLAIN = (inspect.EnumType, inspect.CustomType)


def checkDecodable(type: Any) -> None:
    """Raise `TypeError` for a type that the data of a client never has."""
    for part, _ in _partsOf(type):
        if isinstance(part, inspect.CustomType) and not _isDecoded(part.cls):
            raise TypeError(
                f"data of clients is never a {part.cls.__name__}; make it a msgspec.Struct or a dataclass"
            )


def _isDecoded(cls: type) -> bool:
    try:
        return any(issubclass(each, cls) for each in _DECODED)
    except TypeError:  # a protocol with attributes, say
        return False


def isOpen(type: Any) -> bool:
    """
    Return whether a type allows any depth of nesting, or any content in a part of it.

    Data of an open type must be checked as plain data, whose keys are strings, before it is decoded.

    Raises:
        TypeError: The type contains sets or mappings of values that a client can make collide.
    """
    found = False
    for part, isAgain in _partsOf(type):
        if isinstance(part, inspect.DictType) and not isinstance(part.key_type, inspect.AnyType):
            _checkHashed(part.key_type, "keys of a mapping", "dict[str, ...]")
        elif isinstance(part, _SETS):
            _checkHashed(part.item_type, "members of a set", "list[...] with a max_length")
        found = found or isAgain or isinstance(part, _OPEN)
    return found


def _checkHashed(type: inspect.Type, what: str, instead: str) -> None:
    waiting = [type]
    while waiting:
        each = waiting.pop()
        if isinstance(each, inspect.UnionType):
            waiting += each.types
        elif isinstance(each, inspect.Metadata):
            waiting.append(each.type)
        elif not isinstance(each, _SAFE):
            raise TypeError(
                f"the {what} must be str, bytes, bool, an Enum or Literals, not {_nameOf(each)}, which a "
                f"client can make collide; take {instead}"
            )


def _nameOf(type: inspect.Type) -> str:
    return type.__class__.__name__.removesuffix("Type").lower()


def _partsOf(type: Any) -> Iterator[tuple[inspect.Type, bool]]:
    """
    Yield a type and every type that it is made of, each with whether it was yielded before.

    A type that contains itself is yielded again.
    """
    seen: list[Any] = []
    waiting = [inspect.type_info(type)]
    while waiting:
        part = waiting.pop()
        cls = None if isinstance(part, _PLAIN) else getattr(part, "cls", None)
        isAgain = cls is not None and cls in seen
        yield part, isAgain
        if not isAgain:
            seen.append(cls)
            waiting += _within(part)


def _within(type: inspect.Type) -> Iterator[inspect.Type]:
    """Yield the types that a type is directly made of."""
    for name in type.__struct_fields__:
        value = getattr(type, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, inspect.Type):
                yield each
            elif isinstance(each, inspect.Field):
                yield each.type
