"""
Refusals in the room protocol: what a refused client gets in place of an HTTP answer.

A browser shows a script neither the status nor the body of an HTTP answer that refuses an upgrade. So the
connection is upgraded, and the client gets one `error` frame and a close code, and nothing else.
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

#: The most bytes of a message of the application that clients get; a longer message is replaced.
MAX_MESSAGE = 200
#: The seconds after which a client may retry if the answer has no Retry-After, and the most that clients are
#: told of a Retry-After.
RETRY_AFTER = 5.0
MAX_RETRY_AFTER = 86400.0

NO_ROOMS_HERE = "no rooms are served at this path"
#: The default messages, by the reason of the `UpgradeError`.
_MESSAGES = {
    "error": "the server could not decide",
    "limit": "too many connections",
    "path": NO_ROOMS_HERE,
    "pending": "too many clients are connecting",
    "timeout": "the server took too long to decide",
}


def inBandRefusal(handshake: Handshake, error: UpgradeError) -> Refusal | None:
    """
    Return the refusal for `error` in the room protocol.

    Returns:
        `None` if the client doesn't offer the room protocol, or if the answer is a redirection.
    """
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
    """Return the error's code and the close code, which says whether to reconnect."""
    if error.reason == "error":
        return ErrorCode.INTERNAL, CloseCode.INTERNAL_ERROR
    if error.reason == "timeout":
        return ErrorCode.TIMEOUT, CloseCode.TRY_AGAIN_LATER
    return closecodes.refusalForStatus(error.status)


def _messageOf(error: UpgradeError) -> str:
    """Return the application's message if it is short enough; else a default."""
    phrase = HTTPStatus(error.status).phrase
    body = error.body
    if isinstance(body, str) and body not in ("", phrase) and len(body) <= MAX_MESSAGE:
        with suppress(UnicodeEncodeError):  # lone surrogates, which no frame can carry
            if len(body.encode()) <= MAX_MESSAGE:
                return body
    return _MESSAGES.get(error.reason, phrase)


def _retryAfter(error: UpgradeError) -> float:
    """Return the seconds of the header Retry-After, or the default."""
    for name, value in error.headers:
        if name.lower() == "retry-after" and value.isascii() and value.isdecimal():
            return min(float(value), MAX_RETRY_AFTER)
    return RETRY_AFTER
