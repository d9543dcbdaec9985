"""
Plain data: the definition of data that may be sent, and the checks for it.

Messages, answers, options, filters, metadata, presence metas and the details of errors are plain data:
`None`, booleans, integers of 64 bits, finite floats, strings of valid Unicode, lists, and mappings whose keys
are strings, nested at most `MAX_DEPTH` deep, with dates as the only extension. Rooms with `binary = True`,
whose clients all speak MessagePack, may also send bytes, other extensions and all floats.

`payload` encodes and checks the data of the server, `received` checks and decodes the data of clients. Both
use the checks of this module, which look at the encoded data.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from . import scanner
from .limits import MAX_CONTAINERS, MAX_DEPTH
from .scanner import Contents

MAX_INTEGER = 2**64 - 1
MIN_INTEGER = -(2**63)

#: The levels of nesting of the quick decoder. Each doubles its memory.
_LEVELS = 8


def _nested(levels: int) -> Any:
    scalar: Any = bool | int | float | str | None
    data = scalar
    for _ in range(levels):
        data = scalar | list.__class_getitem__(data) | dict.__class_getitem__((str, data))
    return data


#: Decodes most plain data. It refuses bytes, extensions and keys that are not strings, before it hashes
#: anything that a client chose. It also refuses dates, and data that is nested deeper than `_LEVELS`.
decodeMost = msgspec.msgpack.Decoder(_nested(_LEVELS)).decode

#: The bytes that arrays and maps begin with.
_CONTAINERS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
#: Finds bytes that may be an infinity or NaN.
_mayBeNaN = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]|\xca[\x7f\xff][\x80-\xff]").search
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_SIZE = 19
_LONG = b"0" * _LONG_SIZE
#: JSON of at most this size can't be nested too deep.
_SHORT = 2 * MAX_DEPTH

# The messages of errors.
DEEP = f"nested deeper than {MAX_DEPTH}"
NAN = "NaN and infinities can't be sent: they do not exist in JSON"
KEYS = "the keys of mappings must be strings"
BYTES = "bytes are only allowed in the messages of a room with binary = True"
_EXTENSIONS = "extensions other than timestamps are only allowed in the messages of a room with binary = True"
_LONG_INTEGER = "an integer of more than 64 bits"
_WIDE = f"more than {MAX_CONTAINERS} arrays and objects"


class NotPlain(ValueError):
    """Data is not plain data."""


# -- MessagePack


def faultIn(found: Contents, mayHaveBytes: bool) -> str:
    """Return what is wrong with the contents that the scanner has found; "" if nothing."""
    if found.depth > MAX_DEPTH:
        return DEEP
    if found.hasOddKeys:
        return KEYS
    if mayHaveBytes:
        return ""
    if found.hasBytes:
        return BYTES
    if found.hasExtensions:
        return _EXTENSIONS
    return NAN if found.hasNaN else ""


def faultOfFloats(data: bytes, limit: int = scanner.MAX_STEPS) -> str:
    """Return what is wrong with the floats of a MessagePack value; "" if nothing."""
    if not (b"\xcb" in data or b"\xca" in data) or _mayBeNaN(data) is None:
        return ""
    return NAN if scanner.scan(data, 0, limit).hasNaN else ""


def checkWidth(data: bytes) -> None:
    """Raise `NotPlain` if a MessagePack value has too many containers."""
    if len(data) <= MAX_CONTAINERS or len(data) - len(data.translate(None, _CONTAINERS)) <= MAX_CONTAINERS:
        return
    if scanner.hasMoreContainers(data, MAX_CONTAINERS):
        raise NotPlain(_WIDE)


# -- JSON


def mayBeWrong(data: bytes) -> bool:
    """Return whether JSON needs `checkJSON`; most JSON doesn't. Called for every message."""
    size = len(data)
    if size > _SHORT:
        return True
    return size >= _LONG_SIZE and size - len(data.translate(None, b"0123456789")) >= _LONG_SIZE


def checkJSON(data: bytes) -> None:
    """Raise `NotPlain` unless JSON is plain data."""
    if data.translate(_DIGITS).count(_LONG):
        for digits in scanner.longIntegers(data):
            if len(digits) > 20 or not MIN_INTEGER <= int(digits) <= MAX_INTEGER:
                raise NotPlain(_LONG_INTEGER)
    if len(data) > _SHORT and data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        brackets = scanner.brackets(data)
        if len(brackets) > 2 * MAX_CONTAINERS:
            raise NotPlain(_WIDE)
        if scanner.isDeeper(brackets, MAX_DEPTH):
            raise NotPlain(DEEP)


# -- both


def isTooDeep(data: bytes, isJSON: bool) -> bool:
    """Return whether encoded data is nested deeper than `MAX_DEPTH`."""
    if len(data) <= MAX_DEPTH:
        return False
    if isJSON:
        return scanner.isDeeper(scanner.brackets(data), MAX_DEPTH)
    return scanner.scan(data, 0, len(data)).depth > MAX_DEPTH


def hasMoreValues(data: Any, limit: int) -> bool:
    """Return whether plain data has more than `limit` values, at any depth. No further values are read."""
    waiting = [data]
    while waiting:
        limit -= 1
        each = waiting.pop()
        if isinstance(each, dict):
            each = list(each.values())
        if isinstance(each, list):
            if len(waiting) + len(each) > limit:
                return True
            waiting += each
    return limit < 0
