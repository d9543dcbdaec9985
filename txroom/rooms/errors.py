"""
What goes wrong on purpose: the errors that a client is told.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..codes import ErrorCode


class RoomError(Exception):
    """
    An error that is meant for the client.

    Raise it in a hook or a handler to choose what the client is told; the text of any other exception
    stays on the server. `client.call` fails with it when the client answers with an error.

    `code` is one of `ErrorCode`, or a word of your own; `details` are plain data. Raises `TypeError` for
    what can't be told.
    """

    def __init__(self, code: str, message: str = "", details: Any = None) -> None:
        super().__init__(code, message)
        if not isinstance(message, str):
            raise TypeError(f"message={message!r}: must be a text")
        parts = (str(code), message, details)
        msgspec.json.encode(parts), msgspec.msgpack.encode(parts)  # raise
        self.code = str(code)
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class InvalidData(RoomError):
    """The data of a message is not of the type its handler takes; `details` names the field."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(ErrorCode.INVALID_DATA, message, {"field": field})
