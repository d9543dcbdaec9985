"""
Payloads: the encoded data of messages that a room sends.

Data is encoded once, as MessagePack, when it is sent. Data that is not plain data raises an error there. For
clients that speak JSON the payload is translated when the frame is built, once for all of them.
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

#: Results of msgspec up to this size take no more memory than they need.
EXACT_SIZE = 512
#: The bytes that maps, floats, bytes and extensions begin with. Other bytes of a payload may have the same
#: values.
_REMARKABLE = bytes([*range(0x80, 0x90), 0xDE, 0xDF, *range(0xC4, 0xCC), *range(0xD4, 0xD9)])


def encode(data: Any, mayHaveBytes: bool = False, name: str = "data") -> bytes:
    """
    Encode data as MessagePack. Called for every message.

    Args:
        data: Plain data, or objects that msgspec encodes as such (Struct, dataclass, datetime, ...).
        mayHaveBytes: Whether bytes, extensions and all floats are allowed.
        name: What errors call the data.

    Raises:
        TypeError: A part of the data can't be sent; the error names it and its place.
        ValueError: The data is nested too deep, or has a float that is not a finite number.
        OverflowError: The data has an integer of more than 64 bits.
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


#: The types of values that need no more checks after they have been encoded.
_SIMPLE = frozenset({str, int, bool, type(None)})
_TEXT = frozenset({str})


def _isSimple(data: dict[Any, Any]) -> bool:
    """
    Return whether a mapping is small and has only simple values, as in most messages.

    Called for every message.
    """
    if len(data) > 8 or not _TEXT.issuperset(map(type, data)):
        return False
    if _SIMPLE.issuperset(map(type, data.values())):
        return True
    return all(
        type(value) in _SIMPLE or (type(value) is float and value - value == 0.0)  # neither NaN nor infinity
        for value in data.values()
    )


def _check(payload: bytes, mayHaveBytes: bool) -> None:
    """Raise `TypeError` or `ValueError` unless a payload is plain data."""
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
    """
    Return what is wrong with a payload that the quick decoder refuses; empty if nothing.

    If it may have bytes, it is only searched as far as that is quick.
    """
    try:
        found = scanner.scan(payload, 0, 1000 if mayHaveBytes else len(payload))
    except scanner.TooLong:
        return ""
    return plaindata.faultIn(found, mayHaveBytes)


def exact(encoded: bytes) -> bytes:
    """
    Return the bytes in as much memory as they need; results of msgspec may take up to half as much more.
    """
    return bytes(memoryview(encoded)) if len(encoded) > EXACT_SIZE else encoded


def decode(payload: bytes) -> Any:
    """Decode a payload."""
    return decodeMessagePack(payload)


def plain(data: Any, mayHaveBytes: bool = False, name: str = "data") -> Any:
    """Return a copy of `data` as clients get it. Raises as `encode`."""
    return decodeMessagePack(encode(data, mayHaveBytes, name))


def arrayHead(count: int) -> bytes:
    """Return the bytes with which an array of `count` elements begins."""
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdd" + count.to_bytes(4, "big")


def checkText(name: str, value: str) -> str:
    """
    Return a string that can be sent, as a plain `str`: msgspec does not encode objects of its subclasses.

    Raises:
        TypeError: The value is not a string.
        UnicodeEncodeError: It has lone surrogates.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r}: must be a string")
    value.encode()
    return str.__str__(value)
