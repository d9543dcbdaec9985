"""
Payloads: the data of messages as bytes.

What a room emits is encoded once, as MessagePack, when it is emitted; for JSON it is turned over from
there, once for all who get it. What clients send stays in their dialect until a handler's type is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from . import plain as rules
from .errors import InvalidData
from .plain import encode as encode
from .plain import plain as plain
from .plain import toJSON as toJSON

_UNREADABLE = "the data can't be read"


def checkText(name: str, value: str) -> str:
    """
    The text itself, of a subclass too, which can't be encoded.

    Raises `TypeError` unless it is a text, `UnicodeEncodeError` for one that is no Unicode.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r}: must be a text")
    value.encode()
    return str.__str__(value)


def decode(payload: bytes) -> Any:
    """The plain data of a payload of ours."""
    return rules.decodeMessagePack(payload)


def check(data: bytes, isJSON: bool, mayHaveBytes: bool) -> None:
    """Raise `InvalidData` for what a client's data may not be; see `plain.check`."""
    try:
        rules.check(data, isJSON, mayHaveBytes)
    except rules.NotPlain as error:
        raise InvalidData(str(error)) from None
    except (ValueError, OverflowError, RecursionError):
        raise InvalidData(_UNREADABLE) from None


def read(data: bytes, isJSON: bool, mayHaveBytes: bool = False) -> Any:
    """The plain data that a client sent. Raises `InvalidData`."""
    try:
        if not isJSON:
            return rules.readMessagePack(data, mayHaveBytes)
        if rules.mayBeWrong(data):
            rules.checkJSON(data)
        return rules.decodeJSON(data)
    except rules.NotPlain as error:
        raise InvalidData(str(error)) from None
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (ValueError, OverflowError, RecursionError):
        raise InvalidData(_UNREADABLE) from None


def readAs(decoder: Callable[[bytes], Any], data: bytes) -> Any:
    """What `decoder` makes of a client's data. Raises `InvalidData`, naming the field."""
    try:
        return decoder(data)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (ValueError, OverflowError, RecursionError):  # a DecodeError is a ValueError
        raise InvalidData(_UNREADABLE) from None


def invalid(error: msgspec.ValidationError) -> InvalidData:
    """What msgspec says of data, with the field's name by itself."""
    message, _, path = str(error).partition(" - at `$")
    return InvalidData(message, path.rstrip("`").lstrip("."))
