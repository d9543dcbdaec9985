"""
The errors that a client is told of. `closecodes` says what they mean for its connection and its membership.
"""

from __future__ import annotations

from typing import Any

from ..core.codes import ErrorCode
from .payload import encode


class RoomError(Exception):
    """
    An error that is meant for the client.

    Raise it in a hook or a handler to choose what the client is told; the text of any other exception
    stays on the server.

    `code` is one of `ErrorCode`, or a word of your own; `details` are plain data. Raises `TypeError` or
    `ValueError` for what can't be told.
    """

    def __init__(self, code: str, message: str = "", details: Any = None) -> None:
        super().__init__(code, message)
        if not isinstance(message, str):
            raise TypeError(f"message={message!r}: must be a text")
        self.code = str(code)
        self.message = str.__str__(message)
        for text in (self.code, self.message):
            text.encode()  # raises for what is no Unicode
        encode(details, name="details")  # raises
        self.details = details

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class CallError(Exception):
    """
    A client has answered a call of its room (`Client.call`) with an error.

    It is no `RoomError`, since what one client says is not for another: a handler that lets it pass is
    answered with `internal`. `code` and `message` are the client's own, and may be anything.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class BadMessage(RoomError):
    """A message that no handler gets; a mistake of the client, and a strike."""


class InvalidData(BadMessage):
    """The data of a message is not of the type its handler takes; `details` names the field."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(ErrorCode.INVALID_DATA, message, {"field": field})


class BadFrame(RoomError):
    """A client sent what is no frame; `ref` if it can be told which request it was."""

    #: Whether it can't be told what it was, nor so which number comes next.
    isFatal = False
    #: Whether it is one of the mistakes of which three in ten seconds are too many.
    isStrike = True

    def __init__(self, message: str, field: str = "", ref: int | None = None) -> None:
        super().__init__(ErrorCode.BAD_REQUEST, message, {"field": field} if field else None)
        self.ref = ref
        self.field = field


class NotWellFormed(BadFrame):
    """A client sent what isn't of its dialect at all."""

    isFatal = True


class BadOptions(BadFrame):
    """A request is a frame, but its options can't be read; how often clients ask is bounded anyway."""

    isStrike = False
