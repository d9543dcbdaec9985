"""
The numbers and texts in the head of a frame, encoded as by ``@colyseus/schema``.

Their first byte is that of MessagePack; but the bytes after it are in little-endian order.
"""

from __future__ import annotations

from struct import Struct

from ...protocol.errors import BadFrame
from ...protocol.limits import MAX_NAME, MAX_NUMBER
from ...state.schema.wire import integer as schemaInteger
from ...state.schema.wire import text

_FORMATS = {
    0xCA: Struct("<f"),
    0xCB: Struct("<d"),
    0xCC: Struct("<B"),
    0xCD: Struct("<H"),
    0xCE: Struct("<I"),
    0xCF: Struct("<Q"),
    0xD0: Struct("<b"),
    0xD1: Struct("<h"),
    0xD2: Struct("<i"),
    0xD3: Struct("<q"),
}
_U16, _U64 = _FORMATS[0xCD], _FORMATS[0xCF]


def readInteger(data: bytes, at: int) -> tuple[int, int]:
    """
    Read a number that must be a whole one.

    Returns:
        The number, and the place behind it.

    Raises:
        BadFrame: There is no whole number that is exact in JavaScript.
    """
    if at >= len(data):
        raise BadFrame("a number is missing")
    first = data[at]
    if first < 0x80:
        return first, at + 1
    if first >= 0xE0:
        return first - 256, at + 1
    layout = _FORMATS.get(first)
    if layout is None or len(data) - at - 1 < layout.size:
        raise BadFrame("a number can't be read")
    (number,) = layout.unpack_from(data, at + 1)
    if number != number or not -MAX_NUMBER <= number <= MAX_NUMBER or number != int(number):
        raise BadFrame("must be a whole number")
    return int(number), at + 1 + layout.size


def readType(data: bytes, at: int) -> tuple[str, int]:
    """
    Read the type of a message, which is a text or a number; a number is returned in decimal digits.

    Returns:
        The type, and the place behind it.

    Raises:
        BadFrame: There is none, or it is too long.
    """
    if at >= len(data):
        raise BadFrame("the type is missing")
    first = data[at]
    if 0xA0 < first < 0xC0:
        length, start = first & 31, at + 1
    elif first == 0xD9 and len(data) > at + 1:
        length, start = data[at + 1], at + 2
    elif first == 0xDA and len(data) > at + 2:
        length, start = _U16.unpack_from(data, at + 1)[0], at + 3
    else:
        number, end = readInteger(data, at)
        return str(number), end
    end = start + length
    if len(data) < end:
        raise BadFrame("the type is incomplete")
    try:
        text = data[start:end].decode()
    except UnicodeDecodeError:
        raise BadFrame("the type must be UTF-8") from None
    if len(text) > MAX_NAME:
        raise BadFrame(f"the type must have at most {MAX_NAME} characters")
    return text, end


def integer(number: int) -> bytes:
    """Encode a whole number from 0 to 2⁶⁴ - 1. A schema has no integers from 2³² on."""
    return schemaInteger(number) if number < 1 << 32 else b"\xcf" + _U64.pack(number)


def messageType(type: str) -> bytes:
    """Encode the type of a message: the decimal digits of a number below 2³² as that number."""
    if type.isascii() and type.isdecimal() and (type == "0" or type[0] != "0") and len(type) <= 10:
        number = int(type)
        if number < 1 << 32:
            return integer(number)
    return text(type)
