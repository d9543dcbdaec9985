"""
The properties of fields.

A state sets fields more often than anything else, so the setters of values and the constructor are
generated: one function without loops for each field. The text has the names of fields, which Python has
accepted as identifiers, and numbers; everything else comes in as variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from operator import attrgetter
from reprlib import repr as short
from typing import Any

from .collections import CollectionType
from .fields import ABSENT, Field
from .node import Node
from .types import Quantized

_MARK = """
    mask = self._txMask
    if mask:
        self._txMask = mask | {bit}
    else:
        self._txMask = {bit}
        self._txMark(self)
"""

_VALUE = """
def setter(self, value):
    if {isWrong}:
        value = check(value, where)
    if value == self.{slot}:
        return
    self.{slot} = value
"""

_OPTIONAL = """
def setter(self, value):
    if value is not None and ({isWrong}):
        value = check(value, where)
    if value == self.{slot}:
        return
    self.{slot} = value
"""

# Nothing is sent while the integer that stands for the value stays the same. The fast case has the formula
# of `Quantized.pack`.
_QUANTIZED = """
def setter(self, value):
    if value.__class__ is float and {low!r} < value < {high!r}:
        packed = int((value - {low!r}) * {scale!r} + 0.5)
    elif value is None and isOptional:
        packed = None
    else:
        value = check(value, where)
        packed = pack(value)
    self.{slot} = value
    packs = self._txQ
    if packs[{position}] == packed:
        return
    packs[{position}] = packed
"""


def propertyOf(field: Field) -> property:
    """The property of a field."""
    if isinstance(field.type, CollectionType):
        setter = _collectionSetter(field, field.type)
    elif field.isValue:
        setter = _valueSetter(field)
    else:
        setter = _nodeSetter(field)
    return property(attrgetter(field.slot), setter)


def _valueSetter(field: Field) -> Callable[[Any, Any], None]:
    type_: Any = field.type
    names = {"check": type_.check, "where": field.where, "isOptional": field.isOptional}
    if isinstance(type_, Quantized):
        names["pack"] = type_.pack
        text = _QUANTIZED.format(
            low=float(type_.min),
            high=float(type_.max),
            scale=type_.scale,
            slot=field.slot,
            position=field.quantizedAt,
        )
    else:
        isWrong = f"value.__class__ is not {type_.kind.__name__}"
        if type_.low is not None:
            isWrong += f" or not {type_.low!r} <= value <= {type_.high!r}"
        elif type_.kind is str:
            isWrong += " or not value.isascii()"
        text = (_OPTIONAL if field.isOptional else _VALUE).format(isWrong=isWrong, slot=field.slot)
    setter: Callable[[Any, Any], None] = _generated(
        text + _MARK.format(bit=field.bit), names, "setter", field.where
    )
    return setter


def _generated(source: str, names: dict[str, Any], result: str, where: str) -> Any:
    exec(compile(source, f"<{where}>", "exec"), names)
    return names[result]


def _nodeSetter(field: Field) -> Callable[[Any, Any], None]:
    kind: Any = field.type

    def setter(self: Any, value: Any) -> None:
        if value is getattr(self, field.slot):
            return
        if value is None:
            if not field.isOptional:
                raise TypeError(f"{field.where}: must be a {kind.__name__}, not None")
        elif isinstance(value, kind):
            value._txTaken(self, field.where)
        else:
            raise TypeError(f"{field.where}: must be a {kind.__name__}, not {short(value)}")
        _put(self, field, value)

    return setter


def _collectionSetter(field: Field, type_: CollectionType) -> Callable[[Any, Any], None]:
    def setter(self: Any, value: Any) -> None:
        if value is getattr(self, field.slot):
            return
        if not isinstance(value, type_.kind) or value._txHome is not None:
            if value is None or (isinstance(value, str | Node) and not isinstance(value, type_.kind)):
                raise TypeError(f"{field.where}: must be a {type_.kind.__name__}, not {short(value)}")
            value = type_.kind(value)  # type: ignore[call-arg]
        if value._txType is None:
            try:
                value._txBind(type_)
            except (TypeError, ValueError) as error:
                raise type(error)(f"{field.where}: {error}") from None
        elif value._txType != type_:
            raise TypeError(f"{field.where}: the {type_.kind.__name__} was one of another type")
        value._txTaken(self, field.where)
        value._txPrivate = field.isPrivate
        _put(self, field, value)

    return setter


def _put(holder: Any, field: Field, value: Node | None) -> None:
    """Assign a node to a field."""
    tree = holder._txTree
    if tree is not None and value is not None:
        tree.admit(value, holder)
    old = getattr(holder, field.slot)
    if old is not None:
        if tree is not None:
            tree.detach(old)
        old._txHome = old._txKey = None
    setattr(holder, field.slot, value)
    if value is not None:
        value._txHome, value._txKey = holder, field.index
        if tree is not None:
            tree.attach(value, {} if field.isOwn else holder._txWatch)
    if field.isShared:
        mask = holder._txMask
        holder._txMask = mask | field.bit
        if not mask:
            holder._txMark(holder)


def starterOf(fields: Iterable[Field]) -> Callable[[Any], None]:
    """A generated function that gives all fields of a new instance their first values."""
    lines = ["def start(self):", " pass"]
    names: dict[str, Any] = {"begin": _begin}
    packs: list[int | None] = []
    for field in fields:
        value = f"v{field.index}"
        if field.isValue:
            names[value] = field.default
            lines.append(f" self.{field.slot} = {value}")
            if isinstance(field.type, Quantized):
                packs.append(None if field.default is None else field.type.pack(field.default))
        else:
            names[value] = field
            lines.append(f" begin(self, {value})")
    if packs:
        lines.append(f" self._txQ = {packs!r}")
    start: Callable[[Any], None] = _generated("\n".join(lines), names, "start", "start")
    return start


def _begin(self: Any, field: Field) -> None:
    """Give a field that holds a node its first value."""
    type_: Any = field.type
    default = field.default
    if isinstance(type_, CollectionType):
        default = type_.kind() if default is ABSENT else copy(type_.kind(default))  # type: ignore[call-arg]
    elif default is ABSENT:
        default = type_()
    elif default is not None:
        default = copy(default)
    setattr(self, field.slot, None)
    setattr(self, field.name, default)
