"""
The owner's end of a link, over which the frames of one client come to its room.
"""

from __future__ import annotations

from ..contract.commands import Frame, Leave
from .forwarding import Forwarding
from .inbox import Inbox
from .leaving import Leaving
from .member import JOINED, Member


class HostLink:
    """
    Passes on the frames of one connection of a member.

    It does nothing any more after that connection was replaced or lost. If another owner has the room, what
    the client has sent meanwhile is passed on to that owner.
    """

    __slots__ = ("_forwarding", "_inbox", "_leaving", "_member", "id")

    def __init__(self, inbox: Inbox, leaving: Leaving, forwarding: Forwarding, member: Member) -> None:
        self._inbox = inbox
        self._leaving = leaving
        self._forwarding = forwarding
        self._member = member
        self.id = member.link

    def submit(self, frame: Frame) -> None:
        """Pass on what the client sent. Called for every message."""
        member = self._member
        if member.link == self.id and member.state <= JOINED:
            self._inbox.take(member, frame)
        else:
            self._forwarding.late(self.id, frame)

    def leave(self) -> None:
        """Let the client leave, after everything that it sent before has been handled."""
        if self._member.link == self.id:
            self._leaving.gone(self._member)
        else:
            self._forwarding.late(self.id, Leave(0))

    def drop(self) -> None:
        """Note that the client's connection is lost."""
        if self._member.link == self.id:
            self._leaving.drop(self._member)
