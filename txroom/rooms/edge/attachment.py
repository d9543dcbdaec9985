"""
An attachment: one client in one room, as the edge sees it.

It has three states, one after another:

- *joining*: the engine was asked for a seat. What the room emits may come already.
- *joined*: `Joined` has come. The client may speak to the room; until the link is there its frames wait here.
- *ended*: the room has let the client go or has refused it, the client is gone, or too much has waited. The
  edge has forgotten it; a link that comes later is dropped.

`RoomSession`, which has all attachments of a client, ends them.
"""

from __future__ import annotations

import secrets
from typing import Protocol

from ..contract.commands import Frame
from ..contract.items import Error, Item, Joined
from ..contract.ports import Link

#: Most frames of a client, and bytes of their data, that wait for the link to a room it has joined; it is to
#: resume if they are more.
MAX_WAITING = 256
WAITING_SIZE = 2 << 20


class AttachedSession(Protocol):
    """What attachments, and those who reach them, ask of the client's session."""

    #: Whether the client is in no room any more, and never will be.
    isGone: bool

    def joined(self, attachment: Attachment) -> None:
        """A room has let the client in."""

    def say(self, item: Item, isVolatile: bool = False) -> None:
        """Send an item."""

    def ended(self, attachment: Attachment, code: int, reason: str) -> None:
        """A room has let the client go."""

    def broken(self, attachment: Attachment) -> None:
        """Something got lost on its way."""

    def close(self, code: int, reason: str) -> None:
        """Close the connection."""


class Attachment:
    """A client in a room, or on its way into one."""

    __slots__ = (
        "_waiting",
        "_waitingSize",
        "asked",
        "error",
        "id",
        "isBroken",
        "isEnded",
        "isJoined",
        "isLeaving",
        "link",
        "ref",
        "room",
        "session",
    )

    def __init__(self, session: AttachedSession, ref: int | None, how: str, what: str) -> None:
        #: The edge's id of it, by which the room addresses the client.
        self.id = secrets.token_urlsafe(12)
        self.session = session
        #: The client's number of the request; `None`: it has none.
        self.ref = ref
        #: How it was asked for, and for what: a name or an id.
        self.asked = (how, what)
        #: The room's id, once it is known.
        self.room = ""
        self.link: Link | None = None
        self.isJoined = False
        #: Whether the client has asked to leave.
        self.isLeaving = False
        self.isEnded = False
        #: Whether the edge has ended it, which the owner has yet to be told.
        self.isBroken = False
        #: The code of the error that the client was told in place of `joined`.
        self.error: str | None = None
        #: What the client said after `joined`, while the link was not yet there, and the bytes of its data.
        self._waiting: list[Frame] = []
        self._waitingSize = 0

    def submit(self, frame: Frame) -> None:
        """The client said something to the room: it waits for the link, if that isn't there yet."""
        if self.link is not None:
            self.link.submit(frame)
            return
        self._waiting.append(frame)
        self._waitingSize += len(getattr(frame, "data", b""))
        if len(self._waiting) > MAX_WAITING or self._waitingSize > WAITING_SIZE:
            self._waiting.clear()
            self.session.broken(self)

    def takes(self, item: Item) -> bool:
        """The room has emitted an item before the client has joined: whether the client is told of it."""
        if type(item) is Joined:
            self.isJoined = True
            self.session.joined(self)
        elif type(item) is Error:
            self.error = item.code
        return not item.isVolatile  # such a one has overtaken `joined`

    def drop(self) -> None:
        """Tell the owner, now or when there is a link, that nothing more gets through."""
        self.isBroken = True
        if self.link is not None:
            self.link.drop()

    def begin(self, link: Link) -> None:
        """The link is there: what has waited for it goes."""
        self.link = link
        if self.isBroken:
            link.drop()
        waiting, self._waiting = self._waiting, []
        for frame in waiting:
            link.submit(frame)
