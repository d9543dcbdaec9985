"""
Loggers for hooks, whose events say which room, member, user and connection they are about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger, LogLevel

from ...core.connection import Connection
from ..plain import idOfUser
from .client import Client
from .room import Room

#: The namespace of the events.
NAMESPACE = "txroom.hooks"


class SubjectLogger(Logger):
    """
    A logger of Twisted that adds fields to each event.

    Args:
        namespace: The namespace of the events.
        fields: Returns the fields. Those that are given with an event take precedence.
    """

    def __init__(self, namespace: str, fields: Callable[[], dict[str, Any]]) -> None:
        super().__init__(namespace)
        self._fields = fields

    def emit(self, level: LogLevel, format: str | None = None, **kwargs: object) -> None:
        """Log an event."""
        super().emit(level, format, **{**self._fields(), **kwargs})


def loggerOf(subject: Room | Client | Connection, namespace: str = NAMESPACE) -> Logger:
    """
    Return a logger for what concerns a room, a client of a room, or a connection.

    It is a `Logger` of Twisted. Its events have the keys `room` and `name`, of a client also `member` and
    `user`, and of a connection `connection` and `user`. If the request that opened the WebSocket had a header
    `traceparent` (W3C Trace Context), that is the key `trace`; a client that resumes keeps that of its join,
    until its room moves to another process. With ``--log-format json`` all of them are in the log.

    Args:
        subject: What it is about.
        namespace: The namespace of the events.

    Raises:
        TypeError: `subject` is none of these.
    """
    fields: Callable[[], dict[str, Any]]
    if isinstance(subject, Client):
        fields = subject._logFields
    elif isinstance(subject, Room):
        room = subject
        fields = lambda: {"room": room.id, "name": room.name}  # noqa: E731
    elif isinstance(subject, Connection):
        connection = subject
        fields = lambda: _fieldsOf(connection)  # noqa: E731
    else:
        raise TypeError(f"subject={subject!r}: must be a Room, a Client or a Connection")
    return SubjectLogger(namespace, fields)


def _fieldsOf(connection: Connection) -> dict[str, Any]:
    fields: dict[str, Any] = {"connection": connection.id}
    user, trace = idOfUser(connection.user), connection.handshake.traceparent
    if user is not None:
        fields["user"] = user
    if trace is not None:
        fields["trace"] = trace
    return fields
