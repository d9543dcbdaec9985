"""
The edge: what the rooms see of the clients that are connected here.

An attachment, one for each client and room, goes its way once: joining, joined, ended.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.logger import Logger

from ...core.codes import CloseCode
from ..contract.commands import Frame
from ..contract.items import Error, Item, Joined
from ..contract.ports import Link

if TYPE_CHECKING:
    from .session import Session


#: Most frames of a client, and bytes of their data, that wait for the link to a room it has joined; it is to
#: resume if they are more.
MAX_WAITING = 256
WAITING_SIZE = 2 << 20


class Attachment:
    """A client in a room, or on its way into one."""

    __slots__ = (
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
        "waiting",
    )

    def __init__(self, session: Session, ref: int | None, how: str, what: str) -> None:
        #: The edge's id of it, by which the room addresses the client.
        self.id = secrets.token_urlsafe(12)
        self.session = session
        #: The join request; `None`: by the path.
        self.ref = ref
        #: How it was asked for, and for what: a name or an id.
        self.asked = (how, what)
        self.room = ""
        self.link: Link | None = None
        self.isJoined = False
        #: Whether the client has asked to leave.
        self.isLeaving = False
        self.isEnded = False
        #: Whether the edge has ended it, which the owner has yet to be told.
        self.isBroken = False
        self.error: str | None = None
        #: What the client said after `joined`, while the link was not yet there, and the bytes of its data.
        self.waiting: list[Frame] = []
        self._waitingSize = 0

    def submit(self, frame: Frame) -> None:
        """The client said something to the room."""
        if self.link is not None:
            self.link.submit(frame)
            return
        self.waiting.append(frame)
        self._waitingSize += len(getattr(frame, "data", b""))
        if len(self.waiting) > MAX_WAITING or self._waitingSize > WAITING_SIZE:
            self.waiting.clear()
            self.session.broken(self)

    def takes(self, item: Item) -> bool:
        """Whether the client is to be told of an item, before it has joined."""
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
        """The link is there."""
        self.link = link
        if self.isBroken:
            link.drop()
        waiting, self.waiting = self.waiting, []
        for frame in waiting:
            link.submit(frame)


class Edge:
    """All attachments of one edge; its `Outlet`."""

    _log = Logger()

    def __init__(self) -> None:
        self.attachments: dict[str, Attachment] = {}

    def reaches(self, link: str) -> bool:
        """Whether there is a client at the other end."""
        attachment = self.attachments.get(link)
        return attachment is not None and not attachment.session.isGone

    def deliver(self, item: Item, links: Sequence[str]) -> None:
        """Send an item to the clients of those links; hot."""
        attachments = self.attachments
        isVolatile = item.isVolatile
        for link in links:
            attachment = attachments.get(link)
            if attachment is not None and (attachment.isJoined or attachment.takes(item)):
                try:
                    attachment.session.say(item, isVolatile)
                except Exception:
                    self._log.failure("an item of {kind} could not be sent", kind=type(item).__name__)
                    attachment.session.broken(attachment)

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        """Those links have ended."""
        for link in links:
            attachment = self.attachments.pop(link, None)
            if attachment is not None:
                try:
                    attachment.session.ended(attachment, code, reason)
                except Exception:
                    self._log.failure("a client could not be told of its end, {code}", code=code)
                    attachment.session.close(CloseCode.INTERNAL_ERROR, "")
