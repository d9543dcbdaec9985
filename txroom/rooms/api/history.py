"""
History: which messages a room keeps for new members.

`owner.messagelog` keeps the messages themselves. It also keeps messages for clients that resume, within
`Room.recoveryLimit` and `Room.recoverySize`.
"""

from __future__ import annotations

from inspect import signature
from typing import Any, NamedTuple, Self

import attrs

from ...core.validation import checked, isCount, isInteger


def _isAge(value: Any) -> bool:
    """Return whether a value is a number of seconds, which may be infinite."""
    return (isInteger(value) or isinstance(value, float)) and bool(value >= 0)


_COUNT = checked(isCount, "a whole number, 0 or more")
_AGE = checked(_isAge, "seconds, 0 or more")


@attrs.frozen(kw_only=True)
class History:
    """
    The limits of the messages that a room keeps for new members.

    Only broadcasts are kept, not messages to single members. A client that joins receives the newest of them,
    at most `onJoin` messages. Keep `onJoinSize` low: the message that asks to join has fewer than 200 bytes,
    and makes the server send up to `onJoinSize` bytes of data.

    Args:
        limit: The maximum number of messages; 0 keeps none.
        seconds: The maximum age of a message, in seconds; 0: no limit.
        size: The maximum size of the data of all messages together, in bytes; 0: no limit.
        onJoin: How many of the messages a client receives when it joins.
        onJoinSize: The maximum size of the data of these messages together, in bytes; 0: no limit.

    Raises:
        TypeError: A value is given without its name.
        ValueError: A value is not allowed.
    """

    def __new__(cls, *args: Any, **limits: Any) -> Self:
        if args:
            raise TypeError(
                f"History({args[0]!r}): name each limit, for example History(limit=100, onJoin=20)"
            )
        return super().__new__(cls)

    limit: int = attrs.field(default=100, validator=_COUNT)
    seconds: float = attrs.field(default=0.0, validator=_AGE)
    size: int = attrs.field(default=1 << 20, validator=_COUNT)
    onJoin: int = attrs.field(default=0, validator=_COUNT)
    onJoinSize: int = attrs.field(default=64 << 10, validator=_COUNT)


# Without this, tools would show the signature of `__new__`, which does not have the names of the limits.
History.__new__.__signature__ = signature(History.__init__)  # type: ignore[attr-defined]


class HistoryEntry(NamedTuple):
    """A message in the history of a room (`Room.messages`)."""

    #: The offset of the message in the room's log.
    offset: int
    #: The type of the message.
    type: str
    #: The data: numbers, texts, bytes, booleans, `None`, lists and dictionaries.
    data: Any
