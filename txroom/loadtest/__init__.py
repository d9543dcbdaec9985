"""
Load tests: many clients connect to a server, send messages and measure the latencies.

`python -m txroom.loadtest URL` is the command. The parts can be used in other programs: a `Plan` says what
to do, a `LoadTest` does it on a reactor, and `figuresOf` returns the measured figures.
"""

from .plan import Plan
from .report import Progress, figuresOf, textOf
from .runner import LoadTest

__all__ = ["LoadTest", "Plan", "Progress", "figuresOf", "textOf"]
