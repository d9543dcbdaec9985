"""
The types of handlers' data: what a client could make of them.

Python's dictionaries and sets hash numbers, dates and tuples by their values, without a secret: a client
that chooses them so that they collide makes one message of 200 kB take seconds. Texts are hashed with a
secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import inspect

#: What is hashed with a secret, or of which there are few.
_SAFE = (
    inspect.StrType,
    inspect.BytesType,
    inspect.BoolType,
    inspect.NoneType,
    inspect.EnumType,
    inspect.LiteralType,
)
_SETS = (inspect.SetType, inspect.FrozenSetType)
#: Of what is in these, the type says nothing.
_OPEN = (inspect.AnyType, inspect.RawType, inspect.CustomType)


def isOpen(type: Any) -> bool:
    """
    Whether a type leaves open how deep data is nested, or what is in a part of it.

    The data of an open type is to be read as plain data before, whose keys are texts. Raises `TypeError` for
    sets and mappings of what a client can make collide.
    """
    found = False
    seen: list[type[Any]] = []
    waiting = [inspect.type_info(type)]
    while waiting:
        each = waiting.pop()
        if isinstance(each, inspect.DictType) and not isinstance(each.key_type, inspect.AnyType):
            _checkHashed(each.key_type, "keys of a mapping", "dict[str, ...]")
        elif isinstance(each, _SETS):
            _checkHashed(each.item_type, "members of a set", "list[...] with a max_length")
        cls = getattr(each, "cls", None)
        if cls is not None and not isinstance(each, inspect.EnumType | inspect.CustomType):
            if cls in seen:
                found = True  # within itself, perhaps
                continue
            seen.append(cls)
        found = found or isinstance(each, _OPEN)
        waiting += _within(each)
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


def _within(type: inspect.Type) -> Iterator[inspect.Type]:
    """The types that a type is made of."""
    for name in type.__struct_fields__:
        value = getattr(type, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, inspect.Type):
                yield each
            elif isinstance(each, inspect.Field):
                yield each.type
