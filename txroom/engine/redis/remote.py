"""
The links and outlets of other nodes: what edges and owners of this node use as if the other were here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ...rooms.contract.commands import Frame, Leave, Send
from ...rooms.contract.items import Item, Message
from .groups import FEW_LINKS, SentGroups
from .packets import Deliver, Detach, Drop, Group, PacketMessage, Submit


class Unreached(NamedTuple):
    """What was asked of another node has not been answered."""

    #: Whether the other node may have done it.
    mayHaveHappened: bool
    #: Whether the other node has answered that the room is not there.
    isElsewhere: bool = False


class Telling(Protocol):
    """Sends messages to the other node."""

    def tell(self, message: PacketMessage) -> None: ...


class Links(Protocol):
    """The part of `Outgoing` that a `RemoteLink` uses."""

    def hasLink(self, link: str) -> bool: ...
    def endLink(self, link: str) -> bool: ...


def isForwarded(frame: Frame) -> bool:
    """Return whether the former owner of a room that has moved passes on a frame to the next owner."""
    return isinstance(frame, Leave) or (isinstance(frame, Send) and frame.n is None)


class RemoteLink:
    """The way from an edge of this node to a room on another one."""

    __slots__ = ("_isOver", "_links", "_talk", "id")

    def __init__(self, links: Links, talk: Telling, id: str) -> None:
        self._links = links
        self._talk = talk
        self._isOver = False
        self.id = id

    def submit(self, frame: Frame) -> None:
        """Pass on what the client sent. Called for every message."""
        if self._links.hasLink(self.id) or (not self._isOver and isForwarded(frame)):
            self._talk.tell(Submit(self.id, frame))

    def leave(self) -> None:
        """The client leaves, also if the room has moved."""
        self._links.endLink(self.id)
        if not self._isOver:
            self._isOver = True
            self._talk.tell(Drop(self.id, True))

    def drop(self) -> None:
        """The client's connection is lost."""
        self._isOver = True
        if self._links.endLink(self.id):
            self._talk.tell(Drop(self.id, False))


class OutletPort(Protocol):
    """The part of a `Talk` that a `RemoteOutlet` uses."""

    isOver: bool
    sentGroups: SentGroups

    def tell(self, message: PacketMessage) -> None: ...
    def generationOf(self, room: str) -> int: ...
    def detached(self, links: Sequence[str], code: int) -> None: ...


class RemoteOutlet:
    """The way from the rooms of this node to the edges of another one."""

    __slots__ = ("_talk",)

    def __init__(self, talk: OutletPort) -> None:
        self._talk = talk

    def deliver(self, item: Item, links: Sequence[str]) -> None:
        """Send an item. Called for every message."""
        talk = self._talk
        if talk.isOver:
            return
        to: tuple[str, ...] | int = links if type(links) is tuple else tuple(links)
        if len(links) > FEW_LINKS:
            known = talk.sentGroups.known(links)
            if known is None and type(links) is tuple:
                known = talk.sentGroups.add(links)
                talk.tell(Group(known, links))
            if known is not None:
                to = known
        generation = 0
        if type(item) is Message and item.offset is None:
            generation = talk.generationOf(item.room)
        talk.tell(Deliver(item, to, generation))  # type: ignore[arg-type]  # edges make the other items

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        """End these links."""
        talk = self._talk
        if not talk.isOver:
            talk.detached(links, code)
            talk.tell(Detach(tuple(links), int(code), reason))
