"""
The frames of the room protocol as a client sees them: what the server sends, and what it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..protocol.limits import JSON_PROTOCOL
from ..protocol.serverframes import SERVER_KINDS, ServerFrame
from .encoding import Encoding, checkOptions


class NotAFrame(Exception):
    """The server sent what is no frame."""


class Codec:
    """Writes and reads the frames of one sub-protocol."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.isJSON = protocol == JSON_PROTOCOL
        #: The data of a message in this sub-protocol: plain data, or what msgspec takes for it. Raises
        #: `RoomError`, and names the place.
        self.data = Encoding(self.isJSON).encode
        self._decode: Callable[[bytes], ServerFrame]
        self._loose: Callable[[bytes], Any]
        self._encode: Callable[[Any], bytes]
        if self.isJSON:
            self._decode = msgspec.json.Decoder(ServerFrame).decode
            self._loose = msgspec.json.Decoder().decode
            self._encode = msgspec.json.Encoder().encode
        else:
            self._decode = msgspec.msgpack.Decoder(ServerFrame).decode
            self._loose = msgspec.msgpack.Decoder().decode
            self._encode = msgspec.msgpack.Encoder().encode

    def read(self, message: bytes, isBinary: bool) -> ServerFrame | None:
        """The frame; `None` for a kind that this version doesn't know. Raises `NotAFrame`."""
        if isBinary is self.isJSON:
            raise NotAFrame("binary" if isBinary else "text")
        try:
            return self._decode(message)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            if self._isUnknown(message):
                return None
            raise NotAFrame(str(error)) from None

    def _isUnknown(self, message: bytes) -> bool:
        try:
            frame = self._loose(message)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return False
        isArray = isinstance(frame, list) and bool(frame) and isinstance(frame[0], str)
        return isArray and frame[0] not in SERVER_KINDS

    def write(self, *frame: Any) -> bytes:
        """A frame, with its data as `data` or `checkOptions` has returned it. Raises `RoomError`."""
        try:
            return self._encode(frame)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise RoomError(ErrorCode.INVALID_DATA, str(error)) from error

    def options(self, what: str, options: Mapping[str, Any]) -> Raw:
        """Options of a join, or a filter, as a part of a frame. Raises `RoomError`."""
        encoded = checkOptions(what, options)
        return Raw(encoded if self.isJSON else msgspec.msgpack.encode(msgspec.json.decode(encoded)))

    def plain(self, data: bytes) -> Any:
        """The plain data again."""
        return self._loose(data)


def key(value: Any) -> bytes:
    """Plain data as something that can be looked up."""
    return msgspec.msgpack.encode(value)


def raw(data: bytes) -> Raw:
    """Encoded data as a part of a frame."""
    return Raw(data)
