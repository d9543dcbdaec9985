"""
The number of processors that this process may use.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

#: The limit of a container: microseconds of processor time and of the period in which they count, or "max".
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usableProcessors(quota: Path = _QUOTA) -> int:
    """
    Return the number of processors that this process may use, at least 1.

    It considers the affinity of the process and the limit of its container.
    """
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    return max(1, min(count, _allowed(quota)))


def _allowed(quota: Path) -> int:
    try:
        microseconds, period = quota.read_text().split()
        return math.ceil(int(microseconds) / int(period))
    except (OSError, ValueError):  # there is no control group, or no limit
        return os.cpu_count() or 1
