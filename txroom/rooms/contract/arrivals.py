"""
Requests to join a room or to resume: an edge passes one to `Engine.attach` for each client.

A request carries everything that the owner knows about the client. The owner never sees the connection, and
may run in another process. The answer is a `Link` if the client may enter, and a `Refused` if not. The
`Joined` item, which tells the client about the room, comes through the edge's `Outlet`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ...core.handshake import Handshake
from ...core.headers import Headers
from ...protocol.errors import RoomError

#: `Resume.stateVersion` of a client that has some version of the state, and can't tell which.
SOME_VERSION = -1


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
    #: Whether the same request was passed on before, and its answer may have been lost.
    isAgain: bool = False
    #: The link with which it was passed on for the first time; empty: it is `link`.
    firstLink: str = ""
    #: The format in which the client gets the state of the room: "native", "schema" (of Colyseus), or empty:
    #: it gets none.
    stateFormat: str = ""

    @property
    def joinLink(self) -> str:
        """The link by which the room recognises the request when it comes again."""
        return self.firstLink or self.link


class Resume(Arrival, frozen=True, kw_only=True, array_like=True, tag_field="kind"):
    """A member asks to continue with a new connection."""

    token: str
    epoch: str
    #: The offset of the last message that the client received.
    offset: int
    #: The client's number of this attempt, greater for each; 0: it doesn't number them.
    attempt: int = 0
    #: See `Join.stateFormat`.
    stateFormat: str = ""
    #: The version of the state that the client has; `None`: it has no state; see also `SOME_VERSION`.
    stateVersion: int | None = None


def askedAgain(arrival: Join | Resume, link: str, ref: int | None) -> Join | Resume:
    """
    Return a request as it is passed on to the next owner of its room, with another link.

    The client may have joined already, and not have been told; see `Join.isAgain`.
    """
    if isinstance(arrival, Join):
        return replace(arrival, link=link, ref=ref, isAgain=True, firstLink=arrival.joinLink)
    return replace(arrival, link=link, ref=ref)


class Refused(Struct, frozen=True, array_like=True):
    """The client may not enter. The fields are those of an `error` frame."""

    code: str
    message: str = ""
    details: Any = None

    @classmethod
    def of(cls, error: RoomError) -> Refused:
        """Return an error as a refusal."""
        return cls(error.code, error.message, error.details)
