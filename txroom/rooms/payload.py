"""
Payloads: the data of messages as bytes.

What a room emits is encoded once, as MessagePack, when it is emitted; for JSON it is turned over from
there, once for all who get it. What clients send stays in their dialect until a handler's type is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from .errors import InvalidData
from .seam import NIL

#: Deepest nesting of arrays and objects in the data of one message.
MAX_DEPTH = 64

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_encodeJSON = msgspec.json.Encoder().encode
_decodeJSON = msgspec.json.Decoder().decode
#: The bytes that may begin an array or a map in MessagePack.
_CONTAINERS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
#: The bytes that may begin what JSON can't say: bytes, extensions and, as keys, nil, booleans and arrays.
_STRANGE = bytes([0xC0, *range(0xC2, 0xCA), *range(0xD4, 0xD9), *range(0x90, 0xA0), 0xDC, 0xDD])


def encode(data: Any, mayHaveBytes: bool = False) -> bytes:
    """
    The payload of `data`: plain data, or what msgspec takes for it (Struct, dataclass, datetime, ...).

    Raises `TypeError` for anything else, and unless `mayHaveBytes` for what JSON can't say: bytes,
    extensions, keys that are neither text nor number. Raises `OverflowError` for an integer of more than
    64 bits.
    """
    if data is None:
        return NIL
    payload = _encode(data)
    if not mayHaveBytes and _mayBeStrange(payload):
        _encodeJSON(data)  # raises, and says why
        if hasBytes(payload):
            raise TypeError("bytes in the data of a message: the room must say binary = True")
    return payload


def plain(data: Any, mayHaveBytes: bool = False) -> Any:
    """A copy of `data` as clients get it, which nobody else can change. Raises as `encode`."""
    return _decode(encode(data, mayHaveBytes))


def checkText(name: str, value: str) -> None:
    """Raise `TypeError` unless `value` is a text, `UnicodeEncodeError` for one that is no Unicode."""
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r}: must be a text")
    value.encode()


def checkPlain(payload: bytes) -> None:
    """Raise `InvalidData` if a client's MessagePack payload has what JSON can't say, or can't be read."""
    if not _mayBeStrange(payload):
        return
    try:
        _encodeJSON(decode(payload))
    except TypeError as error:
        raise InvalidData(f"what JSON can't say is not taken here: {error}") from None
    if hasBytes(payload):
        raise InvalidData("bytes are not taken here")


def _mayBeStrange(payload: bytes) -> bool:
    """Whether JSON may be unable to say a payload; cheap, since most need no closer look."""
    return len(payload) != len(payload.translate(None, _STRANGE))


def hasBytes(payload: bytes) -> bool:
    """Whether a MessagePack payload has bytes in it."""
    if not (b"\xc4" in payload or b"\xc5" in payload or b"\xc6" in payload):  # where bytes would begin
        return False
    return _any(_decode(payload), lambda value: isinstance(value, bytes))


def toJSON(payload: bytes) -> bytes:
    """A payload in JSON; bytes, which nobody who speaks JSON should get, in base64."""
    return b"null" if payload == NIL else _encodeJSON(_decode(payload))


def decode(data: bytes, isJSON: bool = False) -> Any:
    """The plain data of a payload; empty is `None`. Raises `InvalidData`."""
    return decoded(_decodeJSON if isJSON else _decode, data)


def decoded(decoder: Callable[[bytes], Any], data: bytes) -> Any:
    """What `decoder` makes of a client's payload. Raises `InvalidData`, naming the field."""
    try:
        return decoder(data)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise InvalidData(message, path.rstrip("`").lstrip(".")) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise InvalidData("the data can't be read") from None


def isTooDeep(data: bytes, isJSON: bool) -> bool:
    """Whether the data of a client is nested deeper than `MAX_DEPTH`, or can't be read."""
    if len(data) <= MAX_DEPTH:
        return False
    if isJSON:
        if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
            return False
    elif len(data) - len(data.translate(None, _CONTAINERS)) <= MAX_DEPTH:
        return False
    try:
        return isDeeper((_decodeJSON if isJSON else _decode)(data), MAX_DEPTH)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return True


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else []


def isDeeper(value: Any, limit: int) -> bool:
    """Whether plain data is nested deeper than `limit`."""
    layer = [value]
    for _ in range(limit + 1):
        containers = [each for each in layer if isinstance(each, dict | list)]
        if not containers:
            return False
        layer = [child for each in containers for child in _children(each)]
    return True


def _any(value: Any, test: Callable[[Any], bool]) -> bool:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if test(each):
            return True
        waiting += _children(each)
    return False
