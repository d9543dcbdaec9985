"""
Reads the frames that the server sends, and writes those that the client sends.
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
    """The server sent a message that is not a frame of the room protocol."""


class Codec:
    """Reads and writes the frames of one sub-protocol."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.isJSON = protocol == JSON_PROTOCOL
        #: Encodes the data of a message: plain data, or other types that msgspec can encode. Raises a
        #: `RoomError` that names the wrong place in the data.
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
        """
        Decode a frame.

        Returns:
            The frame, or `None` if this version does not know its kind.

        Raises:
            NotAFrame: The message is not a frame.
        """
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
        """Encode a frame, whose data `data` or `checkOptions` has encoded already. Raises `RoomError`."""
        try:
            return self._encode(frame)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise RoomError(ErrorCode.INVALID_DATA, str(error)) from error

    def options(self, what: str, options: Mapping[str, Any]) -> Raw:
        """Encode the options of a join, or a filter, as a part of a frame. Raises `RoomError`."""
        encoded = checkOptions(what, options)
        return Raw(encoded if self.isJSON else msgspec.msgpack.encode(msgspec.json.decode(encoded)))

    def plain(self, data: bytes) -> Any:
        """Decode data that was encoded for a message."""
        return self._loose(data)


def key(value: Any) -> bytes:
    """Return a hashable key for plain data: equal data has equal keys."""
    return msgspec.msgpack.encode(value)


def raw(data: bytes) -> Raw:
    """Return encoded data as a part of a frame, which `Codec.write` does not encode again."""
    return Raw(data)
