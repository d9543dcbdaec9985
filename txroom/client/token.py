"""
The token with which another client continues a membership: `Room.reconnectionToken`.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec
from msgspec import Struct

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..protocol.joinoptions import AUTH, SEAT, without
from ..protocol.serverframes import Count
from .joinattempt import JoinRequest, Method


class ReconnectionToken(Struct, frozen=True):
    """A membership, and how its room was joined."""

    room: str
    #: The resume token.
    token: str
    #: At least the ref of the last request.
    ref: Count
    method: Method
    target: str
    options: dict[str, Any]

    @classmethod
    def of(cls, room: str, token: str, ref: int, request: JoinRequest) -> ReconnectionToken:
        """Make the token for a member of that room, which joined it by that request."""
        # Credentials must not be stored, and a reserved seat is used once.
        options = without(request.options, AUTH, SEAT)
        return cls(room, token, ref, request.method, request.target, options)

    @classmethod
    def read(cls, text: str) -> ReconnectionToken:
        """Decode what `write` returned. Raises `RoomError` for any other string."""
        try:
            return msgspec.msgpack.decode(urlsafe_b64decode(text), type=cls)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise RoomError(
                ErrorCode.BAD_REQUEST, "token: must be the reconnectionToken of a room"
            ) from error

    def write(self) -> str:
        """Encode the token as a string that can be put into a URL, a file or an environment variable."""
        return urlsafe_b64encode(msgspec.msgpack.encode(self)).decode()

    @property
    def request(self) -> JoinRequest:
        """How the room was joined."""
        return JoinRequest(self.method, self.target, self.options)
