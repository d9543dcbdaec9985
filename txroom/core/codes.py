"""
The numbers of the protocol: close codes, ready states, send results.

Everything here is an `IntEnum`, a `StrEnum` or a plain function on integers, so that applications can
write `connection.close(CloseCode.GOING_AWAY)` or `connection.close(1001)` alike.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class CloseCode(IntEnum):
    """
    Why a WebSocket was closed.

    1000-1015 are RFC 6455 §7.4.1 and the IANA registry; 4000-4199 are txroom's own.
    4000-4099 tell a client not to reconnect, 4100-4199 tell it to reconnect and resume.
    """

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    #: Never sent: the peer's Close frame carried no code.
    NO_STATUS = 1005
    #: Never sent: the TCP connection ended without a Close frame.
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


#: The reason of a close with 1008 that is the link's fault: a message was not complete within
#: `messageTimeout`. Clients may come back after it, which other closes with 1008 don't allow.
MESSAGE_TIMEOUT = "message not complete in time"


class ReadyState(IntEnum):
    """The state of a connection, numbered as in the W3C WebSocket API."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


class SendStatus(IntEnum):
    """What became of a message handed to `Connection.send` (like verb's, after Bun and uWebSockets)."""

    #: Handed to the transport; fewer than `highWaterMark` bytes wait there.
    SENT = 0
    #: Queued, and more than `highWaterMark` bytes wait now: stop until `onDrain`.
    BACKPRESSURE = 1
    #: Not sent: the queue was not empty and would have grown past `maxBackpressure`.
    DROPPED = 2
    #: Not sent: the connection is closing or closed.
    CLOSED = 3


class ErrorCode(StrEnum):
    """
    Why something was refused: the `code` of a `RoomError`, and of the `error` frames of the room protocol.

    Each is a `str`. A room may use words of its own besides.
    """

    #: What was asked for makes no sense: wrong options, a wrong frame, bytes where there must be none.
    BAD_REQUEST = "badRequest"
    #: The room has no handler for messages of that type.
    UNKNOWN_TYPE = "unknownType"
    #: The data is not what the handler takes; `details` names the field.
    INVALID_DATA = "invalidData"
    #: There is no room of that name or id, or no name registered.
    NO_SUCH_ROOM = "noSuchRoom"
    #: The room, or the client's membership, ended while a call was pending.
    ROOM_GONE = "roomGone"
    #: All seats are taken, or there are as many rooms of that name as may be.
    FULL = "full"
    #: The room takes nobody in just now.
    LOCKED = "locked"
    #: `onAuth` has refused, or a token or a reserved seat is not valid any more.
    UNAUTHORIZED = "unauthorized"
    #: This client may not do that.
    FORBIDDEN = "forbidden"
    #: A hook, a handler or the other side took too long.
    TIMEOUT = "timeout"
    #: Too many messages in too short a time, or too many that wait.
    RATE_LIMITED = "rateLimited"
    #: The call was handled, but its reply is not known any more.
    REPLY_LOST = "replyLost"
    #: Not possible just now; it may be a little later.
    UNAVAILABLE = "unavailable"
    #: A hook or a handler raised; what, is in the log of the server.
    INTERNAL = "internal"


_RESERVED = frozenset({1004, 1005, 1006})


def isSendable(code: int) -> bool:
    """Whether an endpoint may put `code` into a Close frame (RFC 6455 §7.4, IANA registry)."""
    return (1000 <= code <= 1014 and code not in _RESERVED) or 3000 <= code <= 4999
