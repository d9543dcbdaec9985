"""
Scans encoded data without decoding it: finds its depth of nesting, its kinds of values, and the ends of its
parts.

This is for data that can't be decoded, or that must not be decoded before it is known to be harmless. JSON is
searched with regular expressions and methods of `bytes`, which are fast. MessagePack is walked token by
token, with runs of numbers in one step.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

#: The most steps of a walk. Only data that was made to take long needs more.
MAX_STEPS = 40_000
#: The most arrays and objects that aren't empty in JSON that is split.
MAX_SPLIT = 12_000
#: The most elements of an array that is split; a frame has at most six.
MAX_PARTS = 8


Match = Callable[..., "re.Match[bytes] | None"]


class Malformed(ValueError):
    """The data is not JSON, or not MessagePack."""


class TooLong(Exception):
    """The data has more parts than the scanner takes."""


# -- JSON

_SPACE = rb"[ \t\n\r]*+"
_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][-+]?+[0-9]++)?+"
# Not JSON, but written by Python's `json` and others for numbers that JSON doesn't have.
_SCALAR = rb"(?:" + _STRING + rb"|" + _NUMBER + rb"|true|false|null|NaN|-?Infinity"
# An empty array or object ends where it begins.
_SCALAR += rb"|\[" + _SPACE + rb"\]|\{" + _SPACE + rb"\})"
_COMMA = _SPACE + rb"," + _SPACE
_KEY = _STRING + _SPACE + rb":" + _SPACE
_scalar = re.compile(_SCALAR).match
_key = re.compile(_KEY).match
_space = re.compile(_SPACE).match
#: The elements of an array or an object before the next container, or the last element.
_elements = re.compile(rb"(?:" + _SCALAR + _COMMA + rb")*+").match
_entries = re.compile(rb"(?:" + _KEY + _SCALAR + _COMMA + rb")*+").match
_longInteger = re.compile(rb"(?<![0-9.eE+-])-?[0-9]{19,}+(?![0-9.eE])")
_OTHERS = bytes(sorted(set(range(256)) - set(b"[]{}")))
_SQUARE = bytes.maketrans(b"{}", b"[]")
_CLOSES = {0x5B: 0x5D, 0x7B: 0x7D}


def withoutStrings(data: bytes) -> bytes:
    """Return well-formed JSON without its strings."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(data.split(b'"')[::2])


def brackets(data: bytes) -> bytes:
    """Return only the brackets of well-formed JSON, with braces as square brackets."""
    return withoutStrings(data).translate(_SQUARE, _OTHERS)


def isDeeper(nesting: bytes, depth: int) -> bool:
    """Return whether the result of `brackets` is nested deeper than `depth`."""
    for _ in range(depth):
        if not nesting:
            return False
        nesting = nesting.replace(b"[]", b"")
    return bool(nesting)


def longIntegers(data: bytes) -> list[bytes]:
    """Return the integers of well-formed JSON with 19 or more digits."""
    return _longInteger.findall(withoutStrings(data))


def splitJSON(text: bytes, limit: int = MAX_SPLIT) -> list[bytes]:
    """
    Return the encoded elements of a JSON array; their strings need not be valid Unicode.

    Raises:
        Malformed: The text is not a JSON array.
        TooLong: It has too many parts.
    """
    parts: list[bytes] = []
    pos = _after(_space, text, 0)
    if text[pos : pos + 1] != b"[":
        raise Malformed
    pos = _after(_space, text, pos + 1)
    if text[pos : pos + 1] == b"]":
        pos += 1
    else:
        while True:
            end, limit = _endOfJSON(text, pos, limit)
            parts.append(text[pos:end])
            pos = _after(_space, text, end) + 1
            if text[pos - 1 : pos] == b"]":
                break
            if text[pos - 1 : pos] != b",":
                raise Malformed
            if len(parts) == MAX_PARTS:
                raise TooLong
            pos = _after(_space, text, pos)
    if _after(_space, text, pos) != len(text):
        raise Malformed
    return parts


def _after(match: Match, text: bytes, *span: int) -> int:
    found = match(text, *span)
    if found is None:
        raise Malformed
    return int(found.end())


def _endOfJSON(text: bytes, pos: int, limit: int) -> tuple[int, int]:
    """Return the end of the value that begins at `pos`, and the remaining steps."""
    size = len(text)
    within = bytearray()  # the brackets that are open
    while pos < size:
        # A value begins here, or a key of an object.
        if within:
            pos = _after(_elements if within[-1] == 0x5B else _entries, text, pos)
            if within[-1] == 0x7B:
                pos = _after(_key, text, pos)
        limit -= 1
        if limit < 0:
            raise TooLong
        scalar = _scalar(text, pos)
        if scalar is None:
            if text[pos : pos + 1] not in (b"[", b"{"):
                raise Malformed
            within.append(text[pos])
            pos = _after(_space, text, pos + 1)
            continue
        pos = scalar.end()
        # A value has ended; if it was the last one, so does its container.
        while within:
            pos = _after(_space, text, pos) + 1
            last = text[pos - 1] if pos <= size else 0
            if last == _CLOSES[within[-1]]:
                within.pop()
            elif last == 0x2C:
                pos = _after(_space, text, pos)
                break
            else:
                raise Malformed
        else:
            return pos, limit
    raise Malformed


# -- MessagePack


def _widths() -> tuple[int, ...]:
    """Return the sizes of numbers, nil and booleans by first byte; 0 for everything else."""
    widths = [1] * 0x80 + [0] * 0x60 + [1] * 0x20
    for first, width in {0xC0: 1, 0xC2: 1, 0xC3: 1, 0xCA: 5, 0xCB: 9}.items():
        widths[first] = width
    for first in range(4):
        widths[0xCC + first] = widths[0xD0 + first] = 1 + (1 << first)
    return tuple(widths)


_WIDTHS = _widths()
#: The size of the length of strings, bytes and extensions, by first byte.
_LENGTHS = {0xD9: 1, 0xDA: 2, 0xDB: 4, 0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_COUNTS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
_FINITE = {
    0xCA: re.compile(rb"(?:\xca(?![\x7f\xff][\x80-\xff]).{4})*+", re.DOTALL).match,
    0xCB: re.compile(rb"(?:\xcb(?![\x7f\xff][\xf0-\xff]).{8})*+", re.DOTALL).match,
}
_RUNS = {
    1: re.compile(rb"[\x00-\x7f\xc0\xc2\xc3\xe0-\xff]*+").match,
    2: re.compile(rb"(?:[\xcc\xd0].)*+", re.DOTALL).match,
    3: re.compile(rb"(?:[\xcd\xd1]..)*+", re.DOTALL).match,
    5: re.compile(rb"(?:[\xce\xd2].{4})*+", re.DOTALL).match,
    9: re.compile(rb"(?:[\xcf\xd3].{8})*+", re.DOTALL).match,
}
#: Nested arrays of one element.
_nest = re.compile(rb"\x91*+").match


def _short(more: int = 0) -> bytes:
    """Return a pattern for a length below 32, followed by that many bytes and `more`."""
    return b"(?:%b)" % b"|".join(rb"\x%02x.{%d}" % (size, size + more) for size in range(32))


# Values that are not containers, with their bytes, unless they are longer.
_NO_CONTAINER = (
    rb"[\x00-\x7f\xa0\xc0\xc2\xc3\xe0-\xff]|[\xcb\xcf\xd3].{8}|[\xca\xce\xd2].{4}|[\xcd\xd1]..|[\xcc\xd0]."
    + b"".join(rb"|\x%x.{%d}" % (0xA0 + size, size) for size in range(1, 32))
    + rb"|\xd6.{5}|\xd7.{9}|\xd4..|\xd5...|\xd8.{17}"
    + rb"|(?:[\xd9\xc4]|[\xda\xc5]\x00|[\xdb\xc6]\x00{3})"
    + _short()
    + rb"|(?:\xc7|\xc8\x00|\xc9\x00{3})"
    + _short(1)
)
_noContainers = re.compile(rb"(?:" + _NO_CONTAINER + rb")*+", re.DOTALL).match
#: Patterns for several containers and the values between. The content of containers isn't skipped; it counts
#: too.
_CONTAINERS = [
    (
        many,
        re.compile(
            rb"(?:(?:%b)*+(?:[\x80-\x9f]|[\xdc\xde]..|[\xdd\xdf].{4})){%d}+" % (_NO_CONTAINER, many),
            re.DOTALL,
        ).match,
    )
    for many in (1024, 32, 1)
]


@attrs.define
class Contents:
    """The content of a MessagePack value, and its end."""

    end: int = 0
    #: The number of arrays and maps.
    containers: int = 0
    #: Their depth of nesting.
    depth: int = 0
    hasBytes: bool = False
    #: Whether there are extensions other than timestamps.
    hasExtensions: bool = False
    #: Whether there are infinities or NaN.
    hasNaN: bool = False
    #: Whether there are keys that are not strings.
    hasOddKeys: bool = False


def scan(data: bytes, pos: int = 0, limit: int = MAX_STEPS) -> Contents:
    """Scan the MessagePack value at `pos`. Raises `Malformed` and `TooLong`."""
    found = Contents()
    try:
        found.end = _walk(data, pos, limit, found)
    except IndexError:
        raise Malformed from None
    if found.end > len(data):
        raise Malformed
    return found


def _walk(data: bytes, pos: int, limit: int, found: Contents) -> int:
    outer: list[tuple[int, bool, int]] = []  # the containers around this one
    left, isMap = 1, False  # keys and values that are left in this one
    nested = 0
    while True:
        while not left:
            if not outer:
                return pos
            left, isMap, nested = outer.pop()
        limit -= 1
        if limit < 0:
            raise TooLong
        first = data[pos]
        isKey = isMap and not left & 1
        left -= 1
        width = _WIDTHS[first]
        if width:
            found.hasOddKeys |= isKey
            end = pos + width * (1 if isMap else left + 1)
            count = (_after(_FINITE.get(first) or _RUNS[width], data, pos, end) - pos) // width
            if not count:  # it is cut off, or no finite number
                found.hasNaN |= first in _FINITE
                count = 1
            left -= count - 1
            pos += width * count
        elif 0xA0 <= first < 0xC0:
            pos += 1 + first - 0xA0
        elif first in _LENGTHS:
            size = _LENGTHS[first]
            length = _number(data, pos + 1, size)
            if first < 0xC7:
                found.hasBytes = True
            elif first < 0xCA:
                found.hasExtensions |= data[pos + 1 + size] != 0xFF
                length += 1
            found.hasOddKeys |= isKey and first < 0xCA
            pos += 1 + size + length
        elif first in _FIXED_EXTENSIONS:
            found.hasExtensions |= data[pos + 1] != 0xFF
            found.hasOddKeys |= isKey
            pos += 2 + _FIXED_EXTENSIONS[first]
        elif first == 0x91 and not isMap:
            count = _after(_nest, data, pos) - pos
            found.containers += count
            outer.append((left, isMap, nested))
            nested += count
            found.depth = max(found.depth, nested)
            left, isMap = 1, False
            pos += count
        else:
            found.hasOddKeys |= isKey
            count, times, pos = _opened(data, first, pos)
            found.containers += 1
            outer.append((left, isMap, nested))
            nested += 1
            found.depth = max(found.depth, nested)
            left, isMap = count * times, times == 2


def _number(data: bytes, pos: int, size: int) -> int:
    if pos + size > len(data):
        raise Malformed
    return int.from_bytes(data[pos : pos + size], "big")


def _opened(data: bytes, first: int, pos: int) -> tuple[int, int, int]:
    """Return the number of elements of a container, the values for each, and the start of the first."""
    if first in _COUNTS:
        size, times = _COUNTS[first]
        return _number(data, pos + 1, size), times, pos + 1 + size
    if 0x80 <= first < 0xA0:
        return first & 0x0F, 2 if first < 0x90 else 1, pos + 1
    raise Malformed


def hasMoreContainers(data: bytes, limit: int) -> bool:
    """
    Return whether a well-formed MessagePack value has more than `limit` arrays and maps.

    The bytes between two long strings are scanned at most three times, many containers in one step.
    """
    pos, size = 0, len(data)
    while True:
        for many, containers in _CONTAINERS:
            while (found := containers(data, pos)) is not None:
                pos = found.end()
                limit -= many
                if limit < 0:
                    return True
        pos = _after(_noContainers, data, pos)
        if pos >= size:
            return False
        first = data[pos]
        if first not in _LENGTHS:
            raise Malformed
        width = _LENGTHS[first]
        pos += 1 + width + _number(data, pos + 1, width) + (0xC7 <= first < 0xCA)


def splitMessagePack(data: bytes, limit: int = MAX_STEPS) -> list[bytes]:
    """Return the encoded elements of a MessagePack array, as `splitJSON`."""
    try:
        count, times, pos = _opened(data, data[0], 0)
    except IndexError:
        raise Malformed from None
    if times != 1:
        raise Malformed
    if count > MAX_PARTS:
        raise TooLong
    parts: list[bytes] = []
    for _ in range(count):
        end = scan(data, pos, limit).end
        parts.append(data[pos:end])
        pos = end
    if pos != len(data):
        raise Malformed
    return parts
