"""
Close codes and errors: which close code stands for which error, and what a client does about each.

Both ends of a socket read these tables: the server closes with these codes, and the clients tell their users
the same errors and come back in the same cases. `txroom.js` has tables of its own; the test vectors in
``tests/vectors/protocol-v1.json`` hold both to the same values.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from ..core.codes import MESSAGE_TIMEOUT, CloseCode, ErrorCode


class ResumeFallback(StrEnum):
    """What a client does when the server has refused to resume a membership."""

    #: It resumes again, a little later.
    RETRY = "retry"
    #: It joins anew, as another member.
    REJOIN = "rejoin"
    #: The room is over for it.
    END = "end"


class _Row(NamedTuple):
    """What an error means for connections and memberships."""

    #: The server closes with it a connection whose path names a room that refused the client so.
    refused: CloseCode
    #: The client's "left" has it when a membership has ended because resuming it was refused so.
    left: CloseCode
    #: What the client does about a resume that was refused so.
    fallback: ResumeFallback


_C = CloseCode

#: The errors that mean more than that something was refused.
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
#: What any other error means: a word of the room's own, or one that no join is refused with.
_OTHER = _Row(_C.UNAUTHORIZED, _C.ROOM_CLOSED, ResumeFallback.END)

#: What a client tells those who still wait for an answer when a connection has ended for good; "unavailable"
#: for any other code.
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

#: The codes of RFC 6455 after which coming back would only repeat them: protocol errors, and frames or
#: behaviour that the server refuses.
FINAL = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
#: What the server says with 1008 to who took too long to send a message; the second is how others say it.
_TOO_SLOW = frozenset({MESSAGE_TIMEOUT, "message timeout"})

#: HTTP answers from 400 to 499 after which it is worth trying again.
_TEMPORARY = frozenset({408, 425, 429})

#: The longest reason in a Close frame, in bytes (RFC 6455 §5.5).
MAX_REASON = 123


# -- for the server


def shortened(reason: str) -> str:
    """As much of a reason as fits a Close frame."""
    return reason.encode()[:MAX_REASON].decode(errors="ignore")


def closeCodeOf(error: str | None) -> CloseCode:
    """The code to close a connection with whose path names a room that was refused with that error."""
    return ERRORS.get(error or "", _OTHER).refused


def refusalForStatus(status: int) -> tuple[ErrorCode, CloseCode]:
    """What a client of rooms is told in the protocol in place of an HTTP answer with that status."""
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
    Whether a client comes back after a connection was closed with `code` and `reason`.

    Not after 4000-4099 nor after the errors of RFC 6455 that would repeat themselves (1002, 1003, 1007-1010);
    but after a 1008 whose reason says that a message took too long, which is the network's fault.
    """
    if code == CloseCode.POLICY_VIOLATION and reason in _TOO_SLOW:
        return True
    return not 4000 <= code <= 4099 and code not in FINAL


def mayResume(code: int) -> bool:
    """Whether a client that has left a room with that code is still a member of it, and resumes."""
    return 4100 <= code <= 4199


def errorOf(code: int) -> ErrorCode:
    """The error of what is still to be answered when a connection has ended for good with that code."""
    return CLOSES.get(code, ErrorCode.UNAVAILABLE)


def fallbackAfter(error: str) -> ResumeFallback:
    """What a client does when it was refused with that error as it came back to a room."""
    return ERRORS.get(error, _OTHER).fallback


def leftCodeOf(error: str) -> CloseCode:
    """The code of "left" when a membership has ended because resuming it was refused with that error."""
    return ERRORS.get(error, _OTHER).left


def closeCodeOfAnswer(status: int) -> CloseCode:
    """The close code for an HTTP status that refuses an upgrade; after 1006 a client tries again."""
    if 400 <= status < 500 and status not in _TEMPORARY:
        return refusalForStatus(status)[1]
    return CloseCode.ABNORMAL
