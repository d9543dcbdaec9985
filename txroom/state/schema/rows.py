"""
The functions that encode objects, generated for a class and a set of fields.

Fields of a fixed size that follow each other are packed together. The text of a function has the names of
fields, which Python has accepted as identifiers, and numbers; everything else comes in as variables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from struct import Struct
from typing import Any

import attrs

from ..collections import CollectionType
from ..fields import Field
from ..model import State
from ..types import Quantized
from .classes import typeName
from .wire import ADD, BYTES, DELETE, DELETE_AND_ADD, head, integer, number, text

#: `Classes.suffix`, with the numbers that a room has for classes.
Suffix = Callable[[Any, Any], bytes]
#: Encodes the rows of objects.
Rows = Callable[[Sequence[State], Suffix], list[bytes]]

#: The codes of `struct` for types of a fixed size.
FORMATS = {
    **{"boolean": "?", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I"},
    **{"int64": "q", "uint64": "Q", "float32": "f", "float64": "d"},
}
WRITERS: dict[str, Callable[[Any], bytes]] = {"string": text, "number": number}
#: The byte of this operation and field is also what says that the class of an object follows.
AMBIGUOUS = 21

#: The row of an object whose number has 16 bits, and of any other.
_ROW = "({wide}(0xCDFF, id{rest}){more} if 0xFF < (id := each._txId) < 0x10000 else head(id){first}{more})"


def writerOf(type_: Any) -> Callable[[Any], bytes]:
    """The function that encodes a value of a type."""
    name = typeName(type_)
    if isinstance(type_, Quantized):
        pack, packed, unpacked = Struct(f"<{FORMATS[name]}").pack, type_.pack, type_.unpack
        return lambda value: pack(unpacked(packed(value)))
    return WRITERS[name] if name in WRITERS else Struct(f"<{FORMATS[name]}").pack


@attrs.define
class _Packed:
    """Values that are packed together: the codes of `struct`, and an expression for each."""

    format: str = ""
    arguments: list[str] = attrs.Factory(list)

    @property
    def listed(self) -> str:
        """The expressions, as arguments of a call."""
        return ", ".join(self.arguments)


class _Generator:
    """The text of a function, and its variables."""

    def __init__(self, isNew: bool) -> None:
        self._added = ADD if isNew else DELETE_AND_ADD
        self.names: dict[str, Any] = {"head": head}
        #: What is joined: expressions, and values that are packed.
        self._parts: list[_Packed | str] = []

    def name(self, value: Any) -> str:
        """A variable with a value."""
        name = f"v{len(self.names)}"
        self.names[name] = value
        return name

    def add(self, field: Field) -> None:
        """Encode a field, too."""
        type_: Any = field.type
        slot = f"each.{field.slot}"
        if not field.isValue:
            self._addNode(field, slot)
            return
        add, name = ADD | field.index, typeName(type_)
        if field.isOptional or name in WRITERS:
            written = f"{BYTES[add]!r} + {self.name(writerOf(type_))}({slot})"
            if field.isOptional:
                written = f"({BYTES[DELETE | field.index]!r} if {slot} is None else {written})"
            self._parts.append(written)
            return
        if isinstance(type_, Quantized):
            slot = f"{self.name(type_.unpack)}(each._txQ[{field.quantizedAt}])"
        last = self._parts[-1] if self._parts else ""
        if isinstance(last, str):
            last = _Packed()
            self._parts.append(last)
        last.format += f"B{FORMATS[name]}"
        last.arguments += [str(add), slot]

    def _addNode(self, field: Field, slot: str) -> None:
        add = BYTES[self._added | field.index]
        begin = f"{add!r} + {self.name(integer)}({slot}._txId)"
        if self._added == DELETE_AND_ADD and field.index == AMBIGUOUS:
            begin = f"head(each._txId) + {begin}"
        if isinstance(field.type, CollectionType):
            self._parts.append(begin)
            return
        suffix = f"suffix({slot}, {self.name(field.type)})"
        self._parts.append(f"({BYTES[DELETE | field.index]!r} if {slot} is None else {begin} + {suffix})")

    def rows(self, title: str) -> Rows:
        """The function."""
        first = self._parts.pop(0) if self._parts and isinstance(self._parts[0], _Packed) else _Packed()
        assert isinstance(first, _Packed)
        row = _ROW.format(
            wide=self.name(Struct(f"<HH{first.format}").pack),
            rest=f", {first.listed}" if first.format else "",
            first=f" + {self._packed(first)}" if first.format else "",
            more="".join(f" + {self._written(part)}" for part in self._parts),
        )
        return self._made(row, title)

    def column(self, title: str) -> Rows:
        """A function that leaves out the numbers of the objects."""
        return self._made(" + ".join(map(self._written, self._parts)), title)

    def _made(self, row: str, title: str) -> Rows:
        source = f"def rows(states, suffix): return [{row} for each in states]"
        exec(compile(source, f"<{title}>", "exec"), self.names)
        rows: Rows = self.names["rows"]
        return rows

    def _written(self, part: _Packed | str) -> str:
        return part if isinstance(part, str) else self._packed(part)

    def _packed(self, values: _Packed) -> str:
        return f"{self.name(Struct('<' + values.format).pack)}({values.listed})"


def rowsOf(cls: type[State], mask: int, isNew: bool, count: int) -> Rows:
    """
    Return the function that encodes the fields of `mask` of objects.

    @param isNew: whether clients have nothing yet in the fields that hold objects.
    @param count: for how many objects it is needed now.
    """

    def make() -> Rows:
        return _generator(cls, mask, isNew).rows(f"schema rows of {cls.__name__}")

    rows: Rows | None = cls._txGenerated.rowsFor(("schema", mask, isNew), count, make)
    return _byField(cls, mask, isNew) if rows is None else rows


def _byField(cls: type[State], mask: int, isNew: bool) -> Rows:
    """A function as `rowsOf` returns, which has nothing generated but for each field."""
    column = cls._txGenerated.column
    columns = [
        column(("schema", field.bit, isNew), partial(_column, cls, field, isNew))
        for field in cls._txFields
        if mask & field.bit
    ]

    def rows(states: Sequence[State], suffix: Suffix) -> list[bytes]:
        ids = [head(each._txId) for each in states]
        return [b"".join(row) for row in zip(ids, *(each(states, suffix) for each in columns), strict=True)]

    return rows


def _column(cls: type[State], field: Field, isNew: bool) -> Rows:
    return _generator(cls, field.bit, isNew).column(f"schema field {field.where}")


def _generator(cls: type[State], mask: int, isNew: bool) -> _Generator:
    generator = _Generator(isNew)
    for field in cls._txFields:
        if mask & field.bit:
            generator.add(field)
    return generator
