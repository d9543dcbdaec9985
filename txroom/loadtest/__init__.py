"""
Load tests: many clients of a server, and what they see of it.

`python -m txroom.loadtest URL` is the command. The parts, for programs of one's own: a `Plan` says what is to
be done, a `LoadTest` does it on a reactor, `figuresOf` has what was measured.
"""

from .plan import Plan
from .report import Progress, figuresOf, textOf
from .runner import LoadTest

__all__ = ["LoadTest", "Plan", "Progress", "figuresOf", "textOf"]
