"""
The frames of the room protocol as a client sees them: what the server sends, and what it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from ..codes import ErrorCode
from ..rooms.dialect import JSON_PROTOCOL, MAX_NUMBER
from ..rooms.errors import RoomError
from .sendable import Encoding, checkOptions

Count = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]


class Member(Struct, frozen=True):
    """A user who is in a room."""

    #: The id of the user, as the room gives it (`Room.userId` of the server).
    user: Any
    #: What the room tells of each of the user's memberships, with its id as `member`.
    metas: list[Any]


class Membership(Struct, frozen=True):
    """What `joined` says."""

    member: str
    token: str
    epoch: str
    offset: Count
    handled: Count
    #: Of our frames the server has so many, handled or not; at least those that are handled.
    accepted: Count = 0
    name: str | None = None
    recovered: Any = False
    members: list[Member] | None = None
    snapshot: Any = None


class _Frame(Struct, frozen=True, array_like=True, tag_field="frame"):
    """An array, its kind first; what a later version adds at its end is ignored."""


class Joined(_Frame, frozen=True, tag="joined"):
    """We are a member."""

    ref: Count | None
    room: str
    membership: Membership


class Message(_Frame, frozen=True, tag="msg"):
    """A message of the room; without an offset it is volatile."""

    room: str
    offset: Count | None
    type: str
    data: Any = None


class Left(_Frame, frozen=True, tag="left"):
    """We are no member any more, or not over this connection."""

    room: str
    code: Count
    reason: str | None = None


class Ack(_Frame, frozen=True, tag="ack"):
    """All of our frames up to `n` are handled."""

    room: str
    n: Count


class Reply(_Frame, frozen=True, tag="reply"):
    """The answer to a request or call."""

    ref: Count
    data: Any = None


class Error(_Frame, frozen=True, tag="error"):
    """A request, call or message was refused."""

    ref: Count | None
    room: str | None
    code: str
    message: str | None = None
    details: Any = None


class Call(_Frame, frozen=True, tag="call"):
    """The room asks us."""

    ref: Count
    room: str
    type: str
    data: Any = None


class Presence(_Frame, frozen=True, tag="presence"):
    """Who came, and who went."""

    room: str
    joined: list[Member]
    left: list[Member]


class Bye(_Frame, frozen=True, tag="bye"):
    """The server is about to close the connection; come back in `retryAfter` seconds."""

    code: Count
    retryAfter: float | None = None


RoomFrame = Message | Left | Ack | Call | Presence
ServerFrame = Joined | Reply | Error | Bye | RoomFrame
_KINDS = frozenset({"joined", "msg", "left", "ack", "reply", "error", "call", "presence", "bye"})


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
        return isArray and frame[0] not in _KINDS

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
