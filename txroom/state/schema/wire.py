"""The bytes of @colyseus/schema: numbers, texts and operations, as its versions 3, 4 and 5 read them."""

from __future__ import annotations

from struct import Struct

#: Operations on fields of objects, which are in one byte with the field's number.
ADD, DELETE, DELETE_AND_ADD = 0x80, 0x40, 0xC0
#: Operations on entries of collections only.
REPLACE, CLEAR = 0x00, 0x0A
#: What follows is of the object whose number comes next.
SWITCH = b"\xff"
#: What is added is of the class whose number comes next, not of the declared one.
TYPE = b"\xd5"

#: Each byte by its value.
BYTES = tuple(bytes((value,)) for value in range(256))

_float32, _float64 = Struct("<f"), Struct("<d")
_MAX_FLOAT32 = 3.4028234663852886e38


def number(value: float) -> bytes:
    """
    A finite number in as few bytes as hold it exactly, as Colyseus's type ``number``.

    Colyseus itself also writes other numbers with 32 bits if the difference is small.
    """
    if value.__class__ is not int:
        if not value.is_integer():
            if -_MAX_FLOAT32 <= value <= _MAX_FLOAT32:
                short = _float32.pack(value)
                if _float32.unpack(short)[0] == value:
                    return b"\xca" + short
            return b"\xcb" + _float64.pack(value)
        # Minus zero is sent as zero.
        value = int(value)
    return integer(value)


def integer(value: int) -> bytes:
    """An integer as a ``number``; beyond 32 bits with the precision of a float of 64 bits."""
    if value >= 0:
        if value < 0x80:
            return BYTES[value]
        if value < 0x100:
            return b"\xcc" + BYTES[value]
        if value < 0x10000:
            return b"\xcd" + value.to_bytes(2, "little")
        if value < 0x100000000:
            return b"\xce" + value.to_bytes(4, "little")
    elif value >= -0x20:
        return BYTES[0x100 + value]
    elif value >= -0x80:
        return b"\xd0" + BYTES[0x100 + value]
    elif value >= -0x8000:
        return b"\xd1" + value.to_bytes(2, "little", signed=True)
    elif value >= -0x80000000:
        return b"\xd2" + value.to_bytes(4, "little", signed=True)
    return b"\xcb" + _float64.pack(value)


def head(id: int) -> bytes:
    """The switch to an object."""
    return b"\xff" + integer(id)


def text(value: str) -> bytes:
    """A text: its size in bytes and UTF-8."""
    data = value.encode()
    size = len(data)
    if size < 0x20:
        return BYTES[0xA0 | size] + data
    if size < 0x100:
        return b"\xd9" + BYTES[size] + data
    if size < 0x10000:
        return b"\xda" + size.to_bytes(2, "little") + data
    return b"\xdb" + size.to_bytes(4, "little") + data
