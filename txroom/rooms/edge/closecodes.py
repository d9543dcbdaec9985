"""
With what a connection is closed, where the protocol of rooms has an error for it.
"""

from __future__ import annotations

from ...core.codes import CloseCode, ErrorCode

#: Most bytes of a reason; a Close frame has room for 123.
MAX_REASON = 120

_CLOSE_CODES: dict[str, CloseCode] = {
    ErrorCode.UNAUTHORIZED: CloseCode.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: CloseCode.UNAUTHORIZED,
    ErrorCode.NO_SUCH_ROOM: CloseCode.NO_SUCH_ROOM,
    ErrorCode.ROOM_GONE: CloseCode.NO_SUCH_ROOM,
    ErrorCode.FULL: CloseCode.TRY_AGAIN_LATER,
    ErrorCode.LOCKED: CloseCode.TRY_AGAIN_LATER,
    ErrorCode.RATE_LIMITED: CloseCode.TRY_AGAIN_LATER,
    ErrorCode.TIMEOUT: CloseCode.TRY_AGAIN_LATER,
    ErrorCode.BAD_REQUEST: CloseCode.MISUSE,
    ErrorCode.UNAVAILABLE: CloseCode.ENGINE_UNAVAILABLE,
    ErrorCode.INTERNAL: CloseCode.INTERNAL_ERROR,
}


def closeCodeOf(error: str | None) -> int:
    """With what a connection is closed whose path named a room, and that could not join it for `error`."""
    return _CLOSE_CODES.get(error or "", CloseCode.UNAUTHORIZED)


def shortened(reason: str) -> str:
    """As much of a reason as fits a Close frame."""
    return reason.encode()[:MAX_REASON].decode(errors="ignore")
