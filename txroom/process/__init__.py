"""
What a program does beside its service: `twistd txroom`, and those that start a `Server` themselves.
"""

from .gctuning import relaxCollector
from .monotonic import useMonotonicClock

__all__ = ["relaxCollector", "useMonotonicClock"]
