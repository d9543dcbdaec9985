"""
Revoked resume tokens: those of members that were expelled, which means kicked, or removed for misuse or for
too many messages. Their clients neither resume nor rejoin automatically.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from ..contract.records import MemberRemoved

#: The most tokens that are remembered; the oldest are forgotten first.
MAX_REVOKED = 1000
#: The least seconds for which they are remembered, since a client doesn't notice a lost connection at once.
REVOKED_SECONDS = 60.0


class _Revoked(NamedTuple):
    """The member that had a token, and until when it is remembered, in seconds of the server's clock."""

    member: str
    until: float


class RevokedTokens:
    """The digests of the revoked resume tokens of one room."""

    __slots__ = ("_revoked",)

    def __init__(self) -> None:
        self._revoked: OrderedDict[bytes, _Revoked] = OrderedDict()

    def __len__(self) -> int:
        return len(self._revoked)

    def add(self, removed: MemberRemoved, now: float) -> None:
        """Remember the tokens of a member that was expelled."""
        self._expire(now)
        for token in removed.tokens:
            self._revoked[token] = _Revoked(removed.member, now + removed.seconds)
            if len(self._revoked) > MAX_REVOKED:
                self._revoked.popitem(last=False)

    def has(self, token: bytes, now: float) -> bool:
        """Return whether a token was revoked a short time ago."""
        revoked = self._revoked.get(token)
        return revoked is not None and revoked.until > now

    def records(self, now: float) -> tuple[MemberRemoved, ...]:
        """Return the records from which the next owner restores these tokens."""
        self._expire(now)
        tokens: dict[_Revoked, list[bytes]] = {}
        for token, revoked in self._revoked.items():
            tokens.setdefault(revoked, []).append(token)
        return tuple(
            MemberRemoved(each.member, tuple(found), each.until - now) for each, found in tokens.items()
        )

    def _expire(self, now: float) -> None:
        while self._revoked and next(iter(self._revoked.values())).until <= now:
            self._revoked.popitem(last=False)
