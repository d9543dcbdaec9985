"""
The errors that clients get. `closecodes` has their meaning for connections and memberships.
"""

from __future__ import annotations

from typing import Any

from ..core.codes import ErrorCode
from .payload import encode

#: What operators are told of an exception that nobody expected. The parent of workers says the same, but
#: loads none of this.
SEE_LOG = "the log of the server says more"


class RoomError(Exception):
    """
    An error that is meant for the client.

    Raise it in a hook or a handler to choose the error that the client gets. The text of any other exception
    never leaves the server.

    Args:
        code: One of `ErrorCode`, or a code of your own.
        message: What is wrong, in words for the client's developer.
        details: Plain data for the client's program.

    Raises:
        TypeError: The message is not a string, or the details can't be sent.
        ValueError: The code or the message has lone surrogates, or the details can't be sent.
    """

    def __init__(self, code: str, message: str = "", details: Any = None) -> None:
        super().__init__(code, message)
        if not isinstance(message, str):
            raise TypeError(f"message={message!r}: must be a string")
        self.code = str(code)
        self.message = str.__str__(message)
        for text in (self.code, self.message):
            text.encode()  # raises for lone surrogates
        encode(details, name="details")  # raises
        self.details = details

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class CallError(Exception):
    """
    A client has answered a call of its room (`Client.call`) with an error.

    It is not a `RoomError`, so that the words of one client are never sent to another: if a handler doesn't
    catch it, the handler's client gets `internal`.

    Args:
        code: The client's code; it may be any string.
        message: The client's message; it may be any string.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class BadMessage(RoomError):
    """
    A message can't be handled, because of a mistake of the client. Too many of these close the connection.
    """


class InvalidData(BadMessage):
    """The data of a message has a wrong type for its handler; `details` names the field."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(ErrorCode.INVALID_DATA, message, {"field": field})


class BadFrame(RoomError):
    """
    A client sent a message that is not a frame.

    Args:
        message: What is wrong.
        field: The path of the wrong field, if there is one.
        ref: The number of the request, if it is known.
    """

    #: Whether nothing of the message could be read. The connection is closed then, because it is not known
    #: whether the message had a number `n`.
    isFatal = False
    #: Whether it counts as a mistake: three in ten seconds close the connection.
    isStrike = True

    def __init__(self, message: str, field: str = "", ref: int | None = None) -> None:
        super().__init__(ErrorCode.BAD_REQUEST, message, {"field": field} if field else None)
        self.ref = ref
        self.field = field


class NotWellFormed(BadFrame):
    """A client sent a message that is not well-formed in its dialect."""

    isFatal = True


class BadOptions(BadFrame):
    """
    A request has options that can't be decoded.

    It does not count as a mistake, because the rate of requests is limited anyway.
    """

    isStrike = False
