"""
How long a peer may take for what it sends or takes.

A deadline alone shuts out whoever has a slow link, and silence alone lets a byte now and then hold memory
for ever. So each part that has arrived earns some more time: the whole takes at most its seconds and one
for each `PACE` bytes, however slowly they trickle.
"""

from __future__ import annotations

NEVER = float("inf")
#: Bytes that earn one second more; a link of 4 KiB/s is the slowest that gets through.
PACE = 4096


def dueBy(since: float, seconds: float, octets: int) -> float:
    """
    When something must be complete that began at `since` and of which so many `octets` have come.

    `seconds` is the time that it has without any; with 0 it has no deadline (`NEVER`).
    """
    return since + seconds + octets // PACE if seconds else NEVER
