"""
The members of a room, as far as its client knows them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..protocol.serverframes import Member, MembershipInfo, MembersPage
from ..protocol.serverframes import Presence as PresenceFrame
from .codec import key


class Presence:
    """
    The known users by their ids.

    A meta is identified by its member; a new one replaces the old one. A user who stays keeps the place in
    the list.
    """

    def __init__(self) -> None:
        self._users: dict[bytes, Any] = {}
        self._metas: dict[bytes, dict[bytes, Any]] = {}
        self._count: int | None = None
        #: The position that the server needs to list members that may be unknown; `None`: all are known.
        self._after: int | None = None

    @property
    def members(self) -> list[Member]:
        """See `Room.members`."""
        return [Member(self._users[user], list(metas.values())) for user, metas in self._metas.items()]

    @property
    def count(self) -> int:
        """See `Room.memberCount`."""
        return self._known if self._count is None else self._count

    @property
    def after(self) -> int | None:
        """The position that the server needs to list the next unknown members; `None`: all are known."""
        return self._after if self._known < self.count else None

    @property
    def _known(self) -> int:
        return sum(map(len, self._metas.values()))

    def restart(self, info: MembershipInfo) -> None:
        """Start again with the members that the frame `joined` has."""
        self._users = {}
        self._metas = {}
        self._after = info.membersAfter
        self._change(info.members or [], [], info.memberCount)

    def change(self, frame: PresenceFrame) -> None:
        """Apply a change. A meta in both lists has changed; its member may be one that is not known."""
        if self._after is None:
            self._after = frame.membersAfter
        self._change(frame.joined, frame.left, frame.memberCount)

    def add(self, data: Any) -> list[Member]:
        """
        Add a page of members, which is the data of the answer.

        Returns:
            The members of the page.

        Raises:
            RoomError: The data is not a page of members.
        """
        try:
            page = msgspec.convert(data, MembersPage)
        except msgspec.ValidationError as error:
            raise RoomError(ErrorCode.BAD_REQUEST, f"the server sent wrong members: {error}") from None
        self._after = page.membersAfter
        self._change(page.members, [], page.memberCount)
        return page.members

    def _change(self, joined: list[Member], left: list[Member], count: int | None) -> None:
        here = {(key(each.user), _keyOfMeta(meta)) for each in joined for meta in each.metas}
        unknown = set()
        for each in left:
            user = key(each.user)
            known = self._metas.get(user, {})
            for meta in each.metas:
                place = (user, _keyOfMeta(meta))
                if place[1] not in known:
                    unknown.add(place)
                elif place not in here:
                    del known[place[1]]
        for each in joined:
            user = key(each.user)
            news = {id: meta for meta in each.metas if (user, id := _keyOfMeta(meta)) not in unknown}
            if news:
                self._users[user] = each.user
                self._metas.setdefault(user, {}).update(news)
        for each in left:
            if not self._metas.get(key(each.user)):
                self._forget(key(each.user))
        self._count = count

    def _forget(self, user: bytes) -> None:
        self._users.pop(user, None)
        self._metas.pop(user, None)


def _keyOfMeta(meta: Any) -> bytes:
    member = meta.get("member") if isinstance(meta, dict) else None
    return key(meta if member is None else member)
