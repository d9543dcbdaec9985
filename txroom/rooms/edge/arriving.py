"""
Arrivals: what an edge tells the engine about a client that asks for a seat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ...core.connection import Connection
from ...protocol.limits import MAX_NUMBER
from ..contract.arrivals import Join, Request, Resume
from ..plain import plainOptions, plainUser
from .attachment import Attachment
from .ports import Dialect


class ArrivingSession(Protocol):
    """The client's session."""

    @property
    def connection(self) -> Connection: ...
    @property
    def dialect(self) -> Dialect: ...


def joinOf(
    session: ArrivingSession,
    attachment: Attachment,
    room: str,
    options: Mapping[str, Any],
    isCreator: bool = False,
) -> Join:
    """Return the request of a client to join. Raises `RoomError` if the options are no plain data."""
    return Join(
        link=attachment.id,
        session=session.connection.id,
        room=room,
        ref=attachment.ref,
        user=plainUser(session.connection.user),
        isJSON=session.dialect.isJSON,
        options=plainOptions(options),
        request=Request.of(session.connection.handshake),
        isCreator=isCreator,
        stateFormat=attachment.stateAsked[0],
    )


def resumeOf(
    session: ArrivingSession,
    attachment: Attachment,
    room: str,
    token: str,
    epoch: str,
    offset: int,
    attempt: int,
) -> Resume:
    """Return the request of a client to resume."""
    return Resume(
        link=attachment.id,
        session=session.connection.id,
        room=room,
        ref=attachment.ref,
        user=plainUser(session.connection.user),
        isJSON=session.dialect.isJSON,
        token=token,
        epoch=epoch,
        offset=offset if 0 <= offset <= MAX_NUMBER else -1,
        attempt=attempt,
        stateFormat=attachment.stateAsked[0],
        stateVersion=attachment.stateAsked[1],
    )
