"""
Who is in a room, as its client is told.
"""

from __future__ import annotations

from typing import Any

from .frames import Member, key


class Presence:
    """Users by their id; a meta is known by its member, and one that comes again replaces the former."""

    def __init__(self) -> None:
        self._members: dict[bytes, Member] = {}

    @property
    def members(self) -> list[Member]:
        """Who is here."""
        return list(self._members.values())

    def restart(self, members: list[Member]) -> None:
        """All who are here."""
        self._members = {}
        self.change(members, [])

    def change(self, joined: list[Member], left: list[Member]) -> None:
        """Who came, and who went."""
        for each in left:
            stay = self._without(each)
            if stay:
                self._members[key(each.user)] = Member(each.user, stay)
            else:
                self._members.pop(key(each.user), None)
        for each in joined:
            self._members[key(each.user)] = Member(each.user, [*self._without(each), *each.metas])

    def _without(self, member: Member) -> list[Any]:
        """The metas that are known of that user, but for those given."""
        gone = {_keyOfMeta(meta) for meta in member.metas}
        known = self._members.get(key(member.user))
        return [meta for meta in known.metas if _keyOfMeta(meta) not in gone] if known else []


def _keyOfMeta(meta: Any) -> bytes:
    member = meta.get("member") if isinstance(meta, dict) else None
    return key(meta if member is None else member)
