"""
The link of one client to its room, in the owner's process.
"""

from __future__ import annotations

from ..contract.commands import Frame
from .inbox import Inbox
from .leaving import Leaving
from .member import JOINED, Member


class HostLink:
    """Takes what comes from one connection of a member; when that is replaced or lost, it does nothing."""

    __slots__ = ("_inbox", "_leaving", "_member", "id")

    def __init__(self, inbox: Inbox, leaving: Leaving, member: Member) -> None:
        self._inbox = inbox
        self._leaving = leaving
        self._member = member
        self.id = member.link

    def submit(self, frame: Frame) -> None:
        """The client said something; hot."""
        member = self._member
        if member.link == self.id and member.state <= JOINED:
            self._inbox.take(member, frame)

    def leave(self) -> None:
        """The client is gone for good, after what it sent before is handled."""
        if self._member.link == self.id:
            self._leaving.gone(self._member)

    def drop(self) -> None:
        """The client's connection is lost."""
        if self._member.link == self.id:
            self._leaving.drop(self._member)
