"""
The link of one client to a room, in the owner's process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..contract.commands import Frame
from .member import Member, State

if TYPE_CHECKING:
    from .host import Host


class HostLink:
    """The link of one client, in the owner's process; a stale one does nothing."""

    __slots__ = ("_host", "_member", "id")

    def __init__(self, host: Host, member: Member, link: str) -> None:
        self._host = host
        self._member = member
        self.id = link

    def submit(self, frame: Frame) -> None:
        """The client said something."""
        member = self._member
        if member.link == self.id and member.state <= State.JOINED:
            self._host.intake.take(member, frame)

    def leave(self) -> None:
        """The client is gone for good, after what it sent before is handled."""
        if self._member.link == self.id:
            self._host.membership.gone(self._member)

    def drop(self) -> None:
        """The client's connection is lost."""
        if self._member.link == self.id:
            self._host.membership.drop(self._member)
