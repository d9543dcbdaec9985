"""
The dialect of Colyseus's clients: their frames, and what they get for the items of rooms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.codes import ErrorCode
from ...core.message import Prepared
from ...protocol import payload
from ...protocol.errors import BadFrame
from ...protocol.limits import MAX_NUMBER
from ...rooms.contract.commands import Call, Send
from ...rooms.contract.items import Error, Item, Joined, Message, Reply, StateFull, StatePatch
from ...state.schema.wire import text
from .codes import FAULTS, KIND_MASK, Kind, Status, closeCode, errorCode
from .numbers import integer, messageType, readInteger, readType
from .records import forBrowsers, plain

#: The frames of clients that have nothing but their first byte: the client has got `JOIN_ROOM`, it leaves,
#: and it wants an answer.
BARE = frozenset({Kind.JOIN_ROOM, Kind.LEAVE_ROOM, Kind.PING})
#: The bytes that a payload of bytes begins with.
_BYTES = frozenset({0xC4, 0xC5, 0xC6})
#: The most characters of a text for clients.
_MAX_TEXT = 1024

PONG = Prepared(bytes((Kind.PING,)))


class ColyseusDialect:
    """The protocol of the rooms of Colyseus 0.16 to 0.18; see `rooms.edge.ports.Dialect`."""

    isJSON = False

    def decode(self, message: str | bytes) -> Send | Call | Kind:
        """
        Decode a message of a client. Called for every message.

        Returns:
            A command for the room, or one of `BARE`.

        Raises:
            BadFrame: The message can't be decoded. Its `ref` is that of a request.
        """
        if not isinstance(message, bytes) or not message:
            raise BadFrame("must be binary")
        kind = message[0] & KIND_MASK
        if kind == Kind.ROOM_DATA:
            type, at = readType(message, 1)
            return Send(type, plain(message[at:]))
        if kind == Kind.ROOM_DATA_BYTES:
            type, at = readType(message, 1)
            return Send(type, payload.encodeMessagePack(message[at:]))
        if kind == Kind.ROOM_REQUEST:
            return self._request(message)
        if kind in BARE:
            return Kind(kind)
        raise BadFrame("no such frame")

    def _request(self, message: bytes) -> Call:
        ref, at = readInteger(message, 1)
        if not 0 <= ref <= MAX_NUMBER:
            raise BadFrame("the number of a request must be 0 or more")
        try:
            type, at = readType(message, at)
            return Call(ref, type, plain(message[at:]))
        except BadFrame as error:
            raise BadFrame(error.message, error.field, ref) from None

    def frame(self, item: Item) -> Prepared | None:
        """
        Build the message for an item; `None` for those that Colyseus does not have. Called for every message.

        `joined` builds it for `Joined`, since it differs between clients.
        """
        build = _FRAMES.get(type(item))
        data = None if build is None else build(item)
        return None if data is None else Prepared(data)

    def joined(self, item: Joined, skipsHandshake: bool) -> Prepared:
        """
        Build the message for a client that has joined or resumed.

        Args:
            item: The item.
            skipsHandshake: Whether the client has said that it needs no description of the state.
        """
        token = item.token.encode()
        serializer = b"none" if item.stateVersion is None else b"schema"
        parts = [bytes((Kind.JOIN_ROOM, len(token))), token, bytes((len(serializer),)), serializer]
        if not skipsHandshake:  # 0.17 does not even take a length of 0
            # Only 0.18 reads the length. The others take it for a part of the description, and skip it, since
            # the description begins by naming the object that it describes.
            parts += (integer(len(item.schema)), item.schema)
        return Prepared(b"".join(parts))

    def closeCode(self, code: int) -> int:
        """Return the close code of Colyseus that means what `code` means to txroom."""
        return closeCode(code)


def _message(item: Message) -> bytes:
    data = item.data
    if data[0] in _BYTES:
        content: bytes = payload.decode(data)
        return bytes((Kind.ROOM_DATA_BYTES,)) + messageType(item.type) + content
    head = bytes((Kind.ROOM_DATA,)) + messageType(item.type)
    return head if data == payload.NIL else head + forBrowsers(data)


def _full(item: StateFull) -> bytes:
    return bytes((Kind.ROOM_STATE,)) + item.data


def _patch(item: StatePatch) -> bytes:
    return bytes((Kind.ROOM_STATE_PATCH,)) + item.data


def _reply(item: Reply) -> bytes | None:
    return None if item.ref < 0 else _response(item.ref, Status.OK, forBrowsers(item.data))


def _error(item: Error) -> bytes | None:
    if item.ref is not None and item.ref < 0:
        return None
    message = (_placeOf(item) + (item.message or item.code))[:_MAX_TEXT]
    code = errorCode(item.code)
    if item.ref is None:
        return bytes((Kind.ERROR,)) + integer(code) + text(message)
    if item.code in FAULTS:
        fault = {"name": item.code, "message": message, "code": int(code)}
        return _response(item.ref, Status.ERROR, payload.encodeMessagePack(fault))
    reason: Any = message if item.details is None else item.details
    return _response(item.ref, Status.REJECTED, forBrowsers(payload.encodeMessagePack(reason)))


def _placeOf(item: Error) -> str:
    """Return which message has wrong data, if it is no request, and in which field, as the head of a text."""
    if item.code != ErrorCode.INVALID_DATA or not isinstance(item.details, dict):
        return ""
    places = (item.details.get(name) for name in ("type", "field"))
    return "".join(f"{each}: " for each in places if each and isinstance(each, str))


def _response(ref: int, status: Status, data: bytes) -> bytes:
    return bytes((Kind.ROOM_RESPONSE,)) + integer(ref) + bytes((status,)) + data


#: What builds the frame for each class of items; the others have none.
_FRAMES: dict[type[Item], Callable[[Any], bytes | None]] = {
    Message: _message,
    StatePatch: _patch,
    StateFull: _full,
    Reply: _reply,
    Error: _error,
}

#: The dialect of all connections, so that an item for many clients is framed once.
DIALECT = ColyseusDialect()
