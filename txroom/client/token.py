"""
The token with which another client goes on as the same member: `Room.reconnectionToken`.
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
    """A membership, and how the room was joined."""

    room: str
    #: The resume token.
    token: str
    #: The ref of the last request, or a greater number.
    ref: Count
    method: Method
    target: str
    options: dict[str, Any]

    @classmethod
    def of(cls, room: str, token: str, ref: int, request: JoinRequest) -> ReconnectionToken:
        """For a member of that room, which was joined by that request."""
        options = without(request.options, AUTH, SEAT)  # the first is nobody's to keep, the second for once
        return cls(room, token, ref, request.method, request.target, options)

    @classmethod
    def read(cls, text: str) -> ReconnectionToken:
        """What `write` wrote. Raises `RoomError`."""
        try:
            return msgspec.msgpack.decode(urlsafe_b64decode(text), type=cls)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise RoomError(ErrorCode.BAD_REQUEST, "that is no reconnectionToken") from error

    def write(self) -> str:
        """As a text that is good in a URL, a file, an environment."""
        return urlsafe_b64encode(msgspec.msgpack.encode(self)).decode()

    @property
    def request(self) -> JoinRequest:
        """How the room was joined."""
        return JoinRequest(self.method, self.target, self.options)
