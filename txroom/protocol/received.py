"""
Received data: decodes the data of clients, as plain data or as the type that a handler takes.

Data stays encoded as the client sent it until its type is known. The encoded bytes show whether the data is
allowed, so data that is not allowed is refused before it is decoded.
"""

from __future__ import annotations

from typing import Any

import msgspec

from . import plaindata, scanner
from .errors import InvalidData
from .limits import MAX_OPTION_VALUES
from .plaindata import NotPlain, checkJSON, checkWidth, faultOfFloats, mayBeWrong

decodeMessagePack = msgspec.msgpack.Decoder().decode
decodeJSON = msgspec.json.Decoder().decode

#: The bytes that bytes and extensions begin with.
_STRANGE = bytes([*range(0xC4, 0xCA), *range(0xD4, 0xD9)])
#: The errors of msgspec's decoders; a `DecodeError` is a `ValueError`.
UNREADABLE = (ValueError, OverflowError, RecursionError)


def check(data: bytes, isJSON: bool, mayHaveBytes: bool) -> None:
    """
    Check the data of a client for a handler that ignores it, or whose type limits its nesting and its keys.

    In MessagePack, the nesting and the keys are therefore not checked here. The data must be well-formed.

    Raises:
        InvalidData: The data is not allowed.
    """
    try:
        if isJSON:
            if mayBeWrong(data):
                checkJSON(data)
            return
        checkWidth(data)
        if mayHaveBytes:
            return
        if len(data) != len(data.translate(None, _STRANGE)):
            _readMost(data, False)
        elif fault := faultOfFloats(data):
            raise NotPlain(fault)
    except NotPlain as error:
        raise InvalidData(str(error)) from None
    except UNREADABLE as error:
        raise invalid(error) from None


def read(data: bytes, isJSON: bool, mayHaveBytes: bool = False) -> Any:
    """Decode the data of a client as plain data. Raises `InvalidData`."""
    try:
        if not isJSON:
            checkWidth(data)
            return _readMost(data, mayHaveBytes)
        if mayBeWrong(data):
            checkJSON(data)
        return decodeJSON(data)
    except NotPlain as error:
        raise InvalidData(str(error)) from None
    except UNREADABLE as error:
        raise invalid(error) from None


def readOptions(data: bytes, isJSON: bool) -> dict[str, Any]:
    """Decode the options or the filter of a client. Raises `InvalidData`."""
    options = read(data, isJSON)
    if not isinstance(options, dict):
        raise InvalidData("Expected `object`")
    if len(data) > MAX_OPTION_VALUES and plaindata.hasMoreValues(options, MAX_OPTION_VALUES):
        raise InvalidData(f"more than {MAX_OPTION_VALUES} values")
    return options


def invalid(error: Exception) -> InvalidData:
    """Return the error for data that a decoder of msgspec refused; it names the field, if that is known."""
    if not isinstance(error, msgspec.ValidationError):
        return InvalidData("the data can't be read")
    message, _, path = str(error).partition(" - at `$")
    return InvalidData(message, path.rstrip("`").lstrip("."))


def _readMost(data: bytes, mayHaveBytes: bool) -> Any:
    """Decode MessagePack as plain data. Raises `NotPlain`, or an error of the decoder."""
    try:
        value = plaindata.decodeMost(data)
        fault = "" if mayHaveBytes else faultOfFloats(data)
    except msgspec.ValidationError as error:
        fault = _faultOf(error, data, mayHaveBytes)
        value = None if fault else decodeMessagePack(data)
    if fault:
        raise NotPlain(fault)
    return value


def _faultOf(error: msgspec.ValidationError, data: bytes, mayHaveBytes: bool) -> str:
    """Return what is wrong with data that the quick decoder refused; empty if nothing."""
    text = str(error)
    if " - at `key` in `" in text:
        return plaindata.KEYS
    if "got `bytes`" in text and not mayHaveBytes:
        return plaindata.BYTES
    try:
        found = scanner.scan(data)
    except scanner.TooLong:
        raise NotPlain("too many values for data that is nested deeply, or has bytes or dates") from None
    return plaindata.faultIn(found, mayHaveBytes)
