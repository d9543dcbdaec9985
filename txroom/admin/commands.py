"""
The commands for rooms that requests and calls make of their arguments.
"""

from __future__ import annotations

from typing import Any

from ..core.codes import ErrorCode
from ..protocol import payload
from ..rooms.contract.asks import Kick
from .problems import Problem


def encoded(data: Any, field: str) -> bytes:
    """Return data as a payload. Raises `Problem` if it is JSON that can't be sent, such as a huge number."""
    try:
        return payload.encode(data, name=field)
    except (TypeError, ValueError, OverflowError) as error:
        raise Problem(400, str(error), field=field, code=ErrorCode.INVALID_DATA) from None


def kick(member: str | None, userId: str | None, reason: str) -> Kick:
    """Return the command. Raises `Problem` if it names neither a member nor a user."""
    if member is None and userId is None:
        raise Problem(400, "needs a member or a userId", field="member", code=ErrorCode.BAD_REQUEST)
    return Kick(member, userId, reason)
