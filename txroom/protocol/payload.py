"""
Payloads: the data of messages that a room sends, encoded.

Data is encoded once, as MessagePack, when it is sent, and refused there if it is no plain data. For clients
that speak JSON it is translated from there when the frame is built, once for all of them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from . import plaindata, scanner
from .limits import MAX_DEPTH
from .unsendable import explained

#: The payload of `None`: MessagePack's nil.
NIL = b"\xc0"

encodeMessagePack = msgspec.msgpack.Encoder().encode
decodeMessagePack = msgspec.msgpack.Decoder().decode

#: What msgspec encodes to so many bytes or fewer takes no more memory than it needs.
EXACT_SIZE = 512
#: The bytes that may begin a map, a float, bytes or an extension.
_REMARKABLE = bytes([*range(0x80, 0x90), 0xDE, 0xDF, *range(0xC4, 0xCC), *range(0xD4, 0xD9)])


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
        payload = encodeMessagePack(data)
    except TypeError as error:
        raise explained(error, data, name) from None
    if len(payload) > EXACT_SIZE:
        payload = exact(payload)
    if type(data) is dict and _isSimple(data):
        return payload
    if len(payload) != len(payload.translate(None, _REMARKABLE)) or len(payload) > MAX_DEPTH:
        _check(payload, mayHaveBytes)
    return payload


#: The types of what needs no closer look; one that can't be encoded has been refused.
_SIMPLE = frozenset({str, int, bool, type(None)})
_TEXT = frozenset({str})


def _isSimple(data: dict[Any, Any]) -> bool:
    """Whether all that is in a mapping can be seen at a glance, as in most messages."""
    if len(data) > 8 or not _TEXT.issuperset(map(type, data)):
        return False
    if _SIMPLE.issuperset(map(type, data.values())):
        return True
    return all(
        type(value) in _SIMPLE or (type(value) is float and value - value == 0.0)  # neither NaN nor infinity
        for value in data.values()
    )


def _check(payload: bytes, mayHaveBytes: bool) -> None:
    """Raise unless a payload is plain data."""
    try:
        plaindata.decodeMost(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        fault = _faultOf(payload, mayHaveBytes)
    else:
        fault = "" if mayHaveBytes else plaindata.faultOfFloats(payload, len(payload))
    if fault in (plaindata.DEEP, plaindata.NAN):
        raise ValueError(fault)
    if fault:
        raise TypeError(fault)


def _faultOf(payload: bytes, mayHaveBytes: bool) -> str:
    """What is wrong with what the quick decoder doesn't know; where bytes may be, only if there is little."""
    try:
        found = scanner.scan(payload, 0, 1000 if mayHaveBytes else len(payload))
    except scanner.TooLong:
        return ""
    return plaindata.faultIn(found, mayHaveBytes)


def exact(encoded: bytes) -> bytes:
    """The same bytes in as much memory as they need: msgspec leaves up to half as much again behind them."""
    return bytes(memoryview(encoded)) if len(encoded) > EXACT_SIZE else encoded


def decode(payload: bytes) -> Any:
    """The plain data of a payload."""
    return decodeMessagePack(payload)


def plain(data: Any, mayHaveBytes: bool = False, name: str = "data") -> Any:
    """A copy of `data` as clients get it, which nobody else can change. Raises as `encode`."""
    return decodeMessagePack(encode(data, mayHaveBytes, name))


def arrayHead(count: int) -> bytes:
    """The bytes with which an array of so many elements begins."""
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdd" + count.to_bytes(4, "big")


def checkText(name: str, value: str) -> str:
    """
    The text itself; also of a subclass of `str`, which can't be encoded.

    Raises `TypeError` unless it is a text, `UnicodeEncodeError` for one that is no Unicode.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r}: must be a text")
    value.encode()
    return str.__str__(value)
