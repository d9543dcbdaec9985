"""
Refusals told in the room protocol: what a client that is not let in is sent in place of an HTTP answer.

A browser shows a page nothing of an answer that is no upgrade, no status and no body. So the client gets
its WebSocket, one `error` frame and a close code, and is served nothing.
"""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import Any

from ...core.application import Refusal
from ...core.codes import CloseCode, ErrorCode
from ...core.handshake import Handshake, UpgradeError
from ...protocol import closecodes
from ..contract.items import Error
from .dialect import DIALECTS

#: Most bytes of a text that clients are told as it is; a longer one is left out.
MAX_MESSAGE = 200
#: Seconds after which a client may come back if nobody said when, and the longest that anybody can say.
RETRY_AFTER = 5.0
MAX_RETRY_AFTER = 86400.0

NO_ROOMS_HERE = "no rooms are served at this path"
#: What a client is told by the reason of `UpgradeError` where nobody has written a text of their own.
_MESSAGES = {
    "error": "the server could not decide",
    "limit": "too many connections",
    "path": NO_ROOMS_HERE,
    "pending": "too many clients are connecting",
    "timeout": "the server took too long to decide",
}


def inBandRefusal(handshake: Handshake, error: UpgradeError) -> Refusal | None:
    """How to tell `error` to a client; `None` if it doesn't speak the protocol, or is to be redirected."""
    name = next((each for each in handshake.protocols if each in DIALECTS), None)
    if name is None or error.status < 400:
        return None
    code, closeCode = _codesOf(error)
    details: dict[str, Any] = {"status": error.status}
    if closeCode is CloseCode.TRY_AGAIN_LATER:
        details["retryAfter"] = _retryAfter(error)
    message = _messageOf(error)
    told = Error(None, None, code, message, details)
    return Refusal(name, DIALECTS[name].frame(told), closeCode, closecodes.shortened(message))


def _codesOf(error: UpgradeError) -> tuple[ErrorCode, CloseCode]:
    """The code of the error, and that of the Close frame, which says whether to come back."""
    if error.reason == "error":
        return ErrorCode.INTERNAL, CloseCode.INTERNAL_ERROR
    if error.reason == "timeout":
        return ErrorCode.TIMEOUT, CloseCode.TRY_AGAIN_LATER
    return closecodes.refusalForStatus(error.status)


def _messageOf(error: UpgradeError) -> str:
    """What the application wrote, if it is short enough; else ours."""
    phrase = HTTPStatus(error.status).phrase
    body = error.body
    if isinstance(body, str) and body not in ("", phrase) and len(body) <= MAX_MESSAGE:
        with suppress(UnicodeEncodeError):  # lone surrogates, which no frame can carry
            if len(body.encode()) <= MAX_MESSAGE:
                return body
    return _MESSAGES.get(error.reason, phrase)


def _retryAfter(error: UpgradeError) -> float:
    """The seconds of the header Retry-After."""
    for name, value in error.headers:
        if name.lower() == "retry-after" and value.isascii() and value.isdecimal():
            return min(float(value), MAX_RETRY_AFTER)
    return RETRY_AFTER
