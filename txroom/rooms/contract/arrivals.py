"""
Requests to join a room or to resume: an edge passes one to `Engine.attach` for each client.

A request carries everything that the owner knows about the client. The owner never sees the connection, and
may run in another process. The answer is a `Link` if the client may enter, and a `Refused` if not. The
`Joined` item, which tells the client about the room, comes through the edge's `Outlet`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from ...core.handshake import Handshake
from ...core.headers import Headers


class Request(Struct, frozen=True, array_like=True):
    """The part of a `Handshake` that crosses to the owner."""

    target: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    peer: str = ""
    peerPort: int | None = None
    secure: bool = False
    certificate: bytes | None = None

    @classmethod
    def of(cls, handshake: Handshake) -> Request:
        """Return the part of `handshake` that crosses."""
        return cls(
            handshake.target,
            handshake.headers.pairs,
            handshake.peer,
            handshake.peerPort,
            handshake.secure,
            handshake.certificate,
        )

    def handshake(self) -> Handshake:
        """Return the handshake for hooks on the owner's side; its `data` is empty."""
        return Handshake(
            target=self.target,
            headers=Headers(self.headers),
            peer=self.peer,
            peerPort=self.peerPort,
            secure=self.secure,
            certificate=self.certificate,
        )


class Arrival(Struct, frozen=True, kw_only=True):
    """The fields that `Join` and `Resume` share."""

    #: The edge's id of this attachment.
    link: str
    #: The edge's id of the client's socket.
    session: str
    room: str
    #: The number that the client gave its request; `None` if it joins by its path.
    ref: int | None = None
    #: The user that `verifyClient` returned for the client, as plain data.
    user: Any = None
    #: Whether the client speaks JSON. If so, the data of its frames is JSON, and it can't be sent bytes.
    isJSON: bool = True


class Join(Arrival, frozen=True, kw_only=True, array_like=True, tag_field="kind"):
    """A client asks to become a member."""

    options: dict[str, Any] = {}
    request: Request = Request()
    #: Whether the room was created for this client.
    isCreator: bool = False
    #: Whether the engine has passed on the same request before, and its answer may have been lost.
    isAgain: bool = False


class Resume(Arrival, frozen=True, kw_only=True, array_like=True, tag_field="kind"):
    """A member asks to continue with a new connection."""

    token: str
    epoch: str
    #: The offset of the last message that the client received.
    offset: int
    #: The client's number of this attempt, greater for each; 0: it doesn't number them.
    attempt: int = 0


class Refused(Struct, frozen=True, array_like=True):
    """The client may not enter. The fields are those of an `error` frame."""

    code: str
    message: str = ""
    details: Any = None
