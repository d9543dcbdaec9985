"""
Close codes, ready states, send results and error codes.

All of them are an `IntEnum` or a `StrEnum`, so that `connection.close(CloseCode.GOING_AWAY)` and
`connection.close(1001)` are the same.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class CloseCode(IntEnum):
    """
    Why a WebSocket was closed.

    Codes from 1000 to 1015 are those of RFC 6455 §7.4.1 and the IANA registry; 4000 to 4199 are txroom's own.
    After 4000 to 4099 a client must not reconnect; after 4100 to 4199 it should reconnect and resume.
    """

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    #: Never sent. The peer's Close frame had no code.
    NO_STATUS = 1005
    #: Never sent. The TCP connection ended without a Close frame.
    ABNORMAL = 1006
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014

    UNAUTHORIZED = 4001
    KICKED = 4003
    NO_SUCH_ROOM = 4004
    REPLACED = 4005
    ROOM_CLOSED = 4008
    MISUSE = 4010
    RATE_ABUSE = 4029

    SHUTTING_DOWN = 4100
    ROOM_MOVED = 4101
    SLOW_CONSUMER = 4102
    ENGINE_UNAVAILABLE = 4103
    STATE_LOST = 4104
    NO_HEARTBEAT = 4106


#: The reason of a close with 1008 because a message was not complete within `messageTimeout`. That is the
#: network's fault, so clients may reconnect, unlike after other closes with 1008.
MESSAGE_TIMEOUT = "message not complete in time"


class ReadyState(IntEnum):
    """The state of a connection, numbered as `WebSocket.readyState` in browsers."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


class SendStatus(IntEnum):
    """The result of `Connection.send` (like verb's, after Bun and uWebSockets)."""

    #: Passed to the transport, which buffers fewer than `highWaterMark` bytes.
    SENT = 0
    #: Queued, and more than `highWaterMark` bytes are buffered now: stop sending until `onDrain`.
    BACKPRESSURE = 1
    #: Not sent, because bytes were buffered and would have become more than `maxBackpressure`.
    DROPPED = 2
    #: Not sent, because the connection is closing or closed.
    CLOSED = 3


class ErrorCode(StrEnum):
    """
    Why something was refused: the `code` of a `RoomError` and of the room protocol's `error` frames.

    Each is a `str`. A room may use codes of its own, too.
    """

    #: The request is wrong: wrong options, a wrong frame, or bytes where none are allowed.
    BAD_REQUEST = "badRequest"
    #: The room has no handler for messages of that type.
    UNKNOWN_TYPE = "unknownType"
    #: The data is not what the handler accepts; `details` names the field.
    INVALID_DATA = "invalidData"
    #: There is no room with that id or name, or no room class is registered under that name.
    NO_SUCH_ROOM = "noSuchRoom"
    #: The room or the client's membership ended while a call was pending.
    ROOM_GONE = "roomGone"
    #: All seats of the room are taken, or the maximum number of rooms with that name exists.
    FULL = "full"
    #: The room is locked.
    LOCKED = "locked"
    #: `onAuth` refused the client, or a token or a reserved seat is no longer valid.
    UNAUTHORIZED = "unauthorized"
    #: The client is not allowed to do that.
    FORBIDDEN = "forbidden"
    #: A hook, a handler or the other side took too long.
    TIMEOUT = "timeout"
    #: Too many messages in a short time, or too many waiting messages.
    RATE_LIMITED = "rateLimited"
    #: The call was handled, but its reply is no longer stored.
    REPLY_LOST = "replyLost"
    #: Temporarily not possible.
    UNAVAILABLE = "unavailable"
    #: A hook or a handler raised. The server's log has the exception.
    INTERNAL = "internal"


_RESERVED = frozenset({1004, 1005, 1006})


def isSendable(code: int) -> bool:
    """Return whether an endpoint may send `code` in a Close frame (RFC 6455 §7.4 and the IANA registry)."""
    return (1000 <= code <= 1014 and code not in _RESERVED) or 3000 <= code <= 4999
