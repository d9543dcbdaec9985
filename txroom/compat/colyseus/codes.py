"""
The codes of Colyseus's protocol: the first byte of a frame, errors, and close codes.

They are those of Colyseus 0.17 and 0.18. Clients of 0.16 pass codes on to the application, which may expect
4210 to 4216 where these have 520 to 526.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from ...core.codes import CloseCode, ErrorCode


class Kind(IntEnum):
    """The first byte of a frame."""

    JOIN_ROOM = 10
    ERROR = 11
    LEAVE_ROOM = 12
    ROOM_DATA = 13
    ROOM_STATE = 14
    ROOM_STATE_PATCH = 15
    ROOM_DATA_BYTES = 17
    PING = 18
    ROOM_REQUEST = 21
    ROOM_RESPONSE = 22


#: The first byte of a frame without the bits that modify it.
KIND_MASK = 0x1F


class Failing(IntEnum):
    """The codes of errors. The HTTP status of an answer to a request for a seat has them too."""

    #: No rooms are registered under the name.
    NO_HANDLER = 520
    #: No room matches the options.
    INVALID_CRITERIA = 521
    #: There is no room with the id, or it is locked or full.
    INVALID_ROOM_ID = 522
    UNHANDLED = 523
    #: The seat or the token is not valid any more.
    EXPIRED = 524
    AUTH_FAILED = 525
    APPLICATION_ERROR = 526
    INVALID_PAYLOAD = 4217


class Status(IntEnum):
    """The status of an answer to a request of a client."""

    OK = 0
    #: The handler has refused it, for a reason that the client gets.
    REJECTED = 1
    #: It could not be handled.
    ERROR = 2


#: The close codes with a meaning for clients: the client has left, or the room has ended its membership;
CONSENTED = 4000
#: there was an error;
WITH_ERROR = 4002
#: the client can't come back to the room;
FAILED_TO_RECONNECT = 4003
#: it may come back. Clients of 0.17 and 0.18 do so by themselves after this one, 1001, 1005 and 1006.
MAY_TRY_RECONNECT = 4010

#: The code of the error for a seat or a token that is not valid any more.
EXPIRED = "expired"

_ERRORS: Mapping[str, Failing] = MappingProxyType(
    {
        EXPIRED: Failing.EXPIRED,
        ErrorCode.NO_SUCH_ROOM: Failing.INVALID_ROOM_ID,
        ErrorCode.ROOM_GONE: Failing.INVALID_ROOM_ID,
        ErrorCode.LOCKED: Failing.INVALID_ROOM_ID,
        ErrorCode.FULL: Failing.INVALID_ROOM_ID,
        ErrorCode.UNAUTHORIZED: Failing.AUTH_FAILED,
        ErrorCode.FORBIDDEN: Failing.AUTH_FAILED,
        ErrorCode.BAD_REQUEST: Failing.INVALID_PAYLOAD,
        ErrorCode.INVALID_DATA: Failing.INVALID_PAYLOAD,
        ErrorCode.UNKNOWN_TYPE: Failing.INVALID_PAYLOAD,
        ErrorCode.INTERNAL: Failing.UNHANDLED,
    }
)
#: The errors of requests that are no answer of the handler.
FAULTS = frozenset(
    {
        ErrorCode.BAD_REQUEST,
        ErrorCode.INTERNAL,
        ErrorCode.INVALID_DATA,
        ErrorCode.RATE_LIMITED,
        ErrorCode.ROOM_GONE,
        ErrorCode.TIMEOUT,
        ErrorCode.UNAVAILABLE,
        ErrorCode.UNKNOWN_TYPE,
    }
)
_C = CloseCode
_CLOSES: Mapping[int, int] = MappingProxyType(
    {
        _C.NORMAL: CONSENTED,
        _C.KICKED: CONSENTED,
        _C.ROOM_CLOSED: CONSENTED,
        _C.INTERNAL_ERROR: WITH_ERROR,
        _C.TRY_AGAIN_LATER: WITH_ERROR,
        _C.UNAUTHORIZED: WITH_ERROR,
        _C.NO_SUCH_ROOM: WITH_ERROR,
        _C.REPLACED: WITH_ERROR,
        _C.MISUSE: WITH_ERROR,
        _C.RATE_ABUSE: WITH_ERROR,
    }
)


def errorCode(code: str) -> Failing:
    """Return Colyseus's code for one of txroom's errors, or an error of a room."""
    return _ERRORS.get(code, Failing.APPLICATION_ERROR)


def closeCode(code: int) -> int:
    """
    Return Colyseus's close code for one of txroom's.

    After 4100 to 4199 a client may resume, so it is told that it may reconnect. Codes of the RFC stay.
    """
    return MAY_TRY_RECONNECT if 4100 <= code <= 4199 else _CLOSES.get(code, code)
