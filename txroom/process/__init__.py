"""
What belongs to a process that runs a `Server`: the command line, signals, log files and memory.

`keepFreedMemory`, `relaxCollector` and `useMonotonicClock` are for programs that start a `Server` themselves.
"""

from .gctuning import keepFreedMemory, relaxCollector
from .monotonic import useMonotonicClock

__all__ = ["keepFreedMemory", "relaxCollector", "useMonotonicClock"]
