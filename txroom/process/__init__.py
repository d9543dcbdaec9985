"""
What belongs to a process that runs a `Server`: the command line, signals, log files and memory.

`keepFreedMemory`, `relaxCollector` and `useMonotonicClock` are for programs that start a `Server` themselves.
`Workers` is for those that serve with several processes.
"""

from .gctuning import keepFreedMemory, relaxCollector
from .monotonic import useMonotonicClock
from .workers.parent import Workers

__all__ = ["Workers", "keepFreedMemory", "relaxCollector", "useMonotonicClock"]
