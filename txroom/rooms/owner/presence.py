"""
Presence: what the members of a room are told of one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...protocol import payload
from ..contract.items import PresenceChange
from .context import RoomContext
from .member import Member

#: The payload of nobody.
_NOBODY = payload.encode([])


class Presence:
    """Who is in one room, as its members see it."""

    __slots__ = ("_context", "_encoded")

    def __init__(self, context: RoomContext) -> None:
        self._context = context
        #: The payload of the list, until that changes.
        self._encoded: bytes | None = None

    # -- the list

    def members(self) -> list[dict[str, Any]]:
        """See `Room.members`."""
        byUser: dict[str, list[Member]] = {}
        for member in self._context.roster.present:
            byUser.setdefault(member.userId, []).append(member)
        return [
            _entry(userId, [_seen(member.id, member.meta) for member in members])
            for userId, members in byUser.items()
        ]

    def encoded(self) -> bytes:
        """The payload of the list; whoever joins gets it, so it is encoded once for each change."""
        if self._encoded is None:
            self._encoded = payload.encode(self.members(), True)
        return self._encoded

    def changed(self) -> None:
        """A member has come or left, or says something else of itself."""
        self._encoded = None

    # -- the changes

    def came(self, member: Member) -> None:
        """Tell the others that somebody has joined."""
        if self._context.room.presence:
            self._tell(_encodedOf(member), _NOBODY, member)

    def left(self, member: Member) -> None:
        """Tell the others that somebody has left."""
        if self._context.room.presence:
            self._tell(_NOBODY, _encodedOf(member), member)

    def _tell(self, joined: bytes, left: bytes, whom: Member) -> None:
        roster = self._context.roster
        others = (member for member in roster.members.values() if member is not whom)
        change = PresenceChange(self._context.id, joined, left)
        self._context.outbox.emit(change, roster.reached(others))

    def setMeta(self, member: Member, meta: Mapping[str, Any]) -> None:
        """Tell something else of a member from now on; see `Client.meta`."""
        context = self._context
        isBinary = context.room.binary
        plain = payload.plain(dict(meta), isBinary, "meta")
        # Raises before anything has changed, not when somebody joins or leaves.
        now = payload.encode([_entry(member.userId, [_seen(member.id, plain)])], isBinary)
        before, member.meta = _encodedOf(member), plain
        if not member.isPresent:
            return
        self.changed()
        context.outbox.record(member.record())
        if context.room.presence:
            context.outbox.emit(PresenceChange(context.id, now, before), context.roster.everyone)


def _encodedOf(member: Member) -> bytes:
    """What presence says of one member. It can't fail, since it was tried (`setMeta`)."""
    return payload.encode([_entry(member.userId, [_seen(member.id, member.meta)])], True)


def _entry(userId: str, metas: list[dict[str, Any]]) -> dict[str, Any]:
    """A user in presence."""
    return {"user": userId, "metas": metas}


def _seen(id: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    """The meta of a member as others see it."""
    return {**meta, "member": id}
