"""
Deadlines for receiving or sending something as a whole.

A fixed deadline would exclude peers with a slow link, and a deadline that starts again with each byte would
let a peer hold memory forever by sending one byte now and then. So a deadline is extended by one second for
each `BYTES_PER_SECOND` bytes.
"""

from __future__ import annotations

NEVER = float("inf")
#: The slowest link that is supported.
BYTES_PER_SECOND = 4096


def dueBy(since: float, seconds: float, octets: int) -> float:
    """
    Compute the deadline of something that started at `since`.

    Args:
        since: When it started.
        seconds: The time it has if no bytes arrive; 0 means that there is no deadline.
        octets: The number of bytes that have arrived.

    Returns:
        The deadline, or `NEVER`.
    """
    return since + seconds + octets // BYTES_PER_SECOND if seconds else NEVER
