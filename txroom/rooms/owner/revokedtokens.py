"""
Members that were made to leave a room: they can't resume, and their clients don't join anew by themselves.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

#: Most tokens that are remembered; the oldest are forgotten first.
MAX_REVOKED = 1000
#: Least seconds for which they are: a client doesn't notice at once that its connection is lost.
REVOKED_SECONDS = 60.0


class RevokedTokens:
    """The digests of the resume tokens of one room's members that were made to leave."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        #: Until when, in seconds of the server's clock.
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, tokens: Iterable[bytes], now: float, resumeSeconds: float) -> None:
        """Remember them for as long as their client may try."""
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        for token in tokens:
            self._until[token] = now + max(resumeSeconds, REVOKED_SECONDS)
            if len(self._until) > MAX_REVOKED:
                self._until.popitem(last=False)

    def has(self, token: bytes, now: float) -> bool:
        """Whether the member with that token was made to leave a short time ago."""
        return self._until.get(token, now) > now
