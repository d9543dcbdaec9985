"""
History: how many of its messages a room keeps for newcomers.

The owner keeps the messages (`owner.log`), those for clients that resume too, which `Room.recoveryLimit` and
`Room.recoverySize` bound.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import attrs

from ...core.validation import checked, isCount, isInteger


def _isAge(value: Any) -> bool:
    """Whether it is a number of seconds, infinity among them."""
    return (isInteger(value) or isinstance(value, float)) and bool(value >= 0)


_COUNT = checked(isCount, "a whole number, 0 or more")
_AGE = checked(_isAge, "seconds, 0 or more")


@attrs.frozen(kw_only=True)
class History:
    """
    What a room remembers for newcomers: its broadcasts, not what was sent to single members.

    `limit` messages of at most `seconds` age and `size` bytes in all are kept (0: no limit of that
    kind, but for `limit`). The newest `onJoin` of them are sent to whoever joins, as far as their data
    has no more than `onJoinSize` bytes together (0: any number): a join is a request of 200 bytes, and
    should not cost the server far more.

    Raises:
        ValueError: One of them can't be so.
    """

    limit: int = attrs.field(default=100, validator=_COUNT)
    seconds: float = attrs.field(default=0.0, validator=_AGE)
    size: int = attrs.field(default=1 << 20, validator=_COUNT)
    onJoin: int = attrs.field(default=0, validator=_COUNT)
    onJoinSize: int = attrs.field(default=64 << 10, validator=_COUNT)


class HistoryEntry(NamedTuple):
    """A message of a room's history."""

    offset: int
    type: str
    data: Any
