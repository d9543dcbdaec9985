"""
Plain data: the one place that says what data may be.

Messages, answers, options, filters, metadata, presence metas and the details of errors all are plain data:
`None`, booleans, integers of 64 bits, finite floats, texts that are Unicode, lists, and mappings whose keys
are texts, nested `MAX_DEPTH` deep at most, with dates as the only extension. Rooms with `binary = True`,
whose clients all speak MessagePack, may have bytes, other extensions and floats of any kind besides.

What a server says is encoded and checked in `payload`, what clients send is checked and read in `received`;
both look for faults here, in the encoded data.
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

#: Levels of nesting that the quick decoder knows. Each doubles its memory.
_LEVELS = 8


def _nested(levels: int) -> Any:
    scalar: Any = bool | int | float | str | None
    data = scalar
    for _ in range(levels):
        data = scalar | list.__class_getitem__(data) | dict.__class_getitem__((str, data))
    return data


#: Decodes most plain data, and refuses what is none: bytes, extensions, keys that are no text, before
#: anything is hashed that a client chose. Also refuses dates, and what is nested deeper.
decodeMost = msgspec.msgpack.Decoder(_nested(_LEVELS)).decode

#: The bytes that may begin an array or a map.
_CONTAINERS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
#: Where infinities, and what is no number, may be.
_mayBeNaN = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]|\xca[\x7f\xff][\x80-\xff]").search
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_SIZE = 19
_LONG = b"0" * _LONG_SIZE
#: What JSON of fewer bytes says can't be nested too deep.
_SHORT = 2 * MAX_DEPTH

#: What is said of faults.
DEEP = f"nested deeper than {MAX_DEPTH}"
NAN = "NaN and infinities can't be sent: JSON can't say them"
KEYS = "the keys of mappings must be texts"
BYTES = "bytes are not taken here: the room must say binary = True"
_EXTENSIONS = "extensions are not taken here, but timestamps"
_LONG_INTEGER = "an integer of more than 64 bits"
_WIDE = f"more than {MAX_CONTAINERS} arrays and objects"


class NotPlain(ValueError):
    """Data is not what it may be."""


# -- MessagePack


def faultIn(found: Contents, mayHaveBytes: bool) -> str:
    """What is wrong with what the scanner has found; empty if nothing."""
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
    """What is wrong with the floats of a MessagePack value; empty if nothing."""
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
    """Whether JSON needs `checkJSON`: cheap, since most doesn't."""
    size = len(data)
    if size > _SHORT:
        return True
    return size >= _LONG_SIZE and size - len(data.translate(None, b"0123456789")) >= _LONG_SIZE


def checkJSON(data: bytes) -> None:
    """Raise `NotPlain` for what JSON may not be."""
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
    """Whether encoded data is nested deeper than `MAX_DEPTH`."""
    if len(data) <= MAX_DEPTH:
        return False
    if isJSON:
        return scanner.isDeeper(scanner.brackets(data), MAX_DEPTH)
    return scanner.scan(data, 0, len(data)).depth > MAX_DEPTH


def hasMoreValues(data: Any, limit: int) -> bool:
    """Whether plain data has more than `limit` values, at any depth; looks at no more than these."""
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
