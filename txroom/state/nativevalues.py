"""The values of the native encoding, and the functions that encode rows of objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from struct import Struct
from typing import Any

from .collections import CollectionType
from .model import State
from .node import Node
from .types import Quantized, ValueType

#: All texts of one byte.
BYTES = [bytes((value,)) for value in range(256)]


def varint(value: int) -> bytes:
    """An integer from 0 on in groups of 7 bits, the lowest first (LEB128)."""
    if value < 0x80:
        return BYTES[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(value: int) -> bytes:
    """An integer: 0, -1, 1, -2, ... as 0, 1, 2, 3, ... (zigzag)."""
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def text(value: str) -> bytes:
    """A text: the size of its UTF-8, and that."""
    data = value.encode()
    return varint(len(data)) + data


def reference(node: Node | None) -> bytes:
    """An object: its number and 1; 0 for None."""
    return BYTES[0] if node is None else varint(node._txId + 1)


def writerOf(type_: ValueType | type[Node] | CollectionType) -> Callable[[Any], bytes]:
    """The function that encodes a value of a type."""
    if isinstance(type_, Quantized):
        pack, quantized = Struct(f"<{type_.format}").pack, type_.pack
        return lambda value: pack(quantized(value))
    if isinstance(type_, type | CollectionType):
        return reference
    if type_.format:
        return Struct(f"<{type_.format}").pack
    return integer if type_.kind is int else text


#: Encodes the rows of objects, for numbers that count from the second argument.
Rows = Callable[[Sequence[State], int], list[bytes]]

#: The number of an object in a row: 16 or 32 bits.
_NUMBERS = {False: Struct("<H").pack, True: Struct("<I").pack}


def rowsOf(cls: type[State], mask: int, isWide: bool, hasBase: bool, count: int) -> Rows:
    """
    Return the function that encodes the fields of `mask` of objects, for numbers that count from `base`.

    @param count: for how many objects it is needed now.
    """

    def make() -> Rows:
        return _rows(cls, mask, "I" if isWide else "H", ["each._txId - base" if hasBase else "each._txId"])

    rows: Rows | None = cls._txGenerated.rowsFor(("native", mask, isWide, hasBase), count, make)
    return _byField(cls, mask, isWide) if rows is None else rows


def _byField(cls: type[State], mask: int, isWide: bool) -> Rows:
    """A function as `rowsOf` returns, which has nothing generated but for each field."""
    column, number = cls._txGenerated.column, _NUMBERS[isWide]
    columns = [
        column(("native", field.bit), partial(_rows, cls, field.bit, "", []))
        for field in cls._txFields
        if mask & field.bit
    ]

    def rows(states: Sequence[State], base: int) -> list[bytes]:
        ids = [number(each._txId - base) for each in states]
        return [b"".join(row) for row in zip(ids, *(each(states, 0) for each in columns), strict=True)]

    return rows


def _rows(cls: type[State], mask: int, format: str, arguments: list[str]) -> Rows:
    """
    Generate a function that encodes the fields of `mask` of objects.

    @param format: the codes of `struct` for what comes before the fields.
    @param arguments: an expression for each of these.
    """
    names: dict[str, Any] = {"text": text, "integer": integer, "reference": reference}
    parts: list[str] = []
    format = f"<{format}"

    def flush() -> None:
        nonlocal format, arguments
        if arguments:
            name = f"pack{len(names)}"
            names[name] = Struct(format).pack
            parts.append(f"{name}({', '.join(arguments)})")
        format, arguments = "<", []

    for field in cls._txFields:
        if not mask & field.bit:
            continue
        type_: Any = field.type
        value = f"each.{field.slot}"
        if field.isValue and field.isOptional:
            flush()
            name = f"write{len(names)}"
            names[name] = writerOf(type_)
            parts.append(f"(b'\\0' if {value} is None else b'\\1' + {name}({value}))")
        elif field.isValue and type_.format:
            format += type_.format
            arguments.append(f"each._txQ[{field.quantizedAt}]" if isinstance(type_, Quantized) else value)
        else:
            flush()
            function = ("integer" if type_.kind is int else "text") if field.isValue else "reference"
            parts.append(f"{function}({value})")
    flush()
    source = f"def rows(states, base): return [{' + '.join(parts)} for each in states]"
    exec(compile(source, f"<rows of {cls.__name__}>", "exec"), names)
    rows: Rows = names["rows"]
    return rows
