"""
History: how much of what was said a room keeps for newcomers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import attrs


def _isCount(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{attribute.name}={value!r}: must be a whole number, 0 or more")


def _isSeconds(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{attribute.name}={value!r}: must be seconds, 0 or more")


@attrs.frozen(kw_only=True)
class History:
    """
    What a room remembers for newcomers: its broadcasts, not what was sent to single members.

    `limit` messages of at most `seconds` age and `size` bytes in all are kept (0: no limit of that
    kind, but for `limit`). The newest `onJoin` of them are sent to whoever joins, as far as their data
    has no more than `onJoinSize` bytes together (0: any number): a join is a request of 200 bytes, and
    should not cost the server far more. Raises `ValueError`.
    """

    limit: int = attrs.field(default=100, validator=_isCount)
    seconds: float = attrs.field(default=0.0, validator=_isSeconds)
    size: int = attrs.field(default=1 << 20, validator=_isCount)
    onJoin: int = attrs.field(default=0, validator=_isCount)
    onJoinSize: int = attrs.field(default=64 << 10, validator=_isCount)


class Past(NamedTuple):
    """A message of a room's history."""

    offset: int
    type: str
    data: Any
