"""
Until when a peer must have sent, or taken, what it is about to.

A fixed deadline would shut out whoever has a slow link, and silence alone would let one byte now and then
hold memory for ever. So every part that has arrived earns more time: the whole may take its seconds and one
more for each `BYTES_PER_SECOND`, however slowly they trickle.
"""

from __future__ import annotations

NEVER = float("inf")
#: A link that is slower than that does not get through.
BYTES_PER_SECOND = 4096


def dueBy(since: float, seconds: float, octets: int) -> float:
    """
    When something must be complete that began at `since` and of which so many `octets` have come.

    Args:
        since: When it began.
        seconds: The time that it has without any; with 0 it has no deadline.
        octets: How much of it has come.

    Returns:
        The time, or `NEVER`.
    """
    return since + seconds + octets // BYTES_PER_SECOND if seconds else NEVER
