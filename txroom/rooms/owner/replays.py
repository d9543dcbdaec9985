"""
The budget of the bytes that may be sent again to one member.

A client that resumes again and again, or joins again on the same connection, makes its room send missed
messages, snapshots and states each time. Each counts here, and is refused when the budget is spent.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...core.codes import ErrorCode
from ...core.tokenbucket import TokenBucket
from ..contract.arrivals import Refused
from ..contract.records import Entry
from .context import RoomContext
from .member import Member
from .states import Shown

#: The budget is counted from at least this many bytes, even if `recoverySize` is smaller or has no limit.
LEAST_REPLAYS = 1 << 20
#: The number of bytes that each message which is sent again counts besides its data.
REPLAY_COST = 100


def refusal(context: RoomContext, member: Member) -> Refused | None:
    """Return why nothing more may be sent again to a member now; `None` if it may."""
    wait = _budget(context, member).spend(0.0, context.clock.seconds())
    if not wait:
        return None
    return Refused(ErrorCode.RATE_LIMITED, "too many messages were sent again", {"retryAfter": wait})


def spend(
    context: RoomContext, member: Member, replay: Sequence[Entry], snapshot: bytes, state: Shown | None
) -> int:
    """
    Count what is sent again to a member.

    Returns:
        How many bytes of messages that is.
    """
    size = sum([len(entry.data) for entry in replay])
    shown = 0 if state is None or state.item is None else len(state.item.data)
    amount = size + REPLAY_COST * len(replay) + len(snapshot) + shown
    _budget(context, member).spend(amount, context.clock.seconds())
    return size


def _budget(context: RoomContext, member: Member) -> TokenBucket:
    """
    Return the budget of a member: twice the greater one of `recoverySize` and `maxState` at once, and then a
    tenth of that per second.
    """
    if member.replays is None:
        room = context.room
        size = max(room.recoverySize, room.maxState, LEAST_REPLAYS)
        member.replays = TokenBucket(size / 10, 2.0 * size, context.clock.seconds())
    return member.replays
