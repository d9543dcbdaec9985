"""
The dialects of the room protocol, version 1: its frames in JSON and in MessagePack, the same arrays in both.

Every message of a client is decoded to a frame, or raises `BadFrame`; nothing else is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw, Struct

from ...core.message import Prepared
from ...protocol import payload, received, scanner
from ...protocol.clientframes import (
    ABSENT,
    ClientFrame,
    CreateFrame,
    JoinByIdFrame,
    JoinFrame,
    JoinOnlyFrame,
    N,
    Ref,
    RoomId,
    RoomsFrame,
)
from ...protocol.errors import BadFrame, BadOptions, InvalidData, NotWellFormed
from ...protocol.limits import JSON_PROTOCOL, MAX_OPTIONS, MSGPACK_PROTOCOL
from ..contract.commands import Unreadable
from ..contract.items import (
    Ack,
    Bye,
    Error,
    Item,
    Joined,
    Left,
    MembersPage,
    Message,
    Notified,
    Notify,
    PresenceChange,
    Reply,
    RequestReply,
    RoomCall,
    StateFull,
    StatePatch,
)


class UnreadableMessage(BadFrame):
    """A message or an answer for a room is well-formed, but has a wrong value."""

    def __init__(self, message: str, field: str, room: str | None, unreadable: Unreadable) -> None:
        super().__init__(message, field, unreadable.ref)
        self.room = room
        self.unreadable = unreadable


#: The frames that have options or a filter, which must be an object. They are found by their exact type,
#: since `isinstance` is slow for Structs of other types.
_SHAPED: dict[type, str] = {
    JoinFrame: "options",
    CreateFrame: "options",
    JoinOnlyFrame: "options",
    JoinByIdFrame: "options",
    RoomsFrame: "filter",
}
#: The kinds of frames whose second element is a ref.
_WITH_REF = frozenset(
    {"join", "create", "joinOnly", "joinById", "resume", "leave", "call", "rooms", "members", "ping"}
)
#: For messages and answers: the indexes of the room, the ref and the number; 0: there is none.
_TO_ROOM = {"send": (1, 0, 4), "call": (2, 1, 5), "reply": (1, 2, 0)}
#: The names of the elements after the kind.
_FIELDS: dict[str, tuple[str, ...]] = {
    "join": ("ref", "name", "options", "features"),
    "create": ("ref", "name", "options", "features"),
    "joinOnly": ("ref", "name", "options", "features"),
    "joinById": ("ref", "room", "options", "features"),
    "rooms": ("ref", "name", "filter"),
    "send": ("room", "type", "data", "n"),
    "call": ("ref", "room", "type", "data", "n"),
    "reply": ("room", "ref", "data"),
}


class _Head(Struct, frozen=True, array_like=True):
    """The first elements of an array of any kind."""

    first: Raw = ABSENT
    second: Raw = ABSENT
    third: Raw = ABSENT
    fourth: Raw = ABSENT
    fifth: Raw = ABSENT
    sixth: Raw = ABSENT


class FrameDialect:
    """One encoding of the room protocol; see `ports.Dialect`."""

    #: The sub-protocol.
    name: str
    isJSON: bool
    #: The bytes that an encoded object may begin with, and those between the elements of a list.
    _objects: bytes
    #: The members that were shown to the last client, and their encoded list.
    _shown: tuple[tuple[bytes, ...], bytes] = ((), b"")

    def __init__(self) -> None:
        #: Converts a payload to what the encoder takes as a part of a frame.
        self.part: Callable[[bytes], Any]
        self._decoder: Callable[[Any], Any]
        self._encode: Callable[[Any], bytes]
        self._head: Callable[[Any], _Head]
        self._read: Callable[[type[Any], bytes], Any]
        self._split: Callable[[bytes], list[bytes]]

    def decode(self, message: str | bytes) -> ClientFrame:
        """Decode a message of a client. Raises `BadFrame`, and nothing else. Called for every message."""
        if (type(message) is str) is not self.isJSON:
            raise NotWellFormed("text for JSON, binary for MessagePack")
        try:
            frame: ClientFrame = self._decoder(message)
        except msgspec.ValidationError as error:
            text, _, path = str(error).partition(" - at `$")
            raise self._bad(message, text, path.rstrip("`")) from None
        except (ValueError, RecursionError):  # a DecodeError is a ValueError
            raise self._unreadable(message) from None
        field = _SHAPED.get(type(frame))
        if field is not None:
            self._checkShape(frame, field)
        return frame

    def _checkShape(self, frame: Any, field: str) -> None:
        """Raise `BadFrame` unless the options are an object that is not too large; `options` decodes them."""
        data: Raw = getattr(frame, field)
        size = len(data)
        if size > MAX_OPTIONS:
            raise BadFrame(f"more than {MAX_OPTIONS} bytes", field, frame.ref)
        if size and bytes(data)[0] not in self._objects:
            raise BadFrame("Expected `object`", field, frame.ref)

    def options(self, data: Raw, field: str, ref: int) -> dict[str, Any]:
        """Decode the options or the filter of a frame; `field` is its name. Raises `BadFrame`."""
        if not len(data):
            return {}
        try:
            return received.readOptions(bytes(data), self.isJSON)
        except InvalidData as error:
            raise BadOptions(error.message, self._fieldOf(data, field), ref) from None

    def _fieldOf(self, data: Raw, field: str) -> str:
        """Return the path of the option that can't be decoded, or `field` if that can't be found."""
        try:
            for name, value in self._read(dict[str, Raw], bytes(data)).items():
                field, whole = f"{field}.{name[:64]}", field
                received.read(bytes(value), self.isJSON)
                field = whole
        except (InvalidData, ValueError, OverflowError, RecursionError):
            pass
        return field

    def _bad(self, message: str | bytes, text: str, path: str) -> BadFrame:
        """Return the error for an array that is not a frame, with the wrong field and the ref."""
        try:
            head = self._head(message)
        except (ValueError, RecursionError):
            return self._unreadable(message)
        parts = [bytes(getattr(head, name)) for name in head.__struct_fields__]
        return self._badOf(parts, "no such frame" if path == "[0]" else text, path)

    def _unreadable(self, message: str | bytes) -> BadFrame:
        """Return the error for a message that can't be decoded, with field and ref if it is well-formed."""
        try:
            parts = self._split(message.encode() if isinstance(message, str) else message)
        except (ValueError, scanner.TooLong):
            what = "a JSON array" if self.isJSON else "an array of MessagePack"
            return NotWellFormed(f'not a frame: {what} such as ["send", null, "say", "hi"] is expected')
        kind = self._part(parts, 0, str)
        names = _FIELDS.get(kind or "", ())
        wrong = next((name for name, part in zip(names, parts[1:], strict=False) if self._isWrong(part)), "")
        return self._badOf(parts, "can't be read", wrong)

    def _isWrong(self, part: bytes) -> bool:
        try:
            self._read(Raw, part)
        except (ValueError, RecursionError):
            return True
        return False

    def _badOf(self, parts: list[bytes], text: str, path: str) -> BadFrame:
        """
        Return the error for an array of these elements.

        If it can be known which message or answer it was, the error is an `UnreadableMessage`, so that its
        number is counted.
        """
        kind = self._part(parts, 0, str)
        if kind in _TO_ROOM:
            where, refAt, nAt = _TO_ROOM[kind]
            room = self._part(parts, where, RoomId)
            ref = self._part(parts, refAt, Ref) if refAt else None
            n = self._part(parts, nAt, N) if nAt else None
            hasRoom = room is not None or self._isNone(parts, where)
            hasNumber = n is not None or not nAt or self._isNone(parts, nAt)
            if hasRoom and hasNumber and (ref is not None or not refAt):
                unreadable = Unreadable(ref, n, kind == "reply", text, path)
                return UnreadableMessage(text, path, room, unreadable)
        return BadFrame(text, path, self._part(parts, 1, Ref) if kind in _WITH_REF else None)

    def _part(self, parts: list[bytes], index: int, type: Any) -> Any:
        """Return an element if it is of that type, else `None`."""
        if index >= len(parts):
            return None
        try:
            return self._read(type, parts[index])
        except (ValueError, RecursionError):
            return None

    def _isNone(self, parts: list[bytes], index: int) -> bool:
        """Return whether an element is missing or null."""
        return index >= len(parts) or parts[index] in (b"", b"null" if self.isJSON else payload.NIL)

    def frame(self, item: Item) -> Prepared:
        """Build the message for `item`. Called for every message."""
        data = self._encode(_ARRAYS[type(item)](self, item))
        if len(data) > payload.EXACT_SIZE:
            data = payload.exact(data)
        return Prepared(data, self.isJSON)

    def members(self, payloads: Sequence[bytes]) -> Raw:
        """Return the list of users with these payloads, as a part of a frame."""
        return self._listOf(len(payloads), self._written(payloads))

    def shownMembers(self, payloads: tuple[bytes, ...], ownMember: bytes) -> Raw:
        """
        Return the list of members for a client that joins, as a part of a frame.

        When many clients join, the first members are the same for all of them, and are encoded once.
        """
        if self._shown[0] is not payloads:
            self._shown = (payloads, self._written(payloads))
        if ownMember:
            return self._listOf(len(payloads) + 1, self._shown[1], self._written((ownMember,)))
        return self._listOf(len(payloads), self._shown[1])

    def _written(self, payloads: Sequence[bytes]) -> bytes:
        """Encode users as the elements of a list."""
        raise NotImplementedError

    def _listOf(self, count: int, *written: bytes) -> Raw:
        """Encode a list of `count` elements that are encoded already; each argument has some of them."""
        raise NotImplementedError

    def closeCode(self, code: int) -> int:
        """Return the code itself."""
        return code


def _message(dialect: FrameDialect, item: Message) -> tuple[Any, ...]:
    return ("msg", item.room, item.offset, item.type, dialect.part(item.data))


def _roomCall(dialect: FrameDialect, item: RoomCall) -> tuple[Any, ...]:
    return ("call", item.ref, item.room, item.type, dialect.part(item.data))


def _reply(dialect: FrameDialect, item: Reply) -> tuple[Any, ...]:
    return ("reply", item.ref, dialect.part(item.data))


def _requestReply(dialect: FrameDialect, item: RequestReply) -> tuple[Any, ...]:
    return ("reply", item.ref, item.data)


def _error(dialect: FrameDialect, item: Error) -> tuple[Any, ...]:
    return ("error", item.ref, item.room, item.code, item.message, item.details)


def _ack(dialect: FrameDialect, item: Ack) -> tuple[Any, ...]:
    return ("ack", item.room, item.n)


def _presence(dialect: FrameDialect, item: PresenceChange) -> tuple[Any, ...]:
    joined, left = dialect.members(item.joined), dialect.members(item.left)
    more = () if item.membersAfter is None else (item.membersAfter,)
    return ("presence", item.room, joined, left, item.memberCount, *more)


def _membersPage(dialect: FrameDialect, item: MembersPage) -> tuple[Any, ...]:
    page = {
        "members": dialect.members(item.members),
        "memberCount": item.memberCount,
        "membersAfter": item.membersAfter,
    }
    return ("reply", item.ref, page)


def _joined(dialect: FrameDialect, item: Joined) -> tuple[Any, ...]:
    isAhead = item.accepted > item.handled
    membership = ({"accepted": item.accepted} if isAhead else {}) | {
        "name": item.name,
        "member": item.member,
        "token": item.token,
        "epoch": item.epoch,
        "offset": item.offset,
        "recovered": item.recovered,
        "handled": item.handled,
        "members": None if item.members is None else dialect.shownMembers(item.members, item.ownMember),
        "snapshot": dialect.part(item.snapshot),
    }
    if item.memberCount is not None:
        membership |= {"memberCount": item.memberCount, "membersAfter": item.membersAfter}
    if item.stateVersion is not None:
        membership["stateVersion"] = item.stateVersion
    if item.schema:
        membership["schema"] = dialect.part(item.schema)
    return ("joined", item.ref, item.room, membership)


def _state(dialect: FrameDialect, item: StateFull) -> tuple[Any, ...]:
    return ("state", item.room, item.version, item.data)


def _patch(dialect: FrameDialect, item: StatePatch) -> tuple[Any, ...]:
    return ("patch", item.room, item.since, item.version, item.data)


def _left(dialect: FrameDialect, item: Left) -> tuple[Any, ...]:
    return ("left", item.room, item.code, item.reason)


def _bye(dialect: FrameDialect, item: Bye) -> tuple[Any, ...]:
    return ("bye", item.code, item.retryAfter)


def _notified(dialect: FrameDialect, item: Notified) -> tuple[Any, ...]:
    return ("notified", item.epoch, item.n, item.dropped)


def _notify(dialect: FrameDialect, item: Notify) -> tuple[Any, ...]:
    return ("notify", item.epoch, item.n, item.type, dialect.part(item.data), item.dropped)


#: The functions that make the array of an item, by its type.
_ARRAYS: dict[type[Item], Callable[[FrameDialect, Any], tuple[Any, ...]]] = {
    Message: _message,
    RoomCall: _roomCall,
    Reply: _reply,
    RequestReply: _requestReply,
    Error: _error,
    Ack: _ack,
    PresenceChange: _presence,
    MembersPage: _membersPage,
    Joined: _joined,
    StateFull: _state,
    StatePatch: _patch,
    Left: _left,
    Bye: _bye,
    Notified: _notified,
    Notify: _notify,
}


#: The JSON of users up to this size in bytes is cached. When many clients join, many frames have the same
#: users.
_MAX_REMEMBERED = 512

_encodeJSON = msgspec.json.Encoder().encode


def _memberJSON(data: bytes) -> bytes:
    return _encodeJSON(payload.decodeMessagePack(data))


_rememberedJSON = lru_cache(4096)(_memberJSON)


class JSONDialect(FrameDialect):
    """Text frames."""

    name = JSON_PROTOCOL
    isJSON = True
    _objects = b"{"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(ClientFrame).decode
        self._head = msgspec.json.Decoder(_Head).decode
        self._read = lambda type, data: msgspec.json.decode(data, type=type)
        self._split = scanner.splitJSON
        self._encode = msgspec.json.Encoder().encode
        self.part = payload.decodeMessagePack

    def _written(self, payloads: Sequence[bytes]) -> bytes:
        isSmall = max(map(len, payloads), default=0) <= _MAX_REMEMBERED
        return b",".join(map(_rememberedJSON if isSmall else _memberJSON, payloads))

    def _listOf(self, count: int, *written: bytes) -> Raw:
        parts = [b"["]
        for each in written:
            parts += (each, b",")
        parts[-1] = b"]"
        return Raw(b"".join(parts))


class MessagePackDialect(FrameDialect):
    """Binary frames."""

    name = MSGPACK_PROTOCOL
    isJSON = False
    _objects = bytes([*range(0x80, 0x90), 0xDE, 0xDF])

    def __init__(self) -> None:
        self._decoder = msgspec.msgpack.Decoder(ClientFrame).decode
        self._head = msgspec.msgpack.Decoder(_Head).decode
        self._read = lambda type, data: msgspec.msgpack.decode(data, type=type)
        self._split = scanner.splitMessagePack
        self._encode = msgspec.msgpack.Encoder().encode
        self.part = Raw

    def _written(self, payloads: Sequence[bytes]) -> bytes:
        return b"".join(payloads)

    def _listOf(self, count: int, *written: bytes) -> Raw:
        return Raw(b"".join((payload.arrayHead(count), *written)))


#: The dialects by sub-protocol. JSON is first; it is also for clients that offer none.
DIALECTS: dict[str, FrameDialect] = {
    dialect.name: dialect for dialect in (JSONDialect(), MessagePackDialect())
}


def isForRooms(offered: list[str]) -> bool:
    """Return whether all offered sub-protocols are of the room protocol, and there is at least one."""
    return bool(offered) and all(name in DIALECTS for name in offered)


def dialectOf(protocol: str | None) -> FrameDialect:
    """Return the dialect for a sub-protocol; `None`: JSON."""
    return DIALECTS[JSON_PROTOCOL] if protocol is None else DIALECTS[protocol]
