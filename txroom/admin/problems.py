"""
Problems: the answers to requests that fail, as in RFC 9457.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import msgspec

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..rooms.contract.asks import TOO_LARGE

#: The seconds after which to try again what is temporarily impossible.
RETRY_AFTER = 1


class ProblemBody(msgspec.Struct, omit_defaults=True):
    """What an answer says about a problem (RFC 9457)."""

    title: str
    status: int
    type: str = "about:blank"
    #: What is wrong, in words.
    detail: str = ""
    #: The field of the request that is wrong, such as "data.x" or "Idempotency-Key".
    field: str = ""
    #: The code of a `RoomError`.
    code: str = ""
    #: Whether what was asked may have happened nevertheless.
    mayHaveHappened: bool = False


class Problem(Exception):
    """
    A request that fails.

    Args:
        status: The HTTP status.
        detail: What is wrong, in words.
        field: The field of the request that is wrong, if it is one.
        code: The code of the `RoomError` that was the cause, if any.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str = "",
        *,
        field: str = "",
        code: str = "",
        mayHaveHappened: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.body = ProblemBody(
            HTTPStatus(status).phrase,
            status,
            detail=detail,
            field=field,
            code=code,
            mayHaveHappened=mayHaveHappened,
        )
        self.headers = headers or {}

    def encoded(self) -> bytes:
        """Return the body of the answer."""
        return msgspec.json.encode(self.body)


#: The statuses of the errors of rooms. Codes of the rooms' own are conflicts.
_STATUSES: dict[str, int] = {
    ErrorCode.BAD_REQUEST: 400,
    ErrorCode.INVALID_DATA: 400,
    ErrorCode.UNKNOWN_TYPE: 400,
    ErrorCode.NO_SUCH_ROOM: 404,
    ErrorCode.ROOM_GONE: 410,
    ErrorCode.FULL: 409,
    ErrorCode.LOCKED: 409,
    ErrorCode.UNAUTHORIZED: 403,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.TIMEOUT: 504,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.INTERNAL: 500,
    TOO_LARGE: 500,
}
_IDEMPOTENCY = {"reused": 422, "running": 409}


def problemOf(error: RoomError) -> Problem:
    """
    Return the problem for an error of a room.

    If the room can't be reached, the status is 503 if nothing has happened, and 504 if it may have.
    """
    details: Any = error.details if isinstance(error.details, dict) else {}
    may = details.get("mayHaveHappened") is True
    headers: dict[str, str] = {}
    field = str(details.get("field") or "")
    if "idempotency" in details:
        status, field = _IDEMPOTENCY.get(details["idempotency"], 409), "Idempotency-Key"
    elif error.code == ErrorCode.UNAVAILABLE:
        status = 504 if may else 503
    else:
        status = _STATUSES.get(error.code, 409)
    may = may or status == 504
    if status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER)
    return Problem(status, error.message, field=field, code=error.code, mayHaveHappened=may, headers=headers)


_PLACE = re.compile(r" - at `(?:key in )?\$(.*)`$", re.DOTALL)
_NAMED = re.compile(r"(?:required|unknown) field `([^`]*)`")


def problemOfField(error: Exception, above: str = "") -> Problem:
    """
    Return the problem for an error of msgspec, which tells the wrong field.

    Args:
        error: The error.
        above: The name of what was decoded, if it was a field itself.
    """
    text = str(error)
    place = _PLACE.search(text)
    path = place[1].lstrip(".") if place else ""
    named = _NAMED.search(text)
    field = ".".join(each for each in (above, path, named[1] if named else "") if each)
    return Problem(400, _PLACE.sub("", text), field=field, code=ErrorCode.BAD_REQUEST)
