"""
Attachments: one client in one room, as the edge sees it.

An attachment has three states, one after another:

- *joining*: the edge has asked the engine for a seat. Items of the room may arrive already.
- *joined*: `Joined` has arrived. The client may send frames to the room. Until the edge has the link, the
  frames are queued here.
- *ended*: the room has ended the membership or refused the client, the client has disconnected, or too many
  frames were queued. The edge has forgotten the attachment; a link that arrives later is dropped.

`RoomSession` has all attachments of a client, and ends them.
"""

from __future__ import annotations

import secrets
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ...core.awaitables import clearTraceback
from ...core.codes import CloseCode, ErrorCode
from ...protocol.errors import RoomError
from ..contract.arrivals import Join, Refused, Resume
from ..contract.commands import Frame
from ..contract.items import Error, Item, Joined, Reply
from ..contract.ports import Link
from .stateflow import StateFlow

#: The most frames that are queued until there is a link, and the most bytes of their data. If there are more,
#: the attachment ends and the client has to resume.
MAX_WAITING = 256
WAITING_SIZE = 2 << 20


class AttachedSession(Protocol):
    """The methods of the client's session that attachments and the outlet use."""

    #: Whether the client has left all rooms for good.
    isGone: bool

    def joined(self, attachment: Attachment, isRecovered: bool) -> None:
        """Note that the client has joined or resumed, and whether it gets all messages that it missed."""

    def say(self, item: Item, isVolatile: bool = False) -> None:
        """Send an item to the client."""

    def ended(self, attachment: Attachment, code: int, reason: str) -> None:
        """End an attachment whose membership the room has ended."""

    def broken(self, attachment: Attachment) -> None:
        """End an attachment of which an item or a frame was lost."""

    def close(self, code: int, reason: str) -> None:
        """Close the connection."""


class Attachment:
    """One client in one room, or joining it."""

    __slots__ = (
        "_waiting",
        "_waitingSize",
        "arrival",
        "asked",
        "calls",
        "error",
        "id",
        "isBroken",
        "isEnded",
        "isJoined",
        "isLeaving",
        "link",
        "others",
        "ref",
        "room",
        "session",
        "stateAsked",
        "states",
    )

    def __init__(
        self,
        session: AttachedSession,
        ref: int | None,
        how: str,
        what: str,
        stateFormat: str = "",
        stateVersion: int | None = None,
    ) -> None:
        #: The edge's id of the attachment, by which the room addresses the client.
        self.id = secrets.token_urlsafe(12)
        self.session = session
        #: The number that the client gave its request; `None`: none.
        self.ref = ref
        #: What the engine was asked for, until the client has joined.
        self.arrival: Join | Resume | None = None
        #: How the client asked to join, and the name or id that it asked for.
        self.asked = (how, what)
        #: The format in which it gets the state of the room, and the version that it has; see `Resume`.
        self.stateAsked = (stateFormat, stateVersion)
        #: The state of the room; `None`: the client doesn't want it.
        self.states = StateFlow(stateVersion) if stateFormat else None
        #: The room's id, once it is known.
        self.room = ""
        self.link: Link | None = None
        #: Later requests on the same connection to join the same room, which are answered together with it.
        self.others: tuple[Attachment, ...] = ()
        self.isJoined = False
        #: Whether the client has asked to leave.
        self.isLeaving = False
        self.isEnded = False
        #: Whether the edge has ended it and must still tell the owner.
        self.isBroken = False
        #: The refs of the calls without a number that the room has not answered.
        self.calls: set[int] = set()
        #: The code of the error that the client got in place of `joined`.
        self.error: str | None = None
        #: The frames that the client sent after `joined`, before there was a link, and the bytes of their
        #: data.
        self._waiting: list[Frame] = []
        self._waitingSize = 0

    def submit(self, frame: Frame) -> None:
        """Pass on a frame of the client, or queue it until there is a link."""
        if self.link is not None:
            self.link.submit(frame)
            return
        self._waiting.append(frame)
        self._waitingSize += len(getattr(frame, "data", b""))
        if len(self._waiting) > MAX_WAITING or self._waitingSize > WAITING_SIZE:
            self._waiting.clear()
            self.session.broken(self)

    def called(self, ref: int) -> None:
        """
        The client makes a call without a number. Nobody repeats it, so if the room gets another owner before
        it has answered, the edge has to.
        """
        if len(self.calls) < MAX_WAITING:
            self.calls.add(ref)

    def answered(self, item: Item) -> None:
        """Note that an item is sent to the client, which may answer one of `calls`."""
        if type(item) is Reply or type(item) is Error:
            self.calls.discard(-1 if item.ref is None else item.ref)

    def unanswered(self, code: int) -> list[Error]:
        """Return the answers to `calls`, now that the room has ended the attachment with that code."""
        calls, self.calls = self.calls, set()
        if code < CloseCode.SHUTTING_DOWN:
            return []  # the membership has ended, and all calls with it
        text, details = "the room has another owner now", {"mayHaveHappened": True}
        return [Error(ref, self.room, ErrorCode.UNAVAILABLE, text, details) for ref in sorted(calls)]

    def takes(self, item: Item) -> bool:
        """Return whether to send an item of the room that arrives while the client is joining."""
        if type(item) is Joined:
            self.isJoined = True
            self.arrival = None
            self.session.joined(self, item.recovered)
        elif type(item) is Error:
            self.error = item.code
        return not item.isVolatile  # a volatile item has overtaken `joined`

    def drop(self) -> None:
        """Tell the owner, now or as soon as there is a link, that the attachment has ended."""
        self.isBroken = True
        if self.link is not None:
            self.link.drop()

    def begin(self, link: Link) -> None:
        """Keep the link that the edge has received, and pass on the queued frames."""
        self.link = link
        if self.isBroken:
            link.drop()
        waiting, self._waiting = self._waiting, []
        for frame in waiting:
            link.submit(frame)


async def linkOf(asked: Deferred[Link | Refused], log: Logger) -> Link | Refused:
    """Return the result of a request; an error becomes a `Refused`."""
    try:
        return await asked
    except RoomError as error:
        clearTraceback(error)
        return Refused.of(error)
    except Exception:
        log.failure("a request of a client failed")
        return Refused(ErrorCode.INTERNAL)
