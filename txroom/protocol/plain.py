"""
Plain data: the one place that says what data may be.

Messages, answers, options, filters, metadata, presence metas and the details of errors all are plain data:
`None`, booleans, integers of 64 bits, finite floats, texts that are Unicode, lists, and mappings whose keys
are texts, nested `MAX_DEPTH` deep at most, with dates as the only extension. Rooms with `binary = True`,
whose clients all speak MessagePack, may have bytes, other extensions and floats of any kind besides.

What clients send is refused by its bytes, before anything is built of it (`check`, `read`); what a server
says is encoded once (`encode`), and refused where it is said.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from . import misfits, survey
from .limits import MAX_CONTAINERS, MAX_DEPTH, MAX_OPTION_VALUES
from .survey import Survey

#: What `decode` takes: MessagePack's nil.
NIL = b"\xc0"

MAX_INTEGER = 2**64 - 1
MIN_INTEGER = -(2**63)

encodeMessagePack = msgspec.msgpack.Encoder().encode
decodeMessagePack = msgspec.msgpack.Decoder().decode
encodeJSON = msgspec.json.Encoder().encode
decodeJSON = msgspec.json.Decoder().decode

#: Levels of nesting that the quick look knows. Each doubles the memory of its decoder.
_LEVELS = 8


def _nested(levels: int) -> Any:
    scalar: Any = bool | int | float | str | None
    data = scalar
    for _ in range(levels):
        data = scalar | list.__class_getitem__(data) | dict.__class_getitem__((str, data))
    return data


#: Decodes most plain data, and refuses what is none: bytes, extensions, keys that are no text, before
#: anything is hashed that a client chose. Also refuses dates, and what is nested deeper.
_decodeMost = msgspec.msgpack.Decoder(_nested(_LEVELS)).decode

#: The bytes that may begin an array or a map.
_CONTAINERS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
#: The bytes that may begin a map, a float, bytes or an extension.
_REMARKABLE = bytes([*range(0x80, 0x90), 0xDE, 0xDF, *range(0xC4, 0xCC), *range(0xD4, 0xD9)])
#: The bytes that may begin bytes or an extension.
_STRANGE = bytes([*range(0xC4, 0xCA), *range(0xD4, 0xD9)])
#: Where infinities, and what is no number, may be.
_mayBeNaN = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]|\xca[\x7f\xff][\x80-\xff]").search
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG = b"0" * 19
#: What JSON of fewer bytes says can't be nested too deep.
SHORT = 2 * MAX_DEPTH


class NotPlain(ValueError):
    """Data is not what it may be."""


def encode(data: Any, mayHaveBytes: bool = False, name: str = "data") -> bytes:
    """
    The payload of `data`: plain data, or what msgspec takes for it (Struct, dataclass, datetime, ...).

    Raises `TypeError` for anything else, which says what it is and where in the data, called `name`; unless
    `mayHaveBytes` for bytes and extensions too. Raises `ValueError` for what is nested too deep and, unless
    `mayHaveBytes`, for floats that are no finite number, `OverflowError` for an integer of more than 64 bits.
    """
    if data is None:
        return NIL
    try:
        payload = exact(encodeMessagePack(data))
    except TypeError as error:
        raise misfits.explained(error, data, name) from None
    if type(data) is dict and _isSimple(data):
        return payload
    if len(payload) != len(payload.translate(None, _REMARKABLE)) or len(payload) > MAX_DEPTH:
        _checkOwn(payload, mayHaveBytes)
    return payload


#: The types of what needs no closer look; one that can't be encoded has been refused.
_SIMPLE = frozenset({str, int, bool, type(None)})


def _isSimple(data: dict[Any, Any]) -> bool:
    """Whether all that is in a mapping can be seen at a glance, as in most messages."""
    if len(data) > 8:
        return False
    for key, value in data.items():
        if type(key) is not str:
            return False
        if type(value) not in _SIMPLE and (type(value) is not float or value - value != 0.0):  # NaN, infinity
            return False
    return True


def exact(encoded: bytes) -> bytes:
    """The same bytes in as much memory as they need: msgspec leaves up to half as much again behind them."""
    return bytes(memoryview(encoded)) if len(encoded) > 512 else encoded


def _checkOwn(payload: bytes, mayHaveBytes: bool) -> None:
    """Raise unless the payload of what a server says is plain data."""
    try:
        _decodeMost(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        fault = _faultOfOwn(payload, mayHaveBytes)
    else:
        fault = "" if mayHaveBytes else _faultOfFloats(payload, len(payload))
    if fault in (_DEEP, _NAN):
        raise ValueError(fault)
    if fault:
        raise TypeError(fault)


def _faultOfOwn(payload: bytes, mayHaveBytes: bool) -> str:
    """What is wrong with what the quick look doesn't know; where bytes may be, only if there is little."""
    try:
        return _faultIn(survey.survey(payload, 0, 1000 if mayHaveBytes else len(payload)), mayHaveBytes)
    except survey.TooLong:
        return ""


_DEEP = f"nested deeper than {MAX_DEPTH}"
_NAN = "NaN and infinities can't be sent: JSON can't say them"
_KEYS = "the keys of mappings must be texts"
_BYTES = "bytes are not taken here: the room must say binary = True"
_EXTENSIONS = "extensions are not taken here, but timestamps"
_LONG_INTEGER = "an integer of more than 64 bits"
_WIDE = f"more than {MAX_CONTAINERS} arrays and objects"


def _faultIn(found: Survey, mayHaveBytes: bool) -> str:
    """What is wrong with what a survey found; empty if nothing."""
    if found.depth > MAX_DEPTH:
        return _DEEP
    if found.hasOddKeys:
        return _KEYS
    if mayHaveBytes:
        return ""
    if found.hasBytes:
        return _BYTES
    if found.hasExtensions:
        return _EXTENSIONS
    return _NAN if found.hasNaN else ""


def _faultOfFloats(payload: bytes, limit: int = survey.MAX_STEPS) -> str:
    if not (b"\xcb" in payload or b"\xca" in payload) or _mayBeNaN(payload) is None:
        return ""
    return _NAN if survey.survey(payload, 0, limit).hasNaN else ""


def plain(data: Any, mayHaveBytes: bool = False, name: str = "data") -> Any:
    """A copy of `data` as clients get it, which nobody else can change. Raises as `encode`."""
    return decodeMessagePack(encode(data, mayHaveBytes, name))


def toJSON(payload: bytes) -> bytes:
    """A payload in JSON; bytes, which nobody who speaks JSON should get, in base64."""
    return b"null" if payload == NIL else encodeJSON(decodeMessagePack(payload))


# -- what clients send


def check(data: bytes, isJSON: bool, mayHaveBytes: bool) -> None:
    """
    Raise `NotPlain` for what data of a client may not be.

    `data` is well-formed. What is built of it by a type that says what all of it is need not be looked at
    for more: not how deep it is nested, nor for keys.
    """
    if isJSON:
        if mayBeWrong(data):
            checkJSON(data)
        return
    _checkWidth(data)
    if mayHaveBytes:
        return
    if len(data) != len(data.translate(None, _STRANGE)):
        _readMost(data, False)
    elif fault := _faultOfFloats(data):
        raise NotPlain(fault)


def read(data: bytes, isJSON: bool, mayHaveBytes: bool = False) -> Any:
    """The plain data that a client sent. Raises `NotPlain`, or what the decoder does."""
    if isJSON:
        if mayBeWrong(data):
            checkJSON(data)
        return decodeJSON(data)
    return readMessagePack(data, mayHaveBytes)


def readMessagePack(data: bytes, mayHaveBytes: bool) -> Any:
    """The plain data of MessagePack that a client sent, as `read`."""
    _checkWidth(data)
    return _readMost(data, mayHaveBytes)


def _readMost(data: bytes, mayHaveBytes: bool) -> Any:
    try:
        value = _decodeMost(data)
        fault = "" if mayHaveBytes else _faultOfFloats(data)
    except msgspec.ValidationError as error:
        fault = _faultOf(error, data, mayHaveBytes)
        value = None if fault else decodeMessagePack(data)
    if fault:
        raise NotPlain(fault)
    return value


def _faultOf(error: msgspec.ValidationError, data: bytes, mayHaveBytes: bool) -> str:
    """What is wrong with data that the quick look refused; empty if nothing."""
    text = str(error)
    if " - at `key` in `" in text:
        return _KEYS
    if "got `bytes`" in text and not mayHaveBytes:
        return _BYTES
    return _faultIn(_surveyed(data), mayHaveBytes)


def _surveyed(data: bytes) -> Survey:
    try:
        return survey.survey(data)
    except survey.TooLong:
        raise NotPlain("too many values for what is nested that deep, or has bytes") from None


def _checkWidth(data: bytes) -> None:
    """A MessagePack value has not too many containers."""
    if len(data) <= MAX_CONTAINERS or len(data) - len(data.translate(None, _CONTAINERS)) <= MAX_CONTAINERS:
        return
    if survey.hasMoreContainers(data, MAX_CONTAINERS):
        raise NotPlain(_WIDE)


def mayBeWrong(data: bytes) -> bool:
    """Whether JSON needs `checkJSON`: cheap, since most doesn't."""
    size = len(data)
    return size >= len(_LONG) and (
        size > SHORT or size - len(data.translate(None, b"0123456789")) >= len(_LONG)
    )


def checkJSON(data: bytes) -> None:
    """Raise `NotPlain` for what JSON may not be."""
    if data.translate(_DIGITS).count(_LONG):
        for digits in survey.longIntegers(data):
            if len(digits) > 20 or not MIN_INTEGER <= int(digits) <= MAX_INTEGER:
                raise NotPlain(_LONG_INTEGER)
    if len(data) > SHORT and data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        brackets = survey.brackets(data)
        if len(brackets) > 2 * MAX_CONTAINERS:
            raise NotPlain(_WIDE)
        if survey.isDeeper(brackets, MAX_DEPTH):
            raise NotPlain(_DEEP)


def isTooDeep(data: bytes, isJSON: bool) -> bool:
    """Whether encoded data is nested deeper than `MAX_DEPTH`."""
    if len(data) <= MAX_DEPTH:
        return False
    if isJSON:
        return survey.isDeeper(survey.brackets(data), MAX_DEPTH)
    return survey.survey(data, 0, len(data)).depth > MAX_DEPTH


def readOptions(data: bytes, isJSON: bool) -> dict[str, Any]:
    """The options, or the filter, that a client sent. Raises `NotPlain`, or what the decoder does."""
    options = read(data, isJSON)
    if not isinstance(options, dict):
        raise NotPlain("Expected `object`")
    if len(data) > MAX_OPTION_VALUES and hasMoreValues(options, MAX_OPTION_VALUES):
        raise NotPlain(f"more than {MAX_OPTION_VALUES} values")
    return options


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
