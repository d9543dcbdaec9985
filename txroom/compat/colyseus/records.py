"""
The data of messages as msgpackr encodes it, the library of Colyseus's clients: MessagePack with additions.

- An object is a *record*. The first of its shape is the extension 0x72 with an id from 0x40 to 0x7F, an array
  of keys, and the values. Further objects of the same shape are the id, as one byte, and the values. So
  where an id is in use, it is no number.
- `undefined` is the extension 0. It is read as `None`.
- A typed array of numbers is the extension 0x74, whose first byte tells the type of the numbers. It is read
  as a list; one of bytes, and an ArrayBuffer, as bytes.
- An invalid Date is a timestamp of one byte. It is read as `None`, which JSON makes of it too.

What is read is bounded: its nesting, its arrays and objects, and the bytes of the keys that records repeat.
"""

from __future__ import annotations

import re
from struct import Struct, calcsize, unpack
from typing import Any

import msgspec

from ...protocol import payload
from ...protocol.errors import BadFrame
from ...protocol.limits import MAX_CONTAINERS, MAX_DEPTH

#: The bytes with which extensions begin; without them there are no additions, and data is plain MessagePack.
_hasExtension = re.compile(b"[\xc7-\xc9\xd4-\xd8]").search
#: The bytes with which integers of 64 bits begin.
_mayBeWide = re.compile(b"[\xcf\xd3]").search

#: How many times as long as a message the keys may be, in bytes, that its records repeat; however short or
#: long it is, the bound is neither less nor more than these numbers of bytes.
REPEATED_FACTOR, LEAST_REPEATED, MAX_REPEATED = 4, 64 << 10, 1 << 20
#: The integers of at most 32 bits, which clients decode to numbers.
_LEAST, _GREATEST = -(2**31), 2**32 - 1

_RECORD, _TYPED_ARRAY, _UNDEFINED, _TIMESTAMP = 0x72, 0x74, 0x00, 0xFF
#: The types of numbers in typed arrays, for `struct`, by their number in msgpackr. The second and the third
#: are bytes, and so is 16, an ArrayBuffer.
_NUMBERS = "bBBhHiIfdqQ"
_BYTES = frozenset({1, 2, 16})

_SCALARS = {
    0xCA: Struct(">f"),
    0xCB: Struct(">d"),
    0xCC: Struct(">B"),
    0xCD: Struct(">H"),
    0xCE: Struct(">I"),
    0xCF: Struct(">Q"),
    0xD0: Struct(">b"),
    0xD1: Struct(">h"),
    0xD2: Struct(">i"),
    0xD3: Struct(">q"),
}
#: The widths of the lengths of what has one in front: bytes, texts, extensions, arrays and maps.
_WIDTHS = {
    0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4,
    0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4,
}  # fmt: skip


def plain(data: bytes) -> bytes:
    """
    Return the data of a client's message as MessagePack without additions.

    Data that has none is returned as it is; the room checks it. Called for every message.

    Raises:
        BadFrame: The data can't be read, or exceeds a bound.
    """
    if _hasExtension(data) is None:
        return data or payload.NIL
    reader = _Reader(data)
    try:
        value, end = reader.value(0, 0)
        if end != len(data):
            raise BadFrame("there is more than one value", "data")
        return payload.encodeMessagePack(value)
    except (IndexError, ValueError, OverflowError, msgspec.MsgspecError):
        raise BadFrame("the data can't be read", "data") from None


class _Reader:
    """Reads one value. Its methods return what they have read, and the place behind it."""

    __slots__ = ("_containers", "_data", "_mayRepeat", "_records")

    def __init__(self, data: bytes) -> None:
        self._data = data
        #: The keys of the records by their ids, and the bytes that they have as MessagePack.
        self._records: dict[int, tuple[list[str], int]] = {}
        self._containers = 0
        #: How many bytes of keys may still be repeated.
        self._mayRepeat = max(LEAST_REPEATED, min(REPEATED_FACTOR * len(data), MAX_REPEATED))

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        """Read a value that is nested `depth` deep."""
        data = self._data
        first = data[at]
        at += 1
        if first < 0x80:
            record = self._records.get(first)
            return (first, at) if record is None else self._again(record, at, depth)
        if first < 0x90:
            return self._map(first & 15, at, depth)
        if first < 0xA0:
            return self._list(first & 15, at, depth)
        if first < 0xC0:
            return self._text(first & 31, at)
        if first >= 0xE0:
            return first - 256, at
        scalar = _SCALARS.get(first)
        if scalar is not None:
            return scalar.unpack(self._part(at, scalar.size))[0], at + scalar.size
        if 0xD4 <= first <= 0xD8:
            return self._extension(1 << (first - 0xD4), at, depth)
        if first < 0xC4:
            if first == 0xC1:
                raise ValueError
            return None if first == 0xC0 else first == 0xC3, at
        width = _WIDTHS[first]
        size = int.from_bytes(self._part(at, width))
        at += width
        if first < 0xC7:
            return self._part(at, size), at + size
        if first < 0xCA:
            return self._extension(size, at, depth)
        if first < 0xDC:
            return self._text(size, at)
        return self._list(size, at, depth) if first < 0xDE else self._map(size, at, depth)

    def _part(self, at: int, size: int) -> bytes:
        part = self._data[at : at + size]
        if len(part) != size:
            raise ValueError
        return part

    def _text(self, size: int, at: int) -> tuple[str, int]:
        return self._part(at, size).decode(), at + size

    def _deeper(self, depth: int) -> int:
        """Count one more array or object, and return how deep its elements are nested."""
        self._containers += 1
        if self._containers > MAX_CONTAINERS:
            raise BadFrame(f"more than {MAX_CONTAINERS} arrays and objects", "data")
        if depth >= MAX_DEPTH:
            raise BadFrame(f"nested deeper than {MAX_DEPTH}", "data")
        return depth + 1

    def _list(self, size: int, at: int, depth: int) -> tuple[list[Any], int]:
        depth = self._deeper(depth)
        values = []
        for _ in range(size):
            value, at = self.value(at, depth)
            values.append(value)
        return values, at

    def _map(self, size: int, at: int, depth: int) -> tuple[dict[str, Any], int]:
        depth = self._deeper(depth)
        values = {}
        for _ in range(size):
            key, at = self.value(at, depth)
            if type(key) is not str:
                raise BadFrame("the keys of objects must be texts", "data")
            values[key], at = self.value(at, depth)
        return values, at

    def _keys(self, at: int, depth: int) -> tuple[list[str], int]:
        """Read the keys of a record. Nothing but texts is read, so that they can't be nested."""
        first, size, at = self._data[at], 0, at + 1
        if 0x90 <= first < 0xA0:
            size = first & 15
        elif first == 0xDC:
            size, at = int.from_bytes(self._part(at, 2)), at + 2
        else:
            raise BadFrame("the keys of objects must be an array", "data")
        keys = []
        for _ in range(size):
            first = self._data[at]
            if not (0xA0 <= first < 0xC0 or 0xD9 <= first <= 0xDB):
                raise BadFrame("the keys of objects must be texts", "data")
            key, at = self.value(at, depth)
            keys.append(key)
        return keys, at

    def _again(self, record: tuple[list[str], int], at: int, depth: int) -> tuple[dict[str, Any], int]:
        """Read a record whose keys have come before, so that they aren't in the message once more."""
        keys, size = record
        self._mayRepeat -= size
        if self._mayRepeat < 0:
            raise BadFrame("the keys of objects are too long", "data")
        return self._record(keys, at, depth)

    def _record(self, keys: list[str], at: int, depth: int) -> tuple[dict[str, Any], int]:
        depth = self._deeper(depth)
        values = {}
        for key in keys:
            values[key], at = self.value(at, depth)
        return values, at

    def _extension(self, size: int, at: int, depth: int) -> tuple[Any, int]:
        kind, at = self._data[at], at + 1
        content, end = self._part(at, size), at + size
        if kind == _RECORD and size == 1:
            first = end
            keys, end = self._keys(first, depth)
            self._records[content[0]] = keys, end - first
            return self._record(keys, end, depth)
        if kind == _UNDEFINED:
            return None, end
        if kind == _TIMESTAMP:
            return (None if size == 1 else msgspec.msgpack.Ext(-1, content)), end
        if kind == _TYPED_ARRAY and size:
            return self._typedArray(content[0], content[1:]), end
        raise BadFrame("the data has a value of an unknown kind", "data")

    @staticmethod
    def _typedArray(kind: int, content: bytes) -> Any:
        if kind in _BYTES:
            return content
        if kind >= len(_NUMBERS):
            raise BadFrame("the data has an array of an unknown kind", "data")
        code = _NUMBERS[kind]
        count, rest = divmod(len(content), calcsize(f"<{code}"))
        if rest:
            raise BadFrame("the data has an incomplete array", "data")
        return list(unpack(f"<{count}{code}", content))


def forBrowsers(data: bytes) -> bytes:
    """
    Return a payload of a room for Colyseus's clients, which decode integers of 64 bits to BigInts: integers
    of more than 32 bits become floats.

    Called for every message.
    """
    if _mayBeWide(data) is None:
        return data
    return payload.encodeMessagePack(_narrow(payload.decodeMessagePack(data)))


def _narrow(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _narrow(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_narrow(each) for each in value]
    isWide = type(value) is int and not _LEAST <= value <= _GREATEST
    return float(value) if isWide else value
