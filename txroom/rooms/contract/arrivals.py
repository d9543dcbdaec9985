"""
How a client comes to a room: what an edge gives to `Engine.attach`, and what it gets if the client may not.

An arrival has all that the owner knows of a client: it never sees the connection, and may run elsewhere. If
there is a seat the answer is a `Link`, if there is none a `Refused`; what the client is told of the room
itself, `Joined`, comes by way of the edge's `Outlet`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from ...core.handshake import Handshake
from ...core.headers import Headers


class Request(Struct, frozen=True):
    """What of a `Handshake` crosses to the owner."""

    target: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    peer: str = ""
    peerPort: int | None = None
    secure: bool = False
    certificate: bytes | None = None

    @classmethod
    def of(cls, handshake: Handshake) -> Request:
        """The request that `handshake` describes."""
        return cls(
            handshake.target,
            handshake.headers.pairs,
            handshake.peer,
            handshake.peerPort,
            handshake.secure,
            handshake.certificate,
        )

    def handshake(self) -> Handshake:
        """The handshake on the owner's side; its `data` is empty."""
        return Handshake(
            target=self.target,
            headers=Headers(self.headers),
            peer=self.peer,
            peerPort=self.peerPort,
            secure=self.secure,
            certificate=self.certificate,
        )


class Arrival(Struct, frozen=True, kw_only=True):
    """What `Join` and `Resume` have in common."""

    #: The edge's id of this attachment.
    link: str
    #: The edge's id of the client's socket.
    session: str
    room: str
    #: The client's number of the request; `None` when it joined by its path.
    ref: int | None = None
    #: What `verifyClient` accepted the client as; plain data.
    user: Any = None
    #: Whether the client speaks JSON, in which the data of its frames comes and bytes can't go.
    isJSON: bool = True


class Join(Arrival, frozen=True, kw_only=True, tag_field="kind"):
    """A client wants to become a member."""

    options: dict[str, Any] = {}
    request: Request = Request()
    #: Whether the room was made for this client.
    isCreator: bool = False


class Resume(Arrival, frozen=True, kw_only=True, tag_field="kind"):
    """A client that is a member comes with a new connection."""

    token: str
    epoch: str
    #: The offset of the last message it got.
    offset: int


class Refused(Struct, frozen=True):
    """Why there is no link: the parts of an `error` frame."""

    code: str
    message: str = ""
    details: Any = None
