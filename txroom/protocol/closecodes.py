"""
Close codes and errors: the close code for each error, and what a client does after each.

The server and the Python client use these tables, so that clients report the same errors and reconnect in the
same cases. `txroom.js` has its own copy; the test vectors in ``tests/vectors/protocol-v1.json`` keep both
equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from ..core.codes import MESSAGE_TIMEOUT, CloseCode, ErrorCode


class ResumeFallback(StrEnum):
    """What a client does when the server refuses to resume its membership."""

    #: Try to resume again, a little later.
    RETRY = "retry"
    #: Join again, as a new member.
    REJOIN = "rejoin"
    #: End the membership.
    END = "end"


class _Row(NamedTuple):
    """The meaning of an error for connections and memberships."""

    #: The close code when a client joins by the path of its connection (`/rooms/chat`) and the room refuses
    #: it with this error.
    refused: CloseCode
    #: The code of the client's "left" event when a membership ends because resuming was refused with this
    #: error.
    left: CloseCode
    #: What the client does after resuming was refused with this error.
    fallback: ResumeFallback


_C = CloseCode

#: The errors with a meaning of their own for connections and memberships.
ERRORS: Mapping[str, _Row] = MappingProxyType(
    {
        ErrorCode.BAD_REQUEST: _Row(_C.MISUSE, _C.ROOM_CLOSED, ResumeFallback.END),
        ErrorCode.NO_SUCH_ROOM: _Row(_C.NO_SUCH_ROOM, _C.NO_SUCH_ROOM, ResumeFallback.REJOIN),
        ErrorCode.ROOM_GONE: _Row(_C.NO_SUCH_ROOM, _C.ROOM_CLOSED, ResumeFallback.REJOIN),
        ErrorCode.FULL: _Row(_C.TRY_AGAIN_LATER, _C.ROOM_CLOSED, ResumeFallback.END),
        ErrorCode.LOCKED: _Row(_C.TRY_AGAIN_LATER, _C.ROOM_CLOSED, ResumeFallback.END),
        ErrorCode.UNAUTHORIZED: _Row(_C.UNAUTHORIZED, _C.UNAUTHORIZED, ResumeFallback.REJOIN),
        ErrorCode.FORBIDDEN: _Row(_C.UNAUTHORIZED, _C.KICKED, ResumeFallback.END),
        ErrorCode.TIMEOUT: _Row(_C.TRY_AGAIN_LATER, _C.ROOM_CLOSED, ResumeFallback.RETRY),
        ErrorCode.RATE_LIMITED: _Row(_C.TRY_AGAIN_LATER, _C.RATE_ABUSE, ResumeFallback.RETRY),
        ErrorCode.UNAVAILABLE: _Row(_C.ENGINE_UNAVAILABLE, _C.ROOM_CLOSED, ResumeFallback.RETRY),
        ErrorCode.INTERNAL: _Row(_C.INTERNAL_ERROR, _C.ROOM_CLOSED, ResumeFallback.RETRY),
    }
)
#: The meaning of all other errors: errors that rooms define themselves, and errors that never answer a join.
_OTHER = _Row(_C.UNAUTHORIZED, _C.ROOM_CLOSED, ResumeFallback.END)

#: If a connection is closed and the client does not reconnect, its pending requests fail with this error.
#: Key: the close code. For all other codes the error is "unavailable".
CLOSES: Mapping[int, ErrorCode] = MappingProxyType(
    {
        _C.UNAUTHORIZED: ErrorCode.UNAUTHORIZED,
        _C.KICKED: ErrorCode.FORBIDDEN,
        _C.NO_SUCH_ROOM: ErrorCode.NO_SUCH_ROOM,
        _C.ROOM_CLOSED: ErrorCode.ROOM_GONE,
        _C.MISUSE: ErrorCode.BAD_REQUEST,
        _C.RATE_ABUSE: ErrorCode.RATE_LIMITED,
    }
)

#: The codes of RFC 6455 §7.4 after which a client does not reconnect, because the same error would occur
#: again: protocol errors, and frames or behaviour that the server refuses.
FINAL = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
#: The reasons of a 1008 after a message that took too long; the second is that of other servers.
_TOO_SLOW = frozenset({MESSAGE_TIMEOUT, "message timeout"})

#: The HTTP statuses from 400 to 499 after which a client tries again.
_TEMPORARY = frozenset({408, 425, 429})

#: The codes of "left" after which a membership goes on elsewhere: the client resumes on the same connection.
MOVED = frozenset({_C.ROOM_MOVED, _C.ENGINE_UNAVAILABLE, _C.STATE_LOST})

#: The longest reason in a Close frame, in bytes (RFC 6455 §5.5).
MAX_REASON = 123


# -- for the server


def shortened(reason: str) -> str:
    """Return as much of a reason as fits a Close frame."""
    return reason.encode()[:MAX_REASON].decode(errors="ignore")


def closeCodeOf(error: str | None) -> CloseCode:
    """
    Return the close code when a client joins by the path of its connection and the room refuses it with an
    error.
    """
    return ERRORS.get(error or "", _OTHER).refused


def refusalForStatus(status: int) -> tuple[ErrorCode, CloseCode]:
    """Return the error and the close code that replace an HTTP answer with that status."""
    if status == 429:
        error = ErrorCode.RATE_LIMITED
    elif status >= 500 or status in _TEMPORARY:
        return ErrorCode.UNAVAILABLE, CloseCode.TRY_AGAIN_LATER
    elif status in (404, 410):
        error = ErrorCode.NO_SUCH_ROOM
    elif status == 401:
        error = ErrorCode.UNAUTHORIZED
    else:
        error = ErrorCode.FORBIDDEN
    return error, closeCodeOf(error)


# -- for clients


def mayReconnect(code: int, reason: str = "") -> bool:
    """
    Return whether a client reconnects after a connection was closed with `code` and `reason`.

    It doesn't after 4000-4099, nor after errors of RFC 6455 that would occur again (1002, 1003, 1007-1010).
    It does after a 1008 whose reason says that a message took too long, since that is the network's fault.
    """
    if code == CloseCode.POLICY_VIOLATION and reason in _TOO_SLOW:
        return True
    return not 4000 <= code <= 4099 and code not in FINAL


def mayResume(code: int) -> bool:
    """Return whether a client that gets "left" with this code is still a member, and resumes."""
    return 4100 <= code <= 4199


def errorOf(code: int) -> ErrorCode:
    """Return the error of pending requests when a connection is closed and the client does not reconnect."""
    return CLOSES.get(code, ErrorCode.UNAVAILABLE)


def fallbackAfter(error: str) -> ResumeFallback:
    """Return what a client does when resuming was refused with an error."""
    return ERRORS.get(error, _OTHER).fallback


def leftCodeOf(error: str) -> CloseCode:
    """Return the code of "left" when a membership ends because resuming was refused with an error."""
    return ERRORS.get(error, _OTHER).left


def closeCodeOfAnswer(status: int) -> CloseCode:
    """
    Return the close code that an HTTP answer to an upgrade means to a client; after 1006 it reconnects.

    The statuses without a meaning of their own, such as 400 and 426, mean 1008, after which it does not.
    """
    if not 400 <= status < 500 or status in _TEMPORARY:
        return CloseCode.ABNORMAL
    isKnown = status in (401, 403, 404, 410)
    return refusalForStatus(status)[1] if isKnown else CloseCode.POLICY_VIOLATION
