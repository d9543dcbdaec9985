"""
The frames of the room protocol, version 1: in JSON and in MessagePack, the same arrays in both.

Whatever a client sends comes out as a frame or as `BadFrame`; nothing else is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from ..codes import ErrorCode
from ..connection import Prepared
from . import payload, seam
from .errors import RoomError

#: Sub-protocols.
JSON_PROTOCOL = "txroom.v1.json"
MSGPACK_PROTOCOL = "txroom.v1.msgpack"

#: Greatest number a JavaScript client can count to.
MAX_NUMBER = 2**53 - 1
#: Most bytes of options and filters as they come; a room keeps those of who made it.
MAX_OPTIONS = 16 << 10

Ref = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
N = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
RoomId = Annotated[str, Meta(min_length=1, max_length=128)]
Type = Annotated[str, Meta(min_length=1, max_length=128)]
Code = Annotated[str, Meta(max_length=64)]
Text = Annotated[str, Meta(max_length=1024)]
Token = Annotated[str, Meta(max_length=256)]
Options = dict[str, Any]

_NONE = Raw(b"")


class BadFrame(RoomError):
    """A client sent what is no frame; `ref` if it can be told which request it was."""

    def __init__(self, message: str, field: str = "", ref: int | None = None) -> None:
        super().__init__(ErrorCode.BAD_REQUEST, message, {"field": field} if field else None)
        self.ref = ref


class _Frame(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag_field="frame"):
    """An array, its kind first."""


class _ByName(_Frame, frozen=True):
    """A way into a room of some name."""

    ref: Ref
    name: Name
    options: Options = {}


class JoinFrame(_ByName, frozen=True, tag="join"):
    """Join a room of that name; make one if there is none."""


class CreateFrame(_ByName, frozen=True, tag="create"):
    """Make a room and join it."""


class JoinOnlyFrame(_ByName, frozen=True, tag="joinOnly"):
    """Join a room of that name; there must be one."""


class JoinByIdFrame(_Frame, frozen=True, tag="joinById"):
    """Join that room."""

    ref: Ref
    room: RoomId
    options: Options = {}


class ResumeFrame(_Frame, frozen=True, tag="resume"):
    """Be a member again."""

    ref: Ref
    room: RoomId
    token: Token
    epoch: Code
    #: Any number; one that is none of the room's is as good as unknown.
    offset: int


class LeaveFrame(_Frame, frozen=True, tag="leave"):
    """Leave."""

    ref: Ref
    room: RoomId | None


class SendFrame(_Frame, frozen=True, tag="send"):
    """A message."""

    room: RoomId | None
    type: Type
    data: Raw = _NONE
    n: N | None = None


class CallFrame(_Frame, frozen=True, tag="call"):
    """A message that is to be answered."""

    ref: Ref
    room: RoomId | None
    type: Type
    data: Raw = _NONE
    n: N | None = None


class ReplyFrame(_Frame, frozen=True, tag="reply"):
    """The answer to a call of the room."""

    room: RoomId | None
    ref: Ref
    data: Raw = _NONE


class ErrorFrame(_Frame, frozen=True, tag="error"):
    """A call of the room could not be answered."""

    room: RoomId | None
    ref: Ref
    code: Code
    message: Text = ""


class RoomsFrame(_Frame, frozen=True, tag="rooms"):
    """Which rooms of that name are there?"""

    ref: Ref
    name: Name | None
    filter: Options = {}


class PingFrame(_Frame, frozen=True, tag="ping"):
    """Are you there?"""

    ref: Ref


ClientFrame = (
    JoinFrame
    | CreateFrame
    | JoinOnlyFrame
    | JoinByIdFrame
    | ResumeFrame
    | LeaveFrame
    | SendFrame
    | CallFrame
    | ReplyFrame
    | ErrorFrame
    | RoomsFrame
    | PingFrame
)

#: The frames that have a ref, which then is their second element.
_WITH_REF = frozenset({"join", "create", "joinOnly", "joinById", "resume", "leave", "call", "rooms", "ping"})


class Bye(seam.Item, frozen=True, dict=True):
    """The server is about to close the connection; come back in `retryAfter` seconds."""

    code: int
    retryAfter: float


class Left(seam.Item, frozen=True, dict=True):
    """The client is no member any more, or not over this connection."""

    room: str
    code: int
    reason: str


class Answered(seam.Item, frozen=True, dict=True):
    """The edge's own answer to a request."""

    ref: int
    data: Any = None


class Dialect:
    """One way to write the frames."""

    #: The sub-protocol.
    name: str
    isJSON: bool

    def __init__(self) -> None:
        self._decoder: Callable[[Any], Any]
        self._encode: Callable[[Any], bytes]
        self._loose: Callable[[Any], Any]
        self._split: Callable[[Any], list[Raw]]

    def decode(self, message: str | bytes) -> ClientFrame:
        """The frame that a client sent. Raises `BadFrame`, and nothing else."""
        if isinstance(message, str) is not self.isJSON:
            raise BadFrame("text for JSON, binary for MessagePack")
        try:
            frame: ClientFrame = self._decoder(message)
        except msgspec.ValidationError as error:
            text, _, path = str(error).partition(" - at `$")
            raise self._bad(message, text, path.rstrip("`")) from None
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            raise BadFrame("not a frame") from None
        if isinstance(frame, _ByName | JoinByIdFrame):
            self._check("options", frame.options, frame.ref, message)
        elif isinstance(frame, RoomsFrame):
            self._check("filter", frame.filter, frame.ref, message)
        return frame

    def _check(self, field: str, options: Options, ref: int, message: str | bytes) -> None:
        """Options, the fourth element of their frame, are neither too large nor nested too deep."""
        # A character is four bytes at most.
        if options and len(message) * 4 > MAX_OPTIONS and len(self._split(message)[3]) > MAX_OPTIONS:
            raise BadFrame(f"more than {MAX_OPTIONS} bytes", field, ref)
        if options and payload.isDeeper(options, payload.MAX_DEPTH):
            raise BadFrame("nested too deep", field, ref)

    def _bad(self, message: str | bytes, text: str, path: str) -> BadFrame:
        """An error that says which field is wrong, and of what request."""
        ref = None
        try:
            parts = self._loose(message)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return BadFrame("not a frame")
        if isinstance(parts, list) and len(parts) > 1 and parts[0] in _WITH_REF:
            ref = parts[1]
        if path == "[0]":
            text = "no such frame"
        isRef = isinstance(ref, int) and not isinstance(ref, bool) and 0 <= ref <= MAX_NUMBER
        return BadFrame(text, path, ref if isRef else None)

    def frame(self, item: seam.Item) -> Prepared:
        """The message that tells `item`."""
        data = self._encode(self._parts(item))
        return Prepared(data.decode() if self.isJSON else data)

    def _payload(self, data: bytes) -> Raw:
        return Raw(payload.toJSON(data) if self.isJSON else data)

    def _parts(self, item: seam.Item) -> tuple[Any, ...]:
        """The array of `item`."""
        if isinstance(item, seam.Message):
            return ("msg", item.room, item.offset, item.type, self._payload(item.data))
        if isinstance(item, seam.Ack):
            return ("ack", item.room, item.n)
        if isinstance(item, seam.Reply):
            return ("reply", item.ref, self._payload(item.data))
        if isinstance(item, seam.Error):
            return ("error", item.ref, item.room, item.code, item.message, item.details)
        if isinstance(item, seam.Asked):
            return ("call", item.ref, item.room, item.type, self._payload(item.data))
        if isinstance(item, seam.PresenceChange):
            return ("presence", item.room, self._payload(item.joined), self._payload(item.left))
        if isinstance(item, seam.Joined):
            return ("joined", item.ref, item.room, self._joined(item))
        if isinstance(item, Left):
            return ("left", item.room, item.code, item.reason)
        if isinstance(item, Answered):
            return ("reply", item.ref, item.data)
        if isinstance(item, Bye):
            return ("bye", item.code, item.retryAfter)
        raise TypeError(f"no frame for {type(item).__name__}")

    def _joined(self, item: seam.Joined) -> dict[str, Any]:
        isAhead = item.accepted > item.handled
        return ({"accepted": item.accepted} if isAhead else {}) | {
            "name": item.name,
            "member": item.member,
            "token": item.token,
            "epoch": item.epoch,
            "offset": item.offset,
            "recovered": item.recovered,
            "handled": item.handled,
            "members": self._payload(item.members),
            "snapshot": self._payload(item.snapshot),
        }


class JSONDialect(Dialect):
    """Text frames."""

    name = JSON_PROTOCOL
    isJSON = True

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(ClientFrame).decode
        self._loose = msgspec.json.Decoder().decode
        self._split = msgspec.json.Decoder(list[Raw]).decode
        self._encode = msgspec.json.Encoder().encode


class MessagePackDialect(Dialect):
    """Binary frames."""

    name = MSGPACK_PROTOCOL
    isJSON = False

    def __init__(self) -> None:
        self._decoder = msgspec.msgpack.Decoder(ClientFrame).decode
        self._loose = msgspec.msgpack.Decoder().decode
        self._split = msgspec.msgpack.Decoder(list[Raw]).decode
        self._encode = msgspec.msgpack.Encoder().encode


#: By sub-protocol; JSON first, which is also for clients that offer none.
DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (JSONDialect(), MessagePackDialect())}


def isForRooms(offered: list[str]) -> bool:
    """Whether a client that offers these sub-protocols speaks no other than that of rooms."""
    return bool(offered) and all(name in DIALECTS for name in offered)


def dialectOf(protocol: str | None) -> Dialect:
    """The dialect of a connection with that sub-protocol."""
    return DIALECTS[JSON_PROTOCOL] if protocol is None else DIALECTS[protocol]
