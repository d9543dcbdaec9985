"""
Who is in a room, as its client is told.
"""

from __future__ import annotations

from typing import Any

from ..protocol.serverframes import Member
from .codec import key


class Presence:
    """
    The users by their ids; a meta is known by its member, and one that comes again replaces the former.

    A user who remains keeps the place in the list, as in the server's, whatever else changes.
    """

    def __init__(self) -> None:
        self._users: dict[bytes, Any] = {}
        self._metas: dict[bytes, dict[bytes, Any]] = {}

    @property
    def members(self) -> list[Member]:
        """Who is here."""
        return [Member(self._users[user], list(metas.values())) for user, metas in self._metas.items()]

    def restart(self, members: list[Member]) -> None:
        """All who are here."""
        self._users = {}
        self._metas = {}
        self.change(members, [])

    def change(self, joined: list[Member], left: list[Member]) -> None:
        """Who came, and who went; a meta in both has changed."""
        here = {(key(each.user), _keyOfMeta(meta)) for each in joined for meta in each.metas}
        for each in left:
            user = key(each.user)
            for meta in each.metas:
                if (user, _keyOfMeta(meta)) not in here:
                    self._metas.get(user, {}).pop(_keyOfMeta(meta), None)
        for each in joined:
            user = key(each.user)
            self._users[user] = each.user
            self._metas.setdefault(user, {}).update({_keyOfMeta(meta): meta for meta in each.metas})
        for each in left:
            if not self._metas.get(key(each.user)):
                self._forget(key(each.user))

    def _forget(self, user: bytes) -> None:
        self._users.pop(user, None)
        self._metas.pop(user, None)


def _keyOfMeta(meta: Any) -> bytes:
    member = meta.get("member") if isinstance(meta, dict) else None
    return key(meta if member is None else member)
