"""
Resume tokens that were revoked: of members that were kicked. Their clients neither resume nor rejoin
automatically.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

#: The most tokens that are remembered; the oldest are forgotten first.
MAX_REVOKED = 1000
#: The least seconds for which they are remembered, since a client doesn't notice a lost connection at once.
REVOKED_SECONDS = 60.0


class RevokedTokens:
    """The digests of the revoked resume tokens of one room."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        #: Until when each is remembered, in seconds of the server's clock.
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, tokens: Iterable[bytes], now: float, resumeSeconds: float) -> None:
        """Remember tokens for as long as their client may try to resume."""
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        for token in tokens:
            self._until[token] = now + max(resumeSeconds, REVOKED_SECONDS)
            if len(self._until) > MAX_REVOKED:
                self._until.popitem(last=False)

    def has(self, token: bytes, now: float) -> bool:
        """Return whether a token was revoked a short time ago."""
        return self._until.get(token, now) > now
