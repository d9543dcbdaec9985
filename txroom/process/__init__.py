"""
What belongs to a process that runs a `Server`: the command line, signals, log files and the garbage
collector.

`relaxCollector` and `useMonotonicClock` are for programs that start a `Server` themselves.
"""

from .gctuning import relaxCollector
from .monotonic import useMonotonicClock

__all__ = ["relaxCollector", "useMonotonicClock"]
