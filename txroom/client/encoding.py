"""
Checks and encodes what a client sends, before the frame gets its number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..protocol.limits import MAX_NAME, MAX_OPTIONS
from ..protocol.payload import encode
from ..protocol.plaindata import isTooDeep
from ..protocol.unsendable import cut, findMistake, mistakeOfText, shown


def checkName(what: str, name: Any) -> None:
    """
    Raise `RoomError` unless `name` is a string that the server accepts as a name; `what` names it in the
    error.
    """
    isText = isinstance(name, str) and 0 < len(name) <= MAX_NAME
    if not isText or mistakeOfText(name):
        raise RoomError(
            ErrorCode.BAD_REQUEST, f"{what}={shown(name)}: must be a string of 1 to {MAX_NAME} characters"
        )


def checkMapping(what: str, value: Any) -> None:
    """
    Raise `RoomError` unless `value` is `None` or a mapping whose keys are strings; `what` names it in the
    error.
    """
    if value is not None and not isinstance(value, Mapping):
        raise RoomError(ErrorCode.BAD_REQUEST, f"{what}={shown(value)}: must be a mapping of names to values")
    for name in value or ():
        if not isinstance(name, str):
            raise RoomError(ErrorCode.BAD_REQUEST, f"{what}: the name {shown(name)} must be a string")


def checkOptions(what: str, options: Mapping[str, Any]) -> bytes:
    """Encode the options of a join, or a filter, in JSON, whatever the sub-protocol. Raises `RoomError`."""
    encoded = Encoding(isJSON=True).encode(options, what)
    if len(encoded) > MAX_OPTIONS:
        message = f"{what}: {len(encoded)} bytes; at most {MAX_OPTIONS} are allowed"
        raise RoomError(ErrorCode.INVALID_DATA, message, {"field": what})
    return encoded


class Encoding:
    """Encodes the data of messages for one sub-protocol."""

    def __init__(self, isJSON: bool) -> None:
        self._isJSON = isJSON
        self._pack = msgspec.msgpack.Encoder().encode
        self._unpack = msgspec.msgpack.Decoder().decode
        self._write = msgspec.json.Encoder().encode
        self._read = msgspec.json.Decoder().decode

    def encode(self, data: Any, what: str = "data") -> bytes:
        """
        Encode plain data, or types that msgspec can encode (Struct, dataclass, datetime and others).

        Raises:
            RoomError: The server could not read the data as it was meant. The message and `details` name
                the place.
        """
        try:
            encoded, isSame = self._encoded(data)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            place, why = findMistake(data, what, self._isJSON) or (what, str(error) or type(error).__name__)
            raise _refusal(what, place, why) from error
        if isTooDeep(encoded, self._isJSON) or not isSame:
            mistake = findMistake(data, what, self._isJSON)
            if mistake is not None:
                raise _refusal(what, *mistake)
        return encoded

    def _encoded(self, data: Any) -> tuple[bytes, bool]:
        """Return the encoded data, and whether decoding it gives equal data."""
        if not self._isJSON:
            return encode(data, mayHaveBytes=True), True
        packed = self._pack(data)
        plain = self._unpack(packed)
        encoded = self._write(plain)
        return encoded, bool(self._read(encoded) == plain)


def _refusal(what: str, place: str, why: str) -> RoomError:
    """Return the error for data that the client cannot send because of the value at `place`."""
    field = place.removeprefix(what).lstrip(".")
    return RoomError(ErrorCode.INVALID_DATA, cut(f"{place}: {why}", 500), {"field": cut(field, 200)})


def shownError(error: BaseException) -> str:
    """Return the type and text of an exception, for the message of another error."""
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return cut(text.encode(errors="backslashreplace").decode(), 300)
